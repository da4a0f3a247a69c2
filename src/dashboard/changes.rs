//! What changed in each table since the generation before.

use std::{fmt::Write as _, iter::once};

use futures_util::future::join_all;

use super::{Content, Table, TableColumn, limits::ROWS, rows::Rows};
use crate::{
    export::{Manifest, Revision},
    reader::{COLUMNS, Catalog, ColumnInfo, Limits, Pin, Query, ReaderError, TableInfo},
    sql,
    values::Format,
    words,
};

/// Tables whose newest values are asked for together.
const TOGETHER: usize = 50;

/// A table of the served tables: rows, how many more or fewer than before, and how far the newest date reaches.
pub(super) async fn changes(pin: &Pin) -> Result<Content, ReaderError> {
    let Catalog { tables } = pin.catalog().await?;
    let before = pin.before();
    let newest = newest(pin, &tables).await;
    let revisions: Vec<_> = pin.revisions().iter().filter(|revision| before.is_some() && revision.has_revised()).collect();
    let rows = tables.iter().zip(newest).map(|(table, newest)| {
        let change = before.as_ref().map(|before| change(table, before)).unwrap_or_default();
        let mut row = vec![table.name.clone(), words::count(table.rows), change, newest];
        row.extend((!revisions.is_empty()).then(|| revised(&table.name, &revisions)));
        row
    });
    let mut rows: Vec<Vec<String>> = rows.collect();
    let gone = before.iter().flat_map(|before| &before.tables).filter(|old| !tables.iter().any(|table| table.name == old.name));
    rows.extend(gone.map(|old| {
        let mut row = vec![old.name.clone(), String::new(), "no longer there".to_owned(), String::new()];
        row.extend((!revisions.is_empty()).then(String::new));
        row
    }));
    let against = before.map_or_else(|| "Change".to_owned(), |before| format!("Since {}", day(&before)));
    let column = |title: &str, right| TableColumn { title: title.to_owned(), unit: None, right };
    let mut columns = vec![column("Table", false), column("Rows", true), column(&against, true), column("Newest", true)];
    columns.extend((!revisions.is_empty()).then(|| column("Revised values", false)));
    let left_out = rows.len().saturating_sub(ROWS.largest);
    rows.truncate(ROWS.largest);
    Ok(Content::Table(Table { columns, rows, left_out }))
}

/// How many rows of a table were revised, and the shift that explains it. No value of it: a viewer may see the panel and not the table.
fn revised(table: &str, revisions: &[&Revision]) -> String {
    let Some(revision) = revisions.iter().find(|revision| revision.table == table) else { return String::new() };
    std::iter::once(revision.counts()).chain(revision.shift.iter().map(ToString::to_string)).collect::<Vec<_>>().join("; ")
}

fn day(manifest: &Manifest) -> String {
    crate::values::human_time(manifest.exported_at.as_millisecond(), Format::Time)
}

fn change(table: &TableInfo, before: &Manifest) -> String {
    let Some(old) = before.tables.iter().find(|old| old.name == table.name) else { return "new".to_owned() };
    let mut said = match table.rows.cmp(&old.rows) {
        std::cmp::Ordering::Equal => "same rows".to_owned(),
        std::cmp::Ordering::Greater => format!("+{}", words::count(table.rows - old.rows)),
        std::cmp::Ordering::Less => format!("-{}", words::count(old.rows - table.rows)),
    };
    let columns: Vec<&str> = old.columns.iter().map(|column| column.name.as_str()).collect();
    let new = table.columns.iter().filter(|column| !columns.contains(&column.name.as_str())).count();
    if new > 0 {
        let _ = write!(said, ", {} new", words::plural(new, "column"));
    }
    said
}

/// What [`changes`] asks, for measuring what the asking costs.
pub(super) async fn questions(pin: &Pin) -> Vec<Query> {
    let Ok(Catalog { tables }) = pin.catalog().await else { return Vec::new() };
    once(Query::new(COLUMNS)).chain(dated(&tables).chunks(TOGETHER).map(question)).collect()
}

/// A table by its place, and the column that tells how far it reaches.
type Dated<'a> = (usize, &'a TableInfo, &'a ColumnInfo);

/// Every table that has such a column.
fn dated(tables: &[TableInfo]) -> Vec<Dated<'_>> {
    tables.iter().enumerate().filter_map(|(at, table)| Some((at, table, time_column(table)?))).collect()
}

/// A table's first column that holds days or moments, or else years.
pub(super) fn time_column(table: &TableInfo) -> Option<&ColumnInfo> {
    let time = table.columns.iter().find(|column| is_time(column));
    time.or_else(|| table.columns.iter().find(|column| is_year(&column.name, &column.data_type)))
}

/// One question for several tables: what asking itself costs is paid once.
fn question(tables: &[Dated<'_>]) -> Query {
    let newest = |(_, table, column): &Dated<'_>| format!("(SELECT max({}) FROM {})", sql::ident(&column.name), sql::ident(&table.name));
    Query::new(&format!("SELECT {}", tables.iter().map(newest).collect::<Vec<_>>().join(", ")))
}

/// The newest value of each table; nothing where there is none.
async fn newest(pin: &Pin, tables: &[TableInfo]) -> Vec<String> {
    let mut newest = vec![String::new(); tables.len()];
    let dated = dated(tables);
    let asked = dated.chunks(TOGETHER).map(|tables| async move { (tables, pin.ask(question(tables), Limits::page()).await) });
    for (tables, answer) in join_all(asked).await {
        let Ok(answer) = answer else { continue };
        let rows = Rows::of(&answer);
        let Some(row) = rows.each().next() else { continue };
        for (place, (at, _, column)) in tables.iter().enumerate() {
            let format = if column.data_type.starts_with("TIMESTAMP") { Format::Time } else { Format::Date };
            newest[*at] = row.human(place, format).unwrap_or_default().into_owned();
        }
    }
    newest
}

/// Whether a column holds days or moments.
pub(super) fn is_time(column: &ColumnInfo) -> bool {
    column.data_type == "DATE" || column.data_type.starts_with("TIMESTAMP")
}

/// Whether a column holds years.
pub(super) fn is_year(name: &str, data_type: &str) -> bool {
    let name = name.to_lowercase();
    (name == "year" || name.ends_with("_year")) && matches!(data_type, "SMALLINT" | "INTEGER" | "BIGINT" | "USMALLINT" | "UINTEGER")
}
