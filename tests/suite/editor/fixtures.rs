//! Every case of `fixtures/devcontainer`: what `setup` makes of `before.jsonc`, and that `remove`
//! takes it back.
//!
//! Without a `port.txt` the port is the one that the options say. A case may hold `port.txt`, `feature.txt` and `schema.txt` (what to wire with) and `unwired.jsonc` (what is
//! left after taking out, where that is not `before.jsonc` again). `UPDATE_FIXTURES=1 cargo test`
//! writes the expected files anew and names each one that changed; read them before you keep them.

use std::fs;
use std::path::{Path, PathBuf};

use lace_ssh::devcontainer::{Document, Edited, Problem, Wiring, dialect, options, unwire, wire};

struct Case {
    name: String,
    folder: PathBuf,
    before: Vec<u8>,
    wiring: Wiring,
}

fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/devcontainer");
    let mut folders: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("before.jsonc").is_file())
        .collect();
    folders.sort();
    let read = |folder: &Path, name: &str, default: &str| {
        let text = fs::read_to_string(folder.join(name)).unwrap_or(default.to_owned());
        text.trim().to_owned()
    };
    let before =
        |folder: &Path| fs::read_to_string(folder.join("before.jsonc")).unwrap_or_default();
    let case = |folder: PathBuf| Case {
        name: folder.file_name().unwrap().to_string_lossy().into_owned(),
        before: fs::read(folder.join("before.jsonc")).unwrap(),
        wiring: Wiring {
            feature: read(&folder, "feature.txt", "./lace-ssh"),
            port: match read(&folder, "port.txt", "").parse() {
                Ok(port) => port,
                Err(_) => options_of(&before(&folder)).port,
            },
            publish: options_of(&before(&folder)).publish,
            schema: Some(read(&folder, "schema.txt", "")).filter(|schema| !schema.is_empty()),
            compose_file: "lace-ssh-compose/${devcontainerId}.yaml".to_owned(),
        },
        folder,
    };
    folders.into_iter().map(case).collect()
}

/// What the options say, or what is usual where nobody can read them.
fn options_of(text: &str) -> options::Options {
    let value = Document::parse(text).map(|document| document.value());
    let options = value
        .map(|value| options::options(&value, &options::Options::default()).unwrap_or_default());
    options.unwrap_or_default()
}

/// The message, the snippet and the hint, as a terminal shows them.
fn shown(problem: &Problem) -> String {
    let snippet = problem.snippet().unwrap_or_default();
    let hint = problem
        .hint()
        .map(|hint| format!("hint: {hint}\n"))
        .unwrap_or_default();
    format!("{problem}\n{snippet}{hint}")
}

fn edit(case: &Case) -> Result<Edited, Problem> {
    wire(dialect::decode(&case.before)?, &case.wiring)
}

/// Compares with the file, or writes it where that was asked for.
fn expect(file: &Path, found: &str, wrong: &mut Vec<String>) {
    let wanted = fs::read_to_string(file).ok();
    if wanted.as_deref() == Some(found) {
        return;
    }
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        println!("wrote {}", file.display());
        return fs::write(file, found).unwrap();
    }
    let wanted = wanted.unwrap_or("(no such file)".to_owned());
    wrong.push(format!(
        "{}\n--- wanted\n{wanted}\n--- found\n{found}",
        file.display()
    ));
}

#[test]
fn every_case_is_edited_as_its_files_say() {
    let mut wrong = Vec::new();
    for case in cases() {
        match edit(&case) {
            Ok(edited) => expect(&case.folder.join("after.jsonc"), &edited.text, &mut wrong),
            Err(problem) => expect(&case.folder.join("error.txt"), &shown(&problem), &mut wrong),
        }
        let both =
            case.folder.join("after.jsonc").exists() == case.folder.join("error.txt").exists();
        if both {
            wrong.push(format!("{}: one of after.jsonc and error.txt", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn taking_out_gives_back_what_was_there() {
    let mut wrong = Vec::new();
    for case in cases() {
        let Ok(edited) = edit(&case) else { continue };
        let unwired =
            unwire(&edited.text, None, |_| false).unwrap_or_else(|p| panic!("{}: {p}", case.name));
        let file = case.folder.join("unwired.jsonc");
        let before = String::from_utf8(case.before.clone()).unwrap();
        if file.exists()
            || (unwired.text != before && std::env::var_os("UPDATE_FIXTURES").is_some())
        {
            assert_ne!(
                unwired.text, before,
                "{}: unwired.jsonc is not needed",
                case.name
            );
            expect(&file, &unwired.text, &mut wrong);
        } else if unwired.text != before {
            wrong.push(format!(
                "{}\n--- wanted\n{before}\n--- found\n{}",
                case.name, unwired.text
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_second_time_changes_nothing() {
    for case in cases() {
        let Ok(edited) = edit(&case) else { continue };
        let again = wire(&edited.text, &case.wiring).unwrap();
        assert_eq!(again.text, edited.text, "{}", case.name);
        assert!(again.edits.is_empty(), "{}: {:?}", case.name, again.edits);
        if !case.folder.join("port.txt").exists() {
            assert_eq!(
                options_of(&edited.text).port,
                case.wiring.port,
                "{}",
                case.name
            );
        }
    }
}

#[test]
fn there_are_enough_cases() {
    assert!(cases().len() >= 120, "{}", cases().len());
}
