//! The lines that a file in a container has got since it was looked at before, out of the archive in which an
//! engine hands it out.
//!
//! Pure. The archive is read as it comes: what stands around the file in it is filled up with zeros, and an end of
//! a line here. What is in the file was written in the container, and is told as it is: whoever gets it looks for
//! what he knows, and shows it to nobody.

/// As much of them is kept.
const KEPT: usize = 64 * 1024;

/// What has come so far.
pub struct Lines {
    seen: usize,
    count: usize,
    kept: Vec<u8>,
}

impl Lines {
    /// Nothing yet, of a file of which so many lines are known.
    pub fn after(seen: usize) -> Self {
        Self {
            seen,
            count: 0,
            kept: Vec::new(),
        }
    }

    /// The next piece of the archive.
    pub fn take(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            if self.count >= self.seen {
                let room = KEPT - self.kept.len();
                self.kept.extend(&part[..part.len().min(room)]);
            }
            self.count += usize::from(part.ends_with(b"\n"));
        }
    }

    /// How many lines there are, and those that were not known.
    pub fn told(self) -> (usize, String) {
        let text = String::from_utf8_lossy(&self.kept).replace('\0', "\n");
        (self.count, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of an archive in pieces of this length.
    fn told(archive: &[u8], length: usize, seen: usize) -> (usize, Vec<String>) {
        let mut lines = Lines::after(seen);
        archive.chunks(length).for_each(|piece| lines.take(piece));
        let (count, text) = lines.told();
        let lines = text.lines().filter(|line| !line.is_empty());
        (count, lines.map(str::to_owned).collect())
    }

    #[test]
    fn what_was_not_there_before_is_told_however_it_comes() {
        let archive = b"log\0mode\0\0one\r\ntwo\nthree\nfo\0\0\0";
        for length in [1, 2, 5, archive.len()] {
            for (seen, expected) in [
                (0, "log mode one two three fo"),
                (1, "two three fo"),
                (2, "three fo"),
                (3, "fo"),
                (4, ""),
                (usize::MAX, ""),
            ] {
                let (count, lines) = told(archive, length, seen);
                assert_eq!((count, &*lines.join(" ")), (3, expected), "{seen}");
            }
        }
        assert_eq!(told(b"", 1, 0), (0, vec![]));
    }

    #[test]
    fn what_is_kept_has_an_end_and_what_is_no_text_is_none() {
        let mut lines = Lines::after(1);
        lines.take(b"known\n");
        for _ in 0..3 {
            lines.take(&[b'x'; KEPT / 2 + 1]);
        }
        lines.take(b"\n");
        let (count, text) = lines.told();
        assert_eq!((count, text.len()), (2, KEPT));
        assert_eq!(told(b"a\xff\n", 9, 0), (1, vec!["a\u{fffd}".to_owned()]));
    }
}
