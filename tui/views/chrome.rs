//! What stands above and below every screen: tabs and health, keys and notices.

use materia::words;
use ratatui::{
    layout::Rect,
    text::{Line, Span},
};

use super::Paint;
use crate::tui::{
    keys::{KEYS, Scope},
    look::Role,
    message::Target,
    state::{Overlay, PromptKind, Screen, State, ago},
    text::width,
};

pub(super) fn top(paint: &mut Paint, area: Rect, state: &State) {
    let mut x = area.x;
    let full = area.width >= 96;
    for (index, screen) in Screen::ALL.into_iter().enumerate() {
        let here = screen == state.screen;
        let title = screen.title();
        // Where there is little room, names are cut to what tells them apart.
        let label = format!(" {} {} ", index + 1, if full { title } else { &title[..title.len().min(4)] });
        let columns = u16::try_from(width(&label, 40)).unwrap_or_default();
        let spot = Rect { x, width: columns.min(area.right().saturating_sub(x)), ..area };
        let role = if here { Role::Selected } else { Role::Dim };
        let span = paint.span(role, label);
        paint.line(spot, span);
        paint.hit(spot, Target::Tab(screen));
        x += columns;
    }
    let rest = Rect { x, width: area.right().saturating_sub(x), ..area };
    let health = health(paint, state, usize::from(rest.width));
    paint.line(rest, Line::from(health).right_aligned());
}

/// How things are, in as many words as fit: that something may be changed from here is always said.
fn health(paint: &Paint, state: &State, space: usize) -> Vec<Span<'static>> {
    let mut parts: Vec<(Role, String)> = Vec::new();
    if state.actions {
        parts.push((Role::Warn, "ACTIONS".to_owned()));
    }
    let (role, word) = freshness(paint, state);
    let taken: usize = parts.iter().map(|(_, text)| width(text, space) + 2).sum();
    let word = format!("{} {word}", paint.look.dot());
    let word = paint.fit(&word, width(&word, space.saturating_sub(taken + 2)));
    let mut left = space.saturating_sub(taken + width(&word, space) + 2);
    let turning = paint.look.spinner(paint.turn);
    let saving = state.saving.map(|rows| [format!("{turning} saving {}", words::rows(rows)), format!("{turning} saving")]);
    let exporting = state.is_exporting().then(|| [format!("{turning} exporting"), turning.to_owned()]);
    // In full where there is room, else short.
    for texts in [exporting, saving].into_iter().flatten() {
        let fitting = texts.into_iter().find(|text| width(text, space) + 2 <= left);
        if let Some(text) = fitting {
            left -= width(&text, space) + 2;
            parts.push((Role::Accent, text));
        }
    }
    parts.push((role, word));
    parts.into_iter().map(|(role, text)| paint.span(role, format!(" {text} "))).collect()
}

/// The state of what is served in a word or two.
pub(super) fn freshness(paint: &Paint, state: &State) -> (Role, String) {
    if state.served.bad_settings.is_some() && state.served.setup.is_none() {
        return (Role::Bad, "bad settings".to_owned());
    }
    let Some(status) = state.status() else {
        return if state.overview.problem.is_some() { (Role::Bad, "unknown".to_owned()) } else { (Role::Dim, "opening".to_owned()) };
    };
    if status.what == materia::target::Served::Missing {
        return (Role::Bad, "nothing served".to_owned());
    }
    if status.unreadable.is_some() {
        return (Role::Bad, "unreadable".to_owned());
    }
    let age = status.exported_at.map(|at| ago(at, paint.now));
    if status.is_stale(paint.now) {
        return (Role::Bad, format!("stale, {}", age.unwrap_or_default()));
    }
    let failed = status.judged().filter(|record| !record.outcome.is_success());
    match age {
        _ if state.overview.problem.is_some() => (Role::Bad, "unknown".to_owned()),
        Some(age) => match failed {
            Some(record) => (Role::Warn, format!("export {}, {age}", record.outcome.word())),
            None if status.older.is_some() => (Role::Warn, format!("rolled back, {age}")),
            None => (Role::Good, age),
        },
        None => (Role::Warn, "not materia's".to_owned()),
    }
}

pub(super) fn bottom(paint: &mut Paint, area: Rect, state: &State) {
    if let Some(Overlay::Prompt(prompt)) = &state.overlay {
        let label = match prompt.kind {
            PromptKind::FilterTables => "tables with: ".to_owned(),
            PromptKind::FilterRows => format!("{} has: ", column(state)),
            PromptKind::GoToRow => "go to row: ".to_owned(),
            PromptKind::Save => "save as (.csv or .parquet): ".to_owned(),
            PromptKind::SearchLogs => "search: ".to_owned(),
        };
        let columns = u16::try_from(width(&label, 60)).unwrap_or_default();
        let span = paint.span(Role::Accent, label);
        paint.line(area, span);
        let mut input = prompt.input.clone();
        input.set_cursor_line_style(ratatui::style::Style::new());
        let right = prompt.problem.as_ref().map_or(0, |problem| u16::try_from(width(problem, 60)).unwrap_or_default() + 2);
        let field = Rect { x: area.x + columns, width: area.width.saturating_sub(columns + right), ..area };
        paint.draw(field, &input);
        if let Some(problem) = &prompt.problem {
            let line = Line::from(paint.span(Role::Bad, problem.clone())).right_aligned();
            let spot = Rect { x: area.right() - right, width: right, ..area };
            paint.line(spot, line);
        }
        return;
    }
    if let Some(toast) = &state.toast {
        let role = if toast.good { Role::Good } else { Role::Bad };
        let text = paint.fit(&format!(" {}", toast.text), usize::from(area.width));
        let span = paint.span(role, text);
        paint.line(area, span);
        return;
    }
    if !state.pressed.is_empty() {
        let span = paint.span(Role::Accent, format!(" {} ...", state.pressed));
        paint.line(area, span);
        return;
    }
    let keys = keys(paint, state, usize::from(area.width));
    paint.line(area, Line::from(keys));
}

fn column(state: &State) -> String {
    let grid = match state.screen {
        Screen::Tables => state.tables.open.as_ref().map(|open| &open.grid),
        _ => state.sql.grid.as_deref(),
    };
    grid.and_then(|grid| grid.columns.get(grid.column)).map(|column| column.name.clone()).unwrap_or_default()
}

/// The keys of the screen, then those that work everywhere, as many as fit.
fn keys(paint: &Paint, state: &State, space: usize) -> Vec<Span<'static>> {
    let scopes = state.scopes();
    let everywhere: Vec<_> =
        KEYS.iter().filter(|key| key.scope == Scope::Global && !key.short.is_empty() && scopes.contains(&Scope::Global)).collect();
    let own = KEYS.iter().filter(|key| key.scope != Scope::Global && scopes.contains(&key.scope) && !key.short.is_empty());
    let size = |key: &crate::tui::keys::Binding| key.first().len() + key.short.len() + 4;
    let kept: usize = everywhere.iter().map(|key| size(key)).sum();
    let mut used = 0;
    let own = own.take_while(|key| {
        used += size(key);
        used + kept <= space
    });
    own.chain(everywhere.iter().copied())
        .flat_map(|key| [paint.span(Role::Accent, format!(" {}", key.first())), paint.span(Role::Dim, format!(" {}  ", key.short))])
        .collect()
}
