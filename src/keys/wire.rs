//! Strings and numbers as SSH's protocols write them: big-endian, with a length in front.

use zeroize::Zeroizing;

/// Room for the largest key (RSA 16384), so that a growing buffer leaves no copies of it behind.
const ROOM: usize = 16 * 1024;

/// Bytes to be sent or written; zeroed when dropped, for they may hold a private key.
pub(super) struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    pub fn new() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(ROOM)))
    }

    pub fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    pub fn number(mut self, number: u32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    /// Bytes as they are.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn string(self, bytes: &[u8]) -> Self {
        // Everything written here is far below 4 GiB; what is not ends in a refused message.
        self.number(bytes.len().try_into().unwrap_or(u32::MAX))
            .raw(bytes)
    }

    /// A number without a sign, from its big-endian bytes.
    pub fn positive(self, bytes: &[u8]) -> Self {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let digits = &bytes[zeros..];
        if digits.first().is_some_and(|first| *first >= 0x80) {
            let mut signed = Zeroizing::new(vec![0; digits.len() + 1]);
            signed[1..].copy_from_slice(digits);
            return self.string(&signed);
        }
        self.string(digits)
    }

    pub fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

/// Takes bytes apart; every length is checked against what is there before anything is copied.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    pub fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_ssh_writes() {
        let written = Writer::new()
            .byte(7)
            .number(0x0102_0304)
            .string(b"ab")
            .raw(b"cd");
        let expected = [7, 1, 2, 3, 4, 0, 0, 0, 2, b'a', b'b', b'c', b'd'];
        assert_eq!(*written.into_bytes(), expected);
    }

    #[test]
    fn a_number_without_a_sign_is_never_read_as_a_negative_one() {
        for (number, digits) in [
            (&[0x7f][..], &[0x7f][..]),
            (&[0x80], &[0, 0x80]),
            (&[0xff, 1], &[0, 0xff, 1]),
            (&[0, 0, 0x80, 0], &[0, 0x80, 0]),
            (&[0, 0, 1, 0], &[1, 0]),
            (&[0, 0], &[]),
            (&[], &[]),
        ] {
            let expected = Writer::new().string(digits).into_bytes();
            let written = Writer::new().positive(number).into_bytes();
            assert_eq!(written, expected, "{number:?}");
        }
    }

    #[test]
    fn no_more_is_read_than_there_is() {
        let bytes = [0, 0, 0, 2, b'a', b'b', 0, 0, 0, 9];
        let mut reader = Reader::new(&bytes);
        assert!(!reader.is_empty());
        assert_eq!(reader.string(), Some(&b"ab"[..]));
        assert_eq!(reader.number(), Some(9));
        assert!(reader.is_empty() && reader.number().is_none());
        assert!(
            Reader::new(&bytes[6..]).string().is_none(),
            "nine are said to follow"
        );
        assert!(
            Reader::new(&bytes[..5]).string().is_none(),
            "one is missing"
        );
        assert!(Reader::new(&bytes[..3]).number().is_none());
    }
}
