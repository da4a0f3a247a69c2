//! What files and units write.

use materia::words;
use ratatui::{layout::Rect, text::Line};

use super::Paint;
use crate::tui::{
    layout,
    look::Role,
    state::logs::{Level, Log, LogLine, LogsScreen},
};

const HOW: [&str; 6] = [
    "No log is configured. In materia.toml, relative to its folder:",
    "",
    "    [tui]",
    "    logs = [\"supervisor.log\", \"web.log\", \"unit:materia-web\"]",
    "",
    "or start with: materia tui --log FILE --log unit:NAME",
];

pub(super) fn draw(paint: &mut Paint, area: Rect, logs: &LogsScreen) {
    let [names, body, below] = layout::list(area);
    let Some(log) = logs.shown() else {
        let lines: Vec<_> = HOW.iter().map(|text| Line::from(paint.span(Role::Dim, format!(" {text}")))).collect();
        return paint.lines(Rect { y: area.y + 1, ..area }, lines);
    };
    let tabs = logs.logs.iter().enumerate().map(|(index, log)| {
        let role = if index == logs.current { Role::Strong } else { Role::Dim };
        paint.span(role, format!(" {} ", log.name))
    });
    let line = Line::from(tabs.collect::<Vec<_>>());
    paint.line(names, line);
    let view = log.top..(log.top + usize::from(body.height)).min(log.lines.len());
    for (row, index) in body.rows().zip(view) {
        let line = log_line(paint, &log.lines[index], &logs.search, logs.left, log.found == Some(index));
        paint.line(row, line);
    }
    let spans = summary(paint, log, &logs.search);
    paint.line(below, Line::from(spans));
}

fn summary(paint: &Paint, log: &Log, search: &str) -> Vec<ratatui::text::Span<'static>> {
    let mut spans = vec![
        paint.span(if log.follow { Role::Good } else { Role::Warn }, if log.follow { " following" } else { " not following" }),
        paint.span(Role::Dim, format!("  {}", words::plural(log.lines.len(), "line"))),
    ];
    if !search.is_empty() {
        spans.push(paint.span(Role::Accent, format!("  /{search}")));
    }
    if !log.note.is_empty() {
        spans.push(paint.span(Role::Warn, format!("  {}", log.note)));
    }
    spans
}

fn log_line(paint: &Paint, line: &LogLine, search: &str, left: usize, found: bool) -> Line<'static> {
    let role = match line.level {
        Level::Error => Role::Bad,
        Level::Warn => Role::Warn,
        Level::Debug => Role::Dim,
        Level::Info | Level::None => Role::Text,
    };
    let text: String = line.text.chars().skip(left).collect();
    let mark = paint.span(if found { Role::Found } else { Role::Text }, if found { ">" } else { " " });
    let mut spans = vec![mark];
    let wanted = search.to_lowercase();
    let lower = text.to_lowercase();
    // Where lower case has other lengths, places in one are no places in the other.
    if wanted.is_empty() || lower.len() != text.len() {
        spans.push(paint.span(role, text));
        return Line::from(spans);
    }
    let mut from = 0;
    for (at, part) in lower.match_indices(&wanted) {
        let (Some(before), Some(hit)) = (text.get(from..at), text.get(at..at + part.len())) else { continue };
        spans.push(paint.span(role, before));
        spans.push(paint.span(Role::Found, hit));
        from = at + part.len();
    }
    spans.push(paint.span(role, text.get(from..).unwrap_or_default()));
    Line::from(spans)
}
