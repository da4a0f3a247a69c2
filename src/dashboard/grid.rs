//! Tables and heatmaps.

use std::collections::HashMap;

use super::{
    Content, Heatmap, HeatmapRow, Table, TableColumn, Tick,
    limits::{MAX_CELLS, Notes, ROWS, Undrawn},
    model::{Drawing, Figures, Panel, title_of},
    rows::{Holds, Row, Rows},
};
use crate::{values::Format, words};

pub(super) fn table(panel: &Panel, rows: &Rows, notes: &mut Notes) -> Result<Content, String> {
    let Drawing::Table { columns, labels, figures, rows: chosen, .. } = &panel.drawing else { return Err("not a table".to_owned()) };
    let most = chosen.unwrap_or(ROWS.default);
    for named in labels.keys().chain(figures.keys()) {
        rows.find(named)?;
    }
    let shown: Vec<usize> = match columns {
        Some(names) => names.iter().map(|name| rows.find(name)).collect::<Result<_, _>>()?,
        None => (0..rows.fields().len()).collect(),
    };
    let none = Figures::default();
    let drawn: Vec<_> = shown
        .iter()
        .map(|index| {
            let name = &rows.fields()[*index].name;
            let figures = figures.get(name).unwrap_or(&none);
            let column = TableColumn {
                title: labels.get(name).cloned().unwrap_or_else(|| title_of(name)),
                unit: figures.unit.as_ref().and_then(|unit| unit.behind().map(str::to_owned)),
                right: rows.holds(*index).is_number(),
            };
            (*index, column, figures.format().unwrap_or_else(|| rows.format(*index)))
        })
        .collect();
    let cells = |row: Row| drawn.iter().map(|(index, _, format)| row.human(*index, *format).unwrap_or_default().into_owned()).collect();
    let mut all = rows.each();
    let shown: Vec<Vec<String>> = all.by_ref().take(most).map(cells).collect();
    if shown.is_empty() {
        return Ok(Content::Empty { reason: String::new() });
    }
    let columns = drawn.into_iter().map(|(_, column, _)| column).collect();
    let left_out = all.count() + notes.unread;
    // A number of rows that was asked for is no surprise; the table says itself how many more there are.
    if left_out > 0 && chosen.is_none() {
        notes.unexpected(format!("Showing the first {most} of {}.", words::rows((most + left_out) as u64)), ROWS.key);
    }
    Ok(Content::Table(Table { columns, rows: shown, left_out }))
}

/// Names along one side of a heatmap, in the order in which they are drawn.
struct Side {
    column: usize,
    format: Format,
    names: Vec<String>,
    places: HashMap<String, usize>,
}

impl Side {
    /// The first names, or the latest of numbers and dates.
    fn of(name: &str, panel: &Panel, rows: &Rows, is_x: bool, notes: &mut Notes) -> Result<Self, String> {
        let column = rows.find(name)?;
        let own = rows.format(column);
        let format = if is_x { panel.x_format.unwrap_or(own) } else { own };
        let holds = rows.holds(column);
        let mut known = HashMap::<String, f64>::new();
        for row in rows.each() {
            let Some(shown) = row.human(column, format) else { continue };
            if known.contains_key(shown.as_ref()) {
                continue;
            }
            let order = match holds {
                Holds::Whole | Holds::Number => row.number(column).unwrap_or_default(),
                Holds::Time => row.millis(column).unwrap_or_default() as f64,
                Holds::Other => known.len() as f64,
            };
            known.insert(shown.into_owned(), order);
        }
        let mut names: Vec<(String, f64)> = known.into_iter().collect();
        names.sort_by(|(one, first), (other, second)| first.total_cmp(second).then_with(|| one.cmp(other)));
        let (all, most) = (names.len(), panel.limits.cells);
        if all > most {
            let what = if is_x { "columns" } else { "rows" };
            let which = if holds == Holds::Other { "first" } else { "latest" };
            if holds == Holds::Other {
                names.truncate(most);
            } else {
                names.drain(..all - most);
            }
            let left = all - most;
            let are = if left == 1 { "is" } else { "are" };
            let text =
                format!("Showing the {which} {most} of {} {what}; {} {are} left out.", words::count(all as u64), words::count(left as u64));
            notes.add(text, MAX_CELLS.key);
        }
        let names: Vec<String> = names.into_iter().map(|(name, _)| name).collect();
        let places = names.iter().enumerate().map(|(place, name)| (name.clone(), place)).collect();
        Ok(Self { column, format, names, places })
    }

    fn place(&self, row: Row) -> Option<usize> {
        let shown = row.human(self.column, self.format)?;
        self.places.get(shown.as_ref()).copied()
    }
}

pub(super) fn heatmap(panel: &Panel, rows: &Rows, notes: &mut Notes) -> Result<Content, Undrawn> {
    let Drawing::Heatmap { x, y, value, x_title, y_title, .. } = &panel.drawing else { return Err("not a heatmap".to_owned().into()) };
    let number = rows.find_number(value)?;
    let (across, down) = (Side::of(x, panel, rows, true, notes)?, Side::of(y, panel, rows, false, notes)?);
    let format = panel.figures.format().unwrap_or_else(|| rows.holds(number).format());
    let mut cells = vec![vec![None::<Tick>; across.names.len()]; down.names.len()];
    for row in rows.each() {
        let (Some(column), Some(line)) = (across.place(row), down.place(row)) else { continue };
        let Some(at) = row.number(number) else { continue };
        let cell = &mut cells[line][column];
        if cell.is_some() {
            return Err(Undrawn::by_amount(format!("two rows for {} and {}: sum them up in SQL", across.names[column], down.names[line])));
        }
        *cell = Some(Tick { at, label: row.human(number, format).unwrap_or_default().into_owned() });
    }
    let by = |one: &&Tick, other: &&Tick| one.at.total_cmp(&other.at);
    let all = || cells.iter().flatten().flatten();
    let (Some(min), Some(max)) = (all().min_by(by).cloned(), all().max_by(by).cloned()) else {
        return Ok(Content::Empty { reason: String::new() });
    };
    Ok(Content::Heatmap(Heatmap {
        x_title: x_title.clone().unwrap_or_else(|| title_of(x)),
        y_title: y_title.clone().unwrap_or_else(|| title_of(y)),
        columns: across.names,
        rows: down.names.into_iter().zip(cells).map(|(name, cells)| HeatmapRow { name, cells }).collect(),
        min,
        max,
    }))
}
