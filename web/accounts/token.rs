//! Random secrets, of which only a hash is ever stored.

use sha2::{Digest, Sha256};

use super::store::StoreError;

/// 256 random bits as 64 hexadecimal digits. `Debug` does not print them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

/// The stored hash of a [`Token`]. 256 random bits need neither salt nor a slow hash: they cannot
/// be guessed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct TokenHash(String);

impl Token {
    const DIGITS: usize = 64;

    pub(crate) fn random() -> Result<Self, StoreError> {
        let mut bytes = [0; Self::DIGITS / 2];
        getrandom::fill(&mut bytes)?;
        Ok(Self(hex(&bytes)))
    }

    /// Parses what a client presents: exactly 64 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let right = text.len() == Self::DIGITS
            && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        right.then(|| Self(text.to_owned()))
    }

    pub(crate) fn hash(&self) -> TokenHash {
        TokenHash(hex(&Sha256::digest(self.0.as_bytes())))
    }

    /// Returns the secret itself, only for the link or cookie that carries it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl TokenHash {
    /// Hashes the text that a client presents, whether it is a token or not.
    pub(crate) fn hash_presented(text: &str) -> Self {
        Self(hex(&Sha256::digest(text.as_bytes())))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Token(hidden)")
    }
}

/// Returns a random id for a row, which cannot be guessed.
pub(super) fn random_id() -> Result<String, StoreError> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes)?;
    Ok(hex(&bytes))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Parses what [`hex`] writes: lower-case digits in pairs.
pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?));
    if rest.is_empty() { bytes.collect() } else { None }
}
