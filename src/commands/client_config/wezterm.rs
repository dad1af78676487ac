//! `client-config --format wezterm`: what WezTerm reads; those that it cannot enter are told.

use anyhow::Result;

use crate::app::App;
use crate::client::wezterm;
use crate::inventory;
use crate::route::user;
use crate::settings::Settings;
use crate::store::registry::{Custody, DevContainer, Registry};
use crate::talk::say;

/// The Lua for all that it can enter.
pub fn config(app: &App, settings: &Settings, registry: &Registry) -> Result<String> {
    let all = registry.devcontainers.values();
    let with_users = all.map(|known| (known, user::known(app, known)));
    let (good, others): (Vec<_>, Vec<_>) = with_users
        .map(|(known, user)| (known, why_not(registry, known, user.as_deref()), user))
        .partition(|(_, why_not, _)| why_not.is_none());
    for (known, why_not, _) in others {
        let why_not = why_not.unwrap_or_default();
        say(format!("{} is left out: {why_not}", known.alias));
    }
    let hosts: Vec<_> = good
        .iter()
        .map(|(known, _, user)| inventory::Host {
            user: user.as_deref(),
            ..inventory::host(app, settings, registry, known)
        })
        .collect();
    wezterm::domains(&hosts, &inventory::paths(app, settings))
}

/// Why WezTerm cannot enter it.
fn why_not(registry: &Registry, known: &DevContainer, user: Option<&str>) -> Option<&'static str> {
    let custody = registry.keys.get(&known.key).map(|key| &key.custody);
    match custody {
        _ if !known.auth.takes_keys() => {
            Some("it is opened by certificates, which WezTerm's libssh does not know")
        }
        Some(Custody::Agent) => Some(
            "its key is in the agent for one destination, which WezTerm's libssh does not know",
        ),
        Some(Custody::SecurityKey) => {
            Some("its key is in a security key, which WezTerm's libssh does not know")
        }
        _ if user.is_none() => Some("its remote user is not known before its first connection"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use crate::keys::KeyPair;
    use crate::ring::record;
    use crate::store::registry::{Auth, Origin};

    #[test]
    fn those_that_libssh_can_enter_are_there_and_no_other() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let public = KeyPair::generate(&[1; 32], "x").unwrap().public();
        let mut registry = Registry::default();
        for (name, custody) in [
            ("file", Custody::File),
            ("encrypted", Custody::EncryptedFile),
            ("agent", Custody::Agent),
            ("token", Custody::SecurityKey),
            ("user-agent", Custody::UserAgent),
        ] {
            let key = record::new(&public, custody, Origin::Generated, 0);
            registry.keys.insert(name.into(), key);
            let known = DevContainer::example(&format!("lace-{name}"), name);
            registry.devcontainers.insert(name.into(), known);
        }
        let mut certified = DevContainer::example("lace-certified", "file");
        certified.auth = Auth::Certificate;
        let mut nobody = DevContainer::example("lace-nobody", "file");
        nobody.user = None;
        registry.devcontainers.insert("c".into(), certified);
        registry.devcontainers.insert("n".into(), nobody);
        let text = config(&app, &Settings::default(), &registry).unwrap();
        let names: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("    name = "))
            .collect();
        assert_eq!(
            names,
            [
                "\"lace-encrypted\",",
                "\"lace-file\",",
                "\"lace-user-agent\","
            ]
        );
        // Learnt since, which the registry has not taken in yet.
        let known = &registry.devcontainers["n"];
        assert!(
            why_not(&registry, known, None)
                .unwrap()
                .contains("remote user")
        );
        app.store.prepare().unwrap();
        user::learn(&app, known, "node").unwrap();
        let text = config(&app, &Settings::default(), &registry).unwrap();
        assert!(text.contains("name = \"lace-nobody\",\n") && text.contains("username = \"node\""));
    }
}
