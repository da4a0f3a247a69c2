//! Draws charts as SVG: axes, grid, marks, names next to lines, and targets for keyboard and touch.
//! Values are already formatted and only placed here.
//!
//! A chart is drawn in a few widths, of which the style sheet shows the one that fits its panel, so
//! that text keeps its size. Colors are classes, which allows different ones on light and dark
//! backgrounds.

mod bars;
mod donut;
mod heatmap;
mod lines;
mod map;
mod plot_area;
mod shapes;
mod spark;
mod table;
mod text;

use materia::dashboard::{Chart, Heatmap, Map, Mark, PALETTE_SIZE, Point, Scale, Series};
use maud::{Markup, html};

use self::plot_area::{HEIGHT, PlotArea};
pub(crate) use self::{
    heatmap::heat_step,
    map::{map, opacity},
    spark::sparkline,
    table::{data_table, map_table},
    text::{fit, width as text_width},
};

/// The class of each color of the palette.
const CLASSES: [&str; PALETTE_SIZE] = [
    "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12", "s13", "s14",
    "s15", "s16", "s17", "s18", "s19",
];

/// Returns the class that determines a series' color.
pub(crate) fn color(series: &Series) -> &'static str {
    let color = series.color.filter(|_| !series.other);
    let class = color.and_then(|color| CLASSES.get(usize::from(color)));
    class.copied().unwrap_or("s-other")
}

/// Returns the widths in which a chart is drawn, by the columns of its panel, with their names in
/// the style sheet.
fn sizes(columns: u8) -> (&'static str, &'static [u16]) {
    match columns {
        ..=4 => ("small", &[270, 350]),
        5..=6 => ("medium", &[270, 430, 550]),
        7..=9 => ("large", &[270, 430, 600]),
        _ => ("full", &[270, 600, 900]),
    }
}

/// Returns the least height of a chart's largest drawing that is shown as high as a chart of
/// `widest` columns in the same row.
fn least_height(columns: u8, widest: u8) -> f64 {
    let largest = |columns| f64::from(sizes(columns).1.last().copied().unwrap_or_default());
    if widest <= columns {
        return 0.0;
    }
    // Drawings are scaled to the widths of their panels.
    let height =
        HEIGHT * largest(columns) / largest(widest) * f64::from(widest) / f64::from(columns.max(1));
    height.min(largest(columns))
}

/// A chart with its legend. `id` is unique in the page; `title` and `unit` are for screen readers.
/// `columns` are those of its panel, and of the widest one with a chart in its row.
pub(crate) fn chart(
    id: &str,
    title: &str,
    (unit, short_unit): (Option<&str>, Option<&str>),
    chart: &Chart,
    (columns, widest): (u8, u8),
) -> Markup {
    if chart.mark == Mark::Donut {
        return donut::donut(&format!("{title}. {}", about(chart, unit)), chart, short_unit);
    }
    let (set, widths) = sizes(columns);
    let largest = widths.last();
    let least = |width| if Some(width) == largest { least_height(columns, widest) } else { 0.0 };
    let about = about(chart, unit);
    html! {
        @if chart.series.len() > 1 && chart.mark.has_legend() { (legend(chart)) }
        div.plot data-chart=(id) data-title=(title) data-sizes=(set) data-places=[places(chart)]
            data-order=[(chart.x.scale == Scale::Time && chart.mark != Mark::Scatter).then_some("newest")]
            data-horizontal=[chart.mark.is_horizontal().then_some("")]
            data-unit=[short_unit] {
            @for width in widths { (drawing(chart, (*width, least(width)), &format!("{title}. {about}"))) }
        }
    }
}

/// A chart for one width, without its legend, and its height.
pub(crate) fn alone(chart: &Chart, width: u16, about: &str) -> (Markup, f64) {
    (drawing(chart, (width, 0.0), about), PlotArea::new(chart, f64::from(width), 0.0).height)
}

/// A map without its legend, and its size.
pub(crate) fn map_alone(drawn: &Map, about: &str) -> (Markup, (f64, f64)) {
    (map::drawing(drawn, about), (map::WIDTH, map::height(drawn)))
}

/// Draws a chart in this width and at least this height.
fn drawing(chart: &Chart, (width, least): (u16, f64), about: &str) -> Markup {
    let area = PlotArea::new(chart, f64::from(width), least);
    let ends =
        if chart.mark.is_horizontal() { [area.top, area.bottom] } else { [area.left, area.right] };
    html! {
        svg.{ "w" (width) } viewBox={ "0 0 " (width) " " (px(area.height)) } role="img" aria-label=(about)
            data-from=(px(ends[0])) data-to=(px(ends[1])) data-bottom=(px(area.bottom)) {
            (area.grid())
            @match chart.mark {
                Mark::Line | Mark::Area | Mark::Scatter => (lines::marks(chart, &area)),
                Mark::Bar | Mark::StackedBar | Mark::HorizontalBar | Mark::HorizontalStackedBar => {
                    (bars::marks(chart, &area))
                    (lines::over_bars(chart, &area))
                },
                Mark::Waterfall => (shapes::waterfall(chart, &area)),
                Mark::Funnel => (shapes::funnel(chart, &area)),
                Mark::Dumbbell => (shapes::dumbbell(chart, &area)),
                Mark::BoxPlot => (shapes::boxes(chart, &area)),
                Mark::Donut => {},
            }
            (area.texts())
        }
    }
}

/// A heatmap with its scale.
pub(crate) fn heatmap(title: &str, unit: Option<&str>, map: &Heatmap) -> Markup {
    heatmap::heatmap(title, unit, map)
}

/// Returns the position of each x along its axis, in thousandths, for the script; the dots of a
/// scatter chart have individual positions.
fn places(chart: &Chart) -> Option<String> {
    if chart.mark == Mark::Scatter {
        return None;
    }
    let mut all: Vec<f64> =
        chart.series.iter().flat_map(|series| &series.points).map(|point| point.x).collect();
    all.sort_by(f64::total_cmp);
    all.dedup_by_key(|x| place(*x));
    let span = (chart.x.max - chart.x.min).max(f64::MIN_POSITIVE);
    let fraction = |x: f64| ((x - chart.x.min) / span).clamp(0.0, 1.0);
    Some(all.into_iter().map(|x| px(fraction(x) * 1_000.0)).collect::<Vec<_>>().join(" "))
}

/// Returns a number that sorts as x does, to find the same x in every series.
fn place(x: f64) -> i64 {
    let bits = (x + 0.0).to_bits().cast_signed();
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

/// With more names than this, each takes less space.
const MANY: usize = 12;

fn legend(chart: &Chart) -> Markup {
    html! {
        ul.legend aria-hidden="true" data-many=[(chart.series.len() > MANY).then_some("")] {
            @for series in &chart.series {
                li {
                    span.swatch.(color(series)) data-line=[series.line.then_some("")] {}
                    (series.name)
                    @if series.right { " (right)" }
                }
            }
        }
    }
}

/// Describes the chart in one or two sentences.
fn about(chart: &Chart, unit: Option<&str>) -> String {
    let kind = match chart.mark {
        Mark::Line => "Line chart",
        Mark::Area => "Area chart",
        Mark::Bar | Mark::HorizontalBar => "Bar chart",
        Mark::StackedBar | Mark::HorizontalStackedBar => "Stacked bar chart",
        Mark::Scatter => "Scatter plot",
        Mark::Waterfall => "Waterfall chart",
        Mark::Funnel => "Funnel chart",
        Mark::Dumbbell => "Dumbbell chart",
        Mark::BoxPlot => "Box plot",
        Mark::Donut => "Ring chart",
    };
    let unit = unit.map(|unit| format!(" in {unit}")).unwrap_or_default();
    let names: Vec<_> = chart.series.iter().take(6).map(|series| series.name.as_str()).collect();
    let more = chart.series.len().saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let points = chart.series.iter().flat_map(|series| &series.points);
    let shown =
        |axis_end: Option<&Point>| axis_end.map(|point| point.x_shown.clone()).unwrap_or_default();
    let first = shown(points.clone().min_by(|one, other| one.x.total_cmp(&other.x)));
    let last = shown(points.max_by(|one, other| one.x.total_cmp(&other.x)));
    let reach = if first == last { first } else { format!("{first} to {last}") };
    format!(
        "{kind}{unit}: {}{more}; {reach}. The figures are in the table below the chart.",
        names.join(", ")
    )
}

/// Puts a mark into a link, if it leads somewhere. The keyboard follows it from the figures.
fn linked(href: Option<&str>, mark: &Markup) -> Markup {
    html! { @if let Some(href) = href { a href=(href) tabindex="-1" { (mark) } } @else { (mark) } }
}

/// Formats a coordinate: a tenth of a pixel is the finest visible step.
fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}
