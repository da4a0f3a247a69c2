//! The dashboard that is generated if the user has defined none: an overview of the served tables.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use futures_util::future::join_all;

use super::{
    exposure::lowest_reader,
    kinds::{
        ChangeKind, ChangesSpec, ChartSpec, GoodDirection, Mark, StatSpec, TableSpec,
        Visualization, is_time, is_year, time_column,
    },
    limits::PanelLimits,
    model::{Dashboard, Panel, PanelOrigin, PanelRequirements, ValueSpec, default_title},
    rows::ResultRows,
};
use crate::{
    plan::Plan,
    reader::{ColumnInfo, Pin, Query, QueryLimits, ReaderError, TableInfo},
    settings::TableRules,
    sql,
    tables::{TypeClass, access},
    values::Format,
};

/// Maximum number of tables with panels of their own.
const MAX_TABLES: usize = 24;
/// Rows that are read to learn what the columns of a table contain.
const SAMPLE_ROWS: usize = 50_000;
/// Columns of a table that are looked at.
const MAX_COLUMNS: usize = 40;
/// With more values than this, a text is not a category.
const MAX_CATEGORIES: u64 = 60;
/// Words in the names of columns whose values may be added up over time.
const AMOUNTS: [&str; 36] = [
    "amount",
    "amounts",
    "bags",
    "bytes",
    "clicks",
    "consumption",
    "cost",
    "costs",
    "count",
    "deaths",
    "exports",
    "hours",
    "imports",
    "income",
    "items",
    "mwh",
    "orders",
    "passengers",
    "payments",
    "production",
    "profit",
    "qty",
    "quantity",
    "revenue",
    "sales",
    "sold",
    "spend",
    "stops",
    "tonnes",
    "tons",
    "total",
    "units",
    "views",
    "visitors",
    "visits",
    "volume",
];
/// Words in the names of numbers that are no figures: keys, moments, flags and places.
const NO_FIGURES: [&str; 24] = [
    "id",
    "ids",
    "key",
    "code",
    "no",
    "nr",
    "number",
    "uuid",
    "zip",
    "postcode",
    "phone",
    "epoch",
    "unix",
    "timestamp",
    "ts",
    "ms",
    "is",
    "has",
    "flag",
    "lat",
    "latitude",
    "lon",
    "lng",
    "longitude",
];

/// Returns tables, rows, changes, and for each table what its columns suggest: rows by period, a
/// figure over time, and the most frequent values. Columns that the rules hide are left out.
pub(super) async fn overview(pin: &Pin, rules: &Arc<TableRules>) -> Result<Dashboard, ReaderError> {
    let tables = access::visible_catalog(pin, rules).await?;
    let names: Vec<String> = tables.iter().map(|table| sql::literal(&table.name)).collect();
    let mut from = "FROM duckdb_tables() WHERE schema_name = current_schema() AND database_name = current_database()".to_owned();
    if rules.values().any(|rule| !rule.hidden.is_empty()) {
        from = format!("{from} AND table_name IN ({})", names.join(", "));
    }
    let changes = ChangesSpec { values: false, rules: rules.clone() };
    let figure = |title: &str, value: &str| {
        panel(
            title,
            3,
            Visualization::Stat(StatSpec {
                sql: format!("SELECT {value} AS figure {from}"),
                y: "figure".to_owned(),
                x: None,
                before: 0,
                change: ChangeKind::Value,
                good: GoodDirection::None,
                against: None,
                target: None,
                thresholds: None,
            }),
        )
    };
    let mut panels = vec![
        figure("Tables", "count(*)"),
        figure("Rows", "coalesce(sum(estimated_size), 0)::BIGINT"),
        panel("Tables", 12, Visualization::Changes(changes)),
    ];
    let filled = || tables.iter().filter(|table| table.rows > 0);
    let shown = filled().take(MAX_TABLES).map(|table| async move {
        // Who may not read a table may not see what is in it either.
        let plan = lowest_reader(rules, &table.name)?;
        let mut panels = panels_of(table, &texts(pin, table).await);
        for panel in &mut panels {
            panel.plan = plan;
        }
        Some(panels)
    });
    panels.extend(join_all(shown).await.into_iter().flatten().flatten());
    let mut about =
        "Generated from the served tables. To write your own dashboards, see [dashboards] in materia.toml"
            .to_owned();
    let all = filled().count();
    if all > MAX_TABLES {
        about = format!("{about}. Showing the first {MAX_TABLES} of {all} tables that have rows.");
    }
    Ok(Dashboard {
        digest: String::new(),
        file: PathBuf::from("overview"),
        slug: "overview".to_owned(),
        title: "Overview".to_owned(),
        order: 0,
        description: Some(about),
        group: None,
        plan: Plan::Free,
        sources: Vec::new(),
        filters: Vec::new(),
        panels,
        values: Vec::new(),
        draft: false,
        public: false,
        colors: BTreeMap::new(),
    })
}

fn panel(title: &str, width: u8, visualization: Visualization) -> Panel {
    Panel {
        line: 0,
        title: title.to_owned(),
        title_link: None,
        texts: Vec::new(),
        tab: None,
        section: None,
        note: None,
        width,
        plan: Plan::Free,
        public: false,
        values: ValueSpec::default(),
        x_format: None,
        visualization,
        requirements: PanelRequirements { allow_empty: true, ..PanelRequirements::default() },
        origin: PanelOrigin::default(),
        limits: PanelLimits::default(),
    }
}

/// What the first rows of a column of texts contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TextFacts {
    distinct: u64,
    /// Whether all of them are dates or times as in ISO 8601.
    has_dates: bool,
}

/// Looks at the texts in the first rows of a table, by column; nothing if that fails.
async fn texts(pin: &Pin, table: &TableInfo) -> BTreeMap<String, TextFacts> {
    let is_text = |column: &&ColumnInfo| {
        column.data_type == "VARCHAR" || column.data_type.starts_with("ENUM")
    };
    let columns: Vec<&ColumnInfo> =
        table.columns.iter().filter(is_text).take(MAX_COLUMNS).collect();
    if columns.is_empty() {
        return BTreeMap::new();
    }
    let facts = |column: &&ColumnInfo| {
        let name = sql::ident(&column.name);
        format!(
            "approx_count_distinct({name}), count({name}) > 0 AND count({name}) = count(TRY_CAST({name}::VARCHAR AS TIMESTAMP)) FILTER (regexp_matches({name}::VARCHAR, '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}'))"
        )
    };
    let query = format!(
        "SELECT {} FROM (SELECT * FROM {} LIMIT {SAMPLE_ROWS})",
        columns.iter().map(facts).collect::<Vec<_>>().join(", "),
        sql::ident(&table.name)
    );
    let Ok(answer) = pin.query(Query::new(&query), QueryLimits::for_page()).await else {
        return BTreeMap::new();
    };
    let rows = ResultRows::new(&answer);
    let Some(row) = rows.each().next() else { return BTreeMap::new() };
    let known = |(at, column): (usize, &&ColumnInfo)| {
        // A count of at most the rows of the sample.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let distinct = row.number(2 * at)?.max(0.0) as u64;
        let has_dates = row.text(2 * at + 1)? == "true";
        Some((column.name.clone(), TextFacts { distinct, has_dates }))
    };
    columns.iter().enumerate().filter_map(known).collect()
}

/// The column over which a table's rows are counted, as SQL.
struct TimeColumn<'t> {
    column: &'t ColumnInfo,
    sql: String,
    /// Whether it has years rather than dates.
    is_year: bool,
}

fn time_of<'t>(
    table: &'t TableInfo,
    texts: &BTreeMap<String, TextFacts>,
) -> Option<TimeColumn<'t>> {
    if let Some(column) = time_column(table) {
        let is_year = !is_time(column);
        return Some(TimeColumn { column, sql: sql::ident(&column.name), is_year });
    }
    let has_dates =
        |column: &&ColumnInfo| texts.get(&column.name).is_some_and(|facts| facts.has_dates);
    let column = table.columns.iter().find(has_dates)?;
    let sql = format!("TRY_CAST({}::VARCHAR AS TIMESTAMP)", sql::ident(&column.name));
    Some(TimeColumn { column, sql, is_year: false })
}

/// Returns the panels of a table.
fn panels_of(table: &TableInfo, texts: &BTreeMap<String, TextFacts>) -> Vec<Panel> {
    let mut panels = Vec::new();
    if let Some(time) = &time_of(table, texts) {
        panels.push(rows_by_period(table, time));
        panels.extend(figure_over_time(table, time));
    }
    let is_category = |column: &&ColumnInfo| {
        texts
            .get(&column.name)
            .is_some_and(|facts| !facts.has_dates && (2..=MAX_CATEGORIES).contains(&facts.distinct))
    };
    panels
        .extend(table.columns.iter().find(is_category).map(|column| most_frequent(table, column)));
    if panels.is_empty() {
        panels.push(first_rows(table));
    }
    if let Some(first) = panels.first_mut() {
        first.section = Some(default_title(&table.name));
        let comment = table.comment.clone().filter(|comment| !comment.is_empty());
        first.note = comment.or(first.note.take());
    }
    // Panels of a table fill a line.
    let width = u8::try_from(12 / panels.len().max(1)).unwrap_or(12);
    for panel in &mut panels {
        panel.width = width;
    }
    panels
}

/// Returns an expression for the period of each row: hours for days, and years for decades, so that
/// there are not too many.
fn period(table: &TableInfo, time: &TimeColumn<'_>) -> String {
    let x = &time.sql;
    if time.is_year {
        return x.clone();
    }
    let from = sql::ident(&table.name);
    format!(
        "date_trunc((SELECT CASE WHEN days > 3000 THEN 'year' WHEN days > 95 THEN 'month' WHEN days > 3 THEN 'day' ELSE 'hour' END
         FROM (SELECT date_diff('day', min({x}), max({x})) AS days FROM {from})), {x})"
    )
}

fn rows_by_period(table: &TableInfo, time: &TimeColumn<'_>) -> Panel {
    let (from, by, x) = (sql::ident(&table.name), period(table, time), &time.sql);
    let chart = ChartSpec {
        mark: Mark::Bar,
        sql: format!(
            "SELECT {by} AS at, count(*) AS figure FROM {from} WHERE {x} IS NOT NULL GROUP BY ALL ORDER BY ALL"
        ),
        x: "at".to_owned(),
        y: vec!["figure".to_owned()],
        labels: BTreeMap::from([("figure".to_owned(), "Rows".to_owned())]),
        x_title: Some(default_title(&time.column.name)),
        y_title: Some("Rows".to_owned()),
        ..ChartSpec::default()
    };
    let title = format!("Rows by {}", spoken(&time.column.name));
    let mut panel = panel(&title, 6, Visualization::Chart(chart));
    panel.x_format = time.is_year.then_some(Format::Year);
    panel
}

/// Returns a table's first figure over its time: added up where its name says that it is an amount,
/// averaged otherwise.
fn figure_over_time(table: &TableInfo, time: &TimeColumn<'_>) -> Option<Panel> {
    let number = table.columns.iter().find(|column| is_figure(column))?;
    let (from, by, x) = (sql::ident(&table.name), period(table, time), &time.sql);
    let y = sql::ident(&number.name);
    let (function, word) = if words(&number.name).any(|word| is_amount(&word)) {
        ("sum", "Sum")
    } else {
        ("avg", "Average")
    };
    let title = default_title(&number.name);
    let chart = ChartSpec {
        mark: Mark::Line,
        sql: format!(
            "SELECT {by} AS at, {function}({y}::DOUBLE) AS figure FROM {from} WHERE {x} IS NOT NULL GROUP BY ALL ORDER BY ALL"
        ),
        x: "at".to_owned(),
        y: vec!["figure".to_owned()],
        labels: BTreeMap::from([("figure".to_owned(), title.clone())]),
        x_title: Some(default_title(&time.column.name)),
        y_title: Some(title),
        ..ChartSpec::default()
    };
    let title = format!("{word} of {}", spoken(&number.name));
    let mut panel = panel(&title, 6, Visualization::Chart(chart));
    panel.note = number.comment.clone().filter(|comment| !comment.is_empty());
    panel.x_format = time.is_year.then_some(Format::Year);
    Some(panel)
}

fn most_frequent(table: &TableInfo, column: &ColumnInfo) -> Panel {
    let (from, name) = (sql::ident(&table.name), sql::ident(&column.name));
    let title = default_title(&column.name);
    let chart = ChartSpec {
        mark: Mark::HorizontalBar,
        sql: format!(
            "SELECT {name} AS name, count(*) AS figure FROM {from} GROUP BY ALL ORDER BY figure DESC, name LIMIT 10"
        ),
        x: "name".to_owned(),
        y: vec!["figure".to_owned()],
        labels: BTreeMap::from([("figure".to_owned(), "Rows".to_owned())]),
        x_title: Some(title),
        y_title: Some("Rows".to_owned()),
        ..ChartSpec::default()
    };
    let title = format!("Most frequent {}", spoken(&column.name));
    let mut panel = panel(&title, 6, Visualization::Chart(chart));
    panel.note = column.comment.clone().filter(|comment| !comment.is_empty());
    panel
}

/// Returns the first rows of a table that has neither dates nor categories.
fn first_rows(table: &TableInfo) -> Panel {
    // By name: the table may have hidden columns.
    let columns: Vec<String> =
        table.columns.iter().map(|column| sql::ident(&column.name)).collect();
    let spec = TableSpec {
        sql: format!("SELECT {} FROM {}", columns.join(", "), sql::ident(&table.name)),
        columns: None,
        labels: BTreeMap::new(),
        values: BTreeMap::new(),
        styles: BTreeMap::new(),
        totals: Vec::new(),
        groups: BTreeMap::new(),
        thresholds: BTreeMap::new(),
        links: BTreeMap::new(),
        rows: Some(10),
    };
    panel("First rows", 12, Visualization::Table(spec))
}

/// Returns a column's name within a sentence.
fn spoken(column: &str) -> String {
    let title = default_title(column);
    let is_name = title.chars().nth(1).is_some_and(char::is_uppercase);
    if is_name {
        return title;
    }
    let mut letters = title.chars();
    letters.next().map(char::to_lowercase).into_iter().flatten().chain(letters).collect()
}

fn words(name: &str) -> impl Iterator<Item = String> {
    let words = name.split(|letter: char| !letter.is_alphanumeric());
    words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect::<Vec<_>>().into_iter()
}

fn is_amount(word: &str) -> bool {
    AMOUNTS.contains(&word)
}

/// Returns whether a column contains figures rather than keys, moments or flags.
pub(super) fn is_figure(column: &ColumnInfo) -> bool {
    TypeClass::of(&column.data_type).is_number()
        && !words(&column.name).any(|word| NO_FIGURES.contains(&word.as_str()))
        && !is_year(&column.name, &column.data_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> ColumnInfo {
        ColumnInfo {
            name: name.to_owned(),
            data_type: "DOUBLE".to_owned(),
            nullable: true,
            comment: None,
        }
    }

    #[test]
    fn keys_moments_and_flags_are_no_figures() {
        for name in
            ["id", "order_id", "customer_key", "created_epoch", "is_paid", "ts", "LAT", "zip"]
        {
            assert!(!is_figure(&column(name)), "{name}");
        }
        for name in ["amount", "delay_minutes", "idle", "how much", "notes", "keyboard"] {
            assert!(is_figure(&column(name)), "{name}");
        }
    }

    #[test]
    fn amounts_are_added_up_and_everything_else_is_averaged() {
        let is_sum = |name: &str| words(name).any(|word| is_amount(&word));
        assert!(["revenue", "total_amount", "order_count", "US imports"].into_iter().all(is_sum));
        assert!(!["price", "delay_minutes", "share", "temperature"].into_iter().any(is_sum));
    }

    #[test]
    fn names_within_sentences_keep_their_acronyms() {
        assert_eq!(spoken("us_imports"), "US imports");
        assert_eq!(spoken("How much"), "how much");
        assert_eq!(spoken("mrr"), "MRR");
    }
}
