//! What changed in each table since the generation before.

use std::fmt::Write as _;

use futures_util::future::join_all;

use super::{Content, Table, TableColumn};
use crate::{
    export::Manifest,
    reader::{Catalog, Limits, Pin, Query, ReaderError, TableInfo},
    sql,
    values::Format,
    words,
};

/// A table of the served tables: rows, how many more or fewer than before, and how far the newest date reaches.
pub(super) async fn changes(pin: &Pin) -> Result<Content, ReaderError> {
    let Catalog { tables } = pin.catalog().await?;
    let before = pin.before();
    let newest = join_all(tables.iter().map(|table| newest(pin, table))).await;
    let rows = tables.iter().zip(newest).map(|(table, newest)| {
        let change = before.as_ref().map(|before| change(table, before)).unwrap_or_default();
        vec![table.name.clone(), words::count(table.rows), change, newest]
    });
    let mut rows: Vec<Vec<String>> = rows.collect();
    let gone = before.iter().flat_map(|before| &before.tables).filter(|old| !tables.iter().any(|table| table.name == old.name));
    rows.extend(gone.map(|old| vec![old.name.clone(), String::new(), "no longer there".to_owned(), String::new()]));
    let against = before.map_or_else(|| "Change".to_owned(), |before| format!("Since {}", day(&before)));
    let column = |title: &str, right| TableColumn { title: title.to_owned(), unit: None, right };
    let columns = vec![column("Table", false), column("Rows", true), column(&against, true), column("Newest", true)];
    Ok(Content::Table(Table { columns, rows, left_out: 0 }))
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

/// The newest value of the first column that holds days or moments, or else years.
async fn newest(pin: &Pin, table: &TableInfo) -> String {
    let dated = |data_type: &str| data_type == "DATE" || data_type.starts_with("TIMESTAMP");
    let column = table.columns.iter().find(|column| dated(&column.data_type));
    let column = column.or_else(|| table.columns.iter().find(|column| is_year(&column.name, &column.data_type)));
    let Some(column) = column else { return String::new() };
    let query = format!("SELECT max({}) FROM {}", sql::ident(&column.name), sql::ident(&table.name));
    let Ok(answer) = pin.ask(Query::new(&query), Limits::page()).await else { return String::new() };
    let rows = super::rows::Rows::of(&answer);
    let format = if column.data_type == "DATE" || !dated(&column.data_type) { Format::Date } else { Format::Time };
    rows.each().next().and_then(|row| row.human(0, format)).unwrap_or_default().into_owned()
}

/// Whether a column holds years.
pub(super) fn is_year(name: &str, data_type: &str) -> bool {
    let name = name.to_lowercase();
    (name == "year" || name.ends_with("_year")) && matches!(data_type, "SMALLINT" | "INTEGER" | "BIGINT" | "USMALLINT" | "UINTEGER")
}
