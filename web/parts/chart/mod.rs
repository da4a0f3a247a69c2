//! Charts as SVG: axes, grid, marks, names beside lines, and what a keyboard or a finger can reach. Drawn from finished values; nothing is
//! formatted here, only placed.
//!
//! A chart is drawn for one width and scaled by the browser. Colours are classes (`s0` to `s9`), so that light and dark ground differ.

mod bars;
mod frame;
mod heatmap;
mod lines;
mod spark;
mod table;

use materia::dashboard::{Chart, Heatmap, Mark, Point, Scale, Series};
use maud::{Markup, html};

use self::frame::Frame;
pub(crate) use self::{spark::sparkline, table::data_table};

/// How many series have a colour of their own; further ones begin again.
pub(crate) const COLOURS: usize = 10;

/// The class that gives a series its colour; gray for the sum of those that are not drawn.
fn colour(series: &Series, index: usize) -> String {
    if series.other { "s-other".to_owned() } else { format!("s{}", index % COLOURS) }
}

/// A chart with its legend. `id` is unique in the page; `title` and `unit` tell those who do not see it what it is.
pub(crate) fn chart(id: &str, title: &str, unit: Option<&str>, chart: &Chart, columns: u8) -> Markup {
    let frame = Frame::of(chart, columns);
    let marks = match chart.mark {
        Mark::Line | Mark::Area | Mark::Scatter => lines::marks(chart, &frame),
        Mark::Bar | Mark::StackedBar | Mark::HorizontalBar | Mark::HorizontalStackedBar => bars::marks(chart, &frame),
    };
    let (title_id, about_id) = (format!("{id}-title"), format!("{id}-about"));
    html! {
        @if chart.series.len() > 1 { (legend(chart)) }
        div.plot data-chart=(id) data-size=(frame.width) {
            svg viewBox={ "0 0 " (frame.width) " " (px(frame.height)) } role="img" aria-labelledby={ (title_id) " " (about_id) }
                data-places=[places(chart, &frame)] data-order=[(chart.x.scale == Scale::Time).then_some("newest")]
                data-lying=[chart.mark.is_horizontal().then_some("")] {
                title id=(title_id) { (title) }
                desc id=(about_id) { (about(chart, unit)) }
                (frame.grid(chart))
                (marks)
                (frame.guides(chart))
                @if matches!(chart.mark, Mark::Line) && chart.series.len() > 1 { (lines::names(chart, &frame)) }
            }
        }
    }
}

/// A heatmap with its scale.
pub(crate) fn heatmap(id: &str, title: &str, unit: Option<&str>, map: &Heatmap) -> Markup {
    heatmap::heatmap(id, title, unit, map)
}

/// Where each x is in the drawing, for the script; scatter's dots tell by themselves.
fn places(chart: &Chart, frame: &Frame) -> Option<String> {
    let mut all: Vec<f64> = chart.series.iter().flat_map(|series| &series.points).map(|point| point.x).collect();
    all.sort_by(f64::total_cmp);
    all.dedup_by_key(|x| place(*x));
    let shown = all.into_iter().map(|x| px(frame.x(x))).collect::<Vec<_>>().join(" ");
    (chart.mark != Mark::Scatter).then_some(shown)
}

/// The same x in every series, whatever its last bits say.
#[expect(clippy::cast_possible_truncation, reason = "years, positions and seconds are far inside")]
fn place(x: f64) -> i64 {
    (x * 1_000.0).round() as i64
}

fn legend(chart: &Chart) -> Markup {
    html! {
        ul.legend aria-hidden="true" {
            @for (index, series) in chart.series.iter().enumerate() { li { span.swatch.(colour(series, index)) {} (series.name) } }
        }
    }
}

/// The chart in one sentence or two.
fn about(chart: &Chart, unit: Option<&str>) -> String {
    let kind = match chart.mark {
        Mark::Line => "Line chart",
        Mark::Area => "Area chart",
        Mark::Bar | Mark::HorizontalBar => "Bar chart",
        Mark::StackedBar | Mark::HorizontalStackedBar => "Stacked bar chart",
        Mark::Scatter => "Scatter plot",
    };
    let unit = unit.map(|unit| format!(" in {unit}")).unwrap_or_default();
    let names: Vec<_> = chart.series.iter().take(6).map(|series| series.name.as_str()).collect();
    let more = chart.series.len().saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let points = chart.series.iter().flat_map(|series| &series.points);
    let shown = |axis_end: Option<&Point>| axis_end.map(|point| point.x_shown.clone()).unwrap_or_default();
    let first = shown(points.clone().min_by(|one, other| one.x.total_cmp(&other.x)));
    let last = shown(points.max_by(|one, other| one.x.total_cmp(&other.x)));
    let reach = if first == last { first } else { format!("{first} to {last}") };
    format!("{kind}{unit}: {}{more}; {reach}. The figures stand in the table below the chart.", names.join(", "))
}

/// A coordinate: a tenth of a pixel is as fine as a screen shows.
fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}
