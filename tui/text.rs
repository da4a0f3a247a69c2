//! Text as it stands in cells of a terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns that a text takes, at most `most`.
pub(crate) fn width(text: &str, most: usize) -> usize {
    // A long text is wider than anything asked about: no need to read it to its end.
    let mut columns = 0;
    for char in text.chars() {
        columns += char.width().unwrap_or(1);
        if columns >= most {
            return most;
        }
    }
    columns
}

/// A text of exactly `columns`: cut with `more` where it is longer, filled with spaces where it is shorter, numbers to the right. What
/// would move the cursor is drawn as a space.
pub(crate) fn fit(text: &str, columns: usize, right: bool, more: &str) -> String {
    let mut fitted = String::with_capacity(columns);
    let mut used = 0;
    let mut cut = false;
    for char in text.chars() {
        let char = if char.is_control() { ' ' } else { char };
        let wide = char.width().unwrap_or(0);
        if used + wide > columns {
            cut = true;
            break;
        }
        fitted.push(char);
        used += wide;
    }
    if cut {
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
    if right && !cut { fill + &fitted } else { fitted + &fill }
}

/// Breaks a text into lines of at most `columns`, at spaces where there are any. Lines of the text stay lines.
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
    fn every_cell_is_as_wide_as_its_column_whatever_stands_in_it() {
        for text in ["", "a", "Größe", "コーヒー豆の生産量", "a\tb\nc", "e\u{301}te\u{301}", "👩‍👩‍👧 family", "12,345,678"]
        {
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
            let letters = |text: &str| text.chars().filter(|char| !char.is_whitespace()).collect::<String>();
            assert_eq!(letters(&lines.concat()), letters(text));
        }
    }
}
