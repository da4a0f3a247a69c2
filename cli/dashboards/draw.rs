//! A dashboard as text, for terminals, logs and emails.

use std::fmt::Write as _;

use materia::dashboard::{
    Chart, Content, DashboardData, FilterData, FilterValue, Heatmap, Map, Mark, PanelData, Point,
    Scale, Series, Stat, Table, TableColumn, Tone,
};
use unicode_width::UnicodeWidthStr;

/// Width of bars and lines, in columns.
const BAR_WIDTH: usize = 40;
/// Further rows are only counted.
const MAX_ROWS: usize = 40;

pub(super) fn dashboard(data: &DashboardData) -> String {
    let mut out = format!("{}\n", data.title);
    if let Some(description) = &data.description {
        let _ = writeln!(out, "{description}");
    }
    for filter in &data.filters {
        let _ = writeln!(out, "{}", chosen(filter, &data.panels));
    }
    for panel in &data.panels {
        out.push('\n');
        draw(panel, &mut out);
    }
    if !data.sources.is_empty() {
        out.push_str("\nSources\n");
    }
    for source in &data.sources {
        let parts = [Some(source.name.as_str()), source.licence.as_deref(), source.url.as_deref()];
        let _ = writeln!(out, "  {}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "));
    }
    out
}

fn chosen(filter: &FilterData, panels: &[PanelData]) -> String {
    let what = match &filter.value {
        FilterValue::One { options } | FilterValue::Many { options } => {
            let chosen: Vec<&str> = options
                .iter()
                .filter(|option| option.chosen)
                .map(|option| option.label.as_str())
                .collect();
            if chosen.len() == options.len() && chosen.len() > 1 {
                format!("all {}", materia::humanize::count(filter.total as u64))
            } else {
                chosen.join(", ")
            }
        }
        FilterValue::Years { from, to, .. } => {
            let [from, to] = [from, to].map(|year| filter.value.year_label(*year));
            format!("{from} to {to}")
        }
        FilterValue::Range { from, to, presets, .. } => {
            let preset = presets.iter().find(|preset| preset.chosen);
            let name = preset.map(|preset| format!("{}, ", preset.label)).unwrap_or_default();
            format!("{name}{from} to {to}")
        }
        FilterValue::Search { text } if text.is_empty() => "anything".to_owned(),
        FilterValue::Search { text } => format!("{text:?}"),
    };
    let notes = [filter.problem.as_deref(), filter.limited.as_deref(), filter.note.as_deref()];
    let mut line = format!("{}: {what}", filter.label);
    let touched = panels.iter().filter(|panel| panel.filters.contains(&filter.name)).count();
    if touched < panels.len() {
        let _ = write!(line, "  (changes {touched} of {} panels)", panels.len());
    }
    for note in notes.into_iter().flatten() {
        let _ = write!(line, "  ({note})");
    }
    line
}

fn draw(panel: &PanelData, out: &mut String) {
    if let Some(tab) = &panel.tab {
        let _ = writeln!(out, "## {tab}\n");
    }
    if let Some(section) = &panel.section {
        let _ = writeln!(out, "# {section}\n");
    }
    let unit = panel.unit.as_ref().filter(|_| !matches!(panel.content, Content::Stat(_)));
    let unit = unit.map(|unit| format!(" ({unit})")).unwrap_or_default();
    let _ = writeln!(out, "{}{unit}", panel.title);
    match &panel.content {
        Content::Stat(stat) => figure(stat, panel.unit.as_deref(), out),
        Content::Chart(chart) => lines(chart, out),
        Content::Facets { charts } => {
            for facet in charts {
                let _ = writeln!(out, "  {}", facet.name);
                lines(&facet.chart, out);
            }
        }
        Content::Map(map) => places(map, out),
        Content::Heatmap(heatmap) => cells(heatmap, out),
        Content::Table(table) => grid(table, out),
        Content::Markdown { text } => text.lines().for_each(|line| out.extend(["  ", line, "\n"])),
        Content::Empty { reason } => out.extend(["  ", reason, "\n"]),
        Content::Locked { plan, would_be } => {
            out.extend(["  A ", would_be, ", in the plan ", plan.name(), "\n"]);
        }
        Content::Failed { reason } => out.extend(["  Cannot be shown: ", reason, "\n"]),
    }
    for note in panel.notes.iter().chain(&panel.note) {
        let _ = writeln!(out, "  {note}");
    }
    for formula in &panel.formulas {
        let _ = writeln!(out, "  {} = {}", formula.name, formula.text);
    }
    for source in &panel.freshness {
        let late = if source.is_late { " (late)" } else { "" };
        let _ = writeln!(out, "  {}{late}", source.text);
    }
}

fn figure(stat: &Stat, unit: Option<&str>, out: &mut String) {
    let unit = unit.map(|unit| format!(" {unit}")).unwrap_or_default();
    let at = stat.at.as_ref().map(|at| format!("  {at}")).unwrap_or_default();
    let change = stat
        .change
        .as_ref()
        .map(|change| format!("  {} against {}", change.shown, change.against))
        .unwrap_or_default();
    let tone = match stat.tone {
        Some(Tone::Good) => " (good)",
        Some(Tone::Bad) => " (bad)",
        _ => "",
    };
    let _ = writeln!(out, "  {}{unit}{tone}{at}{change}  {}", stat.shown, spark(&stat.history));
    if let Some(target) = &stat.target {
        let _ = writeln!(out, "  {} of {}{unit}", target.share_shown, target.shown);
    }
}

/// Returns a sparkline with eight levels, as wide as the number of figures or the available space.
fn spark(values: &[Option<f64>]) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let known = || values.iter().flatten().copied();
    let (min, max) =
        (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
    let wide = values.len().min(BAR_WIDTH);
    let one = |place: usize| {
        let Some(value) = values[place * values.len() / wide] else { return ' ' };
        let share = if max > min { (value - min) / (max - min) } else { 0.5 };
        let level = LEVELS.iter().enumerate().rev().find(|(level, _)| share * 8.0 >= *level as f64);
        level.map_or(LEVELS[0], |(_, letter)| *letter)
    };
    (0..wide).map(one).collect()
}

fn lines(chart: &Chart, out: &mut String) {
    if chart.mark == Mark::Donut {
        let row = |series: &Series| {
            let point = series.points.first();
            let share = point.and_then(|point| point.y).map(|y| chart.y.fraction(y));
            let shown = point.map(|point| point.y_shown.clone()).unwrap_or_default();
            vec![series.name.clone(), shown, bar(share.unwrap_or_default(), false)]
        };
        let rows: Vec<Vec<String>> = chart.series.iter().map(row).collect();
        return columns(None, &rows, &[false, true, false], out);
    }
    if let (Scale::Category { .. }, [only]) = (&chart.x.scale, chart.series.as_slice()) {
        let largest =
            only.points.iter().filter_map(|point| point.y).map(f64::abs).fold(0.0, f64::max);
        let rows = only.points.iter().map(|point| {
            let share =
                point.y.map_or(0.0, |y| if largest > 0.0 { y.abs() / largest } else { 0.0 });
            vec![
                point.x_shown.clone(),
                point.y_shown.clone(),
                bar(share, point.y.is_some_and(|y| y < 0.0)),
            ]
        });
        return columns(None, &rows.collect::<Vec<_>>(), &[false, true, false], out);
    }
    if let Scale::Category { names } = &chart.x.scale
        && names.len() <= MAX_ROWS
    {
        let head: Vec<String> = std::iter::once(&chart.x.title)
            .chain(chart.series.iter().map(|series| &series.name))
            .cloned()
            .collect();
        let at = |place: usize| {
            chart.series.iter().map(move |series| {
                series.points.get(place).map_or("", |point| point.y_shown.as_str())
            })
        };
        let rows = names.iter().enumerate().map(|(place, name)| {
            std::iter::once(name.as_str()).chain(at(place)).map(str::to_owned).collect()
        });
        let right: Vec<bool> = (0..head.len()).map(|column| column > 0).collect();
        return columns(Some(&head), &rows.collect::<Vec<Vec<String>>>(), &right, out);
    }
    if chart.mark == Mark::Scatter {
        return dots(chart, out);
    }
    let rows = chart.series.iter().map(|series| {
        let known = || series.points.iter().filter(|point| point.y.is_some());
        let shown = |point: Option<&Point>| {
            point.map(|point| format!("{} {}", point.x_shown, point.y_shown)).unwrap_or_default()
        };
        // A gap is drawn as a space.
        let gap = |point: &Point| point.after_gap.then_some(None);
        let values: Vec<_> = series
            .points
            .iter()
            .flat_map(|point| gap(point).into_iter().chain([point.y]))
            .collect();
        vec![series.name.clone(), shown(known().next()), spark(&values), shown(known().next_back())]
    });
    columns(None, &rows.collect::<Vec<_>>(), &[false, true, false, false], out);
    for guide in &chart.guides {
        let _ = writeln!(out, "  line at {}: {}", guide.at, guide.label);
    }
}

/// Draws the dots of a scatter chart as a list, since text cannot show their positions.
fn dots(chart: &Chart, out: &mut String) {
    let rows = chart.series.iter().map(|series| {
        let by_x = |one: &&Point, other: &&Point| one.x.total_cmp(&other.x);
        let by_y = |one: &&Point, other: &&Point| {
            one.y.unwrap_or_default().total_cmp(&other.y.unwrap_or_default())
        };
        let known = || series.points.iter().filter(|point| point.y.is_some());
        let x = [known().min_by(by_x), known().max_by(by_x)]
            .map(|point| point.map(|point| point.x_shown.as_str()).unwrap_or_default());
        let y = [known().min_by(by_y), known().max_by(by_y)]
            .map(|point| point.map(|point| point.y_shown.as_str()).unwrap_or_default());
        let dots = materia::humanize::plural(known().count(), "dot");
        vec![
            series.name.clone(),
            dots,
            format!("{} {} to {}", chart.x.title, x[0], x[1]),
            format!("{} {} to {}", chart.y.title, y[0], y[1]),
        ]
    });
    columns(None, &rows.collect::<Vec<_>>(), &[false, true, false, false], out);
}

/// Draws a map as a list, the largest values first.
fn places(map: &Map, out: &mut String) {
    let points = map.dots.series.iter().flat_map(|series| {
        series.points.iter().map(move |point| {
            let at = format!("{}, {}", point.x_shown, point.y_shown);
            let name = point.name.clone().unwrap_or_else(|| at.clone());
            (vec![name, series.name.clone(), at], point.value.as_ref())
        })
    });
    let countries = map.countries.iter().map(|country| {
        (vec![country.name.clone(), String::new(), String::new()], Some(&country.value))
    });
    let mut rows: Vec<_> = countries.chain(points).collect();
    rows.sort_by(|(_, one), (_, other)| match (one, other) {
        (Some(one), Some(other)) => other.at.total_cmp(&one.at),
        (one, other) => other.is_some().cmp(&one.is_some()),
    });
    let left_out = rows.len().saturating_sub(MAX_ROWS);
    rows.truncate(MAX_ROWS);
    let largest = rows.iter().filter_map(|(_, value)| *value).map(|value| value.at.abs());
    let largest = largest.fold(0.0, f64::max);
    let row = |(mut cells, value): (Vec<String>, Option<&materia::dashboard::Tick>)| {
        cells.push(value.map(|value| value.label.clone()).unwrap_or_default());
        let share = value.filter(|_| largest > 0.0).map_or(0.0, |value| value.at.abs() / largest);
        cells.push(bar(share, value.is_some_and(|value| value.at < 0.0)));
        cells
    };
    let rows: Vec<Vec<String>> = rows.into_iter().map(row).collect();
    // Columns without any text would be empty space.
    let kept: Vec<usize> =
        (0..5).filter(|at| rows.iter().any(|row| !row[*at].is_empty())).collect();
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| kept.iter().map(|at| row[*at].clone()).collect()).collect();
    let right: Vec<bool> = kept.iter().map(|at| *at == 3).collect();
    columns(None, &rows, &right, out);
    if left_out > 0 {
        let _ = writeln!(out, "  and {} more", materia::humanize::count(left_out as u64));
    }
}

/// Returns a bar; a hollow one for values below zero.
fn bar(share: f64, below: bool) -> String {
    let full = (0..BAR_WIDTH).filter(|place| (*place as f64) < share * BAR_WIDTH as f64).count();
    if below { "░" } else { "█" }.repeat(full)
}

fn cells(heatmap: &Heatmap, out: &mut String) {
    let head: Vec<String> =
        std::iter::once(&heatmap.y_title).chain(&heatmap.columns).cloned().collect();
    let rows = heatmap.rows.iter().map(|row| {
        let cells = row
            .cells
            .iter()
            .map(|cell| cell.as_ref().map(|cell| cell.label.clone()).unwrap_or_default());
        std::iter::once(row.name.clone()).chain(cells).collect()
    });
    let right: Vec<bool> = (0..head.len()).map(|column| column > 0).collect();
    columns(Some(&head), &rows.collect::<Vec<Vec<String>>>(), &right, out);
}

fn grid(table: &Table, out: &mut String) {
    let title = |column: &TableColumn| match &column.unit {
        Some(unit) => format!("{} ({unit})", column.title),
        None => column.title.clone(),
    };
    let head: Vec<String> = table.columns.iter().map(title).collect();
    let right: Vec<bool> = table.columns.iter().map(|column| column.right).collect();
    let shown = &table.rows[..table.rows.len().min(MAX_ROWS)];
    let line = |(at, row): (usize, &Vec<String>)| -> Vec<String> {
        let decorations = table.decorations.get(at);
        let cell =
            |(column, cell): (usize, &String)| match decorations.and_then(|row| row.get(column)) {
                Some(decoration) if !decoration.spark.is_empty() => spark(&decoration.spark),
                _ => cell.clone(),
            };
        row.iter().enumerate().map(cell).collect()
    };
    let mut shown: Vec<Vec<String>> = shown.iter().enumerate().map(line).collect();
    shown.extend(table.totals.clone());
    group_titles(table, &widths(Some(&head), &shown, head.len()), out);
    columns(Some(&head), &shown, &right, out);
    let more = table.rows.len().saturating_sub(MAX_ROWS) + table.left_out;
    if more > 0 {
        let _ = writeln!(out, "  and {} more", materia::humanize::rows(more as u64));
    }
}

/// Writes the titles above groups of columns, if there are groups.
fn group_titles(table: &Table, widths: &[usize], out: &mut String) {
    let mut line = String::from(" ");
    let mut rest = widths;
    for group in table.groups() {
        let (own, others) = rest.split_at(group.columns.min(rest.len()));
        rest = others;
        // Each column has a space on both sides.
        let space = own.iter().map(|width| width + 2).sum::<usize>();
        let title = group.title.unwrap_or_default();
        let _ = write!(line, " {title}{}", " ".repeat(space.saturating_sub(title.width() + 1)));
    }
    if !line.trim_end().is_empty() {
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

fn widths(head: Option<&[String]>, rows: &[Vec<String>], columns: usize) -> Vec<usize> {
    let width = |column: usize| {
        let all = head.into_iter().chain(rows.iter().map(Vec::as_slice));
        all.filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or_default()
    };
    (0..columns).map(width).collect()
}

fn columns(head: Option<&[String]>, rows: &[Vec<String>], right: &[bool], out: &mut String) {
    let widths = widths(head, rows, right.len());
    for row in head.into_iter().chain(rows.iter().map(Vec::as_slice)) {
        let mut line = String::from(" ");
        for ((cell, width), right) in row.iter().zip(&widths).zip(right) {
            let space = " ".repeat(width.saturating_sub(cell.width()));
            let _ = if *right {
                write!(line, " {space}{cell} ")
            } else {
                write!(line, " {cell}{space} ")
            };
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}
