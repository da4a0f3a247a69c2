//! Tables and heatmaps.

use super::{
    Content, Heatmap, HeatmapRow, Table, TableColumn, Tick,
    model::{Drawing, Figures, Panel, title_of},
    rows::{Holds, Row, Rows},
};

/// More rows or columns of coloured cells cannot be read.
const MOST_CELLS: usize = 120;

pub(super) fn table(panel: &Panel, rows: &Rows) -> Result<Content, String> {
    let Drawing::Table { columns, labels, figures, rows: most, .. } = &panel.drawing else { return Err("not a table".to_owned()) };
    for named in labels.keys().chain(figures.keys()) {
        rows.find(named)?;
    }
    let chosen: Vec<usize> = match columns {
        Some(names) => names.iter().map(|name| rows.find(name)).collect::<Result<_, _>>()?,
        None => (0..rows.fields().len()).collect(),
    };
    let none = Figures::default();
    let drawn: Vec<_> = chosen
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
    let shown: Vec<Vec<String>> = all.by_ref().take(*most).map(cells).collect();
    if shown.is_empty() {
        return Ok(Content::Empty { reason: String::new() });
    }
    let columns = drawn.into_iter().map(|(_, column, _)| column).collect();
    Ok(Content::Table(Table { columns, rows: shown, left_out: all.count() }))
}

/// Names along one side of a heatmap, in the order in which they are drawn.
struct Side {
    column: usize,
    format: crate::values::Format,
    names: Vec<(f64, String)>,
}

impl Side {
    fn of(name: &str, panel: &Panel, rows: &Rows, is_x: bool) -> Result<Self, String> {
        let column = rows.find(name)?;
        let own = rows.format(column);
        let format = if is_x { panel.x_format.unwrap_or(own) } else { own };
        let mut names = Vec::<(f64, String)>::new();
        for row in rows.each() {
            let Some(shown) = row.human(column, format) else { continue };
            if names.iter().any(|(_, known)| *known == shown) {
                continue;
            }
            let order = match rows.holds(column) {
                Holds::Whole | Holds::Number => row.number(column).unwrap_or_default(),
                Holds::Time => row.millis(column).unwrap_or_default() as f64,
                Holds::Other => names.len() as f64,
            };
            names.push((order, shown.into_owned()));
        }
        if names.len() > MOST_CELLS {
            return Err(format!("{} different values of {name:?} cannot be read; at most {MOST_CELLS}: ask for fewer in SQL", names.len()));
        }
        names.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        Ok(Self { column, format, names })
    }

    fn place(&self, row: Row) -> Option<usize> {
        let shown = row.human(self.column, self.format)?;
        self.names.iter().position(|(_, name)| *name == shown)
    }
}

pub(super) fn heatmap(panel: &Panel, rows: &Rows) -> Result<Content, String> {
    let Drawing::Heatmap { x, y, value, x_title, y_title, .. } = &panel.drawing else { return Err("not a heatmap".to_owned()) };
    let number = rows.find_number(value)?;
    let (across, down) = (Side::of(x, panel, rows, true)?, Side::of(y, panel, rows, false)?);
    let format = panel.figures.format().unwrap_or_else(|| rows.holds(number).format());
    let mut cells = vec![vec![None::<Tick>; across.names.len()]; down.names.len()];
    for row in rows.each() {
        let (Some(column), Some(line)) = (across.place(row), down.place(row)) else { continue };
        let Some(at) = row.number(number) else { continue };
        let cell = &mut cells[line][column];
        if cell.is_some() {
            return Err(format!("two rows for {} and {}: sum them up in SQL", across.names[column].1, down.names[line].1));
        }
        *cell = Some(Tick { at, label: row.human(number, format).unwrap_or_default().into_owned() });
    }
    let by = |one: &&Tick, other: &&Tick| one.at.total_cmp(&other.at);
    let all = || cells.iter().flatten().flatten();
    let (Some(min), Some(max)) = (all().min_by(by).cloned(), all().max_by(by).cloned()) else {
        return Ok(Content::Empty { reason: String::new() });
    };
    let names = |side: Side| side.names.into_iter().map(|(_, name)| name);
    Ok(Content::Heatmap(Heatmap {
        x_title: x_title.clone().unwrap_or_else(|| title_of(x)),
        y_title: y_title.clone().unwrap_or_else(|| title_of(y)),
        columns: names(across).collect(),
        rows: names(down).zip(cells).map(|(name, cells)| HeatmapRow { name, cells }).collect(),
        min,
        max,
    }))
}
