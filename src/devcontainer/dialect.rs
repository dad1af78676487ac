//! The dialect of `devcontainer.json`, and of the user's settings: JSON, comments and trailing commas,
//! nothing else.
//!
//! Owns which text is refused and in which words. It knows nothing of what the members mean.

use std::ops::Range;

use jsonc_parser::errors::{ParseError, ParseErrorKind};
use jsonc_parser::tokens::Token;
use jsonc_parser::{ParseOptions, ParseStringErrorKind, Scanner, ScannerOptions};

use super::Problem;

/// The largest file that is read, in bytes.
pub const LARGEST: usize = 1024 * 1024;

/// Exactly what VS Code and the devcontainer CLI both accept.
pub(super) fn options() -> ParseOptions {
    // Every field by hand: a new version of the parser adds loose options that are on by default.
    ParseOptions {
        allow_comments: true,
        allow_loose_object_property_names: false,
        allow_trailing_commas: true,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

/// The text of a file, if it is UTF-8 and of a size that anybody would write by hand.
pub fn decode(bytes: &[u8]) -> Result<&str, Problem> {
    if bytes.len() > LARGEST {
        return Err(too_large(&DEVCONTAINER, bytes.len()));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Problem::whole("the file is UTF-16, not UTF-8").with_hint("save it as UTF-8"));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        // The valid part and one stand-in character, so that the position can be drawn.
        let valid = error.valid_up_to();
        let mut shown = String::from_utf8_lossy(&bytes[..valid]).into_owned();
        shown.push('\u{fffd}');
        let byte = bytes.get(valid).copied().unwrap_or_default();
        let message = format!("the byte 0x{byte:02x} is not valid UTF-8");
        Problem::at(&shown, valid..shown.len(), message).with_hint("save the file as UTF-8")
    })
}

pub(super) fn too_large(file: &File, bytes: usize) -> Problem {
    Problem::whole(format!(
        "the file has {bytes} bytes; more than {LARGEST} is no {}",
        file.name
    ))
}

/// The same for the scanner alone.
pub(super) fn scanner_options() -> ScannerOptions {
    ScannerOptions {
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

/// Refuses control characters in a string, which the parser lets through and VS Code does not.
pub(super) fn check_string(body: &str, range: Range<usize>) -> Result<(), Problem> {
    let raw = &body.as_bytes()[range.clone()];
    match raw.iter().position(|byte| *byte < 0x20) {
        Some(found) => Err(raw_control(body, range.start + found, raw[found])),
        None => Ok(()),
    }
}

fn raw_control(body: &str, at: usize, byte: u8) -> Problem {
    let (message, hint) = match byte {
        b'\n' | b'\r' => (
            "this string is not closed on its line".to_owned(),
            "close it with a double quote; a line break within it is written \\n".to_owned(),
        ),
        b'\t' => (
            "the string holds a tab as it is".to_owned(),
            "write it as \\t".to_owned(),
        ),
        _ => (
            format!("the string holds the control character U+{byte:04X} as it is"),
            format!("write it as \\u{byte:04x}"),
        ),
    };
    Problem::at(body, at..at + 1, message).with_hint(hint)
}

/// Refuses white space between tokens that the parser lets through and VS Code does not.
pub(super) fn check_space(body: &str, range: Range<usize>) -> Result<(), Problem> {
    let odd = body[range.clone()]
        .char_indices()
        .find(|(_, c)| !matches!(c, ' ' | '\t' | '\n' | '\r'));
    let Some((found, c)) = odd else {
        return Ok(());
    };
    let at = range.start + found;
    let message = format!("U+{:04X} is not white space in JSON", u32::from(c));
    Err(Problem::at(body, at..at + c.len_utf8(), message)
        .with_hint("replace it with an ordinary space"))
}

/// Which file a text is of, where the words depend on it.
pub(super) struct File {
    /// What it is called.
    name: &'static str,
    /// The least that it holds.
    pub(super) least: &'static str,
    /// What becomes elsewhere of what is refused here.
    left_out: &'static str,
    misread: &'static str,
}

pub(super) const DEVCONTAINER: File = File {
    name: "devcontainer.json",
    least: r#"a devcontainer.json is one object, at least { "image": "…" }"#,
    left_out: "; the devcontainer CLI would silently leave it out",
    misread: "; the devcontainer CLI would silently misread it",
};

/// Nobody else reads them.
pub(super) const SETTINGS: File = File {
    name: "settings.jsonc",
    least: "the settings are one object, at least {}",
    left_out: "",
    misread: "",
};

const NO_COLON: &str = "a colon must follow the name of a member";
const NO_VALUE: &str = "a value must follow the colon";
const MEMBER_HINT: &str = "write it as \"name\": value";

/// The parser's error in our words, with the fix.
pub(super) fn explain(file: &File, body: &str, error: &ParseError) -> Problem {
    use ParseErrorKind as Kind;
    let File {
        name,
        left_out,
        misread,
        ..
    } = file;
    let range = error.range().start..error.range().end;
    let (message, hint) = match error.kind() {
        Kind::SingleQuotedStringsNotAllowed => (
            "single quotes are JSON5, not JSON".into(),
            format!("use double quotes{left_out}"),
        ),
        Kind::ExpectedStringObjectProperty => {
            let range = word_at(body, range.start);
            let word = &body[range.clone()];
            let message = format!("the name {word} has no quotes, which is JSON5, not JSON");
            return Problem::at(body, range, message)
                .with_hint(format!("put it in double quotes{left_out}"));
        }
        Kind::UnexpectedWord
        | Kind::UnexpectedToken
        | Kind::ExpectedDigit
        | Kind::ExpectedDigitFollowingNegativeSign
        | Kind::ExpectedPlusMinusOrDigitInNumberLiteral => {
            return no_value(file, body, range.start);
        }
        Kind::ExpectedComma if is_within_a_word(body, range.start) => {
            return no_value(file, body, range.start);
        }
        Kind::UnexpectedCloseBrace | Kind::UnexpectedCloseBracket | Kind::UnexpectedComma
            if is_behind_a_colon(body, range.start) =>
        {
            (NO_VALUE.into(), MEMBER_HINT.into())
        }
        Kind::HexadecimalNumbersNotAllowed
        | Kind::UnaryPlusNumbersNotAllowed
        | Kind::BareDecimalPointNumbersNotAllowed
        | Kind::NonFiniteNumbersNotAllowed => (
            "this way to write a number is JSON5, not JSON".into(),
            format!("write a plain decimal number{misread}"),
        ),
        Kind::String(kind) => string_problem(kind),
        Kind::ExpectedComma => (
            "a comma is missing here".into(),
            "add a comma after the value".into(),
        ),
        Kind::MultipleRootJsonValues => (
            "there is more text after the end of the document".into(),
            "keep one object in the file".into(),
        ),
        Kind::NestingDepthExceeded => (
            "nested too deeply".into(),
            format!("no {name} needs hundreds of levels"),
        ),
        Kind::UnterminatedObject => ("this object is not closed".into(), "add a `}`".into()),
        Kind::UnterminatedArray => ("this array is not closed".into(), "add a `]`".into()),
        Kind::UnterminatedCommentBlock => (
            "this comment is not closed".into(),
            "close it with `*/`".into(),
        ),
        Kind::ExpectedColonAfterObjectKey => (NO_COLON.into(), MEMBER_HINT.into()),
        Kind::ExpectedObjectValue => (NO_VALUE.into(), MEMBER_HINT.into()),
        Kind::UnexpectedCloseBrace => (
            "there is a `}` where a value or a `]` should be".into(),
            "close the array, or write the value".into(),
        ),
        Kind::UnexpectedCloseBracket => (
            "there is a `]` where a value or a `}` should be".into(),
            "close the object, or write the value".into(),
        ),
        Kind::UnexpectedTokenInObject => (
            "the name of a member should be here".into(),
            MEMBER_HINT.into(),
        ),
        Kind::UnexpectedComma => (
            "there is no value before this comma".into(),
            "take the comma out".into(),
        ),
        other => (lower_first(&other.to_string()), "mend the syntax".into()),
    };
    Problem::at(body, range, message).with_hint(hint)
}

/// Text at `at` that is no value, in the words of what was probably meant.
fn no_value(file: &File, body: &str, at: usize) -> Problem {
    let File {
        left_out, misread, ..
    } = file;
    let range = word_at(body, at);
    let word = &body[range.clone()];
    let lower = word.to_ascii_lowercase();
    let is_none = format!("{word} is not a JSON value");
    let (message, hint) = match lower.trim_start_matches(['-', '+']) {
        "true" | "false" | "null" => (is_none, format!("write it as {lower}{left_out}")),
        "nan" | "infinity" | "undefined" | "none" | "nil" => {
            (is_none, format!("write null, or take it out{left_out}"))
        }
        rest if rest.starts_with('#') => (
            "`#` does not begin a comment in JSON".into(),
            "begin it with `//`".into(),
        ),
        rest if rest.starts_with('`') => (
            "backticks are not quotes in JSON".into(),
            format!("use double quotes{left_out}"),
        ),
        rest if rest.starts_with('=') && !is_behind_a_colon(body, at) => {
            (NO_COLON.into(), MEMBER_HINT.into())
        }
        rest if rest.starts_with('0') && rest.parse::<f64>().is_ok() => (
            format!("{word} begins with a zero, which no number in JSON does"),
            format!("leave the zero out, or put text in double quotes{misread}"),
        ),
        rest if rest.starts_with(|c: char| c.is_ascii_digit()) || rest.is_empty() => (
            is_none,
            format!("write a plain decimal number, or text in double quotes{misread}"),
        ),
        _ => (is_none, format!("text needs double quotes{left_out}")),
    };
    Problem::at(body, range, message).with_hint(hint)
}

/// What stands around `at` without white space, punctuation or quotes; one character at least.
fn word_at(body: &str, at: usize) -> Range<usize> {
    let ends = |c: char| c.is_whitespace() || ",:[]{}\"'/".contains(c);
    let rest = &body[at..];
    let start = body[..at].trim_end_matches(|c| !ends(c)).len();
    let end = at + rest.find(ends).unwrap_or(rest.len());
    let one = rest.chars().next().map_or(0, char::len_utf8);
    if start < end {
        start..end
    } else {
        at..at + one
    }
}

/// Whether `at` is where a number ends for the parser, but not for a reader: as in `012`.
fn is_within_a_word(body: &str, at: usize) -> bool {
    let word = word_at(body, at);
    word.start < at && at < word.end
}

/// Whether a colon is the last that stands before `at`.
fn is_behind_a_colon(body: &str, at: usize) -> bool {
    let mut scanner = Scanner::new(&body[..at], &scanner_options());
    let mut last = None;
    while let Ok(Some(token)) = scanner.scan() {
        if !matches!(token, Token::CommentLine(_) | Token::CommentBlock(_)) {
            last = Some(token);
        }
    }
    last == Some(Token::Colon)
}

fn string_problem(kind: &ParseStringErrorKind) -> (String, String) {
    match kind {
        ParseStringErrorKind::UnterminatedStringLiteral => (
            "this string is not closed".into(),
            "close it with a double quote".into(),
        ),
        ParseStringErrorKind::InvalidUnicodeEscapeSequence(escape) => (
            format!(
                "\\u{} alone is half of a character",
                escape.get(..4).unwrap_or_default()
            ),
            "write the character itself, or both halves of the pair".into(),
        ),
        ParseStringErrorKind::ExpectedFourHexDigits => (
            "\\u needs four hexadecimal digits".into(),
            "write it as \\u00e9".into(),
        ),
        _ => (
            "this escape is not JSON".into(),
            r#"JSON knows \" \\ \/ \b \f \n \r \t and \uXXXX"#.into(),
        ),
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}
