//! Random secrets, of which only a hash is ever stored.

use sha2::{Digest, Sha256};

use super::store::StoreError;

/// 256 random bits as 64 hexadecimal digits. Does not print.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

/// What is stored of a [`Token`]. 256 random bits need no salt and no slow hash: there is nothing to guess from.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct TokenHash(String);

impl Token {
    const DIGITS: usize = 64;

    pub(crate) fn random() -> Result<Self, StoreError> {
        let mut bytes = [0; Self::DIGITS / 2];
        getrandom::fill(&mut bytes)?;
        Ok(Self(hex(&bytes)))
    }

    /// What somebody presents. Anything else than 64 hexadecimal digits is no token.
    pub(crate) fn presented(text: &str) -> Option<Self> {
        let right = text.len() == Self::DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        right.then(|| Self(text.to_owned()))
    }

    pub(crate) fn hash(&self) -> TokenHash {
        TokenHash(hex(&Sha256::digest(self.0.as_bytes())))
    }

    /// The secret itself: for the link or the cookie that carries it, and nothing else.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl TokenHash {
    /// Of whatever somebody presents, be it a token or not.
    pub(crate) fn of_presented(text: &str) -> Self {
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

/// A random name that cannot be guessed, for rows.
pub(super) fn random_id() -> Result<String, StoreError> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes)?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
