//! `/search`: dashboards, panels, tables, columns and pages by words.

use axum::extract::{Query, State};
use materia::{
    dashboard::Dashboard,
    plan::Plan,
    tables::access::{self, Access, AccessibleTable},
};
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    dashboard::visible_dashboards,
    tables::{column_title, encoded, table_title},
};
use crate::{
    app::AppState,
    components,
    error::WebError,
    page::{NavItem, Page, View},
    viewer::{SignedIn, Viewer},
};

/// Hits on one page.
const MAX_HITS: usize = 50;
/// The longest text that is searched for, in characters.
const MAX_TEXT: usize = 200;

/// Pages that are always found: title, text, address.
const PAGES: [(&str, &str, &str); 8] = [
    ("API", "documentation keys programs rows formats errors limits curl python", "/docs/api"),
    ("Methodology", "definitions sources tables columns figures", "/methodology"),
    ("Home", "saved views favorites alerts digests start page", "/home"),
    ("Settings", "profile name email appearance dark light account", "/settings"),
    ("API keys", "token password program sql", "/settings#keys"),
    ("Your plan", "invoice subscription billing upgrade", "/settings#plan"),
    ("Active sessions", "sign out devices browsers", "/settings#sessions"),
    ("Delete my account", "privacy data download", "/settings#data"),
];

#[derive(Debug, Deserialize)]
pub(crate) struct SearchQuery {
    #[serde(default)]
    q: String,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hit {
    /// What it is: `Dashboard`, `Panel`.
    kind: &'static str,
    title: String,
    /// Where it is, or what it says.
    about: String,
    address: String,
    /// The plan that includes it, if the viewer's does not.
    locked: Option<Plan>,
}

struct SearchPage {
    text: String,
    /// The best first.
    hits: Vec<Hit>,
    total: usize,
}

/// The words of a search.
struct Words(Vec<String>);

impl Words {
    fn new(text: &str) -> Self {
        Self(text.split_whitespace().map(str::to_lowercase).collect())
    }

    /// Returns how well a hit matches, the best first, or `None` if a word is missing: words that
    /// begin the title, then words in the title, then words anywhere.
    fn rank(&self, title: &str, about: &str, address: &str) -> Option<usize> {
        let (title, about) = (title.to_lowercase(), about.to_lowercase());
        let rank_of = |word: &String| {
            let begins = title
                .split(|letter: char| !letter.is_alphanumeric())
                .any(|part| part.starts_with(word));
            if title.starts_with(word) {
                Some(0)
            } else if begins {
                Some(1)
            } else if title.contains(word) {
                Some(2)
            } else if about.contains(word) {
                Some(4)
            } else {
                address.to_lowercase().contains(word).then_some(6)
            }
        };
        self.0.iter().map(rank_of).sum()
    }
}

/// `GET /search?q=`
pub(crate) async fn page(
    State(app): State<AppState>,
    viewer: Viewer,
    SignedIn(account): SignedIn,
    query: Query<SearchQuery>,
) -> Result<Page, WebError> {
    let pin = app.reader.pin()?;
    let plan = account.effective_plan();
    let text: String = query.q.trim().chars().take(MAX_TEXT).collect();
    let words = Words::new(&text);
    let mut hits = Vec::new();
    if !words.0.is_empty() {
        let set = app.dashboards.current().dashboards;
        let list = visible_dashboards(&set, &pin, &viewer).await?;
        let tables = access::tables(&pin, &app.settings.tables, plan).await?;
        let dashboards = list.iter().flat_map(|dashboard| dashboard_hits(dashboard, plan));
        let tables = tables.iter().flat_map(table_hits);
        let pages = PAGES.iter().map(|(title, about, address)| Hit {
            kind: "Page",
            title: (*title).to_owned(),
            about: (*about).to_owned(),
            address: (*address).to_owned(),
            locked: None,
        });
        let ranked = dashboards
            .chain(tables)
            .chain(pages)
            .filter_map(|hit| Some((words.rank(&hit.title, &hit.about, &hit.address)?, hit)));
        let mut ranked: Vec<(usize, Hit)> = ranked.collect();
        // Stable: dashboards before tables, in their own order.
        ranked.sort_by_key(|(rank, _)| *rank);
        hits = ranked.into_iter().map(|(_, hit)| hit).collect();
    }
    let total = hits.len();
    hits.truncate(MAX_HITS);
    let view = SearchPage { text, hits, total };
    Ok(Page::new("Search", NavItem::None, &view).cacheable(&pin))
}

fn dashboard_hits(dashboard: &std::sync::Arc<Dashboard>, plan: Plan) -> Vec<Hit> {
    let address = format!("/dashboard/{}", dashboard.slug);
    let locked = |needed: Plan| (!plan.includes(needed)).then_some(needed);
    let whole = Hit {
        kind: "Dashboard",
        title: dashboard.title.clone(),
        about: dashboard.description.clone().unwrap_or_default(),
        address: address.clone(),
        locked: locked(dashboard.plan),
    };
    let panels = dashboard.panel_names().into_iter().zip(&dashboard.panels);
    let panels = panels.map(|(name, panel)| Hit {
        kind: "Panel",
        title: panel.title.clone(),
        about: match &panel.note {
            Some(note) => format!("{} · {note}", dashboard.title),
            None => dashboard.title.clone(),
        },
        address: format!("{address}#panel-{name}"),
        locked: locked(panel.plan),
    });
    std::iter::once(whole).chain(panels).collect()
}

fn table_hits(found: &AccessibleTable) -> Vec<Hit> {
    let table = &found.table;
    let locked = if let Access::Locked(plan) = found.access { Some(plan) } else { None };
    let address = super::tables::path(table);
    let title = table_title(found);
    let about = |name: &str, comment: Option<&String>| match comment {
        Some(comment) => format!("{name} · {comment}"),
        None => name.to_owned(),
    };
    let whole = Hit {
        kind: "Table",
        title: title.clone(),
        about: about(&table.name, table.comment.as_ref()),
        address: address.clone(),
        locked,
    };
    let columns = table.columns.iter().map(|column| {
        let select = encoded(&column.name);
        Hit {
            kind: "Column",
            title: column_title(&found.view, &column.name),
            about: about(&format!("{title}, {}", column.name), column.comment.as_ref()),
            address: format!("{address}/columns/{select}"),
            locked,
        }
    });
    std::iter::once(whole).chain(columns).collect()
}

impl View for SearchPage {
    fn render(&self) -> Markup {
        html! {
            div.settings {
                h1 { "Search" }
                form.inline.search role="search" method="get" action="/search" {
                    div.field {
                        label for="search" { "Dashboards, panels, tables, columns and pages" }
                        input #search name="q" type="search" value=(self.text) maxlength=(MAX_TEXT) autocomplete="off" autofocus[self.text.is_empty()];
                    }
                    (components::button("Search", "primary"))
                }
                div #results {
                    @if !self.text.is_empty() {
                        p.note role="status" {
                            @if self.total == 0 { "Nothing matches all of these words." }
                            @else if self.total > self.hits.len() { "The best " (self.hits.len()) " of " (self.total) " results" }
                            @else { (materia::humanize::plural(self.total, "result")) }
                        }
                        ul.hits {
                            @for hit in &self.hits {
                                li {
                                    a href=(hit.address) { (hit.title) } " " span.badge { (hit.kind) }
                                    @if let Some(plan) = hit.locked { " " span.badge { (components::plan_title(plan)) } }
                                    @if hit.kind != "Page" && !hit.about.is_empty() { p.hint { (hit.about) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn titles_that_begin_with_a_word_come_before_those_that_contain_it() {
        let words = Words::new("Stock use");
        let rank = |title: &str, about: &str| words.rank(title, about, "/dashboard/supply");
        let begins = rank("Stock-to-use", "").unwrap();
        let contains = rank("Use of world stocks", "").unwrap();
        let described = rank("Surplus", "stocks and their use").unwrap();
        assert!(begins <= contains && contains < described, "{begins} {contains} {described}");
        assert_eq!(rank("Stock", "nothing else"), None, "every word must match");
    }
}
