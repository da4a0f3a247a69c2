//! Markdown as HTML. Raw HTML is shown as text, and only safe addresses become links.

use materia::links;
use maud::{Markup, PreEscaped};
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, html};

/// Renders Markdown with tables.
pub(crate) fn markdown(text: &str) -> Markup {
    let events = Parser::new_ext(text, Options::ENABLE_TABLES).map(harmless);
    let mut drawn = String::with_capacity(text.len() * 3 / 2);
    html::push_html(&mut drawn, events);
    PreEscaped(drawn)
}

fn harmless(event: Event<'_>) -> Event<'_> {
    match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        Event::Start(Tag::Link { link_type, dest_url, title, id })
            if !links::is_allowed(&dest_url) =>
        {
            Event::Start(Tag::Link { link_type, dest_url: CowStr::Borrowed("#"), title, id })
        }
        // The content security policy forbids images from elsewhere; their title is shown instead.
        Event::Start(Tag::Image { title, .. }) => Event::Text(title),
        Event::End(pulldown_cmark::TagEnd::Image) => Event::Text(CowStr::Borrowed("")),
        other => other,
    }
}

/// Splits off the first heading, if there is one.
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
        assert!(
            !drawn.contains("<script")
                && !drawn.contains("<b ")
                && !drawn.to_lowercase().contains("href=\"javascript"),
            "{drawn}"
        );
        assert!(!drawn.contains("<img"), "{drawn}");
        assert!(
            markdown("[a](https://example.com)")
                .into_string()
                .contains("href=\"https://example.com\"")
        );
    }
}
