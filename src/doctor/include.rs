//! `~/.ssh/config`: ssh reads it, and it includes ours.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::effect::{self, Effect};
use super::link::{Link, Remedy};
use crate::advice::shell;
use crate::app::App;
use crate::store::registry::Registry;
use crate::workspace::user_config;

/// Its name.
const NAME: &str = "include";

/// Looks; any dev container that is known tells whether another way of including it works.
pub fn check(app: &App, registry: Option<&Registry>) -> Link {
    let path = user_config::path(app);
    if let Some(why) = refused(&path) {
        return why;
    }
    let one = registry.and_then(|it| it.devcontainers.values().next());
    let is_in_effect = || {
        let effect = one.map(|known| effect::of(app, &known.alias));
        matches!(effect, Some(Ok(Effect::Ours | Effect::Beside(_))))
    };
    match user_config::is_installed(app) {
        Ok(true) => Link::holds(NAME, format!("{} includes ours", path.display())),
        Ok(false) if is_in_effect() => {
            Link::holds(NAME, format!("{} includes ours, in another way", path.display()))
        }
        Ok(false) => Link::breaks(
            NAME,
            format!(
                "{} does not include {} above every Host and Match, so `ssh NAME` knows no dev container",
                path.display(),
                app.store.config().display()
            ),
        )
        .mended_by(Remedy::asking(&["client-config", "install"])),
        Err(error) => {
            let link = Link::at_fault(NAME, &error);
            match &link.remedy {
                Some(_) => link,
                None => link.advise(format!("mend {}", shell(&path))),
            }
        }
    }
}

/// ssh reads no configuration that somebody else can have written.
fn refused(path: &Path) -> Option<Link> {
    let metadata = fs::metadata(path).ok()?;
    let (mode, owner) = (metadata.permissions().mode() & 0o777, metadata.uid());
    let uid = rustix::process::geteuid().as_raw();
    let shown = path.display();
    if ![0, uid].contains(&owner) {
        let says = format!("{shown} belongs to user {owner}, so ssh does not read it");
        let chown = format!("sudo chown {uid} {}", shell(path));
        return Some(Link::breaks(NAME, says).advise(chown));
    }
    (mode & 0o022 != 0).then(|| {
        let says = format!("others may write to {shown}, so ssh does not read it");
        let modes = vec![(path.to_owned(), mode & !0o022)];
        Link::breaks(NAME, says).mended_by(Remedy::Modes(modes))
    })
}
