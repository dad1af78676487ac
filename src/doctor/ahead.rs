//! What a login will be refused for, as far as files of this machine tell: looked at before each one, since ssh is told nothing
//! of the reason, and once it has its connection nothing of ours is left to say it.
//!
//! All that `proxy` may take is a fraction of a millisecond. So what is looked at first is only whether something may be wrong;
//! what it is, the checks tell.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Duration;

use super::link::Link;
use super::patient::Patient;
use super::{agent, as_ssh_has_it, client_files, host_key, key, store, trust};
use crate::app::App;
use crate::durable;
use crate::inventory;
use crate::ring::{self, identity};
use crate::settings;
use crate::store::LARGEST_LIST;
use crate::store::registry::{Custody, DevContainer, Key, Registry};
use crate::trust::{AUTHORIZED_KEYS, REVOKED_KEYS, USER_CA};

/// How long is waited for what another command may be about to write.
const MOMENT: Duration = Duration::from_millis(200);

/// The first broken link of those that make sshd refuse whoever comes to this dev container; where ssh does not show its key,
/// only what it trusts is looked at.
pub fn broken(app: &App, registry: &Registry, id: &str, shows_key: bool, now: i64) -> Option<Link> {
    if seems_well(app, registry, id, shows_key) {
        return None;
    }
    // A rotation may have come between; it has ended soon, and what it says then counts.
    thread::sleep(MOMENT);
    let registry = &ring::look(app).ok()?;
    let known = registry.devcontainers.get(id)?;
    if seems_well(app, registry, id, shows_key) {
        return None;
    }
    let settings = settings::read(&app.store).unwrap_or_default();
    let environment = as_ssh_has_it(app, &known.alias);
    let app = &App::new(&environment);
    let patient = Patient::of(app, &settings, registry, id, now);
    let of_ssh: [fn(&Patient<'_>) -> Link; 4] = [
        |it| store::check(it.app),
        key::check,
        agent::check,
        client_files::check,
    ];
    let of_sshd: [fn(&Patient<'_>) -> Link; 2] = [trust::check, host_key::check];
    let of_ssh = of_ssh.into_iter().filter(|_| shows_key);
    let mut links = of_ssh.chain(of_sshd).map(|check| check(&patient));
    links.find(Link::is_broken)
}

/// Nothing that is looked at says that sshd will refuse ssh, or that ssh will not believe sshd.
fn seems_well(app: &App, registry: &Registry, id: &str, shows_key: bool) -> bool {
    let known = &registry.devcontainers[id];
    let folder = app.store.trust(id);
    let read = |name: &str| durable::read(&folder.join(name), LARGEST_LIST).ok()?;
    // Without a list of what is revoked, sshd lets in nobody.
    let lets_in = |public: &str| {
        folder.join(REVOKED_KEYS).is_file()
            && match known.auth.takes_keys() {
                true => read(AUTHORIZED_KEYS).is_some_and(|lines| has_line(&lines, public)),
                false => read(USER_CA).is_some_and(|lines| !lines.is_empty()),
            }
    };
    let key = registry.keys.get(&known.key);
    let public = match (key, shows_key) {
        (Some(key), true) => shown(app, &known.key, key),
        (key, _) => key.map(|key| key.public.clone()),
    };
    public.is_some_and(|public| lets_in(&public)) && is_proven(app, id, known)
}

/// The public half of the key that ssh finds, and will take.
fn shown(app: &App, name: &str, key: &Key) -> Option<String> {
    let file = app.store.identity(name);
    let is_private = matches!(key.custody, Custody::File | Custody::EncryptedFile);
    let mode = fs::metadata(&file).ok()?.mode();
    if is_private && mode & 0o077 != 0 {
        return None;
    }
    let is_held = key.custody != Custody::UserAgent || ring::agent::holds(app, key);
    let public = identity::read_public(&file).ok()??;
    is_held.then(|| public.render_bare())
}

/// Whether ssh expects the host key that sshd is given; while one takes the place of another, either may be.
fn is_proven(app: &App, id: &str, known: &DevContainer) -> bool {
    let pins = || durable::read(&app.store.known_hosts(), LARGEST_LIST).ok()?;
    let pin = inventory::known_host(known);
    let is_pinned = pins().is_some_and(|pins| pin.lines().all(|pin| has_line(&pins, pin)));
    let pinned = &known.host_key.current;
    known.host_key.next.is_some()
        || is_pinned && ring::host_key::is_of(&app.store.mounted_host_key(id), pinned)
}

fn has_line(file: &[u8], part: &str) -> bool {
    let lines = file.split(|byte| *byte == b'\n');
    let mut lines = lines.filter(|line| !line.starts_with(b"#"));
    lines.any(|line| holds(line, part))
}

fn holds(file: &[u8], part: &str) -> bool {
    !part.is_empty() && file.windows(part.len()).any(|it| it == part.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::environment::Environment;
    use crate::keys::KeyPair;
    use crate::ring::Ring;
    use crate::store::registry::Auth;

    #[test]
    fn what_a_login_will_be_refused_for_is_told_and_nothing_where_it_will_not() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.knows("x", "lace-x", "lace-x");
        let registry = ring.registry.clone();
        drop(ring);
        let told = |registry: &Registry, shows_key| {
            let link = broken(&app, registry, "x", shows_key, crate::app::now());
            link.map(|it| format!("{}: {}", it.name, it.says))
        };
        assert_eq!(
            (told(&registry, true), told(&registry, false)),
            (None, None)
        );
        let identity = app.store.identity("lace-x");
        let trusted = |name: &str| app.store.trust("x").join(name);
        let other = KeyPair::generate(&[1; 32], "other").unwrap();
        let changed = |path: &std::path::Path, text: Option<&str>, mode, shows_key| {
            let kept = fs::read(path).unwrap();
            match text {
                Some(text) => fs::write(path, text).unwrap(),
                None => fs::remove_file(path).unwrap(),
            }
            if text.is_some() {
                fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            }
            let told = told(&registry, shows_key);
            fs::write(path, kept).unwrap();
            fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
            assert_eq!(broken(&app, &registry, "x", true, 0), None);
            told.unwrap_or_default()
        };
        let own = fs::read_to_string(&identity).unwrap();
        let own_public = &registry.keys["lace-x"].public;
        let gone = changed(&identity, None, 0, true);
        assert_eq!(gone, format!("key: {} is not there", identity.display()));
        let open = changed(&identity, Some(&own), 0o640, true);
        assert_eq!(
            open,
            format!("store: open to others: {}", identity.display())
        );
        let swapped = changed(&identity, Some(&other.private_openssh()), 0o600, true);
        assert!(
            swapped.contains(", which the dev container trusts"),
            "{swapped}"
        );
        let damaged = changed(&identity, Some("x"), 0o600, true);
        assert!(damaged.contains(" is not a private key"), "{damaged}");
        // Who shows another key is not let in for want of this one.
        assert_eq!(changed(&identity, None, 0, false), "");
        let folder = app.store.trust("x");
        for shows_key in [true, false] {
            let untrusted = changed(&trusted(AUTHORIZED_KEYS), Some(""), 0o600, shows_key);
            let in_folder = format!("trust: not as they must be in {}:", folder.display());
            assert_eq!(untrusted, format!("{in_folder} authorized_keys"));
            let open = changed(&trusted(REVOKED_KEYS), None, 0, shows_key);
            assert!(
                open.starts_with(&format!("{in_folder} revoked_keys; without")),
                "{open}"
            );
        }
        // Whom ssh would not believe.
        let files = changed(&app.store.known_hosts(), Some(""), 0o600, true);
        assert!(files.starts_with("client-files: "), "{files}");
        assert_eq!(
            changed(&app.store.known_hosts(), Some(""), 0o600, false),
            ""
        );
        let mounted = app.store.mounted_host_key("x");
        let swapped = changed(&mounted, Some(&other.private_openssh()), 0o600, true);
        assert!(
            swapped.ends_with("is not the one that sshd reads"),
            "{swapped}"
        );
        let pins = fs::read_to_string(app.store.known_hosts()).unwrap();
        let commented = changed(
            &app.store.known_hosts(),
            Some(&format!("#{pins}")),
            0o600,
            true,
        );
        assert!(commented.starts_with("client-files: "), "{commented}");
        // A key that is let in beside it, as in the middle of a rotation.
        let both = fs::read_to_string(trusted(AUTHORIZED_KEYS)).unwrap();
        let both = format!("{both}{}\n", other.public().render());
        fs::write(trusted(AUTHORIZED_KEYS), both).unwrap();
        let next = changed(&identity, Some(&other.private_openssh()), 0o600, true);
        assert_eq!(next, "");
        fs::write(trusted(AUTHORIZED_KEYS), format!("#{}\n", own_public)).unwrap();
        assert!(told(&registry, true).unwrap().starts_with("trust: "));
        // What is kept by an agent that does not have it, and is public.
        let mut lost = registry.clone();
        lost.keys.get_mut("lace-x").unwrap().custody = Custody::UserAgent;
        app.store.save(&lost).unwrap();
        let lost = told(&lost, true).unwrap();
        assert!(lost.contains("that one does not have it"), "{lost}");
        app.store.save(&registry).unwrap();
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.certify("x").unwrap();
        ring.registry.devcontainers.get_mut("x").unwrap().auth = Auth::Certificate;
        ring.touch_one("x");
        ring.commit().unwrap();
        let registry = &ring.registry;
        assert_eq!(told(registry, true), None);
        fs::write(trusted(USER_CA), "").unwrap();
        assert!(told(registry, true).unwrap().ends_with("user_ca.pub"));
    }
}
