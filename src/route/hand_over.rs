//! A connection goes to whoever has asked for it: the socket itself, or every byte of it.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::thread;

use anyhow::{Context, Result};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::advice::Advise;

/// Passes the socket itself over stdout: from here on no byte goes through this process.
pub fn pass(stream: &TcpStream) -> Result<()> {
    let fds = [stream.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(
        std::io::stdout(),
        &[IoSlice::new(&[0])],
        &mut control,
        SendFlags::empty(),
    )
    .context("cannot pass the connection over stdout")
    .hint("--pass-fd is for ssh with `ProxyUseFdpass yes`")?;
    Ok(())
}

/// Copies both ways until the container's side ends.
pub fn copy(stream: TcpStream) -> Result<()> {
    let mut up = stream
        .try_clone()
        .context("cannot use the connection twice")?;
    thread::spawn(move || {
        let _ = pump(&mut std::io::stdin().lock(), &mut up);
        let _ = up.shutdown(Shutdown::Write);
    });
    pump(&mut &stream, &mut std::io::stdout().lock()).context("the connection broke")
}

fn pump(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            // Flushed at once: a person may be waiting for a single key.
            Ok(count) => to.write_all(&buffer[..count]).and_then(|()| to.flush())?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
