//! What lies over the screen.

use ratatui::{layout::Rect, style::Style, text::Line};

use super::{Paint, dashboards};
use crate::tui::{
    keys::{KEYS, Scope},
    layout,
    look::Role,
    message::Target,
    state::{
        Confirm, Overlay, State,
        palette::{HEIGHT, Palette},
    },
    text::{width, wrap},
};

pub(super) fn draw(paint: &mut Paint, area: Rect, overlay: &Overlay, state: &State) {
    match overlay {
        Overlay::Help { scroll } => help(paint, area, *scroll, state),
        Overlay::Palette(palette) => draw_palette(paint, area, palette),
        Overlay::Confirm(confirm) => draw_confirm(paint, area, confirm),
        Overlay::Picker(picker) => dashboards::draw_picker(paint, area, picker),
        // It stands in the line below the screen.
        Overlay::Prompt(_) => {}
    }
}

fn help(paint: &mut Paint, area: Rect, scroll: usize, state: &State) {
    let mut scopes = state.scopes();
    if !scopes.contains(&Scope::Global) {
        scopes.push(Scope::Global);
    }
    let mut lines = Vec::new();
    for scope in scopes {
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        lines.push(Line::from(paint.span(Role::Heading, scope.title())));
        for key in KEYS.iter().filter(|key| key.scope == scope) {
            let keys = key.names().collect::<Vec<_>>().join(" ");
            lines.push(Line::from(vec![paint.span(Role::Accent, format!("  {keys:<20} ")), paint.span(Role::Text, key.about)]));
        }
    }
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height.saturating_sub(2));
    let spot = layout::middle(area, 84.min(area.width.saturating_sub(2)), height);
    let inside = paint.window(spot, "Keys");
    let more = lines.len() > usize::from(inside.height);
    paint.scrolled(inside, lines, scroll);
    let text = if more { " j k scroll, any other key closes " } else { " any key closes " };
    let below = Rect { y: spot.bottom() - 1, x: spot.x + 2, width: spot.width.saturating_sub(4), height: 1 };
    let line = Line::from(paint.span(Role::Dim, text)).right_aligned();
    paint.line(below, line);
}

fn draw_palette(paint: &mut Paint, area: Rect, palette: &Palette) {
    let height = u16::try_from(HEIGHT + 3).unwrap_or(u16::MAX);
    let spot = layout::middle(area, 76, height);
    let inside = paint.window(spot, "Find");
    let prompt = paint.span(Role::Accent, ": ");
    paint.line(inside, prompt);
    let mut input = palette.input.clone();
    input.set_cursor_line_style(Style::new());
    paint.draw(Rect { x: inside.x + 2, width: inside.width.saturating_sub(2), height: 1, ..inside }, &input);
    let list = Rect { y: inside.y + 1, height: inside.height.saturating_sub(1), ..inside };
    if palette.fitting.is_empty() {
        let span = paint.span(Role::Dim, " nothing is called so");
        return paint.line(list, span);
    }
    for (row, index) in list.rows().zip(palette.cursor.view(palette.fitting.len(), HEIGHT)) {
        let choice = &palette.choices[palette.fitting[index]];
        let space = usize::from(row.width).saturating_sub(14);
        let key = format!("{:>10} ", choice.key);
        let line = Line::from(vec![paint.span(Role::Text, format!(" {} ", paint.fit(&choice.text, space))), paint.span(Role::Accent, key)]);
        paint.line(row, line);
        if index == palette.cursor.at {
            paint.select(row);
        }
        paint.hit(row, Target::Line(index));
    }
}

fn draw_confirm(paint: &mut Paint, area: Rect, confirm: &Confirm) {
    let columns = area.width.saturating_sub(4).min(76);
    let space = usize::from(columns.saturating_sub(4));
    let mut lines: Vec<_> =
        wrap(&confirm.text, space).into_iter().map(|row| Line::from(paint.span(Role::Text, format!(" {row}")))).collect();
    if let Some(command) = &confirm.command {
        lines.push(Line::default());
        let rows = wrap(&format!("$ {command}"), space);
        lines.extend(rows.into_iter().map(|row| Line::from(paint.span(Role::Strong, format!(" {row}")))));
    }
    lines.push(Line::default());
    lines.push(Line::from(vec![
        paint.span(Role::Accent, " enter "),
        paint.span(Role::Text, "yes   "),
        paint.span(Role::Accent, "esc "),
        paint.span(Role::Text, "no"),
    ]));
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let wide = u16::try_from(width(&confirm.title, 70) + 6).unwrap_or_default();
    let spot = layout::middle(area, columns.max(wide), height);
    let inside = paint.window(spot, &confirm.title);
    paint.lines(inside, lines);
}
