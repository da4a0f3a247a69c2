//! By which columns the rows of two generations are matched.

use super::super::{ExportError, engine::Engine, plan::Column};
use super::compare::{Shared, Sides};
use crate::{settings::TableSettings, sql};

/// Columns that a found key may have, and how many of a table are tried.
const MAX_KEY: usize = 4;
const MAX_CANDIDATES: usize = 8;
/// Keys that are tried: each reads its columns in both tables.
const MAX_TRIES: u32 = 20;
/// Rows by which a key is tried: all rows of as many keys, so that one that is not unique is seen.
const TRIED_ROWS: u64 = 200_000;

/// Returns the table's key: the one declared, else columns found to be unique and without nulls in both generations.
pub(super) fn find(engine: &Engine, sides: &Sides<'_>, settings: &TableSettings) -> Result<Option<Vec<Shared>>, ExportError> {
    let shared = sides.shared();
    let named = |names: &[String]| -> Option<Vec<Shared>> {
        let column = |name: &String| shared.iter().find(|column| column.name.eq_ignore_ascii_case(name)).cloned();
        names.iter().map(column).collect::<Option<Vec<_>>>().filter(|key| !key.is_empty())
    };
    let declared = std::iter::once(settings.key.as_slice()).chain(settings.unique.list());
    for key in declared.filter_map(named) {
        if is_unique(engine, sides, &key)? && !has_nulls(engine, sides, &key)? {
            return Ok(Some(key));
        }
    }
    if !settings.key.is_empty() {
        // Another key than the one that was asked for would compare other rows than its author thinks.
        return Ok(None);
    }
    let mut candidates: Vec<_> = shared.iter().filter(|column| is_dimension(column)).cloned().collect();
    candidates.truncate(MAX_CANDIDATES);
    let Some(distinct) = distinct(engine, sides, &candidates)? else { return Ok(None) };
    let candidates: Vec<_> = candidates.into_iter().zip(distinct).filter_map(|(column, count)| Some((column, count?))).collect();
    let mut tries = MAX_TRIES;
    for size in 1..=MAX_KEY.min(candidates.len()) {
        for chosen in combinations(candidates.len(), size) {
            let of_values = chosen.iter().fold(1.0, |product, at| product * candidates[*at].1);
            // The count is an estimate, off by a tenth at times.
            if of_values * 1.3_f64.powi(i32::try_from(size).unwrap_or(1)) < sides.rows() as f64 {
                continue;
            }
            if tries == 0 {
                return Ok(None);
            }
            tries -= 1;
            let key: Vec<_> = chosen.iter().map(|at| candidates[*at].0.clone()).collect();
            if is_unique(engine, sides, &key)? {
                return Ok(Some(key));
            }
        }
    }
    Ok(None)
}

/// Estimates how many values each column has in the new table; nothing for one that holds nulls on either side.
fn distinct(engine: &Engine, sides: &Sides<'_>, columns: &[Shared]) -> Result<Option<Vec<Option<f64>>>, ExportError> {
    if columns.is_empty() {
        return Ok(None);
    }
    let figures: Vec<_> = columns.iter().map(|column| sql::ident(&column.name)).collect();
    let figures: Vec<_> =
        figures.iter().map(|column| format!("approx_count_distinct({column})::DOUBLE, count(*) - count({column})")).collect();
    let mut found = vec![Some(0.0); columns.len()];
    for from in [sides.old, sides.new] {
        let read = |row: &duckdb::Row<'_>| {
            (0..columns.len())
                .map(|at| Ok((row.get::<_, f64>(2 * at)?, row.get::<_, i64>(2 * at + 1)?)))
                .collect::<duckdb::Result<Vec<_>>>()
        };
        let row = engine.rows(&format!("SELECT {} FROM {from}", figures.join(", ")), &[], read)?.pop().unwrap_or_default();
        for (found, (values, nulls)) in found.iter_mut().zip(row) {
            *found = found.filter(|_| nulls == 0).map(|_| values);
        }
    }
    Ok(Some(found))
}

/// Whether no two rows have the same values in these columns, in both tables.
fn is_unique(engine: &Engine, sides: &Sides<'_>, key: &[Shared]) -> Result<bool, ExportError> {
    let columns: Vec<_> = key.iter().map(|column| sql::ident(&column.name)).collect();
    let columns = columns.join(", ");
    let parts = (sides.rows() / TRIED_ROWS).max(1);
    let some = if parts == 1 { String::new() } else { format!(" WHERE hash({columns}) % {parts} = 0") };
    for from in [sides.new, sides.old] {
        let query = format!("SELECT count(*) FROM (SELECT 1 FROM {from}{some} GROUP BY {columns} HAVING count(*) > 1)");
        if engine.number(&query)? > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn has_nulls(engine: &Engine, sides: &Sides<'_>, key: &[Shared]) -> Result<bool, ExportError> {
    let nulls = key.iter().map(|column| format!("{} IS NULL", sql::ident(&column.name))).collect::<Vec<_>>().join(" OR ");
    for from in [sides.new, sides.old] {
        if engine.number(&format!("SELECT count(*) FROM {from} WHERE {nulls}"))? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a column of this name and type tells rows apart rather than measures something.
fn is_dimension(column: &Shared) -> bool {
    let name = column.name.to_lowercase();
    let data_type = column.data_type.as_str();
    let is_named_so = || {
        const WORDS: [&str; 22] = [
            "id", "key", "code", "no", "nr", "number", "year", "quarter", "month", "week", "day", "hour", "date", "sk", "pk", "line",
            "seq", "position", "rank", "version", "index", "period",
        ];
        name.split('_').any(|word| WORDS.contains(&word)) || column.is_first
    };
    match data_type {
        "VARCHAR" | "UUID" | "DATE" | "BOOLEAN" => true,
        _ if data_type.starts_with("TIMESTAMP") || data_type.starts_with("ENUM") => true,
        _ if is_integer(data_type) => is_named_so(),
        _ => false,
    }
}

pub(super) fn is_integer(data_type: &str) -> bool {
    matches!(data_type.strip_prefix('U').unwrap_or(data_type), "TINYINT" | "SMALLINT" | "INTEGER" | "BIGINT" | "HUGEINT")
}

/// Whether a column holds numbers.
pub(super) fn is_number(data_type: &str) -> bool {
    is_integer(data_type) || matches!(data_type, "FLOAT" | "DOUBLE") || data_type.starts_with("DECIMAL")
}

/// The columns that both tables have, spelled as in the new one.
pub(super) fn shared(old: &[Column], new: &[Column]) -> Vec<Shared> {
    let column = |(at, column): (usize, &Column)| {
        let before = old.iter().find(|before| before.name == column.name)?;
        let (data_type, was) = (column.data_type.clone(), before.data_type.clone());
        Some(Shared { name: column.name.clone(), is_same: data_type == was, data_type, was, is_first: at == 0 })
    };
    new.iter().enumerate().filter_map(column).collect()
}

/// Every choice of `size` of the first `of` numbers, in order.
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
