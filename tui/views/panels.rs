//! Dashboard panels in terminal cells.

use materia::dashboard::{Content, PanelData, Stat, Table, TableColumn, Tone};
use ratatui::{
    layout::Rect,
    text::{Line, Span},
};

use super::{Canvas, charts, maps};
use crate::{
    layout,
    text::{width, wrap},
    theme::StyleRole,
};

pub(crate) fn draw(canvas: &mut Canvas, area: Rect, panel: &PanelData) {
    // A stat shows its unit next to the value.
    let above = panel.unit.as_ref().filter(|_| !matches!(panel.content, Content::Stat(_)));
    let unit = above.map(|unit| format!(" ({unit})")).unwrap_or_default();
    let place = [&panel.tab, &panel.section].into_iter().flatten();
    let section: String = place.flat_map(|name| [name.as_str(), ": "]).collect();
    let title = canvas.fit(
        &format!("{section}{}{unit}", panel.title),
        width(
            &format!("{section}{}{unit}", panel.title),
            usize::from(area.width.saturating_sub(6)),
        ),
    );
    let inside = canvas.block(area, &title, StyleRole::Heading);
    let inside = Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside };
    let inside = draw_notes(canvas, inside, panel);
    match &panel.content {
        Content::Stat(stat) => draw_stat(canvas, inside, stat, panel.unit.as_deref()),
        Content::Chart(chart) => charts::draw(canvas, inside, chart),
        Content::Facets { charts: facets } => {
            let height = inside.height / u16::try_from(facets.len().max(1)).unwrap_or(u16::MAX);
            for (at, facet) in (0..).zip(facets) {
                let area = Rect { y: inside.y + at * height, height, ..inside };
                let name = canvas.span(StyleRole::Heading, facet.name.clone());
                canvas.line(Rect { height: 1, ..area }, name);
                let below = Rect { y: area.y + 1, height: height.saturating_sub(1), ..area };
                charts::draw(canvas, below, &facet.chart);
            }
        }
        Content::Map(map) => maps::draw(canvas, inside, map),
        Content::Heatmap(map) => charts::heatmap(canvas, inside, map),
        Content::Table(table) => draw_table(canvas, inside, table),
        Content::Markdown { text } => draw_text(canvas, inside, StyleRole::Text, &plain_text(text)),
        Content::Empty { reason } => draw_text(canvas, inside, StyleRole::Dim, reason),
        Content::Locked { plan, would_be } => {
            draw_text(canvas, inside, StyleRole::Dim, &format!("a {would_be} of the {plan} plan"));
        }
        Content::Failed { reason } => draw_text(canvas, inside, StyleRole::Bad, reason),
    }
    if canvas.theme.ascii {
        replace_minus(canvas, area);
    }
}

/// Figures have a true minus sign, which is not ASCII.
fn replace_minus(canvas: &mut Canvas, area: Rect) {
    for position in area.positions() {
        if let Some(cell) = canvas.frame.buffer_mut().cell_mut(position)
            && cell.symbol() == "−"
        {
            cell.set_symbol("-");
        }
    }
}

/// Draws the notes on omissions below the drawing; returns the area above them.
fn draw_notes(canvas: &mut Canvas, area: Rect, panel: &PanelData) -> Rect {
    let lines = layout::note_lines(panel, area.width);
    let height = u16::try_from(lines.len()).unwrap_or_default();
    if height == 0 || area.height < height + 3 {
        return area;
    }
    let above = Rect { height: area.height - height, ..area };
    let lines: Vec<_> =
        lines.into_iter().map(|line| Line::from(canvas.span(StyleRole::Warn, line))).collect();
    canvas.lines(Rect { y: above.bottom(), height, ..area }, lines);
    above
}

pub(crate) fn draw_text(canvas: &mut Canvas, area: Rect, role: StyleRole, text: &str) {
    let rows = wrap(text, usize::from(area.width));
    let lines: Vec<_> = rows.into_iter().map(|row| Line::from(canvas.span(role, row))).collect();
    canvas.lines(area, lines);
}

/// Returns the text of Markdown without markup.
fn plain_text(text: &str) -> String {
    let line = |line: &str| {
        line.trim_start_matches(['#', '>']).trim_start().replace("**", "").replace('`', "")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn draw_stat(canvas: &mut Canvas, area: Rect, stat: &Stat, unit: Option<&str>) {
    let role = match stat.tone {
        Some(Tone::Good) => StyleRole::Good,
        Some(Tone::Bad) => StyleRole::Bad,
        _ => StyleRole::Strong,
    };
    let mut value = vec![canvas.span(role, stat.shown.clone())];
    let space = usize::from(area.width);
    // The unit takes precedence over the time.
    for about in unit.into_iter().chain(stat.at.as_deref()) {
        push_if_it_fits(canvas, &mut value, about, space);
    }
    let change = stat.change.as_ref().map(|change| {
        let sign = match change.value {
            more if more > 0.0 => canvas.theme.up(),
            fewer if fewer < 0.0 => canvas.theme.down(),
            _ => "=",
        };
        let role = match change.tone {
            Tone::Good => StyleRole::Good,
            Tone::Bad => StyleRole::Warn,
            Tone::Neutral => StyleRole::Dim,
        };
        let mut line = vec![canvas.span(role, format!("{sign} {}", change.shown))];
        push_if_it_fits(canvas, &mut line, &change.against, space);
        Line::from(line)
    });
    let mut history = Line::from(charts::spark(canvas, &stat.history, usize::from(area.width)));
    if let Some(target) = &stat.target {
        let role = if target.is_reached { StyleRole::Good } else { StyleRole::Dim };
        history =
            Line::from(canvas.span(role, format!("{} of {}", target.share_shown, target.shown)));
    }
    canvas.lines(area, [Line::from(value), change.unwrap_or_default(), history]);
}

/// Appends a word or date that would be misread if it were cut.
fn push_if_it_fits(canvas: &Canvas, line: &mut Vec<Span<'static>>, text: &str, space: usize) {
    let used: usize = line.iter().map(Span::width).sum();
    if used + 1 + width(text, space) <= space {
        line.push(canvas.span(StyleRole::Dim, format!(" {text}")));
    }
}

fn unit(column: &TableColumn) -> &str {
    column.unit.as_deref().unwrap_or_default()
}

/// Width of a sparkline in columns.
const MAX_SPARK: usize = 12;

/// Returns the sparklines of a row's cells.
fn sparks(canvas: &Canvas, table: &Table, row: usize) -> Vec<Option<String>> {
    let spark = |column: usize| {
        let decoration = table.decorations.get(row)?.get(column)?;
        let line = charts::spark(canvas, &decoration.spark, MAX_SPARK);
        (!decoration.spark.is_empty()).then(|| line.content.into_owned())
    };
    (0..table.columns.len()).map(spark).collect()
}

fn draw_table(canvas: &mut Canvas, area: Rect, table: &Table) {
    let space = usize::from(area.width);
    let wide = |index: usize| {
        let cells = table
            .rows
            .iter()
            .filter_map(|row| row.get(index))
            .map(|cell| width(cell, 32))
            .max()
            .unwrap_or_default();
        let has_sparks = table
            .decorations
            .iter()
            .any(|row| row.get(index).is_some_and(|cell| !cell.spark.is_empty()));
        let cells = if has_sparks { MAX_SPARK } else { cells };
        let column = &table.columns[index];
        cells.max(width(&column.title, 20)).max(width(unit(column), 20))
    };
    let mut left = space;
    let widths: Vec<usize> = (0..table.columns.len())
        .map_while(|index| {
            let columns = wide(index).min(left);
            left = left.saturating_sub(columns + 2);
            (columns > 2).then_some(columns)
        })
        .collect();
    let text = |canvas: &Canvas, cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(&widths).zip(&table.columns);
        cells
            .map(|((cell, columns), column)| if column.right { canvas.fit_right(cell, *columns) } else { canvas.fit(cell, *columns) } + "  ")
            .collect::<String>()
    };
    let mut head = text(canvas, &mut table.columns.iter().map(|column| column.title.as_str()));
    if widths.len() < table.columns.len() {
        // Some columns do not fit.
        head = canvas.fit(head.trim_end(), space.saturating_sub(2)) + " " + canvas.theme.more();
    }
    let has_units = table.columns.iter().any(|column| column.unit.is_some());
    let groups = table.groups();
    let fixed = 1
        + usize::from(has_units)
        + usize::from(table.totals.is_some())
        + usize::from(!groups.is_empty());
    let room = usize::from(area.height).saturating_sub(fixed);
    let more = table.left_out + table.rows.len().saturating_sub(room);
    let shown = if more > 0 { room.saturating_sub(1) } else { room };
    let mut lines = Vec::new();
    if !groups.is_empty() {
        let mut rest = widths.as_slice();
        let titles = groups.iter().map_while(|group| {
            let (own, others) = rest.split_at(group.columns.min(rest.len()));
            rest = others;
            let space = own.iter().sum::<usize>() + 2 * own.len().saturating_sub(1);
            let title = group.title.unwrap_or_default();
            (!own.is_empty()).then(|| canvas.fit(title, space) + "  ")
        });
        let titles = titles.collect::<String>();
        lines.push(Line::from(canvas.span(StyleRole::Dim, titles)));
    }
    lines.push(Line::from(canvas.span(StyleRole::Heading, head)));
    if has_units {
        let units = text(canvas, &mut table.columns.iter().map(unit));
        lines.push(Line::from(canvas.span(StyleRole::Dim, units)));
    }
    for (at, row) in table.rows.iter().enumerate().take(shown) {
        let sparks = sparks(canvas, table, at);
        let cells = row.iter().zip(&sparks);
        let mut cells = cells.map(|(cell, spark)| spark.as_deref().unwrap_or(cell));
        let line = text(canvas, &mut cells);
        lines.push(Line::from(canvas.span(StyleRole::Text, line)));
    }
    if more > 0 {
        let left_out = table.left_out + table.rows.len().saturating_sub(shown);
        lines.push(Line::from(canvas.span(
            StyleRole::Dim,
            format!("and {} more", materia::humanize::count(left_out as u64)),
        )));
    }
    if let Some(totals) = &table.totals {
        let line = text(canvas, &mut totals.iter().map(String::as_str));
        lines.push(Line::from(canvas.span(StyleRole::Strong, line)));
    }
    canvas.lines(area, lines);
}
