//! `setup`: wires a workspace. Reads the config file, plans the edits, shows them, writes them.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::advice::{failure, shell};
use crate::app::App;
use crate::change::Change;
use crate::cli;
use crate::devcontainer::{Problem, SCHEMA_FILE, options};
use crate::settings;
use crate::talk::agree::{Outcome, agree};
use crate::talk::{print_json, say};
use crate::workspace::target::Target;
use crate::workspace::wired::{Wired, wired};
use crate::workspace::{compose, config, feature, original, target, user_config};

/// Runs `setup`.
pub fn run(app: &App, args: &cli::Setup) -> Result<ExitCode> {
    let target = target::find(app, &args.workspace.place())?;
    let flags = target.flags(&app.environment.folder);
    refuse_line_break(&target)?;
    refuse_store(app, &target)?;
    let settings = settings::read(&app.store)?;
    let config = config::read(&target.config, &settings.defaults)?;
    let mut wanted = config::wiring(&target, &config);
    if let Some(asked) = &args.feature {
        if let Some(there) = config.feature.as_ref().filter(|there| *there != asked) {
            return Err(failure(
                format!(
                    "{} has the Feature {there} already",
                    target.config.display()
                ),
                format!("lace-ssh remove {flags} && lace-ssh setup {flags} --feature {asked}"),
            ));
        }
        wanted.feature.clone_from(asked);
    }
    wanted.schema = args
        .schema
        .then(|| format!("{}/{SCHEMA_FILE}", config::local_feature(&target)));
    let Wired { mut plan, text } = wired(&target, &config, &wanted)?;
    let written = text.as_bytes();
    let local = config::is_copy(&wanted.feature, &target);
    if args.schema {
        let file = feature::checked_folder(&target.folder)?.join(SCHEMA_FILE);
        let schema = options::document_schema()?.into_bytes();
        plan.add(Change::of_ours(&file)?.becomes(Some(schema)));
    }
    let offer = !args.no_client_config && !user_config::was_offered(app)?;
    if args.json {
        print_json(&plan.json()?)?;
        return Ok(ExitCode::from(u8::from(
            args.consent.check && !plan.is_empty(),
        )));
    }

    for remark in config.remarks {
        tell(&target.config, remark);
    }
    if let Some(why) = config
        .compose
        .filter(|_| config.options.publish)
        .and_then(|it| compose::unpublished(&target, &it))
    {
        say(format!("no port is published, for {why}"));
    }
    let outcome = agree(
        &plan,
        args.consent.given(app.environment),
        "write this?",
        || {
            app.store.prepare()?;
            original::keep(&app.store, &target.config, &config.text, written)
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
        user_config::offer(app, args.consent.given(app.environment))?;
    } else if !args.no_client_config && !user_config::is_installed(app)? {
        say("plain ssh does not know its name yet: lace-ssh client-config install");
    }
    if outcome == Outcome::Applied {
        say(format!(
            "next: devcontainer up {flags} (where a container exists already, add --remove-existing-container)"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// CLIs hand the workspace folder to the engine in a form that ends there.
fn refuse_line_break(target: &Target) -> Result<()> {
    let folder = &target.folder;
    match folder.as_os_str().as_bytes().contains(&b'\n') {
        true => Err(failure(
            format!(
                "the path {folder:?} has a line break, and no dev container CLI can mount such a folder"
            ),
            "give the folder another name",
        )),
        false => Ok(()),
    }
}

/// A repository may bring a link; what is ours is no config file.
fn refuse_store(app: &App, target: &Target) -> Result<()> {
    let (config, root) = (
        target.config.canonicalize(),
        app.store.root().canonicalize(),
    );
    match config.ok().zip(root.ok()) {
        Some((config, root)) if config.starts_with(&root) => Err(failure(
            format!(
                "{} is a link to {}, which is lace-ssh's own",
                target.config.display(),
                config.display()
            ),
            format!("take it away: rm {}", shell(&target.config)),
        )),
        _ => Ok(()),
    }
}

fn tell(path: &Path, remark: Problem) {
    let hint = remark.hint().map(str::to_owned);
    say(format!("warning: {}:{remark}", path.display()));
    if let Some(hint) = hint {
        say(format!("hint: {hint}"));
    }
}

fn put_binary(app: &App, target: &Target) -> Result<()> {
    feature::put_binary(
        &feature::checked_folder(&target.folder)?,
        &app.environment.program,
    )?;
    if !feature::RUNS_IN_CONTAINERS {
        say(
            "this binary cannot run in a container; `post-start` is left out (ssh works all the same)",
        );
    }
    Ok(())
}
