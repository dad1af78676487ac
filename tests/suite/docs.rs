//! The documentation: each command in it is run, and prints what the page says; its lists are those of the program; its links
//! lead somewhere. What needs an engine is run by `e2e::docs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use lace_ssh::cli::Cli;

use crate::support::ring::{CONFIG, initialised, json};
use crate::support::story::Page;
use crate::support::{Said, User};

/// The pages whose commands need no engine.
const WITHOUT_ENGINE: [&str; 7] = [
    "docs/certificates.md",
    "docs/commands.md",
    "docs/installing.md",
    "docs/options.md",
    "docs/security.md",
    "docs/teams.md",
    "docs/why.md",
];

/// The pages that are played by `e2e::docs`.
pub const WITH_ENGINE: [&str; 10] = [
    "README.md",
    "docs/access.md",
    "docs/adopting.md",
    "docs/clients.md",
    "docs/getting-started.md",
    "docs/how-it-works.md",
    "docs/keys.md",
    "docs/migrating.md",
    "docs/ports.md",
    "docs/troubleshooting.md",
];

/// What is shown and not run: the page, the first line of the block, and why.
const NOT_RUN: [(&str, &str, &str); 7] = [
    (
        "README.md",
        "RUSTFLAGS=\"-C target-feature=+crt-static\" cargo install --locked --path . --target x86_64-unknown-linux-gnu",
        "it takes minutes; tests/engine.sh builds so",
    ),
    (
        "docs/installing.md",
        "packaging/all.sh ~/packages",
        "it takes minutes; packaging/test.sh does it",
    ),
    (
        "docs/installing.md",
        "sudo apt install ./lace-ssh_0.1.0-1_amd64.deb",
        "packaging/test.sh does that, in an empty root",
    ),
    (
        "docs/installing.md",
        "npm install --global ./lace-ssh-0.1.0.tgz ./lace-ssh-linux-x64-0.1.0.tgz",
        "the same",
    ),
    (
        "docs/installing.md",
        "pipx install ./lace_ssh-0.1.0-*x86_64*.whl",
        "the same, with pip",
    ),
    (
        "docs/installing.md",
        "tar -xzf lace-ssh-x86_64-unknown-linux-gnu.tar.gz && sudo install lace-ssh-x86_64-unknown-linux-gnu/lace-ssh /usr/local/bin/",
        "the same, into a home folder",
    ),
    (
        "docs/installing.md",
        "RUSTFLAGS=\"-C target-feature=+crt-static\" cargo install --locked --path . --target x86_64-unknown-linux-gnu",
        "it takes minutes; tests/engine.sh builds so",
    ),
];

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Each page that is for users, by its path in the repository.
fn pages() -> Vec<String> {
    let found = fs::read_dir(root().join("docs")).unwrap();
    let mut pages: Vec<_> = found
        .map(|entry| format!("docs/{}", entry.unwrap().file_name().to_str().unwrap()))
        .filter(|path| path.ends_with(".md"))
        .chain(["README.md".to_owned(), "SECURITY.md".to_owned()])
        .collect();
    pages.sort();
    pages
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The section of this heading, up to the next one of its rank or above.
fn section<'t>(text: &'t str, heading: &str) -> &'t str {
    let start = text
        .find(&format!("{heading}\n"))
        .unwrap_or_else(|| panic!("no heading {heading}"));
    let rest = &text[start + heading.len()..];
    let rank = heading.split(' ').next().unwrap().len();
    let ends = (1..=rank).filter_map(|rank| rest.find(&format!("\n{} ", "#".repeat(rank))));
    &rest[..ends.min().unwrap_or(rest.len())]
}

/// The cells of a table's rows that begin with something in code.
fn rows(table: &str) -> Vec<Vec<String>> {
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells = row.trim_matches('|').split(" | ");
        cells.map(|cell| cell.trim().to_owned()).collect()
    })
    .collect()
}

/// What is in code in this text.
fn codes(text: &str) -> Vec<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn what_needs_no_engine_prints_what_the_pages_say() {
    let faults: String = WITHOUT_ENGINE.map(|page| Page::read(page).play()).concat();
    assert!(faults.is_empty(), "{faults}");
}

#[test]
fn a_page_that_says_something_else_is_noticed() {
    let text = r#"
<!-- file: ~/a/b -->
```text
one
two
```
<!-- prepare: cd ~/a; export WHERE=here -->
```console
$ cat b; echo "$WHERE" >&2; \
> pwd
one
…
here
/home/me/a
$ echo 'ends at 2026-11-29T17:52:11Z in /home/me'
ends at 2020-01-01T00:00:00Z in /home/me
$ echo listens; sleep 100
listens
^C
```
"#;
    assert_eq!(Page::of("good", text).play(), "");
    let text = "```console\n$ echo one\ntwo\n$ false\n$ echo same\nsame\n```\n<!-- fails -->\n```console\n$ true\n```\n";
    let faults = Page::of("bad", text).play();
    for at in ["bad:2: $ echo one", "bad:4: $ false", "bad:10: $ true"] {
        assert!(faults.contains(at), "{at}: {faults}");
    }
    assert!(!faults.contains("$ echo same"), "{faults}");
}

#[test]
fn each_block_is_run_or_shown_for_a_reason() {
    let mut shown = BTreeSet::new();
    for path in pages() {
        let played = WITHOUT_ENGINE.contains(&&*path) || WITH_ENGINE.contains(&&*path);
        for block in Page::read(&path).blocks {
            let at = format!("{path}:{}", block.line);
            let first = block.text.lines().next().unwrap_or_default().to_owned();
            match &*block.language {
                "console" => assert!(played, "{at}: no test plays this page"),
                "sh" => {
                    let entry = NOT_RUN
                        .iter()
                        .find(|(page, line, _)| (*page, *line) == (&*path, &*first));
                    assert!(
                        entry.is_some(),
                        "{at}: nobody runs this, and nothing says why"
                    );
                    shown.insert(entry.unwrap());
                }
                "json" | "jsonc" | "diff" | "lua" | "text" | "yaml" => {
                    let typed = block.text.lines().any(|line| line.starts_with("$ "));
                    assert!(!typed, "{at}: a command that nobody runs");
                }
                other => panic!("{at}: a block of {other:?}"),
            }
            assert!(!block.is_file() || played, "{at}: nobody writes this file");
        }
    }
    let gone: Vec<_> = NOT_RUN
        .iter()
        .filter(|entry| !shown.contains(entry))
        .collect();
    assert!(gone.is_empty(), "shown no more: {gone:#?}");
}

/// What is shown as a part of a user's or a project's file is what the editor, or the settings, take.
#[test]
fn what_is_shown_of_files_can_be_read() {
    for path in pages() {
        for block in Page::read(&path).blocks {
            if ["json", "jsonc"].contains(&&*block.language) {
                let whole = match block
                    .text
                    .lines()
                    .any(|line| line == "{" || line.starts_with("{ "))
                {
                    true => block.text.clone(),
                    false => format!("{{{}}}", block.text),
                };
                let parsed = jsonc_parser::parse_to_value(&whole, &Default::default());
                assert!(parsed.is_ok(), "{path}:{}: {parsed:?}", block.line);
            }
        }
    }
}

#[test]
fn the_readme_is_one_screen_and_leads_on() {
    let readme = text("README.md");
    assert!(readme.lines().count() <= 60, "{}", readme.lines().count());
    for page in pages().iter().filter(|path| path.starts_with("docs/")) {
        let index = text("docs/README.md");
        let name = page.strip_prefix("docs/").unwrap();
        let led_to = index.contains(&format!("]({name})")) || name == "README.md";
        assert!(led_to, "docs/README.md does not lead to {page}");
    }
    for words in [
        "tests/demo.sh",
        "tests/run.sh",
        "docs/status.svg",
        "docs/README.md",
    ] {
        assert!(readme.contains(words), "{words}");
    }
}

#[test]
fn the_options_are_those_of_the_schema() {
    let user = User::without_config("docs");
    let schema = json(&user.ok(&["schema"]));
    let page = text("docs/options.md");
    let rows = rows(section(&page, "## Options"));
    let names: Vec<_> = rows.iter().map(|row| row[0].replace('`', "")).collect();
    let properties = schema["properties"].as_object().unwrap();
    assert_eq!(names, properties.keys().cloned().collect::<Vec<_>>());
    for (row, (name, property)) in rows.iter().zip(properties) {
        if let Some(default) = property.get("default") {
            let default = default
                .as_str()
                .map_or_else(|| default.to_string(), str::to_owned);
            assert_eq!(row[2].replace('`', ""), default, "{name}");
        }
        for value in property["enum"].as_array().into_iter().flatten() {
            let value = value.as_str().unwrap().to_owned();
            assert!(codes(&row[1]).contains(&value), "{name}: {value}");
        }
    }
}

#[test]
fn the_settings_are_those_of_the_schema() {
    let user = User::without_config("docs");
    let schema = json(&user.ok(&["schema", "--settings"]));
    let page = text("docs/options.md");
    let rows = rows(section(&page, "## Settings"));
    let names: BTreeSet<_> = rows.iter().map(|row| row[0].replace('`', "")).collect();
    let properties = schema["properties"].as_object().unwrap();
    let known = properties.keys().filter(|name| *name != "$schema");
    assert_eq!(names, known.cloned().collect());
    for row in &rows {
        let name = row[0].replace('`', "");
        for member in properties[&name]["properties"]
            .as_object()
            .into_iter()
            .flatten()
        {
            let told = codes(&row[1]).contains(member.0);
            assert!(told, "{name}: {} is not told", member.0);
        }
    }
}

/// Each command that is not hidden, as it is typed: `keys rotate`; and whether it has `--json`.
fn commands() -> BTreeMap<String, bool> {
    fn walk(command: &clap::Command, name: &str, found: &mut BTreeMap<String, bool>) {
        let shown = command
            .get_subcommands()
            .filter(|it| !it.is_hide_set() && it.get_name() != "help");
        let has_json = command.get_arguments().any(|it| it.get_id() == "json");
        if !name.is_empty() && (!command.is_subcommand_required_set() || has_json) {
            found.insert(name.to_owned(), has_json);
        }
        for below in shown {
            walk(
                below,
                format!("{name} {}", below.get_name()).trim_start(),
                found,
            );
        }
    }
    let mut found = BTreeMap::new();
    walk(&Cli::command(), "", &mut found);
    found
}

#[test]
fn the_commands_are_those_of_the_program() {
    let page = text("docs/commands.md");
    let told: BTreeSet<_> = rows(section(&page, "## Every command"))
        .iter()
        .flat_map(|row| codes(&row[0]))
        .collect();
    assert_eq!(told, commands().into_keys().collect());
    let headings = section(&page, "## For programs").lines();
    let shapes: BTreeSet<_> = headings
        .filter_map(|line| line.strip_prefix("### "))
        .flat_map(codes)
        .filter(|name| name != "client-config --format json")
        .collect();
    let with_json = commands().into_iter().filter(|(_, has_json)| *has_json);
    assert_eq!(shapes, with_json.map(|(name, _)| name).collect());
}

/// Each flag that a page names is one that some command has.
#[test]
fn the_flags_are_those_of_the_program() {
    fn walk(command: &clap::Command, found: &mut BTreeSet<String>) {
        let flags = command.get_arguments().filter_map(|it| it.get_long());
        found.extend(flags.map(|flag| format!("--{flag}")));
        for below in command.get_subcommands() {
            walk(below, found);
        }
    }
    let mut flags = BTreeSet::new();
    let mut cli = Cli::command();
    cli.build();
    walk(&cli, &mut flags);
    for path in pages() {
        let text = text(&path);
        let calls = codes(&text);
        for call in calls.iter().filter(|call| call.starts_with("lace-ssh ")) {
            // What comes behind `--` is another program's.
            let own = call.split(" -- ").next().unwrap();
            for word in own.split([' ', '=']).filter(|word| word.starts_with("--")) {
                assert!(flags.contains(word), "{path}: {call}");
            }
        }
    }
}

#[test]
fn each_link_of_doctor_has_its_entry() {
    let (user, _) = initialised(CONFIG);
    let said = Said::of(&mut user.lace(&["doctor", "--json"]));
    let links = json(&said)["links"].clone();
    let names = links.as_array().unwrap().iter();
    let names: Vec<_> = names.map(|link| link["name"].as_str().unwrap()).collect();
    let page = text("docs/troubleshooting.md");
    let entries: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
        .collect();
    assert_eq!(entries, names);
}

/// The files with links that a reader follows.
fn linked() -> Vec<String> {
    let more = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md"];
    pages().into_iter().chain(more.map(str::to_owned)).collect()
}

/// The text without its blocks of code.
fn prose(text: &str) -> String {
    let mut within = false;
    let mut prose = String::new();
    for line in text.lines() {
        let is_fence = line.trim_start().starts_with("```");
        within ^= is_fence;
        if !within && !is_fence {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose
}

/// What GitHub calls the headings of a page.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in prose(text).lines() {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let kept = |letter: &char| letter.is_alphanumeric() || " -_".contains(*letter);
        let name: String = heading.trim().to_lowercase().chars().filter(kept).collect();
        let name = name.replace(' ', "-");
        let again = (1..).map(|n| format!("{name}-{n}"));
        let mut names = [name.clone()].into_iter().chain(again);
        anchors.insert(names.find(|name| !anchors.contains(name)).unwrap());
    }
    anchors
}

/// The links that lead nowhere in the repository.
fn astray(path: &str, text: &str) -> Vec<String> {
    let folder = root().join(path).parent().unwrap().to_path_buf();
    let prose = prose(text);
    let targets = prose
        .split("](")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap());
    targets
        .filter(|target| !target.starts_with("https://"))
        .filter(|target| {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file: PathBuf = match file {
                "" => root().join(path),
                file => folder.join(file),
            };
            let page = fs::read_to_string(&file).unwrap_or_default();
            !file.exists() || !anchor.is_empty() && !anchors(&page).contains(anchor)
        })
        .map(|target| format!("{path}: {target}"))
        .collect()
}

#[test]
fn each_link_leads_somewhere() {
    let astray: Vec<_> = linked()
        .iter()
        .flat_map(|path| astray(path, &text(path)))
        .collect();
    assert!(astray.is_empty(), "{astray:#?}");
    let bad = "# A `b`: c\n[x](#a-b-c) [x](#a-b) [x](nowhere.md) [x](README.md#nothing)\n```sh\n[x](y)\n```\n";
    assert_eq!(anchors(bad), BTreeSet::from(["a-b-c".to_owned()]));
    let said = self::astray(
        "docs/other.md",
        "[x](nowhere.md) [x](README.md#nothing) [x](../README.md)",
    );
    assert_eq!(said.len(), 2, "{said:?}");
}
