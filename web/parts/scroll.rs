//! What may be wider than the window.

use maud::{Markup, html};

/// Content that is scrolled sideways by itself, by the keyboard too, instead of with the page. `label` names it to those who do not see it.
pub(crate) fn scroll(label: &str, content: &Markup) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label=(label) { (content) } }
}
