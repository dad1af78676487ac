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
