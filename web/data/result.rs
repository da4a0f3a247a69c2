//! Results of bounded size: a page of rows as text, JSON or a small file; column summaries;
//! estimates of download sizes.

use futures_util::future::join_all;
use materia::{
    download::{self, DownloadError, DownloadFormat, DownloadOptions},
    reader::{ColumnSummary, Pin, QueryLimits, QueryResult, ReaderError},
    tables::{PageStart, TableQuery, TypeClass},
    values::{self, Field},
};
use serde::{Serialize, Serializer};

/// Rows formatted as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TableRows {
    pub(crate) cells: Vec<Vec<Option<String>>>,
}

impl TableRows {
    /// Formats the first `columns` columns of a result.
    pub(crate) fn of(answer: &QueryResult, columns: usize) -> Self {
        let cells = answer.batches.iter().flat_map(|batch| {
            let views = values::columns(&answer.fields, batch);
            let cell = |column: &values::Column<'_>, row| {
                column.text(row).map(std::borrow::Cow::into_owned)
            };
            (0..batch.num_rows())
                .map(|row| views.iter().take(columns).map(|column| cell(column, row)).collect())
                .collect::<Vec<_>>()
        });
        Self { cells: cells.collect() }
    }
}

/// Serializes a result as an array of objects.
struct JsonRows<'a> {
    answer: &'a QueryResult,
    names: &'a [String],
}

struct JsonRow<'b, 'c, 'a> {
    names: &'b [String],
    columns: &'c [values::Column<'a>],
    row: usize,
}

impl Serialize for JsonRow<'_, '_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.names.iter().zip(self.columns.iter().map(|column| column.cell(self.row))),
        )
    }
}

impl Serialize for JsonRows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq;
        let mut rows = serializer.serialize_seq(Some(self.answer.rows))?;
        for batch in &self.answer.batches {
            let columns = values::columns(&self.answer.fields, batch);
            for row in 0..batch.num_rows() {
                rows.serialize_element(&JsonRow { names: self.names, columns: &columns, row })?;
            }
        }
        rows.end()
    }
}

/// Serializes the result of `query` as JSON: an array with one object per row.
pub(crate) fn json(answer: &QueryResult, query: &TableQuery) -> serde_json::Result<Vec<u8>> {
    let names: Vec<String> = query.selected_columns().map(|column| column.name.clone()).collect();
    serde_json::to_vec(&JsonRows { answer, names: &names })
}

/// Returns the fields of a result with the catalog's names.
pub(super) fn renamed_fields(answer: &QueryResult, query: &TableQuery) -> Vec<Field> {
    query
        .selected_columns()
        .zip(&answer.fields)
        .map(|(column, field)| Field { name: column.name.clone(), ..field.clone() })
        .collect()
}

/// Encodes the result of `query` as a file.
pub(crate) fn file(
    answer: &QueryResult,
    query: &TableQuery,
    format: DownloadFormat,
    safe: bool,
) -> Result<Vec<u8>, DownloadError> {
    let columns = renamed_fields(answer, query);
    let wanted: Vec<usize> = (0..columns.len()).collect();
    let empty = duckdb::arrow::record_batch::RecordBatch::new_empty(answer.schema.clone());
    let mut batches = [empty].into_iter().chain(answer.batches.iter().cloned()).map(|batch| {
        batch.project(&wanted).map_err(|error| DownloadError::Format(error.to_string()))
    });
    let mut out = Vec::new();
    download::write(
        format,
        &DownloadOptions { columns, escape_formulas: safe },
        &mut || batches.next(),
        &mut out,
    )?;
    Ok(out)
}

/// The estimated size of a download in each format, in bytes.
pub(crate) type Sizes = Vec<(DownloadFormat, u64)>;

/// The number of rows on which estimates are based.
const SAMPLE: u64 = 2_000;

/// Encodes the first rows in each format and extrapolates.
pub(crate) async fn estimate_sizes(
    pin: &Pin,
    query: &TableQuery,
    rows: u64,
) -> Result<Sizes, ReaderError> {
    let mut answers = Vec::new();
    for format in DownloadFormat::ALL {
        let answer = pin
            .query(
                query.with_usual_layout(format.layout()).page(&PageStart::Offset(0), SAMPLE),
                QueryLimits::for_page(),
            )
            .await?;
        answers.push((format, answer));
    }
    let query = query.clone();
    let sized = tokio::task::spawn_blocking(move || {
        let size = |(format, answer): (DownloadFormat, std::sync::Arc<QueryResult>)| {
            let whole = file(&answer, &query, format, false).ok()?.len() as u64;
            if answer.rows as u64 >= rows {
                return Some((format, whole));
            }
            let none = QueryResult { batches: Vec::new(), rows: 0, ..(*answer).clone() };
            let frame = file(&none, &query, format, false).ok()?.len() as u64;
            let row = whole.saturating_sub(frame) as f64 / (answer.rows.max(1) as f64);
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a size is not negative, and an estimate"
            )]
            Some((format, frame + (row * rows as f64) as u64))
        };
        answers.into_iter().filter_map(size).collect()
    });
    Ok(sized.await.unwrap_or_default())
}

/// Summarizes each selected column of the rows that `query` matches; `None` for columns that take
/// too long.
pub(crate) async fn summary(pin: &Pin, query: &TableQuery) -> Vec<Option<ColumnSummary>> {
    join_all(query.selected_columns().enumerate().map(|(at, column)| {
        let comparable = TypeClass::of(&column.data_type).is_sortable();
        let one = TableQuery {
            columns: query.columns.get(at).copied().into_iter().collect(),
            ..query.clone()
        };
        async move {
            let answer = pin.query(one.summary(comparable), QueryLimits::for_page()).await.ok()?;
            let batch = answer.batches.first()?;
            let columns = values::columns(&answer.fields, batch);
            let text = |at: usize| {
                columns.get(at).and_then(|column| column.text(0)).map(std::borrow::Cow::into_owned)
            };
            let number =
                |at: usize| text(at).and_then(|text| text.parse().ok()).unwrap_or_default();
            Some(ColumnSummary {
                min: text(0),
                max: text(1),
                approx_distinct: number(2),
                nulls: number(3),
            })
        }
    }))
    .await
}

/// A value of a column and the number of its rows.
pub(crate) type ValueCount = (Option<String>, u64);

/// Columns with more distinct values have no list of common ones.
const MAX_DISTINCT: u64 = 100;
/// Listed values of a column.
const COMMON_VALUES: usize = 8;

/// Counts the most common values of each selected column with few distinct ones; empty for the
/// others.
pub(crate) async fn common_values(
    pin: &Pin,
    query: &TableQuery,
    summaries: &[Option<ColumnSummary>],
) -> Vec<Vec<ValueCount>> {
    let columns = query.selected_columns().zip(summaries).enumerate();
    join_all(columns.map(|(at, (column, summary))| {
        let few = summary.as_ref().is_some_and(|summary| summary.approx_distinct <= MAX_DISTINCT);
        let class = TypeClass::of(&column.data_type);
        let is_name = matches!(class, TypeClass::Text | TypeClass::Label | TypeClass::Boolean);
        let one = TableQuery {
            columns: query.columns.get(at).copied().into_iter().collect(),
            ..query.clone()
        };
        async move {
            if !few || !is_name {
                return Vec::new();
            }
            counted_values(pin, &one, COMMON_VALUES).await
        }
    }))
    .await
}

/// Counts the rows of the most common values of the first selected column; empty if that takes too
/// long.
pub(crate) async fn counted_values(pin: &Pin, query: &TableQuery, limit: usize) -> Vec<ValueCount> {
    let Ok(answer) = pin.query(query.common_values(limit), QueryLimits::for_page()).await else {
        return Vec::new();
    };
    let mut counts = Vec::new();
    for batch in &answer.batches {
        let columns = values::columns(&answer.fields, batch);
        for row in 0..batch.num_rows() {
            let text = columns[0].text(row).map(std::borrow::Cow::into_owned);
            let rows = columns[1].text(row).and_then(|text| text.parse().ok());
            counts.push((text, rows.unwrap_or_default()));
        }
    }
    counts
}
