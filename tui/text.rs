//! Text in terminal cells.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Returns the number of cells of a text, at most `max`.
pub(crate) fn width(text: &str, max: usize) -> usize {
    // Stops early, since the text may be long.
    let mut columns = 0;
    for char in text.chars() {
        columns += char.width().unwrap_or(1);
        if columns >= max {
            return max;
        }
    }
    columns
}

/// Returns a text of exactly `columns` cells: truncated with `more` if longer, padded with spaces
/// if shorter, right-aligned if it is a number. Control characters become spaces.
pub(crate) fn fit(text: &str, columns: usize, right: bool, more: &str) -> String {
    let mut fitted = String::with_capacity(columns);
    let mut used = 0;
    let mut truncated = false;
    for char in text.chars() {
        let char = if char.is_control() { ' ' } else { char };
        let wide = char.width().unwrap_or(0);
        if used + wide > columns {
            truncated = true;
            break;
        }
        fitted.push(char);
        used += wide;
    }
    if truncated {
        let room = columns.saturating_sub(more.width());
        while used > room {
            let Some(last) = fitted.pop() else { break };
            used -= last.width().unwrap_or(0);
        }
        if more.width() <= columns {
            fitted.push_str(more);
            used += more.width();
        }
    }
    let fill = " ".repeat(columns.saturating_sub(used));
    if right && !truncated { fill + &fitted } else { fitted + &fill }
}

/// Wraps a text into lines of at most `columns` cells, at spaces if possible. Line breaks are
/// retained.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        let mut used = 0;
        for word in paragraph.split_inclusive(' ') {
            if used > 0 && used + word.trim_end().width() > columns {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            for char in word.chars() {
                let wide = char.width().unwrap_or(0);
                if used + wide > columns {
                    if char == ' ' {
                        continue;
                    }
                    lines.push(std::mem::take(&mut line));
                    used = 0;
                }
                line.push(char);
                used += wide;
            }
        }
        lines.push(line);
    }
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_is_as_wide_as_its_column_whatever_it_contains() {
        for text in [
            "",
            "a",
            "Größe",
            "コーヒー豆の生産量",
            "a\tb\nc",
            "e\u{301}te\u{301}",
            "👩‍👩‍👧 family",
            "12,345,678",
        ] {
            for columns in 0..12 {
                for right in [false, true] {
                    let fitted = fit(text, columns, right, "…");
                    assert_eq!(
                        fitted.chars().map(|char| char.width().unwrap_or(0)).sum::<usize>(),
                        columns,
                        "{text:?} in {columns}: {fitted:?}"
                    );
                }
            }
        }
        assert_eq!(fit("コーヒー", 5, false, "…"), "コー…");
        assert_eq!(fit("42", 5, true, "…"), "   42");
    }

    #[test]
    fn nothing_is_lost_when_a_text_is_broken_into_lines() {
        let text = "refused: orders has 0 rows, 1,500,000 in the served generation\nverylongwordwithoutanyspace end";
        for columns in 5..40 {
            let lines = wrap(text, columns);
            assert!(lines.iter().all(|line| line.width() <= columns), "{columns}: {lines:?}");
            let letters =
                |text: &str| text.chars().filter(|char| !char.is_whitespace()).collect::<String>();
            assert_eq!(letters(&lines.concat()), letters(text));
        }
    }
}
