//! What there is to ask about: tables, columns, and what is in them.

use duckdb::arrow::{
    array::{Array, AsArray},
    datatypes::Int64Type,
    record_batch::RecordBatch,
};

use super::{Limits, Pin, Query, ReaderError};
use crate::{
    export::{Manifest, Revision},
    sql,
};

/// The tables of a generation, by name.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Catalog {
    /// In the order of their names.
    pub tables: Vec<TableInfo>,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TableInfo {
    /// Its name.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// Its description.
    pub comment: Option<String>,
    /// Its columns, in order.
    pub columns: Vec<ColumnInfo>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// Its type, as DuckDB writes it.
    pub data_type: String,
    /// Whether it may hold nulls.
    pub nullable: bool,
    /// Its description.
    pub comment: Option<String>,
}

/// What is in one column.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ColumnSummary {
    /// Its smallest value, as text.
    pub min: Option<String>,
    /// Its largest value, as text.
    pub max: Option<String>,
    /// About how many different values it has.
    pub approx_distinct: u64,
    /// How many nulls it has.
    pub nulls: u64,
}

/// What [`Pin::catalog`] asks.
pub(crate) const COLUMNS: &str = "
    SELECT t.table_name, t.estimated_size::BIGINT, t.comment, c.column_name, c.data_type, c.is_nullable::BIGINT, c.comment AS about
    FROM duckdb_tables() t JOIN duckdb_columns() c USING (database_name, schema_name, table_name)
    WHERE t.schema_name = current_schema() AND t.database_name = current_database()
    ORDER BY t.table_name, c.column_index";

impl Pin {
    /// Every table and column of this generation. Asked once for each generation, remembered with its answers.
    ///
    /// # Errors
    /// As [`Pin::ask`].
    pub async fn catalog(&self) -> Result<Catalog, ReaderError> {
        let answer = self.ask(Query::new(COLUMNS), Limits { rows: usize::MAX, ..Limits::page() }).await?;
        let mut tables = Vec::<TableInfo>::new();
        for batch in &answer.batches {
            for row in 0..batch.num_rows() {
                let name = text(batch, 0, row).unwrap_or_default();
                let column = ColumnInfo {
                    name: text(batch, 3, row).unwrap_or_default(),
                    data_type: text(batch, 4, row).unwrap_or_default(),
                    nullable: number(batch, 5, row) != 0,
                    comment: text(batch, 6, row),
                };
                match tables.last_mut().filter(|table| table.name == name) {
                    Some(table) => table.columns.push(column),
                    None => {
                        tables.push(TableInfo { name, rows: number(batch, 1, row), comment: text(batch, 2, row), columns: vec![column] });
                    }
                }
            }
        }
        Ok(Catalog { tables })
    }

    /// How the values of this generation differ from those served before it, as its export found.
    #[must_use]
    pub fn revisions(&self) -> &[Revision] {
        &self.generation.revisions
    }

    /// What is known about the newest generation that was kept when this one was opened and is older.
    #[must_use]
    pub fn before(&self) -> Option<Manifest> {
        self.generation.before.as_deref().cloned()
    }

    /// About how many bytes a table takes: its files in a lake; of a file the blocks it has data in, which may hold data of several small tables.
    ///
    /// # Errors
    /// As [`Pin::ask`].
    pub async fn table_bytes(&self, table: &str) -> Result<u64, ReaderError> {
        if self.generation().snapshot.is_some() {
            let query = format!(
                "SELECT coalesce(sum(file_size_bytes), 0)::BIGINT FROM ducklake_table_info(current_database()) WHERE table_name = {}",
                sql::literal(table)
            );
            let answer = self.ask(Query::new(&query), Limits::page()).await?;
            return Ok(answer.batches.first().filter(|batch| batch.num_rows() == 1).map_or(0, |batch| number(batch, 0, 0)));
        }
        let blocks = format!("pragma_storage_info({})", sql::literal(&sql::ident(table)));
        let query = format!(
            "SELECT (count(DISTINCT block) * any_value(block_size))::BIGINT
             FROM (SELECT block_id AS block FROM {blocks} WHERE persistent
                   UNION ALL SELECT unnest(additional_block_ids) FROM {blocks} WHERE persistent)
             CROSS JOIN (SELECT block_size FROM pragma_database_size() WHERE database_name = current_database())
             WHERE block >= 0"
        );
        let answer = self.ask(Query::new(&query), Limits::page()).await?;
        Ok(answer.batches.first().filter(|batch| batch.num_rows() == 1).map_or(0, |batch| number(batch, 0, 0)))
    }

    /// Smallest, largest, number of different values and of nulls of one column, by reading all of it.
    ///
    /// # Errors
    /// As [`Pin::ask`].
    pub async fn summarize(&self, table: &str, column: &str) -> Result<ColumnSummary, ReaderError> {
        let (table, column) = (sql::ident(table), sql::ident(column));
        let query = format!(
            "SELECT min({column})::VARCHAR, max({column})::VARCHAR, approx_count_distinct({column})::BIGINT,
                    (count(*) - count({column}))::BIGINT FROM {table}"
        );
        let answer = self.ask(Query::new(&query), Limits::page()).await?;
        let batch = answer.batches.first().filter(|batch| batch.num_rows() == 1);
        let batch = batch.ok_or_else(|| ReaderError::Engine { message: format!("{table} gave no summary") })?;
        Ok(ColumnSummary {
            min: text(batch, 0, 0),
            max: text(batch, 1, 0),
            approx_distinct: number(batch, 2, 0),
            nulls: number(batch, 3, 0),
        })
    }
}

fn text(batch: &RecordBatch, column: usize, row: usize) -> Option<String> {
    let texts = batch.column(column).as_string_opt::<i32>()?;
    (!texts.is_null(row)).then(|| texts.value(row).to_owned())
}

fn number(batch: &RecordBatch, column: usize, row: usize) -> u64 {
    let numbers = batch.column(column).as_primitive_opt::<Int64Type>();
    numbers.filter(|numbers| !numbers.is_null(row)).and_then(|numbers| u64::try_from(numbers.value(row)).ok()).unwrap_or_default()
}
