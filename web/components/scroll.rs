//! Content that may be wider than the window.

use maud::{Markup, html};

/// Renders content that scrolls sideways independently of the page, with the keyboard too. `label`
/// names it for assistive technology.
pub(crate) fn scroll(label: &str, content: &Markup) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label=(label) { (content) } }
}
