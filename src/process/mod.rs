//! What this machine tells of a process: which program it is, with which arguments, and who has started it. Linux tells
//! in `/proc`, more than others and at less cost; any other system by `ps`.

#[cfg(target_os = "linux")]
mod proc_fs;
#[cfg(any(test, not(target_os = "linux")))]
mod ps;

#[cfg(target_os = "linux")]
pub use proc_fs::Process;
#[cfg(not(target_os = "linux"))]
pub use ps::Process;

impl Process {
    /// This one.
    pub fn own() -> Self {
        Self::of(rustix::process::getpid().as_raw_nonzero().get())
    }
}
