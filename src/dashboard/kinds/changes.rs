//! The changes of each table since the previous generation.

use std::{fmt::Write as _, iter::once, sync::Arc};

use futures_util::future::join_all;

use super::{Content, Kind, Table, TableColumn, Visualization};
use crate::{
    dashboard::{limits::ROWS, model::default_title, rows::ResultRows},
    humanize,
    reader::{COLUMNS, ColumnInfo, Pin, Query, QueryLimits, ReaderError, TableInfo},
    settings::{TableRules, rule_of},
    sql,
    store::{CellRevision, Manifest, Revision},
    tables::access,
    values::Format,
};

pub(super) const CHANGES: Kind = Kind {
    name: "changes",
    keys: &["severity", "values"],
    width: 12,
    parse: |_, raw, _| {
        let values = raw.values.is_some_and(toml::Spanned::into_inner);
        Some(Visualization::Changes(ChangesSpec { values, ..ChangesSpec::default() }))
    },
};

/// The specification of a list of changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangesSpec {
    /// Whether the largest revisions are shown with their values, which a viewer of the panel may
    /// not be allowed to see in the table.
    pub values: bool,
    /// The rules by which columns are hidden; without any, all columns are shown.
    pub rules: Arc<TableRules>,
}

/// Number of revised values that are shown of each table.
const MAX_REVISED: usize = 3;

/// Number of tables whose newest values are queried together.
const BATCH_SIZE: usize = 50;

/// Lists the served tables with their rows, the change since the previous generation, and their
/// newest date.
pub(super) async fn changes(spec: &ChangesSpec, pin: &Pin) -> Result<Content, ReaderError> {
    let tables = access::visible_catalog(pin, &spec.rules).await?;
    let before = pin.before();
    let newest = newest(pin, &tables).await;
    let revisions: Vec<_> = pin
        .revisions()
        .iter()
        .filter(|revision| before.is_some() && revision.has_revised())
        .filter(|revision| tables.iter().any(|table| table.name == revision.table))
        .collect();
    let rows = tables.iter().zip(newest).map(|(table, newest)| {
        let change = before.as_ref().map(|before| change(table, before)).unwrap_or_default();
        let mut row = vec![table.name.clone(), humanize::count(table.rows), change, newest];
        row.extend((!revisions.is_empty()).then(|| revised(spec, &table.name, &revisions)));
        row
    });
    let mut rows: Vec<Vec<String>> = rows.collect();
    let gone = before
        .iter()
        .flat_map(|before| &before.tables)
        .filter(|old| !tables.iter().any(|table| table.name == old.name))
        // One without a visible column is served but does not exist for customers.
        .filter(|old| old.columns.iter().any(|column| !spec.hides(&old.name, &column.name)));
    rows.extend(gone.map(|old| {
        let mut row =
            vec![old.name.clone(), String::new(), "no longer there".to_owned(), String::new()];
        row.extend((!revisions.is_empty()).then(String::new));
        row
    }));
    let against =
        before.map_or_else(|| "Change".to_owned(), |before| format!("Since {}", day(&before)));
    let column = |title: &str, right| TableColumn {
        title: title.to_owned(),
        unit: None,
        right,
        group: None,
    };
    let mut columns = vec![
        column("Table", false),
        column("Rows", true),
        column(&against, true),
        column("Newest", true),
    ];
    columns.extend((!revisions.is_empty()).then(|| column("Revised values", false)));
    let left_out = rows.len().saturating_sub(ROWS.max);
    rows.truncate(ROWS.max);
    Ok(Content::Table(Table {
        columns,
        rows,
        decorations: Vec::new(),
        totals: None,
        page: 1,
        pages: 1,
        skipped: 0,
        left_out,
        ranks: Vec::new(),
    }))
}

impl ChangesSpec {
    fn hides(&self, table: &str, column: &str) -> bool {
        rule_of(&self.rules, table).is_some_and(|rule| rule.hides(column))
    }
}

/// Formats the number of revised rows in a table, the shift that explains them, and the largest
/// revisions, without those of hidden columns.
fn revised(spec: &ChangesSpec, table: &str, revisions: &[&Revision]) -> String {
    let Some(revision) = revisions.iter().find(|revision| revision.table == table) else {
        return String::new();
    };
    let is_visible = |column: &String| !spec.hides(table, column);
    // A value is shown with the key of its row.
    let shows_values = spec.values && revision.key.iter().all(is_visible);
    let shown = if shows_values { MAX_REVISED } else { 0 };
    let shift = revision.shift.iter().filter(|shift| is_visible(&shift.column));
    let largest = revision.largest.iter().filter(|cell| is_visible(&cell.column));
    once(revision.counts())
        .chain(shift.map(ToString::to_string))
        .chain(largest.take(shown).map(revised_value))
        .collect::<Vec<_>>()
        .join("; ")
}

/// Formats a revised value: `World 2023 production: 172.8 → 171.4`.
fn revised_value(cell: &CellRevision) -> String {
    let shown =
        |value: &str| if value.is_empty() { "no value".to_owned() } else { value.to_owned() };
    let column = default_title(&cell.column).to_lowercase();
    format!("{} {column}: {} → {}", cell.key, shown(&cell.before), shown(&cell.now))
}

fn day(manifest: &Manifest) -> String {
    crate::values::format_time(manifest.exported_at.as_millisecond(), Format::Time)
}

fn change(table: &TableInfo, before: &Manifest) -> String {
    let Some(old) = before.tables.iter().find(|old| old.name == table.name) else {
        return "new".to_owned();
    };
    let mut text = match table.rows.cmp(&old.rows) {
        std::cmp::Ordering::Equal => "same rows".to_owned(),
        std::cmp::Ordering::Greater => format!("+{}", humanize::count(table.rows - old.rows)),
        std::cmp::Ordering::Less => format!("−{}", humanize::count(old.rows - table.rows)),
    };
    let columns: Vec<&str> = old.columns.iter().map(|column| column.name.as_str()).collect();
    let new =
        table.columns.iter().filter(|column| !columns.contains(&column.name.as_str())).count();
    if new > 0 {
        let _ = write!(text, ", {} new", humanize::plural(new, "column"));
    }
    text
}

/// Returns the queries of [`changes`], for benchmarks.
pub(super) async fn queries(spec: &ChangesSpec, pin: &Pin) -> Vec<Query> {
    let Ok(tables) = access::visible_catalog(pin, &spec.rules).await else { return Vec::new() };
    once(Query::new(COLUMNS)).chain(dated(&tables).chunks(BATCH_SIZE).map(newest_query)).collect()
}

/// A table by its index, and the column that determines its newest date.
type DatedTable<'a> = (usize, &'a TableInfo, &'a ColumnInfo);

/// Returns every table with such a column.
fn dated(tables: &[TableInfo]) -> Vec<DatedTable<'_>> {
    tables
        .iter()
        .enumerate()
        .filter_map(|(at, table)| Some((at, table, time_column(table)?)))
        .collect()
}

/// Returns a table's first column with dates or timestamps, otherwise its first column with years.
#[must_use]
pub fn time_column(table: &TableInfo) -> Option<&ColumnInfo> {
    let time = table.columns.iter().find(|column| is_time(column));
    time.or_else(|| table.columns.iter().find(|column| is_year(&column.name, &column.data_type)))
}

/// Returns a single query for several tables, which saves its fixed cost.
fn newest_query(tables: &[DatedTable<'_>]) -> Query {
    let newest = |(_, table, column): &DatedTable<'_>| {
        format!("(SELECT max({}) FROM {})", sql::ident(&column.name), sql::ident(&table.name))
    };
    Query::new(&format!("SELECT {}", tables.iter().map(newest).collect::<Vec<_>>().join(", ")))
}

/// Returns the newest value of each table; `None` if there is none.
async fn newest(pin: &Pin, tables: &[TableInfo]) -> Vec<String> {
    let mut newest = vec![String::new(); tables.len()];
    let dated = dated(tables);
    let queries = dated.chunks(BATCH_SIZE).map(|tables| async move {
        (tables, pin.query(newest_query(tables), QueryLimits::for_page()).await)
    });
    for (tables, answer) in join_all(queries).await {
        let Ok(answer) = answer else { continue };
        let rows = ResultRows::new(&answer);
        let Some(row) = rows.each().next() else { continue };
        for (place, (at, _, column)) in tables.iter().enumerate() {
            let format =
                if column.data_type.starts_with("TIMESTAMP") { Format::Time } else { Format::Date };
            newest[*at] = row.format(place, format).unwrap_or_default().into_owned();
        }
    }
    newest
}

/// Returns whether a column contains dates or timestamps.
pub(in crate::dashboard) fn is_time(column: &ColumnInfo) -> bool {
    column.data_type == "DATE" || column.data_type.starts_with("TIMESTAMP")
}

/// Returns whether a column contains years.
pub(in crate::dashboard) fn is_year(name: &str, data_type: &str) -> bool {
    let name = name.to_lowercase();
    (name == "year" || name.ends_with("_year"))
        && matches!(data_type, "SMALLINT" | "INTEGER" | "BIGINT" | "USMALLINT" | "UINTEGER")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::Shift;

    #[test]
    fn revised_values_of_hidden_columns_and_rows_named_by_them_are_not_shown() {
        let cell = |column: &str| CellRevision {
            key: "World 2023".to_owned(),
            column: column.to_owned(),
            before: "172.8".to_owned(),
            now: "171.4".to_owned(),
        };
        let shift = Shift {
            column: "Month".to_owned(),
            by: "one month back".to_owned(),
            agreement: 1.0,
            unshifted: 0.0,
        };
        let revision = Revision {
            table: "supply".to_owned(),
            key: vec!["country".to_owned(), "year".to_owned()],
            common: 2,
            revised: 1,
            shift: Some(shift),
            largest: vec![cell("production"), cell("Margin")],
            ..Revision::default()
        };
        let shown = |hidden: &str| {
            let rules = toml::from_str(&format!("[supply]\nhidden = [{hidden}]")).unwrap();
            let spec = ChangesSpec { values: true, rules: Arc::new(rules) };
            revised(&spec, "supply", &[&revision])
        };
        let all = shown("");
        assert!(all.contains("production: 172.8") && all.contains("margin: 172.8"), "{all}");
        assert!(all.contains("one month back"), "{all}");
        let some = shown("'margin', 'month'");
        assert!(some.contains("production: 172.8") && !some.contains("margin"), "{some}");
        assert!(!some.contains("one month back"), "{some}");
        let none = shown("'country'");
        assert!(!none.contains("172.8") && none.starts_with("1 of 2 rows revised"), "{none}");
    }
}
