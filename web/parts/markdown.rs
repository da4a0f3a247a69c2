//! Markdown as HTML. HTML written into it is shown as text, and only harmless addresses become links.

use maud::{Markup, PreEscaped};
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, html};

/// Markdown, with tables. Headings begin one level below the page's own.
pub(crate) fn markdown(text: &str) -> Markup {
    let events = Parser::new_ext(text, Options::ENABLE_TABLES).map(harmless);
    let mut drawn = String::with_capacity(text.len() * 3 / 2);
    html::push_html(&mut drawn, events);
    PreEscaped(drawn)
}

fn harmless(event: Event<'_>) -> Event<'_> {
    match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        Event::Start(Tag::Link { link_type, dest_url, title, id }) if !leads_somewhere(&dest_url) => {
            Event::Start(Tag::Link { link_type, dest_url: CowStr::Borrowed("#"), title, id })
        }
        // Images would be fetched from elsewhere, which the policy forbids: their description stays.
        Event::Start(Tag::Image { title, .. }) => Event::Text(title),
        Event::End(pulldown_cmark::TagEnd::Image) => Event::Text(CowStr::Borrowed("")),
        other => other,
    }
}

fn leads_somewhere(url: &str) -> bool {
    let lower = url.to_ascii_lowercase();
    let local = lower.starts_with('/') && !lower.starts_with("//");
    local || lower.starts_with('#') || ["https://", "http://", "mailto:"].iter().any(|scheme| lower.starts_with(scheme))
}

/// The first heading, where there is one, and what stands below it.
pub(crate) fn split_title(text: &str) -> (Option<&str>, &str) {
    let text = text.trim_start();
    match text.strip_prefix("# ") {
        Some(rest) => {
            let (title, body) = rest.split_once('\n').unwrap_or((rest, ""));
            (Some(title.trim()), body)
        }
        None => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_in_markdown_is_text_and_no_link_runs_a_script() {
        let drawn = markdown(
            "<script>alert(1)</script> [x](javascript:alert(1)) [y](JAVASCRIPT:a) <b onclick=x>hi</b> ![pic](https://evil/x.png \"t\")",
        );
        let drawn = drawn.into_string();
        assert!(!drawn.contains("<script") && !drawn.contains("<b ") && !drawn.to_lowercase().contains("href=\"javascript"), "{drawn}");
        assert!(!drawn.contains("<img"), "{drawn}");
        assert!(markdown("[a](https://example.com)").into_string().contains("href=\"https://example.com\""));
    }
}
