//! Rings: sectors labelled with their names, values and shares, so that no pointer is needed.

use std::f64::consts::TAU;

use materia::dashboard::Chart;
use maud::{Markup, html};

use super::{color, px};

const OUTER: f64 = 88.0;
const INNER: f64 = 54.0;
const MIDDLE: f64 = 90.0;
/// The ends of a larger sector are at the same place, when rounded.
const ALMOST_ALL: f64 = 0.999;

pub(super) fn donut(about: &str, chart: &Chart, unit: Option<&str>) -> Markup {
    let sum = chart.y.max.max(f64::MIN_POSITIVE);
    let mut end = 0.0;
    let sectors: Vec<String> = chart
        .series
        .iter()
        .map(|series| {
            let value = series.points.first().and_then(|point| point.y).unwrap_or_default();
            let begin = end;
            end += value / sum;
            sector(begin, end)
        })
        .collect();
    html! {
        div.donut {
            svg viewBox="0 0 180 180" role="img" aria-label=(about) {
                @for (series, sector) in chart.series.iter().zip(&sectors) {
                    path.(color(series)) d=(sector) {}
                }
            }
            ul.shares {
                @for series in &chart.series {
                    li {
                        span { span.swatch.(color(series)) {} (series.name) }
                        " " b {
                            @for point in &series.points { (point.y_shown) @if let Some(unit) = unit { " " (unit) } }
                        }
                    }
                }
            }
        }
    }
}

/// Returns the outline of a sector between two shares of the whole, clockwise from the top.
fn sector(begin: f64, end: f64) -> String {
    // SVG does not draw an arc that ends at its beginning.
    if end - begin > ALMOST_ALL {
        return ring();
    }
    let at = |share: f64, radius: f64| {
        let (sine, cosine) = (share * TAU).sin_cos();
        format!("{},{}", px(MIDDLE + radius * sine), px(MIDDLE - radius * cosine))
    };
    let large = u8::from(end - begin > 0.5);
    format!(
        "M{}A{OUTER},{OUTER} 0 {large} 1 {}L{}A{INNER},{INNER} 0 {large} 0 {}Z",
        at(begin, OUTER),
        at(end, OUTER),
        at(end, INNER),
        at(begin, INNER)
    )
}

/// Returns the outline of the whole: two circles in opposite directions, so that the inner one is a
/// hole.
fn ring() -> String {
    let circle = |radius: f64, direction: u8| {
        let (top, bottom) = (MIDDLE - radius, MIDDLE + radius);
        format!(
            "M{MIDDLE},{top}A{radius},{radius} 0 1 {direction} {MIDDLE},{bottom}A{radius},{radius} 0 1 {direction} {MIDDLE},{top}Z"
        )
    };
    format!("{}{}", circle(OUTER, 1), circle(INNER, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_part_is_a_ring_and_no_pie() {
        let whole = sector(0.0, 1.0);
        assert_eq!(whole.matches('M').count(), 2, "{whole}");
        assert!(whole.contains("A54,54 0 1 0"), "{whole}");
        assert_eq!(sector(0.0, 0.5).matches('M').count(), 1);
    }
}
