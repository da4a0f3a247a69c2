//! What is drawn where nobody wrote a dashboard: whatever the served tables are.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    Mark,
    changes::{is_time, is_year, time_column},
    limits::{PanelLimits, PanelSeverity},
    model::{ChangeKind, ChartDrawing, Dashboard, Drawing, Figures, Panel, title_of},
};
use crate::{
    plan::Plan,
    reader::{ColumnInfo, Pin, ReaderError, TableInfo},
    sql,
    tables::Kind,
    values::Format,
};

/// More charts than this are no overview.
const MOST_CHARTS: usize = 24;

/// Tables, rows, what changed, and a series for each table that has a date and a number.
pub(super) async fn overview(pin: &Pin) -> Result<Dashboard, ReaderError> {
    let catalog = pin.catalog().await?;
    let tables = "FROM duckdb_tables() WHERE schema_name = current_schema() AND database_name = current_database()";
    let figure = |title: &str, value: &str| {
        panel(
            title,
            3,
            Drawing::Stat {
                sql: format!("SELECT {value} AS figure {tables}"),
                y: "figure".to_owned(),
                x: None,
                before: 0,
                change: ChangeKind::Value,
                against: None,
            },
        )
    };
    let mut panels = vec![
        figure("Tables", "count(*)"),
        figure("Rows", "coalesce(sum(estimated_size), 0)::BIGINT"),
        panel("Tables", 12, Drawing::Changes),
    ];
    let charts: Vec<Panel> = catalog.tables.iter().filter_map(series).collect();
    let all = charts.len();
    panels.extend(charts.into_iter().take(MOST_CHARTS));
    let mut about = "Drawn from whatever is served. Dashboards of your own: see [dashboards] in materia.toml".to_owned();
    if all > MOST_CHARTS {
        about = format!("{about}. Showing charts of the first {MOST_CHARTS} of {all} tables that have a date and a number.");
    }
    Ok(Dashboard {
        file: PathBuf::from("overview"),
        slug: "overview".to_owned(),
        title: "Overview".to_owned(),
        order: 0,
        description: Some(about),
        plan: Plan::Free,
        sources: Vec::new(),
        filters: Vec::new(),
        panels,
    })
}

fn panel(title: &str, width: u8, drawing: Drawing) -> Panel {
    Panel {
        line: 0,
        title: title.to_owned(),
        note: None,
        width,
        plan: Plan::Free,
        figures: Figures::default(),
        x_format: None,
        drawing,
        allow_empty: true,
        severity: PanelSeverity::default(),
        min_rows: None,
        limits: PanelLimits::default(),
    }
}

/// A table's first number over its first date, averaged where a date has many rows: whether they add up, nobody has said.
fn series(table: &TableInfo) -> Option<Panel> {
    let date = time_column(table)?;
    let number = table.columns.iter().find(|column| is_figure(column))?;
    let (from, x, y) = (sql::ident(&table.name), sql::ident(&date.name), sql::ident(&number.name));
    let by = if is_time(date) {
        // Days for months, months for decades.
        format!(
            "date_trunc((SELECT CASE WHEN days > 1500 THEN 'month' WHEN days > 0 THEN 'day' ELSE 'minute' END
             FROM (SELECT date_diff('day', min({x}), max({x})) AS days FROM {from})), {x})"
        )
    } else {
        x.clone()
    };
    let query = format!("SELECT {by} AS at, avg({y}::DOUBLE) AS figure FROM {from} WHERE {x} IS NOT NULL GROUP BY ALL ORDER BY ALL");
    let chart = ChartDrawing {
        mark: Mark::Line,
        sql: query,
        x: "at".to_owned(),
        y: vec!["figure".to_owned()],
        series: None,
        label: None,
        labels: BTreeMap::from([("figure".to_owned(), title_of(&number.name))]),
        x_title: Some(title_of(&date.name)),
        y_title: Some(title_of(&number.name)),
        zero: false,
        guides: Vec::new(),
    };
    let mut panel = panel(&title_of(&table.name), 6, Drawing::Chart(chart));
    panel.note = Some(format!("Average of {} for each {}", number.name, date.name));
    panel.x_format = (!is_time(date)).then_some(Format::Year);
    Some(panel)
}

/// Whether a column holds figures rather than keys.
fn is_figure(column: &ColumnInfo) -> bool {
    let name = column.name.to_lowercase();
    let is_key = name == "id" || ["_id", "_key", "_code", "_no"].iter().any(|ending| name.ends_with(ending));
    Kind::of(&column.data_type).is_number() && !is_key && !is_year(&column.name, &column.data_type)
}
