//! Maps: outlines of countries and dots over them, in one drawing that scales with its panel. All
//! text is outside of it, so that it keeps its size.

use std::fmt::Write as _;

use materia::dashboard::{
    Map, Point, Tick,
    world::{Country, Frame, Position, countries, find_country, position_within},
};
use maud::{Markup, html};

use super::{color, linked, px, table::cell};

/// The width of the drawing in its own units.
pub(super) const WIDTH: f64 = 1_000.0;
/// The diameter of a dot without a size, in pixels.
const DOT: f64 = 9.0;
/// The lightest color, which must differ from the card and from countries without data.
const LIGHTEST: f64 = 0.22;

/// A map with its legend. `id` is unique in the page.
pub(crate) fn map(id: &str, title: &str, unit: Option<&str>, map: &Map) -> Markup {
    html! {
        div.plot.map data-chart=(id) data-title=(title) { (drawing(map, &format!("{title}. {}", about(map, unit)))) }
        (legend(map))
    }
}

/// Returns the height of the drawing in its own units.
pub(super) fn height(map: &Map) -> f64 {
    WIDTH / map.frame.aspect()
}

/// Draws a map without its legend.
pub(super) fn drawing(map: &Map, about: &str) -> Markup {
    let with_value = |country: &&Country| map.countries.iter().any(|one| one.code == country.three);
    let rest: String = countries()
        .iter()
        .filter(|country| !with_value(country))
        .map(|country| outline(country, &map.frame))
        .collect();
    html! {
        svg.whole viewBox={ "0 0 " (WIDTH) " " (px(height(map))) } role="img" aria-label=(about) {
            path.land d=(rest) {}
            g.countries {
                @for one in &map.countries {
                    @let shade = map.shade(one.value.at);
                    @if let Some(country) = find_country(one.code) { (linked(one.href.as_deref(), &value_of(country, shade, &map.frame))) }
                }
            }
            @for series in &map.dots.series {
                g.spots.(color(series)) {
                    @for point in series.points.iter().filter(|point| point.y.is_some()) { (dot(point, map)) }
                }
            }
        }
    }
}

/// Draws a country in the color of its value, or as a dot if it has no outlines.
fn value_of(country: &Country, shade: f64, frame: &Frame) -> Markup {
    let below = shade < 0.0;
    let opacity = opacity(shade);
    if let Some(spot) = country.spot {
        let (x, y) = place(frame, spot);
        return html! { path.spot.below[below] data-x=(px(x)) data-y=(px(y)) d={ "M" (px(x)) "," (px(y)) "h0" } stroke-opacity=(opacity) stroke-width=(px(DOT)) {} };
    }
    // Within the part that is shown, so that the pointer and the keyboard reach it.
    let shown = country.mainland().map(|ring| frame.visible_part(ring)).unwrap_or_default();
    let middle = position_within(&shown).or_else(|| country.mainland().and_then(position_within));
    let (x, y) = place(frame, middle.unwrap_or_default());
    html! { path.below[below] data-x=(px(x)) data-y=(px(y)) d=(outline(country, frame)) fill-opacity=(opacity) {} }
}

fn dot(point: &Point, map: &Map) -> Markup {
    let (x, y) = place(&map.frame, (point.x, point.y.unwrap_or_default()));
    let size = point.size.as_ref().map_or(DOT, |(share, _)| 4.0 + 26.0 * share.max(0.0).sqrt());
    let shade = point.value.as_ref().filter(|_| !map.limits.is_empty());
    let shade = shade.map_or(1.0, |value| map.shade(value.at));
    let below = shade < 0.0;
    let mark = html! { path.spot.even[point.size.is_none()].below[below] data-x=(px(x)) data-y=(px(y)) d={ "M" (px(x)) "," (px(y)) "h0" } stroke-opacity=(opacity(shade)) stroke-width=(px(size)) {} };
    linked(point.href.as_deref(), &mark)
}

/// Returns the opacity of a color from its intensity.
pub(crate) fn opacity(shade: f64) -> String {
    format!("{:.2}", LIGHTEST + (1.0 - LIGHTEST) * shade.abs())
}

fn place(frame: &Frame, position: Position) -> (f64, f64) {
    let (x, y) = frame.project(position);
    (x * WIDTH, y * WIDTH / frame.aspect())
}

/// Returns a country's visible outlines as a path with the fewest characters: whole units, each
/// relative to the one before.
#[allow(clippy::cast_possible_truncation, reason = "a few thousand units")]
fn outline(country: &Country, frame: &Frame) -> String {
    let mut path = String::new();
    for ring in country.rings.iter().filter(|ring| frame.overlaps(ring)) {
        let visible = frame.visible_part(ring);
        let rounded = visible.iter().map(|position| {
            let (x, y) = place(frame, *position);
            (x.round() as i64, y.round() as i64)
        });
        let mut points: Vec<(i64, i64)> = rounded.collect();
        points.dedup();
        let mut points = without_detail(&points);
        if points.first() == points.last() {
            points.pop();
        }
        // Islands smaller than a unit are invisible.
        let [(x, y), rest @ ..] = points.as_slice() else { continue };
        if rest.len() < 2 {
            continue;
        }
        let _ = write!(path, "M{x},{y}l");
        let (mut x, mut y) = (*x, *y);
        for (at, (next_x, next_y)) in rest.iter().enumerate() {
            let (dx, dy) = (next_x - x, next_y - y);
            let before = if at > 0 && dx >= 0 { " " } else { "" };
            let between = if dy >= 0 { " " } else { "" };
            let _ = write!(path, "{before}{dx}{between}{dy}");
            (x, y) = (*next_x, *next_y);
        }
        path.push('z');
    }
    path
}

/// Leaves out points that are hardly beside the line between their neighbors.
#[allow(clippy::cast_precision_loss, reason = "a few thousand units")]
fn without_detail(points: &[(i64, i64)]) -> Vec<(i64, i64)> {
    const TOLERANCE: f64 = 0.7;
    /// Smaller outlines would lose their shape.
    const FEW: usize = 16;
    if points.len() <= FEW {
        return points.to_vec();
    }
    let mut kept: Vec<(i64, i64)> = Vec::with_capacity(points.len());
    let mut skipped = Vec::new();
    for (at, point) in points.iter().enumerate() {
        let Some((from, next)) = kept.last().zip(points.get(at + 1)) else {
            kept.push(*point);
            continue;
        };
        let (dx, dy) = ((next.0 - from.0) as f64, (next.1 - from.1) as f64);
        let length = dx.hypot(dy);
        let is_beside = |(x, y): &(i64, i64)| {
            let (x, y) = ((x - from.0) as f64, (y - from.1) as f64);
            let along = (x * dx + y * dy) / length;
            // Otherwise the line would end before a tip.
            (x * dy - y * dx).abs() / length > TOLERANCE || !(0.0..=length).contains(&along)
        };
        skipped.push(*point);
        if length == 0.0 || skipped.iter().any(is_beside) {
            kept.push(*point);
            skipped.clear();
        }
    }
    kept
}

/// Lists the colors with the limits between them, or the series.
fn legend(map: &Map) -> Markup {
    html! {
        @if map.dots.series.len() > 1 {
            ul.legend aria-hidden="true" { @for series in &map.dots.series { li { span.swatch.(color(series)) {} (series.name) } } }
        } @else if map.limits.len() > 1 {
            p.scale.steps aria-hidden="true" {
                span.limits {
                    @for (span, limit) in map.limits.iter().enumerate() {
                        span { (limit.label) }
                        @if span + 1 < map.limits.len() { (swatch(map.shade_of(span))) }
                    }
                }
                @if !map.countries.is_empty() { span.none { svg viewBox="0 0 10 10" { rect.land width="10" height="10" {} } "No data" } }
            }
        }
    }
}

fn swatch(shade: f64) -> Markup {
    html! { svg.step viewBox="0 0 30 10" preserveAspectRatio="none" { rect.below[shade < 0.0] width="30" height="10" fill-opacity=(opacity(shade)) {} } }
}

/// Describes the map in one or two sentences.
fn about(map: &Map, unit: Option<&str>) -> String {
    let unit = unit.map(|unit| format!(" in {unit}")).unwrap_or_default();
    let shown = |value: &Tick| value.label.clone();
    let what = if let (Some(first), Some(last)) = (map.countries.first(), map.countries.last()) {
        format!(
            "{}{unit} of {}, from {} in {} to {} in {}",
            map.title,
            materia::humanize::count(map.countries.len() as u64) + " countries",
            shown(&first.value),
            first.name,
            shown(&last.value),
            last.name
        )
    } else {
        let dots: usize = map.dots.series.iter().map(|series| series.points.len()).sum();
        let names: Vec<&str> = map.dots.series.iter().map(|one| one.name.as_str()).collect();
        let has_names = names.iter().any(|name| !name.is_empty());
        let of = if has_names { format!(": {}", names.join(", ")) } else { String::new() };
        format!("{}{of}", materia::humanize::plural(dots, "dot"))
    };
    format!("Map. {what}. The figures are in the table below the map.")
}

/// Renders the rows of the table of a map's figures, in the order of its marks.
pub(super) fn figures(map: &Map, unit: Option<&str>) -> Markup {
    let points = || {
        let all = map.dots.series.iter();
        all.flat_map(|series| series.points.iter().map(move |point| (series, point)))
            .filter(|(_, point)| point.y.is_some())
    };
    let named = points().any(|(_, point)| point.name.is_some());
    let (in_series, sized) =
        (map.dots.series.len() > 1, points().any(|(_, point)| point.size.is_some()));
    let valued = !map.title.is_empty();
    html! {
        thead { tr {
            th scope="col" { (if map.countries.is_empty() { if named { "Name" } else { "Place" } } else { "Country" }) }
            @if in_series { th scope="col" { "Series" } }
            @if valued { th scope="col" data-unit=[unit] { (map.title) } }
            @if sized { th scope="col" { (map.dots.size_title.as_deref().unwrap_or("Size")) } }
            @if map.countries.is_empty() { th scope="col" data-quiet="" { "Longitude" } th scope="col" data-quiet="" { "Latitude" } }
        } }
        tbody {
            @for country in &map.countries { tr { th scope="row" { (cell(&country.name, country.href.as_deref())) } td { (country.value.label) } } }
            @for (at, (series, point)) in points().enumerate() {
                tr {
                    th scope="row" { (cell(&point.name.clone().unwrap_or_else(|| (at + 1).to_string()), point.href.as_deref())) }
                    @if in_series { td { (series.name) } }
                    @if valued { td { (point.value.as_ref().map_or("", |value| value.label.as_str())) } }
                    @if sized { td { (point.size.as_ref().map_or("", |(_, size)| size.as_str())) } }
                    td { (point.x_shown) } td { (point.y_shown) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outline_keeps_its_corners_and_leaves_out_what_is_hardly_beside_its_lines() {
        let mut points: Vec<(i64, i64)> = (0..40).map(|at| (at, at / 3)).collect();
        points.extend([(40, 13), (40, 40), (0, 40)]);
        let kept = without_detail(&points);
        for corner in [(0, 0), (40, 13), (40, 40), (0, 40)] {
            assert!(kept.contains(&corner), "{corner:?} in {kept:?}");
        }
        assert!(kept.len() < points.len() / 2, "{kept:?}");
        // A tip is no detail.
        let mut tip: Vec<(i64, i64)> = (0..20).map(|at| (at, 0)).collect();
        tip.extend([(30, 0), (20, 1), (20, 20)]);
        assert!(without_detail(&tip).contains(&(30, 0)));
    }
}
