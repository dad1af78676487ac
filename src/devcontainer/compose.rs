//! `dockerComposeFile`: what it says, and the file of ours that `setup` names last in it.
//!
//! Owns the list and its edits. What is in the file of ours, and where it lies, is for `workspace::compose` to say.

use std::collections::BTreeSet;

use jsonc_parser::ast::{Array, ObjectProp, Value as Node};
use serde_json::{Value, json};

use super::Problem;
use super::document::{Document, kind_of, range_of, to_value, wrong_type};
use super::insertion::Piece;
use super::lines::{begins_line, eol_near, heads_line, indent_of};
use super::plan::{Plan, Step};
use super::sequence::{Sequence, Splice};
use super::style::{Shape, quoted};

/// The member of the document.
pub(super) const MEMBER: &str = "dockerComposeFile";

/// The folder of ours, below `.devcontainer`. Not that of the Feature: its files are part of the image, and these differ
/// from person to person.
pub const FOLDER: &str = "lace-ssh-compose";

/// The name of the file in it. Where nobody puts in the ID, as `devcontainer build` does not, this is a file of that name,
/// which says nothing.
pub const FILE: &str = "${devcontainerId}.yaml";

const WHY: &str =
    "has the mount of the keys, read-only, and the port of sshd; initializeCommand writes it";
const WHY_AGAIN: &str = "the file that initializeCommand writes";
const WHY_ONE: &str = "one file of lace-ssh is enough";

/// What a configuration that is made by Compose says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compose {
    /// The service that is the dev container.
    pub service: String,
    /// The Compose files of the project, as they are named; ours is not among them.
    pub files: Vec<String>,
}

/// Whether Compose makes the container: tools look for an image first.
pub fn is_compose(config: &Value) -> bool {
    let has = |name: &str| config.get(name).is_some();
    has(MEMBER)
        && !has("image")
        && !has("dockerFile")
        && config["build"].get("dockerfile").is_none()
}

/// What a document says of Compose; `None` where something else makes the container, or it says it wrongly.
pub fn compose(config: &Value) -> Option<Compose> {
    let service = config["service"].as_str().filter(|_| is_compose(config))?;
    let files = match &config[MEMBER] {
        Value::String(file) => vec![file.clone()],
        Value::Array(files) => {
            let files = files.iter().filter_map(Value::as_str);
            files
                .filter(|file| !is_ours(file))
                .map(str::to_owned)
                .collect()
        }
        _ => return None,
    };
    is_service(service).then(|| Compose {
        service: service.to_owned(),
        files,
    })
}

/// Whether a service can be called that: what Compose itself allows.
fn is_service(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !name.is_empty() && name.bytes().all(is_plain)
}

/// Whether this Compose file is the one of ours, from wherever it is named.
pub(super) fn is_ours(file: &str) -> bool {
    let mut steps = file.rsplit(['/', '\\']);
    steps.next() == Some(FILE) && steps.next() == Some(FOLDER)
}

/// Whether a document names the file of ours.
pub fn names_ours(config: &Value) -> bool {
    let files = config[MEMBER].as_array().into_iter().flatten();
    files.filter_map(Value::as_str).any(is_ours)
}

/// Refuses a service that Compose would not take, or that only the tool knows which reads the file.
pub(super) fn check_service(document: &Document<'_>) -> Result<(), Problem> {
    let Some(found) = document.member("service")? else {
        let range = document.member(MEMBER)?.map(|found| range_of(&found.value));
        let message = "which service is the dev container is not said";
        return Err(
            Problem::at(document.body(), range.unwrap_or_default(), message)
                .with_hint("name it beside: \"service\": \"…\""),
        );
    };
    let Node::StringLit(name) = &found.value else {
        return Err(wrong_type(document, found, "a string"));
    };
    match is_service(&name.value) {
        true => Ok(()),
        false => {
            let message = "a service of Compose is named by letters, digits, `.`, `_` and `-`";
            Err(
                Problem::at(document.body(), range_of(&found.value), message)
                    .with_hint("name it as the Compose file does, without a variable"),
            )
        }
    }
}

/// Names our file in the list, last; a file that stands alone becomes a list.
pub(super) fn name_file(plan: &mut Plan<'_, '_>, ours: &str) -> Result<(), Problem> {
    let document = plan.document;
    let Some(found) = document.member(MEMBER)? else {
        return Ok(());
    };
    match &found.value {
        Node::StringLit(file) if is_ours(&file.value) => Err(alone(document, &found.value)),
        Node::StringLit(_) => {
            list(plan, found, ours);
            Ok(())
        }
        Node::Array(array) => name_in_list(plan, found, array, ours),
        _ => Err(wrong_type(document, found, "a string or an array")),
    }
}

/// Compose takes the folder of the first file for that of the project.
fn alone(document: &Document<'_>, node: &Node<'_>) -> Problem {
    let message = "the file of lace-ssh is no Compose file of a project, and only adds to one";
    Problem::at(document.body(), range_of(node), message)
        .with_hint("name the Compose file of the project before it")
}

fn name_in_list(
    plan: &mut Plan<'_, '_>,
    found: &ObjectProp<'_>,
    array: &Array<'_>,
    ours: &str,
) -> Result<(), Problem> {
    let document = plan.document;
    let files = files(document, found, array)?;
    let numbered = files.iter().enumerate();
    let there: Vec<usize> = numbered
        .filter(|(_, file)| is_ours(file))
        .map(|(i, _)| i)
        .collect();
    let sequence = Sequence::of_array(document, plan.style, array);
    let mut value: Vec<Value> = files.iter().map(|file| json!(file)).collect();
    let Some(kept) = there.first().copied() else {
        let piece = json!(ours);
        let end = value.len();
        let step = Step::new(&[MEMBER, &end.to_string()], WHY);
        let piece = [Piece::new(None, &piece, Shape::Inline)];
        plan.insert(vec![step], sequence.insert(end, &piece, Shape::Inline));
        value.push(json!(ours));
        plan.intend(MEMBER, Some(Value::Array(value)));
        return Ok(());
    };
    if kept == 0 {
        return Err(alone(document, &array.elements[0]));
    }
    let gone: BTreeSet<usize> = there.into_iter().skip(1).collect();
    if files[kept] == ours && gone.is_empty() {
        return Ok(());
    }
    if files[kept] != ours {
        let step = Step::new(&[MEMBER, &kept.to_string()], WHY_AGAIN);
        plan.replace(step, range_of(&array.elements[kept]), quoted(ours));
        value[kept] = json!(ours);
    }
    plan.take_out(&[MEMBER], WHY_ONE, &sequence, &gone);
    let numbered = value.into_iter().enumerate();
    let left = numbered
        .filter(|(i, _)| !gone.contains(i))
        .map(|(_, file)| file);
    plan.intend(MEMBER, Some(Value::Array(left.collect())));
    Ok(())
}

/// The files of a list, which has at least one.
fn files<'d>(
    document: &Document<'_>,
    found: &ObjectProp<'_>,
    array: &'d Array<'_>,
) -> Result<Vec<&'d str>, Problem> {
    if array.elements.is_empty() {
        let message = "which Compose files are meant is not said here, and with one of lace-ssh it would be that alone";
        return Err(
            Problem::at(document.body(), range_of(&found.value), message)
                .with_hint("name them: \"dockerComposeFile\": [\"…\"]"),
        );
    }
    let mut files = Vec::with_capacity(array.elements.len());
    for element in &array.elements {
        let Node::StringLit(file) = element else {
            let message = format!("a Compose file is a string, not {}", kind_of(element));
            return Err(Problem::at(document.body(), range_of(element), message)
                .with_hint("put its path in double quotes"));
        };
        files.push(file.value.as_ref());
    }
    Ok(files)
}

/// Makes a file that stands alone the first of two; `take_from_list` takes it back.
fn list(plan: &mut Plan<'_, '_>, found: &ObjectProp<'_>, ours: &str) {
    let (document, style) = (plan.document, plan.style);
    let (body, range) = (document.body(), range_of(&found.value));
    let step = Step::new(&[MEMBER], WHY);
    let (open, close) = if stands_on_lines(document, found) {
        let (eol, outer) = (eol_near(body, range.end), indent_of(body, range.start));
        let inner = format!("{outer}{}", style.unit);
        (
            format!("[{eol}{inner}"),
            format!(",{eol}{inner}{}{eol}{outer}]", quoted(ours)),
        )
    } else {
        ("[".to_owned(), format!(",{}{}]", style.space, quoted(ours)))
    };
    let splices = [
        Splice::insert(range.start, open),
        Splice::insert(range.end, close),
    ];
    plan.step(step, splices);
    plan.intend(MEMBER, Some(json!([to_value(&found.value), ours])));
}

/// The member, or its value, begins a line: there is room for lines.
fn stands_on_lines(document: &Document<'_>, found: &ObjectProp<'_>) -> bool {
    let body = document.body();
    heads_line(body, document.head(found.range.start))
        || begins_line(body, document.head(range_of(&found.value).start))
}

/// Takes `[theirs, ours]` back to theirs, if it is nothing more than that; `original` is what was there before, where
/// that is known. Says whether it did.
pub(super) fn take_from_list(
    plan: &mut Plan<'_, '_>,
    found: &ObjectProp<'_>,
    array: &Array<'_>,
    original: Option<&Document<'_>>,
    reason: &'static str,
) -> bool {
    let document = plan.document;
    let [theirs @ Node::StringLit(_), _] = &array.elements[..] else {
        return false;
    };
    let sequence = Sequence::of_array(document, plan.style, array);
    let stood_alone = match original.and_then(|original| original.value_at(&[MEMBER])) {
        Some(value) => value.is_string(),
        // What stands on one line where there is room for lines was a list before.
        None => !(sequence.is_hugged() && stands_on_lines(document, found)),
    };
    let (theirs, own) = (range_of(theirs), sequence.items[1].whole());
    let (ahead, behind) = (array.range.start..theirs.start, theirs.end..array.range.end);
    let has_comments = |range: &std::ops::Range<usize>| {
        let mut comments = document.comments(range.clone());
        comments.any(|mark| mark.start() < own.start || mark.end() > own.end)
    };
    if !stood_alone || has_comments(&ahead) || has_comments(&behind) {
        return false;
    }
    let removed = sequence.items[1].range.clone();
    plan.remove(
        vec![Step::new(&[MEMBER, "1"], reason).removing(removed)],
        vec![Splice::delete(ahead), Splice::delete(behind)],
    );
    plan.intend(MEMBER, Some(to_value(&array.elements[0])));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compose_makes_the_container_where_nothing_else_does() {
        let files =
            r#""dockerComposeFile": ["a.yml", "lace-ssh-compose/${devcontainerId}.yaml", "b.yml"]"#;
        for (rest, is_one) in [
            (r#""service": "app""#, true),
            (r#""service": "app", "build": { "target": "dev" }"#, true),
            (r#""service": "app", "image": "debian""#, false),
            (r#""service": "app", "dockerFile": "Dockerfile""#, false),
            (r#""service": "app", "build": { "dockerfile": "D" }"#, false),
        ] {
            let config = serde_json::from_str(&format!("{{ {files}, {rest} }}")).unwrap();
            assert_eq!(is_compose(&config), is_one, "{rest}");
            let wanted = is_one.then(|| Compose {
                service: "app".to_owned(),
                files: vec!["a.yml".to_owned(), "b.yml".to_owned()],
            });
            assert_eq!(compose(&config), wanted, "{rest}");
        }
        assert!(!is_compose(&json!({ "service": "app" })));
    }

    #[test]
    fn what_is_said_wrongly_is_nothing_to_go_by() {
        for (files, service) in [
            (json!("a.yml"), json!(3)),
            (json!("a.yml"), Value::Null),
            (json!("a.yml"), json!("a\n    privileged: true")),
            (json!({}), json!("app")),
        ] {
            let config = json!({ MEMBER: files, "service": service });
            assert_eq!(compose(&config), None, "{config}");
        }
        let one = compose(&json!({ MEMBER: "a.yml", "service": "app" })).unwrap();
        assert_eq!(one.files, ["a.yml"]);
    }

    #[test]
    fn a_service_is_named_as_compose_allows() {
        for good in ["app", "a.B_c-9"] {
            assert!(is_service(good), "{good}");
        }
        for bad in [
            "",
            "a b",
            "a:",
            "\"a",
            "ä",
            "a\n",
            "${localEnv:X}",
            "a/b",
            "a'",
        ] {
            assert!(!is_service(bad), "{bad}");
        }
    }

    #[test]
    fn ours_is_known_by_its_name_and_folder() {
        for ours in [
            "lace-ssh-compose/${devcontainerId}.yaml",
            "../lace-ssh-compose/${devcontainerId}.yaml",
            ".devcontainer\\lace-ssh-compose\\${devcontainerId}.yaml",
        ] {
            assert!(is_ours(ours), "{ours}");
            assert!(names_ours(&json!({ MEMBER: ["a.yml", ours] })), "{ours}");
        }
        for other in [
            "lace-ssh-compose/compose.yaml",
            "${devcontainerId}.yaml",
            "my-lace-ssh-compose/${devcontainerId}.yaml",
            "lace-ssh-compose/${devcontainerId}.yaml/x",
            "",
        ] {
            assert!(!is_ours(other), "{other}");
            assert!(!names_ours(&json!({ MEMBER: [other, 3] })), "{other}");
        }
        assert!(!names_ours(&json!({})));
    }

    const OURS: &str = r#""lace-ssh-compose/${devcontainerId}.yaml""#;

    /// What becomes of this member, given as JSON, and what of that again.
    fn named(text: &str, original: Option<&str>) -> Result<(String, String), Problem> {
        let wiring = crate::devcontainer::Wiring {
            feature: "./lace-ssh".to_owned(),
            port: 2222,
            publish: true,
            schema: None,
            compose_file: OURS.trim_matches('"').to_owned(),
        };
        let document =
            |files: &str| format!("{{\n  \"service\": \"a\",\n  \"{MEMBER}\": {files}\n}}\n");
        let wired = crate::devcontainer::wire(&document(text), &wiring)?.text;
        let original = original.map(document);
        let unwired = crate::devcontainer::unwire(&wired, original.as_deref(), |_| false)?;
        let member = |text: &str| {
            let document = Document::parse(text).unwrap();
            text[document.range_of(&[MEMBER]).unwrap()].replace(OURS, "OURS")
        };
        Ok((member(&wired), member(&unwired.text)))
    }

    #[test]
    fn ours_is_named_last_and_what_was_there_comes_back() {
        for (before, wired, unwired) in [
            (r#""a""#, "[\n    \"a\",\n    OURS\n  ]", r#""a""#),
            (r#"["a"]"#, r#"["a", OURS]"#, r#"["a"]"#),
            (r#"["a", "b",]"#, r#"["a", "b", OURS,]"#, r#"["a", "b",]"#),
            (
                r#"["a", /* b */]"#,
                r#"["a", OURS, /* b */]"#,
                r#"["a", /* b */]"#,
            ),
            (
                r#"["a", "../lace-ssh-compose/${devcontainerId}.yaml", "b"]"#,
                r#"["a", OURS, "b"]"#,
                r#"["a", "b"]"#,
            ),
            (
                r#"["a", "lace-ssh-compose/${devcontainerId}.yaml", "x/lace-ssh-compose/${devcontainerId}.yaml"]"#,
                r#"["a", OURS]"#,
                r#"["a"]"#,
            ),
        ] {
            let (once, taken_out) = named(before, None).unwrap();
            assert_eq!((&*once, &*taken_out), (wired, unwired), "{before}");
        }
    }

    #[test]
    fn who_knows_the_original_knows_whether_a_file_stood_alone() {
        let lines = "[\n    \"a\",\n    \"lace-ssh-compose/${devcontainerId}.yaml\"\n  ]";
        let inline = lines.replace("\n    ", "").replace("\n  ", "");
        for (text, original, unwired) in [
            (lines, Some("\"a\""), "\"a\""),
            (lines, Some("[\"a\"]"), "[\n    \"a\"\n  ]"),
            (lines, None, "\"a\""),
            (&inline, Some("\"a\""), "\"a\""),
            (&inline, None, "[\"a\"]"),
            // Somebody's comment is not lost for it.
            (
                &lines.replace("[", "[ // first"),
                None,
                "[ // first\n    \"a\"\n  ]",
            ),
            (
                &lines.replace("\n  ]", "\n    // last\n  ]"),
                None,
                "[\n    \"a\"\n    // last\n  ]",
            ),
        ] {
            assert_eq!(named(text, original).unwrap().1, unwired, "{text}");
        }
    }

    #[test]
    fn a_list_that_would_mean_something_else_with_ours_is_refused() {
        for (files, message) in [
            ("[]", "which Compose files are meant"),
            ("3", "not a string or an array"),
            (r#"["a", 3]"#, "a Compose file is a string, not a number"),
            (OURS, "no Compose file of a project"),
            (&format!("[{OURS}, \"a\"]"), "no Compose file of a project"),
        ] {
            let problem = named(files, None).unwrap_err();
            assert!(problem.to_string().contains(message), "{files}: {problem}");
        }
    }

    #[test]
    fn a_service_that_is_none_is_refused_where_it_stands() {
        for (service, message) in [
            ("", "1:24: which service is the dev container is not said"),
            (", \"service\": 3", "\"service\" is a number"),
            (", \"service\": \"a b\"", "is named by letters"),
        ] {
            let text = format!("{{ \"dockerComposeFile\": \"a\"{service} }}");
            let document = Document::parse(&text).unwrap();
            let problem = check_service(&document).unwrap_err().to_string();
            assert!(problem.contains(message), "{problem}");
        }
        let good = Document::parse(r#"{ "service": "a" }"#).unwrap();
        assert!(check_service(&good).is_ok());
    }
}
