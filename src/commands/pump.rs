//! `pump`: carries the bytes of one connection between its socket, which is our stdin, and an sshd that is started for it in
//! the container: by the engine, or by whoever waits there at the mount. It was called by `proxy`, which has ended since, and
//! ends with the connection.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::mem::{replace, take};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{ExitCode, exit};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::stdio::dup2_stderr;
use zeroize::Zeroizing;

use crate::advice::link_by_link;
use crate::app::{App, now};
use crate::cli;
use crate::engine::{Engine, Exec};
use crate::ring::access;
use crate::route::words::Words;
use crate::route::{adopted, mount, user};
use crate::settings;
use crate::socket;
use crate::store::Store;
use crate::talk::say;
use crate::trust;

/// What is left for the end of a connection to be told to the engine.
const GRACE: Duration = Duration::from_secs(1);

/// How often is looked whether a key may still have open what it has opened. The Feature looks as often.
const LOOK: Duration = Duration::from_secs(2);

/// Runs `pump`.
pub fn run(app: &App, args: &cli::Pump) -> Result<ExitCode> {
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    end_with(&socket)?;
    // Whoever ends all that was started at a terminal means ssh, which ends us.
    let _ = rustix::process::setsid();
    std::env::set_current_dir("/").context("there is no root folder")?;
    let mut ear = Ear {
        app,
        args,
        words: Words::default(),
        has_told: false,
        brought: None,
    };
    let began = match &args.mount {
        Some(folder) => mount::carry(folder, &args.container, &socket, &mut |piece| {
            ear.hear(piece)
        }),
        None => by_engine(&mut ear, socket.try_clone()?),
    };
    // `proxy` waits for a greeting, and tells what has come in its place. Where it has ended, nobody wants to know.
    let instead = match began {
        Ok(true) => {
            let rest = take(&mut ear.words).rest();
            ear.tell(&rest);
            return Ok(ExitCode::SUCCESS);
        }
        Ok(false) => ear.words.all(),
        Err(error) => format!("{error:#}"),
    };
    let _ = (&socket).write_all(format!("{instead}\n").as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// By a stream of the engine; whether sshd has begun to speak.
fn by_engine(ear: &mut Ear<'_>, socket: UnixStream) -> Result<bool> {
    let Ear { app, args, .. } = *ear;
    let container = &args.container;
    // One on this machine needs none that the settings name.
    let settings = settings::read(&app.store);
    let named = settings.map_or_else(|_| Vec::new(), |settings| settings.engines);
    let engine = Engine::named(&args.endpoint, &named)?;
    let brought = args.adopted.as_deref();
    let brought = brought.map(|id| Brought::of(app, id, &engine, container));
    let brought = brought.transpose()?;
    let (text, command) = match &brought {
        Some(Brought { text, .. }) => (text.clone(), adopted::command(text)),
        None => {
            let command = trust::STREAM.map(str::to_owned).into_iter();
            let account = account(app, &args.alias);
            (Zeroizing::default(), command.chain(account).collect())
        }
    };
    ear.brought = brought;
    let exec = Exec {
        container,
        command: &command.iter().map(String::as_str).collect::<Vec<_>>(),
        first: &text,
        begins: "SSH-",
    };
    engine.exec(exec, socket, &mut |piece| ear.hear(piece))
}

/// Hears what sshd says, and does what follows from it.
struct Ear<'a> {
    app: &'a App<'a>,
    args: &'a cli::Pump,
    words: Words,
    /// What it says has been told, and where all is told.
    has_told: bool,
    brought: Option<Brought>,
}

impl Ear<'_> {
    fn hear(&mut self, piece: &[u8]) {
        let alias = &self.args.alias;
        let was_out = !self.words.let_in;
        let lines = self.words.take(piece);
        self.tell(&lines);
        for key in take(&mut self.words.keys) {
            // Watched first: what ends in between is seen by one of the two.
            let is_adopted = self.args.adopted.is_some();
            end_with_grant(&self.app.store, alias, &key, is_adopted);
            let brought = self.brought.as_ref();
            if brought.is_some_and(|it| !it.is_so_still(self.app)) {
                say(format!(
                    "what opens {alias} has changed meanwhile: connect again"
                ));
                exit(0);
            }
        }
        if was_out && self.words.let_in {
            be_silent();
        }
    }

    fn tell(&mut self, lines: &[String]) {
        let alias = &self.args.alias;
        for line in lines {
            say(format!("sshd of {alias} says: {line}"));
        }
        if !lines.is_empty() && !replace(&mut self.has_told, true) {
            say(link_by_link(alias));
        }
    }
}

/// Ends this process soon after nobody is left at the other end: what runs in the container may go on without ever reading
/// or writing.
fn end_with(socket: &UnixStream) -> Result<()> {
    let socket = socket.try_clone()?;
    thread::spawn(move || {
        while !socket::is_left_alone(&socket, None) {}
        thread::sleep(GRACE);
        exit(0);
    });
    Ok(())
}

/// Ends this process, and so the session, when the key that has opened it may not any more: its lease is over, or it was
/// removed with `--now`. A key of the ring is no such key.
///
/// The Feature, where there is one, does that first: it ends what the session has at work, too, and finds nothing any more
/// once sshd is gone.
fn end_with_grant(store: &Store, alias: &str, key: &str, is_adopted: bool) {
    let (store, alias, key) = (store.clone(), alias.to_owned(), key.to_owned());
    // None: nobody can tell now.
    let may_go_on = move || -> Option<bool> {
        let registry = store.registry().ok()?;
        let known = registry.by_alias(&alias);
        Some(known.is_some_and(|(id, _)| access::may_go_on(&registry, id, &key, now())))
    };
    if may_go_on() == Some(true) {
        thread::spawn(move || {
            while may_go_on() != Some(false) {
                thread::sleep(LOOK);
            }
            if !is_adopted {
                thread::sleep(2 * LOOK);
            }
            exit(0);
        });
    }
}

/// Who logs in, as the Feature may not know it; where nobody does, it says so.
fn account(app: &App, alias: &str) -> Option<String> {
    let registry = app.store.registry().ok()?;
    let (_, known) = registry.by_alias(alias)?;
    user::known(app, known)
}

/// What goes with a connection to a container that was adopted.
struct Brought {
    id: String,
    remote_env: BTreeMap<String, String>,
    text: Zeroizing<Vec<u8>>,
}

impl Brought {
    fn of(app: &App, id: &str, engine: &Engine, container: &str) -> Result<Self> {
        let remote_env = engine.remote_env(container)?;
        Ok(Self {
            text: text(app, id, &remote_env)?,
            id: id.to_owned(),
            remote_env,
        })
    }

    /// Whoever is let in may be so still: sshd there knows no more than what it got along, and a client may take its time.
    fn is_so_still(&self, app: &App) -> bool {
        text(app, &self.id, &self.remote_env).is_ok_and(|now| *now == *self.text)
    }
}

fn text(app: &App, id: &str, remote_env: &BTreeMap<String, String>) -> Result<Zeroizing<Vec<u8>>> {
    let registry = app.store.registry()?;
    let known = registry
        .devcontainers
        .get(id)
        .context("it is not known any more")?;
    let user = user::known(app, known).context("its user is not known")?;
    adopted::text(app, id, &user, remote_env, now())
}

/// Lets go of what is ssh's, now that there is nothing more to say: whoever reads what a session says waits until all have
/// let go of it.
fn be_silent() {
    if let Ok(null) = OpenOptions::new().write(true).open("/dev/null") {
        let _ = dup2_stderr(null);
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs;
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::path::Path;
    use std::process::{Child, Command, Stdio};
    use std::time::Instant;

    use serde_json::json;

    use super::*;
    use crate::bell;
    use crate::engine::example;
    use crate::environment::Environment;
    use crate::keys::{KeyPair, PublicKey};
    use crate::store::registry::{DevContainer, Grant, Registry};

    /// The home folder of a pump that a test has started, which ends its process, and with which container it speaks.
    const HOME: &str = "LACE_SSH_TEST_PUMP_HOME";
    const CONTAINER: &str = "LACE_SSH_TEST_PUMP_CONTAINER";

    /// The test that is that process.
    const PUMP: &str = "commands::pump::tests::a_session_ends_with_the_grant_that_has_opened_it_and_with_nothing_else";

    /// As long as nobody waits for what must come.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn pump(home: &Path, container: &str) {
        let environment = Environment::example(home);
        let app = App::new(&environment);
        let socket = home.join(container).join("engine.sock");
        let is_mounted = container.starts_with("mounted-");
        let args = cli::Pump {
            alias: "lace-x".into(),
            endpoint: format!("unix://{}", socket.display()),
            container: container.into(),
            adopted: container.strip_prefix("adopted-").map(str::to_owned),
            mount: is_mounted.then(|| home.join(container)),
        };
        run(&app, &args).unwrap();
    }

    /// A pump to what this script says in a container, and the end of the connection that ssh has.
    fn start(home: &Path, container: &str, script: &str) -> (Child, UnixStream) {
        // An engine of its own, for it answers one after the other.
        let folder = home.join(container);
        fs::create_dir(&folder).unwrap();
        let mut one = example::container(container, "running", home, 1);
        one["Runs"] = json!(["sh", "-c", script]);
        example::engine(&folder, vec![one]);
        if container.starts_with("mounted-") && container != "mounted-no" {
            attend_once(&folder, script);
        }
        let (ours, its) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", PUMP, "--nocapture"])
            .env(HOME, home)
            .env(CONTAINER, container)
            .stdin(OwnedFd::from(its))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        (child.unwrap(), ours)
    }

    /// Somebody waits at a bell in this folder, and runs this for who rings first.
    fn attend_once(folder: &Path, script: &str) {
        bell::hang(folder).unwrap();
        let text = format!(
            "chmod 600 bell; exec 3<>bell; read -r n c <&3; chmod 600 $n.*; exec <$n.in >$n.out 2>$n.words 3<&-; {script}"
        );
        let mut sh = Command::new("sh");
        sh.args(["-c", &text]).current_dir(folder);
        thread::spawn(move || sh.status());
        let start = Instant::now();
        while !bell::is_attended(folder) {
            assert!(start.elapsed() < PATIENCE);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A line comes back from there.
    fn goes_on(mut connection: &UnixStream) -> bool {
        let mut back = [0; 5];
        connection.write_all(b"ping\n").is_ok()
            && connection.read_exact(&mut back).is_ok()
            && &back == b"ping\n"
    }

    fn has_ended(mut connection: &UnixStream) -> bool {
        matches!(connection.read(&mut [0]), Ok(0))
    }

    #[test]
    fn a_session_ends_with_the_grant_that_has_opened_it_and_with_nothing_else() {
        // Called by a test.
        if let (Some(home), Ok(container)) = (env::var_os(HOME), env::var(CONTAINER)) {
            return pump(Path::new(&home), &container);
        }
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let store = App::new(&environment).store;
        store.prepare().unwrap();
        let keys = [1, 2, 3].map(|seed| KeyPair::generate(&[seed; 32], "x").unwrap().public());
        let [removed, kept, own] = &keys;
        let mut registry = Registry::default();
        let known = DevContainer::example("lace-x", "k");
        registry.devcontainers.insert("x".into(), known);
        let grants = [("removed", removed), ("kept", kept)];
        let grants = grants.map(|(name, public)| Grant::example(name, &public.render_bare()));
        registry.access = grants.to_vec();
        store.save(&registry).unwrap();
        let session = |(name, public): (&str, &PublicKey)| {
            let fingerprint = public.fingerprint();
            let script = format!(
                "echo 'Invalid user me' >&2
                echo 'Accepted publickey for me from UNKNOWN port 1 ssh2: ED25519 SHA256:forged' >&2
                echo 'Accepted publickey for me from UNKNOWN port 1 ssh2: ED25519 {fingerprint}' >&2
                echo SSH-2.0-x; exec cat"
            );
            start(home.path(), name, &script)
        };
        // By the mount as by the engine.
        let by_mount = if cfg!(target_os = "linux") {
            "mounted-removed"
        } else {
            "removed"
        };
        let mut pumps = [(by_mount, removed), ("kept", kept), ("own", own)].map(session);
        for (pump, connection) in &mut pumps {
            let mut greeting = [0; 10];
            connection.read_exact(&mut greeting).unwrap();
            assert_eq!(&greeting, b"SSH-2.0-x\n");
            // Once somebody is in, ssh's stderr is let go of.
            let mut said = String::new();
            let stderr = pump.stderr.as_mut().unwrap();
            stderr.read_to_string(&mut said).unwrap();
            assert!(goes_on(connection));
        }
        let [(_, of_removed), (_, of_kept), (_, of_own)] = &pumps;
        // What nobody can read ends nothing.
        let file = store.root().join("registry.json");
        let copy = store.root().join("registry.copy.json");
        fs::write(&file, "nonsense").unwrap();
        fs::write(&copy, "nonsense").unwrap();
        thread::sleep(LOOK + LOOK / 2);
        assert!(goes_on(of_removed) && goes_on(of_kept) && goes_on(of_own));
        registry.access.remove(0);
        store.save(&registry).unwrap();
        assert!(has_ended(of_removed));
        thread::sleep(LOOK);
        assert!(goes_on(of_kept) && goes_on(of_own));
        // Nor is it known any more when the dev container is not.
        registry.devcontainers.clear();
        store.save(&registry).unwrap();
        assert!(has_ended(of_kept));
        assert!(goes_on(of_own));
        for (mut pump, connection) in pumps {
            drop(connection);
            assert_eq!(pump.wait().unwrap().code(), Some(0));
            let mut said = String::new();
            let mut stdout = pump.stdout.take().unwrap();
            stdout.read_to_string(&mut said).unwrap();
            let told = "lace-ssh: sshd of lace-x says: Invalid user me\n";
            assert_eq!(said.matches(told).count(), 1, "{said}");
            assert!(!said.contains("Accepted"), "{said}");
        }
    }

    /// What sshd got along there may be old by the time that somebody is let in.
    #[test]
    fn who_is_let_in_by_what_does_not_hold_any_more_is_out_again() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        app.store.prepare().unwrap();
        let mut registry = Registry::default();
        let trust = app.store.trust("x");
        registry
            .devcontainers
            .insert("x".into(), DevContainer::example("lace-x", "k"));
        app.store.save(&registry).unwrap();
        fs::create_dir_all(&trust).unwrap();
        for name in [trust::AUTHORIZED_KEYS, trust::REVOKED_KEYS, trust::HOST_KEY] {
            fs::write(trust.join(name), "ssh-ed25519 A\n").unwrap();
        }
        let script = "while read -r line; do [ \"$line\" != main ] || break; done; echo SSH-2.0-x; read -r line
            echo 'Accepted publickey for me ssh2: ED25519 SHA256:a' >&2; sleep 0.2; exec cat";
        for (changed, goes) in [
            (None, true),
            (Some(trust::AUTHORIZED_KEYS), false),
            (Some(trust::REVOKED_KEYS), false),
            (Some(trust::USER_CA), false),
        ] {
            let (mut pump, mut connection) = start(home.path(), "adopted-x", script);
            connection.read_exact(&mut [0; 10]).unwrap();
            if let Some(name) = changed {
                fs::write(trust.join(name), "ssh-ed25519 B\n").unwrap();
            }
            connection.write_all(b"go\n").unwrap();
            match goes {
                true => assert!(goes_on(&connection)),
                false => assert!(has_ended(&connection), "{changed:?}"),
            }
            drop(connection);
            assert_eq!(pump.wait().unwrap().code(), Some(0));
            fs::remove_dir_all(home.path().join("adopted-x")).unwrap();
            for name in [trust::AUTHORIZED_KEYS, trust::REVOKED_KEYS] {
                fs::write(trust.join(name), "ssh-ed25519 A\n").unwrap();
            }
        }
    }

    #[test]
    fn a_pump_ends_when_nobody_is_left_though_what_it_carries_goes_on() {
        let home = tempfile::tempdir().unwrap();
        let script = "echo SSH-2.0-x; exec sleep 20 2>/dev/null";
        for container in [
            "c",
            #[cfg(target_os = "linux")]
            "mounted-c",
        ] {
            let (mut pump, mut connection) = start(home.path(), container, script);
            connection.read_exact(&mut [0; 10]).unwrap();
            let start = Instant::now();
            drop(connection);
            assert_eq!(pump.wait().unwrap().code(), Some(0));
            assert!(start.elapsed() < PATIENCE);
        }
    }

    #[test]
    fn what_keeps_a_connection_from_being_made_comes_in_the_place_of_a_greeting() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        app.store.prepare().unwrap();
        let mut registry = Registry::default();
        for (id, user) in [("nobody", None), ("bare", Some("me"))] {
            let mut known = DevContainer::example(&format!("lace-{id}"), "k");
            known.user = user.map(str::to_owned);
            registry.devcontainers.insert(id.into(), known);
        }
        app.store.save(&registry).unwrap();
        let script = "echo 'there is no sshd' >&2; sleep 0.2; echo 'not a greeting'";
        for (container, expected) in [
            ("c", "there is no sshd; not a greeting"),
            ("adopted-gone", "it is not known any more"),
            ("adopted-nobody", "its user is not known"),
            ("adopted-bare", "authorized_keys is missing"),
            ("mounted-no", "nobody in the container waits at its mount"),
        ] {
            let (mut pump, mut connection) = start(home.path(), container, script);
            let mut said = String::new();
            connection.read_to_string(&mut said).unwrap();
            assert!(said.contains(expected), "{container}: {said}");
            assert!(
                said.ends_with('\n') && said.lines().count() == 1,
                "{said:?}"
            );
            drop(connection);
            assert_eq!(pump.wait().unwrap().code(), Some(0));
        }
    }
}
