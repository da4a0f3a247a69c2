//! Answers of a bounded size: a page of rows as text for people, as JSON and as a small file; what is in each column; how large files become.

use futures_util::future::join_all;
use materia::{
    download::{self, DownloadError, Format, Options},
    reader::{Answer, ColumnSummary, Limits, Pin, ReaderError},
    tables::{Kind, Place, TableQuery},
    values::{self, Field},
};
use serde::{Serialize, Serializer};

/// Rows as people read them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TableRows {
    pub(crate) cells: Vec<Vec<Option<String>>>,
}

impl TableRows {
    /// The first `columns` columns of an answer.
    pub(crate) fn of(answer: &Answer, columns: usize) -> Self {
        let cells = answer.batches.iter().flat_map(|batch| {
            let views = values::columns(&answer.fields, batch);
            let cell = |column: &values::Column<'_>, row| column.text(row).map(std::borrow::Cow::into_owned);
            (0..batch.num_rows()).map(|row| views.iter().take(columns).map(|column| cell(column, row)).collect()).collect::<Vec<_>>()
        });
        Self { cells: cells.collect() }
    }
}

/// An answer as an array of objects.
struct Objects<'a> {
    answer: &'a Answer,
    names: &'a [String],
}

struct Object<'b, 'c, 'a> {
    names: &'b [String],
    columns: &'c [values::Column<'a>],
    row: usize,
}

impl Serialize for Object<'_, '_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.names.iter().zip(self.columns.iter().map(|column| column.cell(self.row))))
    }
}

impl Serialize for Objects<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq;
        let mut rows = serializer.serialize_seq(Some(self.answer.rows))?;
        for batch in &self.answer.batches {
            let columns = values::columns(&self.answer.fields, batch);
            for row in 0..batch.num_rows() {
                rows.serialize_element(&Object { names: self.names, columns: &columns, row })?;
            }
        }
        rows.end()
    }
}

/// An answer to `query` as JSON: an array with an object for each row.
pub(crate) fn json(answer: &Answer, query: &TableQuery) -> serde_json::Result<Vec<u8>> {
    let names: Vec<String> = query.chosen().map(|column| column.name.clone()).collect();
    serde_json::to_vec(&Objects { answer, names: &names })
}

/// The columns of an answer to `query`, as the catalog names them.
pub(super) fn named(answer: &Answer, query: &TableQuery) -> Vec<Field> {
    query.chosen().zip(&answer.fields).map(|(column, field)| Field { name: column.name.clone(), ..field.clone() }).collect()
}

/// An answer to `query` as a file.
pub(crate) fn file(answer: &Answer, query: &TableQuery, format: Format, safe: bool) -> Result<Vec<u8>, DownloadError> {
    let columns = named(answer, query);
    let wanted: Vec<usize> = (0..columns.len()).collect();
    let empty = duckdb::arrow::record_batch::RecordBatch::new_empty(answer.schema.clone());
    let mut batches = [empty]
        .into_iter()
        .chain(answer.batches.iter().cloned())
        .map(|batch| batch.project(&wanted).map_err(|error| DownloadError::Format(error.to_string())));
    let mut out = Vec::new();
    download::write(format, &Options { columns, safe_for_spreadsheets: safe }, &mut || batches.next(), &mut out)?;
    Ok(out)
}

/// About how large a file of all rows becomes, in each format.
pub(crate) type Sizes = Vec<(Format, u64)>;

/// Rows that sizes are told from.
const SAMPLE: u64 = 2_000;

/// Writes the first rows in each format and reckons from them.
pub(crate) async fn sizes(pin: &Pin, query: &TableQuery, rows: u64) -> Result<Sizes, ReaderError> {
    let mut answers = Vec::new();
    for format in Format::ALL {
        let answer = pin.ask(query.page(&Place::Offset(0), SAMPLE, format.layout()), Limits::page()).await?;
        answers.push((format, answer));
    }
    let query = query.clone();
    let sized = tokio::task::spawn_blocking(move || {
        let size = |(format, answer): (Format, std::sync::Arc<Answer>)| {
            let whole = file(&answer, &query, format, false).ok()?.len() as u64;
            if answer.rows as u64 >= rows {
                return Some((format, whole));
            }
            let none = Answer { batches: Vec::new(), rows: 0, ..(*answer).clone() };
            let frame = file(&none, &query, format, false).ok()?.len() as u64;
            let row = whole.saturating_sub(frame) as f64 / (answer.rows.max(1) as f64);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size is not negative, and an estimate")]
            Some((format, frame + (row * rows as f64) as u64))
        };
        answers.into_iter().filter_map(size).collect()
    });
    Ok(sized.await.unwrap_or_default())
}

/// What is in each chosen column, of the rows that the question is about; nothing for those that take too long.
pub(crate) async fn summary(pin: &Pin, query: &TableQuery) -> Vec<Option<ColumnSummary>> {
    join_all(query.chosen().enumerate().map(|(at, column)| {
        let comparable = Kind::of(&column.data_type).sorts();
        let one = TableQuery { columns: query.columns.get(at).copied().into_iter().collect(), ..query.clone() };
        async move {
            let answer = pin.ask(one.summary(comparable), Limits::page()).await.ok()?;
            let batch = answer.batches.first()?;
            let columns = values::columns(&answer.fields, batch);
            let text = |at: usize| columns.get(at).and_then(|column| column.text(0)).map(std::borrow::Cow::into_owned);
            let number = |at: usize| text(at).and_then(|text| text.parse().ok()).unwrap_or_default();
            Some(ColumnSummary { min: text(0), max: text(1), approx_distinct: number(2), nulls: number(3) })
        }
    }))
    .await
}
