//! `/methodology`: the sources and definitions of the figures, and their licenses.

use axum::extract::State;
use materia::{
    dashboard::{Formula, default_title},
    humanize,
    reader::{Pin, TableInfo},
    settings::{ExportSettings, Severity, Source, TableRules, is_public, rule_of},
    tables::access,
};
use maud::{Markup, html};
use serde_json::json;

use crate::{
    app::AppState,
    components,
    error::WebError,
    page::{NavItem, Page, View},
    viewer::Viewer,
};

/// Sources from settings and dashboards, definitions from comments in the served file.
pub(crate) struct Methodology {
    pub(crate) sources: Vec<Source>,
    pub(crate) tables: Vec<TableInfo>,
    /// How derived figures are computed.
    pub(crate) formulas: Vec<Formula>,
    /// What every export checks, in sentences.
    pub(crate) checks: Vec<String>,
    pub(crate) has_data: bool,
    /// Whether the viewer is signed in. Definitions are public; row counts and the values of enums
    /// are data.
    pub(crate) signed_in: bool,
}

pub(crate) async fn page(State(app): State<AppState>, viewer: Viewer) -> Result<Page, WebError> {
    let signed_in = viewer.signed_in().is_some();
    let Ok(pin) = app.reader.pin() else {
        let view = Methodology {
            sources: app.settings.brand.sources.clone(),
            tables: Vec::new(),
            formulas: Vec::new(),
            checks: checks(&app.settings.export),
            has_data: false,
            signed_in,
        };
        return Ok(Page::new("Methodology", NavItem::Methodology, &view));
    };
    let tables = access::visible_catalog(&pin, &app.settings.tables).await?;
    let mut sources = app.settings.brand.sources.clone();
    let dashboards = app.dashboards.current().dashboards.published(&pin).await?;
    for source in dashboards.iter().flat_map(|dashboard| &dashboard.sources) {
        if !sources.iter().any(|known| {
            known.name == source.name
                || (known.url.is_some()
                    && normalized_url(known.url.as_ref()) == normalized_url(source.url.as_ref()))
        }) {
            let licence = source.licence.clone().unwrap_or_else(|| "not stated".to_owned());
            sources.push(Source {
                name: source.name.clone(),
                url: source.url.clone(),
                licence,
                licence_url: None,
                attribution: None,
                about: String::new(),
            });
        }
    }
    let panels = dashboards.iter().flat_map(|dashboard| &dashboard.panels);
    let mut formulas: Vec<Formula> =
        panels.flat_map(|panel| panel.origin.formulas.iter().cloned()).collect();
    formulas.sort_by(|one, other| one.name.cmp(&other.name));
    formulas.dedup();
    let checks = checks(&app.settings.export);
    let view = Methodology { sources, tables, formulas, checks, has_data: true, signed_in };
    let structured = view.structured(&app, &pin);
    let description = format!(
        "Where the figures of {} come from: sources, licenses, and the definition of every table and column.",
        app.settings.brand.name
    );
    let page = Page::new("Methodology", NavItem::Methodology, &view);
    Ok(page.with_description(description).with_structured(&structured).cacheable(&pin))
}

impl Methodology {
    /// Describes the tables to search engines for data: what the page says, and no figure.
    fn structured(&self, app: &AppState, pin: &Pin) -> serde_json::Value {
        let brand = &app.settings.brand;
        let base = app.settings.web.base_url();
        let dataset = |table: &TableInfo| {
            let path = if is_public(&app.settings.tables, &table.name) {
                super::tables::path(table)
            } else {
                format!("/methodology#table-{}", table.name)
            };
            dataset(app, pin, table, &title_of(&app.settings.tables, table), &path, &self.sources)
        };
        let tables = self.tables.iter().map(dataset).collect::<Vec<_>>();
        json!({
            "@context": "https://schema.org",
            "@type": "DataCatalog",
            "name": brand.name,
            "description": brand.about,
            "url": base,
            "publisher": publisher(app),
            "dataset": tables,
        })
    }
}

fn publisher(app: &AppState) -> serde_json::Value {
    let brand = &app.settings.brand;
    let name = brand.owner.as_ref().unwrap_or(&brand.name);
    json!({ "@type": "Organization", "name": name, "url": app.settings.web.base_url() })
}

/// Returns the title of a table.
fn title_of(rules: &TableRules, table: &TableInfo) -> String {
    let own = rule_of(rules, &table.name).and_then(|rule| rule.view.label);
    own.unwrap_or_else(|| default_title(&table.name))
}

/// Describes a table to search engines for data, without a figure.
pub(super) fn dataset(
    app: &AppState,
    pin: &Pin,
    table: &TableInfo,
    title: &str,
    path: &str,
    sources: &[Source],
) -> serde_json::Value {
    let brand = &app.settings.brand;
    let described = table.comment.clone().filter(|comment| comment.len() >= 50);
    let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let description = described.unwrap_or_else(|| {
        format!("{title}, a table of {}. Columns: {}.", brand.name, columns.join(", "))
    });
    json!({
        "@type": "Dataset",
        "name": title,
        "description": description,
        "url": format!("{}{path}", app.settings.web.base_url()),
        "creator": publisher(app),
        "dateModified": pin.generation().exported_at.map(|at| at.to_string()),
        "variableMeasured": columns,
        "isBasedOn": sources.iter().filter_map(|source| source.url.as_deref()).collect::<Vec<_>>(),
        "includedInDataCatalog": { "@type": "DataCatalog", "name": brand.name },
    })
}

/// Returns what an export checks, by its settings.
fn checks(export: &ExportSettings) -> Vec<String> {
    let mut all = vec![
        "Every table is copied completely: its rows are counted and compared with the source.".to_owned(),
        format!(
            "No table may become empty, or lose more than {:.0}% of its rows, its columns or their types, unless that was allowed for it.",
            export.max_drop * 100.0
        ),
        "Values are compared with the update before; revisions are counted, and a change of scale refuses the update.".to_owned(),
        "Every panel of every dashboard is evaluated.".to_owned(),
    ];
    for (name, table) in &export.tables {
        let title = default_title(name);
        let keys = table.unique.list();
        all.extend(keys.iter().map(|key| format!("{title}: {} are unique.", key.join(", "))));
        if !table.not_null.is_empty() {
            all.push(format!("{title}: {} have no missing values.", table.not_null.join(", ")));
        }
        all.extend(
            table.min_rows.map(|rows| format!("{title}: at least {}.", humanize::rows(rows))),
        );
        all.extend(table.fresh.as_ref().map(|fresh| {
            format!(
                "{title}: {} is at most {} old.",
                fresh.column,
                humanize::duration(fresh.within)
            )
        }));
    }
    all.extend(export.audits.iter().map(|audit| match audit.severity {
        Severity::Warn => format!("{}; if not, we are warned.", audit.name),
        Severity::Error => format!("{}; if not, nothing is published.", audit.name),
    }));
    all
}

/// Returns an address without a slash at its end.
fn normalized_url(url: Option<&String>) -> Option<&str> {
    url.map(|url| url.trim_end_matches('/'))
}

impl View for Methodology {
    fn render(&self) -> Markup {
        html! {
            div.title-row {
                h1 { "Methodology" }
                p.lead { "Where every figure comes from, what it means, and how you may use it." }
            }
            @if !self.sources.is_empty() {
                section.sheet aria-labelledby="sources-name" {
                    h2 #sources-name { "Sources and licenses" }
                    (components::scroll("Sources, scrollable", &html! {
                        table.grid {
                            thead { tr { th scope="col" { "Source" } th scope="col" { "Used for" } th scope="col" { "License" } } }
                            tbody { @for source in &self.sources { tr {
                                th scope="row" { @match &source.url { Some(url) => a href=(url) rel="noreferrer" { (source.name) }, None => (source.name) } }
                                td { (source.about) @if let Some(text) = &source.attribution { p.note { (text) } } }
                                td { @match &source.licence_url { Some(url) => a href=(url) rel="noreferrer license" { (source.licence) }, None => (source.licence) } }
                            } } }
                        }
                    }))
                }
            }
            section.sheet aria-labelledby="how-name" {
                h2 #how-name { "How the figures are made" }
                p { "The finished tables are exported together, checked, and only then published in one step: what you see on one page always belongs to one export." }
                @if !self.checks.is_empty() {
                    p { "Each export checks:" }
                    ul.prose { @for check in &self.checks { li { (check) } } }
                }
            }
            @if !self.formulas.is_empty() {
                section.sheet aria-labelledby="formulas-name" {
                    h2 #formulas-name { "Formulas" }
                    dl.formulas { @for formula in &self.formulas {
                        dt id=(components::formula_id(&formula.name)) { (formula.name) }
                        dd { (formula.text) }
                    } }
                }
            }
            section.sheet aria-labelledby="definitions-name" {
                h2 #definitions-name { "Definitions" }
                @if !self.has_data { p.empty { "The data is being prepared; its definitions will appear here." } }
                @for table in &self.tables { (definitions(table, self.signed_in)) }
            }
        }
    }
}

fn definitions(table: &TableInfo, signed_in: bool) -> Markup {
    html! {
        details.definitions #{ "table-" (table.name) } {
            summary {
                h3 { (materia::dashboard::default_title(&table.name)) }
                @if signed_in { span.note { (humanize::rows(table.rows)) } }
                @if let Some(comment) = &table.comment { p { (comment) "." } }
            }
            (components::scroll(&format!("Columns of {}, scrollable", table.name), &html! {
                table.grid {
                    thead { tr { th scope="col" { "Column" } th scope="col" { "Meaning" } th scope="col" { "Type" } } }
                    tbody { @for column in &table.columns { tr {
                        th scope="row" { code { (column.name) } }
                        td { (column.comment.as_deref().unwrap_or_default()) }
                        td { code { @if signed_in { (column.data_type) } @else { (components::type_without_values(&column.data_type)) } } }
                    } } }
                }
            }))
        }
    }
}
