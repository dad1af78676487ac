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
    use super::*;

    fn plain(plan: &Plan) -> String {
        anstream::adapter::strip_str(&plan.preview()).to_string()
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
