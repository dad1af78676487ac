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
