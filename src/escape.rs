//! What strangers wrote, made fit to be read: the one table of characters that could drive a terminal,
//! hide, or make a line read as something else than it is.
//!
//! Pure. Everything that is told to a person passes through here: the doors of `talk`, the diffs of
//! `change`, the lines of a file that a `Problem` points into; data for programs in its own escapes.

use std::borrow::Cow;

/// The text in one line, with everything that is not plainly seen written as `\u{…}`. A tab stays.
pub fn shown(text: &str) -> Cow<'_, str> {
    let plain = |byte| (b' '..=b'~').contains(&byte) || byte == b'\t';
    if text.bytes().all(plain) || !text.contains(is_unseen) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_unseen(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// As [`shown`], for a text of several lines. All but the first are indented: what begins at the margin
/// is ours.
pub fn shown_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(shown).collect();
    lines.join("\n  ")
}

/// The text of a JSON value with the same characters as escapes of JSON's own: the same value.
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Between values stand line breaks; within strings they are escaped already.
        match is_unseen(c) && c != '\n' {
            true => {
                let units = c.encode_utf16(&mut [0; 2]).to_vec();
                out.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
            }
            false => out.push(c),
        }
    }
    out
}

/// Whether a reader would not see this character as what it is: control characters but the tab, those
/// that change the direction of writing, line breaks of other systems, and all that Unicode says to
/// draw as nothing (`Default_Ignorable_Code_Point`, `Cf`).
pub fn is_unseen(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{13430}'..='\u{1345f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_written_out_and_what_is_seen_stays() {
        for (text, expected) in [
            ("plain\ttext ~", "plain\ttext ~"),
            ("naïve 漢字 עברית", "naïve 漢字 עברית"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\rb\nc\u{85}", "a\\rb\\nc\\u{85}"),
            ("\u{202e}evil\u{202c}", "\\u{202e}evil\\u{202c}"),
            ("x\u{61c}y\u{200b}z", "x\\u{61c}y\\u{200b}z"),
            ("\u{2028}\u{2029}", "\\u{2028}\\u{2029}"),
            ("\u{feff}bom \u{e0041}tag", "\\u{feff}bom \\u{e0041}tag"),
            ("\u{ad}\u{2060}\u{3164}", "\\u{ad}\\u{2060}\\u{3164}"),
            ("\u{1f} \u{7f}", "\\u{1f} \\u{7f}"),
        ] {
            assert_eq!(shown(text), expected);
            assert_eq!(shown(&shown(text)), expected, "twice is once");
        }
    }

    #[test]
    fn json_has_nothing_unseen_and_means_the_same() {
        let value = serde_json::json!({ "a\u{7f}": "\u{9b}31m\u{202e}\n\t\u{e0041} 漢", "b": [1, "\u{feff}"] });
        let text = json(&format!("{value:#}"));
        assert!(!text.contains(|c| is_unseen(c) && c != '\n'), "{text}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
    }

    #[test]
    fn a_line_break_of_a_stranger_begins_no_line_of_ours() {
        assert_eq!(
            shown_lines("no\nlace-ssh: hint: rm -r /"),
            "no\n  lace-ssh: hint: rm -r /"
        );
    }

    /// First and last of each stretch, and what lies on either side of it is plainly seen.
    #[test]
    fn all_that_hides_is_known_and_nothing_else() {
        let hidden = [
            ('\u{0}', '\u{8}'),
            ('\u{a}', '\u{1f}'),
            ('\u{7f}', '\u{9f}'),
            ('\u{ad}', '\u{ad}'),
            ('\u{34f}', '\u{34f}'),
            ('\u{61c}', '\u{61c}'),
            ('\u{115f}', '\u{1160}'),
            ('\u{17b4}', '\u{17b5}'),
            ('\u{180b}', '\u{180f}'),
            ('\u{200b}', '\u{200f}'),
            ('\u{2028}', '\u{202e}'),
            ('\u{2060}', '\u{206f}'),
            ('\u{2800}', '\u{2800}'),
            ('\u{3164}', '\u{3164}'),
            ('\u{fe00}', '\u{fe0f}'),
            ('\u{feff}', '\u{feff}'),
            ('\u{ffa0}', '\u{ffa0}'),
            ('\u{fff0}', '\u{fffb}'),
            ('\u{13430}', '\u{1345f}'),
            ('\u{1bca0}', '\u{1bca3}'),
            ('\u{1d173}', '\u{1d17a}'),
            ('\u{e0000}', '\u{e0fff}'),
        ];
        let is_hidden = |c| {
            hidden
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&c))
        };
        for c in ('\0'..='\u{1ffff}').chain('\u{dff00}'..='\u{e10ff}') {
            assert_eq!(is_unseen(c), is_hidden(c), "{c:?}");
        }
    }

    #[test]
    fn a_text_of_many_lines_is_shown_line_by_line() {
        assert_eq!(shown_lines("a\u{1b}\r\n\nb\n"), "a\\u{1b}\n  \n  b");
        assert!(matches!(shown("naïve"), Cow::Borrowed("naïve")));
    }
}
