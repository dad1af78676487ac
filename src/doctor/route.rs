//! The route that ssh takes, and why not another.

use super::link::Link;
use super::patient::Patient;
use crate::route::routes::{self, Route};

/// Its name.
const NAME: &str = "route";

/// Looks.
pub fn check(patient: &Patient<'_>) -> Link {
    let Some((engine, container)) = patient.running() else {
        return Link::unknown(NAME, patient.not_looked_into());
    };
    let port = patient.known().port;
    let routes = routes::of(engine, container, true, port);
    told(&routes, &routes::left_out(engine, container, true, port))
}

fn told(routes: &[Route], left_out: &[(&str, String)]) -> Link {
    let shown = |route: &Route| match route.address() {
        Some(address) => format!("{} at {address}", route.name()),
        None => route.name().to_owned(),
    };
    let reasons = left_out
        .iter()
        .map(|(name, why)| format!("no {name}: {why}"));
    let Some((first, rest)) = routes.split_first() else {
        let reasons: Vec<_> = reasons.collect();
        return Link::breaks(NAME, format!("none leads there; {}", reasons.join("; ")));
    };
    let others = rest.iter().map(|route| format!("else {}", shown(route)));
    let parts: Vec<_> = std::iter::once(shown(first))
        .chain(others)
        .chain(reasons)
        .collect();
    Link::holds(NAME, parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_route_is_told_and_why_there_are_no_others() {
        let exec = Route::Exec {
            container: "c".into(),
        };
        let published = Route::Published("127.0.0.1:32768".parse().unwrap());
        let no_bridge = [("bridge", "its engine is elsewhere".to_owned())];
        let link = told(&[published, exec], &no_bridge);
        assert_eq!(
            link,
            Link::holds(
                "route",
                "published at 127.0.0.1:32768; else exec; no bridge: its engine is elsewhere"
            )
        );
        let link = told(&[], &no_bridge);
        assert_eq!(
            link,
            Link::breaks(
                "route",
                "none leads there; no bridge: its engine is elsewhere"
            )
        );
    }
}
