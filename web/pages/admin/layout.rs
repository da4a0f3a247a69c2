//! The layout of the operators' pages, and the components shared by their lists.

use maud::{Markup, html};

use crate::{
    accounts::Pagination,
    components,
    page::{NavItem, Page, View},
};

/// The operators' pages in the order of their navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Overview,
    Accounts,
    Requests,
    Exports,
    Traffic,
    Usage,
    Alerts,
    Mail,
    Audit,
}

impl Section {
    const ALL: [(Self, &'static str, &'static str); 9] = [
        (Self::Overview, "/admin/", "Overview"),
        (Self::Accounts, "/admin/accounts", "Accounts"),
        (Self::Requests, "/admin/requests", "Requests"),
        (Self::Exports, "/admin/exports", "Exports"),
        (Self::Traffic, "/admin/traffic", "Traffic"),
        (Self::Usage, "/admin/usage", "Usage"),
        (Self::Alerts, "/admin/alerts", "Alerts"),
        (Self::Mail, "/admin/mail", "Mail log"),
        (Self::Audit, "/admin/audit", "Audit log"),
    ];
}

/// An operators' page: navigation, heading and content.
pub(super) struct AdminPage<'a, V> {
    pub(super) section: Section,
    pub(super) heading: &'a str,
    pub(super) view: &'a V,
}

impl<V: View> View for AdminPage<'_, V> {
    fn render(&self) -> Markup {
        html! {
            div.admin {
                nav.tabs aria-label="Operators" {
                    @for (section, address, label) in Section::ALL {
                        a href=(address) aria-current=[(section == self.section).then_some("page")] { (label) }
                    }
                }
                h1 { (self.heading) }
                (self.view.render())
            }
        }
    }
}

/// Returns an operators' page.
pub(super) fn page(section: Section, heading: &str, view: &impl View) -> Page {
    Page::new(heading, NavItem::Admin, &AdminPage { section, heading, view })
}

/// A column's header; numbers are right-aligned.
#[derive(Debug, Clone, Copy)]
pub(super) enum Heading {
    Text(&'static str),
    Number(&'static str),
}

/// Renders a table that scrolls independently if it is too wide.
pub(super) fn table(label: &str, columns: &[Heading], rows: &Markup) -> Markup {
    html! {
        (components::scroll(&format!("{label}, scrollable"), &html! {
            table {
                thead { tr { @for column in columns {
                    @match column {
                        Heading::Text(text) => { th scope="col" { (text) } },
                        Heading::Number(text) => { th.right scope="col" { (text) } },
                    }
                } } }
                tbody { (rows) }
            }
        }))
    }
}

/// Links to the neighboring pages of a long list.
pub(super) struct Pager {
    pub(super) page: Pagination,
    pub(super) total: u64,
    /// The address of the list without its page, ending in `?` or `&`.
    pub(super) address: String,
    /// The singular noun of the listed items: `account`.
    pub(super) one: &'static str,
}

impl Pager {
    pub(super) fn render(&self) -> Markup {
        let last = u32::try_from(self.total.div_ceil(u64::from(Pagination::SIZE)).max(1))
            .unwrap_or(u32::MAX);
        let here = self.page.get();
        let total =
            materia::humanize::plural(usize::try_from(self.total).unwrap_or(usize::MAX), self.one);
        html! {
            nav.pager aria-label="Pages" {
                span { (total) @if last > 1 { ", page " (here) " of " (last) } }
                @if here > 1 { a rel="prev" href={ (self.address) "page=" (here - 1) } { "Previous" } }
                @if here < last { a rel="next" href={ (self.address) "page=" (here + 1) } { "Next" } }
            }
        }
    }
}

/// Renders counts as bars from the oldest to the newest, with their names, and as a list.
pub(super) fn bars(title: &str, names: &[String], counts: &[u64]) -> Markup {
    const HEIGHT: f64 = 90.0;
    const STEP: usize = 20;
    let most = counts.iter().copied().max().unwrap_or_default().max(1);
    let ends = names.first().zip(names.last());
    html! {
        div.day-chart {
            span.note { (materia::humanize::count(most)) }
            svg.day-bars viewBox={ "0 0 " (STEP * counts.len()) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label={ (title) ", at most " (most) } {
                @for (at, count) in counts.iter().enumerate() {
                    @let height = *count as f64 / most as f64 * (HEIGHT - 2.0);
                    rect x=(at * STEP + 3) y=(format!("{:.1}", HEIGHT - height)) width=(STEP - 6) height=(format!("{height:.1}")) { title { (names.get(at).map(String::as_str).unwrap_or_default()) ": " (count) } }
                }
            }
            @if let Some((first, last)) = ends { p.note.day-ends { span { (first) } span { (last) } } }
        }
        details.figures {
            summary { "Figures" }
            ul.columns { @for (name, count) in names.iter().zip(counts).filter(|(_, count)| **count > 0) { li { (name) ": " (materia::humanize::count(*count)) } } }
        }
    }
}
