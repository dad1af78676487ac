//! The engine: it answers, and which of several has the container.

use super::link::Link;
use super::patient::Patient;
use crate::engine::endpoint;

/// Its name.
const NAME: &str = "engine";

/// Looks.
pub fn check(patient: &Patient<'_>) -> Link {
    let asked = patient.engines();
    let place = match &asked.place {
        Ok(place) => place,
        Err(trouble) => return Link::at_fault(NAME, &trouble.clone().into_error()),
    };
    let engine = &place.engine;
    let version = engine.version().map_or_else(
        |_| String::new(),
        |(version, api)| format!(" {version}, API {api},"),
    );
    let of_several = match asked.answered.len() {
        ..=1 => String::new(),
        several => format!(", one of {several} that answer"),
    };
    // Its address may hold a path to certificates.
    let without_folder = |address: &str| address.split('#').next().unwrap_or_default().to_owned();
    let at = without_folder(engine.address());
    let says = format!("{}{version} at {at}{of_several}", engine.program());
    let (named_by, meant) = endpoint::of_docker(patient.app.environment);
    let answers = |meant: &str| asked.answered.iter().any(|it| endpoint::is_one(it, meant));
    let advice = |variable| match variable {
        endpoint::CONTEXT => {
            "docker context use default; `devcontainer up` asks no other".to_owned()
        }
        _ => format!("unset {variable}, or start that engine: `devcontainer up` asks no other"),
    };
    match (named_by, meant) {
        (Some(variable), Err(error)) => Link::warns(
            NAME,
            format!("{says}; but {variable} leads nowhere: {error:#}"),
        )
        .advise(advice(variable)),
        (Some(variable), Ok(meant)) if !answers(&meant) => Link::warns(
            NAME,
            format!(
                "{says}; but {variable} names {}, which does not answer",
                without_folder(&meant)
            ),
        )
        .advise(advice(variable)),
        // One elsewhere is named by the settings, and meant to be another.
        (_, Ok(meant))
            if engine.program() == endpoint::DOCKER
                && engine.is_here()
                && !endpoint::is_one(engine.address(), &meant) =>
        {
            Link::warns(
                NAME,
                format!(
                    "{says}; but `docker` and `devcontainer up` ask {} here",
                    without_folder(&meant)
                ),
            )
            .advise(format!(
                "for what they shall do with this one: export DOCKER_HOST={at}"
            ))
        }
        _ => Link::holds(NAME, says),
    }
}
