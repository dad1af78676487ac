//! The files that ssh reads, as they follow from the registry.

use super::link::{Link, Remedy};
use super::patient::Patient;
use crate::ring::publish;

/// Its name.
const NAME: &str = "client-files";

/// Looks.
pub fn check(patient: &Patient<'_>) -> Link {
    let (store, known) = (&patient.app.store, patient.known());
    let current =
        publish::clients_are_current(patient.app, patient.settings, patient.registry, known);
    let files = format!("{} and known_hosts", store.config().display());
    match current {
        Ok(true) => Link::holds(NAME, format!("{files} have it")),
        Ok(false) => Link::breaks(NAME, format!("{files} do not have it as it must be"))
            .mended_by(Remedy::Mend(Some(known.alias.clone()))),
        Err(error) => Link::at_fault(NAME, &error),
    }
}
