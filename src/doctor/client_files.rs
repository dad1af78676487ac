//! The files that ssh reads, as they follow from the registry.

use super::link::{Link, Remedy};
use super::patient::Patient;
use crate::ring::publish;

/// Its name.
const NAME: &str = "client-files";

/// Looks.
pub fn check(patient: &Patient<'_>) -> Link {
    let store = &patient.app.store;
    let (saved, known) = patient.saved();
    let differing = publish::differing_for_clients(patient.app, patient.settings, saved, known);
    match differing.as_deref() {
        Ok([]) => {
            let files = format!("{} and known_hosts", store.config().display());
            Link::holds(NAME, format!("{files} have it"))
        }
        Ok(differing) => {
            let files: Vec<_> = differing
                .iter()
                .map(|it| it.display().to_string())
                .collect();
            let files = files.join(" and ");
            Link::breaks(NAME, format!("not as it must be in {files}"))
                .mended_by(Remedy::Mend(Some(known.alias.clone())))
        }
        // What is in the place of one is told by whoever would write it, with the way out.
        Err(error) => {
            Link::at_fault(NAME, error).mended_by(Remedy::Mend(Some(known.alias.clone())))
        }
    }
}
