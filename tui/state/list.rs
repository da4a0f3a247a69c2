//! A line in a long list, and the part of the list that is in view.

/// Which line one is on, and which is the first in view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cursor {
    pub(crate) at: usize,
    pub(crate) top: usize,
}

impl Cursor {
    /// Goes to a line of `len`, of which `height` are in view.
    pub(crate) fn to(&mut self, at: usize, len: usize, height: usize) {
        self.at = at.min(len.saturating_sub(1));
        let height = height.max(1);
        if self.at < self.top {
            self.top = self.at;
        } else if self.at >= self.top + height {
            self.top = self.at + 1 - height;
        }
        self.top = self.top.min(len.saturating_sub(height));
    }

    /// Goes some lines down, or up where `by` is negative.
    pub(crate) fn step(&mut self, by: isize, len: usize, height: usize) {
        self.to(self.at.saturating_add_signed(by), len, height);
    }

    /// The lines in view.
    pub(crate) fn view(&self, len: usize, height: usize) -> std::ops::Range<usize> {
        let top = self.top.min(len);
        top..(top + height).min(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_one_is_on_is_always_in_view() {
        let mut cursor = Cursor::default();
        for (by, len, height) in
            [(5, 100, 4), (-2, 100, 4), (1_000, 100, 4), (0, 3, 4), (-1_000, 50, 7), (30, 50, 1), (0, 50, 0), (0, 0, 5)]
        {
            cursor.step(by, len, height);
            assert!(cursor.at < len.max(1));
            assert!(len == 0 || cursor.view(len, height.max(1)).contains(&cursor.at), "{cursor:?}");
        }
    }

    #[test]
    fn a_list_that_got_shorter_leaves_no_empty_space_above_its_end() {
        let mut cursor = Cursor { at: 90, top: 85 };
        cursor.to(90, 20, 10);
        assert_eq!(cursor, Cursor { at: 19, top: 10 });
    }
}
