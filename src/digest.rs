//! Digests that identify equal values across processes and versions: every part is formatted
//! explicitly, never by Rust's `Debug`.

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

/// Collects delimited parts, so that no two sequences of parts have the same digest input.
#[derive(Debug, Default)]
pub struct DigestBuilder(String);

impl DigestBuilder {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub fn add(&mut self, part: &str) -> &mut Self {
        self.0.push_str(&part.len().to_string());
        self.0.push(':');
        self.0.push_str(part);
        self
    }

    /// Adds a value as JSON, whose names belong to a format and not to the source code.
    pub fn add_json(&mut self, part: &impl Serialize) -> &mut Self {
        self.add(&serde_json::to_string(part).unwrap_or_default())
    }

    /// Returns the digest as 32 hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> String {
        format!("{:032x}", xxh3_128(self.0.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(parts: &[&str]) -> String {
        let mut builder = DigestBuilder::new();
        for part in parts {
            builder.add(part);
        }
        builder.digest()
    }

    #[test]
    fn parts_do_not_run_into_one_another() {
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_ne!(digest(&["1:a"]), digest(&["", "a"]));
        assert_eq!(digest(&["a", "b"]), digest(&["a", "b"]));
    }
}
