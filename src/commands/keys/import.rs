//! `keys import`: a key that was made elsewhere comes into the ring.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::advice::failure;
use crate::app::App;
use crate::cli;
use crate::keys::import::Imported;
use crate::ring::{Ring, agent, identity, key_file, named};
use crate::store::audit::Kind;
use crate::store::registry::{Custody, Origin};
use crate::talk::say;

/// Runs `keys import`.
pub fn run(app: &App, args: &cli::Import) -> Result<ExitCode> {
    let name = named::name(&args.name)?;
    if name == "workspace" {
        return Err(failure(
            "no config file could name this key: \"key\": \"workspace\" means each dev container's own",
            "choose another name",
        ));
    }
    let (file, (imported, passphrase)) = match (&args.key_file, &args.public_key_file) {
        (Some(file), _) => (file, key_file::read(app, file)?),
        (None, Some(file)) => (file, (Imported::Token(key_file::read_public(file)?), None)),
        (None, None) => bail!("no key file is named"),
    };
    let passphrase = passphrase.as_ref().map(|passphrase| passphrase.as_str());
    let mut ring = Ring::open(app, "keys import")?;
    if ring.registry.keys.contains_key(&name) {
        return Err(failure(
            format!("there is a key {name:?} already"),
            format!("choose another name, or first: lace-ssh keys delete {name}"),
        ));
    }
    let public = match &imported {
        Imported::Pair(pair) => pair.public(),
        Imported::Token(public) => public.clone(),
    };
    if ring.refuses(&public.render_bare()) {
        return Err(failure(
            "that key is revoked, and opens no dev container",
            "what is revoked: lace-ssh cert list",
        ));
    }
    match &imported {
        // Under the passphrase that it has: nobody asked for a copy without one.
        Imported::Pair(pair) => ring.put(&name, pair, passphrase, Origin::Imported)?,
        Imported::Token(public) => {
            let custody = match public.is_security_key() {
                true => Custody::SecurityKey,
                false => Custody::UserAgent,
            };
            app.store.folder(&app.store.key(&name))?;
            identity::write_public_key(&app.store.identity(&name), public)?;
            ring.put_record(&name, public, custody, Origin::Imported)?;
        }
    }
    let file = file.display().to_string();
    ring.note(Kind::Imported, &name, |event| event.detail = Some(file))?;
    ring.commit()?;
    let key = &ring.registry.keys[&name];
    say(format!(
        "imported {name}: {} {}",
        key.algorithm, key.fingerprint
    ));
    if key.custody == Custody::UserAgent && !agent::holds(app, key) {
        say(format!(
            "warning: no agent at SSH_AUTH_SOCK has the private half of {name} now; ssh asks that one for it (what it has: ssh-add -L)"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::commands::keys::askpass;
    use crate::environment::Environment;
    use crate::keys::KeyPair;
    use crate::talk::said;

    #[test]
    fn a_key_comes_in_as_it_was_under_a_name_that_was_free() {
        let home = tempfile::tempdir().unwrap();
        let mut environment = Environment::example(home.path());
        environment.askpass = Some(askpass(home.path(), "echo secret"));
        let app = App::new(&environment);
        let pair = identity::generate("x").unwrap();
        let token = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABHNzaDo=";
        let locked = pair.encrypted_openssh("secret", 1, &[7; 16]).unwrap();
        for (file, text) in [
            ("plain", &**pair.private_openssh()),
            ("locked", &locked),
            ("token", token),
        ] {
            let path = home.path().join(file);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        }
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.knows("one", "lace-one", "team-x");
        ring.discard("team-x").unwrap();
        ring.commit().unwrap();
        drop(ring);
        let import = |name: &str, file: &str| {
            let key_file = home.path().join(file);
            run(
                &app,
                &cli::Import {
                    name: name.into(),
                    key_file: Some(key_file),
                    public_key_file: None,
                },
            )
        };
        let keys = || app.store.registry().unwrap().keys;
        for (name, file, custody) in [
            ("Team X", "plain", Custody::File),
            ("locked", "locked", Custody::EncryptedFile),
            ("token", "token", Custody::SecurityKey),
        ] {
            said();
            import(name, file).unwrap();
            let told = said();
            let name = named::name(name).unwrap();
            let key = &keys()[&name];
            let expected = format!("imported {name}: {} {}\n", key.algorithm, key.fingerprint);
            assert!(told.ends_with(&expected), "{told}");
            assert_eq!((&key.custody, &key.origin), (&custody, &Origin::Imported));
            let text = fs::read_to_string(app.store.identity(&name)).unwrap();
            match custody {
                Custody::SecurityKey => assert!(text.starts_with(token) && key.public == token),
                Custody::File => assert_eq!(text, *pair.private_openssh()),
                _ => {
                    assert!(KeyPair::parse(&text, None).is_err());
                    assert!(KeyPair::parse(&text, Some("secret")).is_ok());
                }
            }
        }
        let trusted = app.store.trust("one").join("authorized_keys");
        let trusted = fs::read_to_string(trusted).unwrap();
        assert!(trusted.starts_with(&pair.public().render_bare()), "at once");
        let log = fs::read_to_string(app.store.audit()).unwrap();
        assert_eq!(log.matches("\"imported\"").count(), 3);
        let file = home.path().join("plain");
        assert!(log.contains(file.to_str().unwrap()), "{log}");

        // What somebody else keeps is known by its public half alone.
        let import_public = |name: &str, file: &str| {
            let public_key_file = Some(home.path().join(file));
            run(
                &app,
                &cli::Import {
                    name: name.into(),
                    key_file: None,
                    public_key_file,
                },
            )
        };
        fs::write(home.path().join("half"), pair.public().render() + "\n").unwrap();
        for (name, file, custody, warns) in [
            ("kept", "half", Custody::UserAgent, true),
            ("touched", "token", Custody::SecurityKey, false),
        ] {
            said();
            import_public(name, file).unwrap();
            assert_eq!(
                said().contains("no agent at SSH_AUTH_SOCK"),
                warns,
                "{name}"
            );
            let key = &keys()[name];
            assert_eq!((&key.custody, &key.origin), (&custody, &Origin::Imported));
            let held = identity::read_public(&app.store.identity(name)).unwrap();
            assert_eq!(held.unwrap().render_bare(), key.public);
        }
        let half = fs::read_to_string(home.path().join("half")).unwrap();
        fs::write(home.path().join("two"), half.repeat(2)).unwrap();
        for (file, part) in [("two", "several keys"), ("none", "cannot read")] {
            let error = import_public("more", file).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
        let error = import_public("more", "plain").unwrap_err();
        assert_eq!(
            crate::advice::hint_of(&error),
            Some("name the public key: the file that ends in `.pub`")
        );

        let before = keys();
        for (name, file, part) in [
            ("locked", "plain", "there is a key \"locked\" already"),
            ("Team_X", "token", "there is a key \"team-x\" already"),
            ("workspace", "plain", "no config file could name this key"),
            ("../x", "plain", ""),
            ("new", "none", "cannot read"),
        ] {
            let error = import(name, file).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
        assert_eq!(keys(), before);
        let text = fs::read_to_string(app.store.identity("locked")).unwrap();
        assert!(KeyPair::parse(&text, None).is_err(), "as it was");
    }
}
