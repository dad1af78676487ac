//! How the code is laid out: three tiers, an arrow never runs up them, and no files close a circle.
//!
//! An arrow is a path in one file, imported or written out, that leads to an item of another; a
//! re-export leads on to the file that has the item. Text in, faults out: nothing is compiled here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What lies in which tier, by the first step below `src/`.
const TIERS: [&[&str]; 3] = [
    &["main", "cli", "commands", "doctor"],
    &["ca", "inventory", "ring", "route", "workspace"],
    &[
        "advice",
        "age",
        "app",
        "bell",
        "change",
        "client",
        "devcontainer",
        "durable",
        "engine",
        "environment",
        "escape",
        "keys",
        "lib",
        "process",
        "settings",
        "socket",
        "store",
        "talk",
        "trust",
    ],
];

/// Folders of the last tier that know nothing of each other: they exchange plain values.
const DOMAINS: [&str; 4] = ["client", "devcontainer", "engine", "keys"];

#[test]
fn no_arrow_runs_up_and_no_files_close_a_circle() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let found = faults(&arrows(&sources(&src)));
    assert!(found.is_empty(), "against the layout: {found:#?}");
}

/// Who may ask for which system it is built: ARCHITECTURE.md says of each what there is elsewhere.
const PARTICULAR: [&str; 8] = [
    "advice.rs",
    "bell.rs",
    "environment.rs",
    "process/mod.rs",
    "ring/sockets.rs",
    "route/owner.rs",
    "socket.rs",
    "workspace/feature.rs",
];

#[test]
fn what_is_particular_to_a_system_is_in_few_files_and_each_is_told_of() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = sources(&root.join("src"));
    let found = sources.iter().filter(|(_, text)| asks_for_the_system(text));
    let found: Vec<_> = found.map(|(file, _)| file.as_str()).collect();
    assert_eq!(found, PARTICULAR);
    let told = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    for file in PARTICULAR {
        assert!(told.contains(&format!("| `{file}` | ")), "{file}");
    }
}

#[test]
fn tests_may_be_for_one_system() {
    for (text, asks) in [
        ("fn f() { cfg!(target_os = \"linux\") }", true),
        (
            "#[cfg(unix)]\nmod a;\n#[cfg(not(target_os = \"macos\"))]",
            true,
        ),
        ("#[cfg(target_vendor = \"apple\")]", true),
        ("// target_os\n", false),
        (
            "#[cfg(all(test, target_os = \"linux\"))]\nmod tests {\n}",
            false,
        ),
        ("\nmod tests {\n#[cfg(target_os = \"linux\")]", false),
    ] {
        assert_eq!(asks_for_the_system(text), asks, "{text}");
    }
}

fn asks_for_the_system(text: &str) -> bool {
    let ours = text.split("\nmod tests {").next().unwrap_or_default();
    let ours = ours.trim_end_matches("#[cfg(all(test, target_os = \"linux\"))]");
    let asks = ["target_os", "target_family", "target_vendor"];
    words(ours).iter().any(|word| asks.contains(word))
}

#[test]
fn every_way_against_the_layout_is_seen() {
    let made = |files: &[(&str, &str)]| {
        let named = files
            .iter()
            .map(|(n, text)| ((*n).to_owned(), (*text).to_owned()));
        Vec::from_iter(faults(&arrows(&named.collect())))
    };
    let up = "use crate::ring::Ring;";
    assert_eq!(
        made(&[("lib.rs", ""), ("store/mod.rs", up), ("ring/mod.rs", "")]),
        ["up: store/mod.rs -> ring/mod.rs"]
    );
    // By way of an import of a module, of a re-export, of a path that is written out.
    let circle = [
        ("lib.rs", "pub mod keys;"),
        ("keys/mod.rs", "mod a; mod b; mod c; pub use a::{self, A};"),
        (
            "keys/a.rs",
            "#[cfg(test)]\nimpl A {}\nuse super::b;\nfn f() { b::B::new() }",
        ),
        ("keys/b.rs", "fn f() -> super::c::C<'static> { ';' }"),
        (
            "keys/c.rs",
            "use std::{fs, io};\nuse crate::keys::{A as Z};",
        ),
        ("keys/d.rs", "use super::A;"),
    ];
    assert_eq!(
        made(&circle),
        [
            "circle: keys/a.rs",
            "circle: keys/b.rs",
            "circle: keys/c.rs"
        ]
    );
    let quiet = [
        ("lib.rs", "pub mod keys;"),
        ("keys/mod.rs", "mod a;"),
        (
            "keys/a.rs",
            "// crate::ring::R\nconst S: &str = r#\"\" crate::ring::R\"#;\n/* super::super::ring::R */\n#[cfg(test)]\nmod tests {\n use crate::ring::R; }",
        ),
        ("ring/mod.rs", "use crate::keys::a::A;"),
    ];
    assert!(made(&quiet).is_empty());
    let recipes = [
        ("lib.rs", ""),
        ("commands/mod.rs", "mod a; mod b;\nfn run() { a::run(); }"),
        ("commands/a.rs", "use super::b::run;"),
        ("commands/b.rs", "use crate::nowhere::X;"),
    ];
    assert_eq!(
        made(&recipes),
        ["imported by another recipe: commands/b.rs"]
    );
    assert_eq!(
        made(&[
            ("lib.rs", ""),
            ("keys/mod.rs", "use lace_ssh::engine::E;"),
            ("engine/mod.rs", "")
        ]),
        ["domain: keys/mod.rs -> engine/mod.rs"]
    );
    assert_eq!(
        made(&[("lib.rs", ""), ("utils.rs", "")]),
        ["no tier: utils.rs"]
    );
}

/// Text by file, which is called as its path below `src/`.
type Sources = BTreeMap<String, String>;
/// What the arrows of each file lead to.
type Arrows = BTreeMap<String, BTreeSet<String>>;
/// The steps from the root of the crate, or as they are written.
type Steps = Vec<String>;

fn sources(src: &Path) -> Sources {
    let mut sources = Sources::new();
    let mut folders = vec![src.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(src).unwrap().to_str().unwrap();
                sources.insert(name.to_owned(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    sources
}

fn faults(arrows: &Arrows) -> BTreeSet<String> {
    let mut faults = BTreeSet::new();
    for (from, targets) in arrows {
        if tier(from).is_none() {
            faults.insert(format!("no tier: {from}"));
        }
        if reached(arrows, from).contains(from.as_str()) {
            faults.insert(format!("circle: {from}"));
        }
        for to in targets {
            let (above, below) = (first_step(from), first_step(to));
            if tier(to) < tier(from) {
                faults.insert(format!("up: {from} -> {to}"));
            } else if above == "commands" && below == "commands" && !from.ends_with("mod.rs") {
                faults.insert(format!("imported by another recipe: {to}"));
            } else if above != below && DOMAINS.contains(&above) && DOMAINS.contains(&below) {
                faults.insert(format!("domain: {from} -> {to}"));
            }
        }
    }
    faults
}

fn tier(file: &str) -> Option<usize> {
    TIERS
        .iter()
        .position(|names| names.contains(&first_step(file)))
}

fn first_step(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or(file)
}

/// Every file that arrows lead to from this one, over however many.
fn reached<'a>(arrows: &'a Arrows, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut ahead: Vec<&String> = arrows[from].iter().collect();
    while let Some(file) = ahead.pop() {
        if reached.insert(file.as_str()) {
            ahead.extend(&arrows[file]);
        }
    }
    reached
}

fn arrows(sources: &Sources) -> Arrows {
    let modules: BTreeMap<Steps, Module> = sources
        .iter()
        .map(|(file, text)| (steps_to(file), Module::of(file, text)))
        .collect();
    let arrows = modules.iter().map(|(at, module)| {
        let paths = module.imports.values().chain(&module.paths);
        let files = paths.filter_map(|path| leads_to(&modules, at, path, 0));
        let others = files.filter(|file| *file != module.file);
        (module.file.clone(), others.map(str::to_owned).collect())
    });
    arrows.collect()
}

fn steps_to(file: &str) -> Steps {
    let mut steps: Steps = file
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    if steps
        .last()
        .is_some_and(|last| last == "mod" || last == "lib")
    {
        steps.pop();
    }
    steps
}

/// The file that has the item which `path` means in the module `at`; none for a module itself, and for
/// what other crates have.
fn leads_to<'m>(
    modules: &'m BTreeMap<Steps, Module>,
    at: &[String],
    path: &[String],
    depth: usize,
) -> Option<&'m str> {
    let (first, rest) = path.split_first().filter(|_| depth < 8)?;
    let child = |above: &[String], name: &String| {
        let steps = [above, std::slice::from_ref(name)].concat();
        modules.contains_key(&steps).then_some(steps)
    };
    let on = |at: &[String], name: &String, rest: &[String]| {
        let import = modules.get(at)?.imports.get(name)?;
        leads_to(modules, at, &[import, rest].concat(), depth + 1)
    };
    let mut here = match first.as_str() {
        "crate" | "lace_ssh" => Vec::new(),
        "self" => at.to_vec(),
        "super" => at.split_last()?.1.to_vec(),
        _ => match child(at, first) {
            Some(steps) => steps,
            None => return on(at, first, rest),
        },
    };
    for (i, name) in rest.iter().enumerate() {
        match child(&here, name) {
            Some(steps) => here = steps,
            None if name == "super" => drop(here.pop()),
            None => {
                let file = modules.get(&here).map(|module| module.file.as_str());
                return on(&here, name, &rest[i + 1..]).or(file);
            }
        }
    }
    None
}

struct Module {
    file: String,
    /// What the file calls by a short name, and what that means.
    imports: BTreeMap<String, Steps>,
    /// The paths that are written out.
    paths: Vec<Steps>,
}

impl Module {
    fn of(file: &str, text: &str) -> Self {
        // The tests at the end of a file may know whatever they like.
        let words = words(text.split("\nmod tests {").next().unwrap_or_default());
        let mut module = Self {
            file: file.to_owned(),
            imports: BTreeMap::new(),
            paths: Vec::new(),
        };
        let mut rest = words.as_slice();
        while let [word, behind @ ..] = rest {
            rest = behind;
            if *word == "use" {
                rest = module.import(Vec::new(), behind);
            } else if is_name(word) {
                let mut path = vec![(*word).to_owned()];
                while let ["::", name, behind @ ..] = rest
                    && is_name(name)
                {
                    path.push((*name).to_owned());
                    rest = behind;
                }
                module.paths.extend((path.len() > 1).then_some(path));
            }
        }
        module
    }

    /// Notes what a tree of imports names below `path`; hands back the words behind it.
    fn import<'w, 't>(&mut self, mut path: Steps, mut words: &'w [&'t str]) -> &'w [&'t str] {
        while let [word, behind @ ..] = words {
            words = behind;
            match *word {
                "::" => {}
                "{" => {
                    while let [before @ .., _] = words
                        && !before.is_empty()
                        && words[0] != "}"
                    {
                        words = self.import(path.clone(), words);
                        words = words.strip_prefix(&[","]).unwrap_or(words);
                    }
                    return words.get(1..).unwrap_or_default();
                }
                "self" if !path.is_empty() => {}
                "as" => {
                    self.imports
                        .extend(words.first().map(|name| ((*name).to_owned(), path)));
                    return words.get(1..).unwrap_or_default();
                }
                name => path.push(name.to_owned()),
            }
            if matches!(words.first(), Some(&("," | "}" | ";")) | None) {
                break;
            }
        }
        self.imports
            .extend(path.last().cloned().map(|name| (name, path)));
        words
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
}

/// The words and signs of a text in Rust, without comments, strings and characters.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let behind = |end: &str, from: usize| {
            rest[from..]
                .find(end)
                .map_or(rest.len(), |at| from + at + end.len())
        };
        let in_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
        let (is_word, length) = match first {
            _ if rest.starts_with("//") => (false, behind("\n", 2)),
            _ if rest.starts_with("/*") => (false, behind("*/", 2)),
            _ if rest.starts_with("r\"") => (false, behind("\"", 2)),
            _ if rest.starts_with("r#\"") => (false, behind("\"#", 3)),
            _ if rest.starts_with("::") => (true, 2),
            '"' => (false, string(rest)),
            '\'' if rest[1..].starts_with('\\') => (false, behind("'", 3)),
            '\'' => match rest.char_indices().nth(2) {
                Some((at, '\'')) => (false, at + 1),
                _ => (false, 1),
            },
            _ if in_name(first) => (true, rest.find(|c| !in_name(c)).unwrap_or(rest.len())),
            _ => (!first.is_whitespace(), first.len_utf8()),
        };
        let (word, behind) = rest.split_at(length);
        words.extend(is_word.then_some(word));
        rest = behind;
    }
    words
}

/// How long the string is that `text` begins with.
fn string(text: &str) -> usize {
    let mut is_escaped = true;
    let ends = |c: char| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    };
    text.find(ends).map_or(text.len(), |at| at + 1)
}
