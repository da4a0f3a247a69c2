//! What can be taken from a panel: its figures and its chart as files, a link to it, and its table.

use maud::{Markup, html};

/// The addresses of one panel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PanelLinks {
    /// The panel's name in addresses.
    pub(crate) name: String,
    /// The page's address with its filters, without the place in it.
    pub(crate) page: String,
    /// The files: what they are called, and where they are.
    pub(crate) files: Vec<(&'static str, String)>,
    /// The page that other sites may embed.
    pub(crate) embed: Option<String>,
    /// The only table that the panel reads.
    pub(crate) table: Option<String>,
    /// The page with the rows before those that are shown.
    pub(crate) previous_rows: Option<String>,
    /// The page with the rows after those that are shown.
    pub(crate) next_rows: Option<String>,
}

/// Renders the menu. It opens without scripts; with them, the link is copied rather than followed.
pub(super) fn panel_menu(id: &str, title: &str, links: &PanelLinks) -> Markup {
    html! {
        details.menu {
            summary title="Download and share" aria-label={ "Download and share: " (title) } {
                svg viewBox="0 0 16 16" aria-hidden="true" { circle cx="3" cy="8" r="1.4" {} circle cx="8" cy="8" r="1.4" {} circle cx="13" cy="8" r="1.4" {} }
            }
            ul {
                @for (label, href) in &links.files { li { a href=(href) download="" { "Download " (label) } } }
                li { a href={ (links.page) "#" (id) } data-copy="Link copied" { "Link to this panel" } }
                @if let Some(embed) = &links.embed { li { a href=(embed) { "Embeddable view" } } }
                @if let Some(table) = &links.table { li { a href={ "/tables/" (table) } { "Open table " (table) } } }
            }
        }
    }
}
