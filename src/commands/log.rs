//! `log`: what happened to which key, when; and whether the log still is what was written.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use super::table::{self, Cell};
use super::{App, now, say};
use crate::cli;
use crate::durable;
use crate::store::audit::{self, Filter, Record};

/// Runs `log`.
pub fn run(app: &App, args: &cli::Log) -> Result<ExitCode> {
    let path = app.store.audit();
    let log = durable::read(&path)?.unwrap_or_default();
    if args.verify {
        return verify(app, &log);
    }
    let since = args
        .since
        .map(|ago: Duration| now() - i64::try_from(ago.as_secs()).unwrap_or(0));
    let filter = Filter {
        key: args.key.as_deref(),
        since: since.map(Timestamp::from_second).transpose()?,
    };
    let records = audit::read(&log, &filter);
    if args.json {
        let events = records
            .iter()
            .map(|record| serde_json::from_str(&record.render()));
        println!(
            "{:#}",
            serde_json::Value::Array(events.collect::<Result<_, _>>()?)
        );
    } else if records.is_empty() {
        say("nothing has happened to any such key");
    } else {
        print!(
            "{}",
            table::render(&records.iter().map(row).collect::<Vec<_>>())
        );
    }
    Ok(ExitCode::SUCCESS)
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

fn verify(app: &App, log: &[u8]) -> Result<ExitCode> {
    let registry = app
        .store
        .registry()
        .context("the end of the log cannot be checked")?;
    let report = audit::verify(log, registry.audit_head.as_ref());
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
    println!("{} events, all in order{head}", report.events);
    Ok(ExitCode::SUCCESS)
}
