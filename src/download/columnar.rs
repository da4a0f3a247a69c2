//! Parquet and Arrow: batches as they are, but for what only DuckDB knows.

use std::{io::Write, sync::Arc};

use arrow_ipc::writer::FileWriter;
use duckdb::arrow::{
    compute::{cast, concat_batches},
    datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit},
    record_batch::{RecordBatch, RecordBatchOptions},
};
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};

use super::{Batches, DownloadError, Options, fields};

/// Rows of one group in a Parquet file, as DuckDB writes it.
const GROUP: usize = 122_880;
/// Rows of one batch in an Arrow file.
const BATCH: usize = 65_536;

pub(super) fn parquet(options: &Options, batches: &mut Batches<'_>, out: impl Write + Send) -> Result<u64, DownloadError> {
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).set_max_row_group_row_count(Some(GROUP)).build();
    let (mut rows, mut writer, mut out) = (0, None::<(SchemaRef, ArrowWriter<_>)>, Some(out));
    while let Some(batch) = batches() {
        let batch = batch?;
        if let Some(out) = out.take() {
            let schema = understood(options, &batch);
            writer = Some((schema.clone(), ArrowWriter::try_new(out, schema, Some(properties.clone())).map_err(parquet_error)?));
        }
        if let Some((schema, writer)) = &mut writer {
            writer.write(&translated(schema, &batch)?).map_err(parquet_error)?;
        }
        rows += batch.num_rows() as u64;
    }
    if let Some((_, writer)) = writer {
        writer.close().map_err(parquet_error)?;
    }
    Ok(rows)
}

pub(super) fn arrow(options: &Options, batches: &mut Batches<'_>, out: impl Write) -> Result<u64, DownloadError> {
    let (mut rows, mut waiting, mut gathered) = (0, 0, Vec::<RecordBatch>::new());
    let (mut writer, mut out) = (None::<(SchemaRef, FileWriter<_>)>, Some(out));
    while let Some(batch) = batches() {
        let batch = batch?;
        if let Some(out) = out.take() {
            let schema = understood(options, &batch);
            writer = Some((schema.clone(), FileWriter::try_new(out, &schema).map_err(DownloadError::format)?));
        }
        let Some((schema, writer)) = &mut writer else { continue };
        rows += batch.num_rows() as u64;
        waiting += batch.num_rows();
        gathered.push(translated(schema, &batch)?);
        if waiting >= BATCH {
            writer.write(&concat_batches(schema, &gathered).map_err(DownloadError::format)?).map_err(DownloadError::format)?;
            gathered.clear();
            waiting = 0;
        }
    }
    if let Some((schema, mut writer)) = writer {
        if waiting > 0 {
            writer.write(&concat_batches(&schema, &gathered).map_err(DownloadError::format)?).map_err(DownloadError::format)?;
        }
        writer.finish().map_err(DownloadError::format)?;
    }
    Ok(rows)
}

fn parquet_error(error: parquet::errors::ParquetError) -> DownloadError {
    match error {
        parquet::errors::ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
            Ok(cause) => DownloadError::Write(*cause),
            Err(cause) => DownloadError::Format(cause.to_string()),
        },
        error => DownloadError::format(error),
    }
}

/// The schema that the file has: names as they are to be, and no types that only DuckDB knows.
fn understood(options: &Options, batch: &RecordBatch) -> SchemaRef {
    let schema = batch.schema();
    let named = schema.fields().iter().zip(fields(options, batch)).map(|(field, column)| plain(field).with_name(column.name));
    Arc::new(Schema::new(named.collect::<Vec<_>>()))
}

/// The field without DuckDB's notes on it, which would make other programs take it for something they do not know.
fn plain(field: &Field) -> Field {
    let boolean = field.metadata().get("ARROW:extension:name").is_some_and(|name| name == "arrow.bool8");
    let data_type = if boolean { DataType::Boolean } else { plain_type(field.data_type()) };
    Field::new(field.name(), data_type, field.is_nullable())
}

fn plain_type(data_type: &DataType) -> DataType {
    let inner = |field: &Arc<Field>| Arc::new(plain(field));
    match data_type {
        DataType::List(item) => DataType::List(inner(item)),
        DataType::LargeList(item) => DataType::LargeList(inner(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(inner(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect::<Fields>()),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        // Parquet has no seconds.
        DataType::Timestamp(TimeUnit::Second, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
        other => other.clone(),
    }
}

fn translated(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, DownloadError> {
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        if column.data_type() == field.data_type() {
            Ok(column.clone())
        } else {
            cast(column, field.data_type()).map_err(DownloadError::format)
        }
    });
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns.collect::<Result<_, _>>()?, &rows).map_err(DownloadError::format)
}
