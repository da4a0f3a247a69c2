//! The storage layout of a table, as DuckDB reports it.

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::Xxh3;

use super::{TableName, blocks::Blocks};
use crate::{
    export::{ExportError, content::ROW_GROUP_ROWS, engine::Engine, error::reason},
    sql,
};

/// Tables that are read with one query, because planning a query costs more than reading a small
/// table's layout.
pub(super) const TABLES_PER_QUERY: usize = 100;

/// The storage layout of a table: everything about its segments but the bytes in their blocks, and
/// which of its rows are alive.
pub(super) struct StorageLayout {
    /// The table's own statement: types, field names, collations.
    declared: String,
    /// In the order of row groups and columns.
    segments: Vec<Segment>,
    /// The number of live rows, and a hash of their positions: a deleted row is only marked, in a
    /// kind of block that is not listed.
    alive: (u64, String),
    /// The number of row groups from the start that have [`ROW_GROUP_ROWS`] live rows each, so that
    /// their rows are numbered without gaps.
    full_row_groups: u64,
}

/// In the order in which they are compared.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Segment {
    row_group: u64,
    column: u64,
    /// The column itself, or its null mask, fields or elements.
    column_path: String,
    number: u64,
    rows: u64,
    /// Everything else. A constant segment has no block: its value is here.
    outline: String,
    /// Its blocks, the first one first.
    blocks: Vec<u64>,
}

/// The result of reading a table's layout, or why it does not identify the content.
type Read = Result<StorageLayout, String>;

/// Reads the storage layouts of tables, each with its statement, in their order.
pub(super) fn read_storage_layouts(
    engine: &Engine,
    catalog: &str,
    tables: &[(&TableName, &str)],
) -> Result<Vec<Read>, ExportError> {
    match inspect(engine, catalog, tables) {
        // One of them cannot be read.
        Err(ExportError::Engine { .. }) if tables.len() > 1 => {
            let mut layouts = Vec::with_capacity(tables.len());
            for table in tables {
                layouts.extend(read_storage_layouts(engine, catalog, &[*table])?);
            }
            Ok(layouts)
        }
        // DuckDB's own error, raised when it copies, describes a damaged table best.
        Err(ExportError::Engine { source, .. }) => {
            Ok(vec![Err(format!("its storage cannot be inspected: {}", reason(&source)))])
        }
        inspected => inspected,
    }
}

fn inspect(
    engine: &Engine,
    catalog: &str,
    tables: &[(&TableName, &str)],
) -> Result<Vec<Read>, ExportError> {
    let mut paths: Paths = tables
        .iter()
        .enumerate()
        .filter(|(_, (_, declared))| !declared.contains(" GENERATED ALWAYS AS"))
        .map(|(at, ((schema, name), _))| (at, sql::path(&[catalog, schema, name])))
        .collect();
    let mut read = segments(engine, &paths)?;
    paths.retain(|at, _| !read.unstored.contains(at));
    let mut alive = alive(engine, &paths)?;
    let mut layouts = Vec::with_capacity(tables.len());
    for (at, ((schema, name), declared)) in tables.iter().enumerate() {
        let layout = if let Some(path) = paths.get(&at) {
            let mut segments = read.segments.remove(&at).unwrap_or_default();
            segments.sort();
            // An empty table has no group of rows.
            let alive = alive.remove(&at).unwrap_or_else(|| (0, "0".to_owned()));
            let full_row_groups = count_full_row_groups(engine, path, &segments, alive.0)?;
            let declared = (*declared).to_owned();
            Ok(StorageLayout { declared, segments, alive, full_row_groups })
        } else if read.unstored.contains(&at) {
            Err(format!(
                "{schema}.{name} is partly in the log that its last writer left, or has a column called rowid"
            ))
        } else {
            Err(format!("{schema}.{name} has generated columns"))
        };
        layouts.push(layout);
    }
    Ok(layouts)
}

/// Qualified names of tables in SQL, by their place in the list.
type Paths = BTreeMap<usize, String>;

#[derive(Default)]
struct Segments {
    segments: BTreeMap<usize, Vec<Segment>>,
    /// Tables with a segment whose current state is not in the file.
    unstored: BTreeSet<usize>,
}

/// Returns the segments of tables, by their place in the list.
fn segments(engine: &Engine, paths: &Paths) -> Result<Segments, ExportError> {
    let mut read = Segments::default();
    if paths.is_empty() {
        return Ok(read);
    }
    let each = union(paths, |at, path| {
        format!("SELECT {at} AS place, * FROM pragma_storage_info({})", sql::literal(path))
    });
    let query = format!(
        "SELECT place, row_group_id, column_id, column_path, segment_id, count,
                concat_ws(' ', segment_type, start, compression, block_offset, CASE WHEN block_id < 0 THEN stats::VARCHAR END),
                persistent AND NOT has_updates AND lower(column_name) <> 'rowid', block_id, array_to_string(additional_block_ids, ' ')
         FROM ({each})"
    );
    for (place, segment) in
        engine.rows(&query, &[], |row| Ok((row.get::<_, usize>(0)?, Segment::read(row)?)))?
    {
        match segment {
            Some(segment) => read.segments.entry(place).or_default().push(segment),
            None => drop(read.unstored.insert(place)),
        }
    }
    Ok(read)
}

/// Returns the number of live rows of each table and a hash of their positions, by its place in the
/// list.
fn alive(engine: &Engine, paths: &Paths) -> Result<BTreeMap<usize, (u64, String)>, ExportError> {
    const FIGURES: &str = "count(*), coalesce(bit_xor(hash(rowid)), 0)::VARCHAR";
    let query = match paths.len() {
        0 => return Ok(BTreeMap::new()),
        // Without groups, positions are hashed several times faster.
        1 => union(paths, |at, path| format!("SELECT {at}, {FIGURES} FROM {path}")),
        _ => {
            let each = union(paths, |at, path| format!("SELECT {at} AS place, rowid FROM {path}"));
            format!("SELECT place, {FIGURES} FROM ({each}) GROUP BY place")
        }
    };
    let alive = engine.rows(&query, &[], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
    Ok(alive.into_iter().collect())
}

/// Joins one query per table.
fn union(paths: &Paths, query: impl Fn(usize, &str) -> String) -> String {
    let queries: Vec<_> = paths.iter().map(|(at, path)| query(*at, path)).collect();
    queries.join(" UNION ALL ")
}

/// Returns how many row groups from the start have [`ROW_GROUP_ROWS`] live rows.
fn count_full_row_groups(
    engine: &Engine,
    path: &str,
    segments: &[Segment],
    alive: u64,
) -> Result<u64, ExportError> {
    let mut rows = BTreeMap::<u64, (&str, u64)>::new();
    for segment in segments.iter().filter(|segment| segment.column == 0) {
        // The first path of a row group counts its rows; lists have others below it.
        let (path, rows) =
            rows.entry(segment.row_group).or_insert((segment.column_path.as_str(), 0));
        if *path == segment.column_path {
            *rows += segment.rows;
        }
    }
    let is_full = |(at, (row_group, (_, rows))): &(u64, (&u64, &(&str, u64)))| {
        at == *row_group && *rows == ROW_GROUP_ROWS
    };
    let full = (0..).zip(&rows).take_while(is_full).count() as u64;
    if full == 0 || alive == rows.values().map(|(_, rows)| rows).sum::<u64>() {
        return Ok(full);
    }
    let query = format!(
        "SELECT rowid // {ROW_GROUP_ROWS} AS row_group FROM {path} WHERE rowid < {}
         GROUP BY row_group HAVING count(*) = {ROW_GROUP_ROWS} ORDER BY row_group",
        full * ROW_GROUP_ROWS
    );
    let whole: Vec<u64> = engine.rows(&query, &[], |row| row.get(0))?;
    Ok((0..).zip(whole).take_while(|(at, row_group)| at == row_group).count() as u64)
}

impl Segment {
    /// Returns `None` for a segment whose current state is not in the file.
    fn read(row: &duckdb::Row<'_>) -> duckdb::Result<Option<Self>> {
        let (stored, block): (Option<bool>, Option<i64>) = (row.get(7)?, row.get(8)?);
        let more: Option<String> = row.get(9)?;
        let more = more
            .unwrap_or_default()
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<Vec<u64>, _>>();
        let (Some(true), Some(block), Ok(more)) = (stored, block, more) else { return Ok(None) };
        // A constant segment has block number -1.
        Ok(Some(Self {
            row_group: row.get(1)?,
            column: row.get(2)?,
            column_path: row.get(3)?,
            number: row.get(4)?,
            rows: row.get(5)?,
            outline: row.get(6)?,
            blocks: u64::try_from(block).into_iter().chain(more).collect(),
        }))
    }

    /// Adds everything about the segment to a digest, including the bytes of its blocks.
    fn add_to(&self, hasher: &mut Xxh3, blocks: &Blocks) -> Result<(), String> {
        let Self { row_group, column, column_path, number, rows, outline, .. } = self;
        add(hasher, &format!("{row_group} {column} {column_path} {number} {rows} {outline}"));
        for block in &self.blocks {
            let hash = blocks.hash(*block).ok_or_else(|| format!("block {block} was not read"))?;
            add(hasher, &format!("{hash:032x}"));
        }
        Ok(())
    }
}

fn add(hasher: &mut Xxh3, text: &str) {
    hasher.update(&text.len().to_le_bytes());
    hasher.update(text.as_bytes());
}

impl StorageLayout {
    /// Returns the blocks of the table's segments.
    pub(super) fn blocks(&self) -> impl Iterator<Item = u64> {
        self.segments.iter().flat_map(|segment| segment.blocks.iter().copied())
    }

    /// Returns the table's fingerprint. It depends on the content of its blocks, not on their
    /// position in the file.
    pub(super) fn digest(&self, blocks: &Blocks) -> Result<String, String> {
        let mut hasher = Xxh3::new();
        add(&mut hasher, &self.declared);
        add(&mut hasher, &format!("{} {}", self.alive.0, self.alive.1));
        for segment in &self.segments {
            segment.add_to(&mut hasher, blocks)?;
        }
        Ok(format!("{:032x}", hasher.digest128()))
    }

    /// Returns such a digest of each full row group from the start. As long as it is the same, so
    /// are the rows of the group, whose numbers follow from its place.
    pub(super) fn row_group_digests(&self, blocks: &Blocks) -> Result<Vec<String>, String> {
        let mut segments = self.segments.iter().peekable();
        (0..self.full_row_groups)
            .map(|row_group| {
                let mut hasher = Xxh3::new();
                add(&mut hasher, &self.declared);
                while let Some(segment) = segments.next_if(|segment| segment.row_group == row_group)
                {
                    segment.add_to(&mut hasher, blocks)?;
                }
                Ok(format!("{:032x}", hasher.digest128()))
            })
            .collect()
    }
}
