//! `client-config --via`: what another machine's ssh reads that reaches this one.

use anyhow::Result;

use crate::advice::failure;
use crate::app::App;
use crate::ca::signer::Way;
use crate::client::elsewhere::{self, Machine, Opener};
use crate::client::guest::Door;
use crate::engine::Address;
use crate::route::user;
use crate::store::registry::{DevContainer, Registry};
use crate::talk::say;

/// A host block for each whose user is known: over there, nobody can ask the container.
pub fn config(app: &App, registry: &Registry, via: &str, opener: &Opener) -> Result<String> {
    let machine = machine(via)?;
    let mut aliases = registry.devcontainers.values().map(|known| &known.alias);
    if let Some(alias) = aliases.find(|alias| **alias == machine.host) {
        return Err(failure(
            format!(
                "{via:?} leads by {alias}, to which these lines lead: ssh would call itself there without end"
            ),
            "name this machine, as the other one reaches it: --via ssh://me@workstation",
        ));
    }
    let mut text = String::from(elsewhere::HEAD);
    let mut left_out = Vec::new();
    for known in registry.devcontainers.values() {
        match user::known(app, known) {
            Some(user) => {
                text.push('\n');
                text.push_str(&block(app, known, &user, &machine, opener)?);
                missing(known, opener).iter().for_each(say);
            }
            None => left_out.push(known.alias.as_str()),
        }
    }
    let unknown = "its remote user is not known before its first connection";
    let connect = |alias: &str| format!("lace-ssh connect {alias} -- true");
    match left_out[..] {
        [alias, ..] if left_out.len() == registry.devcontainers.len() => Err(failure(
            format!("{alias} cannot be printed: {unknown}"),
            connect(alias),
        )),
        _ => {
            let told = left_out
                .iter()
                .map(|alias| format!("{alias} is left out: {unknown}: {}", connect(alias)));
            told.for_each(say);
            Ok(text)
        }
    }
}

fn block(
    app: &App,
    known: &DevContainer,
    user: &str,
    machine: &Machine,
    opener: &Opener,
) -> Result<String> {
    let door = Door {
        alias: &known.alias,
        user: Some(user),
        program: &app.environment.program,
        store: app.environment.store.as_deref(),
    };
    let pins: Vec<_> = known.host_key.all().collect();
    elsewhere::host_block(&door, &pins, machine, opener)
}

/// What `via` says.
fn machine(via: &str) -> Result<Machine> {
    match Address::parse(via) {
        Ok(Address::Ssh {
            user,
            host,
            port,
            socket: None,
        }) => Ok(Machine { user, host, port }),
        _ => Err(failure(
            format!("{via:?} does not say how ssh reaches this machine"),
            "write it as --via ssh://me@workstation, or ssh://me@workstation:2222",
        )),
    }
}

/// What the key of the other machine needs before it opens this one.
fn missing(known: &DevContainer, opener: &Opener) -> Option<String> {
    let alias = &known.alias;
    let public = match &opener.identity {
        Some(path) => format!("its public half ({}.pub there)", path.display()),
        None => "its public half".to_owned(),
    };
    let issue = format!("lace-ssh cert issue {alias} --ttl 8h --public-key-file FILE");
    match (&opener.certificate, known.auth.takes_keys()) {
        (None, true) => Some(format!(
            "{alias} lets that machine's key in once it has {public}: lace-ssh access add {alias} --name laptop --public-key-file FILE"
        )),
        (None, false) => Some(format!(
            "{alias} is opened by certificates; this makes one of {public}, and --certificate-file says where it is there: {issue}"
        )),
        (Some(_), _) if Way::of(known).is_some() => None,
        (Some(_), _) => Some(format!(
            "{alias} trusts no certificate before one was made for it; this makes it of {public}: {issue}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::hint_of;
    use crate::environment::Environment;
    use crate::store::registry::Auth;

    #[test]
    fn a_machine_is_what_ssh_reaches_and_nothing_else() {
        for (via, user, host, port) in [
            ("ssh://workstation", None, "workstation", None),
            ("ssh://me@192.0.2.7:22/", Some("me"), "192.0.2.7", Some(22)),
            ("ssh://me@[::1]:2200", Some("me"), "::1", Some(2200)),
        ] {
            let wanted = Machine {
                user: user.map(str::to_owned),
                host: host.into(),
                port,
            };
            assert_eq!(machine(via).unwrap(), wanted);
        }
        for via in [
            "workstation",
            "me@workstation",
            "tcp://workstation:22",
            "unix:///x",
            "ssh://workstation/run/x.sock",
            "ssh://-oProxyCommand=x",
            "ssh://me@w;x",
            "ssh://w\nHost *",
        ] {
            let error = machine(via).unwrap_err();
            assert!(error.to_string().contains("does not say how"), "{error}");
            assert!(hint_of(&error).unwrap().contains("--via ssh://"));
        }
    }

    #[test]
    fn each_has_a_block_and_what_its_key_still_needs_is_told() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut registry = Registry::default();
        for id in ["x", "y"] {
            let entry = DevContainer::example(&format!("lace-{id}"), "k");
            registry.devcontainers.insert(id.into(), entry);
        }
        let opener = Opener::default();
        let text = config(&app, &registry, "ssh://me@w", &opener).unwrap();
        for alias in ["lace-x", "lace-y"] {
            let proxy = format!(
                "ProxyCommand ssh -T -o RemoteCommand=none -o ClearAllForwardings=yes me@w /x/lace-ssh proxy {alias}\n"
            );
            assert!(text.contains(&format!("Host {alias}\n    User vscode\n")));
            assert!(text.contains(&proxy), "{text}");
        }
        // Those whose user is not known are left out; where that is all, it is an error.
        let aliases = |registry: &Registry| -> Result<Vec<String>> {
            let text = config(&app, registry, "ssh://me@w", &opener)?;
            let hosts = text
                .lines()
                .filter_map(|line| line.strip_prefix("Host lace-"));
            Ok(hosts.map(str::to_owned).collect())
        };
        assert_eq!(aliases(&registry).unwrap(), ["x", "y"]);
        // One that leads by itself.
        let error = config(&app, &registry, "ssh://me@lace-y:22", &opener).unwrap_err();
        assert!(error.to_string().contains("without end"), "{error}");
        assert!(
            hint_of(&error)
                .unwrap()
                .contains("--via ssh://me@workstation")
        );
        assert!(config(&app, &registry, "ssh://me@lace-yy", &opener).is_ok());
        registry.devcontainers.get_mut("x").unwrap().user = None;
        assert_eq!(aliases(&registry).unwrap(), ["y"]);
        registry.devcontainers.get_mut("y").unwrap().user = None;
        let error = aliases(&registry).unwrap_err();
        assert_eq!(hint_of(&error), Some("lace-ssh connect lace-x -- true"));
        assert_eq!(aliases(&Registry::default()).unwrap(), [""; 0]);

        let mut known = DevContainer::example("lace-x", "k");
        let with = |certificate: Option<&str>| Opener {
            identity: Some("~/.ssh/id".into()),
            certificate: certificate.map(Into::into),
        };
        let told = missing(&known, &opener).unwrap();
        assert!(told.contains("has its public half: lace-ssh access add lace-x "));
        assert!(
            missing(&known, &with(None))
                .unwrap()
                .contains(" (~/.ssh/id.pub there): ")
        );
        let certified = missing(&known, &with(Some("c"))).unwrap();
        assert!(
            certified.starts_with("lace-x trusts no certificate before one was made")
                && certified.contains(" (~/.ssh/id.pub there): lace-ssh cert issue lace-x "),
            "{certified}"
        );
        known.principal = Some("p".into());
        assert_eq!(missing(&known, &with(Some("c"))), None);
        let keyed = missing(&known, &with(None)).unwrap();
        assert!(keyed.contains("lace-ssh access add lace-x "), "{keyed}");
        known.auth = Auth::Certificate;
        assert!(
            missing(&known, &with(None))
                .unwrap()
                .contains("lace-ssh cert issue lace-x ")
        );
        assert_eq!(missing(&known, &with(Some("c"))), None);
    }
}
