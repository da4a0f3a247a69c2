//! `/dashboard/{slug}/panel/{panel}.csv|json|svg|png`: one panel as a file, with the same access
//! rules and years as its page; `/embed/{slug}/{panel}`: a public panel for pages of other sites.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State},
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use materia::{
    dashboard::{self, Content, Dashboard, DashboardData, NoFigures, PanelData, PanelFigures},
    download::{self, DownloadFormat, DownloadOptions},
    plan::Plan,
    reader::Pin,
    values::{self, Field},
};
use maud::{DOCTYPE, html};
use serde::{Serialize, Serializer, ser::SerializeSeq as _};
use url::form_urlencoded;

use super::dashboard::visible_dashboards;
use crate::{
    accounts::dashboard_address,
    app::AppState,
    components::{self, Caption, PanelLinks},
    error::WebError,
    log::without_values,
    page_cache::RenderedFrom,
    png, security,
    viewer::{Viewer, VisiblePlan},
};

/// Pixels per unit of a chart, for high-resolution screens.
const PNG_SCALE: f32 = 2.0;

type Params = Vec<(String, String)>;

/// The kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileKind {
    Csv,
    Json,
    Svg,
    Png,
}

impl FileKind {
    const ALL: [Self; 4] = [Self::Csv, Self::Json, Self::Svg, Self::Png];

    fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Svg => "svg",
            Self::Png => "png",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Json => "JSON",
            Self::Svg => "SVG",
            Self::Png => "PNG",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Json => "application/json",
            Self::Svg => "image/svg+xml",
            Self::Png => "image/png",
        }
    }
}

/// A panel of a dashboard.
struct Wanted {
    dashboard: Arc<Dashboard>,
    at: usize,
    name: String,
}

impl Wanted {
    fn find(list: &[Arc<Dashboard>], slug: &str, name: &str) -> Option<Self> {
        let dashboard = list.iter().find(|dashboard| dashboard.slug == slug)?.clone();
        let at = dashboard.panel_names().iter().position(|known| known == name)?;
        Some(Self { dashboard, at, name: name.to_owned() })
    }

    fn is_public(&self) -> bool {
        let panel = &self.dashboard.panels[self.at];
        panel.public && panel.plan == Plan::Free
    }

    /// Evaluates the panel together with all others, so that its series have the same colors as on
    /// the page.
    async fn evaluate(
        &self,
        pin: &Pin,
        params: &Params,
        plan: Plan,
    ) -> Result<(PanelData, DashboardData), WebError> {
        let mut data = dashboard::evaluate(&self.dashboard, pin, params, plan).await;
        if self.at >= data.panels.len() {
            return Err(WebError::NotFound);
        }
        let panel = data.panels.swap_remove(self.at);
        if let Content::Failed { reason } = &panel.content {
            return Err(self.failed(pin, reason));
        }
        Ok((panel, data))
    }

    fn failed(&self, pin: &Pin, reason: &str) -> WebError {
        match pin.transient_error() {
            Some(error) => error.clone().into(),
            None => WebError::internal(format!(
                "the panel {} of {} failed: {}",
                self.name,
                self.dashboard.slug,
                without_values(reason)
            )),
        }
    }
}

/// Splits `surplus.csv`.
fn split(file: &str) -> Result<(&str, FileKind), WebError> {
    let (name, extension) = file.rsplit_once('.').ok_or(WebError::NotFound)?;
    let kind = FileKind::ALL.into_iter().find(|kind| kind.extension() == extension);
    Ok((name, kind.ok_or(WebError::NotFound)?))
}

/// `/dashboard/{slug}/panel/{file}`.
pub(crate) async fn file(
    State(app): State<AppState>,
    viewer: Viewer,
    VisiblePlan(plan): VisiblePlan,
    Path((slug, file)): Path<(String, String)>,
    Query(params): Query<Params>,
) -> Result<Response, WebError> {
    let (name, kind) = split(&file)?;
    let pin = app.reader.pin()?;
    let set = app.dashboards.current();
    let list = visible_dashboards(&set.dashboards, &pin, &viewer).await?;
    let wanted = Wanted::find(&list, &slug, name).ok_or(WebError::NotFound)?;
    let body = rendered(&app, &wanted, kind, &pin, &params, plan).await?;
    Ok(respond(body, kind, &pin, &format!("{slug}-{file}")))
}

/// `/embed/{slug}/{panel}`, optionally with a file extension: only public panels, as seen by the
/// free plan, whoever the viewer is.
pub(crate) async fn embed(
    State(app): State<AppState>,
    Path((slug, file)): Path<(String, String)>,
    Query(params): Query<Params>,
) -> Result<Response, WebError> {
    let pin = app.reader.pin()?;
    let list = app.dashboards.current().dashboards.published(&pin).await?;
    let public = |name: &str| Wanted::find(&list, &slug, name).filter(Wanted::is_public);
    let open = |mut response: Response| {
        security::allow_embedding(response.headers_mut(), &app.settings.web.embed);
        response
    };
    if let Some(wanted) = public(&file) {
        return Ok(open(page(&app, &wanted, &pin, &params).await?));
    }
    let (name, kind) = split(&file)?;
    let wanted = public(name).ok_or(WebError::NotFound)?;
    let body = rendered(&app, &wanted, kind, &pin, &params, Plan::Free).await?;
    Ok(open(respond(body, kind, &pin, &format!("{slug}-{file}"))))
}

/// Renders the page for frames of other sites: the panel and its source.
async fn page(
    app: &AppState,
    wanted: &Wanted,
    pin: &Pin,
    params: &Params,
) -> Result<Response, WebError> {
    let (mut panel, data) = wanted.evaluate(pin, params, Plan::Free).await?;
    panel.width = 12;
    let generation = components::generation_name(pin.generation());
    let brand = &app.settings.brand;
    let text = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (panel.title) " · " (brand.name) }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                meta name="color-scheme" content="light dark";
                // Links lead out of the frame.
                base target="_blank";
                link rel="stylesheet" href=(app.assets.style());
                script defer src=(app.assets.script()) {}
            }
            body.embedded data-generation=(generation) {
                main {
                    h1.unseen { (panel.title) }
                    div.panels #panels { (components::panel("panel", &panel)) }
                    p.sources { (origin(&data).into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")) " · " a href={ (app.settings.web.base_url()) "/dashboard/" (data.slug) } target="_blank" rel="noopener" { (brand.name) } @if let Some(notice) = &brand.notice { " · " (notice) } }
                }
            }
        }
    };
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response.extensions_mut().insert(RenderedFrom(generation));
    Ok(response)
}

fn respond(body: File, kind: FileKind, pin: &Pin, file_name: &str) -> Response {
    let File { body, notes } = body;
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind.content_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    // Pictures are displayed inline; figures are downloaded.
    let disposition = match kind {
        FileKind::Csv | FileKind::Json => "attachment",
        FileKind::Svg | FileKind::Png => "inline",
    };
    let ascii: String = file_name.chars().filter(char::is_ascii).collect();
    let encoded: String = form_urlencoded::byte_serialize(file_name.as_bytes()).collect();
    let text = format!("{disposition}; filename=\"{ascii}\"; filename*=UTF-8''{encoded}");
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    if let Some(note) = (!notes.is_empty()).then(|| HeaderValue::try_from(notes.join(" "))) {
        headers.extend(note.ok().map(|note| (HeaderName::from_static("x-materia-note"), note)));
    }
    let unfailing = pin.transient_error().is_none();
    if unfailing {
        response
            .extensions_mut()
            .insert(RenderedFrom(components::generation_name(pin.generation())));
    }
    response
}

/// A panel as a file.
struct File {
    body: Vec<u8>,
    /// Omissions due to the amount of data, in sentences.
    notes: Vec<String>,
}

async fn rendered(
    app: &AppState,
    wanted: &Wanted,
    kind: FileKind,
    pin: &Pin,
    params: &Params,
    plan: Plan,
) -> Result<File, WebError> {
    match kind {
        FileKind::Svg | FileKind::Png => picture(app, wanted, kind, pin, params, plan).await,
        FileKind::Csv | FileKind::Json => {
            let figures =
                dashboard::panel_figures(&wanted.dashboard, wanted.at, pin, params, plan).await;
            let figures = figures.map_err(|none| match none {
                NoFigures::Locked(_) => WebError::Forbidden,
                NoFigures::None => WebError::NotFound,
                NoFigures::Failed(reason) => wanted.failed(pin, &reason),
            })?;
            let panel = &wanted.dashboard.panels[wanted.at];
            let about = About {
                dashboard: wanted.dashboard.slug.clone(),
                panel: wanted.name.clone(),
                title: panel.title.clone(),
                unit: panel.values.unit.as_ref().and_then(|unit| unit.prefix().map(str::to_owned)),
                note: panel.note.clone(),
                generation: components::generation_name(pin.generation()),
                as_of: pin.generation().as_of().map(|at| at.to_string()),
            };
            // Spreadsheets would evaluate a formula in a text when the file is opened.
            let safe = params.iter().any(|(name, value)| name == "safe" && value == "true");
            let encoded = tokio::task::spawn_blocking(move || match kind {
                FileKind::Csv => csv(figures, safe),
                _ => json(&figures, &about),
            });
            encoded.await.map_err(WebError::internal)?
        }
    }
}

async fn picture(
    app: &AppState,
    wanted: &Wanted,
    kind: FileKind,
    pin: &Pin,
    params: &Params,
    plan: Plan,
) -> Result<File, WebError> {
    let (panel, data) = wanted.evaluate(pin, params, plan).await?;
    if matches!(panel.content, Content::Locked { .. }) {
        return Err(WebError::Forbidden);
    }
    let brand = &app.settings.brand;
    let [as_of, sources] = origin(&data);
    let caption =
        Caption { brand: &brand.name, accent: &brand.colours.accent, origin: [&as_of, &sources] };
    let svg = components::panel_image(&panel, &caption).ok_or(WebError::NotFound)?;
    let body = if kind == FileKind::Svg {
        svg.into_bytes()
    } else {
        let drawn = tokio::task::spawn_blocking(move || png::draw(&svg, PNG_SCALE));
        drawn.await.map_err(WebError::internal)?.map_err(WebError::internal)?
    };
    Ok(File { body, notes: Vec::new() })
}

/// Returns the date of the figures with the selection, and their sources.
fn origin(data: &DashboardData) -> [String; 2] {
    let sources: Vec<&str> = data.sources.iter().map(|source| source.name.as_str()).collect();
    let at = data.generation.as_of().unwrap_or(data.generation.opened_at);
    let updated = format!("Data updated {}", at.strftime("%B %-d, %Y"));
    let facts = [vec![updated], components::filters_in_words(&data.filters)].concat();
    let sources = match sources.as_slice() {
        [] => String::new(),
        [only] => format!("Source: {only}"),
        several => format!("Sources: {}", several.join("; ")),
    };
    [facts.join(" · "), sources]
}

fn csv(figures: PanelFigures, safe: bool) -> Result<File, WebError> {
    let mut body = Vec::new();
    let mut batches = figures.batches.into_iter().map(Ok);
    download::write(
        DownloadFormat::Csv,
        &DownloadOptions { columns: figures.fields, escape_formulas: safe },
        &mut || batches.next(),
        &mut body,
    )
    .map_err(WebError::internal)?;
    Ok(File { body, notes: figures.notes })
}

/// The metadata before the rows of a JSON file.
#[derive(Serialize)]
struct About {
    dashboard: String,
    panel: String,
    title: String,
    unit: Option<String>,
    note: Option<String>,
    generation: String,
    as_of: Option<String>,
}

#[derive(Serialize)]
struct JsonFile<'a> {
    #[serde(flatten)]
    about: &'a About,
    filters: &'a [dashboard::FilterData],
    notes: &'a [String],
    columns: &'a [Field],
    rows: FigureRows<'a>,
}

/// Serializes an array with one object per row.
struct FigureRows<'a>(&'a PanelFigures);

struct Row<'b, 'a> {
    fields: &'b [Field],
    columns: &'b [values::Column<'a>],
    number: usize,
}

impl Serialize for FigureRows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(None)?;
        for batch in &self.0.batches {
            let columns = values::columns(&self.0.fields, batch);
            for number in 0..batch.num_rows() {
                rows.serialize_element(&Row { fields: &self.0.fields, columns: &columns, number })?;
            }
        }
        rows.end()
    }
}

impl Serialize for Row<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = self.fields.iter().map(|field| &field.name);
        serializer
            .collect_map(names.zip(self.columns.iter().map(|column| column.cell(self.number))))
    }
}

fn json(figures: &PanelFigures, about: &About) -> Result<File, WebError> {
    let file = JsonFile {
        about,
        filters: &figures.filters,
        notes: &figures.notes,
        columns: &figures.fields,
        rows: FigureRows(figures),
    };
    let body = serde_json::to_vec(&file).map_err(WebError::internal)?;
    Ok(File { body, notes: figures.notes.clone() })
}

/// Returns the parameters that are a dashboard's filters, as a query.
fn chosen_query(dashboard: &Dashboard, params: &Params) -> String {
    let has_tabs = dashboard.panels.iter().any(|panel| panel.tab.is_some());
    let tab =
        params.iter().find(|(name, value)| has_tabs && name == dashboard::TAB && !value.is_empty());
    let chosen = dashboard.selection(params).into_iter().chain(tab.cloned());
    form_urlencoded::Serializer::new(String::new()).extend_pairs(chosen).finish()
}

/// Returns the parameters of the pages of all tables, with another page of one of them.
fn table_pages(panels: &[String], panel: &str, page: usize, params: &Params) -> String {
    let own = dashboard::page_parameter(panel);
    let others = panels.iter().map(|name| dashboard::page_parameter(name));
    let others: Vec<String> = others.filter(|name| *name != own).collect();
    let kept = params.iter().filter(|(name, _)| others.contains(name)).cloned();
    // The first page needs no parameter, so that its address is the dashboard's.
    let chosen = (page > 1).then(|| (own, page.to_string()));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(kept.chain(chosen)).finish()
}

/// Returns the address of a dashboard's page with its filters.
pub(super) fn page_address(dashboard: &Dashboard, params: &Params) -> String {
    dashboard_address(&dashboard.slug, &chosen_query(dashboard, params))
}

/// Returns the links of every panel of a dashboard's page. `tables` are the tables that each panel
/// reads.
pub(crate) fn links(
    app: &AppState,
    dashboard: &Dashboard,
    data: &DashboardData,
    tables: &[Option<String>],
    params: &Params,
) -> Vec<Option<PanelLinks>> {
    let query = chosen_query(dashboard, params);
    let with = |path: String, further: &str| {
        let query: Vec<&str> =
            [query.as_str(), further].into_iter().filter(|part| !part.is_empty()).collect();
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    };
    let page = format!("/dashboard/{}", data.slug);
    let names = dashboard.panel_names();
    let of_panel = |(at, (name, panel)): (usize, (String, &PanelData))| {
        let has_figures = !matches!(
            panel.content,
            Content::Markdown { .. } | Content::Locked { .. } | Content::Failed { .. }
        );
        if !has_figures {
            return None;
        }
        let shown = |kind: &FileKind| match kind {
            FileKind::Csv | FileKind::Json => true,
            FileKind::Svg | FileKind::Png => components::has_image(&panel.content),
        };
        let encoded: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
        let address = |kind: FileKind| {
            let further = if kind == FileKind::Csv { "safe=true" } else { "" };
            let path = format!("{page}/panel/{encoded}.{}", kind.extension());
            (kind.label(), with(path, further))
        };
        let files = FileKind::ALL.into_iter().filter(shown).map(address).collect();
        let author = dashboard.panels.get(at);
        let is_public = author.is_some_and(|panel| panel.public && panel.plan == Plan::Free);
        let embed = (is_public && !app.settings.web.embed.is_empty())
            .then(|| with(format!("/embed/{}/{encoded}", data.slug), ""));
        let of_page = |wanted: usize| match &panel.content {
            Content::Table(table) if (1..=table.pages).contains(&wanted) => {
                let pages = table_pages(&names, &name, wanted, params);
                Some(format!("{}#panel-{name}", with(page.clone(), &pages)))
            }
            _ => None,
        };
        let current = match &panel.content {
            Content::Table(table) => table.page,
            _ => 0,
        };
        Some(PanelLinks {
            previous_rows: current.checked_sub(1).and_then(of_page),
            next_rows: of_page(current + 1),
            name,
            page: with(page.clone(), ""),
            files,
            embed,
            table: tables.get(at).cloned().flatten(),
        })
    };
    names.iter().cloned().zip(&data.panels).enumerate().map(of_panel).collect()
}
