//! What `remove` takes out of a `devcontainer.json`: exactly what `setup` put in.
//!
//! Ours is recognised by what it says, not by where it stands, so that it is found after any
//! reformatting. Where the bytes from before `setup` are known and nothing else has changed, the
//! caller puts those back instead.

use std::collections::BTreeSet;
use std::ops::Range;

use jsonc_parser::ast::{Object, ObjectProp, Value as Node};
use serde_json::{Map, Value};

use super::Problem;
use super::command::{Call, Command, INITIALIZE_COMMAND, POST_START_COMMAND};
use super::compose;
use super::document::{Document, member, range_of, to_value, wrong_type};
use super::edited::{Edited, Modified};
use super::features::{is_ours, port_of};
use super::lifecycle::unwrap;
use super::lines::heads_line;
use super::mount::{self, Owner};
use super::plan::{Plan, Step};
use super::port::{DEFAULT_PORT, usual_port};
use super::publish::port_of_ours;
use super::schema_link::{self, is_our_link};
use super::sequence::Sequence;
use super::style::{Shape, Style};

const WHY: &str = "was put in by lace-ssh setup";
const MOUNT_EXTENDED: &str =
    "it has options of yours; initializeCommand, which makes its folder, stays or goes with it";
const MOUNT_OUTDATED: &str = "it is not the mount that setup writes; initializeCommand, which makes its folder, stays or goes with it";

/// Takes out what [`wire`](super::wire) put in. What somebody has changed by hand since is told in
/// [`Edited::modified`] and stays, unless `drop`, which is asked about every such piece, says otherwise.
///
/// Taking out right after putting in gives the very bytes back, with three exceptions that the text
/// alone cannot tell: an outdated piece that was rewritten goes and does not come back, an
/// empty `features`, `mounts` or `runArgs` that was written otherwise than `{}` or `[]` on a line
/// of its own comes back as nothing or in the usual form, and a list of one Compose file may come back as
/// that file alone.
///
/// No comment outside of our own pieces goes, but those directly above or beside one that others
/// are left of: a container of ours that holds or has a comment stays, empty.
///
/// Where it is known that the text was once `original`, before `setup`, a container that is emptied
/// goes exactly if it was not there then, a command that was there alone stands alone again, and no
/// comment that was there goes. An original that cannot be read is none.
pub fn unwire(
    text: &str,
    original: Option<&str>,
    drop: impl Fn(&Modified) -> bool,
) -> Result<Edited, Problem> {
    let document = Document::parse(text)?;
    let original = original.and_then(|text| Document::parse(text).ok());
    let style = Style::of(&document);
    let mut unwiring = Unwiring {
        plan: Plan::new(&document, &style),
        root: Sequence::of_object(&document, &style, document.root()),
        original: original.as_ref(),
        comments: original.iter().flat_map(comments).collect(),
        drop: &drop,
        gone: BTreeSet::new(),
        is_wired: false,
        mount_stays: false,
    };
    let ports = unwiring.features()?;
    unwiring.mounts()?;
    unwiring.compose_file()?;
    for command in [INITIALIZE_COMMAND, POST_START_COMMAND] {
        unwiring.lifecycle(command)?;
    }
    unwiring.ports(&ports)?;
    let members = document.root().properties.iter();
    let mut links = members.filter(|member| member.name.as_str() == schema_link::NAME);
    if let (Some(link), None) = (links.next(), links.next())
        && is_our_link(link)
    {
        unwiring.take_member(link);
    }
    unwiring.finish()
}

struct Unwiring<'d, 't, 'f> {
    plan: Plan<'d, 't>,
    root: Sequence<'d, 't>,
    original: Option<&'f Document<'f>>,
    /// The comments of the original, as [`key`] has them.
    comments: BTreeSet<String>,
    drop: &'f dyn Fn(&Modified) -> bool,
    /// The members of the root that go as a whole.
    gone: BTreeSet<usize>,
    /// Something that only setup writes was found.
    is_wired: bool,
    /// A mount of ours that was changed by hand is left: the command that makes its folder, too.
    mount_stays: bool,
}

impl<'d, 't> Unwiring<'d, 't, '_> {
    /// The Feature; hands back the ports whose publishing is ours.
    fn features(&mut self) -> Result<BTreeSet<u16>, Problem> {
        let document = self.plan.document;
        let configured = configured_port(document);
        let Some(found) = document.member("features")? else {
            return Ok(BTreeSet::from([configured]));
        };
        let Node::Object(object) = &found.value else {
            return Err(wrong_type(document, found, "an object"));
        };
        let mut known = published_by_us(document);
        known.extend([DEFAULT_PORT, configured]);
        let mut ports = BTreeSet::new();
        let mut count = 0;
        let mut gone = BTreeSet::new();
        for (i, feature) in object.properties.iter().enumerate() {
            if !is_ours(feature.name.as_str()) {
                continue;
            }
            let path = ["features", feature.name.as_str()];
            let range = feature.range.start..feature.range.end;
            ports.insert(port_of(&to_value(&feature.value)).unwrap_or(DEFAULT_PORT));
            count += 1;
            let changed = if document.comments(range.clone()).next().is_some() {
                Some("it has a comment of yours")
            } else {
                (!is_plain(feature, &known)).then_some("it has options of yours")
            };
            if changed.is_none_or(|reason| self.asked(&path, range, reason)) {
                gone.insert(i);
            }
        }
        self.is_wired |= count > 0;
        if gone.len() == count {
            ports.insert(configured);
        }
        let sequence = Sequence::of_object(document, self.plan.style, object);
        let (names, value) = without(document, object, &gone)?;
        self.take(found, sequence, &gone, names, value, Shape::Lines);
        Ok(ports)
    }

    fn mounts(&mut self) -> Result<(), Problem> {
        let document = self.plan.document;
        let Some(found) = document.member("mounts")? else {
            return Ok(());
        };
        let Node::Array(array) = &found.value else {
            return Err(wrong_type(document, found, "an array"));
        };
        let mut gone = BTreeSet::new();
        for (i, element) in array.elements.iter().enumerate() {
            let path = ["mounts", &i.to_string()];
            let range = range_of(element);
            let changed = match mount::owner(&to_value(element)) {
                Some(Owner::Ours) => None,
                Some(Owner::Extended) => Some(MOUNT_EXTENDED),
                Some(Owner::Outdated) => Some(MOUNT_OUTDATED),
                _ => continue,
            };
            self.is_wired |= changed.is_none();
            if changed.is_none_or(|reason| self.asked(&path, range, reason)) {
                gone.insert(i);
            } else {
                self.mount_stays = true;
            }
        }
        let sequence = Sequence::of_array(document, self.plan.style, array);
        self.take_elements(found, &array.elements, sequence, &gone, Shape::Lines);
        Ok(())
    }

    /// The Compose file of ours.
    fn compose_file(&mut self) -> Result<(), Problem> {
        let document = self.plan.document;
        let Some(found) = document.member(compose::MEMBER)? else {
            return Ok(());
        };
        let Node::Array(array) = &found.value else {
            return Ok(());
        };
        let is_ours = |node: &Node<'_>| match node {
            Node::StringLit(file) => compose::is_ours(&file.value),
            _ => false,
        };
        let numbered = array.elements.iter().enumerate();
        let gone: BTreeSet<usize> = numbered
            .filter(|(_, element)| is_ours(element))
            .map(|(i, _)| i)
            .collect();
        self.is_wired |= !gone.is_empty();
        if gone == BTreeSet::from([1])
            && compose::take_from_list(&mut self.plan, found, array, self.original, WHY)
        {
            return Ok(());
        }
        let sequence = Sequence::of_array(document, self.plan.style, array);
        self.take_elements(found, &array.elements, sequence, &gone, Shape::Lines);
        Ok(())
    }

    /// The published port: alone, without anything else of ours, it is somebody else's.
    fn ports(&mut self, ports: &BTreeSet<u16>) -> Result<(), Problem> {
        let document = self.plan.document;
        // Whatever else is wrong with the arguments: without any of ours it is none of our business.
        if !self.is_wired || published_by_us(document).is_disjoint(ports) {
            return Ok(());
        }
        let Some(found) = document.member("runArgs")? else {
            return Ok(());
        };
        let Node::Array(array) = &found.value else {
            return Ok(());
        };
        let is_ours = |element: &Node<'_>| match element {
            Node::StringLit(word) => port_of_ours(&word.value).is_some_and(|p| ports.contains(&p)),
            _ => false,
        };
        let numbered = array.elements.iter().enumerate();
        let gone = numbered
            .filter(|(_, element)| is_ours(element))
            .map(|(i, _)| i)
            .collect();
        let sequence = Sequence::of_array(document, self.plan.style, array);
        self.take_elements(found, &array.elements, sequence, &gone, Shape::Inline);
        Ok(())
    }

    fn lifecycle(&mut self, command: Command) -> Result<(), Problem> {
        let document = self.plan.document;
        let Some(found) = document.member(command.member)? else {
            return Ok(());
        };
        match &found.value {
            Node::StringLit(_) | Node::Array(_) => {
                let range = found.range.start..found.range.end;
                if self.is_gone(command, &[command.member], &found.value, range) {
                    self.take_member(found);
                }
                Ok(())
            }
            Node::Object(object) => self.lifecycle_members(command, found, object),
            _ => Err(wrong_type(
                document,
                found,
                "a string, an array or an object",
            )),
        }
    }

    fn lifecycle_members(
        &mut self,
        command: Command,
        found: &ObjectProp<'t>,
        object: &'d Object<'t>,
    ) -> Result<(), Problem> {
        let mut gone = BTreeSet::new();
        for (i, found) in object.properties.iter().enumerate() {
            let path = [command.member, found.name.as_str()];
            let range = found.range.start..found.range.end;
            if self.is_gone(command, &path, &found.value, range) {
                gone.insert(i);
            }
        }
        let (names, value) = without(self.plan.document, object, &gone)?;
        let only = gone.first().copied().filter(|_| gone.len() == 1);
        if let Some(only) = only
            && self.was_alone(command, object, only)
            && unwrap(&mut self.plan, command.member, object, only, WHY)
        {
            return Ok(());
        }
        let sequence = Sequence::of_object(self.plan.document, self.plan.style, object);
        self.take(found, sequence, &gone, names, value, Shape::Lines);
        Ok(())
    }

    /// The command beside ours stood alone before setup; where that is not known, ours behind it
    /// says so.
    fn was_alone(&self, command: Command, object: &Object<'_>, ours: usize) -> bool {
        let original = self.original.and_then(|o| o.value_at(&[command.member]));
        match original {
            Some(value) => value.is_string() || value.is_array(),
            None => ours + 1 == object.properties.len(),
        }
    }

    /// Whether a command goes: it is ours, or was changed by hand and may go.
    fn is_gone(
        &mut self,
        command: Command,
        path: &[&str],
        node: &Node<'_>,
        range: Range<usize>,
    ) -> bool {
        match command.call(&to_value(node)) {
            Call::Ours | Call::OfOtherKind => {
                self.is_wired = true;
                !(self.mount_stays && command == INITIALIZE_COMMAND)
            }
            Call::None => false,
            Call::Accepted | Call::Outdated | Call::Incomplete => {
                self.asked(path, range, "it is not the command that setup writes")
            }
        }
    }

    /// Notes a piece that was changed by hand, unless it may go.
    fn asked(&mut self, path: &[&str], range: Range<usize>, reason: &'static str) -> bool {
        let body = self.plan.document.body();
        let modified = Modified {
            path: path.iter().map(|step| (*step).to_owned()).collect(),
            reason,
            text: body[range.clone()].to_owned(),
            lines: self.plan.lines.range(range),
        };
        let goes = (self.drop)(&modified);
        if !goes {
            self.plan.modified.push(modified);
        }
        goes
    }

    fn take_elements(
        &mut self,
        found: &ObjectProp<'t>,
        elements: &[Node<'_>],
        sequence: Sequence<'d, 't>,
        gone: &BTreeSet<usize>,
        made: Shape,
    ) {
        let kept = elements
            .iter()
            .enumerate()
            .filter(|(i, _)| !gone.contains(i));
        let value = Value::Array(kept.map(|(_, element)| to_value(element)).collect());
        let numbers: Vec<String> = gone.iter().map(usize::to_string).collect();
        let names = numbers.iter().map(String::as_str).collect();
        self.take(found, sequence, gone, names, value, made);
    }

    /// Takes items out of a container; the container goes too if nothing is left of it and setup
    /// made it.
    fn take(
        &mut self,
        found: &ObjectProp<'t>,
        sequence: Sequence<'d, 't>,
        gone: &BTreeSet<usize>,
        names: Vec<&str>,
        value: Value,
        made: Shape,
    ) {
        if gone.is_empty() {
            return;
        }
        let is_known = |comment: &str| self.comments.contains(&key(comment));
        let sequence = sequence.sparing_comments(gone, is_known);
        let is_emptied = gone.len() == sequence.items.len();
        if is_emptied
            && self.was_made(found, &sequence, made)
            && !self.has_comments(found, &sequence)
        {
            return self.take_member(found);
        }
        let member = found.name.as_str();
        let numbered = gone.iter().zip(names);
        let steps = numbered.map(|(i, name)| {
            Step::new(&[member, name], WHY).removing(sequence.items[*i].range.clone())
        });
        self.plan.remove(steps.collect(), sequence.remove(gone));
        self.plan.intend(member, Some(value));
    }

    /// Setup made this container, rather than filled it: it was not there before; or, where that
    /// is not known, it has the shape that setup gives to one.
    fn was_made(&self, found: &ObjectProp<'_>, sequence: &Sequence<'_, '_>, made: Shape) -> bool {
        if let Some(original) = self.original {
            return original.value_at(&[found.name.as_str()]).is_none();
        }
        let document = self.plan.document;
        let listed = heads_line(document.body(), document.head(found.range.start));
        let shape = if sequence.is_hugged() {
            Shape::Inline
        } else {
            Shape::Lines
        };
        shape == made || !listed
    }

    /// There is a comment in the member or beside it, outside of the items.
    fn has_comments(&self, found: &ObjectProp<'_>, items: &Sequence<'_, '_>) -> bool {
        let number = self.number(found);
        let range = self.root.own_start(number)..self.root.items[number].done;
        items.comments_between(range).next().is_some()
    }

    /// The number of a member of the root.
    fn number(&self, found: &ObjectProp<'_>) -> usize {
        let items = &self.root.items;
        items.partition_point(|item| item.range.start < found.range.start)
    }

    fn take_member(&mut self, found: &ObjectProp<'t>) {
        self.gone.insert(self.number(found));
    }

    fn finish(mut self) -> Result<Edited, Problem> {
        let root = self.plan.document.root();
        let is_known = |comment: &str| self.comments.contains(&key(comment));
        let sequence = self.root.sparing_comments(&self.gone, is_known);
        let mut steps = Vec::new();
        for number in &self.gone {
            let member = &root.properties[*number];
            let name = member.name.as_str();
            let range = member.range.start..member.range.end;
            steps.push(Step::new(&[name], WHY).removing(range));
            self.plan.intend(name, None);
        }
        self.plan.remove(steps, sequence.remove(&self.gone));
        self.plan.finish()
    }
}

/// The names of the members in `gone`, and what the object says without them.
fn without<'d>(
    document: &Document<'_>,
    object: &'d Object<'_>,
    gone: &BTreeSet<usize>,
) -> Result<(Vec<&'d str>, Value), Problem> {
    let named = gone.iter().map(|i| object.properties[*i].name.as_str());
    let names: Vec<&str> = named.collect();
    let set: BTreeSet<&str> = names.iter().copied().collect();
    let mut seen = BTreeSet::new();
    let mut members = Map::new();
    for found in &object.properties {
        let name = found.name.as_str();
        if !set.contains(name) {
            members.insert(name.to_owned(), to_value(&found.value));
        } else if !seen.insert(name) {
            // Of two with its name, tools take the other one.
            member(document.body(), object, name)?;
        }
    }
    Ok((names, Value::Object(members)))
}

/// A Feature without options, or with the port alone, if it is one that setup has set.
fn is_plain(feature: &ObjectProp<'_>, known: &BTreeSet<u16>) -> bool {
    let Node::Object(options) = &feature.value else {
        return false;
    };
    match &options.properties[..] {
        [] => true,
        [only] => {
            only.name.as_str() == "port"
                && port_of(&to_value(&feature.value)).is_some_and(|port| known.contains(&port))
        }
        _ => false,
    }
}

/// All comments of a document, as [`key`] has them.
fn comments(document: &Document<'_>) -> Vec<String> {
    let body = document.body();
    let marks = document.comments(0..body.len());
    marks.map(|mark| key(&body[mark.range()])).collect()
}

/// A comment without the white space that a formatter may change.
fn key(comment: &str) -> String {
    comment.split_whitespace().collect()
}

/// The port in `customizations.lace.ssh`, which setup takes it from.
fn configured_port(document: &Document<'_>) -> u16 {
    let port = document.value_at(&["customizations", "lace", "ssh", "port"]);
    let number = port.and_then(|port| port.as_u64()?.try_into().ok());
    number.unwrap_or_else(|| usual_port(&document.value()))
}

/// The ports in the arguments that setup writes.
fn published_by_us(document: &Document<'_>) -> BTreeSet<u16> {
    let arguments = document.value_at(&["runArgs"]).unwrap_or_default();
    let words = arguments.as_array().into_iter().flatten();
    words
        .filter_map(|word| port_of_ours(word.as_str()?))
        .collect()
}
