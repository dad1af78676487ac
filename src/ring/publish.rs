//! The files that follow from the registry: the client configuration, the pinned host keys, and what
//! each dev container trusts.
//!
//! They are computed whole and compared with what is there; only what differs is written. So every
//! command that changes the registry ends here, and repeats what a killed one left undone.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use anyhow::Result;

use super::{access, authorized};
use crate::app::App;
use crate::bell;
use crate::ca::revoked::{self, Revocations};
use crate::durable;
use crate::inventory;
use crate::settings::Settings;
use crate::store::registry::{DevContainer, Registry};
use crate::store::{LARGEST_LIST, Store};
use crate::trust;

/// A file and what it must hold; `None`: it must not be there.
type Wanted = (PathBuf, Option<Vec<u8>>);

/// Writes what one dev container trusts; `before`: and the key and the certificates that it trusted as it was. The caller holds
/// the lock.
///
/// # Errors
/// Names the file that cannot be written; what was written before it is valid by itself.
pub fn write_trust(
    app: &App,
    registry: &Registry,
    revoked: &Revocations,
    id: &str,
    before: Option<&DevContainer>,
    now: i64,
) -> Result<()> {
    let Some(devcontainer) = registry.devcontainers.get(id) else {
        return Ok(());
    };
    app.store.folder(&app.store.trust(id))?;
    durable::sweep(&app.store.trust(id))?;
    // Where it cannot be, a stream of the engine takes its place.
    let _ = bell::hang(&app.store.trust(id));
    converge(&trust_files(
        &app.store,
        registry,
        revoked,
        id,
        devcontainer,
        before,
        now,
    )?)
}

/// Writes the ssh clients' files. The caller holds the lock.
///
/// # Errors
/// As [`write_trust`].
pub fn write_clients(app: &App, settings: &Settings, registry: &Registry) -> Result<()> {
    converge(&client_files(app, settings, registry)?)
}

/// Whether the trust folder of one dev container is as it must be.
///
/// # Errors
/// A file cannot be read.
pub fn is_current(
    store: &Store,
    registry: &Registry,
    id: &str,
    devcontainer: &DevContainer,
    now: i64,
) -> Result<bool> {
    Ok(differing(store, registry, id, devcontainer, now)?.is_empty())
}

/// The files in the trust folder of one dev container that are not as they must be.
///
/// # Errors
/// As [`is_current`].
fn differing(
    store: &Store,
    registry: &Registry,
    id: &str,
    devcontainer: &DevContainer,
    now: i64,
) -> Result<Vec<PathBuf>> {
    let revoked = revoked::read(store)?;
    let mut differing = Vec::new();
    for (path, wanted) in trust_files(store, registry, &revoked, id, devcontainer, None, now)? {
        let current = match wanted {
            Some(bytes) => durable::holds(&path, &bytes)?,
            None => path.symlink_metadata().is_err(),
        };
        if !current {
            differing.push(path);
        }
    }
    Ok(differing)
}

/// Whether the ssh clients' files know one dev container as they must.
///
/// # Errors
/// A file cannot be read.
pub fn clients_are_current(
    app: &App,
    settings: &Settings,
    registry: &Registry,
    devcontainer: &DevContainer,
) -> Result<bool> {
    Ok(differing_for_clients(app, settings, registry, devcontainer)?.is_empty())
}

/// The ssh clients' files that do not know one dev container as they must.
///
/// # Errors
/// A file cannot be read.
pub fn differing_for_clients(
    app: &App,
    settings: &Settings,
    registry: &Registry,
    devcontainer: &DevContainer,
) -> Result<Vec<PathBuf>> {
    let mut differing = Vec::new();
    for (path, part) in [
        (
            app.store.config(),
            inventory::host_block(app, settings, registry, devcontainer)?,
        ),
        (app.store.known_hosts(), inventory::pins(devcontainer)),
    ] {
        let bytes = durable::read(&path, LARGEST_LIST)?.unwrap_or_default();
        if !std::str::from_utf8(&bytes).is_ok_and(|text| has_lines(text, &part)) {
            differing.push(path);
        }
    }
    Ok(differing)
}

/// Whether these lines are there as they are, and not behind a `#`.
fn has_lines(text: &str, lines: &str) -> bool {
    text.starts_with(lines) || text.contains(&format!("\n{lines}"))
}

/// Of the files in the trust folder of one dev container, those that are neither as they must be nor as they had to be when
/// they were written: what has run out since stays in them until a command writes them, and whoever reads it knows the time.
/// `registry` is the one that was saved.
///
/// # Errors
/// A file cannot be read.
pub fn stale(
    store: &Store,
    registry: &Registry,
    id: &str,
    devcontainer: &DevContainer,
    now: i64,
) -> Result<Vec<PathBuf>> {
    let differing_at = |time| differing(store, registry, id, devcontainer, time);
    let mut stale = Vec::new();
    for path in differing_at(now)? {
        let is_stale = match path.symlink_metadata() {
            Ok(found) => differing_at(found.mtime())?.contains(&path),
            Err(_) => true,
        };
        if is_stale {
            stale.push(path);
        }
    }
    Ok(stale)
}

fn client_files(app: &App, settings: &Settings, registry: &Registry) -> Result<Vec<Wanted>> {
    Ok(vec![
        (
            app.store.known_hosts(),
            Some(inventory::known_hosts(registry).into_bytes()),
        ),
        (
            app.store.config(),
            Some(inventory::client_config(app, settings, registry)?.into_bytes()),
        ),
    ])
}

fn trust_files(
    store: &Store,
    registry: &Registry,
    revoked: &Revocations,
    id: &str,
    devcontainer: &DevContainer,
    before: Option<&DevContainer>,
    now: i64,
) -> Result<Vec<Wanted>> {
    let folder = store.trust(id);
    let user = devcontainer
        .user
        .as_ref()
        .filter(|_| devcontainer.user_chosen);
    let text = |text: Option<String>| text.map(String::into_bytes);
    let granted = access::granted(registry, id, now);
    let mut authorized = authorized::keys(registry, devcontainer, now)?;
    if let Some(before) = before.filter(|before| before.key != devcontainer.key) {
        authorized.push_str(&authorized::keys(registry, before, now)?);
    }
    authorized.extend(granted.iter().map(|it| format!("{}\n", it.line)));
    let refused = granted.iter().filter(|it| !it.grant.opens());
    let refused = refused.map(|it| it.public.clone()).collect();
    let own_keys = devcontainer.own_keys && devcontainer.auth.takes_keys();
    Ok(vec![
        (
            folder.join(trust::USER),
            text(user.map(|user| format!("{user}\n"))),
        ),
        (
            folder.join(trust::PRINCIPALS),
            text(authorized::principals(devcontainer, before)),
        ),
        (
            folder.join(trust::USER_CA),
            text(authorized::cas(registry, devcontainer, before, now)),
        ),
        (folder.join(trust::OWN_KEYS), own_keys.then(Vec::new)),
        // Where it lets in nobody, the certificates above do; and what a line forbids counts before its key is no
        // longer refused.
        (folder.join(trust::AUTHORIZED_KEYS), text(Some(authorized))),
        // sshd refuses everybody where the file of revoked keys is missing.
        (
            folder.join(trust::REVOKED_KEYS),
            Some(revoked.render(id, refused, now)?),
        ),
    ])
}

fn converge(files: &[Wanted]) -> Result<()> {
    for (path, wanted) in files {
        match wanted {
            Some(bytes) => durable::ensure(path, bytes)?,
            None => durable::remove(path)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use crate::keys::krl::Revoked;
    use crate::ring::{Ring, host_key, purge};
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    #[test]
    fn a_trust_folder_holds_what_follows_from_the_registry_and_nothing_that_is_stale() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.register("x", DevContainer::example("lace-x", "lace-x"));
        let (folder, now) = (app.store.trust("x"), ring.now);
        let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
        let mut registry = ring.registry.clone();
        let keys = authorized::keys(&registry, &registry.devcontainers["x"], now).unwrap();
        let left = folder.join(".lace-ssh-tmp-x");
        for chosen in [false, true, false] {
            let entry = registry.devcontainers.get_mut("x").unwrap();
            (entry.user, entry.user_chosen) = (Some("me".into()), chosen);
            let is_current = || {
                let entry = &registry.devcontainers["x"];
                is_current(&app.store, &registry, "x", entry, now).unwrap()
            };
            write_trust(&app, &registry, &Revocations::default(), "x", None, now).unwrap();
            // Only a user who was chosen: another one is told by the image.
            let user = chosen.then(|| "me\n".to_owned());
            let expected = [Some(keys.clone()), Some(String::new()), user];
            let names = ["authorized_keys", "revoked_keys", "user"];
            assert_eq!(names.map(read), expected);
            for (name, was) in names.into_iter().zip(&expected) {
                assert!(is_current(), "{name}");
                if was.is_some() {
                    let mode = fs::metadata(folder.join(name))
                        .unwrap()
                        .permissions()
                        .mode();
                    assert_eq!(mode & 0o777, durable::PRIVATE);
                }
                // Another one, or none.
                for planted in [Some("other\n"), None] {
                    match planted {
                        Some(text) => fs::write(folder.join(name), text).unwrap(),
                        None => drop(fs::remove_file(folder.join(name))),
                    }
                    let is_right = planted.is_none() && was.is_none();
                    assert_eq!(is_current(), is_right, "{name} {planted:?}");
                    fs::write(&left, "x").unwrap();
                    write_trust(&app, &registry, &Revocations::default(), "x", None, now).unwrap();
                    assert!(is_current() && !left.exists());
                    assert_eq!(read(name), *was);
                }
            }
        }
        // Somebody else's key has its line, and is refused once it was removed.
        let guest = crate::keys::KeyPair::generate(&[9; 32], "guest").unwrap();
        let guest = guest.public();
        let grant = crate::store::registry::Grant::example("guest", &guest.render_bare());
        registry.access = vec![grant];
        let of_guest = Revoked {
            keys: vec![guest.clone()],
            ..Revoked::default()
        };
        for (removed, refused) in [(None, Vec::new()), (Some(now), of_guest.render(0))] {
            registry.access[0].removed = removed;
            registry.devcontainers.get_mut("x").unwrap().own_keys = removed.is_none();
            write_trust(&app, &registry, &Revocations::default(), "x", None, now).unwrap();
            let line = format!("lease=\"{}\" {}\n", guest.fingerprint(), guest.render());
            assert_eq!(read("authorized_keys"), Some(format!("{keys}{line}")));
            assert_eq!(fs::read(folder.join("revoked_keys")).unwrap(), refused);
            assert_eq!(read("own_keys"), removed.is_none().then(String::new));
        }
        // What a line forbids counts before its key is refused no longer.
        let files = trust_files(
            &app.store,
            &registry,
            &Revocations::default(),
            "x",
            &registry.devcontainers["x"],
            None,
            now,
        );
        let files = files.unwrap();
        let at = |name: &str| files.iter().position(|(path, _)| path.ends_with(name));
        assert!(at("authorized_keys") < at("revoked_keys"));
        registry.access.clear();
        // Whose key is gone lets nobody in, also where the folder was gone.
        fs::remove_dir_all(&folder).unwrap();
        registry.keys.clear();
        write_trust(&app, &registry, &Revocations::default(), "x", None, now).unwrap();
        assert_eq!(read("authorized_keys").as_deref(), Some(""));
        write_trust(&app, &registry, &Revocations::default(), "y", None, now).unwrap();
        assert!(!app.store.trust("y").exists());
    }

    /// Something that is put in the place of a file, and what it is called.
    type Plant<'a> = (&'a str, &'a dyn Fn(&Path));

    /// A container that can write to its trust folder can put anything there; each reader on the host is tried.
    #[test]
    fn whatever_a_container_plants_is_neither_followed_nor_waited_for_and_is_replaced() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        let mut entry = DevContainer::example("lace-x", "lace-x");
        (entry.user, entry.user_chosen) = (Some("me".into()), true);
        ring.register("x", entry);
        let known = ring.registry.devcontainers["x"].clone();
        ring.write_trust("x").unwrap();
        let victim = home.path().join("victim");
        fs::write(&victim, "the user's own").unwrap();
        let kind = |path: &Path, kind| {
            rustix::fs::mknodat(rustix::fs::CWD, path, kind, rustix::fs::Mode::RWXU, 0).unwrap();
        };
        let plants: [Plant<'_>; 7] = [
            ("a link", &|path| symlink(&victim, path).unwrap()),
            ("a link to a device", &|path| {
                symlink("/dev/zero", path).unwrap()
            }),
            ("a link to nothing", &|path| {
                symlink(home.path().join("new"), path).unwrap()
            }),
            ("a second name", &|path| {
                fs::hard_link(&victim, path).unwrap()
            }),
            ("a pipe", &|path| kind(path, rustix::fs::FileType::Fifo)),
            ("a socket", &|path| drop(UnixListener::bind(path).unwrap())),
            ("a huge file", &|path| {
                fs::File::create(path).unwrap().set_len(1 << 40).unwrap()
            }),
        ];
        let names = [
            trust::USER,
            trust::AUTHORIZED_KEYS,
            trust::REVOKED_KEYS,
            trust::HOST_KEY,
        ];
        let absent = [trust::PRINCIPALS, trust::USER_CA, trust::OWN_KEYS];
        let folder = app.store.trust("x");
        let content = || names.map(|name| fs::read(folder.join(name)).unwrap());
        let is_right = |ring: &Ring<'_>| {
            let (now, pinned) = (ring.now, &known.host_key.current);
            is_current(&app.store, &ring.registry, "x", &known, now).unwrap_or(false)
                && host_key::is_in_place(&app.store, "x", pinned)
        };
        let before = content();
        assert!(is_right(&ring));
        for (what, plant) in plants {
            for name in names.into_iter().chain(absent) {
                let path = folder.join(name);
                let _ = fs::remove_file(&path);
                plant(&path);
                assert!(!is_right(&ring), "{what} as {name}");
                assert_eq!(purge::unknown(&app.store, &ring.registry), [] as [&str; 0]);
                host_key::ensure(&mut ring, "x", Some(&known)).unwrap();
                ring.write_trust("x").unwrap();
                assert!(is_right(&ring), "{what} as {name}");
                assert_eq!(content(), before, "{what} as {name}");
                let is_file = |name: &&str| {
                    let metadata = folder.join(name).symlink_metadata().unwrap();
                    metadata.is_file() && metadata.permissions().mode() & 0o777 == durable::PRIVATE
                };
                assert!(names.iter().all(is_file), "{what} as {name}");
            }
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), "the user's own");
        assert!(!home.path().join("new").exists());
        // What is not ours to remove is named, and no other file waits for it.
        fs::remove_file(folder.join(trust::HOST_KEY)).unwrap();
        fs::create_dir(folder.join(trust::HOST_KEY)).unwrap();
        let error = host_key::ensure(&mut ring, "x", Some(&known)).unwrap_err();
        assert!(
            error.to_string().contains("is a folder, and none of ours"),
            "{error}"
        );
    }

    #[test]
    fn the_clients_files_know_each_dev_container_as_the_registry_does() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        for id in ["x", "y"] {
            ring.register(id, DevContainer::example(&format!("lace-{id}"), "user"));
        }
        let (registry, settings) = (&ring.registry, Settings::default());
        let are_current = |settings: &Settings| {
            let mut all = registry.devcontainers.values();
            all.all(|it| clients_are_current(&app, settings, registry, it).unwrap())
        };
        let is_known = |id: &str| {
            let entry = &registry.devcontainers[id];
            clients_are_current(&app, &settings, registry, entry).unwrap()
        };
        let config = inventory::client_config(&app, &settings, registry).unwrap();
        let pinned = inventory::known_hosts(registry);
        let files = [
            (app.store.config(), config),
            (app.store.known_hosts(), pinned),
        ];
        for (file, text) in &files {
            assert!(are_current(&settings));
            assert_eq!(fs::read_to_string(file).unwrap(), *text);
            let mode = fs::metadata(file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, durable::PRIVATE);
            // Without the last line, which is of the second one.
            let end = text.trim_end().rfind('\n').unwrap();
            fs::write(file, &text[..=end]).unwrap();
            assert!(is_known("x") && !is_known("y"), "{file:?}");
            fs::remove_file(file).unwrap();
            assert!(!is_known("x"), "{file:?}");
            write_clients(&app, &settings, registry).unwrap();
        }
        assert!(are_current(&settings));
        let forwards = Settings {
            forward_agent: vec!["lace-x".into()],
            ..Settings::default()
        };
        assert!(!are_current(&forwards));
        write_clients(&app, &forwards, registry).unwrap();
        assert!(are_current(&forwards) && !are_current(&settings));
    }
}
