//! The selected line of a long list, and the visible part of the list.

/// The selected line, and the first one in view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ListCursor {
    pub(crate) at: usize,
    pub(crate) top: usize,
}

impl ListCursor {
    /// Selects one of `len` lines, of which `height` are visible.
    pub(crate) fn move_to(&mut self, at: usize, len: usize, height: usize) {
        self.at = at.min(len.saturating_sub(1));
        let height = height.max(1);
        if self.at < self.top {
            self.top = self.at;
        } else if self.at >= self.top + height {
            self.top = self.at + 1 - height;
        }
        self.top = self.top.min(len.saturating_sub(height));
    }

    /// Moves by lines; negative is up.
    pub(crate) fn move_by(&mut self, by: isize, len: usize, height: usize) {
        self.move_to(self.at.saturating_add_signed(by), len, height);
    }

    /// Returns the lines in view.
    pub(crate) fn visible_range(&self, len: usize, height: usize) -> std::ops::Range<usize> {
        let top = self.top.min(len);
        top..(top + height).min(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selected_line_is_always_in_view() {
        let mut cursor = ListCursor::default();
        for (by, len, height) in [
            (5, 100, 4),
            (-2, 100, 4),
            (1_000, 100, 4),
            (0, 3, 4),
            (-1_000, 50, 7),
            (30, 50, 1),
            (0, 50, 0),
            (0, 0, 5),
        ] {
            cursor.move_by(by, len, height);
            assert!(cursor.at < len.max(1));
            assert!(
                len == 0 || cursor.visible_range(len, height.max(1)).contains(&cursor.at),
                "{cursor:?}"
            );
        }
    }

    #[test]
    fn a_list_that_got_shorter_leaves_no_empty_space_above_its_end() {
        let mut cursor = ListCursor { at: 90, top: 85 };
        cursor.move_to(90, 20, 10);
        assert_eq!(cursor, ListCursor { at: 19, top: 10 });
    }
}
