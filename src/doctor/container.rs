//! The container: there is one, it runs, and it is certainly the dev container's own.

use super::link::{Link, Remedy};
use super::patient::Patient;
use crate::engine::Found;
use crate::route::{engines, way};

/// Its name.
const NAME: &str = "container";

/// Looks.
pub fn check(patient: &Patient<'_>) -> Link {
    let known = patient.known();
    let Ok(place) = &patient.engines().place else {
        return Link::unknown(NAME, patient.not_looked_into());
    };
    if let Found::Several(all) = &place.found {
        return Link::at_fault(NAME, &engines::several(&place.engine, &known.alias, all));
    }
    // Says which one, and what is next, in the words of a connection that fails.
    let way = match way::way_at(patient.app, place, patient.id, known) {
        Ok(way) => way,
        Err(error) => {
            let link = Link::at_fault(NAME, &error);
            return match &place.found {
                Found::One(container) if container.is_stopped() => {
                    link.mended_by(Remedy::silent(&["connect", &known.alias, "--", "true"]))
                }
                _ => link,
            };
        }
    };
    let name = &way.container.name;
    match &place.found {
        Found::One(_) => Link::holds(NAME, format!("{name} runs")),
        _ => {
            let folder = way.container.trust_folder();
            let folder = folder
                .map(|it| it.display().to_string())
                .unwrap_or_default();
            Link::warns(
                NAME,
                format!("{name} runs, with {folder} mounted, which is named like the folder of this store: it counts once it has proven the host key"),
            )
            .advise("that is so where the engine is in a virtual machine; else the container is of another store, such as the one that this is a copy of")
        }
    }
}
