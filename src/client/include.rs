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

/// The text without our line, its comment and the blank line that sets it apart.
pub fn uninstall(text: &[u8], argument: &str) -> Vec<u8> {
    let mut out: Vec<&[u8]> = Vec::new();
    let mut after_ours = false;
    for line in lines(text) {
        if is_ours(line, argument) {
            if out
                .last()
                .is_some_and(|last| last.trim_ascii() == COMMENT.as_bytes())
            {
                out.pop();
            }
            after_ours = true;
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
    let word = line
        .trim_ascii()
        .split(|b| b.is_ascii_whitespace() || *b == b'=')
        .next()
        .unwrap_or_default();
    String::from_utf8_lossy(word).to_ascii_lowercase()
}

fn is_ours(line: &[u8], argument: &str) -> bool {
    let line = line.trim_ascii();
    let value = line
        .get("include".len()..)
        .map(<[u8]>::trim_ascii)
        .unwrap_or_default();
    let bare = |text: &[u8]| {
        text.strip_prefix(b"\"")
            .and_then(|t| t.strip_suffix(b"\""))
            .unwrap_or(text)
            .to_vec()
    };
    keyword(line) == "include" && bare(value) == bare(argument.as_bytes())
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
        let text = format!("Include ~/other\n  include={PATH}\nHost *\n");
        assert!(!is_installed(text.as_bytes(), PATH) || installed(&text) == text);
        let text = format!("Include ~/other\n\tinclude {PATH}\nHost *\n");
        assert_eq!(installed(&text), text);
    }

    #[test]
    fn bytes_that_are_no_text_stay() {
        let text = b"# caf\xe9\nHost *\n";
        let with = install(text, PATH);
        assert_eq!(uninstall(&with, PATH), text);
    }
}
