//! `setup`: wires a workspace. Reads the config file, plans the edits, shows them, writes them.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use super::client_config;
use super::target::{self, Target};
use crate::advice::failure;
use crate::app::App;
use crate::change::{Change, Plan, Reason};
use crate::cli;
use crate::devcontainer::{Edited, Explanation, Problem, SCHEMA_FILE, options, unwire_with, wire};
use crate::feature;
use crate::store::{Store, undo};
use crate::talk::agree::{Outcome, agree};
use crate::talk::{print_as_is, say};

/// Runs `setup`.
pub fn run(app: &App, args: &cli::Setup) -> Result<ExitCode> {
    let target = target::find(app, &args.workspace)?;
    let config = target::read(&target.config)?;
    let mut wanted = target::wiring(&target, &config);
    if let Some(asked) = &args.feature {
        if let Some(there) = config.feature.filter(|there| there != asked) {
            return Err(failure(
                format!(
                    "{} has the Feature {there} already",
                    target.config.display()
                ),
                format!("lace-ssh remove && lace-ssh setup --feature {asked}"),
            ));
        }
        wanted.feature.clone_from(asked);
    }
    let at_fault = |problem| target::located(&target.config, problem);
    wanted.schema = args
        .schema
        .then(|| format!("{}/{SCHEMA_FILE}", target::local_feature(&target)));
    let edited = wire(&config.text, &wanted).map_err(at_fault)?;

    let mut plan = Plan::default();
    let written = edited.text.as_bytes();
    plan.add(
        Change::of(&target.config)?
            .becomes(Some(written.to_vec()))
            .because(reasons(&edited)),
    );
    let local = target::is_copy(&wanted.feature, &target);
    if local {
        add_feature(&mut plan, &target)?;
    }
    if args.schema {
        let file = feature::checked_folder(&target.folder)?.join(SCHEMA_FILE);
        let schema = options::document_schema()?.into_bytes();
        plan.add(Change::of_ours(&file)?.becomes(Some(schema)));
    }
    let offer = !args.no_client_config && !client_config::was_offered(app)?;
    if args.json {
        print_as_is(format_args!("{:#}\n", plan.json()?))?;
        return Ok(ExitCode::from(u8::from(
            args.consent.check && !plan.is_empty(),
        )));
    }

    for remark in config.remarks {
        tell(&target.config, remark);
    }
    let outcome = agree(
        &plan,
        args.consent.given(app.environment),
        "write this?",
        || {
            app.store.prepare()?;
            keep_original(&app.store, &target.config, &config.text, written)
        },
    )?;
    if outcome == Outcome::Shown {
        return Ok(ExitCode::from(u8::from(!args.consent.dry_run)));
    }
    if local && !args.consent.looks_only() {
        put_binary(app, &target)?;
    }
    match outcome {
        Outcome::Nothing => say(format!("{} is wired already", target.config.display())),
        _ => say(format!("wired {}", target.config.display())),
    }
    if offer && !args.consent.looks_only() {
        client_config::offer(app, args.consent)?;
    } else if !args.no_client_config && !client_config::is_installed(app)? {
        say("plain ssh does not know its name yet: lace-ssh client-config install");
    }
    if outcome == Outcome::Applied {
        say(
            "next: devcontainer up --workspace-folder . (where a container exists already, add --remove-existing-container)",
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The reasons of an edit, as the preview shows them.
pub fn reasons(edited: &Edited) -> Vec<Reason> {
    let pointer = |path: &[String]| {
        path.iter()
            .map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1")))
            .collect()
    };
    let reason = |edit: &Explanation| Reason {
        path: pointer(&edit.path),
        reason: edit.reason.to_owned(),
        before: edit.before.clone(),
        after: edit.after.clone(),
        lines: edit.lines.clone(),
    };
    edited.edits.iter().map(reason).collect()
}

/// Remembers what a config file was like without us. Where an earlier `setup` left something of
/// ours in it, that is the text with it taken out.
pub fn keep_original(store: &Store, path: &Path, text: &str, written: &[u8]) -> Result<()> {
    if text.as_bytes() == written {
        return Ok(());
    }
    if let Some(undo::Original::Bytes(bytes)) = undo::original(store, path, text.as_bytes())? {
        return undo::keep(store, path, Some(&bytes), written);
    }
    let before = original_text(store, path)?;
    match unwire_with(text, before.as_deref(), |_| false) {
        Ok(edited) if edited.modified.is_empty() => {
            undo::keep(store, path, Some(edited.text.as_bytes()), written)
        }
        // `remove` has to ask about what was changed by hand: there are no bytes to go back to.
        Ok(edited) => {
            let known = before.unwrap_or(edited.text);
            undo::keep(store, path, Some(known.as_bytes()), &[])
        }
        Err(_) => undo::keep(store, path, Some(text.as_bytes()), written),
    }
}

/// The text of a config file before the first `setup`, as far as it is known.
pub fn original_text(store: &Store, path: &Path) -> Result<Option<String>> {
    Ok(match undo::before(store, path)? {
        Some(undo::Original::Bytes(bytes)) => String::from_utf8(bytes).ok(),
        _ => None,
    })
}

fn tell(path: &Path, remark: Problem) {
    let hint = remark.hint().map(str::to_owned);
    say(format!("warning: {}:{remark}", path.display()));
    if let Some(hint) = hint {
        say(format!("hint: {hint}"));
    }
}

fn add_feature(plan: &mut Plan, target: &Target) -> Result<()> {
    let folder = feature::checked_folder(&target.folder)?;
    for (name, text) in feature::FILES {
        let change = Change::of_ours(&folder.join(name))?;
        plan.add(change.becomes(Some(text.as_bytes().to_vec())));
    }
    Ok(())
}

fn put_binary(app: &App, target: &Target) -> Result<()> {
    feature::put_binary(
        &feature::checked_folder(&target.folder)?,
        &app.environment.program,
    )?;
    if !cfg!(target_os = "linux") {
        say(
            "this binary cannot run in a container; `post-start` is left out (ssh works all the same)",
        );
    }
    Ok(())
}
