//! Email addresses in their normalized form.

use std::{fmt, str::FromStr};

/// A normalized address: trimmed, without invisible characters, lower case, plain ASCII, an
/// international domain in Punycode. Addresses are equal if their texts are: look-alike letters are
/// refused instead of compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Email(String);

/// The text is not an email address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not an email address; write it like name@example.com")]
pub struct NotAnEmail;

impl Email {
    /// The limit of SMTP.
    const MAX_LEN: usize = 254;

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the part after the `@`, in Punycode.
    pub(crate) fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// Returns the address with an international domain in its own script. Only for display; it is
    /// stored, compared and sent to as [`Self::as_str`].
    pub(crate) fn to_display(&self) -> String {
        display_address(&self.0)
    }
}

/// Returns a stored address with an international domain in its own script.
pub(crate) fn display_address(stored: &str) -> String {
    let Some((local, domain)) = stored.rsplit_once('@') else { return stored.to_owned() };
    match idna::domain_to_unicode(domain) {
        (unicode, Ok(())) if !unicode.split('.').any(mixes_alphabets) => {
            format!("{local}@{unicode}")
        }
        // The domain could not have been typed.
        _ => stored.to_owned(),
    }
}

/// Returns whether a character is invisible; such characters are copied along with an address.
fn is_invisible(char: char) -> bool {
    matches!(char, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Returns whether a label mixes Latin letters with those of a look-alike alphabet, which only
/// homograph attacks do.
fn mixes_alphabets(label: &str) -> bool {
    let is_latin = |char: char| {
        char.is_ascii_alphabetic() || matches!(char, '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}')
    };
    let looks_latin = |char: char| matches!(char, '\u{370}'..='\u{58f}' | '\u{13a0}'..='\u{13ff}' | '\u{1c80}'..='\u{1c8f}' | '\u{a640}'..='\u{a69f}');
    label.chars().any(is_latin) && label.chars().any(looks_latin)
}

impl FromStr for Email {
    type Err = NotAnEmail;

    fn from_str(text: &str) -> Result<Self, NotAnEmail> {
        let text: String = text.chars().filter(|char| !is_invisible(*char)).collect();
        let (local, domain) = text.trim().rsplit_once('@').ok_or(NotAnEmail)?;
        let domain = if domain.is_ascii() {
            domain.to_owned()
        } else {
            if domain.split(['.', '\u{3002}']).any(mixes_alphabets) {
                return Err(NotAnEmail);
            }
            idna::domain_to_ascii_strict(domain).map_err(|_| NotAnEmail)?
        };
        let text = format!("{local}@{domain}");
        // The standard allows quoted local parts, comments and domain literals; only attackers use
        // them.
        let plain =
            |char: char| char.is_ascii_alphanumeric() || "@.!#$%&'*+/=?^_`{|}~-".contains(char);
        let parsed = text.parse::<lettre::Address>().map_err(|_| NotAnEmail)?;
        if text.len() > Self::MAX_LEN || !text.chars().all(plain) || !parsed.domain().contains('.')
        {
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
    fn an_international_domain_is_stored_as_punycode_and_shown_as_typed() {
        let email: Email = "User@M\u{fc}ller.Example".parse().unwrap();
        assert_eq!(email.as_str(), "user@xn--mller-kva.example");
        assert_eq!(email.to_display(), "user@m\u{fc}ller.example");
        assert_eq!("user@xn--mller-kva.example".parse::<Email>().unwrap(), email);
        // The same letter, composed of two characters.
        assert_eq!("user@mu\u{308}ller.example".parse::<Email>().unwrap(), email);
        let email: Email = "info@\u{4f8b}\u{3048}.\u{30c6}\u{30b9}\u{30c8}".parse().unwrap();
        assert!(
            email.as_str().is_ascii() && email.to_display().ends_with("\u{30c6}\u{30b9}\u{30c8}")
        );
        assert_eq!("ana@example.com".parse::<Email>().unwrap().to_display(), "ana@example.com");
    }

    #[test]
    fn what_a_paste_brings_along_unseen_is_not_part_of_an_address() {
        for text in [
            "\u{feff}ana@example.com",
            "ana@\u{200b}example.com",
            "\u{202a}ana@example.com\u{202c}",
            "\u{a0}ana@exam\u{ad}ple.com\u{2060}",
        ] {
            assert_eq!(text.parse::<Email>().unwrap().as_str(), "ana@example.com", "{text:?}");
        }
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
