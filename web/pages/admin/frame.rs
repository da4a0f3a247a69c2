//! What stands around every page of the operators', and what their lists have in common.

use maud::{Markup, html};

use crate::web::{
    accounts::PageOf,
    page::{Page, Place, View},
    parts,
};

/// The operators' pages, in the order of their navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Overview,
    Accounts,
    Exports,
    Traffic,
    Mail,
    Audit,
}

impl Section {
    const ALL: [(Self, &'static str, &'static str); 6] = [
        (Self::Overview, "/admin/", "Overview"),
        (Self::Accounts, "/admin/accounts", "Accounts"),
        (Self::Exports, "/admin/exports", "Exports"),
        (Self::Traffic, "/admin/traffic", "Traffic"),
        (Self::Mail, "/admin/mail", "Mail log"),
        (Self::Audit, "/admin/audit", "Audit log"),
    ];
}

/// A page of the operators': a heading and what stands below it.
pub(super) struct Framed<'a, V> {
    pub(super) section: Section,
    pub(super) heading: &'a str,
    pub(super) view: &'a V,
}

impl<V: View> View for Framed<'_, V> {
    fn body(&self) -> Markup {
        html! {
            div.admin {
                nav.tabs aria-label="Operators" {
                    @for (section, address, label) in Section::ALL {
                        a href=(address) aria-current=[(section == self.section).then_some("page")] { (label) }
                    }
                }
                h1 { (self.heading) }
                (self.view.body())
            }
        }
    }
}

/// A page of the operators'.
pub(super) fn page(section: Section, heading: &str, view: &impl View) -> Page {
    Page::new(heading, Place::Admin, &Framed { section, heading, view })
}

/// The head of a column: of words, or of figures, which stand at its right.
#[derive(Debug, Clone, Copy)]
pub(super) enum Head {
    Words(&'static str),
    Numbers(&'static str),
}

/// A table that scrolls by itself where it is too wide.
pub(super) fn table(label: &str, heads: &[Head], rows: &Markup) -> Markup {
    html! {
        (parts::scroll(&format!("{label}, scrollable"), &html! {
            table {
                thead { tr { @for head in heads {
                    @match head {
                        Head::Words(text) => { th scope="col" { (text) } },
                        Head::Numbers(text) => { th.right scope="col" { (text) } },
                    }
                } } }
                tbody { (rows) }
            }
        }))
    }
}

/// Where in a long list this is, and the ways on.
pub(super) struct Pager {
    pub(super) page: PageOf,
    pub(super) total: u64,
    /// The address of this list without its page, with `?` or `&` at its end.
    pub(super) address: String,
    /// What is listed: `account`.
    pub(super) one: &'static str,
}

impl Pager {
    pub(super) fn body(&self) -> Markup {
        let last = u32::try_from(self.total.div_ceil(u64::from(PageOf::SIZE)).max(1)).unwrap_or(u32::MAX);
        let here = self.page.get();
        let total = materia::words::plural(usize::try_from(self.total).unwrap_or(usize::MAX), self.one);
        html! {
            nav.pager aria-label="Pages" {
                span { (total) @if last > 1 { ", page " (here) " of " (last) } }
                @if here > 1 { a rel="prev" href={ (self.address) "page=" (here - 1) } { "Previous" } }
                @if here < last { a rel="next" href={ (self.address) "page=" (here + 1) } { "Next" } }
            }
        }
    }
}
