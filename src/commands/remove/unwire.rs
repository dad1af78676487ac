//! Undoes what `setup` did to a workspace.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::app::App;
use crate::change::{Change, Plan, Reason};
use crate::cli;
use crate::devcontainer::{
    Document, Modified, Problem, SCHEMA_FILE, compose, features, find, options, unwire,
};
use crate::durable;
use crate::ring;
use crate::store::other_ids;
use crate::store::undo::{self, Original};
use crate::talk::agree::{Outcome, agree};
use crate::talk::{ask, say};
use crate::workspace::target::Target;
use crate::workspace::{self, config, feature, original};

/// Takes out of the config file what is ours, and the files that it names, after showing it.
///
/// # Errors
/// A file cannot be read, understood or written.
pub fn run(app: &App, args: &cli::Remove, target: &Target) -> Result<Outcome> {
    let text = config::text(&target.config)?;
    let taken = match undo::original(&app.store, &target.config, text.as_bytes())? {
        Some(Original::Bytes(bytes)) => TakenOut {
            after: bytes,
            reasons: Vec::new(),
            left: 0,
            is_original: true,
        },
        _ => take_out(app, args, target, &text)?,
    };
    let mut plan = Plan::default();
    plan.add(
        Change::of(&target.config)?
            .becomes(Some(taken.after.clone()))
            .because(taken.reasons),
    );
    let after = String::from_utf8_lossy(&taken.after);
    let copy = uses_copy(target, &text) && !uses_copy(target, &after);
    let mut kept = match copy && !is_used_elsewhere(app, target, uses_copy)? {
        true => remove_feature(&mut plan, target)?,
        false => Vec::new(),
    };
    if !names_compose_file(target, &after) {
        kept.extend(remove_compose_files(app, &mut plan, target)?);
    }

    let outcome = agree(
        &plan,
        args.consent.given(app.environment),
        "write this?",
        || Ok(()),
    )?;
    if outcome == Outcome::Shown {
        return Ok(outcome);
    }
    if outcome == Outcome::Applied {
        undo::forget(&app.store, &target.config)?;
        if copy && let Ok(folder) = feature::checked_folder(&target.folder) {
            // What a `setup` that was killed has left of the binary.
            durable::sweep(&folder)?;
        }
        if let Ok(folder) = workspace::compose::checked_folder(&target.folder) {
            durable::sweep(&folder)?;
        }
        for folder in ["lace-ssh", compose::FOLDER, ""] {
            // Fails where files of the team are left in it, which then stay.
            let _ = fs::remove_dir(target.folder.join(".devcontainer").join(folder));
        }
    }
    let config = target.config.display();
    say(match (outcome, taken.left) {
        (Outcome::Applied, 0) if taken.is_original => {
            format!("{config} is as it was before lace-ssh")
        }
        (Outcome::Applied, 0) => format!("{config} holds nothing of lace-ssh any more"),
        (_, 0) => format!("there is nothing of lace-ssh in {config}"),
        _ => format!("{config} holds nothing of lace-ssh but what was changed by hand"),
    });
    for path in kept {
        say(format!(
            "kept {}, which was changed by hand",
            path.display()
        ));
    }
    if copy && outcome == Outcome::Applied {
        tell_of_what_is_generated(target);
    }
    if Document::parse(&after).is_ok_and(|it| features::is_prebuilt(&it.value())) {
        say(format!(
            "{config} still has the Feature under \"prebuildFeatures\", which is lace's: `lace prebuild` goes on putting it into the image"
        ));
    }
    Ok(outcome)
}

/// Says that what `lace up` has generated is of the time before; nobody has to do anything about it.
fn tell_of_what_is_generated(target: &Target) {
    let config = find::generated_by_lace(&target.folder);
    let folder = target.folder.clone();
    let generated = Target { folder, config };
    if config::text(&generated.config).is_ok_and(|text| uses_copy(&generated, &text)) {
        say(format!(
            "{} still names the Feature; `lace up` makes it anew",
            generated.config.display()
        ));
    }
}

/// Plans the removal of the copy of the Feature; the files that somebody has changed stay, and are named.
fn remove_feature(plan: &mut Plan, target: &Target) -> Result<Vec<PathBuf>> {
    let folder = feature::checked_folder(&target.folder)?;
    let schema = options::document_schema()?;
    let mut files = feature::FILES.to_vec();
    files.push((SCHEMA_FILE, schema.as_str()));
    let kept = remove_files(plan, &folder, &files)?;
    plan.add(Change::of_ours(&folder.join(feature::BINARY))?.becomes(None));
    Ok(kept)
}

/// The same for the Compose files of ours; where another config file of the workspace names one, for those of this
/// dev container alone.
fn remove_compose_files(app: &App, plan: &mut Plan, target: &Target) -> Result<Vec<PathBuf>> {
    let folder = match workspace::compose::checked_folder(&target.folder) {
        Ok(folder) if folder.is_dir() => folder,
        // Then it is none of ours.
        _ => return Ok(Vec::new()),
    };
    let is_shared = is_used_elsewhere(app, target, names_compose_file)?;
    let registry = ring::look(app)?;
    let own = |path: &PathBuf| {
        let id = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        let known = registry
            .devcontainers
            .get(&other_ids::registered(&app.store, id));
        known.is_some_and(|known| known.is_of(&target.config))
            || find::ids(&target.folder, &target.config)
                .iter()
                .any(|it| it == id)
    };
    for path in workspace::compose::made(&folder) {
        if !is_shared || own(&path) {
            plan.add(Change::of_ours(&path)?.becomes(None));
        }
    }
    match is_shared {
        true => Ok(Vec::new()),
        false => remove_files(plan, &folder, &workspace::compose::FILES),
    }
}

/// Plans the removal of files that say just this; the others are handed back.
fn remove_files(plan: &mut Plan, folder: &Path, files: &[(&str, &str)]) -> Result<Vec<PathBuf>> {
    let mut kept = Vec::new();
    for (name, text) in files {
        let change = Change::of_ours(&folder.join(name))?;
        match &change.before {
            Some(before) if before != text.as_bytes() => kept.push(folder.join(name)),
            _ => plan.add(change.becomes(None)),
        }
    }
    Ok(kept)
}

/// Whether this text of a config file names the Compose file of ours.
fn names_compose_file(_: &Target, text: &str) -> bool {
    Document::parse(text).is_ok_and(|document| compose::names_ours(&document.value()))
}

/// Whether this text of a config file names the copy of the Feature in the project.
fn uses_copy(target: &Target, text: &str) -> bool {
    Document::parse(text).is_ok_and(|document| {
        let value = document.value();
        features::ours(&value).is_some_and(|feature| config::is_copy(feature, target))
    })
}

/// What is left of a text, and why.
struct TakenOut {
    after: Vec<u8>,
    reasons: Vec<Reason>,
    /// How many pieces that were changed by hand are still there.
    left: usize,
    /// It is what the file held before lace-ssh, as far as that is known here.
    is_original: bool,
}

/// The text without what is ours. A piece that somebody has changed by hand is asked about.
fn take_out(app: &App, args: &cli::Remove, target: &Target, text: &str) -> Result<TakenOut> {
    let at_fault = |problem: Problem| problem.of_file(&target.config);
    let mut gone = Vec::new();
    let mut left = 0;
    let original = original::text_before(&app.store, &target.config)?;
    let without = |drop: &dyn Fn(&Modified) -> bool| {
        unwire(text, original.as_deref(), drop).map_err(at_fault)
    };
    for piece in without(&|_| false)?.modified {
        let place = format!(
            "{}:{}: {}",
            target.config.display(),
            piece.lines.start,
            piece.reason
        );
        let asked =
            || app.environment.interactive && !args.consent.looks_only() && !args.consent.yes;
        if args.modified
            || (asked() && ask(&format!("{place}\n{}\ntake it out, too?", piece.text))?)
        {
            gone.push(piece);
        } else {
            left += 1;
            let name = args.name.as_ref().map(|name| format!(" {name}"));
            say(format!(
                "{place}; left as it is (take it out, too: lace-ssh remove --modified{})",
                name.unwrap_or_default()
            ));
        }
    }
    let edited = without(&|piece| gone.contains(piece))?;
    Ok(TakenOut {
        is_original: original.as_ref() == Some(&edited.text),
        reasons: edited.edits,
        after: edited.text.into_bytes(),
        left,
    })
}

/// Whether another config file of the workspace uses something, as its text says.
fn is_used_elsewhere(
    app: &App,
    target: &Target,
    uses: impl Fn(&Target, &str) -> bool,
) -> Result<bool> {
    let registry = ring::look(app)?;
    let known = registry.in_folder(&target.folder);
    let mut others = find::candidates(&target.folder);
    others.extend(
        known
            .into_iter()
            .filter_map(|(_, known)| Some(known.workspace.as_ref()?.config_file.clone())),
    );
    others.retain(|config| *config != target.config);
    Ok(others.into_iter().any(|config| {
        let folder = target.folder.clone();
        let other = Target { folder, config };
        config::text(&other.config).is_ok_and(|text| uses(&other, &text))
    }))
}

#[cfg(test)]
mod tests {
    use std::process::ExitCode;

    use super::super::example::*;
    use super::*;
    use crate::devcontainer::id;
    use crate::devcontainer::options::Options;
    use crate::environment::Environment;
    use crate::talk::{said, types};

    fn code(app: &App, options: &[&str]) -> Result<u8> {
        let code = super::super::run(app, &args(options))?;
        Ok(u8::from(code != ExitCode::SUCCESS))
    }

    /// The IDs are those of the registry, also where labels of the user's give others, and the one that follows from
    /// the paths.
    #[test]
    fn of_two_that_compose_makes_each_takes_its_own_files_and_the_last_the_folder() {
        const COMPOSE: &str = "{ \"dockerComposeFile\": \"a.yml\", \"service\": \"a\" }\n";
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        let [one, two] = ["one", "two"].map(|name| {
            let file = format!(".devcontainer/{name}/devcontainer.json");
            let target = wired_of(&app, &file, COMPOSE);
            knows(&app, &target, &format!("labelled{name}"), "user");
            let config = config::read(&target.config, &Options::default()).unwrap();
            let compose = config.compose.unwrap();
            let id = id::devcontainer_id(&target.folder, &target.config);
            for id in [&id, &format!("labelled{name}")] {
                let trust = app.store.trust(id);
                workspace::compose::complete(&target, &compose, id, &trust, Some(2222)).unwrap();
            }
            target
        });
        let folder = one.folder.join(".devcontainer").join(compose::FOLDER);
        fs::write(folder.join("elsewhere.yaml"), "services: {}\n").unwrap();
        let left = || {
            let mut names = workspace::compose::made(&folder);
            names.retain(|path| !path.ends_with("elsewhere.yaml"));
            (names, folder.join(".gitignore").exists())
        };
        assert_eq!(left().0.len(), 4);
        let remove = |target: &Target| {
            let mut args = args(&["--yes"]);
            args.workspace.config = Some(target.config.clone());
            super::super::run(&app, &args).unwrap();
            assert_eq!(fs::read_to_string(&target.config).unwrap(), COMPOSE);
        };
        remove(&one);
        let id = id::devcontainer_id(&two.folder, &two.config);
        let mut own = [id.as_str(), "labelledtwo"].map(|id| folder.join(format!("{id}.yaml")));
        own.sort();
        assert_eq!(left(), (own.to_vec(), true));
        remove(&two);
        assert!(!folder.exists());
    }

    #[test]
    fn a_workspace_is_as_it_was_and_the_store_keeps_what_a_purge_would_drop() {
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        let target = wired(&app, PLAIN);
        knows(&app, &target, "web", "lace-web");
        let copy = target.folder.join(".devcontainer/lace-ssh");
        fs::write(copy.join(".lace-ssh-tmp-Ab12Cd"), "half of the binary").unwrap();
        let store = files(&app.store.root().join("keys"));
        said();
        assert_eq!(code(&app, &["--yes"]).unwrap(), 0);
        assert!(said().contains("/devcontainer.json is as it was before lace-ssh"));
        assert_eq!(
            files(&target.folder),
            [(target.config.clone(), TEXT.into())]
        );
        assert!(!copy.exists());
        assert_eq!(files(&app.store.root().join("keys")), store);
        assert!(ring::look(&app).unwrap().devcontainers.contains_key("web"));
        assert_eq!(undo::before(&app.store, &target.config).unwrap(), None);
        // What was kept is what comes back, whatever an edit would have made of it; the name says as much as
        // the folder.
        let target = wired(&app, PLAIN);
        let text = fs::read(&target.config).unwrap();
        undo::keep(&app.store, &target.config, Some(b"{ /* as */ }"), &text).unwrap();
        assert_eq!(code(&app, &["--yes", "web"]).unwrap(), 0);
        assert_eq!(fs::read(&target.config).unwrap(), b"{ /* as */ }");
        fs::write(&target.config, TEXT).unwrap();
        said();
        // There is nothing left to take out, and nothing to say no to.
        for options in [&["--yes"][..], &["--check"], &["--dry-run"], &[]] {
            assert_eq!(code(&app, options).unwrap(), 0, "{options:?}");
            assert!(said().contains("there is nothing of lace-ssh in"));
        }

        // The folder of a config file that is elsewhere goes, too, once nothing is in it.
        let target = wired(&app, ".devcontainer.json");
        fs::remove_file(target.folder.join(PLAIN)).unwrap();
        assert_eq!(code(&app, &["--yes"]).unwrap(), 0);
        assert!(!target.folder.join(".devcontainer").exists());
    }

    #[test]
    fn whoever_only_looks_or_is_not_asked_changes_nothing_and_learns_it_from_the_exit_code() {
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        let target = wired(&app, PLAIN);
        knows(&app, &target, "web", "lace-web");
        let before = files(home.path());
        for (options, expected) in [
            (&["--dry-run"][..], 0),
            (&["--check"], 1),
            (&[], 1),
            (&["--dry-run", "--purge"], 0),
            (&["--check", "--purge"], 1),
            (&["--purge"], 1),
            (&["--dry-run", "--purge", "web"], 0),
            (&["--check", "--purge", "lace-web"], 1),
        ] {
            said();
            assert_eq!(code(&app, options).unwrap(), expected, "{options:?}");
            assert_eq!(files(home.path()), before, "{options:?}");
            let is_told = options.len() > 1;
            let would = "would drop lace-web: its host key, its trust folder";
            assert_eq!(said().contains(would), is_told, "{options:?}");
        }
        // Where only the store has something left, that is what there is to tell.
        assert_eq!(code(&app, &["--yes"]).unwrap(), 0);
        original::keep(&app.store, &target.config, "x", b"y").unwrap();
        let before = files(home.path());
        for (options, expected) in [
            (&["--dry-run", "--purge"][..], 0),
            (&["--check", "--purge"], 1),
            (&["--check"], 0),
        ] {
            assert_eq!(code(&app, options).unwrap(), expected, "{options:?}");
            assert_eq!(files(home.path()), before, "{options:?}");
        }
        let error = code(&app, &["--purge"]).unwrap_err();
        assert_eq!(
            crate::advice::hint_of(&error),
            Some("to drop it: add --yes")
        );
        assert_eq!(files(home.path()), before);
        assert_eq!(code(&app, &["--yes", "--purge"]).unwrap(), 0);
        assert_eq!(undo::before(&app.store, &target.config).unwrap(), None);
        assert!(ring::look(&app).unwrap().devcontainers.is_empty());
        assert_eq!(
            code(&app, &["--check", "--purge"]).unwrap(),
            0,
            "there is nothing left"
        );
    }

    #[test]
    fn the_copy_of_the_feature_goes_with_the_last_config_file_that_uses_it() {
        let rust = ".devcontainer/rust/devcontainer.json";
        for (other, is_known, is_wired, stays) in [
            (rust, false, true, true),
            (rust, false, false, false),
            (rust, true, true, true),
            // One that nobody would find, were it not registered.
            ("docker/dev.json", true, true, true),
            ("docker/dev.json", false, true, false),
            ("docker/dev.json", true, false, false),
        ] {
            let home = tempfile::tempdir().unwrap();
            let environment = environment(home.path());
            let app = App::new(&environment);
            let target = wired(&app, PLAIN);
            knows(&app, &target, "web", "lace-web");
            let second = wired(&app, other);
            if !is_wired {
                fs::write(&second.config, TEXT).unwrap();
            }
            if is_known {
                knows(&app, &second, "rust", "lace-rust");
            }
            let config = Some(target.config.clone());
            let mut args = args(&["--yes"]);
            args.workspace.config = config;
            super::super::run(&app, &args).unwrap();
            let copy = target.folder.join(".devcontainer/lace-ssh");
            let left: Vec<_> = [feature::BINARY, "install.sh", SCHEMA_FILE]
                .map(|name| copy.join(name).exists())
                .into();
            assert_eq!(left, [stays; 3], "{other} {is_known} {is_wired}");
            assert_eq!(fs::read_to_string(&target.config).unwrap(), TEXT);
        }

        // One that uses a published Feature, or another copy, has nothing to do with it.
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        let target = wired(&app, PLAIN);
        let text = fs::read_to_string(&target.config).unwrap();
        let published = text.replace("./lace-ssh", "ghcr.io/x/lace-ssh:1");
        assert!(uses_copy(&target, &text) && !uses_copy(&target, &published));
        assert!(!uses_copy(&target, TEXT) && !uses_copy(&target, "{"));
        fs::write(&target.config, published).unwrap();
        assert_eq!(code(&app, &["--yes"]).unwrap(), 0);
        assert!(
            target
                .folder
                .join(".devcontainer/lace-ssh/install.sh")
                .exists()
        );
    }

    #[test]
    fn what_the_team_has_changed_in_the_copy_of_the_feature_stays_and_is_named() {
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        let target = wired(&app, PLAIN);
        let copy = target.folder.join(".devcontainer/lace-ssh");
        for name in ["install.sh", SCHEMA_FILE] {
            fs::write(copy.join(name), "changed").unwrap();
        }
        fs::remove_file(copy.join("NOTES.md")).unwrap();
        let mut plan = Plan::default();
        let kept = remove_feature(&mut plan, &target).unwrap();
        assert_eq!(kept, [copy.join("install.sh"), copy.join(SCHEMA_FILE)]);
        assert_eq!(code(&app, &["--yes"]).unwrap(), 0);
        assert!(said().contains(&format!("kept {}, ", kept[0].display())));
        let left: Vec<_> = files(&copy).into_iter().map(|(path, _)| path).collect();
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(kept.iter().all(|path| left.contains(path)));
    }

    #[test]
    fn a_piece_that_was_changed_by_hand_stays_unless_it_is_asked_for() {
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let app = App::new(&environment);
        let target = wired(&app, PLAIN);
        let text = fs::read_to_string(&target.config).unwrap();
        let changed = text.replace("\"./lace-ssh\": {}", "\"./lace-ssh\": { \"mine\": true }");
        assert_ne!(changed, text);
        let taken = |options: &[&str]| {
            let taken = take_out(&app, &args(options), &target, &changed).unwrap();
            (
                String::from_utf8(taken.after).unwrap(),
                taken.left,
                taken.reasons.len(),
            )
        };
        let (after, left, reasons) = taken(&["--yes", "web"]);
        let told = said();
        assert!(
            told.contains("take it out, too: lace-ssh remove --modified web)"),
            "{told}"
        );
        assert!(
            after.contains("\"mine\": true") && !after.contains("/etc/lace-ssh"),
            "{after}"
        );
        assert_eq!(left, 1);
        assert!(reasons > 0);
        // Somebody at a terminal is asked, unless he has said what he wants.
        let at_terminal = Environment {
            interactive: true,
            ..self::environment(home.path())
        };
        let asked = App::new(&at_terminal);
        for (options, answer, expected) in [
            (&[][..], Some("y"), 0),
            (&[], Some("n"), 1),
            (&["--yes"], None, 1),
            (&["--dry-run"], None, 1),
            (&["--check"], None, 1),
            (&["--modified"], None, 0),
        ] {
            types(answer.as_slice());
            let taken = take_out(&asked, &args(options), &target, &changed).unwrap();
            assert_eq!(taken.left, expected, "{options:?} {answer:?}");
            assert_eq!(said().contains("take it out, too? [y/N]"), answer.is_some());
        }
        let (after, left, more) = taken(&["--yes", "--modified"]);
        assert!(!after.contains("lace-ssh"), "{after}");
        assert_eq!(left, 0);
        assert!(more > reasons);
    }
}
