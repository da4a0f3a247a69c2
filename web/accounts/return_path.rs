//! Where somebody goes on after signing in: a path of this site and nothing else.

/// A path of this site, checked: it cannot lead to another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReturnPath(String);

impl ReturnPath {
    const LONGEST: usize = 600;

    /// Where one goes who did not say where.
    pub(crate) fn home() -> Self {
        Self("/dashboard/".to_owned())
    }

    /// `text` where it is a plain path of this site, else nothing. Browsers read `//host`, `/\host` and `/<tab>/host` as another site.
    pub(crate) fn checked(text: &str) -> Option<Self> {
        let mut bytes = text.bytes();
        let begins = bytes.next() == Some(b'/') && bytes.next() != Some(b'/');
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>'));
        // Signing in must not lead back to signing in or out.
        let onward = !text.starts_with("/auth/");
        (begins && plain && onward && text.len() <= Self::LONGEST).then(|| Self(text.to_owned()))
    }

    /// As [`Self::checked`], and home where there is none or a wrong one.
    pub(crate) fn checked_or_home(text: Option<&str>) -> Self {
        text.and_then(Self::checked).unwrap_or_else(Self::home)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The address of the sign-in page that leads on to here.
    pub(crate) fn sign_in_address(&self) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", &self.0).finish();
        format!("/auth/login?{query}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_this_site_is_followed() {
        for right in ["/", "/dashboard/", "/dashboard/supply?since=2020&country=Brazil%20", "/settings#sessions"] {
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
