//! Generated documents: what may stand in a `devcontainer.json`, written in every style there is.

use proptest::prelude::*;

/// A value as it is to be written; scalars are text already.
#[derive(Clone, Debug)]
pub enum Tree {
    Scalar(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

/// How a document is written.
#[derive(Clone, Debug)]
pub struct Hand {
    unit: &'static str,
    eol: &'static str,
    colon: &'static str,
    trailing_comma: bool,
    comma_first: bool,
    blank_lines: bool,
    /// Containers of up to this many items stay on one line.
    one_line: usize,
    bom: bool,
    last_line_ends: bool,
    /// Where comments and odd white space go; 0 is nothing special.
    noise: Vec<u8>,
    /// Any trivia between any two tokens, rather than a tidy layout with comments.
    wild: bool,
}

pub fn document() -> impl Strategy<Value = String> {
    (root(), hand()).prop_map(|(root, hand)| Writer::new(&hand).document(&root))
}

fn hand() -> impl Strategy<Value = Hand> {
    let layout = (
        prop::sample::select(vec!["  ", "    ", "\t", "   ", " ", ""]),
        prop::sample::select(vec!["\n", "\r\n"]),
        prop::sample::select(vec![": ", ":", " : "]),
        prop::sample::select(vec![0_usize, 0, 1, 3, 99]),
    );
    let noise = prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(0_u8..40, 1..40),
        prop::collection::vec(0_u8..12, 1..40),
    ];
    let flags = (
        any::<bool>(),
        any::<u8>(),
        any::<bool>(),
        any::<u8>(),
        any::<bool>(),
    );
    (layout, flags, noise, any::<bool>()).prop_map(|(layout, flags, noise, wild)| Hand {
        unit: layout.0,
        eol: layout.1,
        colon: layout.2,
        one_line: layout.3,
        trailing_comma: flags.0,
        comma_first: flags.1 < 24,
        blank_lines: flags.2,
        bom: flags.3 < 16,
        last_line_ends: flags.4,
        noise,
        wild,
    })
}

fn string() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "npm ci",
        "",
        "a // b",
        "/* no */",
        "comma, here",
        "{",
        "]",
        "\u{e9}\u{1f600}",
        "\\u00e9",
        "\\\"quoted\\\"",
        "a\\\\",
        "${localEnv:HOME}/x",
        "\\n",
    ])
    .prop_map(|text| format!("\"{text}\""))
}

fn scalar() -> impl Strategy<Value = Tree> {
    prop_oneof![
        3 => string(),
        1 => prop::sample::select(vec!["1", "-0.5e3", "true", "null", "12345678901234567890"])
            .prop_map(str::to_owned),
    ]
    .prop_map(Tree::Scalar)
}

fn tree() -> impl Strategy<Value = Tree> {
    scalar().prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Tree::Array),
            prop::collection::vec(inner, 0..4).prop_map(|items| {
                let named = items.into_iter().enumerate();
                Tree::Object(named.map(|(i, item)| (format!("k{i}"), item)).collect())
            }),
        ]
    })
}

fn strings(choices: Vec<&'static str>, most: usize) -> impl Strategy<Value = Tree> {
    let chosen = prop::collection::vec(prop::sample::select(choices), 0..most);
    chosen.prop_map(|all| {
        Tree::Array(
            all.into_iter()
                .map(|text| Tree::Scalar(format!("\"{text}\"")))
                .collect(),
        )
    })
}

fn command() -> impl Strategy<Value = Tree> {
    let words = || strings(vec!["bash", "-c", "make // x", "a, b"], 4);
    let line = || string().prop_map(Tree::Scalar);
    let members = prop::collection::vec(prop_oneof![line(), words()], 0..3);
    let object = members.prop_map(|members| {
        let names = ["project", "lace-ssh", "other"]
            .into_iter()
            .map(str::to_owned);
        Tree::Object(names.zip(members).collect())
    });
    prop_oneof![line(), words(), object]
}

fn features() -> impl Strategy<Value = Tree> {
    let names = prop::sample::subsequence(vec!["go:1", "node:1", "rust"], 0..=3);
    names.prop_map(|names| {
        let options = |i| match i {
            0 => Tree::Object(vec![]),
            1 => Tree::Object(vec![("version".into(), Tree::Scalar("\"20\"".into()))]),
            _ => Tree::Scalar("\"latest\"".into()),
        };
        let named = names.into_iter().enumerate();
        Tree::Object(
            named
                .map(|(i, n)| (format!("ghcr.io/x/y/{n}"), options(i)))
                .collect(),
        )
    })
}

fn mounts() -> impl Strategy<Value = Tree> {
    let object = Tree::Object(vec![
        ("source".into(), Tree::Scalar("\"cache\"".into())),
        ("target".into(), Tree::Scalar("\"/cache\"".into())),
    ]);
    let line = Tree::Scalar("\"source=a,target=/a,type=volume\"".into());
    prop::collection::vec(prop::sample::select(vec![line, object]), 0..4).prop_map(Tree::Array)
}

fn compose_files() -> impl Strategy<Value = Tree> {
    let file = || Tree::Scalar("\"compose.yml\"".into());
    let list = prop::collection::vec(Just(file()), 1..4).prop_map(Tree::Array);
    prop_oneof![Just(file()), list]
}

fn root() -> impl Strategy<Value = Tree> {
    let own = (
        prop::option::of(features()),
        prop::option::of(mounts()),
        prop::option::of(strings(
            vec!["--init", "--cap-add=X", "--name", "x", "-p", "80:80"],
            5,
        )),
        prop::option::of(command()),
        prop::option::of(command()),
    );
    let others = prop::collection::vec(tree(), 0..6);
    let names = Just(vec![
        "image",
        "name",
        "customizations",
        "remoteUser",
        "postCreateCommand",
        "workspaceFolder",
    ])
    .prop_shuffle();
    (
        own,
        others,
        names,
        prop::option::weighted(0.3, compose_files()),
        any::<u64>(),
    )
        .prop_map(|(own, others, names, compose, order)| {
            let service = compose.as_ref().map(|_| Tree::Scalar("\"app\"".into()));
            let mut members: Vec<(String, Tree)> = names
                .into_iter()
                .zip(others)
                .map(|(name, value)| (name.to_owned(), value))
                .collect();
            let ours = [
                ("features", own.0),
                ("mounts", own.1),
                ("runArgs", own.2),
                ("initializeCommand", own.3),
                ("postStartCommand", own.4),
                ("dockerComposeFile", compose),
                ("service", service),
            ];
            let mut order = order;
            for (name, value) in ours {
                let Some(value) = value else { continue };
                let at = order as usize % (members.len() + 1);
                order = order.rotate_right(7) ^ 0x9e37;
                members.insert(at, (name.to_owned(), value));
            }
            Tree::Object(members)
        })
}

struct Writer<'h> {
    hand: &'h Hand,
    text: String,
    noise: std::iter::Cycle<std::slice::Iter<'h, u8>>,
    comments: usize,
}

impl<'h> Writer<'h> {
    fn new(hand: &'h Hand) -> Self {
        let noise = hand.noise.iter().cycle();
        Self {
            hand,
            text: String::new(),
            noise,
            comments: 0,
        }
    }

    fn document(mut self, root: &Tree) -> String {
        if self.hand.bom {
            self.text.push('\u{feff}');
        }
        self.value(root, 0);
        if self.hand.last_line_ends {
            self.text.push_str(self.hand.eol);
        }
        self.text
    }

    fn next(&mut self) -> u8 {
        self.noise.next().copied().unwrap_or_default()
    }

    fn comment(&mut self) -> String {
        self.comments += 1;
        format!("c{}", self.comments)
    }

    /// Anything that may stand between two tokens.
    fn trivia(&mut self) {
        if !self.hand.wild {
            return;
        }
        let eol = self.hand.eol;
        let text = match self.next() {
            1 => " ".to_owned(),
            2 => eol.to_owned(),
            3 => format!("{eol}{}", self.hand.unit),
            4 => format!(" /* {} */ ", self.comment()),
            5 => format!(" // {}{eol}", self.comment()),
            6 => format!("{eol}{eol}  // {}{eol}  ", self.comment()),
            7 => format!("/* {}{eol}   more */", self.comment()),
            8 => format!("{eol}\t/* {} */{eol}{eol}", self.comment()),
            _ => String::new(),
        };
        self.text.push_str(&text);
    }

    fn value(&mut self, tree: &Tree, depth: usize) {
        match tree {
            Tree::Scalar(text) => self.text.push_str(text),
            Tree::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| (None, item)).collect();
                self.container('[', ']', &items, depth);
            }
            Tree::Object(items) => {
                let items: Vec<_> = items
                    .iter()
                    .map(|(n, item)| (Some(n.as_str()), item))
                    .collect();
                self.container('{', '}', &items, depth);
            }
        }
    }

    fn container(
        &mut self,
        open: char,
        close: char,
        items: &[(Option<&str>, &Tree)],
        depth: usize,
    ) {
        let hand = self.hand;
        let lines = items.len() > hand.one_line;
        let line = |depth: usize| format!("{}{}", hand.eol, hand.unit.repeat(depth));
        self.text.push(open);
        if items.is_empty() {
            self.empty(depth);
        }
        for (i, (name, item)) in items.iter().enumerate() {
            let first = i == 0;
            if lines && !hand.wild && !(hand.comma_first && first) {
                if hand.blank_lines && !first && depth == 0 {
                    self.text.push_str(hand.eol);
                }
                self.above(&line(depth + 1));
                self.text.push_str(&line(depth + 1));
            } else if !first || open == '{' {
                self.text.push_str(if hand.colon == ":" { "" } else { " " });
            }
            if hand.comma_first && !first {
                self.text.push_str(", ");
            }
            self.trivia();
            if let Some(name) = name {
                self.text.push_str(&format!("\"{name}\""));
                self.trivia();
                self.text.push_str(hand.colon);
                self.trivia();
            }
            self.value(item, depth + 1);
            self.trivia();
            let last = i + 1 == items.len();
            if !hand.comma_first && (!last || hand.trailing_comma) {
                self.text.push(',');
            }
            if lines && !hand.wild {
                self.behind();
            }
            self.trivia();
        }
        if lines && !hand.wild && !items.is_empty() {
            self.above(&line(depth + 1));
            self.text.push_str(&line(depth));
        } else if open == '{' && !items.is_empty() && hand.colon != ":" {
            self.text.push(' ');
        }
        self.text.push(close);
    }

    /// A comment on lines of its own.
    fn above(&mut self, line: &str) {
        let comment = match self.next() {
            20 => format!("{line}// {}", self.comment()),
            21 => format!("{line}// {}{line}// and more", self.comment()),
            22 => format!("{line}/* {} */", self.comment()),
            23 => format!(
                "{}{line}// {}{}",
                self.hand.eol,
                self.comment(),
                self.hand.eol
            ),
            24 => self.hand.eol.to_owned(),
            _ => String::new(),
        };
        self.text.push_str(&comment);
    }

    /// A comment at the end of a line.
    fn behind(&mut self) {
        let comment = match self.next() {
            25 => format!(" // {}", self.comment()),
            26 => format!(" /* {} */", self.comment()),
            27 => "  ".to_owned(),
            _ => String::new(),
        };
        self.text.push_str(&comment);
    }

    /// What stands in a container that holds nothing.
    fn empty(&mut self, depth: usize) {
        let line = format!("{}{}", self.hand.eol, self.hand.unit.repeat(depth));
        let text = match self.next() {
            28 => format!(" /* {} */ ", self.comment()),
            29 => format!("{line}  // {}{line}", self.comment()),
            30 => format!(" // {}{line}", self.comment()),
            _ => String::new(),
        };
        self.text.push_str(&text);
        self.trivia();
    }
}
