//! The one line of ours in `~/.ssh/config`: text → text.
//!
//! It stands before any `Host` or `Match`, for below one it would be conditional, and the first
//! value that ssh finds wins. Bytes, because the file is the user's and need not be UTF-8.

/// What explains the line to whoever reads the file.
const COMMENT: &str = "# Dev containers; to take this out: lace-ssh client-config uninstall";

/// The text with `Include argument` in force for every host; the same text if it is so already.
pub fn install(text: &[u8], argument: &str) -> Vec<u8> {
    if is_installed(text, argument) {
        return text.to_vec();
    }
    let rest = uninstall(text, argument);
    let eol = if rest.windows(2).any(|pair| pair == b"\r\n") {
        "\r\n"
    } else {
        "\n"
    };
    let gap = if rest.is_empty() { "" } else { eol };
    [
        format!("{COMMENT}{eol}Include {argument}{eol}{gap}").into_bytes(),
        rest,
    ]
    .concat()
}

/// Whether the line is there, above every `Host` and `Match`.
pub fn is_installed(text: &[u8], argument: &str) -> bool {
    lines(text)
        .take_while(|line| !matches!(keyword(line).as_str(), "host" | "match"))
        .any(|line| is_ours(line, argument))
}

/// The text without our line, wherever it is; with its comment, if it has that, goes the blank line that
/// sets the two apart.
pub fn uninstall(text: &[u8], argument: &str) -> Vec<u8> {
    let mut out: Vec<&[u8]> = Vec::new();
    let mut after_ours = false;
    let is_comment = |line: &&[u8]| line.trim_ascii() == COMMENT.as_bytes();
    for line in lines(text) {
        if is_ours(line, argument) {
            after_ours = out.pop_if(|last| is_comment(last)).is_some();
        } else if !(std::mem::take(&mut after_ours) && line.trim_ascii().is_empty()) {
            out.push(line);
        }
    }
    out.concat()
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

fn keyword(line: &[u8]) -> String {
    String::from_utf8_lossy(split(line).0).to_ascii_lowercase()
}

/// The keyword of a line and what stands behind it and the `=` that ssh allows there.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.trim_ascii();
    let ends = |b: &u8| b.is_ascii_whitespace() || *b == b'=';
    let (word, rest) = line.split_at(line.iter().position(ends).unwrap_or(line.len()));
    let rest = rest.trim_ascii_start();
    (
        word,
        rest.strip_prefix(b"=").unwrap_or(rest).trim_ascii_start(),
    )
}

fn is_ours(line: &[u8], argument: &str) -> bool {
    fn bare(text: &[u8]) -> &[u8] {
        text.strip_prefix(b"\"")
            .and_then(|text| text.strip_suffix(b"\""))
            .unwrap_or(text)
    }
    keyword(line) == "include" && bare(split(line).1) == bare(argument.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/home/me/.config/lace/ssh/config";

    fn installed(text: &str) -> String {
        String::from_utf8(install(text.as_bytes(), PATH)).unwrap()
    }

    #[test]
    fn it_goes_first_and_comes_out_again_to_the_byte() {
        for text in [
            "",
            "Host *\n  User me\n",
            "# mine\n\n\nMatch all\n",
            "Host a\r\n",
            "Host a",
            "\n\nHost a",
            "  \n",
        ] {
            let with = installed(text);
            assert!(with.starts_with(COMMENT) && is_installed(with.as_bytes(), PATH));
            assert_eq!(installed(&with), with, "twice is once");
            assert_eq!(
                uninstall(with.as_bytes(), PATH),
                text.as_bytes(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_line_below_a_host_is_moved_up_because_there_it_is_conditional() {
        let text = format!("Host work\n  User me\nInclude \"{PATH}\"\n");
        let with = installed(&text);
        assert!(is_installed(with.as_bytes(), PATH));
        assert_eq!(with.matches(PATH).count(), 1);
    }

    #[test]
    fn one_that_the_user_wrote_himself_is_left_where_it_is() {
        for line in [
            format!("\tinclude {PATH}"),
            format!("  include={PATH}"),
            format!("INCLUDE = \"{PATH}\""),
        ] {
            let text = format!("Include ~/other\n{line}\nHost *\n");
            assert_eq!(installed(&text), text);
            let gone = uninstall(text.as_bytes(), PATH);
            assert_eq!(gone, b"Include ~/other\nHost *\n", "{line}");
        }
        let other = format!("Include={PATH}.d\nHost *\n");
        assert!(!is_installed(other.as_bytes(), PATH));
    }

    #[test]
    fn a_blank_line_that_the_user_wrote_stays() {
        let text = format!("Host a\nInclude {PATH}\n\nHost b\n");
        assert_eq!(uninstall(text.as_bytes(), PATH), b"Host a\n\nHost b\n");
    }

    #[test]
    fn nothing_of_ours_is_left_and_nothing_else_is_gone_whatever_was_there() {
        let ours = format!("Include {PATH}\n");
        let comment = format!("{COMMENT}\n");
        let lines = ["Host a\n", "  User me\n", "\n", &comment, &ours];
        for number in 0..lines.len().pow(5) {
            let digits = (0..5).map(|digit| number / lines.len().pow(digit) % lines.len());
            let text: String = digits.map(|digit| lines[digit]).collect();
            let gone = uninstall(&install(text.as_bytes(), PATH), PATH);
            assert_eq!(gone, uninstall(text.as_bytes(), PATH), "{text}");
            let others = |text: &str| text.matches(['H', 'U']).count();
            let gone = String::from_utf8(gone).unwrap();
            assert!(!gone.contains(&ours), "{text}");
            assert_eq!(others(&gone), others(&text), "{text}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_stay() {
        let text = b"# caf\xe9\nHost *\n";
        let with = install(text, PATH);
        assert_eq!(uninstall(&with, PATH), text);
    }

    #[test]
    fn the_text_is_what_a_person_would_write_there() {
        let line = format!("{COMMENT}\nInclude {PATH}\n");
        for (text, with) in [
            ("", line.clone()),
            ("Host a\n", format!("{line}\nHost a\n")),
            (
                "Host a\r\n",
                format!("{line}\nHost a\n").replace('\n', "\r\n"),
            ),
            ("a\rb\n", format!("{line}\na\rb\n")),
        ] {
            assert_eq!(installed(text), with);
        }
        // A line of ours that a comment of the user's stands above: his comment stays.
        let text = format!("# mine\nInclude {PATH}\n\nHost a\n");
        assert_eq!(uninstall(text.as_bytes(), PATH), b"# mine\n\nHost a\n");
        // A comment of ours that stands alone is left: it is not known whose line was below it.
        let text = format!("{COMMENT}\nHost a\n");
        assert_eq!(uninstall(text.as_bytes(), PATH), text.as_bytes());
    }

    #[test]
    fn below_a_condition_it_is_not_installed_and_anothers_line_is_not_ours() {
        for (text, is_there) in [
            (format!("Include {PATH}\n"), true),
            (format!("# Host\nUser me\nInclude {PATH}\n"), true),
            (format!("include \"{PATH}\"\n"), true),
            (format!("Host *\nInclude {PATH}\n"), false),
            (format!("hOST=*\nInclude {PATH}\n"), false),
            (format!("Match all\nInclude {PATH}\n"), false),
            (format!("# Include {PATH}\n"), false),
            (format!("Include {PATH} {PATH}\n"), false),
            (format!("Include \"{PATH}\n"), false),
            (format!("IdentityFile {PATH}\n"), false),
            (String::new(), false),
        ] {
            assert_eq!(is_installed(text.as_bytes(), PATH), is_there, "{text}");
        }
        // The argument may come quoted as well.
        let quoted = format!("\"{PATH}\"");
        assert!(is_installed(
            format!("Include {PATH}\n").as_bytes(),
            &quoted
        ));
    }
}
