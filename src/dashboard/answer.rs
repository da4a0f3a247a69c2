//! One dashboard for one generation, one set of filters and one viewer.

use futures_util::future::{join, join_all};

use super::{
    Content, DashboardData, Findings, Mark, PanelData,
    bounded::{self, Part},
    changes, chart,
    filters::{self, Asked},
    grid,
    limits::{Notes, Undrawn},
    model::{Dashboard, Drawing, Panel},
    parameters,
    rows::Rows,
    stat,
};
use crate::{
    plan::Plan,
    reader::{Param, Pin, Query},
};

/// Answers a dashboard: filters, and panels as soon as what they use is known, at the same time on one generation. Whatever goes wrong stays in
/// its panel.
pub async fn answer(dashboard: &Dashboard, pin: &Pin, asked: &Asked, plan: Plan) -> DashboardData {
    // A viewer who sees no panel has nothing to choose either.
    let locked = !dashboard.panels.iter().any(|panel| plan.includes(panel.plan));
    let filters = async { if locked { Vec::new() } else { filters::resolve(dashboard, pin, asked, plan).await } };
    let uses = |panel: &Panel| panel.drawing.sql().is_some_and(|sql| !parameters::used(sql).is_empty());
    let (waiting, ready): (Vec<_>, Vec<_>) = dashboard.panels.iter().enumerate().partition(|(_, panel)| uses(panel));
    let ready = ready.into_iter().map(|(at, panel)| async move { (at, one(panel, pin, &[], plan).await) });
    let (filters, mut panels) = join(filters, join_all(ready)).await;
    let values: Vec<&(String, Param)> = filters.iter().flat_map(|filter| &filter.values).collect();
    let values = values.as_slice();
    panels.extend(join_all(waiting.into_iter().map(|(at, panel)| async move { (at, one(panel, pin, values, plan).await) })).await);
    panels.sort_by_key(|(at, _)| *at);
    let panels = panels.into_iter().map(|(_, panel)| panel).collect();
    DashboardData {
        slug: dashboard.slug.clone(),
        title: dashboard.title.clone(),
        description: dashboard.description.clone(),
        sources: dashboard.sources.clone(),
        generation: pin.generation().clone(),
        filters: filters.into_iter().map(|filter| filter.data).collect(),
        panels,
    }
}

/// Everything that [`answer`] asks, for measuring what the asking costs.
pub async fn questions(dashboard: &Dashboard, pin: &Pin, asked: &Asked, plan: Plan) -> Vec<Query> {
    let filters = filters::resolve(dashboard, pin, asked, plan).await;
    let values: Vec<&(String, Param)> = filters.iter().flat_map(|filter| &filter.values).collect();
    let panels = dashboard.panels.iter().filter_map(|panel| panel.drawing.sql());
    let own = dashboard.filters.iter().filter_map(|filter| filter.sql()).map(Query::new);
    let mut all: Vec<Query> = own.chain(panels.map(|sql| question(sql, &parameters::used(sql), &values))).collect();
    if dashboard.panels.iter().any(|panel| matches!(panel.drawing, Drawing::Changes)) {
        all.extend(changes::questions(pin).await);
    }
    all
}

/// A panel's query with the values it uses and no others, so that panels that ask the same are answered once.
fn question(sql: &str, used: &[&str], values: &[&(String, Param)]) -> Query {
    let bound = values.iter().filter(|(name, _)| used.contains(&name.as_str()));
    bound.fold(Query::new(sql), |query, (name, value)| query.bind(name, value.clone()))
}

async fn one(panel: &Panel, pin: &Pin, values: &[&(String, Param)], plan: Plan) -> PanelData {
    let mut notes = Notes::default();
    let mut findings = Findings::default();
    let content = if plan.includes(panel.plan) {
        content(panel, pin, values, &mut notes, &mut findings.rows).await.unwrap_or_else(|undrawn| {
            findings.by_amount = undrawn.by_amount;
            Content::Failed { reason: undrawn.reason }
        })
    } else {
        Content::Locked { plan: panel.plan, would_be: panel.drawing.kind() }
    };
    findings.cut = notes.texts.iter().chain(&notes.unexpected).cloned().collect();
    findings.keys = notes.keys;
    let unit = panel.figures.unit.as_ref();
    let unit = if matches!(panel.drawing, Drawing::Stat { .. }) {
        unit.and_then(|unit| unit.behind())
    } else {
        unit.and_then(|unit| unit.above())
    };
    PanelData {
        title: panel.title.clone(),
        note: panel.note.clone(),
        width: panel.width,
        unit: unit.map(str::to_owned),
        notes: notes.texts,
        content,
        findings,
    }
}

async fn content(panel: &Panel, pin: &Pin, values: &[&(String, Param)], notes: &mut Notes, count: &mut usize) -> Result<Content, Undrawn> {
    let Some(sql) = panel.drawing.sql() else {
        return match &panel.drawing {
            Drawing::Markdown { text } => Ok(Content::Markdown { text: text.clone() }),
            _ => changes::changes(pin).await.map_err(|error| error.to_string().into()),
        };
    };
    let used = parameters::used(sql);
    let part = match &panel.drawing {
        Drawing::Stat { .. } => Part::Last,
        Drawing::Chart(chart) if matches!(chart.mark, Mark::Line | Mark::Area) => Part::Last,
        _ => Part::First,
    };
    let answer = bounded::run(pin, sql, |sql| question(sql, &used, values), part, notes).await?;
    *count = answer.rows;
    let rows = Rows::of(&answer);
    let drawn = match &panel.drawing {
        Drawing::Stat { .. } => stat::stat(panel, &rows)?,
        Drawing::Chart(drawing) => chart::chart(drawing, panel, &rows, notes)?,
        Drawing::Heatmap { .. } => grid::heatmap(panel, &rows, notes)?,
        Drawing::Table { .. } => grid::table(panel, &rows, notes)?,
        Drawing::Markdown { .. } | Drawing::Changes => return Err("there is nothing to ask".to_owned().into()),
    };
    Ok(match drawn {
        Content::Empty { .. } if used.is_empty() => Content::Empty { reason: "There is no data yet".to_owned() },
        Content::Empty { .. } => Content::Empty { reason: "Nothing fits what was chosen".to_owned() },
        drawn => drawn,
    })
}
