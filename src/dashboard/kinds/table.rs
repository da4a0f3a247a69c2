//! Rows and columns of text.

use std::{cmp::Ordering, collections::BTreeMap, fmt::Write};

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{Content, Kind, Tone, Visualization, by_column, lower};
use crate::{
    dashboard::{
        colors::compare_names,
        data::is_zero,
        limits::{Notes, ROWS},
        model::{ValueSpec, default_title},
        parse::ParseContext,
        rows::{ResultRows, Row},
    },
    humanize,
    links::is_allowed,
    values::{Format, format_number},
};

pub(super) const TABLE: Kind = Kind {
    name: "table",
    keys: &[
        "sql",
        "columns",
        "labels",
        "units",
        "formats",
        "rows",
        "style",
        "totals",
        "groups",
        "thresholds",
        "link",
    ],
    width: 12,
    parse: |context, raw, line| {
        Some(Visualization::Table(TableSpec {
            sql: context.required("sql", raw.sql, &raw.title, line)?,
            columns: raw.columns.map(|columns| lower(columns.into_inner())),
            labels: by_column(raw.labels),
            values: column_values(context, raw.units, raw.formats),
            styles: raw.style.map(|styles| by_name(styles.into_inner())).unwrap_or_default(),
            totals: raw.totals.map(|totals| lower(totals.into_inner())).unwrap_or_default(),
            groups: groups(context, raw.groups),
            thresholds: thresholds(context, raw.thresholds),
            links: links(context, raw.link),
            rows: raw.rows.as_ref().map(|rows| context.limit(Some(rows), &ROWS)),
        }))
    },
};

/// The specification of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableSpec {
    pub sql: String,
    /// The selected columns, in order; all if absent.
    pub columns: Option<Vec<String>>,
    /// Titles by column.
    pub labels: BTreeMap<String, String>,
    /// Units and formats by column.
    pub values: BTreeMap<String, ValueSpec>,
    /// Drawings in cells by column.
    pub styles: BTreeMap<String, CellStyle>,
    /// Columns whose sum is in the last row.
    pub totals: Vec<String>,
    /// Titles above several columns, by column.
    pub groups: BTreeMap<String, String>,
    /// Thresholds from which cells are colored, by column.
    pub thresholds: BTreeMap<String, Thresholds>,
    /// URLs by column, with `$column` as a placeholder for the row's value.
    pub links: BTreeMap<String, String>,
    /// The number of rows to show, if set in the file.
    pub rows: Option<usize>,
}

/// Decorations of the cells of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CellStyle {
    /// A bar whose length is the value.
    Bar,
    /// A background whose intensity is the value.
    Scale,
    /// An arrow and a color for the sign.
    Delta,
    /// A sparkline of the numbers in a LIST.
    Spark,
    Badge,
    /// A link to the URL in the cell.
    Link,
}

/// Thresholds from which figures and cells are colored. If larger is worse, `bad` is the larger one.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// From this value on (or below it, if `bad` is smaller than `good`) the value is bad.
    pub bad: f64,
    /// From this value on (or below it) the value is good.
    pub good: f64,
}

/// `thresholds` of a figure, or of a table's columns.
#[derive(Debug, Clone, Deserialize)]
#[serde(
    untagged,
    expecting = "expected { good = 5, bad = 15 }, or in a table such thresholds by column"
)]
pub(in crate::dashboard) enum RawThresholds {
    Figure(Thresholds),
    Columns(BTreeMap<String, Thresholds>),
}

/// `link` of a chart's marks, or of a table's columns.
#[derive(Debug, Clone, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a link such as \"/dashboard/orders?country=$country\", or in a table links by column"
)]
pub(in crate::dashboard) enum RawLink {
    Marks(String),
    Columns(BTreeMap<String, String>),
}

fn thresholds(
    context: &mut ParseContext<'_>,
    given: Option<Spanned<RawThresholds>>,
) -> BTreeMap<String, Thresholds> {
    let Some(given) = given else { return BTreeMap::new() };
    let start = given.span().start;
    match given.into_inner() {
        RawThresholds::Columns(columns) => by_name(columns),
        RawThresholds::Figure(_) => {
            let message =
                "thresholds of a table are by column, as in { days = { good = 5, bad = 15 } }";
            context.problem(Some(start), message.to_owned());
            BTreeMap::new()
        }
    }
}

/// Returns the title of the group of each column.
fn groups(
    context: &mut ParseContext<'_>,
    given: Option<Spanned<BTreeMap<String, Vec<String>>>>,
) -> BTreeMap<String, String> {
    let Some(given) = given else { return BTreeMap::new() };
    let start = given.span().start;
    let mut groups = BTreeMap::<String, String>::new();
    for (title, columns) in given.into_inner() {
        for column in lower(columns) {
            if let Some(other) = groups.get(&column) {
                let message =
                    format!("the column {column:?} is in two groups, {other:?} and {title:?}");
                context.problem(Some(start), message);
            } else {
                groups.insert(column, title.clone());
            }
        }
    }
    groups
}

impl Thresholds {
    /// Returns whether a value is good or bad.
    pub(super) fn tone(self, value: f64) -> Tone {
        let more_is_bad = self.bad > self.good;
        let (bad, good) = if more_is_bad {
            (value >= self.bad, value <= self.good)
        } else {
            (value <= self.bad, value >= self.good)
        };
        match (bad, good) {
            (true, _) => Tone::Bad,
            (false, true) => Tone::Good,
            (false, false) => Tone::Neutral,
        }
    }
}

fn by_name<T>(columns: BTreeMap<String, T>) -> BTreeMap<String, T> {
    columns.into_iter().map(|(column, value)| (column.to_lowercase(), value)).collect()
}

/// Returns the URLs that are safe.
fn links(
    context: &mut ParseContext<'_>,
    links: Option<Spanned<RawLink>>,
) -> BTreeMap<String, String> {
    let Some(given) = links else { return BTreeMap::new() };
    let start = given.span().start;
    let RawLink::Columns(columns) = given.into_inner() else {
        let message = "links of a table are by column, as in { country = \"/dashboard/origins?countries=$country\" }";
        context.problem(Some(start), message.to_owned());
        return BTreeMap::new();
    };
    let harmless = |(column, address): (String, String)| {
        let checked = crate::links::check(&address.replace('$', ""));
        context.ok_or_report(start, checked).map(|()| (column.to_lowercase(), address))
    };
    columns.into_iter().filter_map(harmless).collect()
}

/// Returns the URL of a chart's marks, if it is safe.
pub(super) fn mark_link(
    context: &mut ParseContext<'_>,
    link: Option<Spanned<RawLink>>,
) -> Option<String> {
    let given = link?;
    let start = given.span().start;
    let RawLink::Marks(address) = given.into_inner() else {
        let message =
            "a chart has one link, as in link = \"/dashboard/origins?countries=$country\"";
        context.problem(Some(start), message.to_owned());
        return None;
    };
    let checked = crate::links::check(&address.replace('$', ""));
    context.ok_or_report(start, checked).map(|()| address)
}

/// Checks that the columns in a link are those of the result.
pub(super) fn check_link(pattern: &str, rows: &ResultRows<'_>) -> Result<(), String> {
    for (_, name) in link_parts(pattern) {
        if let Some(name) = name {
            rows.find(&name.to_lowercase())
                .map_err(|why| format!("in the link {pattern:?}: {why}"))?;
        }
    }
    Ok(())
}

/// Splits a link into texts, each followed by the name of a column, if there is one.
fn link_parts(pattern: &str) -> Vec<(&str, Option<&str>)> {
    let mut parts = Vec::new();
    let mut rest = pattern;
    while let Some(at) = rest.find('$') {
        let after = &rest[at + 1..];
        let end = after
            .find(|letter: char| !(letter.is_alphanumeric() || letter == '_'))
            .unwrap_or(after.len());
        parts.push((&rest[..at], Some(&after[..end])));
        rest = &after[end..];
    }
    parts.push((rest, None));
    parts
}

fn column_values(
    context: &mut ParseContext<'_>,
    units: Option<Spanned<BTreeMap<String, String>>>,
    formats: Option<Spanned<BTreeMap<String, Format>>>,
) -> BTreeMap<String, ValueSpec> {
    let mut values = BTreeMap::<String, ValueSpec>::new();
    if let Some(units) = units {
        let start = units.span().start;
        for (column, unit) in units.into_inner() {
            let found = context.units.find(&unit);
            if let Some(unit) = context.ok_or_report(start, found) {
                values.entry(column.to_lowercase()).or_default().unit = Some(unit);
            }
        }
    }
    for (column, format) in formats.map(Spanned::into_inner).unwrap_or_default() {
        values.entry(column.to_lowercase()).or_default().format = Some(format);
    }
    values
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table {
    /// The columns, from the left.
    pub columns: Vec<TableColumn>,
    /// The formatted cells of the rows; nulls are empty.
    pub rows: Vec<Vec<String>>,
    /// The decorations of the cells, row by row; empty if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decorations: Vec<Vec<Decoration>>,
    /// The sums below the rows, if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totals: Option<Vec<String>>,
    /// The page of rows, counted from 1.
    #[serde(skip)]
    pub page: usize,
    /// The number of pages of the rows that were read.
    #[serde(skip)]
    pub pages: usize,
    /// The number of rows of the query before these.
    #[serde(skip_serializing_if = "is_zero")]
    pub skipped: usize,
    /// The number of rows of the query after these.
    pub left_out: usize,
    /// For each column the place of each row in its order; `None` for missing values. Empty if not
    /// all rows are shown, since the first ones of a part would be mistaken for those of all.
    #[serde(skip)]
    pub ranks: Vec<Vec<Option<u32>>>,
}

/// The title above adjacent columns.
#[derive(Debug, PartialEq, Eq)]
pub struct ColumnGroup<'t> {
    /// The title; `None` above columns without one.
    pub title: Option<&'t str>,
    /// The number of its columns.
    pub columns: usize,
}

impl Table {
    /// Returns the groups of all columns from the left; nothing if no column is in a group.
    #[must_use]
    pub fn groups(&self) -> Vec<ColumnGroup<'_>> {
        if self.columns.iter().all(|column| column.group.is_none()) {
            return Vec::new();
        }
        let groups = self.columns.chunk_by(|one, other| one.group == other.group);
        groups
            .map(|columns| ColumnGroup {
                title: columns.first().and_then(|column| column.group.as_deref()),
                columns: columns.len(),
            })
            .collect()
    }

    /// Returns the number of rows of the query.
    #[must_use]
    pub fn all_rows(&self) -> usize {
        self.skipped + self.rows.len() + self.left_out
    }
}

/// The decoration of a cell.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Decoration {
    /// The style of its column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub style: Option<CellStyle>,
    /// The value's share of the largest one of its column, from -1 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tone: Option<Tone>,
    /// The numbers of a sparkline.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spark: Vec<Option<f64>>,
    /// The target of its link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub href: Option<String>,
}

/// The header of a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableColumn {
    /// The text above it.
    pub title: String,
    /// The unit of its numbers.
    pub unit: Option<String>,
    /// Whether its cells are right-aligned.
    pub right: bool,
    /// The title above it and its neighbors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// A shown column of the result.
struct ShownColumn<'s> {
    index: usize,
    head: TableColumn,
    format: Format,
    style: Option<CellStyle>,
    thresholds: Option<Thresholds>,
    link: Option<&'s str>,
    /// The largest absolute value.
    largest: f64,
}

/// Returns the rows of one page, counted from 0.
pub(super) fn draw(
    spec: &TableSpec,
    page: usize,
    rows: &ResultRows<'_>,
    notes: &mut Notes,
) -> Result<Content, String> {
    let max_rows = spec.rows.unwrap_or(ROWS.default);
    let named = [spec.labels.keys().collect::<Vec<_>>(), spec.values.keys().collect()]
        .into_iter()
        .chain([spec.styles.keys().collect(), spec.thresholds.keys().collect()])
        .chain([spec.links.keys().collect(), spec.totals.iter().collect()])
        .chain([spec.groups.keys().collect()]);
    for name in named.flatten() {
        rows.find(name)?;
    }
    for link in spec.links.values() {
        check_link(link, rows)?;
    }
    let columns = shown_columns(spec, rows)?;
    let is_decorated = columns.iter().any(|column| {
        column.style.is_some() || column.thresholds.is_some() || column.link.is_some()
    });
    let read = rows.each().count();
    // A page after the last one, as after a change of the data, is the last one.
    let pages = read.div_ceil(max_rows);
    let page = page.min(pages.saturating_sub(1));
    let skipped = page * max_rows;
    let (mut cells, mut decorations) = (Vec::new(), Vec::new());
    for row in rows.each().skip(skipped).take(max_rows) {
        cells.push(columns.iter().map(|column| column.print(row)).collect::<Vec<String>>());
        if is_decorated {
            decorations.push(columns.iter().map(|column| column.decorate(row, rows)).collect());
        }
    }
    if cells.is_empty() {
        return Ok(Content::Empty { reason: String::new() });
    }
    let left_out = read - skipped - cells.len() + notes.unread;
    // A limit set by the author is intentional; the table itself shows the number of further rows.
    if skipped == 0 && left_out > 0 && spec.rows.is_none() {
        notes.unexpected(
            format!(
                "Showing the first {max_rows} of {}.",
                humanize::rows((max_rows + left_out) as u64)
            ),
            ROWS.key,
        );
    }
    // The sum of a part would be mistaken for that of all rows.
    let totals =
        (!spec.totals.is_empty() && notes.unread == 0).then(|| totals(spec, &columns, rows));
    let ranks = match skipped + left_out {
        0 => columns.iter().map(|column| column.ranks(rows)).collect(),
        _ => Vec::new(),
    };
    Ok(Content::Table(Table {
        ranks,
        columns: columns.into_iter().map(|column| column.head).collect(),
        rows: cells,
        decorations,
        totals,
        page: page + 1,
        pages,
        skipped,
        left_out,
    }))
}

fn shown_columns<'s>(
    spec: &'s TableSpec,
    rows: &ResultRows<'_>,
) -> Result<Vec<ShownColumn<'s>>, String> {
    let selected: Vec<usize> = match &spec.columns {
        Some(names) => names.iter().map(|name| rows.find(name)).collect::<Result<_, _>>()?,
        None => (0..rows.fields().len()).collect(),
    };
    let none = ValueSpec::default();
    let column = |index: usize| {
        let name = &rows.fields()[index].name;
        let values = spec.values.get(name).unwrap_or(&none);
        let head = TableColumn {
            title: spec.labels.get(name).cloned().unwrap_or_else(|| default_title(name)),
            unit: values.suffix().map(str::to_owned),
            right: rows.kind(index).is_number(),
            group: spec.groups.get(name).cloned(),
        };
        let style = spec.styles.get(name).copied();
        let needs_largest = matches!(style, Some(CellStyle::Bar | CellStyle::Scale));
        let amounts = rows.each().filter_map(|row| row.number(index)).map(f64::abs);
        ShownColumn {
            index,
            head,
            format: values.format().unwrap_or_else(|| rows.default_format(index)),
            style,
            thresholds: spec.thresholds.get(name).copied(),
            link: spec.links.get(name).map(String::as_str),
            largest: if needs_largest { amounts.fold(0.0, f64::max) } else { 0.0 },
        }
    };
    Ok(selected.into_iter().map(column).collect())
}

/// What a cell is sorted by.
enum SortKey {
    Number(f64),
    Text(String),
}

impl SortKey {
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => one.total_cmp(other),
            (Self::Text(one), Self::Text(other)) => compare_names(one, other),
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        }
    }
}

impl ShownColumn<'_> {
    /// Returns the place of each row in the order of this column; nothing for sparklines.
    fn ranks(&self, rows: &ResultRows<'_>) -> Vec<Option<u32>> {
        if self.style == Some(CellStyle::Spark) {
            return Vec::new();
        }
        let key = |row: Row<'_, '_>| {
            // Dates are sorted by their time, and not by how they are written.
            let moment = row.millis(self.index).map(|millis| millis as f64);
            let number = row.number(self.index).or(moment).map(SortKey::Number);
            number.or_else(|| Some(SortKey::Text(row.text(self.index)?.into_owned())))
        };
        let keys: Vec<Option<SortKey>> = rows.each().map(key).collect();
        let mut known: Vec<(usize, &SortKey)> =
            keys.iter().enumerate().filter_map(|(row, key)| Some((row, key.as_ref()?))).collect();
        known.sort_by(|(_, one), (_, other)| one.compare(other));
        let mut ranks = vec![None; keys.len()];
        let equal = |one: &(usize, &SortKey), other: &(usize, &SortKey)| {
            one.1.compare(other.1) == Ordering::Equal
        };
        for (rank, same) in (0..).zip(known.chunk_by(equal)) {
            for (row, _) in same {
                ranks[*row] = Some(rank);
            }
        }
        ranks
    }

    fn print(&self, row: Row<'_, '_>) -> String {
        match self.style {
            Some(CellStyle::Spark) => String::new(),
            _ => row.format(self.index, self.format).unwrap_or_default().into_owned(),
        }
    }

    fn decorate(&self, row: Row<'_, '_>, rows: &ResultRows<'_>) -> Decoration {
        let value = row.number(self.index);
        let by_sign =
            value.filter(|_| self.style == Some(CellStyle::Delta)).map(|value| match value {
                more if more > 0.0 => Tone::Good,
                less if less < 0.0 => Tone::Bad,
                _ => Tone::Neutral,
            });
        let own = || row.text(self.index).filter(|_| self.style == Some(CellStyle::Link));
        let href = match self.link {
            Some(pattern) => Some(filled(pattern, row, rows)),
            None => own().map(std::borrow::Cow::into_owned),
        };
        Decoration {
            style: self.style,
            fraction: value.filter(|_| self.largest > 0.0).map(|value| value / self.largest),
            tone: value.and_then(|value| Some(self.thresholds?.tone(value))).or(by_sign),
            spark: match self.style {
                Some(CellStyle::Spark) => row.numbers(self.index),
                _ => Vec::new(),
            },
            href: href.filter(|href| is_allowed(href)),
        }
    }
}

/// Returns a URL with the row's values in place of column names.
pub(super) fn filled(pattern: &str, row: Row<'_, '_>, rows: &ResultRows<'_>) -> String {
    let mut out = String::with_capacity(pattern.len());
    for (text, name) in link_parts(pattern) {
        out.push_str(text);
        let column = name.and_then(|name| rows.find(&name.to_lowercase()).ok());
        let value = column.and_then(|column| row.text(column));
        for byte in value.unwrap_or_default().bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
                out.push(byte.into());
            } else {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Returns the sums of the requested columns over all rows.
fn totals(spec: &TableSpec, columns: &[ShownColumn<'_>], rows: &ResultRows<'_>) -> Vec<String> {
    let has_total = |column: &ShownColumn<'_>| {
        spec.totals.contains(&rows.fields()[column.index].name) && column.head.right
    };
    let cell = |(at, column): (usize, &ShownColumn<'_>)| {
        if has_total(column) {
            let sum = rows.each().filter_map(|row| row.number(column.index)).sum();
            format_number(sum, column.format)
        } else if at == 0 {
            "Total".to_owned()
        } else {
            String::new()
        }
    };
    columns.iter().enumerate().map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_know_which_direction_is_bad() {
        let delay = Thresholds { good: 5.0, bad: 15.0 };
        assert_eq!(
            [2.0, 9.0, 15.0].map(|value| delay.tone(value)),
            [Tone::Good, Tone::Neutral, Tone::Bad]
        );
        let stock = Thresholds { good: 20.0, bad: 10.0 };
        assert_eq!(
            [30.0, 15.0, 3.0].map(|value| stock.tone(value)),
            [Tone::Good, Tone::Neutral, Tone::Bad]
        );
    }
}
