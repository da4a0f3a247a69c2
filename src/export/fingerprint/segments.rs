//! How a table is stored, as DuckDB tells it.

use xxhash_rust::xxh3::Xxh3;

use super::{TableName, blocks::Blocks};
use crate::{
    export::{ExportError, engine::Engine, error::reason},
    sql,
};

/// How a table is stored: everything about its segments but the bytes in their blocks, and which of its rows are alive.
pub(super) struct Outline {
    /// The table's own statement: types, names of fields, collations.
    declared: String,
    segments: Vec<Segment>,
    /// Their number, and a hash of where they are: a deleted row is only marked, in a block of its own kind that is not listed.
    alive: (u64, String),
}

/// A part of a column.
struct Segment {
    /// Which column and rows, and how they are compressed. A segment of one value has no block: its value is here.
    outline: String,
    /// Its blocks, the one it begins in first.
    blocks: Vec<u64>,
}

/// Looks at how a table is stored; why that says nothing about its content, where it does not.
pub(super) fn outline(engine: &Engine, catalog: &str, table: &TableName, declared: &str) -> Result<Result<Outline, String>, ExportError> {
    match look(engine, catalog, table, declared) {
        // What is wrong with the table is told best by DuckDB, when it copies.
        Err(ExportError::Engine { source, .. }) => Ok(Err(format!("how it is stored cannot be looked at: {}", reason(&source)))),
        looked => looked,
    }
}

fn look(engine: &Engine, catalog: &str, (schema, name): &TableName, declared: &str) -> Result<Result<Outline, String>, ExportError> {
    if declared.contains(" GENERATED ALWAYS AS") {
        return Ok(Err(format!("{schema}.{name} has generated columns")));
    }
    let table = sql::path(&[catalog, schema, name]);
    // Rows come in the order of row groups and columns, whatever the number of threads.
    let query = "
        SELECT concat_ws(' ', row_group_id, column_id, column_path, segment_id, segment_type, start, count, compression, block_offset,
                         CASE WHEN block_id < 0 THEN stats::VARCHAR END),
               persistent AND NOT has_updates AND lower(column_name) <> 'rowid', block_id, array_to_string(additional_block_ids, ' ')
        FROM pragma_storage_info(?)";
    let Some(segments) = engine.rows(query, &[&table], Segment::read)?.into_iter().collect() else {
        return Ok(Err(format!("{schema}.{name} is partly in the log that its last writer left, or has a column called rowid")));
    };
    let alive = format!("SELECT count(*), coalesce(bit_xor(hash(rowid)), 0)::VARCHAR FROM {table}");
    let alive = engine.rows(&alive, &[], |row| Ok((row.get(0)?, row.get(1)?)))?.pop().unwrap_or_default();
    Ok(Ok(Outline { declared: declared.to_owned(), segments, alive }))
}

impl Segment {
    /// `None` for a segment that is not, or not as it is now, in the file.
    fn read(row: &duckdb::Row<'_>) -> duckdb::Result<Option<Self>> {
        let (stored, block): (Option<bool>, Option<i64>) = (row.get(1)?, row.get(2)?);
        let more: Option<String> = row.get(3)?;
        let more = more.unwrap_or_default().split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>();
        let (Some(true), Some(block), Ok(more)) = (stored, block, more) else { return Ok(None) };
        // A segment of one value is in block -1.
        Ok(Some(Self { outline: row.get(0)?, blocks: u64::try_from(block).into_iter().chain(more).collect() }))
    }
}

impl Outline {
    /// The blocks that the table's segments are in.
    pub(super) fn blocks(&self) -> impl Iterator<Item = u64> {
        self.segments.iter().flat_map(|segment| segment.blocks.iter().copied())
    }

    /// What the table's content is recognised by. Where its blocks are in the file does not matter, only what is in them.
    pub(super) fn digest(&self, blocks: &Blocks) -> Result<String, String> {
        let mut hasher = Xxh3::new();
        let mut text = |text: &str| {
            hasher.update(&text.len().to_le_bytes());
            hasher.update(text.as_bytes());
        };
        text(&self.declared);
        text(&format!("{:?}", self.alive));
        for segment in &self.segments {
            text(&segment.outline);
            for block in &segment.blocks {
                let hash = blocks.hash(*block).ok_or_else(|| format!("block {block} was not read"))?;
                text(&format!("{hash:032x}"));
            }
        }
        Ok(format!("{:032x}", hasher.digest128()))
    }
}
