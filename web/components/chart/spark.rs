//! The history of a figure as a sparkline.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::px;

const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 32.0;
/// More values would be indistinguishable.
const MAX_VALUES: usize = 60;

/// Draws a small line without axes; nothing without a history. It is decorative: the figure and its
/// change contain the same information.
pub(crate) fn sparkline(history: &[Option<f64>]) -> Markup {
    let history = &history[history.len().saturating_sub(MAX_VALUES)..];
    let known = history.iter().flatten().copied();
    let (min, max) = (
        known.clone().fold(f64::INFINITY, f64::min),
        known.clone().fold(f64::NEG_INFINITY, f64::max),
    );
    if known.count() < 3 || max <= min {
        return html! {};
    }
    let x = |index: usize| 2.0 + index as f64 / (history.len() - 1) as f64 * (WIDTH - 6.0);
    let y = |value: f64| HEIGHT - 3.0 - (value - min) / (max - min) * (HEIGHT - 6.0);
    let mut path = String::new();
    let mut pen_down = false;
    let mut end = None;
    for (index, value) in history.iter().enumerate() {
        if let Some(value) = value {
            let _ = write!(
                path,
                "{}{},{}",
                if pen_down { "L" } else { "M" },
                px(x(index)),
                px(y(*value))
            );
            end = Some((x(index), y(*value)));
        }
        pen_down = value.is_some();
    }
    html! {
        svg.spark viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } aria-hidden="true" {
            path d=(path) fill="none" {}
            @if let Some((x, y)) = end { circle cx=(px(x)) cy=(px(y)) r="2.5" {} }
        }
    }
}
