//! Evaluates a dashboard for one generation, one set of filters and one viewer.

use futures_util::future::{join, join_all};

use super::{
    DashboardData, Findings, PanelData, bounded, colors,
    filters::{self, FilterParams, ResolvedFilter},
    kinds::{self, Content, Shape, Visualization},
    limits::{MAX_POINTS, Notes, Undrawn},
    model::{Dashboard, Filter, Panel, page_parameter},
    parameters,
    rows::ResultRows,
    templates::{self, TextValues},
    title_links,
};
use crate::{
    plan::Plan,
    reader::{Budget, Param, Pin, Query},
};

/// Maximum number of points of all lines and areas on a dashboard: more would make its page slow
/// without being visible.
const MAX_DASHBOARD_POINTS: usize = 6_000;
/// Minimum number of points of each of them.
const MIN_CHART_POINTS: usize = 200;

/// Evaluates a dashboard: first filters, and each panel as soon as its values are known,
/// concurrently on one generation and within one [`Budget`]. Errors are limited to their panel.
pub async fn evaluate(
    dashboard: &Dashboard,
    pin: &Pin,
    params: &FilterParams,
    plan: Plan,
) -> DashboardData {
    let pin = &pin.with_budget(Budget::dashboard());
    // A viewer who may not see any panel has nothing to select either.
    let locked = !dashboard.panels.iter().any(|panel| plan.includes(panel.plan));
    let filters = async {
        if locked { Vec::new() } else { filters::resolve(dashboard, pin, params, plan).await }
    };
    let mut panels: Vec<Panel> = with_point_budget(&dashboard.panels);
    for (panel, name) in panels.iter_mut().zip(dashboard.panel_names()) {
        panel.limits.page = chosen_page(&name, params);
    }
    let uses_filters = |panel: &Panel| {
        panel.visualization.sql().is_some_and(|sql| !parameters::used(sql).is_empty())
    };
    let (waiting, ready): (Vec<_>, Vec<_>) =
        panels.iter().enumerate().partition(|(_, panel)| uses_filters(panel));
    let ready = ready.into_iter().map(|(at, panel)| async move {
        (at, evaluate_panel(panel, pin, dashboard, None, plan).await)
    });
    let (filters, mut evaluated) = join(filters, join_all(ready)).await;
    let selected = Selection { filters: &filters, of: ResolvedFilter::selected };
    let initial = Selection { filters: &filters, of: ResolvedFilter::initial };
    let drawn = waiting.iter().map(|(at, panel)| async move {
        (*at, evaluate_panel(panel, pin, dashboard, Some(selected), plan).await)
    });
    // A series keeps its color whatever is selected, so the series without a selection must be
    // known as well.
    let is_changed = |panel: &Panel| {
        let sql = match &panel.visualization {
            Visualization::Chart(chart) if chart.series.is_some() => &chart.sql,
            Visualization::Shape(shape) if shape.shape == Shape::Donut => &shape.sql,
            Visualization::Map(map) if map.series().is_some() => &map.sql,
            _ => return false,
        };
        plan.includes(panel.plan)
            && query_of(sql, dashboard, Some(selected)) != query_of(sql, dashboard, Some(initial))
    };
    let changed: Vec<(usize, &Panel)> =
        waiting.iter().copied().filter(|(_, panel)| is_changed(panel)).collect();
    let unselected =
        changed.iter().map(|(_, panel)| evaluate_panel(panel, pin, dashboard, Some(initial), plan));
    let values =
        TextValues::read(&dashboard.values, pin, |sql| query_of(sql, dashboard, Some(selected)));
    let ((drawn, unselected), values) =
        join(join(join_all(drawn), join_all(unselected)), values).await;
    evaluated.extend(drawn);
    evaluated.sort_by_key(|(at, _)| *at);
    let is_unchanged = |at: usize| !changed.iter().any(|(other, _)| *other == at);
    let unchanged = evaluated.iter().filter(|(at, _)| is_unchanged(*at)).map(|(_, panel)| panel);
    let known: Vec<Vec<String>> = unselected
        .iter()
        .chain(unchanged)
        .flat_map(|panel| colors::compared_names(&panel.content))
        .collect();
    let mut panels: Vec<PanelData> = evaluated.into_iter().map(|(_, panel)| panel).collect();
    let has_single = dashboard.panels.iter().any(|panel| panel.visualization.has_one_series());
    colors::assign(
        panels.iter_mut().map(|panel| &mut panel.content),
        &dashboard.colors,
        &known,
        has_single,
    );
    for (panel, spec) in panels.iter_mut().zip(&dashboard.panels) {
        panel.filters = touching(spec, dashboard);
        let link = spec.title_link.as_ref();
        panel.link = link.map(|link| title_links::address(link, &dashboard.filters, params));
        if let Visualization::Chart(chart) = &spec.visualization {
            let problems = kinds::add_queried(chart, &mut panel.content, &values);
            panel.findings.cut.extend(problems.iter().cloned());
            panel.notes.extend(problems);
        }
        let freshness = spec.origin.freshness.iter();
        panel.freshness = freshness.filter_map(|query| values.freshness(query)).collect();
        panel.title = values.fill(&panel.title);
        panel.note = panel.note.as_deref().map(|note| values.fill(note));
        if let Content::Markdown { text } = &mut panel.content {
            *text = values.fill(text);
        }
    }
    DashboardData {
        slug: dashboard.slug.clone(),
        title: dashboard.title.clone(),
        description: dashboard.description.as_deref().map(|about| values.fill(about)),
        sources: dashboard.sources.clone(),
        generation: pin.generation().clone(),
        filters: filters.into_iter().map(|filter| filter.data).collect(),
        panels,
    }
}

/// Returns which page of a table is chosen, counted from 0.
fn chosen_page(panel: &str, params: &FilterParams) -> usize {
    let parameter = page_parameter(panel);
    let given = params.iter().find(|(name, _)| *name == parameter);
    let page = given.and_then(|(_, value)| value.parse::<usize>().ok());
    page.unwrap_or(1).saturating_sub(1)
}

/// Returns the names of the filters that a panel's query or texts depend on.
fn touching(panel: &Panel, dashboard: &Dashboard) -> Vec<String> {
    let text = match &panel.visualization {
        Visualization::Markdown(markdown) => Some(markdown.text.as_str()),
        _ => None,
    };
    let texts = [Some(panel.title.as_str()), panel.note.as_deref(), text].into_iter().flatten();
    let placeholders = texts.flat_map(templates::placeholders);
    let named = placeholders.filter_map(|placeholder| {
        let name = placeholder.query.to_lowercase();
        dashboard.values.iter().find(|query| query.name == name)
    });
    let queries = named.map(|query| query.sql.as_str()).chain(panel.visualization.sql());
    let used: Vec<&str> = queries.flat_map(parameters::used).collect();
    let is_used =
        |filter: &&Filter| filter.parameters().iter().any(|name| used.contains(&name.as_str()));
    dashboard.filters.iter().filter(is_used).map(|filter| filter.name.clone()).collect()
}

/// Returns every query of [`evaluate`], for benchmarks.
pub async fn queries(
    dashboard: &Dashboard,
    pin: &Pin,
    params: &FilterParams,
    plan: Plan,
) -> Vec<Query> {
    let filters = filters::resolve(dashboard, pin, params, plan).await;
    let selected = Some(Selection { filters: &filters, of: ResolvedFilter::selected });
    let own = dashboard.filters.iter().filter_map(|filter| filter.sql()).map(Query::new);
    let panels = dashboard.panels.iter().filter_map(|panel| panel.visualization.sql());
    let mut all: Vec<Query> =
        own.chain(panels.map(|sql| query_of(sql, dashboard, selected))).collect();
    for panel in &dashboard.panels {
        all.extend(panel.visualization.further_queries(pin).await);
    }
    all
}

/// Returns the query of each panel, with the selected values written out, so that it can be run
/// as it is; `None` for panels without a query.
pub async fn panel_queries(
    dashboard: &Dashboard,
    pin: &Pin,
    params: &FilterParams,
    plan: Plan,
) -> Vec<Option<String>> {
    let filters = filters::resolve(dashboard, pin, params, plan).await;
    let selected = Selection { filters: &filters, of: ResolvedFilter::selected };
    let query = |panel: &Panel| {
        let sql = panel.visualization.sql()?;
        let expanded = parameters::expand(sql, &dashboard.filters);
        let values = values_of(&expanded, sql, Some(selected));
        Some(parameters::write_out(&expanded, &values))
    };
    dashboard.panels.iter().map(query).collect()
}

/// A query with the values it uses.
pub(super) struct BoundQuery {
    pub(super) sql: String,
    pub(super) values: Vec<(String, Param)>,
}

/// Resolves the filters of a dashboard without a selection.
pub(super) async fn unselected(
    dashboard: &Dashboard,
    pin: &Pin,
    plan: Plan,
) -> Vec<ResolvedFilter> {
    filters::resolve(dashboard, pin, &[], plan).await
}

/// Binds a query without a selection, including defaults.
pub(super) fn bind_unselected(
    sql: &str,
    dashboard: &Dashboard,
    filters: &[ResolvedFilter],
) -> BoundQuery {
    let selection = Selection { filters, of: ResolvedFilter::initial };
    let expanded = parameters::expand(sql, &dashboard.filters);
    let values = values_of(&expanded, sql, Some(selection));
    BoundQuery { sql: expanded, values }
}

/// The values for the panels.
#[derive(Clone, Copy)]
pub(super) struct Selection<'a> {
    pub(super) filters: &'a [ResolvedFilter],
    /// Returns a filter's values for a query; the argument is whether the query handles an empty
    /// selection.
    pub(super) of: fn(&ResolvedFilter, bool) -> Vec<(String, Param)>,
}

/// Divides the points of a page among its charts.
fn with_point_budget(panels: &[Panel]) -> Vec<Panel> {
    let has_points = |panel: &&Panel| matches!(&panel.visualization, Visualization::Chart(chart) if chart.mark.is_joined());
    let charts = panels.iter().filter(has_points).count().max(1);
    let share = (MAX_DASHBOARD_POINTS / charts).clamp(MIN_CHART_POINTS, MAX_POINTS.default);
    let mut panels = panels.to_vec();
    for panel in &mut panels {
        if has_points(&&*panel) && !panel.limits.has_own_points {
            panel.limits.points = share;
        }
    }
    panels
}

/// Returns a query with only the values it uses, so that panels with the same query share a result.
fn query_of(sql: &str, dashboard: &Dashboard, selection: Option<Selection<'_>>) -> Query {
    let expanded = parameters::expand(sql, &dashboard.filters);
    bind(&expanded, sql, selection)
}

pub(super) fn bind(sql: &str, original: &str, selection: Option<Selection<'_>>) -> Query {
    let values = values_of(sql, original, selection);
    values.into_iter().fold(Query::new(sql), |query, (name, value)| query.bind(&name, value))
}

/// Returns the values that `sql` uses; `original` is the query as its author wrote it.
fn values_of(sql: &str, original: &str, selection: Option<Selection<'_>>) -> Vec<(String, Param)> {
    let used = parameters::used(sql);
    let Some(Selection { filters, of }) = selection else { return Vec::new() };
    filters
        .iter()
        .flat_map(|filter| of(filter, parameters::handles_all(original, &filter.data.name)))
        .filter(|(name, _)| used.contains(&name.as_str()))
        .collect()
}

async fn evaluate_panel(
    panel: &Panel,
    pin: &Pin,
    dashboard: &Dashboard,
    selection: Option<Selection<'_>>,
    plan: Plan,
) -> PanelData {
    let mut notes = Notes::default();
    let mut findings = Findings::default();
    let content = if plan.includes(panel.plan) {
        let evaluated = content(panel, pin, dashboard, selection, &mut notes, &mut findings).await;
        evaluated.unwrap_or_else(|undrawn| {
            findings.by_amount = undrawn.by_amount;
            Content::Failed { reason: undrawn.reason }
        })
    } else {
        Content::Locked { plan: panel.plan, would_be: panel.visualization.kind() }
    };
    findings.cut = notes.texts.iter().chain(&notes.unexpected).cloned().collect();
    findings.keys = notes.keys;
    let unit = panel.values.unit.as_ref().filter(|_| !panel.visualization.has_own_unit());
    let short = unit.and_then(|_| panel.values.suffix()).map(str::to_owned);
    let long = unit.and_then(|unit| unit.prefix()).map(str::to_owned);
    let is_stat = matches!(panel.visualization, Visualization::Stat(_));
    PanelData {
        title: panel.title.clone(),
        link: None,
        tab: panel.tab.clone(),
        section: panel.section.clone(),
        filters: Vec::new(),
        note: panel.note.clone(),
        freshness: Vec::new(),
        formulas: panel.origin.formulas.clone(),
        width: panel.width,
        unit: if is_stat { short.clone() } else { long },
        short_unit: short.filter(|_| !is_stat),
        notes: notes.texts.into_iter().chain(notes.expected).collect(),
        content,
        findings,
    }
}

async fn content(
    panel: &Panel,
    pin: &Pin,
    dashboard: &Dashboard,
    selection: Option<Selection<'_>>,
    notes: &mut Notes,
    findings: &mut Findings,
) -> Result<Content, Undrawn> {
    let Some(sql) = panel.visualization.sql() else {
        return panel.visualization.without_query(pin).await;
    };
    let expanded = parameters::expand(sql, &dashboard.filters);
    let answer = bounded::run(
        pin,
        &expanded,
        |part| bind(part, sql, selection),
        panel.visualization.part(),
        notes,
    )
    .await?;
    findings.rows = answer.rows;
    let rows = ResultRows::new(&answer);
    let drawn = panel.visualization.draw(panel, &rows, notes)?;
    let has_filters = !parameters::used(sql).is_empty();
    let reason =
        if has_filters { "No data matches the selected filters" } else { "There is no data yet" };
    Ok(match drawn {
        Content::Empty { .. } => Content::Empty { reason: reason.to_owned() },
        drawn => drawn,
    })
}
