//! The private half of its key: it is where the registry has it, and ssh can use it.

use super::link::Link;
use super::patient::Patient;
use crate::app::App;
use crate::ring::identity::is_encrypted;
use crate::ring::{agent, identity};
use crate::store::registry::{Custody, Key};

/// Its name.
const NAME: &str = "key";

/// Looks.
pub fn check(patient: &Patient<'_>) -> Link {
    let name = &patient.known().key;
    let Some(key) = patient.key() else {
        return Link::breaks(NAME, format!("there is no key {name} any more"))
            .mended_by(patient.made_anew());
    };
    let file = patient.app.store.identity(name);
    let says = match identity::read_public(&file) {
        Ok(Some(public)) if public.render_bare() == key.public => {
            return held(patient.app, name, key);
        }
        Ok(Some(public)) => format!(
            "{} is {}, not {}, which the dev container trusts",
            file.display(),
            public.fingerprint(),
            key.fingerprint
        ),
        Ok(None) => format!("{} is not there", file.display()),
        // With what is there out of the way, another one is made; what is no file at all, another link tells.
        Err(error) => {
            let link = Link::at_fault(NAME, &error);
            let anew = patient.made_anew().shown();
            return match &link.remedy {
                Some(first) => {
                    let advice = format!("{}; {anew}", first.shown());
                    link.advise(advice)
                }
                None => link,
            };
        }
    };
    Link::breaks(NAME, says).mended_by(patient.made_anew())
}

/// Whether whoever keeps the private half has it.
fn held(app: &App, name: &str, key: &Key) -> Link {
    let is_held = || agent::holds(app, key);
    let told = match key.custody {
        Custody::File if !is_encrypted(&app.store.identity(name)).unwrap_or(false) => "in its file",
        Custody::File | Custody::EncryptedFile if is_held() => {
            "in its file, under a passphrase, and in the agent"
        }
        Custody::File | Custody::EncryptedFile => {
            "in its file, under a passphrase that ssh asks for"
        }
        Custody::SecurityKey => "in a security key, which has to be touched",
        Custody::Agent | Custody::UserAgent | Custody::Unknown(_) if is_held() => "in the agent",
        Custody::Agent => {
            return Link::warns(NAME, format!("{name} is not in the agent any more"))
                .advise("the next ssh makes it anew, and the dev container trusts that one");
        }
        Custody::UserAgent | Custody::Unknown(_) => {
            return Link::breaks(
                NAME,
                format!("{name} is in the agent that it came from, and that one does not have it"),
            )
            .advise("add it: ssh-add; or see where it is: ssh-add -L");
        }
    };
    Link::holds(NAME, format!("{name}, {told}"))
}
