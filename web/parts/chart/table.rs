//! A chart's figures as a table: for those who do not see it, who want to copy it, and for the script's tooltips.

use std::collections::BTreeMap;

use materia::dashboard::{Chart, Mark, Scale};
use maud::{Markup, html};

use crate::web::parts::scroll;

/// The table of a chart's figures, folded away. Scatter lists its dots; every other chart has one row for each x and one column for each series.
pub(crate) fn data_table(id: &str, title: &str, chart: &Chart) -> Markup {
    html! {
        details.figures {
            summary { "Figures" span.unseen { " of " (title) } }
            (scroll(&format!("Figures of {title}, scrollable"), &html! {
                table #{ (id) "-figures" } {
                    @if chart.mark == Mark::Scatter { (listed(chart)) } @else { (crossed(chart)) }
                }
            }))
        }
    }
}

fn listed(chart: &Chart) -> Markup {
    let named = chart.series.iter().flat_map(|series| &series.points).any(|point| point.name.is_some());
    html! {
        thead { tr {
            th scope="col" { (if named { "Name" } else { "Series" }) }
            th.right scope="col" { (chart.x.title) }
            th.right scope="col" { (chart.y.title) }
        } }
        tbody {
            @for series in &chart.series { @for point in &series.points {
                tr { th scope="row" { (point.name.as_ref().unwrap_or(&series.name)) } td.right { (point.x_shown) } td.right { (point.y_shown) } }
            } }
        }
    }
}

fn crossed(chart: &Chart) -> Markup {
    let mut rows = BTreeMap::<i64, (&str, f64, Vec<&str>)>::new();
    for (index, series) in chart.series.iter().enumerate() {
        for point in &series.points {
            let row = rows.entry(super::place(point.x)).or_insert_with(|| (&point.x_shown, point.x, vec![""; chart.series.len()]));
            row.2[index] = &point.y_shown;
        }
    }
    // What is newest is looked for first.
    let newest_first = chart.x.scale == Scale::Time;
    let mut rows: Vec<_> = rows.into_values().collect();
    if newest_first {
        rows.reverse();
    }
    html! {
        thead { tr { th scope="col" { (chart.x.title) } @for series in &chart.series { th.right scope="col" { (series.name) } } } }
        tbody {
            @for (name, _, cells) in rows { tr { th scope="row" { (name) } @for cell in cells { td.right { (cell) } } } }
        }
    }
}
