//! Finds the columns by which the rows of two generations are matched.

use super::super::{ExportError, engine::Engine};
use super::compare::{Shared, Sides};
use crate::store::ColumnManifest;
use crate::{settings::TableSettings, sql};

/// Maximum number of columns in an inferred key, and maximum number of candidate columns per table.
const MAX_KEY: usize = 4;
const MAX_CANDIDATES: usize = 8;
/// Maximum number of candidate keys, each of which requires reading its columns in both tables.
const MAX_TRIES: u64 = 20;
/// Number of rows on which a candidate key is tried. All rows of the selected keys are included, so
/// that duplicates are found.
const TRIED_ROWS: u64 = 200_000;

/// Returns the table's key: the declared one, otherwise columns that are unique and not null in
/// both generations.
pub(super) fn find(
    engine: &Engine,
    sides: &Sides<'_>,
    settings: &TableSettings,
) -> Result<Option<Vec<Shared>>, ExportError> {
    let shared = sides.shared();
    let named = |names: &[String]| -> Option<Vec<Shared>> {
        let column = |name: &String| {
            shared.iter().find(|column| column.name.eq_ignore_ascii_case(name)).cloned()
        };
        names.iter().map(column).collect::<Option<Vec<_>>>().filter(|key| !key.is_empty())
    };
    let declared = std::iter::once(settings.key.as_slice()).chain(settings.unique.list());
    for key in declared.filter_map(named) {
        if is_unique(engine, sides, &key)? && !has_nulls(engine, sides, &key)? {
            return Ok(Some(key));
        }
    }
    if !settings.key.is_empty() {
        // Falling back to another key than the configured one would match rows in a way that its
        // author does not expect.
        return Ok(None);
    }
    let mut candidates: Vec<_> =
        shared.iter().filter(|column| is_dimension(column)).cloned().collect();
    candidates.truncate(MAX_CANDIDATES);
    // A key of the whole table is one of the rows that may differ; what is none there is found out
    // without reading the others.
    let changed = sides.changed();
    let is_whole = sides.changed.is_none();
    let Some(distinct) = distinct(engine, &changed, &candidates)? else { return Ok(None) };
    let candidates: Vec<_> = candidates
        .into_iter()
        .zip(distinct)
        .filter_map(|(column, count)| Some((column, count?)))
        .collect();
    let all: Vec<_> = candidates.iter().map(|(column, _)| column.clone()).collect();
    let mut has_any = None;
    let mut rows_to_read = sides.rows().saturating_mul(MAX_TRIES);
    for size in 1..=MAX_KEY.min(candidates.len()) {
        for chosen in combinations(candidates.len(), size) {
            let of_values = chosen.iter().fold(1.0, |product, at| product * candidates[*at].1);
            // The distinct count is an estimate with an error of up to about 10%.
            let most = of_values * 1.3_f64.powi(i32::try_from(size).unwrap_or(1));
            if most < changed.rows() as f64 {
                continue;
            }
            if rows_to_read < changed.rows() {
                return Ok(None);
            }
            rows_to_read -= changed.rows();
            let key: Vec<_> = chosen.iter().map(|at| candidates[*at].0.clone()).collect();
            if !is_whole && !is_unique(engine, &changed, &key)? {
                continue;
            }
            if is_unique(engine, sides, &key)? && (is_whole || !has_nulls(engine, sides, &key)?) {
                return Ok(Some(key));
            }
            if !is_whole {
                rows_to_read = rows_to_read.saturating_sub(sides.rows());
            }
            // Rows that are equal in all candidates are so in every choice of them.
            let has_any = match has_any {
                Some(has_any) => has_any,
                None => *has_any.insert(size < all.len() && is_unique(engine, sides, &all)?),
            };
            if !has_any {
                return Ok(None);
            }
        }
    }
    Ok(None)
}

/// Estimates the number of distinct values of each column in the table that has more; `None` for a
/// column with nulls in either table.
fn distinct(
    engine: &Engine,
    sides: &Sides<'_>,
    columns: &[Shared],
) -> Result<Option<Vec<Option<f64>>>, ExportError> {
    if columns.is_empty() {
        return Ok(None);
    }
    let figures: Vec<_> = columns.iter().map(|column| sql::ident(&column.name)).collect();
    let figures: Vec<_> = figures
        .iter()
        .map(|column| {
            format!("approx_count_distinct({column})::DOUBLE, count(*) - count({column})")
        })
        .collect();
    let mut found = vec![Some(0.0); columns.len()];
    for from in [sides.old, sides.new] {
        let read = |row: &duckdb::Row<'_>| {
            (0..columns.len())
                .map(|at| Ok((row.get::<_, f64>(2 * at)?, row.get::<_, i64>(2 * at + 1)?)))
                .collect::<duckdb::Result<Vec<_>>>()
        };
        let row = engine
            .rows(&format!("SELECT {} FROM {from}", figures.join(", ")), &[], read)?
            .pop()
            .unwrap_or_default();
        for (found, (values, nulls)) in found.iter_mut().zip(row) {
            *found = found.filter(|_| nulls == 0).map(|before| values.max(before));
        }
    }
    Ok(Some(found))
}

/// Returns whether no two rows have the same values in these columns, in both tables.
fn is_unique(engine: &Engine, sides: &Sides<'_>, key: &[Shared]) -> Result<bool, ExportError> {
    let columns: Vec<_> = key.iter().map(|column| sql::ident(&column.name)).collect();
    let columns = columns.join(", ");
    let parts = (sides.rows() / TRIED_ROWS).max(1);
    let some =
        if parts == 1 { String::new() } else { format!(" WHERE hash({columns}) % {parts} = 0") };
    for from in [sides.new, sides.old] {
        let query = format!(
            "SELECT count(*) FROM (SELECT 1 FROM {from}{some} GROUP BY {columns} HAVING count(*) > 1)"
        );
        if engine.query_u64(&query)? > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn has_nulls(engine: &Engine, sides: &Sides<'_>, key: &[Shared]) -> Result<bool, ExportError> {
    let nulls = key
        .iter()
        .map(|column| format!("{} IS NULL", sql::ident(&column.name)))
        .collect::<Vec<_>>()
        .join(" OR ");
    for from in [sides.new, sides.old] {
        if engine.query_u64(&format!("SELECT count(*) FROM {from} WHERE {nulls}"))? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns whether a column of this name and type identifies rows rather than measures something.
fn is_dimension(column: &Shared) -> bool {
    let name = column.name.to_lowercase();
    let data_type = column.data_type.as_str();
    let is_named_so = || {
        const DIMENSION_SUFFIXES: [&str; 22] = [
            "id", "key", "code", "no", "nr", "number", "year", "quarter", "month", "week", "day",
            "hour", "date", "sk", "pk", "line", "seq", "position", "rank", "version", "index",
            "period",
        ];
        name.split('_').any(|word| DIMENSION_SUFFIXES.contains(&word)) || column.is_first
    };
    match data_type {
        "VARCHAR" | "UUID" | "DATE" | "BOOLEAN" => true,
        _ if data_type.starts_with("TIMESTAMP") || data_type.starts_with("ENUM") => true,
        _ if is_integer(data_type) => is_named_so(),
        _ => false,
    }
}

pub(super) fn is_integer(data_type: &str) -> bool {
    matches!(
        data_type.strip_prefix('U').unwrap_or(data_type),
        "TINYINT" | "SMALLINT" | "INTEGER" | "BIGINT" | "HUGEINT"
    )
}

/// Returns whether a column is numeric.
pub(super) fn is_number(data_type: &str) -> bool {
    is_integer(data_type)
        || matches!(data_type, "FLOAT" | "DOUBLE")
        || data_type.starts_with("DECIMAL")
}

/// Returns the columns that both tables have, spelled as in the new one.
pub(super) fn shared(old: &[ColumnManifest], new: &[ColumnManifest]) -> Vec<Shared> {
    let column = |(at, column): (usize, &ColumnManifest)| {
        let before = old.iter().find(|before| before.name == column.name)?;
        let (data_type, was) = (column.data_type.clone(), before.data_type.clone());
        Some(Shared {
            name: column.name.clone(),
            is_same: data_type == was,
            data_type,
            was,
            is_first: at == 0,
        })
    };
    new.iter().enumerate().filter_map(column).collect()
}

/// Returns every combination of `size` of the first `of` numbers, in order.
fn combinations(of: usize, size: usize) -> Vec<Vec<usize>> {
    let mut found = vec![Vec::new()];
    for _ in 0..size {
        found = found
            .into_iter()
            .flat_map(|chosen: Vec<usize>| {
                let next = chosen.last().map_or(0, |last| last + 1);
                (next..of).map(move |at| chosen.iter().copied().chain([at]).collect::<Vec<_>>())
            })
            .collect();
    }
    found
}
