//! Heatmaps: colored cells in rows and columns.

use std::collections::HashMap;

use serde::Serialize;

use super::{Content, Kind, Tick, Visualization, optional};
use crate::{
    dashboard::{
        limits::{MAX_CELLS, Notes, Undrawn},
        model::{Panel, default_title},
        rows::{ColumnKind, ResultRows, Row},
    },
    humanize,
    values::Format,
};

pub(super) const HEATMAP: Kind = Kind {
    name: "heatmap",
    keys: &[
        "sql",
        "x",
        "y",
        "value",
        "unit",
        "format",
        "x_format",
        "x_title",
        "y_title",
        "max_cells",
    ],
    width: 12,
    parse: |context, raw, line| {
        Some(Visualization::Heatmap(HeatmapSpec {
            sql: context.required("sql", raw.sql, &raw.title, line)?,
            x: context.required_column("x", raw.x, &raw.title, line)?,
            y: context.required_columns("y", raw.y, &raw.title, line)?.into_iter().next()?,
            value: context.required_column("value", raw.value, &raw.title, line)?,
            x_title: optional(raw.x_title),
            y_title: optional(raw.y_title),
        }))
    },
};

/// The specification of a heatmap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeatmapSpec {
    pub sql: String,
    /// The column whose values are the heatmap's columns.
    pub x: String,
    /// The column whose values are the heatmap's rows.
    pub y: String,
    /// The column with the numbers.
    pub value: String,
    /// The title of the columns.
    pub x_title: Option<String>,
    /// The title of the rows.
    pub y_title: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Heatmap {
    /// The title of the columns.
    pub x_title: String,
    /// The title of the rows.
    pub y_title: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows, from the top, with their cells.
    pub rows: Vec<HeatmapRow>,
    /// The smallest value as a number and as text.
    pub min: Tick,
    /// The largest value as a number and as text.
    pub max: Tick,
    /// Whether the columns are dates or numbers in ascending order.
    #[serde(skip)]
    pub ascends: bool,
}

/// One row of a heatmap.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeatmapRow {
    /// The name of the row.
    pub name: String,
    /// One per column; `None` if there is no value.
    pub cells: Vec<Option<Tick>>,
}

/// The names along one side of a heatmap, in drawing order.
struct HeatmapAxis {
    column: usize,
    /// Whether its names are dates or numbers.
    ascends: bool,
    format: Format,
    names: Vec<String>,
    places: HashMap<String, usize>,
}

impl HeatmapAxis {
    /// Returns the first names, or the latest if they are numbers or dates.
    fn new(
        name: &str,
        panel: &Panel,
        rows: &ResultRows<'_>,
        is_x: bool,
        notes: &mut Notes,
    ) -> Result<Self, String> {
        let column = rows.find(name)?;
        let own = rows.default_format(column);
        let format = if is_x { panel.x_format.unwrap_or(own) } else { own };
        let kind = rows.kind(column);
        let mut known = HashMap::<String, f64>::new();
        for row in rows.each() {
            let Some(shown) = row.format(column, format) else { continue };
            if known.contains_key(shown.as_ref()) {
                continue;
            }
            let order = match kind {
                ColumnKind::Integer | ColumnKind::Number => row.number(column).unwrap_or_default(),
                ColumnKind::Temporal => row.millis(column).unwrap_or_default() as f64,
                ColumnKind::Other => known.len() as f64,
            };
            known.insert(shown.into_owned(), order);
        }
        let mut names: Vec<(String, f64)> = known.into_iter().collect();
        names.sort_by(|(one, first), (other, second)| {
            first.total_cmp(second).then_with(|| one.cmp(other))
        });
        let (all, max_cells) = (names.len(), panel.limits.cells);
        if all > max_cells {
            let what = if is_x { "columns" } else { "rows" };
            let which = if kind == ColumnKind::Other { "first" } else { "latest" };
            if kind == ColumnKind::Other {
                names.truncate(max_cells);
            } else {
                names.drain(..all - max_cells);
            }
            let left = all - max_cells;
            let are = if left == 1 { "is" } else { "are" };
            let text = format!(
                "Showing the {which} {max_cells} of {} {what}; {} {are} left out.",
                humanize::count(all as u64),
                humanize::count(left as u64)
            );
            notes.add(text, MAX_CELLS.key);
        }
        let names: Vec<String> = names.into_iter().map(|(name, _)| name).collect();
        let places = names.iter().enumerate().map(|(place, name)| (name.clone(), place)).collect();
        Ok(Self { column, ascends: kind != ColumnKind::Other, format, names, places })
    }

    fn place(&self, row: Row<'_, '_>) -> Option<usize> {
        let shown = row.format(self.column, self.format)?;
        self.places.get(shown.as_ref()).copied()
    }
}

pub(super) fn draw(
    spec: &HeatmapSpec,
    panel: &Panel,
    rows: &ResultRows<'_>,
    notes: &mut Notes,
) -> Result<Content, Undrawn> {
    let HeatmapSpec { x, y, value, x_title, y_title, .. } = spec;
    let number = rows.find_number(value)?;
    let (across, down) = (
        HeatmapAxis::new(x, panel, rows, true, notes)?,
        HeatmapAxis::new(y, panel, rows, false, notes)?,
    );
    let format = panel.values.format().unwrap_or_else(|| rows.value_format(number));
    let mut cells = vec![vec![None::<Tick>; across.names.len()]; down.names.len()];
    for row in rows.each() {
        let (Some(column), Some(line)) = (across.place(row), down.place(row)) else { continue };
        let Some(at) = row.number(number) else { continue };
        let cell = &mut cells[line][column];
        if cell.is_some() {
            return Err(Undrawn::by_amount(format!(
                "two rows for {} and {}: aggregate them in SQL",
                across.names[column], down.names[line]
            )));
        }
        *cell =
            Some(Tick { at, label: row.format(number, format).unwrap_or_default().into_owned() });
    }
    let by = |one: &&Tick, other: &&Tick| one.at.total_cmp(&other.at);
    let all = || cells.iter().flatten().flatten();
    let (Some(min), Some(max)) = (all().min_by(by).cloned(), all().max_by(by).cloned()) else {
        return Ok(Content::Empty { reason: String::new() });
    };
    Ok(Content::Heatmap(Heatmap {
        x_title: x_title.clone().unwrap_or_else(|| default_title(x)),
        y_title: y_title.clone().unwrap_or_else(|| default_title(y)),
        columns: across.names,
        rows: down
            .names
            .into_iter()
            .zip(cells)
            .map(|(name, cells)| HeatmapRow { name, cells })
            .collect(),
        min,
        max,
        ascends: across.ascends,
    }))
}
