//! What an edit tells about itself, and what is asked about.

use lace_ssh::devcontainer::mount::MOUNT;
use lace_ssh::devcontainer::{Document, Edited, Problem, Wiring, unwire, wire};
use serde_json::{Value, json};

fn wiring() -> Wiring {
    Wiring {
        feature: "./lace-ssh".to_owned(),
        port: 2222,
        publish: true,
        schema: None,
        compose_file: "lace-ssh-compose/${devcontainerId}.yaml".to_owned(),
    }
}

fn wired(text: &str) -> Edited {
    wire(text, &wiring()).unwrap()
}

/// The text without what is ours, where nobody knows what it was before.
fn taken_out(text: &str) -> Result<Edited, Problem> {
    unwire(text, None, |_| false)
}

/// The lifecycle command of that name that setup writes.
fn command(name: &str) -> Value {
    let text = wired("{}").text;
    Document::parse(&text).unwrap().value_at(&[name]).unwrap()
}

const IMAGE: &str = "{\n  \"image\": \"debian\", // base\n  \"initializeCommand\": \"npm ci\"\n}\n";

#[test]
fn every_edit_says_where_and_why() {
    let edited = wired(IMAGE);
    let lines: Vec<&str> = edited.text.lines().collect();
    for edit in &edited.edits {
        assert!(!edit.reason.is_empty() && !edit.reason.contains('\n'));
        let after = edit.after.as_deref().unwrap();
        let shown = lines[edit.lines.start - 1..edit.lines.end - 1].join("\n");
        assert!(shown.contains(after), "{:?}: {shown}", edit.path);
    }
    let paths: Vec<String> = edited.edits.iter().map(|edit| edit.path.clone()).collect();
    assert_eq!(
        paths,
        [
            "/initializeCommand",
            "/features",
            "/mounts",
            "/runArgs",
            "/postStartCommand"
        ]
    );
    let command = &edited.edits[0];
    assert_eq!(command.before.as_deref(), Some("\"npm ci\""));
    assert_eq!(command.lines, 10..14);
    let mount = &edited.edits[2];
    assert_eq!((mount.before.as_deref(), mount.lines.clone()), (None, 6..9));
}

#[test]
fn a_path_is_a_json_pointer() {
    let edited = wired("{ \"features\": { \"a\": {} } }");
    let mut paths = edited.edits.iter().map(|edit| edit.path.as_str());
    assert!(paths.any(|path| path == "/features/.~1lace-ssh"));
}

#[test]
fn what_is_taken_out_is_told() {
    let unwired = taken_out(&wired(IMAGE).text).unwrap();
    assert_eq!(unwired.text, IMAGE);
    let mount = unwired
        .edits
        .iter()
        .find(|edit| edit.path == "/mounts")
        .unwrap();
    assert!(mount.before.as_deref().unwrap().contains(MOUNT));
    assert_eq!(mount.after, None);
    assert!(mount.lines.is_empty());
}

#[test]
fn pieces_changed_by_hand_are_asked_about_and_never_dropped() {
    let text = wired(IMAGE).text;
    let changed = text
        .replace("readonly\"", "readonly,consistency=cached\"")
        .replace("\"./lace-ssh\": {}", "\"./lace-ssh\": { \"motd\": true }")
        .replace("lace-ssh post-start; fi", "lace-ssh post-start --quiet; fi");
    let unwired = taken_out(&changed).unwrap();
    let asked: Vec<String> = unwired
        .modified
        .iter()
        .map(|piece| piece.path.join("/"))
        .collect();
    assert_eq!(
        asked,
        ["features/./lace-ssh", "mounts/0", "postStartCommand"]
    );
    assert!(unwired.text.contains("consistency=cached"));
    assert!(unwired.text.contains("motd"));
    assert!(unwired.text.contains("--quiet"));
    // The mount needs the folder that it makes.
    assert!(unwired.text.contains("initialize --id"));
    let mount = &unwired.modified[1];
    assert!(mount.reason.contains("initializeCommand"));
    assert_eq!(mount.text, format!("\"{MOUNT},consistency=cached\""));
    assert_eq!(mount.lines, 7..8);
    let all = unwire(&changed, None, |_| true).unwrap();
    assert_eq!(all.text, IMAGE);
    assert!(all.modified.is_empty());
    let only = unwire(&changed, None, |piece| piece.path[0] == "mounts").unwrap();
    assert_eq!(only.modified.len(), 2);
    assert!(!only.text.contains("consistency"));
    assert!(!only.text.contains("initialize --id"));
}

#[test]
fn a_wrapped_command_that_was_commented_stays_an_object() {
    let text = wired(IMAGE).text.replace(
        "    \"project\"",
        "    // the project's own\n    \"project\"",
    );
    let unwired = taken_out(&text).unwrap().text;
    assert!(
        unwired.contains("// the project's own\n    \"project\": \"npm ci\"\n  }"),
        "{unwired}"
    );
    assert!(!unwired.contains(command("initializeCommand").as_str().unwrap()));
}

#[test]
fn a_schema_is_linked_first_and_goes_with_the_rest() {
    let linked = |text: &str, reference: &str| {
        let wiring = Wiring {
            feature: "./lace-ssh".to_owned(),
            port: 2222,
            publish: true,
            schema: Some(reference.to_owned()),
            compose_file: "lace-ssh-compose/${devcontainerId}.yaml".to_owned(),
        };
        wire(text, &wiring)
    };
    let first = linked(IMAGE, "./lace-ssh/lace-ssh.schema.json").unwrap();
    let start = "{\n  \"$schema\": \"./lace-ssh/lace-ssh.schema.json\",\n  \"image\"";
    assert!(first.text.starts_with(start));
    let again = linked(&first.text, "./lace-ssh/lace-ssh.schema.json").unwrap();
    assert!(again.edits.is_empty());
    assert!(wire(&first.text, &wiring()).unwrap().edits.is_empty());
    let moved = linked(&first.text, "../lace-ssh.schema.json").unwrap();
    assert_eq!(moved.edits.len(), 1);
    assert_eq!(taken_out(&moved.text).unwrap().text, IMAGE);
    // The place is that in the text that is there, not in one that is wired.
    let theirs = "{\n  \"image\": \"x\",\n  \"$schema\": \"https://example.com/x.json\"\n}";
    assert_eq!(linked(theirs, "./x").unwrap_err().position(), Some((3, 14)));
    assert_eq!(taken_out(theirs).unwrap().text, theirs);
}

#[test]
fn names_and_values_have_their_places() {
    let text = "\u{feff}{ \"a\": { \"b\": [1, \"x\"] }, \"a\": { \"b\": [2, \"y\"] } }";
    let document = Document::parse(text).unwrap();
    assert_eq!(&text[document.range_of(&["a", "b", "1"]).unwrap()], "\"y\"");
    assert_eq!(&text[document.name_range_of(&["a", "b"]).unwrap()], "\"b\"");
    assert_eq!(document.range_of(&[]), Some(3..text.len()));
    assert_eq!(document.range_of(&["a", "c"]), None);
    assert_eq!(document.name_range_of(&["a", "b", "0"]), None);
    assert_eq!(document.value_at(&["a", "b", "0"]), Some(json!(2)));
    assert_eq!(document.value(), json!({ "a": { "b": [2, "y"] } }));
}

#[test]
fn a_published_port_alone_is_not_ours() {
    let text = "{ \"image\": \"debian\", \"runArgs\": [\"--publish=127.0.0.1::2222\"] }";
    assert_eq!(taken_out(text).unwrap().text, text);
}

#[test]
fn a_name_given_twice_is_not_taken_out() {
    let post_start = command("postStartCommand");
    let text = format!(
        "{{\n  \"postStartCommand\": {{\n    \"a\": \"make\",\n    \"a\": {post_start}\n  }}\n}}\n"
    );
    let problem = taken_out(&text).unwrap_err();
    assert_eq!(problem.position(), Some((4, 5)));
    assert!(problem.to_string().contains("first on line 3"), "{problem}");
}

/// What a tool that knows no comments leaves of a document.
fn rewritten(text: &str) -> String {
    let value = Document::parse(text).unwrap().value();
    serde_json::to_string_pretty(&value).unwrap()
}

#[test]
fn who_knows_the_original_knows_which_empty_containers_were_there() {
    let original = "{ \"image\": \"debian\", \"features\": {}, \"runArgs\": [] }";
    let text = rewritten(&wired(original).text);
    let unwired = |original| {
        let text = unwire(&text, original, |_| false).unwrap().text;
        Document::parse(&text).unwrap().value().to_string()
    };
    let wanted = Document::parse(original).unwrap().value().to_string();
    assert_eq!(unwired(Some(original)), wanted);
    assert_eq!(unwired(Some(IMAGE)), r#"{"image":"debian"}"#);
    assert_eq!(unwired(Some("{")), unwired(None));
}

#[test]
fn a_comment_keeps_a_container_that_setup_made() {
    let text = wired(IMAGE)
        .text
        .replace("  \"mounts\"", "  // see the wiki\n  \"mounts\"");
    let unwired = unwire(&text, Some(IMAGE), |_| false).unwrap().text;
    let kept = "// base\n  // see the wiki\n  \"mounts\": [],\n";
    assert_eq!(unwired, IMAGE.replace("// base\n", kept));
}

#[test]
fn who_knows_the_original_unwraps_a_command_in_any_order() {
    let initialize = command("initializeCommand");
    let sorted = format!(
        "{{\n  \"initializeCommand\": {{\n    \"lace-ssh\": {initialize},\n    \"project\": \"make\"\n  }}\n}}\n"
    );
    let unwired = |original| unwire(&sorted, original, |_| false).unwrap().text;
    let alone = "{\n  \"initializeCommand\": \"make\"\n}\n";
    let member = "{\n  \"initializeCommand\": {\n    \"project\": \"make\"\n  }\n}\n";
    assert_eq!(unwired(Some(alone)), alone);
    assert_eq!(unwired(Some(member)), member);
    assert_eq!(unwired(None), member);
    let behind = wired(alone).text;
    let theirs = unwire(&behind, Some(member), |_| false).unwrap().text;
    assert!(
        theirs.contains("{\n    \"project\": \"make\"\n  }"),
        "{theirs}"
    );
}

/// What is asked about, and the text that is left where nothing of it goes.
fn left_of(text: &str) -> (Vec<String>, String) {
    let unwired = taken_out(text).unwrap();
    let paths = unwired.modified.iter().map(|piece| piece.path.join("/"));
    (paths.collect(), unwired.text)
}

#[test]
fn a_feature_with_a_port_that_setup_did_not_set_is_asked_about() {
    let changed = wired(IMAGE)
        .text
        .replace("\"./lace-ssh\": {}", "\"./lace-ssh\": {\"port\":\"9999\"}");
    let (asked, left) = left_of(&changed);
    assert_eq!(asked, ["features/./lace-ssh"]);
    assert!(left.contains("9999"), "{left}");
    let all = unwire(&changed, None, |_| true).unwrap();
    assert_eq!(all.text, IMAGE);
}

#[test]
fn a_port_that_the_options_give_is_the_one_that_setup_set() {
    let before = "{\n  \"image\": \"debian\",\n  \"appPort\": [2300],\n  \"customizations\": { \"lace\": { \"ssh\": { \"port\": 2300 } } }\n}\n";
    let wiring = Wiring {
        port: 2300,
        ..wiring()
    };
    let text = wire(before, &wiring).unwrap().text;
    assert!(text.contains("\"port\": \"2300\""), "{text}");
    assert_eq!(left_of(&text), (Vec::new(), before.to_owned()));
}

#[test]
fn our_published_port_goes_where_somebody_has_taken_out_the_feature() {
    let text = wired(IMAGE).text.replace("\"./lace-ssh\": {}", "");
    let (asked, left) = left_of(&text);
    assert!(asked.is_empty() && !left.contains("--publish"), "{left}");
    let other = text.replace("::2222", "::2223");
    assert!(left_of(&other).1.contains("--publish=127.0.0.1::2223"));
}

#[test]
fn a_comment_within_the_feature_is_asked_about() {
    let text = wired(IMAGE).text.replace(
        "\"./lace-ssh\": {}",
        "\"./lace-ssh\": { // \"port\": \"2200\"\n    }",
    );
    let (asked, left) = left_of(&text);
    assert_eq!(asked, ["features/./lace-ssh"]);
    assert!(left.contains("2200"), "{left}");
}

#[test]
fn a_feature_by_another_name_would_not_be_found_again() {
    for feature in ["", "/", "ghcr.io/me/ssh-lace:1", "ghcr.io/me/LACE-SSH:1"] {
        let wiring = Wiring {
            feature: feature.to_owned(),
            ..wiring()
        };
        let problem = wire(IMAGE, &wiring).unwrap_err();
        assert!(problem.position().is_none() && problem.hint().is_some());
    }
}

#[test]
fn a_name_given_twice_beside_ours_is_refused_both_ways() {
    let initialize = command("initializeCommand");
    let text = format!(
        "{{\"initializeCommand\": {{\"lace-ssh\": {initialize}, \"lace-ssh\": \"other\"}}}}"
    );
    let problem = taken_out(&text).unwrap_err();
    assert_eq!(wire(&text, &wiring()).unwrap_err(), problem);
    assert!(problem.to_string().contains("given twice"), "{problem}");
}

#[test]
fn who_knows_the_original_knows_its_comments_wherever_a_formatter_puts_them() {
    let original = "{\n  \"mounts\": [ \"a\", /* many\n  lines */ ],\n  \"initializeCommand\": { // c\n    \"project\": \"p\"\n  }\n}\n";
    let text = wired(original).text;
    let mount = format!("\"{MOUNT}\"");
    let moved = text
        .replace("{ // c", "{\n    // c")
        .replace(" /* many\n  lines */", "")
        .replace(&mount, &format!("{mount} /* many\n      lines */"));
    let unwired = unwire(&moved, Some(original), |_| false).unwrap().text;
    assert!(unwired.contains("/* many\n      lines */"), "{unwired}");
    assert!(unwired.contains("// c\n    \"project\""), "{unwired}");
    let before = Document::parse(original).unwrap().value();
    assert_eq!(Document::parse(&unwired).unwrap().value(), before);
}

#[test]
fn what_is_wrong_beside_ours_does_not_bar_the_way_back() {
    let compose = "{\n  \"dockerComposeFile\": \"compose.yml\",\n  \"service\": \"a\",\n  \"runArgs\": [3],\n  \"$schema\": \"a\",\n  \"$schema\": \"b\"\n}\n";
    assert_eq!(taken_out(&wired(compose).text).unwrap().text, compose);
    let twice = compose.replace("[3],", "[3],\n  \"mounts\": [],\n  \"mounts\": [],");
    let problem = wire(&twice, &wiring()).unwrap_err().to_string();
    assert!(problem.contains("given twice"), "{problem}");
}
