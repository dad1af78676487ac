//! One file per command: each a recipe that reads top to bottom. Effects happen here and in the
//! modules at the edge (`store`, `engine`, `change`); decisions are made by the pure ones.

mod client_config;
mod connect;
mod derived;
mod host_key;
mod initialize;
mod keys;
mod leftovers;
mod log;
mod mend;
mod passphrase;
mod policy;
mod port;
mod post_start;
mod proof;
mod proxy;
mod remove;
mod ring;
mod setup;
mod status;
mod switch;
mod table;
mod target;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::advice;
use crate::change::{Plan, shown};
use crate::cli::{Cli, Command, Consent};
use crate::environment::Environment;
use crate::store::Store;
use crate::store::registry::{Damaged, Registry};

/// Runs one command.
///
/// # Errors
/// Whatever stopped it, with a hint where there is a way out.
pub fn run(command: Command, environment: &Environment) -> Result<ExitCode> {
    let app = App {
        store: Store::locate(environment),
        environment,
    };
    match command {
        Command::Setup(args) => setup::run(&app, &args),
        Command::Remove(args) => remove::run(&app, &args),
        Command::Initialize(args) => initialize::run(&app, &args),
        Command::PostStart => post_start::run(&app),
        Command::Connect(args) => connect::run(&app, &args),
        Command::Port(args) => port::run(&app, &args),
        Command::Status(args) => status::run(&app, &args),
        Command::Keys(action) => keys::run(&app, &action),
        Command::Log(args) => log::run(&app, &args),
        Command::ClientConfig(args) => client_config::run(&app, &args),
        Command::Proxy(args) => proxy::run(&app, &args),
        Command::Refresh { alias } => proxy::refresh(&app, &alias),
        Command::Schema => print(crate::devcontainer::options::SCHEMA),
        Command::Completions { shell } => print(completions(shell)),
        Command::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page)?;
            print(String::from_utf8_lossy(&page))
        }
    }
}

/// What every command works with.
struct App<'e> {
    environment: &'e Environment,
    store: Store,
}

impl App<'_> {
    /// The registry, for a command that does not hold the lock; mended first where it is damaged, and
    /// without old keys whose time is up. `proxy` and `refresh` read the store itself: they run while a
    /// rotation holds the lock.
    fn registry(&self) -> Result<Registry> {
        let registry = match self.store.registry() {
            Err(error) if error.is::<Damaged>() => {
                return Ok(ring::Ring::open(self, "mend")?.registry);
            }
            registry => registry?,
        };
        if !registry.has_expired(now()) {
            return Ok(registry);
        }
        Ok(match ring::Ring::open(self, "expiry") {
            Ok(ring) => ring.registry,
            Err(error) => {
                warn(&error.context("an old key has expired and could not be dropped"));
                registry
            }
        })
    }
}

/// A completion script.
fn completions(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lace-ssh", &mut script);
    // For a program with a hyphen in its name, clap_complete's bash script looks for its subcommands
    // under another spelling than the one that it gives them.
    String::from_utf8_lossy(&script).replace("lace__subcmd__ssh", "lace__ssh")
}

/// Whoever reads our output has seen enough: no error.
#[derive(Debug)]
pub struct ReaderGone;

impl std::fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nobody reads the output any more")
    }
}

impl std::error::Error for ReaderGone {}

/// Prints data; it is a command's last act, so the result is its exit code.
fn print(text: impl std::fmt::Display) -> Result<ExitCode> {
    let mut out = anstream::stdout();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        written => {
            written.context("cannot write to stdout")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Says something to the person; data goes to stdout instead.
fn say(text: impl std::fmt::Display) {
    // A name or a path may come from a stranger.
    let text = text.to_string();
    let lines: Vec<_> = text.lines().map(shown).collect();
    // Where nobody listens, there is nobody to tell.
    let _ = writeln!(anstream::stderr(), "lace-ssh: {}", lines.join("\n"));
}

/// Says what went wrong where that stops nothing, and the way out.
fn warn(error: &anyhow::Error) {
    say(format!("warning: {error:#}"));
    if let Some(hint) = advice::hint_of(error) {
        say(format!("hint: {hint}"));
    }
}

/// Seconds since the epoch.
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// What became of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// There was nothing to change.
    Nothing,
    /// It was shown, and nobody agreed to it (or nobody was asked).
    Shown,
    /// It is written.
    Applied,
}

/// Shows a plan and, if the user agrees, applies it; `before_writing` runs between the two.
fn agree(
    app: &App,
    plan: &Plan,
    consent: Consent,
    question: &str,
    before_writing: impl FnOnce() -> Result<()>,
) -> Result<Outcome> {
    if plan.is_empty() {
        return Ok(Outcome::Nothing);
    }
    print(plan.preview())?;
    if consent.dry_run || consent.check {
        return Ok(Outcome::Shown);
    }
    if !consent.yes {
        if !app.environment.interactive {
            say("nothing written: there is no terminal to ask on; to write it: add --yes");
            return Ok(Outcome::Shown);
        }
        if !ask(question)? {
            say("nothing written");
            return Ok(Outcome::Shown);
        }
    }
    before_writing()?;
    plan.apply()?;
    Ok(Outcome::Applied)
}

/// Asks a yes-or-no question on the terminal; no answer is a no.
fn ask(question: &str) -> Result<bool> {
    anstream::eprint!("{question} [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}
