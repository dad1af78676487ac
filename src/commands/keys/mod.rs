//! `keys`: the life of a key, from its making to its end.

mod create;
mod delete;
mod export;
mod import;
mod list;
mod migrate;
pub mod passphrase;
pub mod rotate;

use std::process::ExitCode;

use anyhow::Result;

use crate::app::App;
use crate::cli::KeysAction;

/// Runs `keys`.
pub fn run(app: &App, action: &KeysAction) -> Result<ExitCode> {
    match action {
        KeysAction::List { json } => list::run(app, *json),
        KeysAction::Show { name, json } => list::show(app, name, *json),
        KeysAction::Public { name } => list::public(app, name),
        KeysAction::Rotate(args) => rotate::run(app, args),
        KeysAction::Export(args) => export::run(app, args),
        KeysAction::Create(args) => create::run(app, args),
        KeysAction::Import(args) => import::run(app, args),
        KeysAction::Passphrase(args) => passphrase::run(app, args),
        KeysAction::Delete { name, yes } => delete::run(app, name, *yes),
        KeysAction::Restore { name } => delete::restore(app, name),
        KeysAction::Migrate(args) => migrate::run(app, args),
    }
}

/// For tests: a program that answers whoever asks for a passphrase. Another program writes it: a descriptor
/// of ours could have been inherited by a command that another test is just starting, and then nobody could
/// run it.
#[cfg(test)]
fn askpass(folder: &std::path::Path, script: &str) -> String {
    let path = folder.join("askpass");
    let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" >\"$0\" && chmod 755 \"$0\"";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", write]).arg(&path).arg(script);
    assert!(command.status().unwrap().success());
    path.to_str().unwrap().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use crate::ring::Ring;
    use crate::talk::said;

    #[test]
    fn each_action_does_what_it_is_called() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.knows("one", "lace-one", "team-x");
        let public = ring.registry.keys["team-x"].public.clone();
        drop(ring);
        let name = || "team-x".to_owned();
        let tells = |action: KeysAction| {
            said();
            run(&app, &action).unwrap();
            said()
        };
        let keys = || app.store.registry().unwrap().keys.len();
        assert!(tells(KeysAction::List { json: false }).contains("team-x"));
        let shown = tells(KeysAction::Show {
            name: name(),
            json: true,
        });
        assert!(shown.contains("\"fingerprint\": \"SHA256:"), "{shown}");
        assert!(tells(KeysAction::Public { name: name() }).starts_with(&public));
        tells(KeysAction::Delete {
            name: name(),
            yes: true,
        });
        assert_eq!(keys(), 0);
        tells(KeysAction::Restore { name: name() });
        assert_eq!(keys(), 1);
    }
}
