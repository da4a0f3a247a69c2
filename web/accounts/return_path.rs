//! The page to return to after sign-in: a local path and nothing else.

/// A validated local path, which cannot lead to another site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReturnPath(String);

impl ReturnPath {
    const MAX_LEN: usize = 600;

    /// Returns the default destination.
    pub(crate) fn home() -> Self {
        Self("/dashboard/".to_owned())
    }

    /// Returns `text` if it is a local path. Browsers treat `//host`, `/\host` and `/<tab>/host` as
    /// other sites.
    pub(crate) fn checked(text: &str) -> Option<Self> {
        let mut bytes = text.bytes();
        let begins = bytes.next() == Some(b'/') && bytes.next() != Some(b'/');
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>'));
        // Signing in must not lead to sign-in or sign-out pages.
        let onward = !text.starts_with("/auth/");
        (begins && plain && onward && text.len() <= Self::MAX_LEN).then(|| Self(text.to_owned()))
    }

    /// Returns `text` if it is a local path, and the default destination otherwise.
    pub(crate) fn checked_or_home(text: Option<&str>) -> Self {
        text.and_then(Self::checked).unwrap_or_else(Self::home)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_this_site_is_followed() {
        for right in [
            "/",
            "/dashboard/",
            "/dashboard/supply?since=2020&country=Brazil%20",
            "/settings#sessions",
        ] {
            assert!(ReturnPath::checked(right).is_some(), "{right}");
        }
        let wrong = [
            "",
            "dashboard",
            "//evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/ /evil.example",
            " //evil.example",
            "/a\\b",
            "/x\r\nSet-Cookie: a=b",
            "/auth/logout",
            "/\u{e9}",
            "/\"onload",
        ];
        for text in wrong {
            assert_eq!(ReturnPath::checked(text), None, "{text:?}");
        }
        assert_eq!(ReturnPath::checked(&format!("/{}", "a".repeat(700))), None);
    }
}
