//! `keys create`: a key of its own for something special, which opens nothing yet.

use std::process::ExitCode;

use anyhow::Result;

use crate::advice::failure;
use crate::app::App;
use crate::cli;
use crate::devcontainer::options;
use crate::ring::{Ring, named};
use crate::talk::say;

/// Runs `keys create`.
pub fn run(app: &App, args: &cli::Create) -> Result<ExitCode> {
    let name = named::name(&args.name)?;
    // Whichever dev container comes up under that name would take it for its own.
    if name == "workspace" || options::is_alias(&name) {
        return Err(failure(
            format!("{name} means a dev container's own key, which `devcontainer up` makes"),
            "choose another name",
        ));
    }
    let mut ring = Ring::open(app, "keys create")?;
    if ring.registry.keys.contains_key(&name) {
        return Err(failure(
            format!("there is a key {name:?} already"),
            format!("choose another name, or first: lace-ssh keys delete {name}"),
        ));
    }
    ring.ensure(&name, false)?;
    ring.commit()?;
    let key = &ring.registry.keys[&name];
    say(format!(
        "made {name}: {} {}",
        key.algorithm, key.fingerprint
    ));
    match ring.registry.opened_by(&name).is_empty() {
        true => say(format!(
            "it opens nothing yet: \"key\": \"{name}\" in a devcontainer.json; elsewhere: lace-ssh keys public {name}"
        )),
        false => say("the dev containers that name it let it in from now on"),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::hint_of;
    use crate::environment::Environment;
    use crate::store::registry::{Custody, Origin};
    use crate::talk::said;

    #[test]
    fn a_key_is_made_under_a_name_that_is_free_and_no_dev_containers_own() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let create = |name: &str| run(&app, &cli::Create { name: name.into() });
        let keys = || app.store.registry().unwrap().keys;
        create("Backup Job").unwrap();
        let key = keys()["backup-job"].clone();
        assert_eq!(
            (&key.custody, &key.origin),
            (&Custody::File, &Origin::Generated)
        );
        assert_eq!((&*key.algorithm, key.made_for), ("ssh-ed25519", None));
        let told = said();
        assert!(
            told.contains(&format!("made backup-job: ssh-ed25519 {}", key.fingerprint)),
            "{told}"
        );
        assert!(told.contains("\"key\": \"backup-job\""), "{told}");
        let before = keys();
        for (name, part, hint) in [
            ("backup job", "already", "lace-ssh keys delete backup-job"),
            (
                "workspace",
                "a dev container's own key",
                "choose another name",
            ),
            ("lace-x", "a dev container's own key", "choose another name"),
            ("../x", "", ""),
        ] {
            let error = create(name).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
            assert!(hint_of(&error).unwrap().contains(hint), "{name}");
        }
        assert_eq!(keys(), before);
        // One that a dev container has lost.
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.knows("one", "lace-one", "team-x");
        ring.discard("team-x").unwrap();
        ring.commit().unwrap();
        drop(ring);
        said();
        create("team-x").unwrap();
        assert!(said().contains("let it in from now on"));
        let trusted = app.store.trust("one").join("authorized_keys");
        let trusted = std::fs::read_to_string(trusted).unwrap();
        assert!(trusted.contains(&keys()["team-x"].public));
    }
}
