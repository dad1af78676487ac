//! Any bytes in: no panic, no hang, no result that cannot be read, and the way back.
//!
//! The first byte picks the port and whether a schema is linked; the rest is the file.

#![no_main]

use lace_ssh::devcontainer::{Document, Wiring, dialect, unwire, wire};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let Ok(text) = dialect::decode(bytes) else {
        return;
    };
    let wiring = Wiring {
        feature: "./lace-ssh".to_owned(),
        port: 2222 + u16::from(first % 2),
        publish: first % 8 < 4,
        schema: (first % 4 > 1).then(|| "./lace-ssh/lace-ssh.schema.json".to_owned()),
        compose_file: "lace-ssh-compose/${devcontainerId}.yaml".to_owned(),
    };
    match wire(text, &wiring) {
        Ok(edited) => {
            let Ok(_) = Document::parse(&edited.text) else {
                panic!("cannot be read: {}", edited.text);
            };
            assert_eq!(edited.edits.is_empty(), edited.text == text);
            let again = wire(&edited.text, &wiring).expect("a second time");
            assert_eq!(again.text, edited.text, "twice is once");
            let unwired = unwire(&edited.text, None, |_| false).expect("the way back");
            let again = unwire(&unwired.text, None, |_| false).expect("back a second time");
            assert_eq!(again.text, unwired.text, "back twice is back once");
            unwire(&edited.text, Some(text), |_| false).expect("the way back by the original");
        }
        Err(problem) => {
            // The guard is the last line: whatever reaches it is a fault of the planner.
            assert!(
                !problem.to_string().contains("was refused"),
                "{problem}\n{text}"
            );
            let _ = problem.snippet();
        }
    }
    if let Err(problem) = unwire(text, None, |_| true) {
        assert!(
            !problem.to_string().contains("was refused"),
            "{problem}\n{text}"
        );
    }
});
