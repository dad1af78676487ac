//! `keys export`: a copy of a private key leaves the ring.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::advice::failure;
use crate::app::App;
use crate::cli;
use crate::durable;
use crate::keys::KeyPair;
use crate::keys::identity::DEFAULT_ROUNDS;
use crate::ring::{self, Ring, identity, named};
use crate::store::audit::Kind;
use crate::talk::{passphrase, say};

/// Runs `keys export`.
pub fn run(app: &App, args: &cli::Export) -> Result<ExitCode> {
    if args.output == Path::new("-") {
        return Err(failure(
            "a private key is never printed",
            "name a file: --output FILE",
        ));
    }
    // The question comes before the lock: nobody shall wait for an answer.
    let registry = ring::look(app)?;
    let (name, key) = named::find(&registry, &args.name)?;
    if !key.is_in_file() {
        return Err(failure(
            format!("the private half of {name} is in ssh-agent, which gives none out"),
            format!("share the public half: lace-ssh keys public {name}"),
        ));
    }
    let protected = key.is_encrypted();
    let new = (args.encrypt && !protected)
        .then(|| passphrase::new(app.environment, &args.output.display().to_string()))
        .transpose()?;
    let mut ring = Ring::open(app, "keys export")?;
    let text = identity::private_text(app, &name)?;
    let content = match new {
        Some(new) => identity::encrypted(&KeyPair::parse(&text, None)?, &new)?,
        None => text,
    };
    durable::create(&args.output, content.as_bytes())?;
    ring.note(Kind::Exported, &name, |event| {
        event.detail = Some(
            if args.encrypt || protected {
                "encrypted"
            } else {
                "not encrypted"
            }
            .to_owned(),
        )
    })?;
    let opened: Vec<_> = ring
        .registry
        .opened_by(&name)
        .iter()
        .map(|id| ring.registry.devcontainers[id].alias.clone())
        .collect();
    ring.commit()?;
    let encrypted = if protected {
        ", encrypted with the passphrase that it has".to_owned()
    } else if args.encrypt {
        format!(", encrypted with your passphrase ({DEFAULT_ROUNDS} rounds of bcrypt)")
    } else {
        String::new()
    };
    say(format!("wrote {}{encrypted}", args.output.display()));
    say(format!(
        "warning: whoever has this file can log in to {}",
        if opened.is_empty() {
            "whatever trusts it".to_owned()
        } else {
            opened.join(", ")
        }
    ));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::commands::keys::askpass;
    use crate::environment::Environment;
    use crate::store::audit::{self, Filter};
    use crate::store::registry::{Custody, Origin};
    use crate::talk::said;

    #[test]
    fn what_leaves_the_ring_has_the_passphrase_that_was_asked_for_and_is_in_the_log() {
        let home = tempfile::tempdir().unwrap();
        let mut environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        let pair = identity::generate("x").unwrap();
        ring.put("plain", &pair, None, Origin::Generated).unwrap();
        ring.put("locked", &pair, None, Origin::Generated).unwrap();
        let locked = pair.encrypted_openssh("old", 1, &[7; 16]).unwrap();
        fs::write(app.store.identity("locked"), locked.as_bytes()).unwrap();
        ring.put_record("agent", &pair.public(), Custody::Agent, Origin::Generated)
            .unwrap();
        ring.commit().unwrap();
        drop(ring);
        drop(Ring::open(&app, "test").unwrap());
        let export = |app: &App, name: &str, encrypt: bool| {
            let output = home.path().join(format!("{name}-{encrypt}"));
            let exported = run(
                app,
                &cli::Export {
                    name: name.into(),
                    output: output.clone(),
                    encrypt,
                },
            );
            exported.map(|_| fs::read_to_string(output).unwrap())
        };
        assert!(export(&app, "agent", false).is_err());
        assert!(export(&app, "plain", true).is_err(), "nobody can be asked");
        assert_eq!(
            export(&app, "plain", false).unwrap(),
            *pair.private_openssh()
        );
        let opens = |text: &str, passphrase: &str| {
            KeyPair::parse(text, None).is_err() && KeyPair::parse(text, Some(passphrase)).is_ok()
        };
        // It has one already, and nobody is asked for another.
        let told = said();
        assert!(
            told.ends_with("log in to whatever trusts it\n") && !told.contains("encrypted"),
            "{told}"
        );
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.knows("one", "lace-one", "locked");
        drop(ring);
        for encrypt in [false, true] {
            assert!(opens(&export(&app, "locked", encrypt).unwrap(), "old"));
            let told = said();
            assert!(
                told.contains("encrypted with the passphrase that it has"),
                "{told}"
            );
            assert!(
                told.ends_with("whoever has this file can log in to lace-one\n"),
                "{told}"
            );
        }
        environment.askpass = Some(askpass(home.path(), "echo new"));
        let app = App::new(&environment);
        assert!(opens(&export(&app, "plain", true).unwrap(), "new"));
        assert!(said().contains("encrypted with your passphrase (24 rounds of bcrypt)"));
        let filter = Filter {
            key: None,
            since: None,
        };
        let log = audit::read(&fs::read(app.store.audit()).unwrap(), &filter);
        let told: Vec<_> = log
            .iter()
            .map(|it| {
                assert_eq!(it.event.kind, Kind::Exported);
                (&*it.event.key, it.event.detail.as_deref().unwrap())
            })
            .collect();
        assert_eq!(
            told,
            [
                ("plain", "not encrypted"),
                ("locked", "encrypted"),
                ("locked", "encrypted"),
                ("plain", "encrypted")
            ]
        );
        Ring::knows_its_last_event(&app);
    }
}
