//! Validation of links in settings and dashboards.

use pulldown_cmark::{Event, Parser, Tag};

/// Returns whether a link to `address` is safe: `http`, `https`, `mailto`, or a path on the site
/// itself.
#[must_use]
pub fn is_allowed(address: &str) -> bool {
    // Browsers drop tabs and line ends and treat a backslash as a slash, so `/\\example.com` leads
    // to another host.
    if address.chars().any(|char| char.is_control() || char.is_whitespace() || char == '\\') {
        return false;
    }
    let lower = address.to_ascii_lowercase();
    let local = lower.starts_with('#') || lower.starts_with('/') && !lower.starts_with("//");
    local
        || ["https://", "http://", "mailto:"]
            .iter()
            .any(|scheme| lower.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
}

/// Checks the address of a link.
///
/// # Errors
/// The reason for the author, when it is not allowed.
pub fn check(address: &str) -> Result<(), String> {
    if is_allowed(address) {
        return Ok(());
    }
    Err(format!(
        "{address:?} cannot be a link: write an address that begins with https://, http://, mailto: or /"
    ))
}

/// Returns the addresses of the links of a Markdown text.
#[must_use]
pub fn in_markdown(text: &str) -> Vec<String> {
    let link = |event| match event {
        Event::Start(Tag::Link { dest_url, .. }) => Some(dest_url.into_string()),
        _ => None,
    };
    Parser::new(text).filter_map(link).collect()
}

/// Returns an error for each disallowed link of a Markdown text.
#[must_use]
pub fn problems_in_markdown(text: &str) -> Vec<String> {
    let link = |event| match event {
        Event::Start(Tag::Link { dest_url, .. }) => check(&dest_url).err(),
        _ => None,
    };
    Parser::new(text).filter_map(link).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_a_page_or_a_mailbox_and_runs_nothing() {
        for address in [
            "https://example.com/a?b=c#d",
            "HTTP://example.com",
            "mailto:a@example.com",
            "/methodology",
            "/",
            "#plans",
        ] {
            assert_eq!(check(address), Ok(()), "{address}");
        }
        for address in [
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            " javascript:alert(1)",
            "java\nscript:alert(1)",
            "\u{1}javascript:alert(1)",
            "data:text/html,x",
            "vbscript:x",
            "file:///etc/passwd",
            "blob:x",
            "//example.com",
            "/\\example.com",
            "/\t/example.com",
            "\\\\example.com",
            "ftp://example.com",
            "example.com",
            "",
            "https://",
            "https:example.com",
        ] {
            assert!(check(address).is_err(), "{address:?}");
        }
        assert_eq!(
            problems_in_markdown("[a](https://example.com) [b](javascript:x) <data:text/html,x>")
                .len(),
            2
        );
    }
}
