//! The log of what happened to which key: each line follows from the one before, and none is missing.

use anyhow::Result;

use super::link::Link;
use crate::app::App;
use crate::durable;
use crate::store::LARGEST_LOG;
use crate::store::audit::{self, Report};
use crate::store::registry::Registry;

/// Its name.
const NAME: &str = "log";

/// Looks.
pub fn check(app: &App, registry: &Registry) -> Link {
    let read = || -> Result<Report> {
        let log = durable::read(&app.store.audit(), LARGEST_LOG)?.unwrap_or_default();
        Ok(audit::verify(&log, registry.audit_head.as_ref()))
    };
    match read() {
        Err(error) => Link::at_fault(NAME, &error),
        Ok(report) if report.is_intact() => {
            Link::holds(NAME, format!("{} events, all in order", report.events))
        }
        Ok(report) => {
            let faults: Vec<_> = report.faults.iter().map(ToString::to_string).collect();
            Link::breaks(
                NAME,
                format!(
                    "{} is not what was written: {}",
                    app.store.audit().display(),
                    faults.join("; ")
                ),
            )
            .advise("it was changed, cut off or taken away by hand, and nothing puts it back; see what is left: lace-ssh log --verify")
        }
    }
}
