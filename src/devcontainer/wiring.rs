//! What `setup` puts into a `devcontainer.json`.
//!
//! Owns what is wanted and why; how it is written into the text is the business of `sequence`.
//! `unwiring` is the way back.

use std::collections::BTreeSet;

use jsonc_parser::ast::{Object, ObjectProp, Value as Node};
use serde_json::{Map, Value, json};

use super::Problem;
use super::command::{INITIALIZE_COMMAND, INITIALIZE_COMPOSE_COMMAND, POST_START_COMMAND};
use super::compose::{check_service, is_compose, name_file};
use super::document::{Document, kind_of, member, name_range, range_of, to_value, wrong_type};
use super::edited::Edited;
use super::features::{self, is_other_sshd, is_ours, port_of};
use super::insertion::{Absent, Piece};
use super::lifecycle::lifecycle;
use super::lines::{heads_line, line_of};
use super::mount::{self, MOUNT, Owner};
use super::plan::{Plan, Step};
use super::port::DEFAULT_PORT;
use super::publish::{publish, published, publishes};
use super::schema_link::{self, link_schema};
use super::sequence::{Item, Sequence};
use super::style::{Shape, Style, quoted};
use crate::trust::MOUNT_TARGET;

/// What varies from project to project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wiring {
    /// The key in `features`, such as "./lace-ssh" or a registry reference.
    pub feature: String,
    /// sshd's port in the container.
    pub port: u16,
    /// It is published on this machine.
    pub publish: bool,
    /// The schema to link as `$schema`, such as "./lace-ssh/lace-ssh.schema.json"; `None` leaves
    /// that member alone.
    pub schema: Option<String>,
    /// Where Compose makes the container: our Compose file, such as "lace-ssh-compose/${devcontainerId}.yaml".
    pub compose_file: String,
}

/// Puts everything that is missing in, and rewrites what is outdated.
///
/// Where nothing is missing the text comes back byte for byte.
pub fn wire(text: &str, wiring: &Wiring) -> Result<Edited, Problem> {
    if !is_ours(&wiring.feature) {
        let message = format!("{:?} does not name a Feature lace-ssh", wiring.feature);
        return Err(Problem::whole(message)
            .with_hint("name it as ./lace-ssh or ghcr.io/OWNER/REPOSITORY/lace-ssh:1"));
    }
    let document = Document::parse(text)?;
    let style = Style::of(&document);
    let mut plan = Plan::new(&document, &style);
    let mut absent = Vec::new();
    if let Some(reference) = &wiring.schema {
        link_schema(&mut plan, reference, &mut absent)?;
    }
    let old_port = features(&mut plan, wiring, &mut absent)?;
    let is_compose = is_compose(&document.value());
    let initialize = if is_compose {
        check_service(&document)?;
        name_file(&mut plan, &wiring.compose_file)?;
        INITIALIZE_COMPOSE_COMMAND
    } else {
        mounts(&mut plan, &mut absent)?;
        if wiring.publish {
            ports(&mut plan, wiring.port, old_port, &mut absent)?;
        }
        INITIALIZE_COMMAND
    };
    for command in [initialize, POST_START_COMMAND] {
        lifecycle(&mut plan, command, &mut absent)?;
    }
    if is_compose {
        no_mount(&mut plan, absent.is_empty())?;
    } else if !wiring.publish {
        no_port(&mut plan, [wiring.port, old_port], absent.is_empty())?;
    }
    add_members(&mut plan, absent);
    plan.finish()
}

const WHY_FEATURE: &str = "installs sshd in the container and starts it";
const WHY_PORT: &str = "tells the Feature the port of sshd";
const WHY_FEATURE_BESIDE: &str =
    "installs sshd in the container and starts it, on a port that the other sshd leaves free";
const WHY_PORT_BESIDE: &str = "tells the Feature a port that the other sshd leaves free";
const WHY_MOUNT: &str = "brings the keys that may log in; the line never changes when keys rotate";
const WHY_MOUNT_AGAIN: &str = "replaces an outdated lace mount";
const WHY_ONE_MOUNT: &str = "one lace mount is enough";
const WHY_NO_MOUNT: &str =
    "Compose would make this mount writable; the Compose file of lace-ssh has it";
const WHY_PUBLISH: &str = "publishes sshd on a free port of this machine only";
const WHY_PUBLISH_AGAIN: &str = "publishes the port that sshd has now";
const WHY_NO_PUBLISH: &str = "the options say that no port is published";
const WHY_PUBLISHED: &str = "the port that sshd has now is published already";

/// The Feature; hands back the port that it was set to before.
fn features(
    plan: &mut Plan<'_, '_>,
    wiring: &Wiring,
    absent: &mut Vec<Absent>,
) -> Result<u16, Problem> {
    let document = plan.document;
    if let Some((key, options)) = features::prebuilt(&document.value()) {
        prebuilt(document, key, options, wiring.port)?;
        return Ok(wiring.port);
    }
    let options = match wiring.port {
        DEFAULT_PORT => json!({}),
        port => json!({ "port": port.to_string() }),
    };
    let Some(found) = document.member("features")? else {
        let mut value = Map::new();
        value.insert(wiring.feature.clone(), options);
        absent.push(Absent {
            name: "features",
            value: Value::Object(value),
            shape: Shape::Lines,
            reason: WHY_FEATURE,
        });
        return Ok(wiring.port);
    };
    let Node::Object(object) = &found.value else {
        return Err(wrong_type(document, found, "an object"));
    };
    let other = other_sshd(object);
    if let Some(other) = other.filter(|_| wiring.port == DEFAULT_PORT) {
        return Err(taken(document, other));
    }
    let (why, why_port) = match other {
        Some(_) => (WHY_FEATURE_BESIDE, WHY_PORT_BESIDE),
        None => (WHY_FEATURE, WHY_PORT),
    };
    match our_features(object).as_slice() {
        [] => {
            let sequence = Sequence::of_object(document, plan.style, object);
            let piece = Piece::new(Some(&wiring.feature), &options, Shape::Inline);
            let inserted = sequence.insert(sequence.items.len(), &[piece], Shape::Inline);
            let step = Step::new(&["features", &wiring.feature], why);
            plan.insert(vec![step], inserted);
            let mut value = to_value(&found.value);
            value[wiring.feature.as_str()] = options;
            plan.intend("features", Some(value));
            Ok(wiring.port)
        }
        [feature] => feature_port(plan, feature, wiring.port, why_port),
        [first, second, ..] => {
            let body = document.body();
            let line = line_of(body, first.range.start);
            let message = format!("a second lace-ssh Feature; the first is on line {line}");
            Err(Problem::at(body, name_range(second), message)
                .with_spot(body, name_range(first), "the first")
                .with_hint("keep one of the two"))
        }
    }
}

/// One that `lace prebuild` puts into the image is lace's to write: it stays as it is, and must be right.
fn prebuilt(document: &Document<'_>, key: &str, options: &Value, port: u16) -> Result<(), Problem> {
    let body = document.body();
    let path = [&features::PREBUILT[..], &[key]].concat();
    let name = document.name_range_of(&path).unwrap_or_default();
    let name = name.start - document.shift()..name.end - document.shift();
    if let Some(found) = document.member("features")?
        && let Node::Object(object) = &found.value
    {
        if let [second, ..] = our_features(object)[..] {
            let message = "a second lace-ssh Feature; `lace prebuild` puts one into the image";
            return Err(Problem::at(body, name_range(second), message)
                .with_spot(body, name, "the first")
                .with_hint("keep one of the two"));
        }
        if let Some(other) = other_sshd(object).filter(|_| port == DEFAULT_PORT) {
            return Err(taken(document, other));
        }
    }
    match port_of(options).unwrap_or(DEFAULT_PORT) {
        set if set == port => Ok(()),
        set => {
            let message = format!("its port is {set}, and the options say {port}");
            let hint = format!("write it as \"{key}\": {{ \"port\": \"{port}\" }}");
            Err(Problem::at(body, name, message).with_hint(hint))
        }
    }
}

/// The members of `features` that are ours, however they are spelled.
fn our_features<'d, 't>(object: &'d Object<'t>) -> Vec<&'d ObjectProp<'t>> {
    let ours = |member: &&ObjectProp<'t>| is_ours(member.name.as_str());
    object.properties.iter().filter(ours).collect()
}

/// The specification's own sshd Feature, where it is there.
fn other_sshd<'d, 't>(object: &'d Object<'t>) -> Option<&'d ObjectProp<'t>> {
    let mut members = object.properties.iter();
    members.find(|member| is_other_sshd(member.name.as_str()))
}

/// The port that the options give is that of the other sshd: only one of the two would start.
fn taken(document: &Document<'_>, other: &ObjectProp<'_>) -> Problem {
    let message = format!("this Feature runs an sshd on port {DEFAULT_PORT}, too");
    Problem::at(document.body(), name_range(other), message).with_hint(
        "leave our \"port\" out, or give another one: \"customizations\": { \"lace\": { \"ssh\": { \"port\": 2223 } } }",
    )
}

/// Keeps the Feature's option `port` true; everything else in it is the user's.
fn feature_port(
    plan: &mut Plan<'_, '_>,
    feature: &ObjectProp<'_>,
    port: u16,
    why: &'static str,
) -> Result<u16, Problem> {
    let document = plan.document;
    let key = feature.name.as_str();
    let Node::Object(object) = &feature.value else {
        if port == DEFAULT_PORT {
            return Ok(port);
        }
        let message = format!(
            "\"{key}\" is {}, which has no port",
            kind_of(&feature.value)
        );
        return Err(
            Problem::at(document.body(), range_of(&feature.value), message)
                .with_hint(format!("write it as {{ \"port\": \"{port}\" }}")),
        );
    };
    let given = member(document.body(), object, "port")?;
    let set = port_of(&to_value(&feature.value));
    let old_port = set.unwrap_or(DEFAULT_PORT);
    let right = if given.is_some() {
        set == Some(port)
    } else {
        old_port == port
    };
    if right {
        return Ok(old_port);
    }
    let wanted = json!(port.to_string());
    let step = Step::new(&["features", key, "port"], why);
    match given {
        Some(given) => {
            plan.replace(step, range_of(&given.value), quoted(&port.to_string()));
        }
        None => {
            let sequence = Sequence::of_object(document, plan.style, object);
            let piece = Piece::new(Some("port"), &wanted, Shape::Inline);
            let end = sequence.items.len();
            plan.insert(vec![step], sequence.insert(end, &[piece], Shape::Inline));
        }
    }
    if let Some(mut value) = document.value_at(&["features"]) {
        value[key]["port"] = wanted;
        plan.intend("features", Some(value));
    }
    Ok(old_port)
}

/// The mount: one, right, at our target.
fn mounts(plan: &mut Plan<'_, '_>, absent: &mut Vec<Absent>) -> Result<(), Problem> {
    let document = plan.document;
    let Some(found) = document.member("mounts")? else {
        absent.push(Absent {
            name: "mounts",
            value: json!([MOUNT]),
            shape: Shape::Lines,
            reason: WHY_MOUNT,
        });
        return Ok(());
    };
    let Node::Array(array) = &found.value else {
        return Err(wrong_type(document, found, "an array"));
    };
    let owners = owners(document, &array.elements)?;
    let ours: Vec<usize> = numbers(&owners, |owner| !matches!(owner, Owner::Other));
    let right = |i: &&usize| matches!(owners[**i], Owner::Ours | Owner::Extended);
    let kept = ours.iter().find(right).or(ours.first()).copied();
    let sequence = Sequence::of_array(document, plan.style, array);
    let Some(kept) = kept else {
        let value = json!(MOUNT);
        let piece = Piece::new(None, &value, Shape::Inline);
        let end = sequence.items.len();
        let step = Step::new(&["mounts", &end.to_string()], WHY_MOUNT);
        plan.insert(vec![step], sequence.insert(end, &[piece], Shape::Inline));
        let mut value = to_value(&found.value);
        if let Value::Array(mounts) = &mut value {
            mounts.push(json!(MOUNT));
        }
        plan.intend("mounts", Some(value));
        return Ok(());
    };
    let outdated = matches!(owners[kept], Owner::Outdated | Owner::Legacy);
    if ours.len() == 1 && !outdated {
        return Ok(());
    }
    if outdated {
        let step = Step::new(&["mounts", &kept.to_string()], WHY_MOUNT_AGAIN);
        plan.replace(step, range_of(&array.elements[kept]), quoted(MOUNT));
    }
    let gone = ours.iter().copied().filter(|i| *i != kept).collect();
    plan.take_out(&["mounts"], WHY_ONE_MOUNT, &sequence, &gone);
    let mut value = Vec::new();
    for (i, element) in array.elements.iter().enumerate() {
        if i == kept && outdated {
            value.push(json!(MOUNT));
        } else if !gone.contains(&i) {
            value.push(to_value(element));
        }
    }
    plan.intend("mounts", Some(Value::Array(value)));
    Ok(())
}

/// No mount of ours, where Compose makes the container: it would take the place of the one in our Compose file, and be
/// writable. A list that holds nothing then goes too, `if_alone` that changes the root.
fn no_mount(plan: &mut Plan<'_, '_>, if_alone: bool) -> Result<(), Problem> {
    let document = plan.document;
    let Some(found) = document.member("mounts")? else {
        return Ok(());
    };
    let Node::Array(array) = &found.value else {
        return Err(wrong_type(document, found, "an array"));
    };
    let owners = owners(document, &array.elements)?;
    let gone = numbers(&owners, |owner| !matches!(owner, Owner::Other));
    take_out(plan, "mounts", WHY_NO_MOUNT, (found, array), gone, if_alone);
    Ok(())
}

/// Takes these elements out of the array of a member; where they are all there is, and nobody has commented on them, the
/// member, too.
fn take_out(
    plan: &mut Plan<'_, '_>,
    name: &'static str,
    why: &'static str,
    (found, array): (&ObjectProp<'_>, &jsonc_parser::ast::Array<'_>),
    gone: Vec<usize>,
    if_alone: bool,
) {
    let gone = BTreeSet::from_iter(gone);
    if gone.is_empty() {
        return;
    }
    let document = plan.document;
    let root = Sequence::of_object(document, plan.style, document.root());
    let is_it = |item: &Item| item.range.start == found.range.start;
    if let Some(number) = root.items.iter().position(is_it).filter(|_| if_alone)
        && gone.len() == array.elements.len()
        && document
            .comments(root.items[number].whole())
            .next()
            .is_none()
    {
        let step = Step::new(&[name], why).removing(root.items[number].range.clone());
        plan.remove(vec![step], root.remove(&BTreeSet::from([number])));
        plan.intend(name, None);
        return;
    }
    let sequence = Sequence::of_array(document, plan.style, array);
    plan.take_out(&[name], why, &sequence, &gone);
    let elements = array.elements.iter().enumerate();
    let left = elements.filter(|(i, _)| !gone.contains(i));
    let left = left.map(|(_, element)| to_value(element)).collect();
    plan.intend(name, Some(Value::Array(left)));
}

/// Whose the mounts are; somebody else's at our target is a problem.
fn owners(document: &Document<'_>, elements: &[Node<'_>]) -> Result<Vec<Owner>, Problem> {
    let body = document.body();
    let mut owners = Vec::with_capacity(elements.len());
    for element in elements {
        let Some(owner) = mount::owner(&to_value(element)) else {
            let message = format!("a mount is a string or an object, not {}", kind_of(element));
            return Err(Problem::at(body, range_of(element), message)
                .with_hint("write it as \"source=…,target=…,type=bind\""));
        };
        owners.push(owner);
    }
    let at = |owner: &Owner| owners.iter().position(|found| found == owner);
    let Some(intruder) = at(&Owner::Intruder) else {
        return Ok(owners);
    };
    let range = range_of(&elements[intruder]);
    let hint = "mount it somewhere else; two mounts cannot have one target";
    let ours = owners.iter().position(|o| {
        matches!(
            o,
            Owner::Ours | Owner::Extended | Owner::Outdated | Owner::Legacy
        )
    });
    Err(match ours {
        Some(ours) => {
            let ours = range_of(&elements[ours]);
            let line = line_of(body, ours.start);
            let message = format!("this mount takes {MOUNT_TARGET}, as ours on line {line} does");
            Problem::at(body, range, message).with_spot(body, ours, "ours")
        }
        None => Problem::at(
            body,
            range,
            format!("this mount takes {MOUNT_TARGET}, where ours goes"),
        ),
    }
    .with_hint(hint))
}

fn numbers(owners: &[Owner], wanted: impl Fn(&Owner) -> bool) -> Vec<usize> {
    let numbered = owners.iter().enumerate();
    numbered
        .filter(|(_, owner)| wanted(owner))
        .map(|(i, _)| i)
        .collect()
}

/// The published port.
fn ports(
    plan: &mut Plan<'_, '_>,
    port: u16,
    old_port: u16,
    absent: &mut Vec<Absent>,
) -> Result<(), Problem> {
    let document = plan.document;
    let wanted = publish(port);
    let Some(found) = document.member("runArgs")? else {
        if !published_by_app_port(document, port) {
            absent.push(Absent {
                name: "runArgs",
                value: json!([wanted]),
                shape: Shape::Inline,
                reason: WHY_PUBLISH,
            });
        }
        return Ok(());
    };
    let (array, arguments) = arguments(document, found)?;
    let is_published = published(&arguments)
        .iter()
        .any(|published| published.is_of(port))
        || published_by_app_port(document, port);
    let mut value: Vec<Value> = array.elements.iter().map(to_value).collect();
    let sequence = Sequence::of_array(document, plan.style, array);
    let outdated = publish(old_port);
    let is_outdated = |argument: &str| old_port != port && argument == outdated;
    let numbered = arguments.iter().enumerate();
    let old: BTreeSet<usize> = numbered
        .filter(|(_, argument)| is_outdated(argument))
        .map(|(i, _)| i)
        .collect();
    match old.first() {
        None if is_published => return Ok(()),
        Some(_) if is_published => {
            let sequence = sequence.sparing_comments(&old, |_| false);
            plan.take_out(&["runArgs"], WHY_PUBLISHED, &sequence, &old);
            value.retain(|argument| argument.as_str() != Some(&outdated));
        }
        Some(old) => {
            let step = Step::new(&["runArgs", &old.to_string()], WHY_PUBLISH_AGAIN);
            plan.replace(step, range_of(&array.elements[*old]), quoted(&wanted));
            value[*old] = json!(wanted);
        }
        None => {
            let listed = heads_line(document.body(), document.head(found.range.start));
            let fill = if listed { Shape::Lines } else { Shape::Inline };
            let end = value.len();
            let wanted = json!(wanted);
            let piece = Piece::new(None, &wanted, Shape::Inline);
            let step = Step::new(&["runArgs", &end.to_string()], WHY_PUBLISH);
            plan.insert(vec![step], sequence.insert(end, &[piece], fill));
            value.push(wanted);
        }
    }
    plan.intend("runArgs", Some(Value::Array(value)));
    Ok(())
}

/// Takes out the published port that is ours, of one of these; one that somebody has written himself stays.
fn no_port(plan: &mut Plan<'_, '_>, ports: [u16; 2], if_alone: bool) -> Result<(), Problem> {
    let document = plan.document;
    let Some(found) = document.member("runArgs")? else {
        return Ok(());
    };
    let (array, arguments) = arguments(document, found)?;
    let is_ours = |argument: &str| ports.iter().any(|port| publish(*port) == argument);
    let numbered = arguments.iter().enumerate();
    let gone = numbered.filter(|(_, argument)| is_ours(argument));
    let gone = gone.map(|(i, _)| i).collect();
    take_out(
        plan,
        "runArgs",
        WHY_NO_PUBLISH,
        (found, array),
        gone,
        if_alone,
    );
    Ok(())
}

/// The arguments of `docker run`.
fn arguments<'d, 't>(
    document: &Document<'t>,
    found: &'d ObjectProp<'t>,
) -> Result<(&'d jsonc_parser::ast::Array<'t>, Vec<&'d str>), Problem> {
    let Node::Array(array) = &found.value else {
        return Err(wrong_type(document, found, "an array"));
    };
    let mut arguments = Vec::with_capacity(array.elements.len());
    for element in &array.elements {
        let Node::StringLit(argument) = element else {
            let message = format!("an argument is a string, not {}", kind_of(element));
            return Err(Problem::at(document.body(), range_of(element), message)
                .with_hint("put it in double quotes"));
        };
        arguments.push(argument.value.as_ref());
    }
    Ok((array, arguments))
}

fn published_by_app_port(document: &Document<'_>, port: u16) -> bool {
    let is_it = |value: &Value| match value {
        Value::Number(number) => number.as_u64() == Some(u64::from(port)),
        Value::String(spec) => publishes(spec, port),
        _ => false,
    };
    match document.value_at(&["appPort"]) {
        Some(Value::Array(ports)) => ports.iter().any(is_it),
        Some(port) => is_it(&port),
        None => false,
    }
}

/// Members of the root in whose company ours are put, in order.
const BASE: [&str; 9] = [
    "image",
    "build",
    "dockerFile",
    "context",
    "dockerComposeFile",
    "service",
    "runServices",
    "workspaceMount",
    "workspaceFolder",
];

/// Lifecycle commands that run before `postStartCommand`.
const EARLIER: [&str; 4] = [
    "initializeCommand",
    "onCreateCommand",
    "updateContentCommand",
    "postCreateCommand",
];

/// Adds what the root lacks, each where a reader would look for it.
fn add_members(plan: &mut Plan<'_, '_>, absent: Vec<Absent>) {
    let document = plan.document;
    let root = document.root();
    let sequence = Sequence::of_object(document, plan.style, root);
    let names: Vec<&str> = root
        .properties
        .iter()
        .map(|member| member.name.as_str())
        .collect();
    // Editors look for the schema at the top.
    let schema = absent
        .iter()
        .find(|absent| absent.name == schema_link::NAME);
    let mut gaps: Vec<(usize, &Absent)> = schema.map(|schema| (0, schema)).into_iter().collect();
    let mut gap = after_base(&names);
    for name in [
        "features",
        "mounts",
        "runArgs",
        "initializeCommand",
        "postStartCommand",
    ] {
        let found = names.iter().position(|found| *found == name);
        let last_earlier = names.iter().rposition(|found| EARLIER.contains(found));
        gap = match (found, name, last_earlier) {
            (Some(found), ..) => found + 1,
            (None, "postStartCommand", Some(earlier)) => gap.max(earlier + 1),
            _ => gap,
        };
        if let Some(absent) = absent.iter().find(|absent| absent.name == name) {
            gap = sequence.line_gap(gap);
            gaps.push((gap, absent));
        }
    }
    gaps.sort_by_key(|(gap, _)| *gap);
    for group in gaps.chunk_by(|a, b| a.0 == b.0) {
        let pieces: Vec<Piece<'_>> = group
            .iter()
            .map(|(_, absent)| Piece::new(Some(absent.name), &absent.value, absent.shape))
            .collect();
        let steps = group
            .iter()
            .map(|(_, absent)| Step::new(&[absent.name], absent.reason));
        plan.insert(
            steps.collect(),
            sequence.insert(group[0].0, &pieces, Shape::Lines),
        );
    }
    for Absent { name, value, .. } in absent {
        plan.intend(name, Some(value));
    }
}

/// Behind the members that say what the container is made of, or at the end.
fn after_base(names: &[&str]) -> usize {
    let is_base = |name: &&str| BASE.contains(name);
    match names.iter().position(is_base) {
        Some(first) => {
            first
                + names[first..]
                    .iter()
                    .take_while(|name| is_base(name))
                    .count()
        }
        None => names.len(),
    }
}
