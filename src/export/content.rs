//! A content digest of a table, which identifies equal copies whose storage differs, and digests of
//! its parts, by which the next export recognizes unchanged rows (`row_groups.rs`).
//!
//! It depends on every value, on its row and column, and on the order of the rows: two sums over
//! all rows, each of a hash of the row's values and its number, the second with the columns in
//! reverse. DuckDB's hash treats as equal what SQL treats as equal; where values that are equal in
//! SQL can still be distinguished (`0.0` and `-0.0`, an interval of a month and one of 30 days),
//! the distinguishing part is hashed as well.

use std::{collections::BTreeMap, ops::Range};

use super::{
    ExportError, ExportJob, TablePlan,
    engine::Engine,
    scratch::ScratchDir,
    stage::{StagedFile, StagedTable},
};
use crate::store::{Audit, ColumnManifest, Manifest};
use crate::{humanize, settings::Severity, sql};

/// Types whose values are equal in SQL only if they are identical in every respect.
const EXACT: [&str; 23] = [
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
    "VARCHAR",
    "BLOB",
    "DATE",
    "TIME",
    "TIME_NS",
    "TIMESTAMP",
    "TIMESTAMP_S",
    "TIMESTAMP_MS",
    "TIMESTAMP_NS",
    "TIMESTAMP WITH TIME ZONE",
    "UUID",
    "JSON",
];

/// Rows that share one digest: as many as a full row group of DuckDB has.
pub(super) const ROW_GROUP_ROWS: u64 = 122_880;

/// The digests of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TableDigests {
    /// Digest of the whole table; `None` if it has a type that DuckDB cannot hash.
    pub(super) content: Option<String>,
    /// Digest of each [`ROW_GROUP_ROWS`] rows, in order, the last rows included; empty if the table
    /// has fewer rows than that, or its rows cannot be addressed by number.
    pub(super) row_groups: Vec<String>,
}

impl TableDigests {
    /// Returns the digests of a table whose groups have these, in order.
    fn new(row_groups: Vec<String>, columns: &[ColumnManifest]) -> Self {
        let content = GroupDigest::total(&row_groups).map(|total| total.text());
        let is_addressable = is_gapless(&row_groups) && !hides_row_number(columns);
        let has_full = row_groups.first().is_some_and(|group| is_full(group));
        let row_groups = if is_addressable && has_full { row_groups } else { Vec::new() };
        Self { content, row_groups }
    }
}

/// Digest of the rows in one group: their number and two sums. The sums of all groups are the
/// table's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct GroupDigest {
    rows: u64,
    sums: [u128; 2],
}

impl GroupDigest {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (rows, one, other) = (parts.next()?, parts.next()?, parts.next()?);
        let digest =
            Self { rows: rows.parse().ok()?, sums: [one.parse().ok()?, other.parse().ok()?] };
        parts.next().is_none().then_some(digest)
    }

    fn add(self, other: Self) -> Self {
        let sum = |at: usize| self.sums[at].wrapping_add(other.sums[at]);
        Self { rows: self.rows + other.rows, sums: [sum(0), sum(1)] }
    }

    /// Returns the digest of all groups of a table.
    fn total(row_groups: &[String]) -> Option<Self> {
        row_groups.iter().try_fold(Self::default(), |total, group| {
            Self::parse(group).map(|group| total.add(group))
        })
    }

    fn text(&self) -> String {
        format!("{}-{}-{}", self.rows, self.sums[0], self.sums[1])
    }
}

/// Returns whether a group's digest is of [`ROW_GROUP_ROWS`] rows.
pub(super) fn is_full(group: &str) -> bool {
    GroupDigest::parse(group).is_some_and(|group| group.rows == ROW_GROUP_ROWS)
}

/// Returns the number of rows of a group, by its digest.
pub(super) fn rows(group: &str) -> u64 {
    GroupDigest::parse(group).map_or(0, |group| group.rows)
}

/// Returns whether the rows of these groups are numbered without gaps: only the last group may have
/// fewer rows.
fn is_gapless(row_groups: &[String]) -> bool {
    row_groups.split_last().is_none_or(|(_, others)| others.iter().all(|group| is_full(group)))
}

/// Returns the digests of a staged file's tables, in the plan's order. A table reused from the
/// served generation keeps the recorded ones, and one whose first rows were kept keeps theirs.
///
/// # Errors
/// The staged file cannot be opened, kept rows are not those that were published, or the export is
/// canceled.
pub(super) fn of_staged(
    staged: &StagedFile,
    tables: &[TablePlan],
    (schema, served): (&str, Option<&Manifest>),
    job: &ExportJob,
    work: &ScratchDir,
) -> Result<Vec<TableDigests>, ExportError> {
    let recorded = |table: &TablePlan| {
        let before = served?.table(&table.name)?;
        Some(TableDigests {
            content: before.content.clone(),
            row_groups: before.row_groups.clone(),
        })
    };
    let known: Vec<_> = tables
        .iter()
        .zip(&staged.tables)
        .map(|(table, copy)| {
            recorded(table).filter(|digests| copy.table_action.reused && digests.content.is_some())
        })
        .collect();
    if known.iter().all(Option::is_some) {
        return Ok(known.into_iter().flatten().collect());
    }
    let engine = Engine::open_isolated(&staged.path, &job.limits, &work.spill(), &job.cancel)?;
    let is_small =
        |((table, copy), known): &((&TablePlan, &StagedTable), &Option<TableDigests>)| {
            known.is_none() && copy.rows < ROW_GROUP_ROWS && is_hashable(&table.columns)
        };
    let small = tables.iter().zip(&staged.tables).zip(&known).filter(is_small);
    let small: Vec<_> =
        small.map(|((table, _), _)| (table, sql::path(&[schema, &table.name]))).collect();
    let mut small = of_small(&engine, &small)?;
    let of = |((table, copy), known): ((&TablePlan, &StagedTable), Option<TableDigests>)| {
        let path = sql::path(&[schema, &table.name]);
        match known {
            Some(known) => Ok(known),
            None if copy.kept_rows > 0 => {
                let before = recorded(table).unwrap_or_default().row_groups;
                of_extended(&engine, &path, table, copy, &before)
            }
            None => match small.remove(&table.name) {
                Some(groups) => Ok(TableDigests::new(groups, &table.columns)),
                None => digests(&engine, &path, &table.columns),
            },
        }
    };
    tables.iter().zip(&staged.tables).zip(known).map(of).collect()
}

/// Returns the digests of the groups of small tables, each with its path in SQL, by name. Many are
/// read with one query: planning one takes longer than reading them. Tables that cannot be read
/// together with others are left out.
fn of_small(
    engine: &Engine,
    tables: &[(&TablePlan, String)],
) -> Result<BTreeMap<String, Vec<String>>, ExportError> {
    const TABLES_PER_QUERY: usize = 100;
    let mut found = BTreeMap::new();
    for some in tables.chunks(TABLES_PER_QUERY) {
        let rows = some
            .iter()
            .enumerate()
            .map(|(at, (table, path))| hashed_rows(at, path, &table.columns, &(0..u64::MAX)));
        let query = query(&rows.collect::<Vec<_>>().join(" UNION ALL "));
        let read = |row: &duckdb::Row<'_>| Ok((row.get::<_, usize>(0)?, row.get::<_, String>(1)?));
        let digests = match engine.rows(&query, &[], read) {
            Err(ExportError::Engine { .. }) => continue,
            digests => digests?,
        };
        // A table without rows has no group.
        found.extend(some.iter().map(|(table, _)| (table.name.clone(), Vec::new())));
        for (at, digest) in digests {
            if let Some(groups) = found.get_mut(&some[at].0.name) {
                groups.push(digest);
            }
        }
    }
    Ok(found)
}

/// Returns the digests of a table whose first rows were kept. The last group of kept rows is read
/// again and compared with its recorded digest; those before it are in the same blocks as in the
/// served file, whose bytes were verified.
fn of_extended(
    engine: &Engine,
    path: &str,
    table: &TablePlan,
    copy: &StagedTable,
    before: &[String],
) -> Result<TableDigests, ExportError> {
    let kept = usize::try_from(copy.kept_rows / ROW_GROUP_ROWS).unwrap_or(0).min(before.len());
    let first = kept.saturating_sub(1);
    let read = groups(engine, path, &table.columns, &(first as u64..u64::MAX))?;
    let row_groups: Vec<_> = before[..first].iter().cloned().chain(read).collect();
    let total = GroupDigest::total(&row_groups).filter(|total| {
        total.rows == copy.rows
            && is_gapless(&row_groups)
            && row_groups.get(first..kept) == before.get(first..kept)
    });
    let Some(total) = total else {
        let found = format!(
            "does not have its first {} as they are served; copy everything with materia export --full",
            humanize::rows(copy.kept_rows)
        );
        return Err(ExportError::IncompleteCopy {
            failed: vec![Audit {
                name: "copied".to_owned(),
                table: Some(table.name.clone()),
                severity: Severity::Error,
                passed: false,
                found,
            }],
        });
    };
    Ok(TableDigests { content: Some(total.text()), row_groups })
}

/// Returns the digests of one table; none if it has a type that cannot be hashed.
///
/// # Errors
/// [`ExportError::Interrupted`] if the export is canceled.
fn digests(
    engine: &Engine,
    path: &str,
    columns: &[ColumnManifest],
) -> Result<TableDigests, ExportError> {
    if !is_hashable(columns) {
        return Ok(TableDigests::default());
    }
    let row_groups = match groups(engine, path, columns, &(0..u64::MAX)) {
        Err(ExportError::Engine { .. }) => return Ok(TableDigests::default()),
        row_groups => row_groups?,
    };
    Ok(TableDigests::new(row_groups, columns))
}

/// Returns whether the columns' values can be distinguished by hashes: neither the text nor any hash
/// of some types distinguishes theirs.
pub(super) fn is_hashable(columns: &[ColumnManifest]) -> bool {
    !columns.iter().any(|column| {
        column.data_type.contains("VARIANT")
            || column.data_type.get(1..).is_some_and(|kind| kind.contains("UNION("))
    })
}

/// Returns whether a column named `rowid` hides the row's own number.
pub(super) fn hides_row_number(columns: &[ColumnManifest]) -> bool {
    columns.iter().any(|column| column.name.eq_ignore_ascii_case("rowid"))
}

/// Returns the digests of the groups with these indexes in `from`, a table or a subquery with a
/// column `rowid`. A group without rows is left out.
pub(super) fn groups(
    engine: &Engine,
    from: &str,
    columns: &[ColumnManifest],
    indexes: &Range<u64>,
) -> Result<Vec<String>, ExportError> {
    let query = query(&hashed_rows(0, from, columns, indexes));
    engine.rows(&query, &[], |row| row.get(1))
}

/// Returns a query for the digests of the groups of one or several tables, whose rows are those of
/// [`hashed_rows`]. Its columns are the table's place and the digest.
fn query(rows: &str) -> String {
    format!(
        "SELECT place, concat_ws('-', count(*), sum(one), sum(other)) FROM ({rows}) GROUP BY place, row_group ORDER BY place, row_group"
    )
}

/// Returns a query for the two hashes of each row in the groups with these indexes.
fn hashed_rows(
    place: usize,
    from: &str,
    columns: &[ColumnManifest],
    indexes: &Range<u64>,
) -> String {
    let terms: Vec<_> = columns.iter().map(term).collect();
    let reversed: Vec<_> = terms.iter().rev().cloned().collect();
    let (number, numbered) = if hides_row_number(columns) {
        (
            "\"materia: row number\"",
            format!("(SELECT *, row_number() OVER () AS \"materia: row number\" FROM {from})"),
        )
    } else {
        ("rowid", from.to_owned())
    };
    let mut bounds = Vec::new();
    if indexes.start > 0 {
        bounds.push(format!("{number} >= {}", indexes.start * ROW_GROUP_ROWS));
    }
    if indexes.end < u64::MAX {
        bounds.push(format!("{number} < {}", indexes.end * ROW_GROUP_ROWS));
    }
    let bounds =
        if bounds.is_empty() { String::new() } else { format!(" WHERE {}", bounds.join(" AND ")) };
    format!(
        "SELECT {place} AS place, {number} // {ROW_GROUP_ROWS} AS row_group, hash(hash({}, {number})) AS one, hash(hash({number}, {})) AS other FROM {numbered}{bounds}",
        terms.join(", "),
        reversed.join(", ")
    )
}

/// Returns the expression hashed for one column.
fn term(column: &ColumnManifest) -> String {
    let name = sql::ident(&column.name);
    let kind = column.data_type.trim();
    if EXACT.contains(&kind) || (kind.starts_with("DECIMAL(") && kind.ends_with(')')) {
        name
    } else if matches!(kind, "FLOAT" | "DOUBLE") {
        format!("{name}, signbit({name})")
    } else if kind.starts_with("UNION(") {
        format!("{name}, {name}::VARCHAR, union_tag({name})")
    } else {
        // DuckDB hashes [NULL], [] and NULL alike; their text forms differ.
        format!("{name}, {name}::VARCHAR")
    }
}
