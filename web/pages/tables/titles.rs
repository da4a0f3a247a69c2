//! The titles of tables and columns: what the settings say, else their names.

use materia::{dashboard::default_title, settings::TableView, tables::access::AccessibleTable};

/// Returns a table's title.
pub(crate) fn table_title(table: &AccessibleTable) -> String {
    table.view.label.clone().unwrap_or_else(|| default_title(&table.table.name))
}

/// Returns a column's title.
pub(crate) fn column_title(view: &TableView, column: &str) -> String {
    let own = view.column(column).and_then(|own| own.label.clone());
    own.unwrap_or_else(|| default_title(column))
}
