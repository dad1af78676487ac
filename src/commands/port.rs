//! `port`: the address at which sshd of a dev container is published, right now.

use std::process::ExitCode;

use anyhow::Result;

use crate::advice::failure;
use crate::app::App;
use crate::cli;
use crate::ring;
use crate::route::routes::Route;
use crate::route::{engines, way};
use crate::talk::{print, print_as_is};
use crate::workspace::registered;

/// Runs `port`.
pub fn run(app: &App, args: &cli::Port) -> Result<ExitCode> {
    let text = text(app, args)?;
    match args.json {
        true => print_as_is(text),
        false => print(text),
    }
}

/// What is printed.
fn text(app: &App, args: &cli::Port) -> Result<String> {
    let registry = ring::look(app)?;
    let (id, devcontainer) = registered::registered(
        app,
        &registry,
        args.name.as_deref(),
        &args.workspace.place(),
    )?;
    let place = engines::for_a_look(app, id, devcontainer)?;
    let way = way::way_at(app, &place, id, devcontainer)?;
    // Nobody but ssh will ask what listens there for its host key.
    if !way.is_ours(app, devcontainer)? {
        return Err(failure(
            format!(
                "container {} has a mount that is only named like that of {}, and does not prove its host key",
                way.container.name, devcontainer.alias
            ),
            way::up(&place.engine, devcontainer, Some(&way.container)),
        ));
    }
    let Some(address) = way.container.published(devcontainer.port) else {
        return Err(failure(
            format!(
                "container {} of {} publishes no port for its port {}",
                way.container.name, devcontainer.alias, devcontainer.port
            ),
            format!("ssh needs none here: ssh {}", devcontainer.alias),
        ));
    };
    if args.json {
        let routes: Vec<_> = way.routes.iter().map(Route::to_json).collect();
        let data =
            serde_json::json!({ "host": address.ip(), "port": address.port(), "routes": routes });
        return Ok(format!("{data}\n"));
    }
    Ok(format!("{address}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::hint_of;
    use crate::engine::example;
    use crate::environment::Environment;
    use crate::store::registry::{DevContainer, Registry};

    #[test]
    fn an_address_is_told_of_what_is_certain_or_has_proven_its_host_key() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        app.store.prepare().unwrap();
        let like = home.path().join("p/.config/lace/ssh/trust/like");
        let endpoint = example::engine(
            home.path(),
            vec![
                example::container("a", "running", &app.store.trust("own"), 7),
                example::container("l", "running", &like, 1),
                example::container("s", "exited", &app.store.trust("stopped"), 8),
            ],
        );
        let mut registry = Registry::default();
        for id in ["own", "like", "stopped"] {
            let mut known = DevContainer::example(&format!("lace-{id}"), "k");
            (known.endpoint, known.workspace) = (endpoint.clone(), None);
            registry.devcontainers.insert(id.into(), known);
        }
        app.store.save(&registry).unwrap();
        let json = r#"{"host":"127.0.0.1","port":7,"routes":[{"via":"published","host":"127.0.0.1","port":7},{"via":"exec","container":"a"}]}"#;
        for (name, json, expected) in [
            ("lace-own", false, Ok("127.0.0.1:7\n".to_owned())),
            ("lace-own", true, Ok(format!("{json}\n"))),
            (
                "lace-like",
                false,
                Err(
                    "container l-name has a mount that is only named like that of lace-like, and does not prove",
                ),
            ),
            ("lace-stopped", false, Err("lace-stopped does not run")),
        ] {
            let args = cli::Port {
                name: Some(name.into()),
                workspace: cli::Workspace::default(),
                json,
            };
            match (text(&app, &args), expected) {
                (Ok(told), Ok(expected)) => assert_eq!(told, expected),
                (Err(error), Err(expected)) => {
                    assert!(error.to_string().starts_with(expected), "{error}");
                    let hint = hint_of(&error).unwrap();
                    assert!(hint.ends_with("docker ps --all"), "{hint}");
                }
                (told, _) => panic!("{name}: {told:?}"),
            }
        }
    }
}
