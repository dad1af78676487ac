//! The host key: what is pinned here is what the store has, and what sshd answers with.

use super::link::Link;
use super::patient::Patient;
use crate::keys::PublicKey;
use crate::ring::host_key;

/// Its name.
const NAME: &str = "host-key";

/// Looks.
pub fn check(patient: &Patient<'_>) -> Link {
    let (store, known) = (&patient.app.store, patient.known());
    let pinned = &known.host_key.current;
    let Ok(public) = PublicKey::parse(pinned) else {
        return Link::breaks(NAME, "what is pinned is no host key").mended_by(patient.made_anew());
    };
    let fingerprint = public.fingerprint();
    match &known.host_key.next {
        Some(_) => Link::warns(
            NAME,
            format!("{fingerprint} is pinned, and the one that is to take its place"),
        )
        .advise(format!(
            "the next `devcontainer up` goes on with it; or now: lace-ssh host-key rotate {}",
            known.alias
        )),
        None if !host_key::is_in_place(store, patient.id, pinned) => {
            let (kept, mounted) = (
                store.host_key(patient.id),
                store.mounted_host_key(patient.id),
            );
            let is_read = host_key::is_of(&mounted, pinned);
            let says = match is_read {
                true => format!(
                    "{fingerprint} is pinned, and {} does not have it",
                    kept.display()
                ),
                false => format!("{fingerprint} is pinned, and is not the one that sshd reads"),
            };
            Link::breaks(NAME, says).mended_by(patient.made_anew())
        }
        None => Link::holds(NAME, format!("{fingerprint} is pinned")),
    }
}
