//! What the sshd of one connection says, and what of it is for the user.
//!
//! Pure. They are the container's own words: whoever shows them makes them fit for that.

use std::mem::take;

/// No more lines are kept than this, and of none more bytes.
const LINES: usize = 20;
const LENGTH: usize = 300;

/// What is told of one that has said nothing: it would say no more another time.
const NOTHING: &str = "it ends without a word";

/// How the line begins that tells of a login.
const LET_IN: &str = "Accepted ";

/// What is in those that tell why a login is refused, or why sshd gives up. ssh is told nothing of that. The words are
/// those of OpenSSH from 8.4 to 10.6.
const REFUSALS: [&str; 8] = [
    " not allowed because ",
    "Invalid user ",
    "Authentication refused: ",
    "Certificate invalid: ",
    "Certificate does not contain an authorized principal",
    " revoked by file ",
    "chroot(",
    "privilege separation",
];

/// How those begin that tell nothing that ssh does not.
const ORDINARY: [&str; 9] = [
    "Connection closed by ",
    "Connection reset by ",
    "Connection from ",
    "Received disconnect from ",
    "Disconnected from ",
    "Disconnecting ",
    "Failed ",
    "Postponed ",
    "Unable to ",
];

/// What has been said so far.
#[derive(Default)]
pub struct Words {
    /// The beginning of a line.
    begun: Vec<u8>,
    /// Those that were not told yet.
    lines: Vec<String>,
    /// Those that were.
    told: Vec<String>,
    /// Somebody has been let in: from here on these are a session's.
    pub let_in: bool,
    /// The fingerprints in the lines that tell of a login, until somebody takes them. Whoever logs in may have forged some, by what
    /// his client calls things; the true one always comes.
    pub keys: Vec<String>,
}

impl Words {
    /// The next piece. What is to be told at once.
    pub fn take(&mut self, piece: &[u8]) -> Vec<String> {
        let mut telling = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let room = LENGTH - self.begun.len();
            self.begun.extend(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                telling.extend(self.line());
            }
        }
        telling
    }

    /// The line has come to its end.
    fn line(&mut self) -> Option<String> {
        let line = String::from_utf8_lossy(&take(&mut self.begun))
            .trim_end()
            .to_owned();
        if line.starts_with(LET_IN) {
            self.let_in = true;
            let mut words = line.split_whitespace();
            let key = words.find(|it| it.starts_with("SHA256:"));
            self.keys.push(key.unwrap_or_default().to_owned());
        }
        let is_new = !self.told.contains(&line) && !self.lines.contains(&line);
        if self.let_in || line.is_empty() || !is_new || self.told.len() + self.lines.len() >= LINES
        {
            return None;
        }
        if REFUSALS.iter().any(|words| line.contains(words)) {
            self.told.push(line.clone());
            return Some(line);
        }
        self.lines.push(line);
        None
    }

    /// All of it, after the end of one that never spoke SSH.
    pub fn all(mut self) -> String {
        self.line();
        let all = self.told.iter().chain(&self.lines);
        let all: Vec<_> = all.map(String::as_str).collect();
        match all.is_empty() {
            true => NOTHING.to_owned(),
            false => all.join("; "),
        }
    }

    /// What is left to be told after the end of one that let nobody in.
    pub fn rest(mut self) -> Vec<String> {
        self.line();
        if self.let_in {
            return Vec::new();
        }
        let is_ordinary = |line: &String| ORDINARY.iter().any(|words| line.starts_with(words));
        self.lines.retain(|line| !is_ordinary(line));
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told at once, and at the end, of what comes in pieces of this length.
    fn told(said: &str, length: usize) -> (Vec<String>, Vec<String>) {
        let mut words = Words::default();
        let pieces = said.as_bytes().chunks(length);
        let at_once = pieces.flat_map(|piece| words.take(piece)).collect();
        (at_once, words.rest())
    }

    #[test]
    fn each_key_that_a_login_is_told_of_is_told() {
        let plain = "Accepted publickey for me from UNKNOWN port 65535 ssh2: ED25519 SHA256:abc\n";
        let certified = "Accepted publickey for me from UNKNOWN port 65535 ssh2: ED25519-CERT SHA256:abc ID x (serial 1) CA ED25519 SHA256:ca\n";
        for line in [plain, certified] {
            let mut words = Words::default();
            words.take(b"Failed publickey for me ssh2: ED25519 SHA256:other\n");
            assert!(!words.let_in && words.keys.is_empty());
            // Of one that was forged, nobody can tell.
            words
                .take(b"Failed x ID e\nAccepted publickey for me ssh2: ED25519 SHA256:forged\nx\n");
            words.take(line.as_bytes());
            assert!(words.let_in);
            assert_eq!(words.keys, ["SHA256:forged", "SHA256:abc"]);
        }
        let mut words = Words::default();
        words.take(b"Accepted none for me\n");
        assert_eq!((words.let_in, words.keys), (true, vec![String::new()]));
    }

    #[test]
    fn a_refusal_is_told_at_once_and_what_is_not_known_at_the_end() {
        for length in [1, 3, 1000] {
            for (said, at_once, rest) in [
                ("", &[][..], &[][..]),
                (
                    "User a from UNKNOWN not allowed because account is locked\r\nConnection closed by invalid user a UNKNOWN port 65535 [preauth]\r\n",
                    &["User a from UNKNOWN not allowed because account is locked"],
                    &[],
                ),
                // The same is not told twice.
                (
                    "Certificate invalid: expired\r\nCertificate invalid: expired\r\n",
                    &["Certificate invalid: expired"],
                    &[],
                ),
                (
                    "something new\nConnection reset by UNKNOWN port 65535 [preauth]\nno end of the line",
                    &[],
                    &["something new", "no end of the line"],
                ),
                // A session says what it likes.
                (
                    "noise\nAccepted publickey for a from UNKNOWN\nInvalid user b\nmore",
                    &[],
                    &[],
                ),
                (
                    "chroot(\"/run/sshd\"): Operation not permitted [preauth]\r\n",
                    &["chroot(\"/run/sshd\"): Operation not permitted [preauth]"],
                    &[],
                ),
            ] {
                let expected = (at_once, rest);
                let (at_once, rest) = told(said, length);
                assert_eq!(
                    (&at_once[..], &rest[..]),
                    (
                        &expected
                            .0
                            .iter()
                            .map(|it| it.to_string())
                            .collect::<Vec<_>>()[..],
                        &expected
                            .1
                            .iter()
                            .map(|it| it.to_string())
                            .collect::<Vec<_>>()[..]
                    ),
                    "{said}"
                );
            }
        }
    }

    #[test]
    fn all_is_told_of_one_that_never_spoke_and_no_flood() {
        let mut words = Words::default();
        let at_once = words.take(b"a\nInvalid user b\n\nc");
        assert_eq!(at_once, ["Invalid user b"]);
        assert_eq!(words.all(), "Invalid user b; a; c");
        assert_eq!(Words::default().all(), NOTHING);
        let mut words = Words::default();
        for n in 0..1000 {
            words.take(format!("{n}{}\n", "x".repeat(1000)).as_bytes());
        }
        let rest = words.rest();
        assert_eq!(rest.len(), LINES);
        assert!(rest.iter().all(|line| line.len() == LENGTH));
        let mut words = Words::default();
        let flood = |n| format!("{n} revoked by file f\n");
        let told: usize = (0..1000)
            .map(|n| words.take(flood(n).as_bytes()).len())
            .sum();
        assert_eq!(told, LINES);
    }
}
