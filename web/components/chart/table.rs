//! A chart's figures as a table: for screen readers, for copying, and for the script's tooltips.

use std::collections::BTreeMap;

use materia::dashboard::{Chart, Map, Mark, Scale};
use maud::{Markup, html};

use crate::components::scroll;

/// Renders the collapsed table of a chart's figures. For a scatter chart it lists the dots; for all
/// others it has one row per x and one column per series.
pub(crate) fn data_table(id: &str, title: &str, chart: &Chart) -> Markup {
    if chart.mark == Mark::Donut {
        return html! {};
    }
    let rows = if chart.mark == Mark::Scatter { listed(chart) } else { crossed(chart) };
    collapsed(id, title, &rows)
}

/// Works like [`data_table`], for a map: it lists the countries or the dots.
pub(crate) fn map_table(id: &str, title: &str, unit: Option<&str>, map: &Map) -> Markup {
    collapsed(id, title, &super::map::figures(map, unit))
}

fn collapsed(id: &str, title: &str, rows: &Markup) -> Markup {
    html! {
        details.figures {
            summary { "Figures" span.unseen { " of " (title) } }
            (scroll(&format!("Figures of {title}, scrollable"), &html! { table #{ (id) "-figures" } { (rows) } }))
        }
    }
}

fn listed(chart: &Chart) -> Markup {
    let named =
        chart.series.iter().flat_map(|series| &series.points).any(|point| point.name.is_some());
    let sized =
        chart.series.iter().flat_map(|series| &series.points).any(|point| point.size.is_some());
    html! {
        thead { tr {
            th scope="col" { (if named { "Name" } else { "Series" }) }
            th scope="col" { (chart.x.title) }
            th scope="col" { (chart.y.title) }
            @if sized { th scope="col" { (chart.size_title.as_deref().unwrap_or("Size")) } }
        } }
        tbody {
            @for series in &chart.series { @for point in series.points.iter().filter(|point| point.y.is_some()) {
                tr { th scope="row" { (cell(point.name.as_ref().unwrap_or(&series.name), point.href.as_deref())) } td { (point.x_shown) } td { (point.y_shown) } @if let Some((_, size)) = &point.size { td { (size) } } }
            } }
        }
    }
}

/// A figure, with the link of its mark.
pub(super) fn cell(shown: &str, href: Option<&str>) -> Markup {
    html! { @match href { Some(href) if !shown.is_empty() => a href=(href) { (shown) }, _ => (shown) } }
}

fn crossed(chart: &Chart) -> Markup {
    let mut rows = BTreeMap::<i64, (&str, f64, Vec<(&str, Option<&str>)>)>::new();
    for (index, series) in chart.series.iter().enumerate() {
        for point in &series.points {
            let row = rows
                .entry(super::place(point.x))
                .or_insert_with(|| (&point.x_shown, point.x, vec![("", None); chart.series.len()]));
            row.2[index] = (&point.y_shown, point.href.as_deref());
        }
    }
    // The newest values come first, since they are looked up most.
    let newest_first = chart.x.scale == Scale::Time;
    let mut rows: Vec<_> = rows.into_values().collect();
    if newest_first {
        rows.reverse();
    }
    html! {
        thead { tr { th scope="col" { (chart.x.title) } @for series in &chart.series { th data-color=(super::color(series)) data-unit=[series.right.then(|| chart.right_unit.as_deref().unwrap_or_default())] scope="col" { (series.name) } } } }
        tbody {
            @for (name, _, cells) in rows { tr { th scope="row" { (name) } @for (shown, href) in cells { td { (cell(shown, href)) } } } }
        }
    }
}
