//! The `[[panel]]` sections.

use std::collections::BTreeMap;

use toml::Spanned;

use super::{
    Author,
    file::{Columns, Layout, PanelFile, PanelKind, Text},
};
use crate::{
    dashboard::{
        Mark,
        limits::{Bounds, MAX_BARS, MAX_CELLS, MAX_POINTS, MAX_SERIES, PanelLimits, ROWS},
        model::{ChartDrawing, Drawing, Figures, Panel},
    },
    plan::Plan,
    toml_file::FileError,
    values::Format,
    words,
};

impl Author<'_> {
    pub(super) fn panel(&mut self, file: PanelFile, line: usize, plan: Plan) -> Option<Panel> {
        let kind = file.kind;
        for (key, start) in file.written() {
            if !kind.keys().contains(&key) {
                let what = format!("{key:?} means nothing to a panel of the kind {:?}; it has: {}", kind.name(), kind.keys().join(", "));
                self.problem(Some(start), what);
            }
        }
        let width = match &file.width {
            None if kind == PanelKind::Stat => 3,
            None => 12,
            Some(width) if (1..=12).contains(width.get_ref()) => *width.get_ref(),
            Some(width) => {
                self.problem(Some(width.span().start), format!("{} is no width: a row has 12 columns", width.get_ref()));
                12
            }
        };
        let unit = file.unit.as_ref().and_then(|unit| self.take(unit.span().start, self.units.find(unit.get_ref())));
        let figures = Figures { unit, format: file.format.as_ref().map(|format| *format.get_ref()) };
        let panel = Panel {
            line,
            title: file.title.clone(),
            note: file.note.clone(),
            width,
            plan: file.plan.unwrap_or_default().max(plan),
            figures,
            x_format: file.x_format.as_ref().map(|format| *format.get_ref()),
            allow_empty: file.allow_empty.as_ref().is_some_and(|allow| *allow.get_ref()),
            severity: file.severity.as_ref().map(|severity| *severity.get_ref()).unwrap_or_default(),
            min_rows: file.min_rows.as_ref().map(|rows| *rows.get_ref()),
            limits: PanelLimits {
                series: self.limit(file.max_series.as_ref(), &MAX_SERIES),
                bars: self.limit(file.max_bars.as_ref(), &MAX_BARS),
                points: self.limit(file.max_points.as_ref(), &MAX_POINTS),
                cells: self.limit(file.max_cells.as_ref(), &MAX_CELLS),
                others: file.others.as_ref().map(|others| *others.get_ref()),
            },
            drawing: self.drawing(file, line)?,
        };
        Some(panel)
    }

    fn drawing(&mut self, file: PanelFile, line: usize) -> Option<Drawing> {
        let title = file.title.clone();
        let mut needed = |key: &str, value: Option<Text>| {
            if value.is_none() {
                let message = format!("the panel {title:?} needs {key}");
                self.problems.push(FileError { path: self.path.to_path_buf(), line: Some(line), message });
            }
            value.map(Spanned::into_inner).map(|text| if key == "sql" || key == "text" { text } else { text.to_lowercase() })
        };
        let optional = |value: Option<Text>| value.map(Spanned::into_inner);
        let column = |value: Option<Text>| optional(value).map(|name| name.to_lowercase());
        let first_y =
            |y: Option<Spanned<Columns>>| y.map(|y| Spanned::new(y.span(), y.into_inner().list().into_iter().next().unwrap_or_default()));
        Some(match file.kind {
            PanelKind::Markdown => Drawing::Markdown { text: needed("text", file.text)? },
            PanelKind::Changes => Drawing::Changes,
            PanelKind::Stat => Drawing::Stat {
                sql: needed("sql", file.sql)?,
                y: needed("y", first_y(file.y))?,
                x: column(file.x),
                before: file.before.map_or(1, Spanned::into_inner),
                change: file.change.map(Spanned::into_inner).unwrap_or_default(),
                against: optional(file.against),
            },
            PanelKind::Heatmap => Drawing::Heatmap {
                sql: needed("sql", file.sql)?,
                x: needed("x", file.x)?,
                y: needed("y", first_y(file.y))?,
                value: needed("value", file.value)?,
                x_title: optional(file.x_title),
                y_title: optional(file.y_title),
            },
            PanelKind::Table => Drawing::Table {
                sql: needed("sql", file.sql)?,
                columns: file.columns.map(|columns| lower(columns.into_inner())),
                labels: file.labels.map(Spanned::into_inner).unwrap_or_default().into_iter().map(lower_key).collect(),
                figures: self.table_figures(file.units, file.formats),
                rows: file.rows.as_ref().map(|rows| self.limit(Some(rows), &ROWS)),
            },
            PanelKind::Line | PanelKind::Area | PanelKind::Bar | PanelKind::Scatter => {
                let several = file.y.as_ref().map(|y| (y.span(), lower(y.get_ref().clone().list())));
                let chart = ChartDrawing {
                    mark: mark(file.kind, file.layout.map(Spanned::into_inner), file.horizontal.is_some_and(Spanned::into_inner)),
                    sql: needed("sql", file.sql)?,
                    x: needed("x", file.x)?,
                    y: needed("y", first_y(file.y)).and(several.as_ref().map(|(_, columns)| columns.clone()))?,
                    series: column(file.series),
                    label: column(file.label),
                    labels: file.labels.map(Spanned::into_inner).unwrap_or_default().into_iter().map(lower_key).collect(),
                    x_title: optional(file.x_title),
                    y_title: optional(file.y_title),
                    zero: file.zero.is_some_and(Spanned::into_inner),
                    guides: file
                        .guide
                        .map(Spanned::into_inner)
                        .unwrap_or_default()
                        .into_iter()
                        .map(|guide| (guide.at, guide.label))
                        .collect(),
                };
                if let (Some((span, columns)), Some(_)) = (several, &chart.series)
                    && columns.len() > 1
                {
                    self.problem(Some(span.start), "several columns of y and a series are too much: use one y, or no series".to_owned());
                    return None;
                }
                Drawing::Chart(chart)
            }
        })
    }

    /// A limit within its bounds; the default where the file says nothing.
    pub(super) fn limit(&mut self, given: Option<&Spanned<usize>>, bounds: &Bounds) -> usize {
        let Some(given) = given else { return bounds.default };
        let (number, largest) = (*given.get_ref(), bounds.largest);
        if number < 1 || number > largest {
            let message = format!("{} = {number} is outside of its range: use 1 to {}", bounds.key, words::count(largest as u64));
            self.problem(Some(given.span().start), message);
        }
        number.clamp(1, largest)
    }

    fn table_figures(
        &mut self,
        units: Option<Spanned<BTreeMap<String, String>>>,
        formats: Option<Spanned<BTreeMap<String, Format>>>,
    ) -> BTreeMap<String, Figures> {
        let mut figures = BTreeMap::<String, Figures>::new();
        if let Some(units) = units {
            let start = units.span().start;
            for (column, unit) in units.into_inner() {
                if let Some(unit) = self.take(start, self.units.find(&unit)) {
                    figures.entry(column.to_lowercase()).or_default().unit = Some(unit);
                }
            }
        }
        for (column, format) in formats.map(Spanned::into_inner).unwrap_or_default() {
            figures.entry(column.to_lowercase()).or_default().format = Some(format);
        }
        figures
    }
}

fn mark(kind: PanelKind, layout: Option<Layout>, horizontal: bool) -> Mark {
    match (kind, layout.unwrap_or_default(), horizontal) {
        (PanelKind::Area, ..) => Mark::Area,
        (PanelKind::Scatter, ..) => Mark::Scatter,
        (PanelKind::Bar, Layout::Grouped, false) => Mark::Bar,
        (PanelKind::Bar, Layout::Stacked, false) => Mark::StackedBar,
        (PanelKind::Bar, Layout::Grouped, true) => Mark::HorizontalBar,
        (PanelKind::Bar, Layout::Stacked, true) => Mark::HorizontalStackedBar,
        _ => Mark::Line,
    }
}

/// Answers have their column names in lower case.
fn lower(columns: Vec<String>) -> Vec<String> {
    columns.into_iter().map(|column| column.to_lowercase()).collect()
}

fn lower_key<T>((column, value): (String, T)) -> (String, T) {
    (column.to_lowercase(), value)
}
