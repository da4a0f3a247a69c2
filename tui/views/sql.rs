//! The prompt, and the answer.

use materia::words;
use ratatui::{layout::Rect, style::Style, text::Line};

use super::{Paint, grid};
use crate::tui::{
    layout,
    look::Role,
    message::{TIMES, Target},
    state::{grid::SQL_ROWS, sql::SqlScreen},
};

pub(super) fn draw(paint: &mut Paint, area: Rect, sql: &SqlScreen) {
    let [prompt, answer] = layout::sql(area, sql.editor.lines().len(), sql.typing);
    let limits = format!("SQL, read-only: up to {}, {}", words::duration(TIMES[sql.time]), words::rows(SQL_ROWS as u64));
    let inside = paint.block(prompt, &limits, if sql.typing { Role::Accent } else { Role::Dim });
    paint.hit(prompt, Target::Editor);
    let mut editor = sql.editor.clone();
    editor.set_style(paint.style(Role::Text));
    editor.set_cursor_line_style(Style::new());
    if !sql.typing {
        editor.set_cursor_style(Style::new());
    }
    editor.set_placeholder_text("SELECT ...");
    editor.set_placeholder_style(paint.style(Role::Dim));
    paint.draw(inside, &editor);
    if let Some(rows) = &sql.grid {
        grid::draw(paint, answer, rows, !sql.typing);
    } else {
        let hint =
            if sql.typing { " Ctrl-R runs the query; the answer comes here. Tab completes names." } else { " i goes back to the prompt." };
        let line = Line::from(paint.span(Role::Dim, hint));
        paint.line(answer, line);
    }
    if let Some(completion) = &sql.completion {
        let widest = completion.choices.iter().map(|choice| choice.chars().count()).max().unwrap_or_default();
        let cursor = sql.editor.cursor();
        let width = u16::try_from(widest + 2).unwrap_or(40).min(area.width);
        // Below the beginning of the word.
        let begins = cursor.1.saturating_sub(completion.typed + 1);
        let x = (inside.x + u16::try_from(begins).unwrap_or_default()).min(area.right().saturating_sub(width));
        let y = inside.y + u16::try_from(cursor.0).unwrap_or_default().min(inside.height.saturating_sub(1)) + 1;
        let height = u16::try_from(completion.choices.len()).unwrap_or_default().min(area.bottom().saturating_sub(y));
        let spot = Rect { x, y, width, height };
        paint.draw(spot, ratatui::widgets::Clear);
        for (index, (row, choice)) in spot.rows().zip(&completion.choices).enumerate() {
            let role = if index == completion.at { Role::Selected } else { Role::Marked };
            let span = paint.span(role, format!(" {} ", paint.fit(choice, usize::from(width) - 2)));
            paint.line(row, span);
        }
    }
}
