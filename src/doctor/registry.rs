//! What is known of the dev containers and keys: it can be read, and is nobody else's version.

use anyhow::Result;

use super::link::{Link, Remedy};
use crate::app::App;
use crate::store::registry::{Damaged, Registry};

/// Its name.
pub const NAME: &str = "registry";

/// Looks at what was read, which may be what the key files tell.
pub fn check(app: &App, registry: &Result<Registry>) -> Link {
    let registry = match (registry, app.store.registry()) {
        (Err(error), _) => return Link::at_fault(NAME, error),
        (_, Err(error)) if error.is::<Damaged>() => {
            let says = format!("{error:#}; what follows is what the key files tell");
            return Link::breaks(NAME, says).mended_by(Remedy::Mend(None));
        }
        (Ok(registry), _) => registry,
    };
    let (known, keys) = (registry.devcontainers.len(), registry.keys.len());
    let counted = format!(
        "{}, {}",
        several(known, "dev container"),
        several(keys, "key")
    );
    match app.store.is_registry_whole() {
        true => Link::holds(NAME, counted),
        false => Link::warns(
            NAME,
            format!("{counted}, by the copy: the registry itself is lost or damaged"),
        )
        .mended_by(Remedy::Mend(None)),
    }
}

fn several(count: usize, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}
