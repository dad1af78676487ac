//! One dev container, and what is found out about it: each thing once, when the first check asks for it.
//!
//! Nothing is changed, but for what every `ssh` does that runs: it learns a user, and gets itself a certificate.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Error, Result};

use super::inside::{self, Inside};
use super::link::Remedy;
use crate::advice::{LINK_BY_LINK, failure, shell};
use crate::app::{App, now};
use crate::ca;
use crate::client::openssh;
use crate::devcontainer::options;
use crate::engine::{Container, Engine, Found};
use crate::ring::agent;
use crate::ring::identity::is_encrypted;
use crate::route::engines::{Engines, Place, Trouble};
use crate::route::{command, proof, refusal, user, way};
use crate::settings::Settings;
use crate::store::registry::{Custody, DevContainer, Key, Registry};

/// The dev container that is looked at.
pub struct Patient<'a> {
    /// The store and the surroundings.
    pub app: &'a App<'a>,
    /// What the user says; the defaults, where that is at fault.
    pub settings: &'a Settings,
    /// What is known.
    pub registry: &'a Registry,
    /// Its ID.
    pub id: &'a str,
    /// Seconds since the epoch.
    pub now: i64,
    engines: OnceCell<Asked>,
    inside: OnceCell<std::result::Result<(Inside, i64), String>>,
    login: OnceCell<Login>,
    saved: OnceCell<Registry>,
}

/// What the engines have told.
pub struct Asked {
    /// Where its container is.
    pub place: std::result::Result<Place, Trouble>,
    /// Where engines have answered.
    pub answered: Vec<String>,
}

/// What came of a real login.
pub enum Login {
    /// Nobody tried: why.
    NotTried(String),
    /// It succeeded.
    In(Times),
    /// It failed: why, with the way out where that is known.
    Refused(Error, Times),
}

/// How long it took, and what was found out meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// The login.
    pub took: Duration,
    /// What listens at the published port has proven the pinned host key; none, where no port is published.
    pub is_listener_ours: Option<bool>,
    /// What a command prints came back, and nothing else.
    pub is_clean: bool,
}

impl<'a> Patient<'a> {
    /// The dev container `id`, which the registry has; nothing is asked yet.
    pub fn of(
        app: &'a App<'a>,
        settings: &'a Settings,
        registry: &'a Registry,
        id: &'a str,
        now: i64,
    ) -> Self {
        Self {
            app,
            settings,
            registry,
            id,
            now,
            engines: OnceCell::new(),
            inside: OnceCell::new(),
            login: OnceCell::new(),
            saved: OnceCell::new(),
        }
    }

    /// What is known of it.
    pub fn known(&self) -> &'a DevContainer {
        &self.registry.devcontainers[self.id]
    }

    /// What the last command that changed anything has left, without what was learnt, or has run out, since: what is written
    /// follows from that.
    pub fn saved(&self) -> (&Registry, &DevContainer) {
        let saved = self.saved.get_or_init(|| {
            let saved = self.app.store.registry();
            saved.unwrap_or_else(|_| self.registry.clone())
        });
        let known = saved.devcontainers.get(self.id);
        (saved, known.unwrap_or_else(|| self.known()))
    }

    /// Its key, if that is known.
    pub fn key(&self) -> Option<&'a Key> {
        self.registry.keys.get(&self.known().key)
    }

    /// What the engines tell.
    pub fn engines(&self) -> &Asked {
        self.engines.get_or_init(|| {
            let mut engines = Engines::of(self.app);
            let place = engines.place(self.id, self.known());
            Asked {
                place,
                answered: engines.answered(),
            }
        })
    }

    /// The container, and its engine, where it runs and is certainly its own: nothing is asked of another one.
    pub fn running(&self) -> Option<(&Engine, &Container)> {
        let place = self.engines().place.as_ref().ok()?;
        match &place.found {
            Found::One(container) if container.runs() => Some((&place.engine, container)),
            _ => None,
        }
    }

    /// Why nobody looks into its container.
    pub fn not_looked_into(&self) -> &'static str {
        match &self.engines().place {
            Err(_) => "no engine tells where it is",
            Ok(place) => match place.found {
                Found::None => "it has no container",
                Found::Several(_) => "several containers of it run",
                Found::Unproven(_) => "no container is certainly its own",
                Found::One(_) => "its container does not run",
            },
        }
    }

    /// The account that may log in, as far as it is known here; what a container says counts if it can be the name of one.
    pub fn user(&self) -> Option<String> {
        let known = user::known(self.app, self.known());
        let user = known.or_else(|| {
            let (engine, container) = self.running()?;
            engine.remote_user(container).ok()
        });
        user.filter(|user| options::is_user(user))
    }

    /// What root sees in the container, and by how many seconds its clock is ahead of this one; or why nobody looked.
    pub fn inside(&self) -> std::result::Result<&(Inside, i64), &str> {
        let seen = self.inside.get_or_init(|| {
            let (engine, container) = self.running().ok_or_else(|| self.not_looked_into())?;
            let user = self.user().unwrap_or_default();
            let before = now();
            let seen = inside::look(engine, container, &user, self.known().port);
            let seen = seen.map_err(|error| format!("{error:#}"))?;
            let ahead = seen.clock.map_or(0, |clock| ahead(clock, before, now()));
            Ok((seen, ahead))
        });
        seen.as_ref().map_err(String::as_str)
    }

    /// What comes of a login, by way of ssh and our configuration alone.
    pub fn login(&self) -> &Login {
        self.login.get_or_init(|| {
            // What is looked at by root must be seen before a login mends it.
            let _ = self.inside();
            match self.not_tried() {
                Some(why) => Login::NotTried(why),
                None => self
                    .log_in()
                    .unwrap_or_else(|error| Login::NotTried(format!("{error:#}"))),
            }
        })
    }

    /// Why nobody can try to log in without somebody else having to do something for it.
    fn not_tried(&self) -> Option<String> {
        let runs = self
            .engines()
            .place
            .as_ref()
            .is_ok_and(|place| match &place.found {
                Found::One(container) => container.runs(),
                Found::Unproven(all) => all.iter().any(Container::runs),
                Found::None | Found::Several(_) => false,
            });
        if !runs {
            return Some(self.not_looked_into().to_owned());
        }
        let known = self.known();
        let is_good = || ca::good(self.app, self.registry, self.id, self.now);
        if known.signer.is_some()
            && !known.auth.takes_keys()
            && is_good().is_ok_and(|it| it.is_none())
        {
            return Some("a signer would be asked for a certificate".to_owned());
        }
        let key = self.key()?;
        let is_held = || agent::holds(self.app, key);
        let is_encrypted = || is_encrypted(&self.app.store.identity(&known.key)).unwrap_or(false);
        match key.custody {
            // ssh would make another one.
            Custody::Agent if !is_held() => Some("its key is not in the agent".into()),
            Custody::SecurityKey => {
                Some("its key is in a security key, which would have to be touched".into())
            }
            Custody::File | Custody::EncryptedFile if is_encrypted() && !is_held() => {
                Some("its key has a passphrase, and the agent does not hold it".into())
            }
            _ => None,
        }
    }

    fn log_in(&self) -> Result<Login> {
        let known = self.known();
        let published = self.running().filter(|(_, container)| {
            !container.is_adopted && container.published(known.port).is_some()
        });
        // Of what two could not agree upon, ssh tells no less.
        let options = ["-o", "LogLevel=INFO", "-o", "ControlPath=none"];
        let mut arguments: Vec<OsString> = options.map(OsString::from).into();
        arguments.extend(openssh::arguments(&self.app.store.config(), &known.alias));
        let (app, start) = (self.app, Instant::now());
        let (said, took, is_ours) = thread::scope(|scope| {
            let ours = published.map(|(_, container)| {
                scope.spawn(move || proof::is_ours(app, known, container).unwrap_or(false))
            });
            let mut ssh = proof::batch(&arguments, &format!("echo {WORD}"));
            if let Some(agent) = &app.environment.agent {
                ssh.env("SSH_AUTH_SOCK", agent);
            }
            let said = command::ask(&mut ssh, PATIENCE);
            (
                said,
                start.elapsed(),
                ours.map(|it| it.join().unwrap_or(false)),
            )
        });
        let times = Times {
            took,
            is_listener_ours: is_ours,
            is_clean: true,
        };
        let Some(answer) = said? else {
            let seconds = PATIENCE.as_secs();
            let late = format!("no login within {seconds} s");
            let why = match is_let_in(&arguments) {
                false => Error::msg(late),
                true => failure(
                    format!("sshd lets ssh in, and no command comes to its end within {seconds} s"),
                    format!(
                        "let nothing wait before a command runs, in {}",
                        self.start_files()
                    ),
                ),
            };
            return Ok(Login::Refused(why, times));
        };
        Ok(match answer.code {
            Some(0) => Login::In(Times {
                is_clean: answer.out.trim_end() == WORD,
                ..times
            }),
            Some(NOT_IN) | None
                if refusal::is_one(&answer.said)
                    // It was `proxy`, which waits long.
                    || answer.said.contains(LINK_BY_LINK)
                    || !is_let_in(&arguments) =>
            {
                let why = self.why(&answer.said, || proof::run(&arguments))?;
                Login::Refused(why, times)
            }
            code => {
                let said = match &*spoken(&answer.said) {
                    "" => String::new(),
                    said => format!(": {said}"),
                };
                // A shell that a signal ends is that, too.
                let code = code.unwrap_or(NOT_IN);
                Login::Refused(
                    failure(
                        format!(
                            "sshd lets ssh in, and the session ends with {code} before it begins{said}"
                        ),
                        // Of what the Feature has put there, or of the account's own.
                        match said.contains(SHARE) {
                            true => self.rebuilt(),
                            false => format!(
                                "see that the account's shell may be run by it, and {}",
                                self.start_files()
                            ),
                        },
                    ),
                    times,
                )
            }
        })
    }

    /// Why ssh was not let in: as sshd has it in its log, where it refuses, else as ssh says.
    fn why(
        &self,
        said: &str,
        knock: impl FnOnce() -> Result<std::result::Result<(), String>>,
    ) -> Result<Error> {
        if let Some(why) = proof::not_let_in(self.app, self.registry, self.id)? {
            return Ok(why);
        }
        if refusal::is_one(said)
            && let Some((engine, container)) = self.running()
        {
            // One for one connection has told it, and writes no log.
            let told = refusal::in_what_it_says(said);
            let why = match told {
                Some(why) => Some(why),
                None => refusal::in_words(engine, container, knock)?,
            };
            if let Some(why) = why {
                return Ok(match why.is_built_in {
                    true => failure(why.says, self.rebuilt()),
                    false => Error::msg(why.says),
                });
            }
        }
        Ok(Error::msg(match &*spoken(said) {
            "" => "sshd hangs up without a word".to_owned(),
            said => said.to_owned(),
        }))
    }

    /// What makes anew whatever follows from the registry, and what is missing of keys.
    pub fn made_anew(&self) -> Remedy {
        match &self.known().workspace {
            Some(workspace) => Remedy::silent(&["initialize", "--id", self.id])
                .with("--workspace-folder", &workspace.folder)
                .with("--config", &workspace.config_file),
            None => Remedy::Mend(Some(self.known().alias.clone())),
        }
    }

    /// How a person gets a shell of root's in its container, to say what to run there.
    pub fn exec(&self) -> String {
        let named = self.running().map(|(engine, container)| {
            let name = shell(Path::new(&container.name));
            format!("{} exec -u root {name}", engine.command())
        });
        named.unwrap_or_default()
    }

    /// How its container is started anew.
    pub fn restarted(&self) -> String {
        let restart = self.running().map(|(engine, container)| {
            let name = shell(Path::new(&container.name));
            format!("{} restart {name}", engine.command())
        });
        restart.unwrap_or_default()
    }

    /// How a person sees what a shell of the account runs first.
    pub fn start_files(&self) -> String {
        format!(
            "its start files in the container: {} sh -c 'tail -n +1 ~{user}/.bashrc ~{user}/.ssh/rc /etc/ssh/sshrc 2>/dev/null || :'",
            self.exec(),
            user = self.user().unwrap_or_default()
        )
    }

    /// How its container is made anew, for what only that can mend.
    pub fn rebuilt(&self) -> String {
        let place = self.engines().place.as_ref();
        let up = place.map(|place| {
            let container = match &place.found {
                Found::One(container) => Some(container),
                _ => None,
            };
            way::up(&place.engine, self.known(), container)
        });
        match (&self.known().workspace, up) {
            (Some(_), Ok(up)) => format!("{up} --remove-existing-container"),
            _ => "make its container anew".to_owned(),
        }
    }
}

/// What was said, as a part of a sentence, without what leads here, and what follows from it.
fn spoken(said: &str) -> String {
    let is_news = |line: &&str| {
        let line = line.trim_start_matches("lace-ssh: ");
        !["hint: ", LINK_BY_LINK, "mm_receive_fd: "]
            .iter()
            .any(|it| line.starts_with(it))
    };
    let lines = said.lines().filter(is_news);
    let cut = lines.map(|line| line.split(&format!("; {LINK_BY_LINK}")).next());
    let lines: Vec<_> = cut.flatten().collect();
    command::in_one_line(&lines.join("\n"))
}

/// Whether sshd lets this ssh in: then it tells that nobody listens at a port that nobody has. No shell of the account's
/// has a part in that.
fn is_let_in(arguments: &[OsString]) -> bool {
    let mut ssh = proof::asking_nobody();
    ssh.args(["-W", "127.0.0.1:1"]).args(arguments);
    let answer = command::ask(&mut ssh, AGAIN).ok().flatten();
    answer.is_some_and(|answer| answer.said.contains("forwarding failed"))
}

/// Where the Feature has put what is its own.
const SHARE: &str = "/usr/local/share/lace-ssh/";

/// What the command of a login prints.
pub(super) const WORD: &str = "lace-ssh";

/// How ssh ends where it was not let in.
const NOT_IN: i32 = 255;

/// How long a login may take: longer than `proxy` waits for sshd, and then tells why.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// How long one may take that is tried once more, to see what of it holds.
const AGAIN: Duration = Duration::from_secs(8);

/// By how much a clock is ahead that was looked at between these two moments.
fn ahead(clock: i64, before: i64, after: i64) -> i64 {
    match () {
        () if clock < before => clock.saturating_sub(before),
        () if clock > after => clock.saturating_sub(after),
        () => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_says_is_told_without_what_leads_here() {
        for (said, told) in [
            ("Unable to negotiate\r\n", "Unable to negotiate"),
            (
                "lace-ssh: sshd of lace-x does not let me in: it is locked; link by link: lace-ssh doctor lace-x\r\nme@lace-x: Permission denied (publickey).\r\n",
                "sshd of lace-x does not let me in: it is locked; me@lace-x: Permission denied (publickey).",
            ),
            (
                "lace-ssh: error: no way\nlace-ssh: hint: go\nlace-ssh: link by link: lace-ssh doctor lace-x\nmm_receive_fd: recvmsg\n",
                "error: no way",
            ),
        ] {
            assert_eq!(spoken(said), told);
        }
    }

    #[test]
    fn a_clock_that_was_right_at_some_moment_meanwhile_is_right() {
        assert_eq!(
            [9, 10, 11, 12, 13].map(|clock| ahead(clock, 10, 12)),
            [-1, 0, 0, 0, 1]
        );
    }
}
