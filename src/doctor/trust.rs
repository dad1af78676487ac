//! The trust folder: what the dev container reads is what the registry says of it.

use super::link::Link;
use super::patient::Patient;
use crate::ring::publish;
use crate::trust::REVOKED_KEYS;

/// Its name.
const NAME: &str = "trust";

/// Looks.
pub fn check(patient: &Patient<'_>) -> Link {
    let app = patient.app;
    let folder = app.store.trust(patient.id);
    let (saved, known) = patient.saved();
    let names = match publish::stale(&app.store, saved, patient.id, known, patient.now) {
        Ok(paths) => paths
            .iter()
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect::<Vec<_>>(),
        // As for what ssh reads: who would write it tells what is in the way.
        Err(error) => return Link::at_fault(NAME, &error).mended_by(patient.made_anew()),
    };
    if names.is_empty() {
        return Link::holds(NAME, format!("{} is as it must be", folder.display()));
    }
    let is_gone = |name: &str| !folder.join(name).exists();
    let refuses = match names
        .iter()
        .any(|name| name == REVOKED_KEYS && is_gone(name))
    {
        true => "; without a list of what is revoked, sshd refuses everybody",
        false => "",
    };
    let says = format!(
        "not as they must be in {}: {}{refuses}",
        folder.display(),
        names.join(", ")
    );
    Link::breaks(NAME, says).mended_by(patient.made_anew())
}
