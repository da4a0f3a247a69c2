//! The catalog of a generation: tables, columns and column summaries.

use duckdb::arrow::{
    array::{Array, AsArray},
    datatypes::Int64Type,
    record_batch::RecordBatch,
};

use super::{Pin, Query, QueryLimits, ReaderError};
use crate::{
    sql,
    store::{Manifest, Revision},
};

/// The tables of a generation, by name.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Catalog {
    /// Sorted by name.
    pub tables: Vec<TableInfo>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TableInfo {
    pub name: String,
    pub rows: u64,
    pub comment: Option<String>,
    /// In table order.
    pub columns: Vec<ColumnInfo>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ColumnInfo {
    pub name: String,
    /// In DuckDB's notation.
    pub data_type: String,
    /// Whether the column allows nulls.
    pub nullable: bool,
    pub comment: Option<String>,
}

/// Summary statistics of one column.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ColumnSummary {
    /// The smallest value, as text.
    pub min: Option<String>,
    /// The largest value, as text.
    pub max: Option<String>,
    /// Approximate number of distinct values.
    pub approx_distinct: u64,
    pub nulls: u64,
}

pub(crate) const COLUMNS: &str = "
    SELECT t.table_name, t.estimated_size::BIGINT, t.comment, c.column_name, c.data_type, c.is_nullable::BIGINT, c.comment AS about
    FROM duckdb_tables() t JOIN duckdb_columns() c USING (database_name, schema_name, table_name)
    WHERE t.schema_name = current_schema() AND t.database_name = current_database()
    ORDER BY t.table_name, c.column_index";

impl Pin {
    /// Returns every table and column of this generation. The query runs once per generation; its
    /// result is cached.
    ///
    /// # Errors
    /// The errors of [`Pin::query`].
    pub async fn catalog(&self) -> Result<Catalog, ReaderError> {
        let answer = self
            .query(Query::new(COLUMNS), QueryLimits { rows: usize::MAX, ..QueryLimits::for_page() })
            .await?;
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
                        tables.push(TableInfo {
                            name,
                            rows: number(batch, 1, row),
                            comment: text(batch, 2, row),
                            columns: vec![column],
                        });
                    }
                }
            }
        }
        Ok(Catalog { tables })
    }

    /// Returns the differences to the previously served values, as recorded by the export.
    #[must_use]
    pub fn revisions(&self) -> &[Revision] {
        &self.generation.revisions
    }

    /// Returns the manifest of the newest older generation that was retained when this one was
    /// opened.
    #[must_use]
    pub fn before(&self) -> Option<Manifest> {
        self.generation.previous.as_deref().cloned()
    }

    /// Returns the approximate size of a table in bytes: its files in a lake, or the blocks of a
    /// file that it has data in, which small tables may share.
    ///
    /// # Errors
    /// The errors of [`Pin::query`].
    pub async fn table_bytes(&self, table: &str) -> Result<u64, ReaderError> {
        if self.generation().snapshot.is_some() {
            let query = format!(
                "SELECT coalesce(sum(file_size_bytes), 0)::BIGINT FROM ducklake_table_info(current_database()) WHERE table_name = {}",
                sql::literal(table)
            );
            let answer = self.query(Query::new(&query), QueryLimits::for_page()).await?;
            return Ok(answer
                .batches
                .first()
                .filter(|batch| batch.num_rows() == 1)
                .map_or(0, |batch| number(batch, 0, 0)));
        }
        let blocks = format!("pragma_storage_info({})", sql::literal(&sql::ident(table)));
        let query = format!(
            "SELECT (count(DISTINCT block) * any_value(block_size))::BIGINT
             FROM (SELECT block_id AS block FROM {blocks} WHERE persistent
                   UNION ALL SELECT unnest(additional_block_ids) FROM {blocks} WHERE persistent)
             CROSS JOIN (SELECT block_size FROM pragma_database_size() WHERE database_name = current_database())
             WHERE block >= 0"
        );
        let answer = self.query(Query::new(&query), QueryLimits::for_page()).await?;
        Ok(answer
            .batches
            .first()
            .filter(|batch| batch.num_rows() == 1)
            .map_or(0, |batch| number(batch, 0, 0)))
    }

    /// Computes minimum, maximum, distinct count and null count of one column with a full scan.
    ///
    /// # Errors
    /// The errors of [`Pin::query`].
    pub async fn summarize(&self, table: &str, column: &str) -> Result<ColumnSummary, ReaderError> {
        let (table, column) = (sql::ident(table), sql::ident(column));
        let query = format!(
            "SELECT min({column})::VARCHAR, max({column})::VARCHAR, approx_count_distinct({column})::BIGINT,
                    (count(*) - count({column}))::BIGINT FROM {table}"
        );
        let answer = self.query(Query::new(&query), QueryLimits::for_page()).await?;
        let batch = answer.batches.first().filter(|batch| batch.num_rows() == 1);
        let batch = batch
            .ok_or_else(|| ReaderError::Engine { message: format!("{table} gave no summary") })?;
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
    numbers
        .filter(|numbers| !numbers.is_null(row))
        .and_then(|numbers| u64::try_from(numbers.value(row)).ok())
        .unwrap_or_default()
}
