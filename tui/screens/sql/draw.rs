//! Drawing of the prompt, its suggestions, and the rows.

use materia::humanize;
use ratatui::{layout::Rect, style::Style, text::Line};

use super::{SqlScreen, areas};
use crate::{
    grid::{self, Database, MAX_SQL_ROWS},
    message::{ClickTarget, TIMEOUTS},
    theme::StyleRole,
    views::Canvas,
};

pub(super) fn draw(sql: &SqlScreen, canvas: &mut Canvas, area: Rect) {
    let [prompt, result] = areas(area, sql);
    let (database, role) = match sql.database {
        Database::Served => ("", StyleRole::Accent),
        Database::Refused => (" of the refused file (ctrl-o returns)", StyleRole::Warn),
    };
    let limits = format!(
        "SQL{database}, read-only: up to {}, {}",
        humanize::duration(TIMEOUTS[sql.timeout]),
        humanize::rows(MAX_SQL_ROWS as u64)
    );
    let inside = canvas.block(prompt, &limits, if sql.typing { role } else { StyleRole::Dim });
    canvas.add_click_area(prompt, ClickTarget::Editor);
    let mut editor = sql.editor.clone();
    editor.set_style(canvas.style(StyleRole::Text));
    editor.set_cursor_line_style(Style::new());
    if !sql.typing {
        editor.set_cursor_style(Style::new());
    }
    editor.set_placeholder_text("SELECT ...");
    editor.set_placeholder_style(canvas.style(StyleRole::Dim));
    canvas.draw(inside, &editor);
    if let Some(rows) = &sql.grid {
        grid::draw(canvas, result, rows, !sql.typing);
    } else {
        let hint = if sql.typing {
            " F5 runs the query; its rows appear here. Tab completes names."
        } else {
            " i returns to the prompt."
        };
        let line = Line::from(canvas.span(StyleRole::Dim, hint));
        canvas.line(result, line);
    }
    if let Some(completion) = &sql.completion {
        let widest = completion
            .suggestions
            .iter()
            .map(|choice| choice.chars().count())
            .max()
            .unwrap_or_default();
        let cursor = sql.editor.cursor();
        let width = u16::try_from(widest + 2).unwrap_or(40).min(area.width);
        // Below the start of the word.
        let begins = cursor.1.saturating_sub(completion.word_length + 1);
        let x = (inside.x + u16::try_from(begins).unwrap_or_default())
            .min(area.right().saturating_sub(width));
        let y = inside.y
            + u16::try_from(cursor.0).unwrap_or_default().min(inside.height.saturating_sub(1))
            + 1;
        let height = u16::try_from(completion.suggestions.len())
            .unwrap_or_default()
            .min(area.bottom().saturating_sub(y));
        let spot = Rect { x, y, width, height };
        canvas.draw(spot, ratatui::widgets::Clear);
        for (index, (row, choice)) in spot.rows().zip(&completion.suggestions).enumerate() {
            let role = if index == completion.at { StyleRole::Selected } else { StyleRole::Marked };
            let span =
                canvas.span(role, format!(" {} ", canvas.fit(choice, usize::from(width) - 2)));
            canvas.line(row, span);
        }
    }
}
