//! The largest file that is edited; how long that takes is `tests/bench.sh`'s business.

use lace_ssh::devcontainer::mount::MOUNT;
use lace_ssh::devcontainer::{Edited, Problem, Wiring, dialect, unwire, wire};

/// The largest file that has room for the edit.
const LARGEST_EDITED: usize = dialect::LARGEST - 4096;

/// A commented document of about `bytes` bytes, as a tool that generates settings would leave it.
fn document(bytes: usize) -> String {
    let mut text =
        String::from("{\n  \"image\": \"debian\", // the base\n  \"customizations\": {\n");
    let mut i = 0;
    while text.len() + 400 < bytes {
        text.push_str(&format!(
            "    // setting {i}\n    \"setting.number.{i}\": {{ \"enabled\": true, \"paths\": [\"/a/{i}\", \"/b\"] }},\n"
        ));
        i += 1;
    }
    text.push_str(
        "    \"last\": null\n  },\n  \"mounts\": [\n    \"source=a,target=/a,type=volume\"\n  ],\n",
    );
    text.push_str("  \"initializeCommand\": \"npm ci\",\n  \"remoteUser\": \"vscode\"\n}\n");
    text
}

fn wiring() -> Wiring {
    Wiring {
        feature: "./lace-ssh".to_owned(),
        port: 2222,
        publish: true,
        schema: None,
        compose_file: "lace-ssh-compose/${devcontainerId}.yaml".to_owned(),
    }
}

/// The text without what is ours, where nobody knows what it was before.
fn taken_out(text: &str) -> Result<Edited, Problem> {
    unwire(text, None, |_| false)
}

#[test]
fn a_larger_file_is_refused() {
    let text = document(dialect::LARGEST + 1000);
    let problem = dialect::decode(text.as_bytes()).unwrap_err();
    assert!(problem.to_string().contains("bytes"), "{problem}");
    assert!(taken_out(&text).is_err());
}

#[test]
fn the_largest_file_with_room_for_the_edit_is_edited_and_comes_back() {
    let text = document(LARGEST_EDITED);
    let edited = wire(&text, &wiring()).unwrap();
    assert_eq!(taken_out(&edited.text).unwrap().text, text);
}

#[test]
fn a_file_without_room_for_the_edit_is_refused() {
    let mut text = document(LARGEST_EDITED);
    text.push_str(&" ".repeat(dialect::LARGEST - text.len()));
    let problem = wire(&text, &wiring()).unwrap_err().to_string();
    assert!(problem.contains("would have more than"), "{problem}");
}

/// A list as the only member of ours but the Feature, with this item so many times.
fn repeated(member: &str, item: &str, count: usize) -> String {
    let items = vec![format!("    {item:?}"); count].join(",\n");
    format!(
        "{{\n  \"features\": {{\n    \"./lace-ssh\": {{}}\n  }},\n  \"{member}\": [\n    \"x\",\n{items}\n  ]\n}}\n"
    )
}

/// Minutes, if the time grew with the square of their number.
#[test]
fn as_many_pieces_of_ours_as_there_is_room_for_go_in_no_time() {
    let wired = wire(&repeated("mounts", MOUNT, 8500), &wiring()).unwrap();
    assert_eq!(wired.text.matches(MOUNT).count(), 1);
    let unwired = taken_out(&wired.text).unwrap().text;
    assert_eq!(unwired, "{\n  \"mounts\": [\n    \"x\"\n  ]\n}\n");
    let publishes = repeated("runArgs", "--publish=127.0.0.1::2222", 25_000);
    let unwired = taken_out(&publishes).unwrap().text;
    assert_eq!(unwired, "{\n  \"runArgs\": [\n    \"x\"\n  ]\n}\n");
}
