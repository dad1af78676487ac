//! The remote user that only the container knows: learnt at the moment of connecting, written down
//! without the key ring's lock.

use anyhow::Result;

use crate::advice::failure;
use crate::app::App;
use crate::devcontainer::options;
use crate::store::learnt;
use crate::store::registry::DevContainer;

/// Writes the user of a dev container down, for this connection and all later ones. The next command
/// that holds the lock takes him into the registry.
///
/// # Errors
/// The container names none that can be one; or the file cannot be written.
pub fn learn(app: &App, devcontainer: &DevContainer, user: &str) -> Result<()> {
    if !options::is_user(user) {
        return Err(failure(
            format!("the container names the remote user {user:?}, which cannot be one"),
            "name it in devcontainer.json: \"remoteUser\": \"vscode\"",
        ));
    }
    learnt::write(&app.store, &devcontainer.alias, user)
}

/// The user as far as he is known.
pub fn known(app: &App, devcontainer: &DevContainer) -> Option<String> {
    let learnt = (!devcontainer.user_chosen)
        .then(|| learnt::read(&app.store, &devcontainer.alias))
        .flatten();
    learnt.or_else(|| devcontainer.user.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;

    #[test]
    fn what_was_learnt_goes_before_the_record_but_not_before_the_users_own_choice() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut devcontainer = DevContainer::example("lace-x", "k");
        let other = DevContainer::example("lace-y", "k");
        assert_eq!(known(&app, &devcontainer).as_deref(), Some("vscode"));
        // Such a name would end up in a configuration that ssh reads.
        for user in ["", "-oProxyCommand=x", "a b", "a\n    ProxyCommand x", "%r"] {
            assert!(learn(&app, &devcontainer, user).is_err(), "{user:?}");
        }
        assert_eq!(known(&app, &devcontainer).as_deref(), Some("vscode"));
        learn(&app, &devcontainer, "node").unwrap();
        assert_eq!(known(&app, &devcontainer).as_deref(), Some("node"));
        assert_eq!(known(&app, &other).as_deref(), Some("vscode"));
        devcontainer.user_chosen = true;
        assert_eq!(known(&app, &devcontainer).as_deref(), Some("vscode"));
        devcontainer.user = None;
        assert_eq!(known(&app, &devcontainer), None);
    }
}
