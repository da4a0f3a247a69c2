//! Estimates the space of text in a drawing. The browser's fonts are unknown here, so widths are
//! overestimated.

/// The height of a line of labels.
pub(super) const LINE: f64 = 15.0;
/// The space between two labels.
const SPACE: f64 = 8.0;

/// Returns the approximate width of a text of 12 px.
pub(crate) fn width(text: &str) -> f64 {
    let of = |letter: char| match letter {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' => 4.0,
        'f' | 't' | 'r' | ' ' | '(' | ')' | '-' => 5.0,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '…' => 12.5,
        'A'..='Z' | '−' | '+' => 10.0,
        ' '..='~' => 8.0,
        // Latin, Greek and Cyrillic letters, and similar ones.
        '\u{a0}'..='\u{2ff}' | '\u{370}'..='\u{6ff}' => 9.0,
        _ => 15.0,
    };
    text.chars().map(of).sum()
}

/// Returns a text that fits into `space`, truncated if necessary.
pub(crate) fn fit(text: &str, space: f64) -> String {
    let text: String =
        text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if width(&text) <= space {
        return text;
    }
    let mut kept = String::new();
    for letter in text.chars() {
        kept.push(letter);
        if width(&kept) + 12.0 > space {
            kept.pop();
            break;
        }
    }
    format!("{}…", kept.trim_end())
}

/// The begin and end of a text that is centered at a position, but stays within the drawing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Extent {
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Extent {
    pub(super) fn centered(at: f64, width: f64, within: f64) -> Self {
        let from = (at - width / 2.0).min(within - width).max(0.0);
        Self { from, to: from + width }
    }

    pub(super) fn middle(self) -> f64 {
        f64::midpoint(self.from, self.to)
    }

    pub(super) fn is_apart(self, before: Self) -> bool {
        self.from >= before.to + SPACE
    }
}

/// Returns the interval at which labels are drawn so that they do not overlap.
pub(super) fn stride(extents: &[Extent]) -> usize {
    let fits = |stride: &usize| {
        let drawn: Vec<Extent> = extents.iter().step_by(*stride).copied().collect();
        drawn.windows(2).all(|pair| pair[1].is_apart(pair[0]))
    };
    (1..=extents.len().max(1)).find(fits).unwrap_or(1)
}

/// The space occupied by texts.
#[derive(Default)]
pub(super) struct Taken(Vec<(Extent, Extent)>);

impl Taken {
    /// Reserves the space of a text with its base line at `y`, unless another text occupies part of
    /// it.
    pub(super) fn take(&mut self, x: Extent, y: f64) -> bool {
        let lines = Extent { from: y - LINE + 3.0, to: y + 3.0 };
        let overlap = |one: Extent, other: Extent| one.from < other.to && other.from < one.to;
        let free =
            !self.0.iter().any(|(across, down)| overlap(*across, x) && overlap(*down, lines));
        if free {
            self.0.push((x, lines));
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stay_within_the_drawing_and_apart_from_one_another() {
        let extents: Vec<Extent> =
            (0..10).map(|at| Extent::centered(f64::from(at) * 40.0, 60.0, 360.0)).collect();
        assert!(extents[0].from.abs() < 1e-9);
        assert!((extents[9].to - 360.0).abs() < 1e-9);
        // The first label is shifted to the right, to the position of the second one.
        assert_eq!(stride(&extents), 3);
        assert_eq!(stride(&extents[..1]), 1);
    }

    #[test]
    fn a_text_that_does_not_fit_is_cut_with_a_mark() {
        assert_eq!(fit("Producers and merchants", 400.0), "Producers and merchants");
        let cut = fit("Producers and merchants", 90.0);
        assert!(cut.ends_with('…') && width(&cut) <= 90.0, "{cut}");
        assert_eq!(fit("a\nb", 100.0), "a b");
    }
}
