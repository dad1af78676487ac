//! What must be true of every edit, over generated documents. `PROPTEST_CASES` says how many.

use super::{
    documents,
    reading::{comments, reformat, value},
};
use lace_ssh::devcontainer::{Document, Edited, Problem, Wiring, unwire, wire};
use proptest::prelude::*;
use serde_json::{Value, json};

fn wiring(port: u16) -> Wiring {
    Wiring {
        feature: "./lace-ssh".to_owned(),
        port,
        publish: true,
        schema: None,
        compose_file: "lace-ssh-compose/${devcontainerId}.yaml".to_owned(),
    }
}

/// The text without what is ours, where nobody knows what it was before.
fn taken_out(text: &str) -> Result<Edited, Problem> {
    unwire(text, None, |_| false)
}

/// Every one of `some` is in `all`, in order.
fn is_within(some: &[String], all: &[String]) -> bool {
    let mut rest = all.iter();
    some.iter().all(|one| rest.any(|other| other == one))
}

/// The value without containers of ours that hold nothing: filled and emptied, they may be gone. A list of one Compose file
/// may have become that file.
fn without_empties(mut document: Value) -> Value {
    let names = [
        "features",
        "mounts",
        "runArgs",
        "initializeCommand",
        "postStartCommand",
    ];
    if let Some(members) = document.as_object_mut() {
        members.retain(|name, value| {
            let empty = *value == json!({}) || *value == json!([]);
            !(empty && names.contains(&name.as_str()) && value.as_str().is_none())
        });
        if let Some(files) = members.get_mut("dockerComposeFile")
            && let [only] = files.as_array().map(Vec::as_slice).unwrap_or_default()
        {
            *files = only.clone();
        }
    }
    document
}

/// Whether a member of ours is an empty container in another shape than `{}` or `[]`, or not on a
/// line of its own, or there is a list of one Compose file: the things whose bytes are not known any more once
/// they have been filled.
fn has_odd_empty(text: &str) -> bool {
    let names = [
        "features",
        "mounts",
        "runArgs",
        "initializeCommand",
        "postStartCommand",
    ];
    let document = value(text);
    let empty = document == json!({});
    let is_one = document["dockerComposeFile"]
        .as_array()
        .is_some_and(|files| files.len() == 1);
    empty || is_one || names.iter().any(|name| {
        let document = Document::parse(text).unwrap();
        let Some(range) = document.range_of(&[name]) else {
            return false;
        };
        let named = document.name_range_of(&[name]).unwrap().start;
        let line = &text[text[..named].rfind('\n').map_or(0, |at| at + 1)..named];
        let listed = matches!(line.trim(), "" | ",");
        let empty =
            matches!(&document.value_at(&[name]), Some(v) if *v == json!({}) || *v == json!([]));
        empty && !(listed && range.len() == 2)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_edit_adds_what_it_should_and_nothing_else(text in documents::document()) {
        let before = value(&text);
        let edited = wire(&text, &wiring(2222)).unwrap();
        let after = value(&edited.text);
        prop_assert!(is_within(&comments(&text), &comments(&edited.text)), "{}", edited.text);
        for (name, wanted) in before.as_object().unwrap() {
            let found = &after[name];
            let kept = match (name.as_str(), wanted, found) {
                ("features", Value::Object(wanted), Value::Object(found)) =>
                    wanted.iter().all(|(key, value)| found.get(key) == Some(value))
                        && found.len() == wanted.len() + 1,
                ("mounts" | "runArgs", Value::Array(wanted), Value::Array(found)) =>
                    found.starts_with(wanted) && found.len() <= wanted.len() + 1,
                ("dockerComposeFile", wanted, Value::Array(found)) if before.get("image").is_none() => {
                    let (ours, theirs) = found.split_last().unwrap();
                    let wanted = wanted.as_array().cloned().unwrap_or_else(|| vec![wanted.clone()]);
                    theirs == wanted && *ours == json!("lace-ssh-compose/${devcontainerId}.yaml")
                }
                ("initializeCommand" | "postStartCommand", Value::Object(wanted), Value::Object(found)) =>
                    wanted.iter().all(|(key, value)| found.get(key) == Some(value))
                        && found.len() == wanted.len() + 1,
                ("initializeCommand" | "postStartCommand", wanted, found) =>
                    found["project"] == *wanted,
                _ => wanted == found,
            };
            prop_assert!(kept, "{name}: {wanted} became {found}");
        }
        prop_assert_eq!(&after["features"]["./lace-ssh"], &json!({}));
        prop_assert_eq!(
            Document::parse(&edited.text).unwrap().value(),
            after
        );
    }

    #[test]
    fn twice_is_once(text in documents::document(), port in 2222_u16..2224) {
        let once = wire(&text, &wiring(port)).unwrap();
        let twice = wire(&once.text, &wiring(port)).unwrap();
        prop_assert_eq!(&once.text, &twice.text);
        prop_assert!(twice.edits.is_empty());
    }

    #[test]
    fn what_is_put_in_comes_out_to_the_byte(text in documents::document(), port in 2222_u16..2224) {
        // Without a published port only the options say that the port is ours.
        let is_compose = value(&text).get("dockerComposeFile").is_some();
        let port = if is_compose { 2222 } else { port };
        let wired = wire(&text, &wiring(port)).unwrap();
        let unwired = taken_out(&wired.text).unwrap();
        prop_assert!(unwired.modified.is_empty());
        if has_odd_empty(&text) {
            prop_assert_eq!(without_empties(value(&unwired.text)), without_empties(value(&text)));
            prop_assert_eq!(comments(&unwired.text), comments(&text), "wired: {}", wired.text);
        } else {
            prop_assert_eq!(&unwired.text, &text, "wired: {}", wired.text);
        }
    }

    #[test]
    fn nothing_of_ours_is_nothing_to_take_out(text in documents::document()) {
        let unwired = taken_out(&text).unwrap();
        prop_assert!(unwired.edits.is_empty());
        prop_assert_eq!(unwired.text, text);
    }

    #[test]
    fn a_new_layout_hides_nothing(text in documents::document()) {
        let wired = reformat(&wire(&text, &wiring(2222)).unwrap().text);
        let unwired = taken_out(&wired).unwrap();
        prop_assert_eq!(without_empties(value(&unwired.text)), without_empties(value(&text)));
        prop_assert_eq!(comments(&unwired.text), comments(&wired), "wired: {}", wired);
        let again = wire(&wired, &wiring(2222)).unwrap();
        prop_assert_eq!(again.text, wired);
    }

    #[test]
    fn who_knows_the_original_gets_its_values_back(text in documents::document()) {
        let wired = wire(&text, &wiring(2222)).unwrap().text;
        for wired in [reformat(&wired), value(&wired).to_string(), wired] {
            let unwired = unwire(&wired, Some(&text), |_| false).unwrap();
            let kept = comments(&unwired.text);
            prop_assert_eq!(&kept, &comments(&wired), "wired: {}", wired);
            let is_same = value(&unwired.text) == value(&text);
            prop_assert!(is_same || !kept.is_empty(), "wired: {}", wired);
            prop_assert_eq!(without_empties(value(&unwired.text)), without_empties(value(&text)));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[ -~\n\\t{}\\[\\]\",:/*a]{0,40}") {
        let _ = wire(&text, &wiring(2222));
        let _ = taken_out(&text);
    }
}
