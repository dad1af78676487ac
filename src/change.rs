//! Changing files that a user owns: read → plan → preview → consent → apply.
//!
//! A [`Plan`] holds the bytes before and after; what they should be is decided by whoever builds it.
//! Nothing to change means nothing written, and a file that moved on since it was read is refused.

use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Effects, Style};
use anyhow::{Context, Result};
use serde::Serialize;
use similar::{ChangeTag, InlineChange, TextDiff};

use crate::advice::{Advise, shell};
use crate::durable::{self, Owner};
use crate::escape::shown;

/// The most that is read of a file of a plan, in bytes: the binary in the copy of the Feature is one.
pub const LARGEST: u64 = 256 * 1024 * 1024;

/// Why some lines change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Where in the document, as `/features/.~1lace-ssh`; empty for the whole file.
    pub path: String,
    /// One sentence.
    pub reason: String,
    /// The text that goes, if any.
    pub before: Option<String>,
    /// The text that comes, if any.
    pub after: Option<String>,
    /// Lines of the new text, from 1, the end excluded.
    pub lines: Range<usize>,
}

/// One file of a plan.
#[derive(Debug, Clone)]
pub struct Change {
    /// The file as the user names it; a symlink there is kept and its target changed.
    pub path: PathBuf,
    /// What is there now; `None`: no file.
    pub before: Option<Vec<u8>>,
    /// What shall be there; `None`: no file.
    pub after: Option<Vec<u8>>,
    /// The reasons shown under the hunks.
    pub reasons: Vec<Reason>,
    /// A file of ours, shown in one line instead of a diff.
    pub ours: bool,
    mode: u32,
    owner: Option<Owner>,
}

impl Change {
    /// Reads `path` as the starting point of a change; for now the change leaves it as it is.
    ///
    /// # Errors
    /// The path is there but no readable, regular file; its name is in the message.
    pub fn of(path: &Path) -> Result<Self> {
        let real = durable::resolve(path)?;
        let before = durable::read(&real, LARGEST)?;
        let metadata = before.is_some().then(|| fs::metadata(&real)).transpose();
        let metadata = metadata.with_context(|| format!("cannot read {}", real.display()))?;
        Ok(Self {
            path: path.to_path_buf(),
            after: before.clone(),
            before,
            reasons: Vec::new(),
            ours: false,
            mode: metadata
                .as_ref()
                .map_or(0o644, |metadata| metadata.permissions().mode() & 0o7777),
            owner: metadata.map(|metadata| (metadata.uid(), metadata.gid())),
        })
    }

    /// As [`Change::of`] for a file of ours, where no symlink is followed; the preview names it without
    /// showing its lines, unless somebody has changed them.
    ///
    /// # Errors
    /// As [`Change::of`]; also where a symlink is in the place of the file.
    pub fn of_ours(path: &Path) -> Result<Self> {
        durable::read(path, LARGEST)?;
        Ok(Self {
            ours: true,
            ..Self::of(path)?
        })
    }

    /// What the file shall hold; `None` removes it.
    pub fn becomes(mut self, after: Option<Vec<u8>>) -> Self {
        self.after = after;
        self
    }

    /// The mode of the file if it has to be made.
    pub fn with_mode_if_new(mut self, mode: u32) -> Self {
        if self.before.is_none() {
            self.mode = mode;
        }
        self
    }

    /// Why, for the preview.
    pub fn because(mut self, reasons: Vec<Reason>) -> Self {
        self.reasons = reasons;
        self
    }

    fn differs(&self) -> bool {
        self.before != self.after
    }

    /// Refuses where the file is not what was read, or is marked read-only.
    fn check(&self) -> Result<PathBuf> {
        let real = if self.ours {
            self.path.clone()
        } else {
            durable::resolve(&self.path)?
        };
        if !self.is_as_before(&real)? {
            return Err(anyhow::anyhow!(
                "{} changed after it was read; left as it is",
                self.path.display()
            ))
            .hint("run the command again to see a new preview");
        }
        if self.before.is_some() && self.mode & 0o222 == 0 {
            return Err(anyhow::anyhow!("{} is read-only", self.path.display()))
                .hint(format!("chmod u+w {}", shell(&self.path)));
        }
        Ok(real)
    }

    fn is_as_before(&self, real: &Path) -> Result<bool> {
        match &self.before {
            Some(before) => durable::holds(real, before),
            None => Ok(durable::read(real, LARGEST)?.is_none()),
        }
    }

    /// Puts back what was there. Says whether it is there; that it may not outlast a power cut is no
    /// matter, for neither may what it is put in the place of.
    fn is_put_back(&self, real: &Path) -> bool {
        let is_there = || self.is_as_before(real).unwrap_or(false);
        is_there() || self.put(real, self.before.as_deref()).is_ok() || is_there()
    }

    fn put(&self, real: &Path, content: Option<&[u8]>) -> Result<()> {
        match content {
            Some(bytes) => {
                if let Some(folder) = real.parent() {
                    fs::create_dir_all(folder)
                        .with_context(|| format!("cannot make {}", folder.display()))?;
                }
                durable::write_as(real, bytes, self.mode, self.owner)
            }
            None => durable::remove(real),
        }
    }
}

/// Changes that belong together.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    changes: Vec<Change>,
}

/// How one change looks in `--json`.
#[derive(Serialize)]
struct PlannedJson<'a> {
    file: &'a Path,
    action: &'static str,
    edits: &'a [Reason],
}

impl Plan {
    /// Adds a change; one that changes nothing is dropped.
    pub fn add(&mut self, change: Change) {
        if change.differs() {
            self.changes.push(change);
        }
    }

    /// The changes, in the order in which they are applied.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// There is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The whole preview: a unified diff for the user's files, one line for each of ours. It has
    /// colours; print it through `anstream`.
    pub fn preview(&self) -> String {
        let mut text = String::new();
        for change in &self.changes {
            let verb = match (&change.before, &change.after) {
                (None, _) => Some("new"),
                (_, None) => Some("gone"),
                _ => None,
            };
            if let Some(verb) = verb.filter(|_| change.ours) {
                let size = change
                    .after
                    .as_deref()
                    .map(|after| format!(" ({} bytes)", after.len()));
                let path = change.path.to_string_lossy();
                let name = shown(&path);
                let _ = writeln!(text, "{verb}: {name}{}", size.unwrap_or_default());
            } else {
                diff(&mut text, change);
            }
        }
        text
    }

    /// The plan as data.
    ///
    /// # Errors
    /// Never in practice; serialisation is fallible by type.
    pub fn json(&self) -> Result<serde_json::Value> {
        let planned = self.changes.iter().map(|change| PlannedJson {
            file: &change.path,
            action: match (&change.before, &change.after) {
                (None, _) => "create",
                (_, None) => "remove",
                _ => "edit",
            },
            edits: &change.reasons,
        });
        Ok(serde_json::to_value(planned.collect::<Vec<_>>())?)
    }

    /// Writes everything, or nothing: if a file cannot be written, it and those before it are put back.
    ///
    /// # Errors
    /// Names the file that could not be written, or that changed since it was read; and those, if any,
    /// that are changed all the same.
    pub fn apply(&self) -> Result<()> {
        let targets = self
            .changes
            .iter()
            .map(Change::check)
            .collect::<Result<Vec<_>>>()?;
        for (done, (change, real)) in self.changes.iter().zip(&targets).enumerate() {
            if let Err(error) = change.put(real, change.after.as_deref()) {
                // Where only its folder could not be flushed, the one that failed is written, too.
                let tried = self.changes.iter().zip(&targets).take(done + 1);
                let left: Vec<_> = tried
                    .filter(|(change, real)| !change.is_put_back(real))
                    .map(|(change, _)| change.path.display().to_string())
                    .collect();
                return Err(error.context(match left.is_empty() {
                    true => "nothing written".to_owned(),
                    false => format!("changed and not put back: {}", left.join(", ")),
                }));
            }
        }
        Ok(())
    }
}

const HEADER: Style = Style::new().effects(Effects::BOLD);
const HUNK: Style = AnsiColor::Cyan.on_default();
const WHY: Style = Style::new().effects(Effects::DIMMED);

/// Appends the unified diff of one file, three lines of context, its reasons under each hunk.
fn diff(out: &mut String, change: &Change) {
    let before = String::from_utf8_lossy(change.before.as_deref().unwrap_or_default());
    let after = String::from_utf8_lossy(change.after.as_deref().unwrap_or_default());
    let path = change.path.to_string_lossy();
    let name = shown(&path);
    if let Some(target) = durable::resolve(&change.path)
        .ok()
        .filter(|target| *target != change.path)
    {
        let _ = writeln!(
            out,
            "{name} is a link to {}",
            shown(&target.to_string_lossy())
        );
    }
    let side = |there: bool, prefix| {
        if there {
            format!("{prefix}/{}", name.trim_start_matches('/'))
        } else {
            "/dev/null".into()
        }
    };
    let _ = writeln!(
        out,
        "{HEADER}--- {}{HEADER:#}",
        side(change.before.is_some(), "a")
    );
    let _ = writeln!(
        out,
        "{HEADER}+++ {}{HEADER:#}",
        side(change.after.is_some(), "b")
    );
    let lines = TextDiff::from_lines(before.as_ref(), after.as_ref());
    for group in lines.grouped_ops(3) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            continue;
        };
        let old = first.old_range().start..last.old_range().end;
        let new = first.new_range().start..last.new_range().end;
        let _ = writeln!(out, "{HUNK}@@ -{} +{} @@{HUNK:#}", span(&old), span(&new));
        for op in &group {
            for line in lines.iter_inline_changes(op) {
                one_line(out, &line);
            }
        }
        for reason in change
            .reasons
            .iter()
            .filter(|reason| reason.lines.start <= new.end && reason.lines.end > new.start)
        {
            let _ = writeln!(out, "{WHY}  # {}{WHY:#}", shown(&reason.reason));
        }
    }
}

/// One line of a hunk; what changed within the line stands out.
fn one_line<S: AsRef<str> + similar::DiffableStr + ?Sized>(
    out: &mut String,
    line: &InlineChange<'_, S>,
) {
    let (sign, style) = match line.tag() {
        ChangeTag::Delete => ('-', AnsiColor::Red.on_default()),
        ChangeTag::Insert => ('+', AnsiColor::Green.on_default()),
        ChangeTag::Equal => (' ', Style::new()),
    };
    let _ = write!(out, "{style}{sign}{style:#}");
    for (emphasised, part) in line.iter_strings_lossy() {
        let style = if emphasised {
            style.effects(Effects::UNDERLINE)
        } else {
            style
        };
        let part = part.strip_suffix('\n').unwrap_or(&part);
        if !part.is_empty() {
            let _ = write!(out, "{style}{}{style:#}", shown(part));
        }
    }
    out.push('\n');
    if line.missing_newline() {
        out.push_str("\\ No newline at end of file\n");
    }
}

/// `start,length` as unified diffs count: from 1, and a hunk without lines names the line before it.
fn span(range: &Range<usize>) -> String {
    match range.len() {
        0 => format!("{},0", range.start),
        1 => (range.start + 1).to_string(),
        length => format!("{},{length}", range.start + 1),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::advice::hint_of;

    fn plain(plan: &Plan) -> String {
        anstream::adapter::strip_str(&plan.preview()).to_string()
    }

    fn plan(changes: impl IntoIterator<Item = Change>) -> Plan {
        let mut plan = Plan::default();
        changes.into_iter().for_each(|change| plan.add(change));
        plan
    }

    /// What `path` becomes.
    fn to(path: &Path, after: &str) -> Change {
        Change::of(path).unwrap().becomes(Some(after.into()))
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn because(reason: &str, lines: Range<usize>) -> Reason {
        Reason {
            path: String::new(),
            reason: reason.into(),
            before: None,
            after: None,
            lines,
        }
    }

    #[test]
    fn a_preview_is_a_unified_diff_with_reasons_and_visible_control_characters() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        fs::write(&path, "a\r\nb\n\u{1b}c").unwrap();
        let reason = Reason {
            path: "/b".into(),
            reason: "b is better".into(),
            before: None,
            after: None,
            lines: 2..3,
        };
        let mut plan = Plan::default();
        plan.add(
            Change::of(&path)
                .unwrap()
                .becomes(Some(b"a\r\nB\n\x1bc".to_vec()))
                .because(vec![reason]),
        );
        let name = path.display();
        assert_eq!(
            plain(&plan),
            format!(
                "--- a{name}\n+++ b{name}\n@@ -1,3 +1,3 @@\n a\\r\n-b\n+B\n \\u{{1b}}c\n\\ No newline at end of file\n  # b is better\n"
            )
        );
        plan.apply().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"a\r\nB\n\x1bc");
    }

    #[test]
    fn a_file_that_moved_on_is_refused_and_a_failed_write_puts_the_others_back() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("1"), folder.path().join("2"));
        fs::write(&first, "one").unwrap();
        let mut plan = Plan::default();
        plan.add(Change::of(&first).unwrap().becomes(Some(b"ONE".to_vec())));
        plan.add(Change::of(&second).unwrap().becomes(Some(b"TWO".to_vec())));
        fs::create_dir(&second).unwrap();
        assert!(plan.apply().is_err());
        assert_eq!(fs::read(&first).unwrap(), b"one");
        fs::remove_dir(&second).unwrap();
        fs::write(&first, "edited meanwhile").unwrap();
        let error = format!("{:#}", plan.apply().unwrap_err());
        assert!(error.contains("changed after it was read"), "{error}");
        assert!(!second.exists());
    }

    #[test]
    fn what_is_as_it_shall_be_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let (path, none) = (folder.path().join("x"), folder.path().join("none"));
        fs::write(&path, "old").unwrap();
        let unchanged = plan([
            Change::of(&path).unwrap(),
            to(&path, "old"),
            Change::of(&none).unwrap(),
            Change::of(&none).unwrap().becomes(None),
        ]);
        assert!(unchanged.is_empty());
        assert_eq!(unchanged.preview(), "");
        let some = plan([
            to(&path, "new"),
            to(&none, ""),
            Change::of(&path).unwrap().becomes(None),
        ]);
        assert!(!some.is_empty());
        let after: Vec<_> = some.changes().iter().map(|it| it.after.clone()).collect();
        assert_eq!(after, [Some(b"new".to_vec()), Some(Vec::new()), None]);
    }

    #[test]
    fn a_new_file_has_its_folders_and_the_mode_that_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/x");
        for (asked, expected) in [(None, 0o644), (Some(0o600), 0o600), (Some(0o444), 0o444)] {
            let change = to(&path, "new");
            let change = asked.into_iter().fold(change, Change::with_mode_if_new);
            plan([change]).apply().unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new");
            assert_eq!(mode(&path), expected);
            // Removed, it is gone; its folders stay.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let gone = Change::of(&path).unwrap().becomes(None);
            plan([gone]).apply().unwrap();
            assert!(!path.exists());
        }
        // One that is there keeps what its user gave it, more than nine bits.
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o4750)).unwrap();
        plan([to(&path, "new").with_mode_if_new(0o600)])
            .apply()
            .unwrap();
        assert_eq!(mode(&path), 0o4750);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(1234), Some(5678)).unwrap();
            plan([to(&path, "his")]).apply().unwrap();
            let metadata = fs::metadata(&path).unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (1234, 5678));
        }
    }

    #[test]
    fn what_may_not_be_written_is_said_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        for (mode, refused) in [
            (0o444, true),
            (0o555, true),
            (0o644, false),
            (0o420, false),
            (0o402, false),
        ] {
            fs::write(&path, "old").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let applied = plan([to(&path, "new")]).apply();
            assert_eq!(applied.is_err(), refused, "{mode:o}");
            if let Err(error) = applied {
                let hint = format!("chmod u+w {}", path.display());
                assert_eq!(hint_of(&error), Some(hint.as_str()));
                assert_eq!(fs::read(&path).unwrap(), b"old");
            }
            fs::remove_file(&path).unwrap();
        }
        // Somebody has come before us.
        let new = plan([to(&path, "new")]);
        fs::write(&path, "").unwrap();
        let error = new.apply().unwrap_err();
        assert!(error.to_string().contains("changed after it was read"));
        assert!(hint_of(&error).unwrap().contains("again"));
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn a_file_is_read_up_to_a_bound_that_the_copied_program_fits_into() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let file = fs::File::create(&path).unwrap();
        file.set_len(2 << 20).unwrap();
        assert_eq!(Change::of(&path).unwrap().before.unwrap().len(), 2 << 20);
        file.set_len((256 << 20) + 1).unwrap();
        let error = format!("{:#}", Change::of(&path).unwrap_err());
        assert!(error.contains("more than 268435456 bytes"), "{error}");
    }

    #[test]
    fn no_symlink_is_followed_in_the_place_of_a_file_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
        fs::write(&ours, "old").unwrap();
        fs::write(&theirs, "old").unwrap();
        let change = Change::of_ours(&ours).unwrap();
        assert!(change.ours && !Change::of(&ours).unwrap().ours);
        let plan = plan([change.becomes(Some(b"new".to_vec()))]);
        fs::remove_file(&ours).unwrap();
        symlink(&theirs, &ours).unwrap();
        let error = format!("{:#}", plan.apply().unwrap_err());
        assert!(error.contains("is a symlink"), "{error}");
        let error = format!("{:#}", Change::of_ours(&ours).unwrap_err());
        assert!(error.contains("is a symlink"), "{error}");
        assert_eq!(fs::read(&theirs).unwrap(), b"old");
    }

    #[test]
    fn what_a_plan_has_done_before_it_failed_is_undone_in_every_kind() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["edited", "removed"] {
            fs::write(path(name), name).unwrap();
            fs::set_permissions(path(name), fs::Permissions::from_mode(0o640)).unwrap();
        }
        // Both are free when they are looked at; then the first is a file where the other needs a folder.
        let failing = plan([
            to(&path("edited"), "EDITED"),
            Change::of(&path("removed")).unwrap().becomes(None),
            to(&path("made"), ""),
            to(&path("made/x"), "x"),
        ]);
        let error = format!("{:#}", failing.apply().unwrap_err());
        let expected = format!("nothing written: cannot make {}", path("made").display());
        assert!(error.starts_with(&expected), "{error}");
        for name in ["edited", "removed"] {
            assert_eq!(fs::read_to_string(path(name)).unwrap(), name);
            assert_eq!(mode(&path(name)), 0o640);
        }
        assert!(!path("made").exists());
        // The other way round a folder is in the way, and the way back, too.
        let failing = plan([to(&path("made/x"), "x"), to(&path("made"), "")]);
        let error = format!("{:#}", failing.apply().unwrap_err());
        let left = path("made");
        let expected = format!("changed and not put back: {}: ", left.display());
        assert!(error.starts_with(&expected), "{error}");
        assert!(!path("made/x").exists());
    }

    #[test]
    fn what_is_put_back_is_there_or_it_is_not_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let (path, none) = (folder.path().join("x"), folder.path().join("none"));
        fs::write(&path, "old").unwrap();
        let (edited, made) = (to(&path, "new"), to(&none, "new"));
        // As it was; by somebody else's hand; gone.
        for content in [Some("old"), Some("new"), None] {
            fs::remove_file(&path).unwrap();
            if let Some(content) = content {
                fs::write(&path, content).unwrap();
            }
            assert!(edited.is_put_back(&path));
            assert_eq!(fs::read(&path).unwrap(), b"old");
        }
        assert!(made.is_put_back(&none));
        fs::write(&none, "new").unwrap();
        assert!(made.is_put_back(&none));
        assert!(!none.exists());
        fs::create_dir(&none).unwrap();
        assert!(!made.is_put_back(&none));
        assert!(!edited.is_put_back(&none));
    }

    #[test]
    fn files_of_ours_take_a_line_and_those_of_the_user_are_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["old", "edited", "gone"] {
            fs::write(path(name), "one\n").unwrap();
        }
        let ours = |name: &str, after: Option<&[u8]>| {
            let change = Change::of_ours(&path(name)).unwrap();
            change.becomes(after.map(<[u8]>::to_vec))
        };
        let all = plan([
            ours("a\u{1b}b", Some(b"12345")),
            ours("gone", None),
            ours("edited", Some(b"two\n")),
            to(&path("new"), "one\n"),
            Change::of(&path("old")).unwrap().becomes(None),
        ]);
        let at = folder.path().display();
        assert_eq!(
            plain(&all),
            format!(
                "new: {at}/a\\u{{1b}}b (5 bytes)\ngone: {at}/gone\n\
                 --- a{at}/edited\n+++ b{at}/edited\n@@ -1 +1 @@\n-one\n+two\n\
                 --- /dev/null\n+++ b{at}/new\n@@ -0,0 +1 @@\n+one\n\
                 --- a{at}/old\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n"
            )
        );
        let json = all.json().unwrap();
        let actions: Vec<_> = json.as_array().unwrap().iter().collect();
        let actions: Vec<_> = actions.iter().map(|it| it["action"].as_str()).collect();
        let expected = ["create", "remove", "edit", "create", "remove"];
        assert_eq!(actions, expected.map(Some));
        assert_eq!(json[1]["file"], path("gone").to_str().unwrap());
        let reasoned = to(&path("old"), "two\n").because(vec![because("so", 1..2)]);
        let json = plan([reasoned]).json().unwrap();
        assert_eq!(json[0]["edits"][0]["reason"], "so");
    }

    #[test]
    fn a_reason_stands_under_its_own_hunk_and_a_link_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let (target, link) = (folder.join("target"), folder.join("link"));
        let lines: Vec<_> = (1..=20).map(|line| format!("{line}\n")).collect();
        fs::write(&target, lines.concat()).unwrap();
        symlink(&target, &link).unwrap();
        let mut after = lines.clone();
        after[1] = "two\n".into();
        after[17] = "eighteen\n".into();
        let reasons = vec![
            because("first", 2..3),
            // The hunks are 1 to 5 and 15 to 20: at their edges, and between them.
            because("at its end", 5..6),
            because("between", 9..10),
            because("before", 13..14),
            because("at its start", 15..16),
            because("second", 18..19),
        ];
        let shown = plain(&plan([to(&link, &after.concat()).because(reasons)]));
        let at = folder.display();
        assert_eq!(
            shown,
            format!(
                "{at}/link is a link to {at}/target\n--- a{at}/link\n+++ b{at}/link\n\
                 @@ -1,5 +1,5 @@\n 1\n-2\n+two\n 3\n 4\n 5\n  # first\n  # at its end\n\
                 @@ -15,6 +15,6 @@\n 15\n 16\n 17\n-18\n+eighteen\n 19\n 20\n\
                 \u{20} # at its start\n  # second\n"
            )
        );
    }

    #[test]
    fn what_goes_is_red_what_comes_is_green_and_what_differs_stands_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "port 22 open\n").unwrap();
        let shown = plan([to(&path, "port 2222 open\n")]).preview();
        for styled in [
            "\u{1b}[31m-",
            "\u{1b}[4m\u{1b}[31m22",
            "\u{1b}[32m+",
            "\u{1b}[4m\u{1b}[32m2222",
        ] {
            assert!(shown.contains(styled), "{styled:?} in {shown:?}");
        }
    }

    #[test]
    fn symlinks_and_modes_are_kept_and_read_only_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "old").unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let mut plan = Plan::default();
        plan.add(Change::of(&link).unwrap().becomes(Some(b"new".to_vec())));
        plan.apply().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(
            fs::metadata(&target).unwrap().permissions().mode() & 0o777,
            0o640
        );
        fs::set_permissions(&target, fs::Permissions::from_mode(0o444)).unwrap();
        let mut plan = Plan::default();
        plan.add(Change::of(&link).unwrap().becomes(Some(b"newer".to_vec())));
        assert!(format!("{:#}", plan.apply().unwrap_err()).contains("is read-only"));
    }
}
