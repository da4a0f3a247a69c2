//! The dashboards that customers see in the browser, in cells.

use materia::dashboard::{Choice, Content, DashboardData, FilterData, PanelData, Stat, Table, TableColumn};
use ratatui::{
    layout::Rect,
    text::{Line, Span},
};

use super::{Paint, charts};
use crate::tui::{
    layout,
    look::Role,
    message::Target,
    state::{
        State,
        dashboards::{DashboardsScreen, HEIGHT, Picker},
    },
    text::{width, wrap},
};

pub(super) fn draw(paint: &mut Paint, area: Rect, state: &State) {
    let screen = &state.dashboards;
    let [title, body, below] = layout::list(area);
    let Some(data) = &screen.data else {
        let problem = screen.problem.clone().or_else(|| state.served.problem.clone()).or_else(|| state.served.bad_settings.clone());
        let line = match problem {
            Some(problem) => Line::from(paint.span(Role::Bad, format!(" {problem}"))),
            None => Line::from(vec![Span::raw(" "), paint.spinner(), paint.span(Role::Dim, " asking")]),
        };
        return paint.line(area, line);
    };
    heading(paint, title, screen, data);
    let rows = layout::arrange(&data.panels, body.width);
    let mut y = body.y;
    for row in rows.iter().skip(screen.scroll) {
        let left = body.bottom().saturating_sub(y);
        // Less than this is nothing to draw a chart in.
        if left < row.height.min(8) && y > body.y {
            break;
        }
        let height = row.height.min(left);
        for spot in &row.panels {
            panel(paint, Rect { x: body.x + spot.x, y, width: spot.width, height }, &data.panels[spot.index]);
        }
        y += height;
    }
    let spans = footer(paint, screen, data, rows.len(), usize::from(below.width));
    paint.line(below, Line::from(spans));
}

/// The title, and what is chosen in the filters.
fn heading(paint: &mut Paint, area: Rect, screen: &DashboardsScreen, data: &DashboardData) {
    let mut spans = vec![paint.span(Role::Strong, format!(" {} ", data.title))];
    if screen.asked.is_some() {
        spans.push(paint.spinner());
    }
    let mut x = area.x + u16::try_from(width(&data.title, 60) + 4).unwrap_or_default();
    for (index, filter) in data.filters.iter().enumerate() {
        let text = format!("{}: {}", filter.label, chosen(filter));
        let text = paint.fit(&text, width(&text, 36));
        let columns = u16::try_from(width(&text, 40) + 2).unwrap_or_default();
        spans.push(paint.span(Role::Accent, format!(" {text} ")));
        paint.hit(Rect { x, width: columns, ..area }, Target::Filter(index));
        x += columns;
    }
    paint.line(area, Line::from(spans));
}

fn chosen(filter: &FilterData) -> String {
    match &filter.choice {
        Choice::One { options } => options.iter().find(|option| option.chosen).map(|option| option.label.clone()).unwrap_or_default(),
        Choice::Many { options } if options.iter().all(|option| option.chosen) => "all".to_owned(),
        Choice::Many { options } => {
            options.iter().filter(|option| option.chosen).map(|option| option.label.as_str()).collect::<Vec<_>>().join(", ")
        }
        Choice::Years { from, to, .. } => format!("{from}-{to}"),
        Choice::Search { text } if text.is_empty() => "everything".to_owned(),
        Choice::Search { text } => text.clone(),
    }
}

fn footer(paint: &Paint, screen: &DashboardsScreen, data: &DashboardData, rows: usize, space: usize) -> Vec<Span<'static>> {
    let at = screen.list.iter().position(|(slug, _)| *slug == data.slug).unwrap_or_default();
    let mut spans = vec![paint.span(Role::Dim, format!(" dashboard {} of {}", at + 1, screen.list.len()))];
    if rows > 1 {
        spans.push(paint.span(Role::Dim, format!(", from row {} of {rows}", screen.scroll + 1)));
    }
    let sources: Vec<_> = data.sources.iter().map(|source| source.name.as_str()).collect();
    if !sources.is_empty() {
        let text = format!("   Source: {}", sources.join("; "));
        let left = space.saturating_sub(spans.iter().map(Span::width).sum());
        spans.push(paint.span(Role::Dim, paint.fit(&text, left.min(width(&text, 1_000)))));
    }
    for problem in screen.problem.iter().chain(screen.mistakes.first()) {
        spans.push(paint.span(Role::Bad, format!("  {problem}")));
    }
    spans
}

fn panel(paint: &mut Paint, area: Rect, panel: &PanelData) {
    // A single figure has its unit behind it.
    let above = panel.unit.as_ref().filter(|_| !matches!(panel.content, Content::Stat(_)));
    let unit = above.map(|unit| format!(" ({unit})")).unwrap_or_default();
    let title =
        paint.fit(&format!("{}{unit}", panel.title), width(&format!("{}{unit}", panel.title), usize::from(area.width.saturating_sub(6))));
    let inside = paint.block(area, &title, Role::Heading);
    let inside = Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside };
    let inside = notes(paint, inside, panel);
    match &panel.content {
        Content::Stat(stat) => draw_stat(paint, inside, stat, panel.unit.as_deref()),
        Content::Chart(chart) => charts::draw(paint, inside, chart),
        Content::Heatmap(map) => charts::heatmap(paint, inside, map),
        Content::Table(table) => draw_table(paint, inside, table),
        Content::Markdown { text } => words(paint, inside, Role::Text, &plain(text)),
        Content::Empty { reason } => words(paint, inside, Role::Dim, reason),
        Content::Locked { plan, would_be } => words(paint, inside, Role::Dim, &format!("a {would_be} of the {plan} plan")),
        Content::Failed { reason } => words(paint, inside, Role::Bad, reason),
    }
}

/// What is not drawn because there is too much of it, below the drawing; returns what is left above.
fn notes(paint: &mut Paint, area: Rect, panel: &PanelData) -> Rect {
    let lines = layout::note_lines(panel, area.width);
    let height = u16::try_from(lines.len()).unwrap_or_default();
    if height == 0 || area.height < height + 3 {
        return area;
    }
    let above = Rect { height: area.height - height, ..area };
    let lines: Vec<_> = lines.into_iter().map(|line| Line::from(paint.span(Role::Warn, line))).collect();
    paint.lines(Rect { y: above.bottom(), height, ..area }, lines);
    above
}

fn words(paint: &mut Paint, area: Rect, role: Role, text: &str) {
    let rows = wrap(text, usize::from(area.width));
    let lines: Vec<_> = rows.into_iter().map(|row| Line::from(paint.span(role, row))).collect();
    paint.lines(area, lines);
}

/// Markdown read as text: without the signs that a browser would turn into looks.
fn plain(text: &str) -> String {
    let line = |line: &str| line.trim_start_matches(['#', '>']).trim_start().replace("**", "").replace('`', "");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn draw_stat(paint: &mut Paint, area: Rect, stat: &Stat, unit: Option<&str>) {
    let mut value = vec![paint.span(Role::Strong, stat.shown.clone())];
    let space = usize::from(area.width);
    // What it counts comes before when that was, where there is room for one of them only.
    for about in unit.into_iter().chain(stat.at.as_deref()) {
        let used: usize = value.iter().map(Span::width).sum();
        if used + 1 + width(about, space) <= space {
            value.push(paint.span(Role::Dim, format!(" {about}")));
        }
    }
    let change = stat.change.as_ref().map(|change| {
        let (role, sign) = match change.value {
            more if more > 0.0 => (Role::Good, paint.look.up()),
            fewer if fewer < 0.0 => (Role::Warn, paint.look.down()),
            _ => (Role::Dim, "="),
        };
        Line::from(vec![paint.span(role, format!("{sign} {}", change.shown)), paint.span(Role::Dim, format!(" {}", change.against))])
    });
    let history = Line::from(charts::spark(paint, &stat.history, usize::from(area.width)));
    paint.lines(area, [Line::from(value), change.unwrap_or_default(), history]);
}

fn unit(column: &TableColumn) -> &str {
    column.unit.as_deref().unwrap_or_default()
}

fn draw_table(paint: &mut Paint, area: Rect, table: &Table) {
    let space = usize::from(area.width);
    let wide = |index: usize| {
        let cells = table.rows.iter().filter_map(|row| row.get(index)).map(|cell| width(cell, 32)).max().unwrap_or_default();
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
    let text = |paint: &Paint, cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(&widths).zip(&table.columns);
        cells
            .map(|((cell, columns), column)| if column.right { paint.fit_right(cell, *columns) } else { paint.fit(cell, *columns) } + "  ")
            .collect::<String>()
    };
    let mut head = text(paint, &mut table.columns.iter().map(|column| column.title.as_str()));
    if widths.len() < table.columns.len() {
        // Further columns have no room.
        head = paint.fit(head.trim_end(), space.saturating_sub(2)) + " " + paint.look.more();
    }
    let has_units = table.columns.iter().any(|column| column.unit.is_some());
    let room = usize::from(area.height).saturating_sub(if has_units { 2 } else { 1 });
    let more = table.left_out + table.rows.len().saturating_sub(room);
    let shown = if more > 0 { room.saturating_sub(1) } else { room };
    let mut lines = vec![Line::from(paint.span(Role::Heading, head))];
    if has_units {
        let units = text(paint, &mut table.columns.iter().map(unit));
        lines.push(Line::from(paint.span(Role::Dim, units)));
    }
    for row in table.rows.iter().take(shown) {
        let line = text(paint, &mut row.iter().map(String::as_str));
        lines.push(Line::from(paint.span(Role::Text, line)));
    }
    if more > 0 {
        let left_out = table.left_out + table.rows.len().saturating_sub(shown);
        lines.push(Line::from(paint.span(Role::Dim, format!("and {} more", materia::words::count(left_out as u64)))));
    }
    paint.lines(area, lines);
}

/// Choosing in the filters.
pub(super) fn draw_picker(paint: &mut Paint, area: Rect, picker: &Picker) {
    let filter = &picker.filters[picker.at];
    // What is not listed takes a line of its own, above the keys.
    let noted = u16::from(filter.note.is_some());
    let spot = layout::middle(area, 64, u16::try_from(HEIGHT + 5).unwrap_or(u16::MAX).saturating_add(noted));
    let inside = paint.window(spot, "Filters");
    let names = picker.filters.iter().enumerate().map(|(index, filter)| {
        let role = if index == picker.at { Role::Selected } else { Role::Dim };
        paint.span(role, format!(" {} ", filter.label))
    });
    let line = Line::from(names.collect::<Vec<_>>());
    paint.line(inside, line);
    let mut input = picker.input.clone();
    input.set_cursor_line_style(ratatui::style::Style::new());
    let prompt = paint.span(Role::Accent, "> ");
    let row = Rect { y: inside.y + 1, height: 1, ..inside };
    paint.line(row, prompt);
    paint.draw(Rect { x: row.x + 2, width: row.width.saturating_sub(2), ..row }, &input);
    let list = Rect { y: inside.y + 2, height: inside.height.saturating_sub(3 + noted), ..inside };
    if let Some(note) = &filter.note {
        let span = paint.span(Role::Warn, note.clone());
        paint.line(Rect { y: list.bottom(), height: 1, ..inside }, span);
    }
    let (options, many) = match &filter.choice {
        Choice::One { options } => (&options[..], false),
        Choice::Many { options } => (&options[..], true),
        Choice::Years { first, last, .. } => {
            words(paint, list, Role::Dim, &format!("from {first} to {last}"));
            (&[][..], false)
        }
        Choice::Search { .. } => (&[][..], false),
    };
    let fitting = picker.fitting();
    for (row, index) in list.rows().zip(picker.cursor.view(fitting.len(), HEIGHT)) {
        let option = &options[fitting[index]];
        let mark = match (many, option.chosen) {
            (true, true) => "[x]",
            (true, false) => "[ ]",
            (false, true) => "(*)",
            (false, false) => "( )",
        };
        let span = paint.span(Role::Text, format!(" {mark} {}", option.label));
        paint.line(row, span);
        if index == picker.cursor.at {
            paint.select(row);
        }
        paint.hit(row, Target::Line(index));
    }
    let help = match (&picker.problem, many) {
        (Some(problem), _) => paint.span(Role::Bad, problem.clone()),
        (None, true) => paint.span(Role::Dim, "space chooses, tab next filter, enter shows, esc leaves"),
        (None, false) => paint.span(Role::Dim, "tab next filter, enter shows, esc leaves"),
    };
    paint.line(Rect { y: inside.bottom().saturating_sub(1), height: 1, ..inside }, help);
}
