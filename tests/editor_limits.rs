//! How an edit grows with the file: time at 4 KB, 64 KB and 1 MiB, and the memory of the largest.
//!
//! Run on its own, in release: `cargo test --release --test editor_growth -- --ignored --nocapture`.

use std::fs;
use std::time::{Duration, Instant};

use lace_ssh::devcontainer::{Edited, Wiring, dialect, unwire, wire};

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

fn edit(text: &str) -> Edited {
    let wiring = Wiring {
        feature: "./lace-ssh".to_owned(),
        port: 2222,
    };
    wire(text, &wiring).unwrap()
}

fn median(mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..21)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

/// The most memory that this process has had, in bytes.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace()
        .nth(1)?
        .parse::<u64>()
        .ok()
        .map(|kb| kb * 1024)
}

#[test]
#[ignore = "measures; run alone and in release"]
fn time_grows_with_the_size_and_memory_stays_small() {
    let largest = document(LARGEST_EDITED);
    let edited = edit(&largest);
    assert_eq!(unwire(&edited.text).unwrap().text, largest);
    let memory = peak();
    println!("| file | put in | taken out | nothing to do |\n| ---: | ---: | ---: | ---: |");
    let mut slowest = Vec::new();
    for bytes in [4 * 1024, 64 * 1024, LARGEST_EDITED] {
        let text = document(bytes);
        let wired = edit(&text);
        let times = [
            median(|| drop(edit(&text))),
            median(|| drop(unwire(&wired.text).unwrap())),
            median(|| drop(edit(&wired.text))),
        ];
        println!(
            "| {} B | {:.2?} | {:.2?} | {:.2?} |",
            text.len(),
            times[0],
            times[1],
            times[2]
        );
        slowest.push((text.len() as f64, times.iter().max().unwrap().as_secs_f64()));
    }
    if let Some(memory) = memory {
        println!(
            "peak memory after the largest: {:.1} MB",
            memory as f64 / 1e6
        );
        assert!(memory < 30_000_000, "{memory} bytes");
    }
    let per_byte = |(bytes, time): (f64, f64)| time / bytes;
    assert!(
        per_byte(slowest[2]) < 4.0 * per_byte(slowest[1]),
        "{slowest:?}"
    );
    assert!(slowest[2].1 < 0.05, "{slowest:?}");
}

#[test]
fn a_larger_file_is_refused() {
    let text = document(dialect::LARGEST + 1000);
    let problem = dialect::decode(text.as_bytes()).unwrap_err();
    assert!(problem.to_string().contains("bytes"), "{problem}");
    assert!(unwire(&text).is_err());
}

#[test]
fn a_file_without_room_for_the_edit_is_refused() {
    let mut text = document(LARGEST_EDITED);
    text.push_str(&" ".repeat(dialect::LARGEST - text.len()));
    let wiring = Wiring {
        feature: "./lace-ssh".to_owned(),
        port: 2222,
    };
    let problem = wire(&text, &wiring).unwrap_err().to_string();
    assert!(problem.contains("would have more than"), "{problem}");
}
