//! A new host key for a dev container: nobody who connects ever sees one that is not pinned.
//!
//! Both are pinned first, then the new one is put where sshd reads it, and only when sshd has proven it, the
//! one before is pinned no more. A dev container that does not run, or an sshd that reads its host key only
//! when it starts, may prove it later: until then both stay pinned, and every `initialize` looks again.
//!
//! What is wanted is told by the private half: as long as the store has that of the next host key, that one
//! is, else the current one. So each step is whole by itself, and one that was cut off is found again.

use anyhow::{Context, Result};

use super::masters::End;
use super::{Ring, host_key, identity, rotation};
use crate::advice::{failure, shell};
use crate::durable::{self, PRIVATE};
use crate::engine::Container;
use crate::keys::PublicKey;
use crate::route::host_proof::{self, Patience, Shown};
use crate::store::audit::Kind;
use crate::store::registry::{DevContainer, HostKey, Key};
use crate::talk::{say, warn};

/// Puts a new host key in the place of the one of the dev container `id`, or goes on with one that is under
/// way; the result says what came of it.
///
/// # Errors
/// sshd does not take the new one: the one before is back.
pub fn rotate(ring: &mut Ring<'_>, id: &str) -> Result<Vec<String>> {
    let known = entry(ring, id)?.clone();
    let alias = &known.alias;
    if known.host_key.next.is_some() && !host_key::has_next(&ring.app.store, id, &known)? {
        // What one that was given up has left pinned goes before another one comes.
        if let Left::Pinned(why) | Left::Refused(why) = settle(ring, id, Patience::Waits)? {
            return Err(failure(
                format!(
                    "the host key of {alias} was not rotated: the last time has not ended: {why}"
                ),
                format!("ssh {alias}"),
            ));
        }
    }
    let mut lines = Vec::new();
    if entry(ring, id)?.host_key.next.is_none() {
        lines.extend(prepare(ring, id)?);
    }
    match settle(ring, id, Patience::Waits)? {
        Left::Nothing(line) | Left::Pinned(line) => lines.insert(0, line),
        Left::Refused(why) => return Err(give_up(ring, id, &why)?),
    }
    Ok(lines)
}

/// A new host key for one that has leaked: that one is pinned no more, whatever comes of it.
///
/// # Errors
/// sshd there does not prove the new one yet.
pub fn replace(ring: &mut Ring<'_>, id: &str) -> Result<Vec<String>> {
    let before = entry(ring, id)?.clone();
    let alias = &before.alias;
    let public = make(ring, id)?;
    entry(ring, id)?.host_key = HostKey::of(public.clone());
    ring.end_shared_of(alias, End::Exit);
    let gone: Vec<_> = before.host_key.all().map(fingerprint).collect();
    let gone = gone.join(" and ");
    note(
        ring,
        Kind::HostKeyRotated,
        id,
        &public,
        &format!("replaced {gone} at once"),
    )?;
    ring.commit()?;
    let known = entry(ring, id)?.clone();
    host_key::ensure(ring, id, Some(&known))?;
    let told = format!("rotated the host key of {alias}: {}", fingerprint(&public));
    let others: Vec<_> = before.host_key.all().collect();
    let shown = show(ring, id, &public, &others, Patience::Waits)?;
    let tied = tie_key(ring, id).unwrap_or_else(|error| {
        warn(&error);
        Vec::new()
    });
    let mut lines = vec![format!("{told}; {gone} is pinned no longer")];
    lines.extend(replaced(shown, alias, &told)?);
    lines.extend(tied);
    Ok(lines)
}

/// What is left to tell where one that has leaked was replaced.
///
/// # Errors
/// sshd does not prove the new one.
fn replaced(shown: Shown, alias: &str, told: &str) -> Result<Option<String>> {
    let (why, hint) = match shown {
        Shown::Wanted => return Ok(None),
        Shown::NotRunning(why) => {
            return Ok(Some(format!(
                "{alias}: {why}; it has the new one once it runs"
            )));
        }
        Shown::Other(container) => {
            let why = "sshd there still has the one before".to_owned();
            (why, restart(&container))
        }
        Shown::Neither(container, why) => {
            let why = format!("sshd there has not proven it: {why}");
            (why, restart(&container))
        }
        Shown::Unknown(why) => (format!("it is not proven: {why}"), format!("ssh {alias}")),
    };
    Err(failure(format!("{told}; {why}"), hint))
}

/// Looks whether a rotation that is under way can end, for a command that is there for something else: it is
/// stopped by nothing.
pub fn look_again(ring: &mut Ring<'_>, id: &str) {
    match settle(ring, id, Patience::Looks) {
        Ok(Left::Nothing(line)) if !line.is_empty() => say(line),
        Ok(_) => {}
        Err(error) => warn(&error),
    }
}

/// What is left of a rotation.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    /// It has ended; what is to be told, if anything.
    Nothing(String),
    /// Both host keys stay pinned: why.
    Pinned(String),
    /// So they do, and the wanted one is not taken: why.
    Refused(String),
}

/// Puts the wanted host key where sshd reads it; where sshd proves it, the other one is pinned no more.
fn settle(ring: &mut Ring<'_>, id: &str, patience: Patience) -> Result<Left> {
    let known = entry(ring, id)?.clone();
    let HostKey { current, next } = &known.host_key;
    let Some(next) = next else {
        return Ok(Left::Nothing(String::new()));
    };
    host_key::ensure(ring, id, Some(&known))?;
    let is_next = host_key::has_next(&ring.app.store, id, &known)?;
    let (wanted, other) = match is_next {
        true => (next, current),
        false => (current, next),
    };
    let shown = show(ring, id, wanted, &[other], patience)?;
    if shown == Shown::Wanted {
        return Ok(Left::Nothing(conclude(ring, id, wanted, other, is_next)?));
    }
    Ok(left(shown, &known.alias, is_next))
}

/// What is left where sshd has not proven the wanted host key, which is the next one, or the one before.
fn left(shown: Shown, alias: &str, is_next: bool) -> Left {
    let (wanted, other) = match is_next {
        true => ("the new one", "the one before"),
        false => ("the one before", "the new one"),
    };
    match shown {
        Shown::Wanted => Left::Nothing(String::new()),
        Shown::NotRunning(why) | Shown::Unknown(why) => Left::Pinned(format!(
            "{alias}: {why}; both host keys are pinned until it has proven {wanted}"
        )),
        Shown::Other(container) if container.contract.is_none() => Left::Pinned(format!(
            "{alias}: its Feature is from before host keys could be exchanged, so sshd there has {wanted} from the next start of the container on; both are pinned until then"
        )),
        Shown::Other(_) => Left::Refused(format!("sshd of {alias} goes on with {other}")),
        Shown::Neither(_, why) => Left::Refused(format!("{alias} has not proven it: {why}")),
    }
}

/// sshd has proven this one; the other one is pinned no more, and the private half of none but this is kept.
fn conclude(
    ring: &mut Ring<'_>,
    id: &str,
    wanted: &str,
    other: &str,
    is_next: bool,
) -> Result<String> {
    entry(ring, id)?.host_key = HostKey::of(wanted.to_owned());
    if is_next {
        let detail = format!("replaced {}", fingerprint(other));
        note(ring, Kind::HostKeyRotated, id, wanted, &detail)?;
    }
    ring.commit()?;
    let known = entry(ring, id)?.clone();
    host_key::ensure(ring, id, Some(&known))?;
    let (alias, wanted, other) = (known.alias, fingerprint(wanted), fingerprint(other));
    Ok(match is_next {
        true => format!("rotated the host key of {alias}: {wanted}; {other} is pinned no longer"),
        false => format!("the host key of {alias} is {wanted} again; {other} is pinned no longer"),
    })
}

/// Both are pinned, before sshd sees the new one.
fn prepare(ring: &mut Ring<'_>, id: &str) -> Result<Vec<String>> {
    let public = make(ring, id)?;
    entry(ring, id)?.host_key.next = Some(public.clone());
    note(
        ring,
        Kind::HostKeyMade,
        id,
        &public,
        "pinned beside the one before",
    )?;
    ring.commit()?;
    tie_key(ring, id).inspect_err(|error| {
        // sshd has not seen it. If that fails, too, the next command goes on.
        let _ = withdraw(ring, id, &format!("{error:#}"));
    })
}

/// The private half of a new host key, in the store alone; the public one.
fn make(ring: &Ring<'_>, id: &str) -> Result<String> {
    let store = &ring.app.store;
    let pair = identity::generate("lace-ssh host key")?;
    store.folder(&store.host_keys())?;
    durable::write(
        &store.next_host_key(id),
        pair.private_openssh().as_bytes(),
        PRIVATE,
    )?;
    Ok(pair.public().render_bare())
}

/// A key in the agent is tied to the host keys of the one dev container that it opens. Nobody can read it
/// there to tie it anew, so another one takes its place.
fn tie_key(ring: &mut Ring<'_>, id: &str) -> Result<Vec<String>> {
    let name = entry(ring, id)?.key.clone();
    let is_tied = ring.registry.keys.get(&name).is_some_and(Key::is_in_agent)
        && ring.registry.opened_by(&name).len() == 1;
    match is_tied {
        true => rotation::one(ring, &name, None, None),
        false => Ok(Vec::new()),
    }
}

/// Takes a new host key back that was never put where sshd reads it.
fn withdraw(ring: &mut Ring<'_>, id: &str, why: &str) -> Result<()> {
    let current = entry(ring, id)?.host_key.current.clone();
    entry(ring, id)?.host_key = HostKey::of(current.clone());
    note(ring, Kind::HostKeyRolledBack, id, &current, why)?;
    ring.commit()?;
    durable::remove(&ring.app.store.next_host_key(id))
}

/// Puts the one before back; the error that tells of it. sshd may have taken the new one up by now: that one
/// stays pinned until it has proven the other.
fn give_up(ring: &mut Ring<'_>, id: &str, why: &str) -> Result<anyhow::Error> {
    let known = entry(ring, id)?.clone();
    let alias = &known.alias;
    let told = format!("the host key of {alias} was not rotated: {why}");
    let hint = format!("ssh {alias}");
    if !host_key::put_back(&ring.app.store, id, &known)? {
        return Ok(failure(
            format!("{told}; the one before is lost, so both stay pinned"),
            hint,
        ));
    }
    note(
        ring,
        Kind::HostKeyRolledBack,
        id,
        &known.host_key.current,
        why,
    )?;
    ring.commit()?;
    let fate = match settle(ring, id, Patience::Waits)? {
        Left::Nothing(_) => "the one before is back",
        Left::Pinned(_) | Left::Refused(_) => {
            "the one before is back, and both stay pinned until sshd has proven it"
        }
    };
    Ok(failure(format!("{told}; {fate}"), hint))
}

fn show(
    ring: &Ring<'_>,
    id: &str,
    wanted: &str,
    others: &[&str],
    patience: Patience,
) -> Result<Shown> {
    host_proof::show(ring.app, &ring.registry, id, wanted, others, patience)
}

fn restart(container: &Container) -> String {
    format!("docker restart {}", shell(container.name.as_ref()))
}

fn entry<'r>(ring: &'r mut Ring<'_>, id: &str) -> Result<&'r mut DevContainer> {
    let known = ring.registry.devcontainers.get_mut(id);
    known.context("the dev container is gone")
}

fn fingerprint(public: &str) -> String {
    PublicKey::parse(public).map_or_else(|_| public.to_owned(), |public| public.fingerprint())
}

fn note(ring: &mut Ring<'_>, kind: Kind, id: &str, public: &str, detail: &str) -> Result<()> {
    let known = entry(ring, id)?.clone();
    ring.note(kind, &known.key, |event| {
        event.fingerprint = Some(fingerprint(public));
        event.dev_container = Some(known.alias);
        event.dev_container_id = Some(id.to_owned());
        event.detail = Some(detail.to_owned());
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::{Path, PathBuf};

    use serde_json::{Value, json};

    use super::*;
    use crate::advice::hint_of;
    use crate::app::App;
    use crate::engine::example;
    use crate::environment::Environment;
    use crate::keys::KeyPair;
    use crate::route::example::Sshd;
    use crate::route::own_agent::OwnAgent;
    use crate::route::proof::Credential;
    use crate::talk::said;

    /// A real sshd, and a home folder.
    struct Machine {
        home: tempfile::TempDir,
        sshd: Sshd,
        environment: Environment,
    }

    fn machine() -> Machine {
        let home = tempfile::tempdir().unwrap();
        let sshd = Sshd::start(home.path(), "");
        let environment = Environment {
            program: sshd.program(home.path()),
            ..Environment::example(home.path())
        };
        Machine {
            home,
            sshd,
            environment,
        }
    }

    impl Machine {
        /// A ring with the dev container `lace-x`, whose container is in this state, and of this contract.
        fn ring<'a>(&self, app: &'a App<'a>, state: &str, contract: Option<u32>) -> Ring<'a> {
            let mut ring = Ring::open(app, "test").unwrap();
            let entry = DevContainer {
                endpoint: self.engine(app, "first", state, contract),
                user: Some(self.sshd.user.clone()),
                user_chosen: true,
                ..DevContainer::example("lace-x", "lace-x")
            };
            ring.register("x", entry);
            ring
        }

        fn engine(&self, app: &App, name: &str, state: &str, contract: Option<u32>) -> String {
            let folder = self.home.path().join(name);
            fs::create_dir(&folder).unwrap();
            let mut told = example::container("x", state, &app.store.trust("x"), self.sshd.port);
            let feature = json!({ "entrypoint": crate::trust::ENTRYPOINT,
                "customizations": { "lace": { "ssh": { "contract": contract } } } });
            let label = json!([feature]).to_string();
            told["Labels"] = json!({ "devcontainer.metadata": label });
            example::engine(&folder, vec![told])
        }

        fn file(&self) -> PathBuf {
            self.home.path().join("sshd_host_key")
        }

        /// sshd reads what is mounted whenever somebody comes.
        fn reads_what_is_mounted(&self, app: &App) {
            fs::remove_file(self.file()).unwrap();
            symlink(app.store.mounted_host_key("x"), self.file()).unwrap();
        }

        /// sshd goes on with what is mounted now.
        fn keeps_what_is_mounted(&self, app: &App) {
            let _ = fs::remove_file(self.file());
            fs::copy(app.store.mounted_host_key("x"), self.file()).unwrap();
        }
    }

    fn held(path: &Path) -> Option<String> {
        let text = fs::read_to_string(path).ok()?;
        assert_eq!(
            fs::metadata(path).unwrap().permissions().mode() & 0o777,
            PRIVATE
        );
        Some(KeyPair::parse(&text, None).unwrap().public().render_bare())
    }

    /// What the store has: our copy, the next one, the mounted one.
    fn halves(app: &App) -> [Option<String>; 3] {
        let store = &app.store;
        [
            store.host_key("x"),
            store.next_host_key("x"),
            store.mounted_host_key("x"),
        ]
        .map(|it| held(&it))
    }

    fn pinned(app: &App) -> Vec<String> {
        let text = fs::read_to_string(app.store.known_hosts()).unwrap();
        text.lines()
            .map(|line| line.strip_prefix("lace-x ").unwrap().to_owned())
            .collect()
    }

    fn saved(app: &App) -> HostKey {
        app.store.registry().unwrap().devcontainers["x"]
            .host_key
            .clone()
    }

    /// One host key, and nothing of a rotation.
    fn is_settled(app: &App) -> String {
        let HostKey { current, next } = saved(app);
        assert_eq!(next, None);
        assert_eq!(pinned(app), [current.as_str()]);
        assert_eq!(
            halves(app),
            [Some(current.clone()), None, Some(current.clone())]
        );
        current
    }

    /// Two host keys, of which the next one is wanted.
    fn is_under_way(app: &App) -> (String, String) {
        let HostKey { current, next } = saved(app);
        let next = next.unwrap();
        assert_eq!(pinned(app), [current.as_str(), next.as_str()]);
        assert_eq!(
            halves(app),
            [
                Some(current.clone()),
                Some(next.clone()),
                Some(next.clone())
            ]
        );
        (current, next)
    }

    fn events(ring: &Ring<'_>) -> Vec<(Kind, String)> {
        let all = ring.logged("lace-x").into_iter();
        all.filter(|(kind, _)| kind.as_str().starts_with("host-key"))
            .collect()
    }

    #[test]
    fn a_new_host_key_is_the_only_one_once_sshd_has_proven_it() {
        let machine = machine();
        let app = App::new(&machine.environment);
        let mut ring = machine.ring(&app, "running", Some(1));
        machine.reads_what_is_mounted(&app);
        let old = is_settled(&app);
        let lines = rotate(&mut ring, "x").unwrap();
        let new = is_settled(&app);
        let (old, new) = (fingerprint(&old), fingerprint(&new));
        assert_ne!(old, new);
        assert_eq!(
            lines,
            [format!(
                "rotated the host key of lace-x: {new}; {old} is pinned no longer"
            )]
        );
        let expected = [
            (Kind::HostKeyMade, new.clone()),
            (Kind::HostKeyRotated, new),
        ];
        assert_eq!(events(&ring), expected);
        let event = ring.events("lace-x").pop().unwrap();
        assert_eq!(event.detail, Some(format!("replaced {old}")));
        assert_eq!(event.dev_container.as_deref(), Some("lace-x"));
        assert_eq!(event.dev_container_id.as_deref(), Some("x"));
        // There is nothing to look for any more.
        look_again(&mut ring, "x");
        assert_eq!(said(), "");
    }

    #[test]
    fn both_are_pinned_until_a_dev_container_that_did_not_run_has_proven_the_new_one() {
        let machine = machine();
        let app = App::new(&machine.environment);
        let mut ring = machine.ring(&app, "exited", Some(1));
        let old = is_settled(&app);
        let lines = rotate(&mut ring, "x").unwrap();
        let (current, next) = is_under_way(&app);
        assert_eq!(current, old);
        let told = "lace-x: its container is exited; both host keys are pinned until it has proven the new one";
        assert_eq!(lines, [told]);
        // Whoever looks again says nothing, and another rotation goes on with the same.
        look_again(&mut ring, "x");
        assert_eq!(said(), "");
        assert_eq!(rotate(&mut ring, "x").unwrap(), [told]);
        assert_eq!(is_under_way(&app), (current.clone(), next.clone()));
        assert_eq!(events(&ring).len(), 1);
        // What a container has put there meanwhile is nobody's.
        fs::write(app.store.mounted_host_key("x"), "no key").unwrap();
        look_again(&mut ring, "x");
        assert!(said().contains("the pinned one is back"));
        assert_eq!(is_under_way(&app), (current, next.clone()));
        let runs = machine.engine(&app, "second", "running", Some(1));
        entry(&mut ring, "x").unwrap().endpoint = runs;
        machine.reads_what_is_mounted(&app);
        look_again(&mut ring, "x");
        assert!(said().contains("rotated the host key of lace-x: SHA256:"));
        assert_eq!(is_settled(&app), next);
        // An engine that does not answer is no reason to give anything up.
        entry(&mut ring, "x").unwrap().endpoint = "unix:///nowhere/docker.sock".into();
        let lines = rotate(&mut ring, "x").unwrap();
        assert!(
            lines[0].starts_with("lace-x: no engine at unix:///nowhere"),
            "{lines:?}"
        );
        is_under_way(&app);
    }

    #[test]
    fn an_sshd_that_does_not_take_the_new_one_gets_the_one_before_back() {
        let machine = machine();
        let app = App::new(&machine.environment);
        let mut ring = machine.ring(&app, "running", Some(1));
        machine.keeps_what_is_mounted(&app);
        let old = is_settled(&app);
        let error = rotate(&mut ring, "x").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the host key of lace-x was not rotated: sshd of lace-x goes on with the one before; the one before is back"
        );
        assert_eq!(hint_of(&error), Some("ssh lace-x"));
        assert_eq!(is_settled(&app), old);
        let kinds: Vec<_> = events(&ring).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [Kind::HostKeyMade, Kind::HostKeyRolledBack]);
        // A Feature from before that may do so when its container starts again.
        entry(&mut ring, "x").unwrap().endpoint = machine.engine(&app, "second", "running", None);
        let lines = rotate(&mut ring, "x").unwrap();
        assert!(
            lines[0].contains("from the next start of the container on; both are pinned"),
            "{lines:?}"
        );
        let (_, next) = is_under_way(&app);
        machine.keeps_what_is_mounted(&app);
        rotate(&mut ring, "x").unwrap();
        assert_eq!(is_settled(&app), next);
    }

    #[test]
    fn what_was_given_up_stays_pinned_until_sshd_has_proven_the_one_before() {
        let machine = machine();
        let app = App::new(&machine.environment);
        let mut ring = machine.ring(&app, "running", Some(1));
        // Another one answers: nobody knows what sshd has.
        let old = is_settled(&app);
        let error = rotate(&mut ring, "x").unwrap_err().to_string();
        assert!(
            error.contains("lace-x has not proven it: lace-x answered with the host key"),
            "{error}"
        );
        assert!(
            error
                .ends_with("the one before is back, and both stay pinned until sshd has proven it"),
            "{error}"
        );
        let HostKey { current, next } = saved(&app);
        assert_eq!(current, old);
        assert_eq!(pinned(&app), [current, next.unwrap()]);
        let is_back = [Some(old.clone()), None, Some(old.clone())];
        assert_eq!(halves(&app), is_back);
        // Nothing new begins before that, and nothing is lost where somebody looks.
        look_again(&mut ring, "x");
        let error = rotate(&mut ring, "x").unwrap_err().to_string();
        assert!(error.contains("the last time has not ended: "), "{error}");
        assert_eq!(halves(&app), is_back);
        assert_eq!(pinned(&app).len(), 2);
        said();
        machine.keeps_what_is_mounted(&app);
        look_again(&mut ring, "x");
        assert!(said().contains("the host key of lace-x is SHA256:"));
        assert_eq!(is_settled(&app), old);
        // Where the one before is lost, there is no way back.
        fs::remove_file(app.store.host_key("x")).unwrap();
        fs::write(
            machine.file(),
            KeyPair::generate(&[3; 32], "x")
                .unwrap()
                .private_openssh()
                .as_bytes(),
        )
        .unwrap();
        let error = rotate(&mut ring, "x").unwrap_err().to_string();
        assert!(
            error.ends_with("the one before is lost, so both stay pinned"),
            "{error}"
        );
        let [copy, next, mounted] = halves(&app);
        assert!(copy.is_none() && next.is_some() && next == mounted);
        assert_eq!(pinned(&app).len(), 2);
    }

    #[test]
    fn one_that_has_leaked_is_pinned_no_more_whatever_sshd_does() {
        let machine = machine();
        let app = App::new(&machine.environment);
        let mut ring = machine.ring(&app, "exited", Some(1));
        let lines = |ring: &mut Ring<'_>| {
            replace(ring, "x").map_err(|error| {
                (
                    error.to_string(),
                    hint_of(&error).unwrap_or_default().to_owned(),
                )
            })
        };
        let old = is_settled(&app);
        let told = lines(&mut ring).unwrap();
        let new = is_settled(&app);
        let (gone, here) = (fingerprint(&old), fingerprint(&new));
        assert_eq!(
            told,
            [
                format!("rotated the host key of lace-x: {here}; {gone} is pinned no longer"),
                "lace-x: its container is exited; it has the new one once it runs".to_owned()
            ]
        );
        assert_eq!(events(&ring), [(Kind::HostKeyRotated, here)]);
        let detail = ring.events("lace-x").pop().unwrap().detail;
        assert_eq!(detail, Some(format!("replaced {gone} at once")));
        // So are both of a rotation that has not ended.
        rotate(&mut ring, "x").unwrap();
        let (current, next) = is_under_way(&app);
        let told = lines(&mut ring).unwrap();
        let both = format!(
            "{} and {} is pinned no longer",
            fingerprint(&current),
            fingerprint(&next)
        );
        assert!(told[0].ends_with(&both), "{told:?}");
        let latest = is_settled(&app);
        assert!(latest != current && latest != next);
        // Where it runs, sshd is made to take the new one up, or the user is told how.
        entry(&mut ring, "x").unwrap().endpoint =
            machine.engine(&app, "second", "running", Some(1));
        machine.keeps_what_is_mounted(&app);
        let (error, hint) = lines(&mut ring).unwrap_err();
        assert!(
            error.ends_with("; sshd there still has the one before"),
            "{error}"
        );
        assert_eq!(hint, "docker restart x-name");
        assert_ne!(is_settled(&app), latest);
        let (error, hint) = lines(&mut ring).unwrap_err();
        assert!(
            error.contains("; sshd there has not proven it: lace-x answered with"),
            "{error}"
        );
        assert_eq!(hint, "docker restart x-name");
        machine.reads_what_is_mounted(&app);
        assert_eq!(lines(&mut ring).unwrap().len(), 1);
        entry(&mut ring, "x").unwrap().endpoint = "unix:///nowhere/docker.sock".into();
        let (error, hint) = lines(&mut ring).unwrap_err();
        assert!(
            error.contains("; it is not proven: no engine at"),
            "{error}"
        );
        assert_eq!(hint, "ssh lace-x");
        is_settled(&app);
    }

    #[test]
    fn one_that_was_cut_off_anywhere_is_gone_on_with_or_as_if_it_had_never_begun() {
        // What is left of which step, and whether the new one is wanted then.
        type Cut = fn(&mut Ring<'_>, String);
        let made: Cut = |_, _| {};
        let written: Cut = |ring, new| {
            entry(ring, "x").unwrap().host_key.next = Some(new);
            ring.save().unwrap();
        };
        let pinned_both: Cut = |ring, new| {
            entry(ring, "x").unwrap().host_key.next = Some(new);
            ring.commit().unwrap();
        };
        let replaced: Cut = |ring, new| {
            entry(ring, "x").unwrap().host_key = HostKey::of(new);
            ring.save().unwrap();
        };
        let concluded: Cut = |ring, new| {
            entry(ring, "x").unwrap().host_key.next = Some(new.clone());
            ring.commit().unwrap();
            let known = entry(ring, "x").unwrap().clone();
            host_key::ensure(ring, "x", Some(&known)).unwrap();
            entry(ring, "x").unwrap().host_key = HostKey::of(new);
            ring.save().unwrap();
        };
        for (case, cut, expected) in [
            ("made", made, "old"),
            ("written", written, "both"),
            ("pinned", pinned_both, "both"),
            ("replaced", replaced, "new"),
            ("concluded", concluded, "new"),
        ] {
            let machine = machine();
            let app = App::new(&machine.environment);
            let mut ring = machine.ring(&app, "exited", Some(1));
            let old = is_settled(&app);
            let new = make(&ring, "x").unwrap();
            cut(&mut ring, new.clone());
            drop(ring);
            said();
            let half = app.store.host_keys().join(".lace-ssh-tmp-Ab12Cd");
            fs::write(&half, "half").unwrap();
            drop(Ring::open(&app, "test").unwrap());
            assert!(!half.exists());
            match expected {
                "both" => assert_eq!(is_under_way(&app), (old, new), "{case}"),
                "new" => assert_eq!(is_settled(&app), new, "{case}"),
                _ => assert_eq!(is_settled(&app), old, "{case}"),
            }
            // Nobody has exchanged anything behind our back.
            assert_eq!(said(), "", "{case}");
        }
    }

    #[test]
    fn a_new_one_is_not_put_where_sshd_reads_it_before_it_is_pinned() {
        let machine = machine();
        let app = App::new(&machine.environment);
        let mut ring = machine.ring(&app, "exited", Some(1));
        let old = is_settled(&app);
        fs::remove_file(app.store.known_hosts()).unwrap();
        fs::create_dir(app.store.known_hosts()).unwrap();
        assert!(rotate(&mut ring, "x").is_err());
        drop(ring);
        said();
        drop(Ring::open(&app, "test").unwrap());
        assert!(said().contains("known_hosts is a folder"));
        assert_eq!(halves(&app)[2].as_ref(), Some(&old));
        fs::remove_dir(app.store.known_hosts()).unwrap();
        drop(Ring::open(&app, "test").unwrap());
        is_under_way(&app);
        // One that cannot be read just now is not given up.
        let mut ring = Ring::open(&app, "test").unwrap();
        let next = app.store.next_host_key("x");
        fs::rename(&next, next.with_extension("away")).unwrap();
        fs::create_dir(&next).unwrap();
        assert!(rotate(&mut ring, "x").is_err());
        fs::remove_dir(&next).unwrap();
        fs::rename(next.with_extension("away"), &next).unwrap();
        is_under_way(&app);
    }

    #[test]
    fn a_key_in_the_agent_is_followed_by_one_that_is_tied_to_the_new_host_key() {
        let own = OwnAgent::with(&identity::generate("x").unwrap()).unwrap();
        let Credential::Agent { socket, .. } = own.credential() else {
            panic!("a file")
        };
        let mut machine = machine();
        machine.environment.agent = Some(socket);
        let app = App::new(&machine.environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        for id in ["x", "y"] {
            let entry = DevContainer {
                endpoint: machine.engine(&app, id, "exited", Some(1)),
                agent: true,
                ..DevContainer::example(&format!("lace-{id}"), "lace-x")
            };
            ring.register(id, entry);
        }
        let public = |ring: &Ring<'_>| ring.registry.keys["lace-x"].public.clone();
        let key = public(&ring);
        // What opens several is tied to none.
        assert_eq!(rotate(&mut ring, "x").unwrap().len(), 1);
        assert_eq!(public(&ring), key);
        ring.registry.devcontainers.remove("y");
        for rotate in [rotate, replace] {
            entry(&mut ring, "x").unwrap().host_key.next = None;
            let key = public(&ring);
            let lines = rotate(&mut ring, "x").unwrap();
            assert!(
                lines
                    .iter()
                    .any(|line| line.starts_with("rotated lace-x: ")),
                "{lines:?}"
            );
            assert_ne!(public(&ring), key);
        }
        let key = public(&ring);
        entry(&mut ring, "x").unwrap().endpoint = "unix:///nowhere/docker.sock".into();
        assert!(replace(&mut ring, "x").is_err());
        assert_ne!(public(&ring), key, "also where nobody knows what sshd has");
        // Where there is no other one, nothing changes; what has leaked goes all the same.
        let before = is_settled(&app);
        drop(ring);
        let environment = Environment {
            agent: None,
            ..machine.environment
        };
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        assert!(rotate(&mut ring, "x").is_err());
        assert_eq!(is_settled(&app), before);
        assert_eq!(events(&ring).pop().unwrap().0, Kind::HostKeyRolledBack);
        said();
        assert!(replace(&mut ring, "x").is_err());
        assert!(said().contains("no ssh-agent"));
        assert_ne!(is_settled(&app), before);
    }

    #[test]
    fn nobody_is_asked_of_a_dev_container_that_is_gone() {
        let machine = machine();
        let app = App::new(&machine.environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        assert_eq!(
            rotate(&mut ring, "x").unwrap_err().to_string(),
            "the dev container is gone"
        );
        look_again(&mut ring, "x");
        assert!(said().contains("gone"));
        let container = |contract| {
            let told: Value = example::container("x", "running", "/t".as_ref(), 1);
            let folder = machine.home.path().join("e");
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir(&folder).unwrap();
            let engine = crate::engine::Engine::at(&example::engine(&folder, vec![told])).unwrap();
            let mut container = engine.containers().unwrap().remove(0);
            container.contract = contract;
            container
        };
        let why = || "w".to_owned();
        for (shown, expected) in [
            (Shown::Wanted, "nothing"),
            (Shown::NotRunning(why()), "pinned"),
            (Shown::Unknown(why()), "pinned"),
            (Shown::Other(container(None)), "pinned"),
            (Shown::Other(container(Some(1))), "refused"),
            (Shown::Neither(container(None), why()), "refused"),
        ] {
            for (is_next, wanted, other) in [
                (true, "the new one", "the one before"),
                (false, "the one before", "the new one"),
            ] {
                let found = match left(shown.clone(), "lace-x", is_next) {
                    Left::Nothing(_) => "nothing",
                    Left::Pinned(line) if line.starts_with("lace-x: ") && line.contains(wanted) => {
                        "pinned"
                    }
                    Left::Refused(why) if why.ends_with(other) || why.ends_with("it: w") => {
                        "refused"
                    }
                    left => panic!("{left:?}"),
                };
                assert_eq!(found, expected, "{shown:?}");
            }
        }
    }
}
