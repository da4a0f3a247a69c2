//! The rows of a changed table that need not be copied: those from its start that are the served
//! ones, value for value and in the same order.
//!
//! Most large tables grow at their end, or have their last days rewritten. The manifest has a
//! digest of each [`ROW_GROUP_ROWS`] rows of a table (`content.rs`). The lakehouse's rows are
//! digested in the same way until the first difference; in the staged file, which starts as a copy
//! of the served one, the rows after it are deleted and copied.
//!
//! Row groups whose storage in the lakehouse is as it was when the served rows were copied need not
//! be digested: the manifest has their fingerprints (`fingerprint/segments.rs`), which are computed
//! from blocks that are hashed anyway. DuckDB does not rewrite row groups when it appends or deletes
//! others.
//!
//! A digest covers every value and the number of its row, and counts the rows: equal digests from
//! the start mean the same rows in the same order, wherever their blocks lie and whether or not the
//! table was rebuilt. A row that was only marked as deleted leaves a gap in the numbers and thereby
//! ends what is kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::{
    ExportError,
    content::{self, ROW_GROUP_ROWS},
    engine::Engine,
    fingerprint::{
        ContentFingerprint, Fingerprint,
        row_source::{self, RowSource},
    },
    plan::{ExportPlan, TablePlan},
};
use crate::sql;
use crate::store::{Manifest, TableManifest};

/// Largest accepted number of row groups, relative to full ones: above it the table is copied
/// whole, so that scans stay as fast as in a file that was written once.
const MAX_ROW_GROUP_RATIO: f64 = 1.1;
/// Row groups that are accepted in addition, whatever the size of the table.
const MIN_ROW_GROUPS: f64 = 4.0;

/// Smallest share of the served rows for which keeping them is worthwhile.
const MIN_KEPT_RATIO: f64 = 0.2;

/// The unchanged rows at the start of a table, and where to copy the others from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnchangedRows {
    /// Their number: a multiple of [`ROW_GROUP_ROWS`].
    pub(super) rows: u64,
    source: RowSource,
}

/// Returns the unchanged rows of each table that is not in `same` and has any.
///
/// Everything about such a table but its rows must be as it is served. Tables with `order_by`, and
/// views that compute or filter, have none.
pub(super) fn find(
    engine: &Engine,
    plan: &ExportPlan,
    fingerprints: &[Fingerprint],
    served: &Manifest,
    same: &BTreeSet<String>,
) -> Result<BTreeMap<String, UnchangedRows>, ExportError> {
    let candidates: Vec<_> = plan
        .tables
        .iter()
        .zip(fingerprints)
        .filter(|(table, _)| !same.contains(&table.name))
        .filter_map(|(table, fingerprint)| {
            Some((table, fingerprint.as_ref().ok()?, served.table(&table.name)?))
        })
        .filter(|(table, _, served)| may_be_extended(table, served))
        .collect();
    let tables: Vec<_> = candidates.iter().map(|(table, ..)| *table).collect();
    let mut sources = row_source::find(engine, plan, &tables)?;
    let mut unchanged = BTreeMap::new();
    for (table, fingerprint, served) in candidates {
        let Some(source) = sources.remove(&table.name) else { continue };
        let rows = count_unchanged(engine, table, fingerprint, served, &source)?;
        if rows > 0 && rows as f64 >= served.rows as f64 * MIN_KEPT_RATIO {
            unchanged.insert(table.name.clone(), UnchangedRows { rows, source });
        }
    }
    Ok(unchanged)
}

fn may_be_extended(table: &TablePlan, served: &TableManifest) -> bool {
    !served.row_groups.is_empty()
        && served.kind == table.kind
        && served.comment == table.comment
        && served.columns == table.columns
        && !content::hides_row_number(&table.columns)
        && content::is_hashable(&table.columns)
}

/// Returns the number of rows from the start that are the served ones. The steps grow, so that a
/// table that was rewritten from its start costs little.
fn count_unchanged(
    engine: &Engine,
    table: &TablePlan,
    fingerprint: &ContentFingerprint,
    served: &TableManifest,
    source: &RowSource,
) -> Result<u64, ExportError> {
    let full: Vec<_> =
        served.row_groups.iter().take_while(|group| content::is_full(group)).collect();
    let digests = |groups: Range<usize>| {
        let groups = groups.start as u64..groups.end as u64;
        match content::groups(engine, &source.numbered(), &table.columns, &groups) {
            // DuckDB's own error, raised when it copies, describes a damaged table best.
            Err(ExportError::Engine { .. }) => Ok(Vec::new()),
            found => found,
        }
    };
    let count_equal = |groups: Range<usize>| {
        let found = digests(groups.clone())?;
        let equal = full[groups].iter().zip(&found).take_while(|(one, other)| *one == other);
        Ok::<_, ExportError>(equal.count())
    };
    let stored = served.stored_row_groups.iter().zip(&fingerprint.row_groups);
    let stored = stored.take_while(|(one, other)| one == other).count().min(full.len());
    // The values of one of the row groups are compared as well: it costs little, and would show if a
    // later DuckDB stored a table in a way that its fingerprint does not cover.
    let is_confirmed = stored > 0 && count_equal(stored - 1..stored)? == 1;
    let (mut equal, mut step) = (if is_confirmed { stored } else { 0 }, 1);
    while equal < full.len() {
        let end = full.len().min(equal + step);
        equal += count_equal(equal..end)?;
        if equal < end {
            break;
        }
        step *= 2;
    }
    Ok(equal as u64 * ROW_GROUP_ROWS)
}

/// The rows of a staged table that stay; the others are deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeptRows {
    pub(super) rows: u64,
    source: RowSource,
}

impl KeptRows {
    /// Returns how many rows can stay in a staged table that is a copy of the served one: those in
    /// whole row groups, because deleting a part of one would leave gaps in the row numbers.
    /// `create` creates the table as it would be created now, in the catalog `memory`.
    pub(super) fn find(
        engine: &Engine,
        unchanged: &UnchangedRows,
        (catalog, schema, name): (&str, &str, &str),
        create: &str,
    ) -> Result<Option<Self>, ExportError> {
        // The declaration of a copy: types with their collations, and constraints.
        let declaration = |catalog: &str| {
            let query = "
                SELECT sql FROM duckdb_tables()
                WHERE database_name = ? AND schema_name = ? AND table_name = ?";
            engine.query_strings(query, &[catalog, schema, name])
        };
        let staged = declaration(catalog)?;
        engine.execute_batch(&format!(
            "BEGIN; CREATE SCHEMA IF NOT EXISTS memory.{}; {create}",
            sql::ident(schema)
        ))?;
        let created = declaration("memory");
        engine.execute_batch("ROLLBACK")?;
        if staged.len() != 1 || created? != staged {
            return Ok(None);
        }
        // The first column path of a row group is a column's own; lists have longer ones below.
        let query = "
            SELECT arg_min(rows, column_path)::UBIGINT FROM (
                SELECT row_group_id, column_path, sum(count) AS rows FROM pragma_storage_info(?)
                WHERE column_id = 0 GROUP BY ALL)
            GROUP BY row_group_id ORDER BY row_group_id";
        let table = sql::path(&[catalog, schema, name]);
        let groups: Vec<u64> = engine.rows(query, &[&table], |row| row.get(0))?;
        let total: u64 = groups.iter().sum();
        let full = total.div_ceil(ROW_GROUP_ROWS) as f64;
        let is_fragmented = groups.len() as f64 > full * MAX_ROW_GROUP_RATIO + MIN_ROW_GROUPS;
        let count = engine.query_u64(&format!("SELECT count(*) FROM {table}"))?;
        if is_fragmented || count != total {
            return Ok(None);
        }
        let mut rows = 0;
        for group in groups {
            if rows + group > unchanged.rows {
                break;
            }
            rows += group;
        }
        Ok((rows > 0).then(|| Self { rows, source: unchanged.source.clone() }))
    }

    /// Returns the statement that deletes the other rows of the staged table.
    pub(super) fn delete_sql(&self, staged: &str) -> String {
        format!("DELETE FROM {staged} WHERE rowid >= {};", self.rows)
    }

    /// Returns whether the staged table has exactly these rows after a checkpoint, numbered without
    /// gaps.
    pub(super) fn are_left(&self, engine: &Engine, staged: &str) -> Result<bool, ExportError> {
        let query = format!(
            "SELECT (count(*) = {0} AND max(rowid) = {0} - 1)::UBIGINT FROM {staged}",
            self.rows
        );
        Ok(engine.query_u64(&query)? == 1)
    }

    /// Returns the statement that copies the following rows from the lakehouse.
    pub(super) fn insert_sql(&self, staged: &str) -> String {
        format!(
            "INSERT INTO {staged} SELECT {} FROM {} WHERE rowid >= {}",
            self.source.column_list(),
            self.source.table,
            self.rows
        )
    }
}
