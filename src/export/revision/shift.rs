//! Detects relabelled dates or years: finds the shift under which old and new values agree best.

use super::{
    super::{ExportError, engine::Engine},
    compare::{Shared, Sides},
    key::is_integer,
};
use crate::sql;
use crate::store::Shift;

/// Share of added and removed keys above which a shift is searched for.
pub(super) const MANY_KEYS: f64 = 0.2;
/// Minimum share of values that are equal after the shift, and by how much it must exceed the share
/// without it.
const MIN_AGREEMENT: f64 = 0.5;
const MIN_GAIN: f64 = 0.2;
/// Maximum number of compared columns and rows.
const MAX_COLUMNS: usize = 20;
const TRIED_ROWS: u64 = 200_000;
/// Minimum number of values for a meaningful result.
const MIN_CELLS: u64 = 5;

const DAY: i64 = 86_400_000_000;
const UNITS: [(i64, &str); 4] =
    [(DAY, "day"), (3_600_000_000, "hour"), (60_000_000, "minute"), (1_000_000, "second")];

/// One possible shift of labels.
struct ShiftStep {
    sql: String,
    count: i64,
    unit: &'static str,
}

impl ShiftStep {
    fn describe(&self) -> String {
        let way = if self.count < 0 { "back" } else { "forward" };
        match self.count.abs() {
            1 => format!("one {} {way}", self.unit),
            count => format!("{count} {}s {way}", self.unit),
        }
    }
}

/// Returns the shift under which old and new values agree best, if that is clearly better than
/// without: of a column of the key, or of another one. `is_much` is whether enough was revised for
/// the key's columns to be worth trying.
pub(super) fn find(
    engine: &Engine,
    sides: &Sides<'_>,
    key: &[Shared],
    values: &[Shared],
    is_much: bool,
) -> Result<Option<Shift>, ExportError> {
    let mut best = None;
    if is_much {
        for column in key.iter().filter(|column| column.is_same && is_label(column)) {
            let found = of_key(engine, sides, key, column, values)?;
            best = better(best, found);
        }
    }
    for (at, column) in
        values.iter().enumerate().filter(|(_, column)| column.is_same && is_label(column))
    {
        best = better(best, of_value(engine, at, column)?);
    }
    Ok(best)
}

fn better(one: Option<Shift>, other: Option<Shift>) -> Option<Shift> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.agreement > one.agreement { other } else { one }),
        (one, other) => one.or(other),
    }
}

/// Returns whether a column contains dates, timestamps or years.
fn is_label(column: &Shared) -> bool {
    is_date(column) || is_year(column)
}

fn is_date(column: &Shared) -> bool {
    column.data_type == "DATE" || column.data_type.starts_with("TIMESTAMP")
}

fn is_year(column: &Shared) -> bool {
    let name = column.name.to_lowercase();
    (name == "year" || name.ends_with("_year")) && is_integer(&column.data_type)
}

/// Tries a shift of one of the key's columns.
fn of_key(
    engine: &Engine,
    sides: &Sides<'_>,
    key: &[Shared],
    column: &Shared,
    values: &[Shared],
) -> Result<Option<Shift>, ExportError> {
    let numbers: Vec<_> =
        values.iter().filter(|column| column.is_number()).take(MAX_COLUMNS).collect();
    let compared: Vec<_> =
        if numbers.is_empty() { values.iter().take(MAX_COLUMNS).collect() } else { numbers };
    if compared.is_empty() {
        return Ok(None);
    }
    let rest: Vec<_> = key.iter().filter(|other| other.name != column.name).collect();
    let parts = (sides.rows() / TRIED_ROWS).max(1);
    let hashed: Vec<_> = rest.iter().map(|other| other.as_key()).collect();
    // Samples whole series, so that shifted rows meet their unshifted counterparts.
    let some = if parts > 1 && !rest.is_empty() {
        format!(" WHERE hash({}) % {parts} = 0", hashed.join(", "))
    } else {
        String::new()
    };
    let side = |from: &str| {
        let rest =
            rest.iter().enumerate().map(|(at, other)| format!(", {} AS r{at}", other.as_key()));
        let values = compared
            .iter()
            .enumerate()
            .map(|(at, other)| format!(", {} AS v{at}", sql::ident(&other.name)));
        format!(
            "(SELECT {} AS t{} FROM {from}{some})",
            sql::ident(&column.name),
            rest.chain(values).collect::<String>()
        )
    };
    let sum = |one: &dyn Fn(&Shared, &str, &str) -> String| {
        let each = compared.iter().enumerate().map(|(at, column)| {
            format!("({})::INTEGER", one(column, &format!("o.v{at}"), &format!("n.v{at}")))
        });
        format!("coalesce(sum({}), 0)::UBIGINT", each.collect::<Vec<_>>().join(" + "))
    };
    let informative = sum(&|column, old, new| column.is_informative(old, new));
    let agree = sum(&|column, old, new| {
        format!("{} AND NOT {}", column.is_informative(old, new), column.differ(old, new))
    });
    let matched =
        (0..rest.len()).map(|at| format!(" AND n.r{at} = o.r{at}")).collect::<Vec<_>>().concat();
    let (old, new) = (side(sides.old), side(sides.new));
    let agreement = |shifted: &str| -> Result<(u64, f64), ExportError> {
        let query = format!(
            "SELECT {agree}, {informative} FROM {old} o JOIN {new} n ON n.t = {shifted}{matched}"
        );
        let read = |row: &duckdb::Row<'_>| Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?));
        let (equal, cells) = engine.rows(&query, &[], read)?.pop().unwrap_or_default();
        Ok((cells, super::share(equal, cells)))
    };
    let unshifted = agreement("o.t")?;
    let mut best: Option<(f64, ShiftStep)> = None;
    for step in steps(engine, sides, column)? {
        let (cells, agrees) = agreement(&step.sql)?;
        // A few rows at the edges may match by chance.
        let enough = cells >= MIN_CELLS && cells * 2 >= unshifted.0;
        if enough && best.as_ref().is_none_or(|(before, _)| agrees > *before) {
            best = Some((agrees, step));
        }
    }
    let clear =
        best.filter(|(agrees, _)| *agrees >= MIN_AGREEMENT && *agrees >= unshifted.1 + MIN_GAIN);
    Ok(clear.map(|(agreement, step)| Shift {
        column: column.name.clone(),
        by: step.describe(),
        agreement,
        unshifted: unshifted.1,
    }))
}

/// Returns the shifts to try: up to three years for years, one or two natural steps for dates.
fn steps(
    engine: &Engine,
    sides: &Sides<'_>,
    column: &Shared,
) -> Result<Vec<ShiftStep>, ExportError> {
    if is_year(column) {
        return Ok([-1, 1, -2, 2, -3, 3]
            .map(|count| ShiftStep { sql: format!("o.t + ({count})"), count, unit: "year" })
            .into());
    }
    let name = sql::ident(&column.name);
    let day = format!("{name}::TIMESTAMP");
    let query = format!(
        "SELECT coalesce(mode(gap), 0)::BIGINT, coalesce(bool_and(day(t) = 1), false) FROM
         (SELECT t, epoch_us(t) - lag(epoch_us(t)) OVER (ORDER BY t) AS gap FROM (SELECT DISTINCT {day} AS t FROM {} WHERE {name} IS NOT NULL ORDER BY 1 LIMIT {TRIED_ROWS}))",
        sides.new
    );
    let (gap, first_days): (i64, bool) =
        engine.rows(&query, &[], |row| Ok((row.get(0)?, row.get(1)?)))?.pop().unwrap_or_default();
    let days = gap / DAY;
    let natural = match days {
        365 | 366 => (1, "year"),
        28..=31 if first_days => (1, "month"),
        90..=92 if first_days => (3, "month"),
        0 => (1, "hour"),
        days => (days, "day"),
    };
    let mut steps = vec![natural, (2 * natural.0, natural.1), (1, "day"), (1, "year")];
    if column.data_type.starts_with("TIMESTAMP") {
        steps.push((1, "hour"));
    }
    let mut tried = Vec::new();
    steps.retain(|step| {
        !tried.contains(step) && {
            tried.push(*step);
            true
        }
    });
    let both = steps.into_iter().flat_map(|(count, unit)| [(-count, unit), (count, unit)]);
    Ok(both
        .map(|(count, unit)| ShiftStep {
            sql: format!("o.t + INTERVAL ({count}) {unit}"),
            count,
            unit,
        })
        .collect())
}

/// Returns the shift if most rows have this column moved by the same distance.
fn of_value(engine: &Engine, at: usize, column: &Shared) -> Result<Option<Shift>, ExportError> {
    let moved = if is_year(column) {
        format!("n{at}::BIGINT - o{at}::BIGINT")
    } else {
        format!("epoch_us(n{at}::TIMESTAMP) - epoch_us(o{at}::TIMESTAMP)")
    };
    let query = format!(
        "SELECT coalesce(mode({moved}) FILTER (d{at}), 0)::BIGINT, count(*)::UBIGINT, count(*) FILTER (NOT d{at})::UBIGINT, count(DISTINCT o{at})::UBIGINT
         FROM temp.main._pairs WHERE was AND is_there AND o{at} IS NOT NULL AND n{at} IS NOT NULL"
    );
    let read = |row: &duckdb::Row<'_>| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, u64>(1)?,
            row.get::<_, u64>(2)?,
            row.get::<_, u64>(3)?,
        ))
    };
    let (most, rows, same, different) = engine.rows(&query, &[], read)?.pop().unwrap_or_default();
    // A timestamp that is the same in every row is the time of the pipeline's run.
    if most == 0 || rows < MIN_CELLS || different < 2 {
        return Ok(None);
    }
    let equal = engine.query_u64(&format!(
        "SELECT count(*)::UBIGINT FROM temp.main._pairs WHERE was AND is_there AND {moved} = {most}"
    ))?;
    let (agreement, unshifted) = (super::share(equal, rows), super::share(same, rows));
    if agreement < MIN_AGREEMENT || agreement < unshifted + MIN_GAIN {
        return Ok(None);
    }
    let step = if is_year(column) {
        Some((most, "year"))
    } else {
        UNITS.iter().find(|(size, _)| most % size == 0).map(|(size, unit)| (most / size, *unit))
    };
    let by = step.map(|(count, unit)| ShiftStep { sql: String::new(), count, unit }.describe());
    Ok(by.map(|by| Shift { column: column.name.clone(), by, agreement, unshifted }))
}
