//! Charts of one column of a table: how its values are distributed, and how they develop. For pages
//! about tables, which have no dashboard file.

use std::collections::BTreeMap;

use super::{
    Findings, PanelData,
    kinds::{
        ChartSpec, Content, Mark, Visualization, edges, histogram_chart, is_time, is_year,
        time_column,
    },
    limits::{Notes, PanelLimits},
    model::{Panel, PanelOrigin, PanelRequirements, ValueSpec, default_title},
    rows::ResultRows,
    units::Unit,
};
use crate::{
    plan::Plan,
    reader::{ColumnInfo, Pin, QueryLimits, ReaderError},
    settings::TableView,
    tables::{TableQuery, TypeClass},
    values::Format,
};

/// Bars of a distribution.
const BINS: usize = 20;
/// Points of a development; more are not visible.
const MAX_PERIODS: usize = 1_000;

/// How many values there are between each two edges.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Distribution {
    /// One more than counts, ascending; days since 1970 for dates and timestamps.
    pub edges: Vec<f64>,
    pub counts: Vec<u64>,
}

/// Returns the number of rows in intervals of equal width of a numeric column, or of one with dates
/// or timestamps; `None` for other types and without values.
///
/// # Errors
/// The errors of [`Pin::query`].
pub async fn distribution(
    pin: &Pin,
    query: &TableQuery,
    column: usize,
) -> Result<Option<Distribution>, ReaderError> {
    let Some((info, name)) = query.table.columns.get(column).zip(query.sql_name(column)) else {
        return Ok(None);
    };
    let value = match TypeClass::of(&info.data_type) {
        class if class.is_number() => format!("CAST({name} AS DOUBLE)"),
        TypeClass::Temporal if is_time(info) => {
            format!("CASE WHEN isfinite({name}) THEN epoch({name}) / 86400.0 END")
        }
        _ => return Ok(None),
    };
    let value = format!("CASE WHEN isfinite({value}) THEN {value} END");
    let bounds = query.aggregate(&format!("min({value}) AS low, max({value}) AS high"), "");
    let answer = pin.query(bounds, QueryLimits::for_page()).await?;
    let rows = ResultRows::new(&answer);
    let bound = |at: usize| rows.each().next().and_then(|row| row.number(at));
    let Some((low, high)) = bound(0).zip(bound(1)) else { return Ok(None) };
    let edges = edges(&[low, high], Some(BINS));
    let (first, step, bins) = (edges[0], edges[1] - edges[0], edges.len() - 1);
    if !step.is_finite() || step <= 0.0 {
        return Ok(None);
    }
    let bin = format!(
        "CAST(greatest(0, least({}, floor(({value} - {first:e}::DOUBLE) / {step:e}::DOUBLE))) AS BIGINT)",
        bins - 1
    );
    let counted = query.aggregate(&format!("{bin} AS bin, count({name}) AS n"), "GROUP BY 1");
    let answer = pin.query(counted, QueryLimits::for_page()).await?;
    let rows = ResultRows::new(&answer);
    let mut counts = vec![0; bins];
    for row in rows.each() {
        let (Some(bin), Some(n)) = (row.number(0), row.number(1)) else { continue };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "both are small and not negative"
        )]
        if let Some(count) = counts.get_mut(bin as usize) {
            *count = n as u64;
        }
    }
    Ok(Some(Distribution { edges, counts }))
}

/// Returns a chart of a numeric column's [`Distribution`].
#[must_use]
pub fn distribution_panel(
    distribution: &Distribution,
    column: &ColumnInfo,
    view: &TableView,
) -> Option<PanelData> {
    if distribution.counts.is_empty() || !TypeClass::of(&column.data_type).is_number() {
        return None;
    }
    let (title, values) = shown(column, view);
    let format = values.format().unwrap_or(if is_year(&column.name, &column.data_type) {
        Format::Year
    } else {
        Format::Decimal(2)
    });
    let titles = (title, "Rows".to_owned());
    let chart = histogram_chart(&distribution.edges, &distribution.counts, format, titles);
    Some(panel_data("Distribution", None, None, Content::Chart(chart)))
}

/// Returns the average of a numeric column for each period of the table's date; `None` if there is
/// no date.
///
/// # Errors
/// The errors of [`Pin::query`].
pub async fn development_panel(
    pin: &Pin,
    query: &TableQuery,
    column: usize,
    view: &TableView,
) -> Result<Option<PanelData>, ReaderError> {
    let Some((info, y)) = query.table.columns.get(column).zip(query.sql_name(column)) else {
        return Ok(None);
    };
    let date = time_column(&query.table)
        .filter(|date| date.name != info.name && TypeClass::of(&info.data_type).is_number());
    let at = date.and_then(|date| query.table.columns.iter().position(|one| one == date));
    let Some((date, x)) = date.zip(at.and_then(|at| query.sql_name(at))) else { return Ok(None) };
    let (by, period) = if is_time(date) {
        let span = query.aggregate(&format!("date_diff('day', min({x}), max({x})) AS days"), "");
        let answer = pin.query(span, QueryLimits::for_page()).await?;
        let rows = ResultRows::new(&answer);
        let days = rows.each().next().and_then(|row| row.number(0)).unwrap_or_default();
        let unit = match days {
            days if days > 30_000.0 => "year",
            days if days > 950.0 => "month",
            days if days > 2.0 => "day",
            _ => "minute",
        };
        (format!("date_trunc('{unit}', {x})"), unit)
    } else {
        (x.clone(), "year")
    };
    let tail = format!("GROUP BY 1 HAVING period IS NOT NULL ORDER BY 1 DESC LIMIT {MAX_PERIODS}");
    let select = format!("{by} AS period, avg(CAST({y} AS DOUBLE)) AS figure, count({y}) AS n");
    let answer = pin.query(query.aggregate(&select, &tail), QueryLimits::for_page()).await?;
    let rows = ResultRows::new(&answer);
    let is_average = rows.each().any(|row| row.number(2).is_some_and(|n| n > 1.0));
    let (title, values) = shown(info, view);
    let unit = values.unit.as_ref().and_then(|unit| unit.suffix()).map(str::to_owned);
    let spec = ChartSpec {
        mark: Mark::Line,
        x: "period".to_owned(),
        y: vec!["figure".to_owned()],
        labels: BTreeMap::from([("figure".to_owned(), title.clone())]),
        ..ChartSpec::default()
    };
    let panel = Panel {
        line: 0,
        title: title.clone(),
        title_link: None,
        texts: Vec::new(),
        tab: None,
        section: None,
        note: None,
        width: 12,
        plan: Plan::Free,
        public: false,
        values,
        x_format: (!is_time(date)).then_some(Format::Year),
        visualization: Visualization::Chart(spec),
        requirements: PanelRequirements::default(),
        origin: PanelOrigin::default(),
        limits: PanelLimits::default(),
    };
    let drawn = panel.visualization.draw(&panel, &rows, &mut Notes::default());
    let Ok(content @ Content::Chart(_)) = drawn else { return Ok(None) };
    let note = is_average.then(|| format!("Average of the rows of each {period}."));
    Ok(Some(panel_data("Over time", note, unit, content)))
}

/// Returns a column's title, and the unit and format of its values.
fn shown(column: &ColumnInfo, view: &TableView) -> (String, ValueSpec) {
    let own = view.column(&column.name);
    let title = own.and_then(|own| own.label.clone());
    let unit = own.and_then(|own| own.unit.clone()).map(|unit| Unit {
        short: Some(unit),
        long: None,
        format: None,
        position: None,
    });
    let format = own.and_then(|own| own.format);
    (title.unwrap_or_else(|| default_title(&column.name)), ValueSpec { unit, format })
}

fn panel_data(
    title: &str,
    note: Option<String>,
    unit: Option<String>,
    mut content: Content,
) -> PanelData {
    // The only series of a chart has the brand's color.
    for series in content.charts_mut().flat_map(|chart| &mut chart.series) {
        series.color = Some(0);
    }
    PanelData {
        title: title.to_owned(),
        link: None,
        tab: None,
        section: None,
        filters: Vec::new(),
        note,
        width: 6,
        short_unit: unit.clone(),
        unit,
        notes: Vec::new(),
        freshness: Vec::new(),
        formulas: Vec::new(),
        content,
        findings: Findings::default(),
    }
}
