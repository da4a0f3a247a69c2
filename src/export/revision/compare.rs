//! Compares one table with the previously served one, key by key.

use super::{
    super::{ExportError, content, engine::Engine},
    MAX_COLUMNS, MAX_LARGEST, key, share, shift,
};
use crate::store::{CellRevision, ColumnManifest, ColumnRevision, Revision, TableManifest};
use crate::{settings::TableSettings, sql};

/// Maximum number of joined values, which limits the number of joined rows.
pub(super) const MAX_CELLS: u64 = 10_000_000;
const MAX_ROWS: u64 = 1_000_000;
const MIN_ROWS: u64 = 10_000;
/// Rows per bucket; buckets are compared by their hashes.
const BUCKET_ROWS: u64 = 50;
/// Minimum number of values for a meaningful share or median.
const MIN_CELLS: u64 = 3;
/// With fewer values, a change of units must have the same factor for all of them.
const FEW_CELLS: u64 = 10;
/// Maximum characters of a recorded value or key.
const MAX_TEXT: usize = 60;

/// Both versions of the table and their columns.
pub(in super::super) struct Sides<'a> {
    pub(in super::super) old: &'a str,
    pub(in super::super) new: &'a str,
    pub(in super::super) old_rows: u64,
    pub(in super::super) new_rows: u64,
    pub(in super::super) old_columns: &'a [ColumnManifest],
    pub(in super::super) new_columns: &'a [ColumnManifest],
    /// The rows that may differ, if others are known to be the same in both versions.
    pub(in super::super) changed: Option<ChangedRows>,
}

/// The rows of both versions of a table that may differ: the others are the same rows in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct ChangedRows {
    /// Subqueries in SQL.
    pub(in super::super) old: String,
    pub(in super::super) new: String,
    pub(in super::super) old_rows: u64,
    pub(in super::super) new_rows: u64,
}

impl ChangedRows {
    /// Returns the rows from the first row group to the last one whose digests differ; `None` if
    /// those are all rows, or the digests are not known. `paths` are both versions in SQL, as tables
    /// whose rows are numbered.
    pub(in super::super) fn between(
        old: &TableManifest,
        new: &TableManifest,
        paths: (&str, &str),
    ) -> Option<Self> {
        if old.columns != new.columns {
            return None;
        }
        let (old_groups, new_groups) = (&old.row_groups, &new.row_groups);
        let equal = || old_groups.iter().zip(new_groups).map(|(one, other)| one == other);
        let before = equal().take_while(|is_equal| *is_equal).count();
        let after = if old_groups.len() == new_groups.len() {
            equal().rev().take_while(|is_equal| *is_equal).count().min(old_groups.len() - before)
        } else {
            0
        };
        let after_rows =
            old_groups.iter().rev().take(after).map(|group| content::rows(group)).sum::<u64>();
        let before_rows = before as u64 * content::ROW_GROUP_ROWS;
        let rows = |table: &TableManifest| table.rows.checked_sub(before_rows + after_rows);
        let (old_rows, new_rows) = (rows(old)?, rows(new)?);
        if before + after == 0 || old_rows.max(new_rows) == 0 {
            return None;
        }
        let bound = if after > 0 {
            format!(" AND rowid < {}", old.rows - after_rows)
        } else {
            String::new()
        };
        let query =
            |path: &str| format!("(SELECT * FROM {path} WHERE rowid >= {before_rows}{bound})");
        Some(Self { old: query(paths.0), new: query(paths.1), old_rows, new_rows })
    }
}

impl Sides<'_> {
    /// Returns the rows that may differ, without the others.
    ///
    /// A key that is unique in both versions finds the same pairs in them as in the whole table: a
    /// row that is the same in both matches itself.
    pub(super) fn changed(&self) -> Sides<'_> {
        let (old, new, old_rows, new_rows) = match &self.changed {
            Some(rows) => (rows.old.as_str(), rows.new.as_str(), rows.old_rows, rows.new_rows),
            None => (self.old, self.new, self.old_rows, self.new_rows),
        };
        let (old_columns, new_columns) = (self.old_columns, self.new_columns);
        Sides { old, new, old_rows, new_rows, old_columns, new_columns, changed: None }
    }

    pub(super) fn shared(&self) -> Vec<Shared> {
        key::shared(self.old_columns, self.new_columns)
    }

    pub(super) fn rows(&self) -> u64 {
        self.old_rows.max(self.new_rows)
    }
}

/// A column that both tables have.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) data_type: String,
    /// Its type in the old table.
    pub(super) was: String,
    pub(super) is_same: bool,
    pub(super) is_first: bool,
}

impl Shared {
    pub(super) fn is_number(&self) -> bool {
        key::is_number(&self.data_type) && key::is_number(&self.was)
    }

    /// Returns whether values of the two types are comparable.
    pub(super) fn is_comparable(&self) -> bool {
        self.is_same || self.is_number()
    }

    /// Returns the expression by which rows are matched if the column is part of the key.
    pub(super) fn as_key(&self) -> String {
        let name = sql::ident(&self.name);
        if self.is_same { name } else { format!("{name}::VARCHAR") }
    }

    /// Returns the SQL condition that two values differ; floating-point values that differ only in
    /// the last digits are equal.
    pub(super) fn differ(&self, old: &str, new: &str) -> String {
        let is_float = [&self.data_type, &self.was]
            .iter()
            .any(|kind| matches!(kind.as_str(), "FLOAT" | "DOUBLE"))
            || !self.is_same;
        if !self.is_number() || !is_float {
            return format!("({old} IS DISTINCT FROM {new})");
        }
        // FLOAT has a precision of seven digits.
        let noise = if [&self.data_type, &self.was].iter().any(|kind| *kind == "FLOAT") {
            "1e-6"
        } else {
            "1e-9"
        };
        let (old, new) = (format!("{old}::DOUBLE"), format!("{new}::DOUBLE"));
        format!(
            "({old} IS DISTINCT FROM {new} AND NOT coalesce(isfinite({old}) AND isfinite({new}) AND sign({old}) = sign({new}) AND abs(abs({old}) - abs({new})) <= {noise} * greatest(abs({old}), abs({new})), false))"
        )
    }

    /// Returns the SQL condition that a cell is compared: most cells of many tables are zero or
    /// null, which carries no information.
    pub(super) fn is_informative(&self, old: &str, new: &str) -> String {
        if self.is_number() {
            format!("NOT (coalesce({old}, 0) = 0 AND coalesce({new}, 0) = 0)")
        } else {
            format!("({old} IS NOT NULL OR {new} IS NOT NULL)")
        }
    }
}

/// Limits above which revisions are reported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct RevisionThresholds {
    pub(in super::super) max_revised: f64,
    pub(in super::super) max_ratio: f64,
}

/// The result of comparing a table.
pub(in super::super) struct Compared {
    pub(in super::super) revision: Revision,
    /// Columns with more revised values than expected.
    pub(in super::super) revised: Vec<String>,
    /// Columns that were multiplied or divided by an implausible factor, each with a description of
    /// the change.
    pub(in super::super) rescaled: Vec<(String, String)>,
    /// Keys of some of the new rows.
    pub(in super::super) added_keys: Vec<String>,
    /// Keys of some of the removed rows.
    pub(in super::super) removed_keys: Vec<String>,
}

/// Compares a table with the previously served one; `None` if it has no key. At most `examples` keys
/// of new and of removed rows are named.
pub(in super::super) fn compare(
    engine: &Engine,
    sides: &Sides<'_>,
    settings: &TableSettings,
    table: &str,
    thresholds: RevisionThresholds,
    examples: usize,
) -> Result<Option<Compared>, ExportError> {
    let Some(key) = key::find(engine, sides, settings)? else { return Ok(None) };
    let is_value =
        |column: &Shared| column.is_comparable() && !key.iter().any(|key| key.name == column.name);
    let values: Vec<_> = sides.shared().into_iter().filter(is_value).collect();
    let mut compared = Compared {
        revision: Revision {
            table: table.to_owned(),
            key: key.iter().map(|key| key.name.clone()).collect(),
            common: sides.old_rows,
            ..Revision::default()
        },
        revised: Vec::new(),
        rescaled: Vec::new(),
        added_keys: Vec::new(),
        removed_keys: Vec::new(),
    };
    let changed = sides.changed();
    let Some(part) = ComparedPart::choose(engine, &changed, &key, &values)? else {
        return Ok(Some(compared));
    };
    part.join(engine, &changed, &key, &values)?;
    let has_other_rows = sides.changed.is_some();
    let figures = RevisionFigures::read(engine, &values, part.joined, has_other_rows)?;
    let revision = &mut compared.revision;
    let scaled = |count: u64| scale(count, part.factor);
    (revision.revised, revision.added, revision.removed) =
        (scaled(figures.revised), scaled(figures.added), scaled(figures.removed));
    revision.common = if part.factor > 1.0 || part.differing < sides.rows() {
        sides.old_rows.saturating_sub(revision.removed)
    } else {
        figures.common
    };
    revision.sampled = (part.factor > 1.0).then_some(part.joined);
    // The values of skipped buckets count as well, since nothing in them differs.
    let all =
        if figures.common == 0 { 1.0 } else { revision.common as f64 / figures.common as f64 };
    let mostly_same = part.differing * 2 < sides.rows();
    for (column, found) in values
        .iter()
        .zip(&figures.columns)
        .filter(|(_, found)| found.revised > 0 && !found.is_constant)
    {
        let (cells, revised) = (scale(found.cells, all), scaled(found.revised));
        let mostly_same = mostly_same || (has_other_rows && revised * 2 < cells);
        let ratio = found.ratio.map(|ratio| if mostly_same { 1.0 } else { ratio });
        let line = ColumnRevision { name: column.name.clone(), cells, revised, ratio };
        if column.is_number() {
            if found.cells >= MIN_CELLS && line.share() > thresholds.max_revised {
                compared.revised.push(column.name.clone());
            }
            let is_rescaled =
                |ratio: f64| ratio > thresholds.max_ratio || ratio < 1.0 / thresholds.max_ratio;
            if let Some(ratio) = ratio.filter(|ratio| is_rescaled(*ratio))
                && (found.ratios >= FEW_CELLS || (found.ratios >= MIN_CELLS && found.is_one_ratio))
            {
                compared.rescaled.push((column.name.clone(), rescaled(ratio)));
            }
        }
        compared.revision.columns.push(line);
    }
    let revision = &mut compared.revision;
    revision.columns.sort_by(|one, other| other.share().total_cmp(&one.share()));
    revision.columns.truncate(MAX_COLUMNS);
    revision.largest = largest(engine, &values, &figures, &key)?;
    if examples > 0 {
        compared.added_keys = keys_where("NOT was", examples, &key, engine)?;
        compared.removed_keys = keys_where("NOT is_there", examples, &key, engine)?;
    }
    let revision = &mut compared.revision;
    let keys = revision.common + revision.added + revision.removed;
    let is_much = !compared.revised.is_empty()
        || share(revision.added.min(revision.removed), keys) > shift::MANY_KEYS;
    revision.shift = match shift::find(engine, sides, &key, &values, is_much) {
        // A type that does not support the step is not an error in the data.
        Err(ExportError::Engine { .. }) => None,
        found => found?,
    };
    engine.execute_batch(
        "DROP TABLE IF EXISTS temp.main._pairs; DROP TABLE IF EXISTS temp.main._buckets",
    )?;
    Ok(Some(compared))
}

fn rescaled(ratio: f64) -> String {
    let factor =
        |ratio: f64| format!("{ratio:.2}").trim_end_matches('0').trim_end_matches('.').to_owned();
    match ratio {
        0.0 => "set to 0".to_owned(),
        ratio if ratio > 1.0 => format!("multiplied by {}", factor(ratio)),
        ratio => format!("divided by {}", factor(1.0 / ratio)),
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of rows times a factor of at least one"
)]
fn scale(count: u64, factor: f64) -> u64 {
    (count as f64 * factor).round() as u64
}

/// The rows to be joined.
struct ComparedPart {
    /// The number of buckets, of which differing ones are joined; `None` if all rows are joined.
    buckets: Option<u64>,
    /// The factor that scales counts of joined rows to the whole table.
    factor: f64,
    /// Rows in differing buckets, in the larger of both tables.
    differing: u64,
    /// Number of joined rows.
    joined: u64,
}

impl ComparedPart {
    /// Determines which rows can differ; `None` if none can.
    fn choose(
        engine: &Engine,
        sides: &Sides<'_>,
        key: &[Shared],
        values: &[Shared],
    ) -> Result<Option<Self>, ExportError> {
        let most = (MAX_CELLS / (values.len() as u64 + 1)).clamp(MIN_ROWS, MAX_ROWS);
        let rows = sides.rows();
        if rows <= most {
            return Ok(Some(Self { buckets: None, factor: 1.0, differing: rows, joined: rows }));
        }
        let buckets = (rows / BUCKET_ROWS).max(1);
        // Values of different types have different hashes, so all rows would differ.
        let hashed: Vec<_> =
            key.iter().chain(values).map(|column| sql::ident(&column.name)).collect();
        let side = |from: &str| {
            let (bucket, hashed) = (bucket(key, buckets), hashed.join(", "));
            format!(
                "(SELECT {bucket} AS bucket, count(*) AS n, bit_xor(hash({hashed})) AS digest FROM {from} GROUP BY ALL)"
            )
        };
        engine.execute_batch(&format!(
            "CREATE OR REPLACE TEMP TABLE _buckets AS
             SELECT bucket, greatest(coalesce(o.n, 0), coalesce(n.n, 0)) AS n FROM {} o FULL JOIN {} n USING (bucket)
             WHERE o.n IS DISTINCT FROM n.n OR o.digest IS DISTINCT FROM n.digest",
            side(sides.old),
            side(sides.new)
        ))?;
        let differing =
            engine.query_u64("SELECT coalesce(sum(n), 0)::UBIGINT FROM temp.main._buckets")?;
        if differing == 0 {
            return Ok(None);
        }
        let parts = differing.div_ceil(most);
        if parts > 1 {
            engine.execute_batch(&format!(
                "DELETE FROM temp.main._buckets WHERE hash(bucket) % {parts} <> 0"
            ))?;
        }
        let joined =
            engine.query_u64("SELECT coalesce(sum(n), 0)::UBIGINT FROM temp.main._buckets")?;
        let factor = if joined == 0 { 1.0 } else { differing as f64 / joined as f64 };
        Ok(Some(Self { buckets: Some(buckets), factor, differing, joined }))
    }

    /// Writes the old and new values of matched rows into a temporary table `_pairs`.
    fn join(
        &self,
        engine: &Engine,
        sides: &Sides<'_>,
        key: &[Shared],
        values: &[Shared],
    ) -> Result<(), ExportError> {
        let some = self.buckets.map_or_else(String::new, |buckets| {
            format!(" WHERE {} IN (SELECT bucket FROM temp.main._buckets)", bucket(key, buckets))
        });
        let side = |from: &str, prefix: &str| {
            let keys =
                key.iter().enumerate().map(|(at, column)| format!("{} AS k{at}", column.as_key()));
            let values = values
                .iter()
                .enumerate()
                .map(|(at, column)| format!("{} AS {prefix}{at}", sql::ident(&column.name)));
            format!(
                "(SELECT {}, true AS has FROM {from}{some})",
                keys.chain(values).collect::<Vec<_>>().join(", ")
            )
        };
        let keys: Vec<_> = (0..key.len()).map(|at| format!("k{at}")).collect();
        let columns = values.iter().enumerate().map(|(at, column)| {
            let (old, new) = (format!("o{at}"), format!("n{at}"));
            format!(", {old}, {new}, o.has AND n.has AND {} AS d{at}", column.differ(&old, &new))
        });
        engine.execute_batch(&format!(
            "CREATE OR REPLACE TEMP TABLE _pairs AS SELECT {keys}, coalesce(o.has, false) AS was, coalesce(n.has, false) AS is_there{columns}
             FROM {} o FULL JOIN {} n USING ({keys})",
            side(sides.old, "o"),
            side(sides.new, "n"),
            keys = keys.join(", "),
            columns = columns.collect::<String>(),
        ))
    }
}

fn bucket(key: &[Shared], buckets: u64) -> String {
    let key: Vec<_> = key.iter().map(Shared::as_key).collect();
    format!("hash({}) % {buckets}", key.join(", "))
}

/// Figures of the joined rows.
struct RevisionFigures {
    common: u64,
    revised: u64,
    added: u64,
    removed: u64,
    columns: Vec<ColumnFigures>,
}

/// Figures of one column.
#[derive(Default)]
struct ColumnFigures {
    cells: u64,
    revised: u64,
    /// The number of old values by which new ones can be divided, and the median of those ratios.
    ratios: u64,
    ratio: Option<f64>,
    /// Whether all values changed by the same factor.
    is_one_ratio: bool,
    /// Whether the column had a single value before and has a single one now.
    is_constant: bool,
    /// The mean of the absolute old values, as the usual magnitude.
    usual: Option<f64>,
}

impl RevisionFigures {
    /// `has_other_rows` is whether the table has more rows than the joined ones, all unchanged.
    fn read(
        engine: &Engine,
        values: &[Shared],
        rows: u64,
        has_other_rows: bool,
    ) -> Result<Self, ExportError> {
        // Computing a median keeps every value in memory.
        const IN_MEMORY: u64 = 4_000_000;
        const MAX_TOGETHER: u64 = 40;
        let together =
            usize::try_from((IN_MEMORY / rows.max(1)).clamp(1, MAX_TOGETHER)).unwrap_or(1);
        let mut columns: Vec<ColumnFigures> = Vec::with_capacity(values.len());
        for (chunk, some) in values.chunks(together).enumerate() {
            let figures: Vec<_> = some
                .iter()
                .enumerate()
                .map(|(at, column)| figures(chunk * together + at, column))
                .collect();
            let query = format!("SELECT {} FROM temp.main._pairs", figures.join(", "));
            let read = |row: &duckdb::Row<'_>| {
                (0..some.len())
                    .map(|at| ColumnFigures::read(row, at * FIGURES))
                    .collect::<duckdb::Result<Vec<_>>>()
            };
            columns.extend(engine.rows(&query, &[], read)?.pop().unwrap_or_default());
        }
        if has_other_rows {
            for found in &mut columns {
                found.is_constant = false;
            }
        }
        // A column with the same new value in every row is the number or time of a pipeline run,
        // not a revision.
        let any: Vec<_> = columns
            .iter()
            .enumerate()
            .filter(|(_, found)| !found.is_constant)
            .map(|(at, _)| format!(" OR d{at}"))
            .collect();
        let any = any.concat();
        let counts = format!(
            "SELECT count(*) FILTER (was AND is_there), count(*) FILTER (false{any}), count(*) FILTER (NOT was), count(*) FILTER (NOT is_there) FROM temp.main._pairs"
        );
        let counted = engine
            .rows(&counts, &[], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .pop();
        let (common, revised, added, removed) = counted.unwrap_or_default();
        Ok(Self { common, revised, added, removed, columns })
    }
}

/// The number of figures per column.
const FIGURES: usize = 7;

fn figures(at: usize, column: &Shared) -> String {
    let (old, new) = (format!("o{at}"), format!("n{at}"));
    let counts = format!(
        "count(*) FILTER (was AND is_there AND {}), count(*) FILTER (d{at})",
        column.is_informative(&old, &new)
    );
    let constant = |can: &str| {
        format!(
            "coalesce(min(o{at}) {can} = max(o{at}) {can} AND min(n{at}) {can} = max(n{at}) {can}, false) AND count(*) {can} > 1"
        )
    };
    if !column.is_number() {
        let is_simple =
            matches!(column.data_type.as_str(), "VARCHAR" | "DATE" | "BOOLEAN" | "UUID")
                || column.data_type.starts_with("TIMESTAMP");
        let constant =
            if is_simple { constant("FILTER (was AND is_there)") } else { "false".to_owned() };
        return format!("{counts}, 0, NULL::DOUBLE, false, {constant}, NULL::DOUBLE");
    }
    let (old, new) = (format!("{old}::DOUBLE"), format!("{new}::DOUBLE"));
    let can =
        format!("FILTER (was AND is_there AND {old} <> 0 AND isfinite({old}) AND isfinite({new}))");
    let ratio = format!("abs({new} / {old})");
    format!(
        "{counts}, count(*) {can}, median({ratio}) {can}, coalesce(max({ratio}) {can} <= 1.01 * min({ratio}) {can}, false),
         {}, avg(abs({old})) {can}",
        constant(&can)
    )
}

impl ColumnFigures {
    fn read(row: &duckdb::Row<'_>, at: usize) -> duckdb::Result<Self> {
        Ok(Self {
            cells: row.get(at)?,
            revised: row.get(at + 1)?,
            ratios: row.get(at + 2)?,
            ratio: row.get(at + 3)?,
            is_one_ratio: row.get(at + 4)?,
            is_constant: row.get(at + 5)?,
            usual: row.get(at + 6)?,
        })
    }
}

/// Returns the SQL for the key of a joined row as text.
fn key_text(key: &[Shared]) -> String {
    let text = |(at, column): (usize, &Shared)| {
        // A date is formatted the same whatever its type.
        let midnight = if column.data_type.starts_with("TIMESTAMP") {
            ".replace(' 00:00:00', '')"
        } else {
            ""
        };
        format!("(k{at}::VARCHAR){midnight}")
    };
    let key: Vec<_> = key.iter().enumerate().map(text).collect();
    format!("left(concat_ws(' ', {}), {MAX_TEXT})", key.join(", "))
}

/// Returns the first keys of the joined rows that fulfill a condition.
fn keys_where(
    condition: &str,
    limit: usize,
    key: &[Shared],
    engine: &Engine,
) -> Result<Vec<String>, ExportError> {
    let order: Vec<_> = (0..key.len()).map(|at| format!("k{at}")).collect();
    engine.query_strings(
        &format!(
            "SELECT {} FROM temp.main._pairs WHERE {condition} ORDER BY {} LIMIT {limit}",
            key_text(key),
            order.join(", ")
        ),
        &[],
    )
}

/// Returns the revisions that are largest relative to the usual magnitude of their column,
/// non-numeric ones last.
fn largest(
    engine: &Engine,
    values: &[Shared],
    figures: &RevisionFigures,
    key: &[Shared],
) -> Result<Vec<CellRevision>, ExportError> {
    let mut revised: Vec<_> = (0..values.len())
        .filter(|at| figures.columns[*at].revised > 0 && !figures.columns[*at].is_constant)
        .collect();
    revised.sort_by_key(|at| {
        std::cmp::Reverse((values[*at].is_number(), figures.columns[*at].revised))
    });
    revised.truncate(MAX_COLUMNS);
    let key = key_text(key);
    let of = |at: &usize| {
        let usual = figures.columns[*at]
            .usual
            .filter(|usual| *usual > 0.0 && usual.is_finite())
            .unwrap_or(1.0);
        let score = if values[*at].is_number() {
            format!("coalesce(abs(n{at}::DOUBLE - o{at}::DOUBLE) / {usual:e}, 1)")
        } else {
            "-1".to_owned()
        };
        let text =
            |value: String| format!("coalesce(left({value}::VARCHAR, {MAX_TEXT}), 'nothing')");
        format!(
            "(SELECT {at} AS place, {key} AS row_key, {} AS before, {} AS now, {score} AS score FROM temp.main._pairs WHERE d{at} ORDER BY score DESC, row_key LIMIT {MAX_LARGEST})",
            text(format!("o{at}")),
            text(format!("n{at}"))
        )
    };
    if revised.is_empty() {
        return Ok(Vec::new());
    }
    let all = revised.iter().map(of).collect::<Vec<_>>().join(" UNION ALL ");
    let query = format!(
        "SELECT place, row_key, before, now FROM ({all}) ORDER BY score DESC, place, row_key LIMIT {MAX_LARGEST}"
    );
    engine.rows(&query, &[], |row| {
        let column =
            row.get::<_, u64>(0).ok().and_then(|place| values.get(usize::try_from(place).ok()?));
        let shorten = |text: String| {
            if column.is_some_and(Shared::is_number) { without_zeros(text) } else { text }
        };
        Ok(CellRevision {
            key: row.get(1)?,
            column: column.map(|column| column.name.clone()).unwrap_or_default(),
            before: shorten(row.get(2)?),
            now: shorten(row.get(3)?),
        })
    })
}

/// Removes trailing zeros: `171.400` and `171.4` are the same figure.
fn without_zeros(number: String) -> String {
    if number.contains('.') && !number.contains('e') {
        number.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        number
    }
}
