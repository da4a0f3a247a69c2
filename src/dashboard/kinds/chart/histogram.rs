//! Histograms: the number of rows in each of several intervals of equal width.

use super::{Chart, Mark, Point, Series, axis};
use crate::{
    dashboard::{
        kinds::{Content, Kind, Visualization, optional},
        limits::{Bounds, Notes},
        model::{Panel, default_title},
        rows::ResultRows,
    },
    humanize,
    values::{Format, format_number},
};

/// Limits on the number of intervals.
const BINS: Bounds = Bounds { key: "bins", default: 20, max: 100 };

pub(in crate::dashboard::kinds) const HISTOGRAM: Kind = Kind {
    name: "histogram",
    keys: &["sql", "x", "bins", "unit", "format", "x_title", "y_title"],
    width: 12,
    parse: |context, raw, line| {
        Some(Visualization::Histogram(HistogramSpec {
            sql: context.required("sql", raw.sql, &raw.title, line)?,
            x: context.required_column("x", raw.x, &raw.title, line)?,
            bins: raw.bins.as_ref().map(|bins| context.limit(Some(bins), &BINS)),
            x_title: optional(raw.x_title),
            y_title: optional(raw.y_title),
        }))
    },
};

/// The specification of a histogram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistogramSpec {
    pub sql: String,
    /// The column with the values.
    pub x: String,
    /// Approximate number of intervals; derived from the number of values if absent.
    pub bins: Option<usize>,
    /// The title of x.
    pub x_title: Option<String>,
    /// The title of y.
    pub y_title: Option<String>,
}

/// Counts the values in each interval.
pub(in crate::dashboard::kinds) fn draw(
    spec: &HistogramSpec,
    panel: &Panel,
    rows: &ResultRows<'_>,
    notes: &mut Notes,
) -> Result<Content, String> {
    let x = rows.find_number(&spec.x)?;
    let all: Vec<Option<f64>> = rows.each().map(|row| row.number(x)).collect();
    let values: Vec<f64> = all.iter().flatten().copied().collect();
    if values.is_empty() {
        return Ok(Content::Empty { reason: String::new() });
    }
    let missing = all.len() - values.len();
    if missing > 0 {
        notes.texts.push(format!(
            "{} without {} {} not counted.",
            humanize::rows(missing as u64),
            default_title(&spec.x),
            if missing == 1 { "is" } else { "are" }
        ));
    }
    let format = panel.values.format().unwrap_or_else(|| rows.value_format(x));
    let edges = edges(&values, spec.bins);
    let mut counts = vec![0_u64; edges.len() - 1];
    for value in &values {
        let bin = edges.partition_point(|edge| edge <= value).clamp(1, counts.len());
        counts[bin - 1] += 1;
    }
    let own = |title: &Option<String>, other: String| title.clone().unwrap_or(other);
    let titles =
        (own(&spec.x_title, default_title(&spec.x)), own(&spec.y_title, "Rows".to_owned()));
    Ok(Content::Chart(chart(&edges, &counts, format, titles)))
}

/// Returns the chart of the number of values between each two edges, of which there are at least
/// two, with the titles of its axes.
pub(in crate::dashboard) fn chart(
    edges: &[f64],
    counts: &[u64],
    format: Format,
    titles: (String, String),
) -> Chart {
    let step = edges[1] - edges[0];
    let print = |edge: f64| {
        let format = match format {
            Format::Percent(_) => Format::Percent(axis::decimals_of(step * 100.0)),
            Format::Compact | Format::CompactDecimal(_) | Format::Year | Format::Season => format,
            _ => match axis::decimals_of(step) {
                0 => Format::Integer,
                decimals => Format::Decimal(decimals),
            },
        };
        format_number(edge, format)
    };
    let names: Vec<String> =
        edges.windows(2).map(|pair| format!("{} to {}", print(pair[0]), print(pair[1]))).collect();
    let to_point = |(at, (count, name)): (usize, (&u64, &String))| Point {
        x: at as f64,
        y: Some(*count as f64),
        x_shown: name.clone(),
        y_shown: format_number(*count as f64, Format::Integer),
        ..Point::default()
    };
    let points: Vec<Point> = counts.iter().zip(&names).enumerate().map(to_point).collect();
    let max = counts.iter().max().copied().unwrap_or_default();
    let mut x_axis = axis::category_axis(titles.0, names);
    x_axis.has_title = true;
    let mut y_axis = axis::nice_axis(titles.1, (0.0, max as f64), Format::Integer);
    y_axis.has_title = true;
    let name = y_axis.title.clone();
    Chart {
        mark: Mark::Bar,
        x: x_axis,
        y: y_axis,
        series: vec![Series { name, points, ..Series::default() }],
        ..Chart::default()
    }
}

/// Returns the boundaries of the intervals, which are round numbers; at least one interval.
pub(in crate::dashboard) fn edges(values: &[f64], bins: Option<usize>) -> Vec<f64> {
    let (min, max) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| {
        (min.min(*value), max.max(*value))
    });
    let by_number = (values.len() as f64).sqrt().clamp(5.0, BINS.default as f64);
    let bins = bins.map_or(by_number, |bins| bins as f64);
    let span = if max > min { max - min } else { 1.0 };
    let step = axis::round_step(span / bins);
    let first = (min / step + 1e-9).floor();
    let last = ((max / step - 1e-9).ceil()).max(first + 1.0);
    let mut edges = Vec::new();
    let mut at = first;
    while at <= last && edges.len() <= BINS.max * 3 {
        edges.push(at * step + 0.0);
        at += 1.0;
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_round_ends_and_hold_every_value() {
        let values: Vec<f64> = (0..1_000).map(|value| f64::from(value) * 0.37).collect();
        let edges = edges(&values, Some(10));
        assert_eq!(edges[..3], [0.0, 50.0, 100.0]);
        assert!(edges.last().is_some_and(|last| *last >= 369.63));
        assert_eq!(super::edges(&[3.0, 3.0], None).len(), 2);
        assert_eq!(super::edges(&[7.0], Some(1)), [7.0, 8.0]);
    }
}
