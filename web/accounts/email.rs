//! E-mail addresses, in the one form in which they are stored and compared.

use std::{fmt, str::FromStr};

/// An address in its one form: without surrounding spaces, in lower case, of plain ASCII. Two addresses are the same when their texts are: a
/// letter that looks like another one is refused instead of compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Email(String);

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("that is not an e-mail address; write it like name@example.com")]
pub(crate) struct NotAnEmail;

impl Email {
    /// As long as SMTP can carry.
    const LONGEST: usize = 254;

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = NotAnEmail;

    fn from_str(text: &str) -> Result<Self, NotAnEmail> {
        let text = text.trim();
        // Quoted local parts, comments and domain literals are allowed by the standard and used by nobody but attackers.
        let plain = |char: char| char.is_ascii_alphanumeric() || "@.!#$%&'*+/=?^_`{|}~-".contains(char);
        let parsed = text.parse::<lettre::Address>().map_err(|_| NotAnEmail)?;
        if text.len() > Self::LONGEST || !text.chars().all(plain) || !parsed.domain().contains('.') {
            return Err(NotAnEmail);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Email {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_form() {
        let email: Email = "  Ana.Ruiz+coffee@Example.COM \t".parse().unwrap();
        assert_eq!(email.as_str(), "ana.ruiz+coffee@example.com");
    }

    #[test]
    fn what_could_become_another_header_line_or_another_person_is_no_address() {
        let wrong = [
            "",
            "ana",
            "ana@",
            "@example.com",
            "ana@example",
            "ana@example.com\r\nBcc: all@example.com",
            "ana@example.com\nSubject: hello",
            "ana@example.com,eve@example.com",
            "Ana <ana@example.com>",
            "\"ana\r\n\"@example.com",
            "\"ana eve\"@example.com",
            "ana@[127.0.0.1]",
            "ana@example.com\0",
            "\u{430}na@example.com",
            "ana@ex\u{430}mple.com",
        ];
        for text in wrong {
            assert_eq!(text.parse::<Email>(), Err(NotAnEmail), "{text:?}");
        }
        assert_eq!(format!("{}@example.com", "a".repeat(300)).parse::<Email>(), Err(NotAnEmail));
    }
}
