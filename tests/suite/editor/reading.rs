//! A second reading of JSONC, by other means than the editor's: tokens, comments, a new layout.

use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token<'t> {
    pub text: &'t str,
    /// How many lines end between the token before and this one.
    pub lines_before: usize,
}

impl Token<'_> {
    pub fn is_comment(&self) -> bool {
        self.text.starts_with('/')
    }
}

pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let mut lines_before = 0;
    while at < text.len() {
        let rest = &text[at..];
        let length = match rest.as_bytes()[0] {
            b' ' | b'\t' | b'\r' => 0,
            b'\n' => {
                lines_before += 1;
                0
            }
            b'"' => string_length(rest),
            b'/' if rest.starts_with("//") => rest.find(['\n', '\r']).unwrap_or(rest.len()),
            b'/' => rest.find("*/").unwrap() + 2,
            b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
            _ => rest
                .find([' ', '\t', '\r', '\n', ',', '}', ']', '/'])
                .unwrap_or(rest.len()),
        };
        if length == 0 {
            at += 1;
            continue;
        }
        tokens.push(Token {
            text: &rest[..length],
            lines_before,
        });
        lines_before = 0;
        at += length;
    }
    tokens
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The comments, without the indentation of their lines.
pub fn comments(text: &str) -> Vec<String> {
    let bare = |token: Token<'_>| {
        let lines: Vec<&str> = token.text.lines().map(str::trim).collect();
        lines.join("\n")
    };
    tokens(text)
        .into_iter()
        .filter(Token::is_comment)
        .map(bare)
        .collect()
}

/// What the text says, with nothing but serde_json.
pub fn value(text: &str) -> Value {
    let tokens: Vec<Token<'_>> = tokens(text)
        .into_iter()
        .filter(|t| !t.is_comment())
        .collect();
    let mut plain = String::new();
    for (i, token) in tokens.iter().enumerate() {
        let closes = tokens
            .get(i + 1)
            .is_some_and(|next| matches!(next.text, "}" | "]"));
        if token.text != "," || !closes {
            plain.push_str(token.text);
        }
    }
    serde_json::from_str(&plain).unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

/// The text in another layout, as a formatter would leave it: two spaces, one item a line, trailing
/// commas gone, comments where they were.
pub fn reformat(text: &str) -> String {
    let tokens = tokens(text);
    let mut out = String::new();
    let mut depth: usize = 0;
    let mut fresh = true;
    let mut after_colon = false;
    let mut line_comment = false;
    for (i, token) in tokens.iter().enumerate() {
        let significant = |range: &[Token<'_>]| {
            range
                .iter()
                .find(|t| !t.is_comment())
                .map(|t| t.text.to_owned())
        };
        let next = significant(&tokens[i + 1..]);
        let of_the_next = token.text.starts_with("/*")
            && i > 0
            && matches!(tokens[i - 1].text, "," | "{" | "[")
            && tokens[i + 1..]
                .iter()
                .scan(false, |done, next| {
                    let taken = (!*done).then_some(next);
                    *done = !next.is_comment();
                    taken
                })
                .all(|next| next.lines_before == 0);
        let closes = matches!(token.text, "}" | "]");
        if closes {
            depth -= 1;
        }
        if token.text == "," && matches!(next.as_deref(), Some("}" | "]")) {
            continue;
        }
        let empty = closes && matches!(tokens[i - 1].text, "{" | "[");
        let stays = token.text == ":"
            || token.text == ","
            || empty
            || (token.is_comment() && token.lines_before == 0 && i > 0 && !of_the_next)
            || (after_colon && !token.is_comment());
        let new_line = line_comment || (!stays && (!fresh || i > 0));
        if new_line && i > 0 {
            if token.lines_before > 1 && !closes {
                out.push('\n');
            }
            out.push('\n');
            out.push_str(&"  ".repeat(depth));
        } else if token.is_comment() || after_colon {
            out.push(' ');
        }
        out.push_str(token.text);
        if matches!(token.text, "{" | "[") {
            depth += 1;
        }
        if !token.is_comment() {
            after_colon = token.text == ":";
        }
        line_comment = token.text.starts_with("//");
        fresh = false;
    }
    out.push('\n');
    out
}
