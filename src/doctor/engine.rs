//! The engine: it answers, and which of several has the container.

use super::link::Link;
use super::patient::Patient;
use crate::app::App;
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
    let says = format!("{}{version} at {at}{of_several}", engine.command());
    match named(patient.app) {
        Some((variable, meant)) if !asked.answered.contains(&meant) => Link::warns(
            NAME,
            format!(
                "{says}; but {variable} names {}, which does not answer",
                without_folder(&meant)
            ),
        )
        .advise(format!(
            "unset {variable}, or start that engine: `devcontainer up` asks no other"
        )),
        _ => Link::holds(NAME, says),
    }
}

/// What the environment says where the engine is, and the variable that says so.
fn named(app: &App) -> Option<(&'static str, String)> {
    let environment = app.environment;
    let variables = [
        ("DOCKER_HOST", &environment.docker_host),
        ("DOCKER_CONTEXT", &environment.docker_context),
    ];
    let (variable, _) = variables.into_iter().find(|(_, value)| value.is_some())?;
    let meant =
        endpoint::endpoint(environment).unwrap_or_else(|_| "nothing that can be understood".into());
    Some((variable, meant))
}
