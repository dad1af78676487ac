//! `log`: what happened to which key, when; and whether the log still is what was written.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use crate::app::{App, now};
use crate::cli;
use crate::durable;
use crate::ring::{self, named};
use crate::store::LARGEST_LOG;
use crate::store::audit::{self, Filter, Record};
use crate::talk::table::{self, Cell};
use crate::talk::{print, print_json, say};

/// Runs `log`.
pub fn run(app: &App, args: &cli::Log) -> Result<ExitCode> {
    if args.verify {
        return verify(app);
    }
    let registry = ring::look(app)?;
    let log = read(app)?;
    // A key that is gone is in the log only.
    let key = args.key.as_deref().map(|text| {
        let found = named::find(&registry, text);
        found.map_or_else(|_| text.to_owned(), |(name, _)| name)
    });
    let since = args
        .since
        .map(|ago: Duration| now().saturating_sub_unsigned(ago.as_secs()).max(0));
    let filter = Filter {
        key: key.as_deref(),
        since: since.map(Timestamp::from_second).transpose()?,
    };
    let records = audit::read(&log, &filter);
    if records.is_empty() {
        say("nothing has happened to any such key");
    }
    if args.json {
        let events = records
            .iter()
            .map(|record| serde_json::from_str(&record.render()));
        let events = serde_json::Value::Array(events.collect::<Result<_, _>>()?);
        return print_json(&events);
    }
    print(table::render(&records.iter().map(row).collect::<Vec<_>>()))
}

fn row(record: &Record) -> [Cell<'_>; 6] {
    let event = &record.event;
    let how = match &event.detail {
        Some(detail) => format!("({}) {detail}", event.command),
        None => format!("({})", event.command),
    };
    [
        event.time.to_string().into(),
        event.kind.as_str().into(),
        event.key.as_str().into(),
        event.fingerprint.as_deref().unwrap_or_default().into(),
        event.dev_container.as_deref().unwrap_or_default().into(),
        how.into(),
    ]
}

fn read(app: &App) -> Result<Vec<u8>> {
    Ok(durable::read(&app.store.audit(), LARGEST_LOG)?.unwrap_or_default())
}

fn verify(app: &App) -> Result<ExitCode> {
    // The registry first: a log that has grown since is no fault.
    let registry = app
        .store
        .registry()
        .context("the end of the log cannot be checked")?;
    let report = audit::verify(&read(app)?, registry.audit_head.as_ref());
    for line in &report.torn {
        say(format!(
            "line {line} was torn by a crash; nothing else is missing"
        ));
    }
    for fault in &report.faults {
        say(fault);
    }
    if !report.is_intact() {
        bail!("{} is not what was written", app.store.audit().display());
    }
    let head = report.head.map_or_else(String::new, |head| {
        format!(", the last one is {} {}", head.number, head.hash)
    });
    print(format_args!(
        "{} events, all in order{head}\n",
        report.events
    ))
}
