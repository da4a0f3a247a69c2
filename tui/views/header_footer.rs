//! The header with tabs and health, and the footer with keys and notices.

use materia::humanize;
use ratatui::{
    layout::Rect,
    text::{Line, Span},
};

use super::Canvas;
use crate::{
    app::{App, GLOBAL_KEYS, ScreenId},
    context::{Context, format_ago},
    keys::{KeyBinding, KeyGroup},
    message::ClickTarget,
    overlays::{self, Overlay},
    text::width,
    theme::StyleRole,
};

/// Number of characters to which the names of tabs are shortened if they do not fit.
const SHORT_TAB_LENGTH: usize = 4;

pub(super) fn draw_header(canvas: &mut Canvas, area: Rect, context: &Context) {
    let labels = |max_length: usize| {
        ScreenId::ALL.into_iter().enumerate().map(move |(index, screen)| {
            let title: String = screen.title().chars().take(max_length).collect();
            (screen, format!(" {} {title} ", index + 1))
        })
    };
    let columns = |max_length: usize| labels(max_length).map(|(_, label)| label.len()).sum();
    let space = usize::from(area.width);
    // The state of the data takes precedence over the names of tabs.
    let short: usize = columns(SHORT_TAB_LENGTH);
    let health = health(canvas, context, space.saturating_sub(short));
    let taken: usize = health.iter().map(Span::width).sum();
    let full: usize = columns(usize::MAX);
    let max_length = if full + taken <= space { usize::MAX } else { SHORT_TAB_LENGTH };
    let mut x = area.x;
    for (screen, label) in labels(max_length) {
        let columns = u16::try_from(label.len()).unwrap_or_default();
        let tab = Rect { x, width: columns.min(area.right().saturating_sub(x)), ..area };
        let is_visible = screen == context.screen;
        let role = if is_visible { StyleRole::Selected } else { StyleRole::Dim };
        let span = canvas.span(role, label);
        canvas.line(tab, span);
        canvas.add_click_area(tab, ClickTarget::Tab(screen));
        x += columns;
    }
    let rest = Rect { x, width: area.right().saturating_sub(x), ..area };
    canvas.line(rest, Line::from(health).right_aligned());
}

/// Summarizes the state as far as it fits. Allowed actions are always indicated.
fn health(canvas: &Canvas, context: &Context, space: usize) -> Vec<Span<'static>> {
    let mut parts: Vec<(StyleRole, String)> = Vec::new();
    if context.actions_allowed {
        parts.push((StyleRole::Warn, "ACTIONS".to_owned()));
    }
    let (role, texts) = freshness(context);
    let taken: usize = parts.iter().map(|(_, text)| width(text, space) + 2).sum();
    let available = space.saturating_sub(taken + 2);
    let texts: Vec<_> =
        texts.into_iter().map(|text| format!("{} {text}", canvas.theme.dot())).collect();
    let fitting = texts.iter().find(|text| width(text, space + 1) <= available);
    let text = fitting.or(texts.last()).cloned().unwrap_or_default();
    let text = canvas.fit(&text, width(&text, available));
    let mut left = space.saturating_sub(taken + width(&text, space) + 2);
    let spinner = canvas.theme.spinner(canvas.spinner_frame);
    let saving = context.saving.map(|rows| {
        [format!("{spinner} saving {}", humanize::rows(rows)), format!("{spinner} saving")]
    });
    let exporting =
        context.is_exporting().then(|| [format!("{spinner} exporting"), spinner.to_owned()]);
    // In full if there is room, otherwise abbreviated.
    for texts in [exporting, saving].into_iter().flatten() {
        let fitting = texts.into_iter().find(|text| width(text, space) + 2 <= left);
        if let Some(text) = fitting {
            left -= width(&text, space) + 2;
            parts.push((StyleRole::Accent, text));
        }
    }
    parts.push((role, text));
    parts.into_iter().map(|(role, text)| canvas.span(role, format!(" {text} "))).collect()
}

/// Describes the state of the served data, in texts from the longest to the shortest.
pub(crate) fn freshness(context: &Context) -> (StyleRole, Vec<String>) {
    let short = |role, text: &str| (role, vec![text.to_owned()]);
    if context.reader.config_error.is_some() && context.reader.config.is_none() {
        return short(StyleRole::Bad, "bad settings");
    }
    let has_error = context.status_view.error.is_some();
    let Some(status) = context.status() else {
        return if has_error {
            short(StyleRole::Bad, "unknown")
        } else {
            short(StyleRole::Dim, "opening")
        };
    };
    if status.what == materia::store::ServedState::Missing {
        return short(StyleRole::Bad, "nothing served");
    }
    if status.unreadable.is_some() {
        return short(StyleRole::Bad, "unreadable");
    }
    let Some(at) = status.exported_at.filter(|_| !has_error) else {
        let text = if has_error { "unknown" } else { "not materia's" };
        return short(if has_error { StyleRole::Bad } else { StyleRole::Warn }, text);
    };
    let ago = format_ago(at, context.now);
    let age = ago.strip_suffix(" ago").unwrap_or(&ago).to_owned();
    if status.is_stale(context.now) {
        return (
            StyleRole::Bad,
            vec![format!("stale: data {age} old"), format!("stale, {age}"), age],
        );
    }
    let failed = status.last_relevant_attempt().filter(|record| !record.outcome.is_success());
    if let Some(record) = failed {
        let word = record.outcome.label();
        let when = format_ago(record.ended_at, context.now);
        let texts = [
            format!("data {age} old; last export {word} {when}"),
            format!("data {age} old; export {word}"),
            format!("{age} old; {word}"),
            age,
        ];
        return (StyleRole::Warn, texts.to_vec());
    }
    if let Some(older) = &status.older {
        let texts = [
            format!("data {age} old; rolled back to {}", older.served),
            format!("data {age} old; rolled back"),
            format!("{age} old; rolled back"),
            age,
        ];
        return (StyleRole::Warn, texts.to_vec());
    }
    (StyleRole::Good, vec![format!("data {age} old"), age])
}

pub(super) fn draw_footer(canvas: &mut Canvas, area: Rect, app: &App) {
    let context = &app.context;
    if let Some(Overlay::Prompt(prompt)) = &context.overlay {
        return overlays::draw_prompt(canvas, area, prompt);
    }
    if let Some(toast) = &context.toast {
        let role = if toast.success { StyleRole::Good } else { StyleRole::Bad };
        let text = canvas.fit(&format!(" {}", toast.text), usize::from(area.width));
        let span = canvas.span(role, text);
        return canvas.line(area, span);
    }
    let pending = &context.keyboard.pending_keys;
    if !pending.is_empty() {
        let span = canvas.span(StyleRole::Accent, format!(" {pending} ..."));
        return canvas.line(area, span);
    }
    let keys = keys(canvas, app, usize::from(area.width));
    canvas.line(area, Line::from(keys));
}

/// Returns the keys of the screen, then the global ones, as many as fit.
fn keys(canvas: &Canvas, app: &App, space: usize) -> Vec<Span<'static>> {
    let keymap = &app.context.keyboard.keymap;
    let labels = |group: &'static KeyGroup| {
        let label =
            move |binding: &'static KeyBinding| (keymap.first_key(group, binding), binding.short);
        let is_labelled = |(key, short): &(&str, &str)| !key.is_empty() && !short.is_empty();
        group.bindings.iter().map(label).filter(is_labelled)
    };
    let size = |(key, short): &(&str, &str)| key.len() + short.len() + 4;
    let global: Vec<_> =
        if app.visible().is_typing() { Vec::new() } else { labels(&GLOBAL_KEYS).collect() };
    let reserved: usize = global.iter().map(size).sum();
    let mut used = 0;
    let own = labels(app.visible().keys()).take_while(|label| {
        used += size(label);
        used + reserved <= space
    });
    own.chain(global)
        .flat_map(|(key, short)| {
            [
                canvas.span(StyleRole::Accent, format!(" {key}")),
                canvas.span(StyleRole::Dim, format!(" {short}  ")),
            ]
        })
        .collect()
}
