//! The outer shell of private key files: `-----BEGIN …-----`, headers, base64.
//!
//! More lenient than the crates beneath about what editors and consoles do to a file (a byte order
//! mark, CRLF, indented or re-wrapped lines, text around the block) and as strict about the rest.
//! What is inside the block belongs to the callers.

use super::KeyError;
use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

/// No private key comes near; anything above is somebody's core dump.
pub(super) const MAX_TEXT: usize = 256 * 1024;

/// One decoded block.
pub(super) struct Block<'a> {
    /// What stands after BEGIN.
    pub label: &'a str,
    /// `Proc-Type` and its like, of the old encrypted form.
    pub headers: Vec<(&'a str, &'a str)>,
    /// The decoded content.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// The first block that holds a private key; other blocks before it, such as the EC PARAMETERS that
/// `openssl ecparam` writes, are passed over. `Ok(None)` when there is no such block.
pub(super) fn private_block(text: &str) -> Result<Option<Block<'_>>, KeyError> {
    if text.len() > MAX_TEXT {
        return Err(KeyError::TooLarge);
    }
    let mut rest = text;
    while let Some((label, body)) = next_begin(rest) {
        if label.ends_with("PRIVATE KEY") {
            return read_block(label, body).map(Some);
        }
        rest = body;
    }
    Ok(None)
}

/// The label of the first block of any kind.
pub(super) fn first_label(text: &str) -> Option<&str> {
    next_begin(text).map(|(label, _)| label)
}

/// The next label, and the text after its line.
fn next_begin(text: &str) -> Option<(&str, &str)> {
    let (_, after) = text.split_once("-----BEGIN ")?;
    let (line, body) = after.split_once('\n')?;
    let label = line.trim_end().strip_suffix("-----")?;
    Some((label, body))
}

fn read_block<'a>(label: &'a str, body: &'a str) -> Result<Block<'a>, KeyError> {
    let damaged = |detail: &str| KeyError::damaged("private key", detail);
    let end = format!("-----END {label}-----");
    let (body, _) = body
        .split_once(end.as_str())
        .ok_or_else(|| damaged("its END line is missing"))?;
    let mut headers: Vec<(&str, &str)> = Vec::new();
    let mut base64 = Zeroizing::new(String::with_capacity(body.len()));
    for line in body.lines().map(str::trim) {
        match line.split_once(':') {
            Some((name, value)) => headers.push((name, value.trim())),
            None => base64.extend(line.chars().filter(|c| !c.is_ascii_whitespace())),
        }
    }
    // Reserving once keeps the decoder from leaving copies of the secret behind.
    let mut bytes = Zeroizing::new(vec![0; base64.len() / 4 * 3 + 3]);
    let length = Base64::decode(base64.as_bytes(), &mut bytes)
        .map_err(|_| damaged("its base64 text is broken"))?
        .len();
    bytes.truncate(length);
    Ok(Block {
        label,
        headers,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str =
        "-----BEGIN X PRIVATE KEY-----\nA: b: c\n\nAQID\n-----END X PRIVATE KEY-----\n";

    #[test]
    fn a_private_block_is_found_wherever_it_stands() {
        let other = "-----BEGIN X PARAMETERS-----\nAAAA\n-----END X PARAMETERS-----\n";
        for text in [
            BLOCK.to_owned(),
            format!("{other}{BLOCK}"),
            format!("hello\n{BLOCK}{other}"),
            format!("{BLOCK}{}", BLOCK.replace("AQID", "BAUG")),
            BLOCK.replace('\n', "\r\n"),
            BLOCK.replace("AQID", "  AQ\n I D "),
            BLOCK.replace("X PRIVATE KEY-----\nA", "X PRIVATE KEY-----  \nA"),
        ] {
            let block = private_block(&text).ok().flatten().expect(&text);
            assert_eq!(block.label, "X PRIVATE KEY", "{text}");
            assert_eq!(block.headers, [("A", "b: c")], "{text}");
            assert_eq!(*block.bytes, [1, 2, 3], "{text}");
        }
        for text in [
            "",
            "hello",
            other,
            "-----BEGIN X PRIVATE KEY-----",
            "-----BEGIN X PRIVATE KEY\n",
        ] {
            assert!(
                private_block(text).is_ok_and(|block| block.is_none()),
                "{text}"
            );
        }
        assert_eq!(
            first_label(&format!("x\n{other}{BLOCK}")),
            Some("X PARAMETERS")
        );
        assert_eq!(first_label("hello"), None);
    }

    #[test]
    fn a_block_that_is_broken_says_so_and_no_core_dump_is_read() {
        let damaged = |text: &str, what: &str| match private_block(text) {
            Err(error) => assert!(error.to_string().contains(what), "{error}"),
            Ok(_) => panic!("{text}"),
        };
        damaged(&BLOCK.replace("END X", "END Y"), "END line");
        damaged(&BLOCK.replace("AQID", "AQ!D"), "base64");
        damaged(&BLOCK.replace("AQID", "AQI"), "base64");
        let fits = format!("{BLOCK}{}", " ".repeat(MAX_TEXT - BLOCK.len()));
        assert!(private_block(&fits).is_ok());
        assert_eq!(private_block(&(fits + " ")).err(), Some(KeyError::TooLarge));
    }
}
