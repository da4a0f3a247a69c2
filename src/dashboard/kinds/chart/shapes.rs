//! Charts with one or several figures per name: box plots, waterfalls, funnels, rings and
//! dumbbells.

use std::collections::BTreeMap;

use super::{Axis, Chart, Mark, Point, Scale, Series, axis, points::NONE};
use crate::{
    dashboard::{
        kinds::{Content, Kind, RawPanel, Visualization, by_column, optional},
        limits::{MAX_BARS, Notes, Undrawn},
        model::{Panel, default_title},
        parse::ParseContext,
        rows::ResultRows,
    },
    humanize,
    values::{Format, format_number},
};

/// Maximum number of sectors of a ring; the others are summed.
const MAX_SECTORS: usize = 6;

const KEYS: &[&str] =
    &["sql", "x", "y", "unit", "format", "x_format", "x_title", "y_title", "labels", "max_bars"];

pub(in crate::dashboard::kinds) const BOX: Kind = Kind {
    name: "box",
    keys: KEYS,
    width: 12,
    parse: |context, raw, line| parse(context, raw, line, Shape::BoxPlot),
};

pub(in crate::dashboard::kinds) const WATERFALL: Kind = Kind {
    name: "waterfall",
    keys: &[
        "sql", "x", "y", "unit", "format", "x_format", "x_title", "y_title", "labels", "max_bars",
        "total",
    ],
    width: 12,
    parse: |context, raw, line| parse(context, raw, line, Shape::Waterfall),
};

pub(in crate::dashboard::kinds) const FUNNEL: Kind = Kind {
    name: "funnel",
    keys: KEYS,
    width: 6,
    parse: |context, raw, line| parse(context, raw, line, Shape::Funnel),
};

pub(in crate::dashboard::kinds) const DONUT: Kind = Kind {
    name: "donut",
    keys: &["sql", "x", "y", "unit", "format", "x_format", "labels", "colors", "colours"],
    width: 4,
    parse: |context, raw, line| parse(context, raw, line, Shape::Donut),
};

pub(in crate::dashboard::kinds) const DUMBBELL: Kind = Kind {
    name: "dumbbell",
    keys: &[
        "sql", "x", "y", "unit", "format", "x_format", "x_title", "y_title", "labels", "max_bars",
        "colors", "colours",
    ],
    width: 6,
    parse: |context, raw, line| parse(context, raw, line, Shape::Dumbbell),
};

/// The kind of shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The minimum, the quartiles and the maximum of a name's rows.
    BoxPlot,
    /// Bars that begin where the previous one ends.
    Waterfall,
    /// Centered bars, each with its share of the first.
    Funnel,
    /// Sectors of a ring.
    Donut,
    /// Two figures and the distance between them.
    Dumbbell,
}

/// The specification of a chart of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapeSpec {
    /// The kind of shape.
    pub shape: Shape,
    pub sql: String,
    /// The column with the names.
    pub x: String,
    /// The columns with the figures: two for a dumbbell, otherwise one.
    pub y: Vec<String>,
    /// Names of columns.
    pub labels: BTreeMap<String, String>,
    /// The title of the names.
    pub x_title: Option<String>,
    /// The title of the figures.
    pub y_title: Option<String>,
    /// The name of a waterfall's last bar; there is none if empty.
    pub total: String,
}

impl Shape {
    pub(in crate::dashboard::kinds) fn kind(self) -> &'static Kind {
        match self {
            Self::BoxPlot => &BOX,
            Self::Waterfall => &WATERFALL,
            Self::Funnel => &FUNNEL,
            Self::Donut => &DONUT,
            Self::Dumbbell => &DUMBBELL,
        }
    }
}

fn parse(
    context: &mut ParseContext<'_>,
    raw: RawPanel,
    line: usize,
    shape: Shape,
) -> Option<Visualization> {
    let y_start = raw.y.as_ref().map(|y| y.span().start);
    let spec = ShapeSpec {
        shape,
        sql: context.required("sql", raw.sql, &raw.title, line)?,
        x: context.required_column("x", raw.x, &raw.title, line)?,
        y: context.required_columns("y", raw.y, &raw.title, line)?,
        labels: by_column(raw.labels),
        x_title: optional(raw.x_title),
        y_title: optional(raw.y_title),
        total: optional(raw.total).unwrap_or_else(|| "Total".to_owned()),
    };
    let wanted = if shape == Shape::Dumbbell { 2 } else { 1 };
    if spec.y.len() != wanted {
        let message = if wanted == 2 {
            "a dumbbell has two columns of y, as in y = [\"then\", \"now\"]".to_owned()
        } else {
            format!("a {} has one column of y", shape.kind().name)
        };
        context.problem(y_start, message);
        return None;
    }
    Some(Visualization::Shape(spec))
}

/// The figures of one name.
struct Named {
    name: String,
    values: Vec<Option<f64>>,
}

/// Converts rows to points over an axis of names.
pub(in crate::dashboard::kinds) fn draw(
    spec: &ShapeSpec,
    panel: &Panel,
    rows: &ResultRows<'_>,
    notes: &mut Notes,
) -> Result<Content, Undrawn> {
    let x = rows.find(&spec.x)?;
    let columns: Vec<usize> =
        spec.y.iter().map(|y| rows.find_number(y)).collect::<Result<_, _>>()?;
    let x_format = panel.x_format.unwrap_or_else(|| rows.default_format(x));
    let own = columns.first().map_or(Format::Plain, |y| rows.value_format(*y));
    let format = panel.values.format().unwrap_or(own);
    // Behind the value, and not behind its share.
    let unit = panel.values.suffix();
    let unit = unit.map(|unit| format!(" {unit}")).unwrap_or_default();
    let mut all: Vec<Named> = rows
        .each()
        .map(|row| Named {
            name: row.format(x, x_format).unwrap_or_else(|| NONE.into()).into_owned(),
            values: columns.iter().map(|y| row.number(*y)).collect(),
        })
        .collect();
    if all.iter().all(|named| named.values.iter().all(Option::is_none)) {
        return Ok(Content::Empty { reason: String::new() });
    }
    if spec.shape == Shape::BoxPlot {
        all = five_numbers(all);
    } else if let Some(twice) =
        all.iter().enumerate().find(|(at, named)| all[..*at].iter().any(|o| o.name == named.name))
    {
        let message = format!("there are two rows for {}: sum them up in SQL", twice.1.name);
        return Err(Undrawn::by_amount(message));
    }
    if spec.shape == Shape::Donut {
        return donut(spec, all, format, &unit);
    }
    if all.len() > panel.limits.bars {
        notes.add(
            format!(
                "Showing the first {} of {} bars.",
                humanize::count(panel.limits.bars as u64),
                humanize::count(all.len() as u64)
            ),
            MAX_BARS.key,
        );
        all.truncate(panel.limits.bars);
    }
    let series = match spec.shape {
        Shape::Waterfall => vec![waterfall(spec, &mut all, format)],
        Shape::Funnel => vec![funnel(spec, &all, format, &unit)],
        _ => plain(spec, &all, format),
    };
    Ok(Content::Chart(chart(spec, panel, &all, series, format)))
}

fn chart(
    spec: &ShapeSpec,
    panel: &Panel,
    all: &[Named],
    series: Vec<Series>,
    format: Format,
) -> Chart {
    let mark = match spec.shape {
        Shape::BoxPlot => Mark::BoxPlot,
        Shape::Waterfall => Mark::Waterfall,
        Shape::Funnel => Mark::Funnel,
        Shape::Dumbbell => Mark::Dumbbell,
        Shape::Donut => Mark::Donut,
    };
    let points = || series.iter().flat_map(|series| &series.points);
    let mut reach: Vec<f64> = points()
        .filter_map(|point| Some(point.y? + point.from.unwrap_or_default()))
        .chain(points().filter_map(|point| point.from))
        .collect();
    if matches!(spec.shape, Shape::Waterfall | Shape::Funnel) {
        reach.push(0.0);
    }
    let range = reach.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| {
        (min.min(*value), max.max(*value))
    });
    let names = all.iter().map(|named| named.name.clone()).collect();
    let own = || spec.y.first().map(|column| title(spec, column)).unwrap_or_default();
    let unit = panel.values.unit.as_ref().and_then(|unit| unit.prefix().map(str::to_owned));
    let y_title = spec.y_title.clone().or(unit).unwrap_or_else(own);
    let x_title = spec.x_title.clone().unwrap_or_else(|| default_title(&spec.x));
    let mut x = axis::category_axis(x_title, names);
    x.has_title = spec.x_title.is_some();
    let mut y = if spec.shape == Shape::Funnel {
        // Centered bars have no common origin, so they have no axis.
        Axis { title: y_title, max: range.1.max(f64::MIN_POSITIVE), ..Axis::default() }
    } else {
        axis::nice_axis(y_title, range, format)
    };
    y.has_title = spec.y_title.is_some();
    Chart { mark, x, y, series, ..Chart::default() }
}

fn title(spec: &ShapeSpec, column: &str) -> String {
    spec.labels.get(column).cloned().unwrap_or_else(|| default_title(column))
}

/// Returns one series per column.
fn plain(spec: &ShapeSpec, all: &[Named], format: Format) -> Vec<Series> {
    const FIVE: [&str; 5] = ["Lowest", "Lower quartile", "Median", "Upper quartile", "Highest"];
    let names: Vec<String> = if spec.shape == Shape::BoxPlot {
        FIVE.map(str::to_owned).to_vec()
    } else {
        spec.y.iter().map(|column| title(spec, column)).collect()
    };
    let series = |(column, name): (usize, String)| Series {
        name,
        points: all
            .iter()
            .enumerate()
            .map(|(at, named)| point(at, named, named.values[column], format))
            .collect(),
        ..Series::default()
    };
    names.into_iter().enumerate().map(series).collect()
}

fn point(at: usize, named: &Named, y: Option<f64>, format: Format) -> Point {
    Point {
        x: at as f64,
        y,
        x_shown: named.name.clone(),
        y_shown: y.map(|y| format_number(y, format)).unwrap_or_default(),
        ..Point::default()
    }
}

/// Replaces the rows of each name by minimum, quartiles and maximum.
fn five_numbers(all: Vec<Named>) -> Vec<Named> {
    let mut names = Vec::<String>::new();
    let mut values = BTreeMap::<String, Vec<f64>>::new();
    for named in all {
        if !values.contains_key(&named.name) {
            names.push(named.name.clone());
        }
        values.entry(named.name).or_default().extend(named.values.iter().flatten());
    }
    let five = |name: String| {
        let mut sorted = values.remove(&name).unwrap_or_default();
        sorted.sort_by(f64::total_cmp);
        let values = [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| quantile(&sorted, share)).to_vec();
        Named { name, values }
    };
    names.into_iter().map(five).collect()
}

/// Returns a quantile of sorted values, with linear interpolation.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = share * last as f64;
    let below = (0..=last).rev().find(|place| *place as f64 <= at)?;
    let (one, other) = (sorted[below], sorted[(below + 1).min(last)]);
    Some(one + (other - one) * (at - below as f64))
}

/// Returns bars that begin where the previous one ends, and their sum.
fn waterfall(spec: &ShapeSpec, all: &mut Vec<Named>, format: Format) -> Series {
    let mut sum = 0.0;
    let mut points: Vec<Point> = Vec::new();
    for (at, named) in all.iter().enumerate() {
        let y = named.values[0];
        let mut point = point(at, named, y, format);
        if y.is_some_and(|y| y > 0.0) {
            point.y_shown.insert(0, '+');
        }
        point.from = Some(sum);
        sum += y.unwrap_or_default();
        points.push(point);
    }
    if !spec.total.is_empty() {
        let named = Named { name: spec.total.clone(), values: vec![Some(sum)] };
        points.push(point(all.len(), &named, Some(sum), format));
        all.push(named);
    }
    let name = title(spec, &spec.y[0]);
    Series { name, points, ..Series::default() }
}

/// Returns bars with their shares of the first.
fn funnel(spec: &ShapeSpec, all: &[Named], format: Format, unit: &str) -> Series {
    let first = all.first().and_then(|named| named.values[0]).filter(|first| *first > 0.0);
    let to_point = |(at, named): (usize, &Named)| {
        let mut point = point(at, named, named.values[0], format);
        if let (Some(first), Some(y)) = (first, point.y) {
            let share = format_number(y / first, Format::Percent(1));
            point.y_shown = format!("{}{unit} ({share})", point.y_shown);
        }
        point
    };
    let points = all.iter().enumerate().map(to_point).collect();
    Series { name: title(spec, &spec.y[0]), points, ..Series::default() }
}

/// Returns sectors, largest first; beyond six, the smaller ones are summed.
fn donut(
    spec: &ShapeSpec,
    all: Vec<Named>,
    format: Format,
    unit: &str,
) -> Result<Content, Undrawn> {
    let mut sectors: Vec<(String, f64, bool)> = Vec::new();
    for Named { name, values } in all {
        let Some(value) = values[0].filter(|value| *value != 0.0) else { continue };
        if value < 0.0 {
            let message =
                format!("{name} is below zero, and a ring shows parts of a whole: use bars");
            return Err(message.into());
        }
        sectors.push((name, value, false));
    }
    let sum: f64 = sectors.iter().map(|(_, value, _)| value).sum();
    if sum <= 0.0 {
        return Ok(Content::Empty { reason: String::new() });
    }
    sectors.sort_by(|one, other| other.1.total_cmp(&one.1));
    if sectors.len() > MAX_SECTORS {
        let rest = sectors.split_off(MAX_SECTORS - 1);
        sectors.push(("Other".to_owned(), rest.iter().map(|(_, value, _)| value).sum(), true));
    }
    let label = title(spec, &spec.y[0]);
    let series = |(name, value, other): (String, f64, bool)| {
        let share = format_number(value / sum, Format::Percent(1));
        let y_shown = format!("{}{unit} ({share})", format_number(value, format));
        let point = Point { y: Some(value), x_shown: label.clone(), y_shown, ..Point::default() };
        Series { name, points: vec![point], other, ..Series::default() }
    };
    let title = default_title(&spec.x);
    Ok(Content::Chart(Chart {
        mark: Mark::Donut,
        x: Axis {
            scale: Scale::Category { names: vec![label.clone()] },
            min: -0.5,
            max: 0.5,
            title,
            ..Axis::default()
        },
        y: Axis { title: label.clone(), max: sum, ..Axis::default() },
        series: sectors.into_iter().map(series).collect(),
        ..Chart::default()
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use super::*;

    fn spec(shape: Shape) -> ShapeSpec {
        ShapeSpec {
            shape,
            sql: String::new(),
            x: "step".to_owned(),
            y: vec!["users".to_owned()],
            labels: BTreeMap::new(),
            x_title: None,
            y_title: None,
            total: "Total".to_owned(),
        }
    }

    fn named(values: &[(&str, f64)]) -> Vec<Named> {
        let one = |(name, value): &(&str, f64)| Named {
            name: (*name).to_owned(),
            values: vec![Some(*value)],
        };
        values.iter().map(one).collect()
    }

    #[test]
    fn quartiles_lie_between_neighbors_in_proportion() {
        let sorted = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(quantile(&sorted, 0.5), Some(2.5));
        assert_eq!(quantile(&sorted, 0.25), Some(1.75));
        assert_eq!((quantile(&sorted, 0.0), quantile(&sorted, 1.0)), (Some(1.0), Some(4.0)));
        assert_eq!((quantile(&[7.0], 0.75), quantile(&[], 0.5)), (Some(7.0), None));
    }

    #[test]
    fn a_waterfall_begins_each_bar_where_the_one_before_ends_and_ends_with_the_sum() {
        let mut all = named(&[("Start", 100.0), ("Lost", -30.0), ("Won", 5.0)]);
        let series = waterfall(&spec(Shape::Waterfall), &mut all, Format::Integer);
        let bars: Vec<_> =
            series.points.iter().map(|bar| (bar.from, bar.y, bar.y_shown.as_str())).collect();
        assert_eq!(
            bars,
            [
                (Some(0.0), Some(100.0), "+100"),
                (Some(100.0), Some(-30.0), "−30"),
                (Some(70.0), Some(5.0), "+5"),
                (None, Some(75.0), "75"),
            ]
        );
    }

    #[test]
    fn a_ring_has_six_sectors_at_most_and_their_shares_are_of_the_whole() {
        let many: Vec<(String, f64)> =
            (1..=9_u8).map(|number| (format!("Shop {number}"), f64::from(number))).collect();
        let many: Vec<(&str, f64)> =
            many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let drawn = donut(&spec(Shape::Donut), named(&many), Format::Integer, "").unwrap();
        let chart = drawn.charts().next().unwrap();
        let shown: Vec<_> = chart
            .series
            .iter()
            .map(|one| (one.name.as_str(), one.points[0].y_shown.as_str()))
            .collect();
        assert_eq!(shown.len(), 6);
        assert_eq!(shown[0], ("Shop 9", "9 (20.0%)"));
        assert_eq!(shown[5], ("Other", "10 (22.2%)"));
        let negative = donut(&spec(Shape::Donut), named(&[("a", -1.0)]), Format::Integer, "");
        assert!(negative.unwrap_err().reason.contains("below zero"));
    }
}
