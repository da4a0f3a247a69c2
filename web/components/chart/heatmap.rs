//! Heatmaps: tables with colored cells, which need no text alternative.

use materia::dashboard::{Heatmap, Tick};
use maud::{Markup, html};

use crate::components::scroll;

/// Number of color steps from the smallest to the largest value.
const STEPS: f64 = 8.0;

pub(super) fn heatmap(title: &str, unit: Option<&str>, map: &Heatmap) -> Markup {
    let around_zero = map.min.at < 0.0 && map.max.at > 0.0;
    html! {
        (scroll(&format!("{title}, scrollable"), &html! {
            table.heatmap data-end=[map.ascends.then_some("")] {
                caption.unseen { (title) @if let Some(unit) = unit { ", " (unit) } }
                thead { tr { th scope="col" { (map.y_title) } @for column in &map.columns { th scope="col" { (column) } } } }
                tbody {
                    @for row in &map.rows {
                        tr {
                            th scope="row" { (row.name) }
                            @for cell in &row.cells {
                                @match cell {
                                    Some(cell) => td data-heat=(heat(cell, map, around_zero)) { (cell.label) },
                                    None => td {},
                                }
                            }
                        }
                    }
                }
            }
        }))
        p.more { (materia::humanize::plural(map.rows.len(), "row")) " · " (materia::humanize::plural(map.columns.len(), "column")) }
        p.scale aria-hidden="true" {
            span { (map.min.label) }
            @for step in scale(around_zero) { i data-heat=(step) {} }
            span { (map.max.label) }
        }
    }
}

/// Returns the color step: `0` to `7`, or `n4` to `4` around zero.
fn heat(cell: &Tick, map: &Heatmap, around_zero: bool) -> String {
    if around_zero {
        let largest = map.max.at.max(-map.min.at);
        let step = (cell.at / largest * 4.0).round().clamp(-4.0, 4.0);
        return if step < 0.0 { format!("n{}", -step) } else { format!("p{step}") };
    }
    let span = map.max.at - map.min.at;
    let fraction = if span > 0.0 { (cell.at - map.min.at) / span } else { 0.5 };
    format!("{}", (fraction * STEPS).floor().clamp(0.0, STEPS - 1.0))
}

/// Returns the color step of a share from -1 to 1, as in the cells of tables.
pub(crate) fn heat_step(fraction: f64) -> String {
    let step = (fraction.abs() * 4.0).round().clamp(0.0, 4.0);
    if fraction < 0.0 { format!("n{step}") } else { format!("p{step}") }
}

fn scale(around_zero: bool) -> Vec<String> {
    if around_zero {
        return ["n4", "n3", "n2", "n1", "p0", "p1", "p2", "p3", "p4"].map(str::to_owned).to_vec();
    }
    (0..8).map(|step| step.to_string()).collect()
}
