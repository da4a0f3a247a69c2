//! Highlighted intervals and marked positions of an axis: bands and events.

use jiff::{civil::Date, tz::TimeZone};
use serde::Deserialize;

use super::{Axis, Band, Chart, ChartSpec, Content, Scale, Tick};
use crate::dashboard::{
    parse::ParseContext,
    rows::{ResultRows, Row},
    templates::TextValues,
};

/// An interval, as written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::dashboard) struct RawBand {
    x: Option<[toml::Value; 2]>,
    y: Option<[f64; 2]>,
    query: Option<String>,
    #[serde(default)]
    label: String,
}

/// A position along x, as written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::dashboard) struct RawEvent {
    x: Option<toml::Value>,
    query: Option<String>,
    #[serde(default)]
    label: String,
}

impl RawBand {
    /// Returns the named query whose rows are the bands.
    pub(in crate::dashboard) fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
}

impl RawEvent {
    /// Returns the named query whose rows are the events.
    pub(in crate::dashboard) fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
}

/// A position along an axis, as specified by its author.
#[derive(Debug, Clone, PartialEq)]
pub enum PlaceSpec {
    Number(f64),
    /// A date (`2020-03-01`, `2020-03` or `2020`), or a name.
    Text(String),
}

/// A highlighted interval of an axis.
#[derive(Debug, Clone, PartialEq)]
pub enum BandSpec {
    /// From one position along x to another.
    X([PlaceSpec; 2], String),
    /// From one value of y to another.
    Y([f64; 2], String),
    /// The rows of a named query: from, to, and a label.
    Query(String),
}

/// Marked positions along x.
#[derive(Debug, Clone, PartialEq)]
pub enum EventSpec {
    /// One position with its label.
    One(PlaceSpec, String),
    /// The rows of a named query: x, and a label.
    Query(String),
}

/// Limit on the bands, and on the events, of a query.
const MAX_QUERIED: usize = 100;

impl PlaceSpec {
    fn parse(value: &toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::Integer(number) => Ok(Self::Number(*number as f64)),
            toml::Value::Float(number) => Ok(Self::Number(*number)),
            toml::Value::String(text) => Ok(Self::Text(text.clone())),
            toml::Value::Datetime(date) => Ok(Self::Text(date.to_string())),
            other => {
                Err(format!("a place is a number, a date or a name, not {}", other.type_str()))
            }
        }
    }

    /// Returns its position along an axis; `None` if the axis has no such name. The end of an
    /// interval is the end of its month or year.
    fn resolve(&self, axis: &Axis, is_end: bool) -> Result<Option<f64>, String> {
        let text = match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        };
        match &axis.scale {
            Scale::Category { names } => {
                Ok(names.iter().position(|name| *name == text).map(|place| place as f64))
            }
            Scale::Number => match self {
                Self::Number(number) => Ok(Some(*number)),
                Self::Text(text) => text.parse().map(Some).map_err(|_| {
                    format!("{text:?} is no place along {:?}: write a number", axis.title)
                }),
            },
            Scale::Time => moment(&text, is_end).map(Some).ok_or_else(|| {
                format!("{text:?} is no date: write it as 2020-03-01, 2020-03 or 2020")
            }),
        }
    }
}

/// Returns a date, or the first or last day of a month or a year, in milliseconds since 1970.
fn moment(text: &str, is_end: bool) -> Option<f64> {
    let date: Date = match text.len() {
        4 => {
            let year = Date::new(text.parse().ok()?, 1, 1).ok()?;
            if is_end { year.last_of_year() } else { year }
        }
        7 => {
            let month: Date = format!("{text}-01").parse().ok()?;
            if is_end { month.last_of_month() } else { month }
        }
        _ => text.get(..10)?.parse().ok()?,
    };
    let zoned = date.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_millisecond() as f64)
}

impl ParseContext<'_> {
    pub(super) fn bands(&mut self, raw: Vec<RawBand>) -> Vec<BandSpec> {
        let mut bands = Vec::new();
        for band in raw {
            let spec = match (band.x, band.y, band.query) {
                (None, None, Some(query)) => Ok(BandSpec::Query(query.to_lowercase())),
                (Some([from, to]), None, None) => PlaceSpec::parse(&from)
                    .and_then(|from| Ok(BandSpec::X([from, PlaceSpec::parse(&to)?], band.label))),
                (None, Some(ends), None) => Ok(BandSpec::Y(ends, band.label)),
                _ => {
                    Err("a band needs x, y or query, as in x = [\"2020-03\", \"2020-06\"] or y = [0, 20]"
                        .to_owned())
                }
            };
            match spec {
                Ok(spec) => bands.push(spec),
                Err(message) => self.problem(None, message),
            }
        }
        bands
    }

    pub(super) fn events(&mut self, raw: Vec<RawEvent>) -> Vec<EventSpec> {
        let mut events = Vec::new();
        for event in raw {
            let spec = match (&event.x, event.query) {
                (Some(x), None) => {
                    PlaceSpec::parse(x).map(|place| EventSpec::One(place, event.label))
                }
                (None, Some(query)) => Ok(EventSpec::Query(query.to_lowercase())),
                _ => Err("an event needs x or query, as in x = \"2024-06-03\"".to_owned()),
            };
            match spec {
                Ok(spec) => events.push(spec),
                Err(message) => self.problem(None, message),
            }
        }
        events
    }
}

/// Returns the bands and events that are at least partly within the axes.
pub(super) fn resolve(
    spec: &ChartSpec,
    x: &Axis,
    y: &Axis,
) -> Result<(Vec<Band>, Vec<Tick>), String> {
    let mut bands = Vec::new();
    for band in &spec.bands {
        let (along_x, axis, ends, label) = match band {
            BandSpec::X([from, to], label) => (true, x, interval(from, to, x)?, label),
            BandSpec::Y([from, to], label) => (false, y, Some((*from, *to)), label),
            BandSpec::Query(_) => continue,
        };
        bands.extend(ends.and_then(|ends| band_within(axis, along_x, ends, label)));
    }
    let mut events = Vec::new();
    for event in &spec.events {
        let EventSpec::One(place, label) = event else { continue };
        let at = place.resolve(x, false)?.filter(|at| (x.min..=x.max).contains(at));
        events.extend(at.map(|at| Tick { at, label: label.clone() }));
    }
    Ok((bands, events))
}

/// Returns the interval between two positions; `None` if the axis does not have both.
fn interval(from: &PlaceSpec, to: &PlaceSpec, x: &Axis) -> Result<Option<(f64, f64)>, String> {
    let ends = from.resolve(x, false)?.zip(to.resolve(x, true)?);
    // A bar fills its slot.
    let half = if matches!(x.scale, Scale::Category { .. }) { 0.5 } else { 0.0 };
    Ok(ends.map(|(from, to)| (from - half, to + half)))
}

/// Returns the part of a band that is within an axis.
fn band_within(axis: &Axis, along_x: bool, (from, to): (f64, f64), label: &str) -> Option<Band> {
    let (from, to) = (from.min(to).max(axis.min), from.max(to).min(axis.max));
    (from < to).then(|| Band { along_x, from, to, label: label.to_owned() })
}

/// Adds the bands and events of named queries to a chart; returns what is wrong with them.
pub(in crate::dashboard) fn add_queried(
    spec: &ChartSpec,
    content: &mut Content,
    values: &TextValues,
) -> Vec<String> {
    let mut problems = Vec::new();
    let bands = spec.bands.iter().filter_map(|band| match band {
        BandSpec::Query(query) => Some((query, "band")),
        _ => None,
    });
    let events = spec.events.iter().filter_map(|event| match event {
        EventSpec::Query(query) => Some((query, "event")),
        EventSpec::One(..) => None,
    });
    for (query, what) in bands.chain(events) {
        let add = |chart: &mut Chart| {
            let rows = values.rows(query).ok_or("it failed")?;
            if what == "band" { add_bands(chart, &rows) } else { add_events(chart, &rows) }
        };
        if let Some(why) = content.charts_mut().find_map(|chart| add(chart).err()) {
            problems.push(format!("The {what}s of the query {query:?} are not shown: {why}."));
        }
    }
    problems
}

/// Returns a row's column as a position along x.
fn place_of(row: Row<'_, '_>, column: usize) -> Option<PlaceSpec> {
    row.text(column).map(|text| PlaceSpec::Text(text.into_owned()))
}

fn label_of(row: Row<'_, '_>, rows: &ResultRows<'_>) -> String {
    let label = rows.find("label").ok().and_then(|column| row.text(column));
    label.map(std::borrow::Cow::into_owned).unwrap_or_default()
}

fn add_bands(chart: &mut Chart, rows: &ResultRows<'_>) -> Result<(), String> {
    let (from, to) = (rows.find("from")?, rows.find("to")?);
    for row in rows.each().take(MAX_QUERIED) {
        let Some((from, to)) = place_of(row, from).zip(place_of(row, to)) else { continue };
        let ends = interval(&from, &to, &chart.x)?;
        let label = label_of(row, rows);
        let band = ends.and_then(|ends| band_within(&chart.x, true, ends, &label));
        chart.bands.extend(band);
    }
    Ok(())
}

fn add_events(chart: &mut Chart, rows: &ResultRows<'_>) -> Result<(), String> {
    let x = rows.find("x")?;
    for row in rows.each().take(MAX_QUERIED) {
        let Some(place) = place_of(row, x) else { continue };
        let (min, max) = (chart.x.min, chart.x.max);
        let at = place.resolve(&chart.x, false)?.filter(|at| (min..=max).contains(at));
        chart.events.extend(at.map(|at| Tick { at, label: label_of(row, rows) }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_day_or_the_begin_or_the_end_of_a_month_or_a_year() {
        let day = |text, is_end| moment(text, is_end).map(|millis| millis / 86_400_000.0);
        assert_eq!(day("1970-01-02", false), Some(1.0));
        assert_eq!((day("1970-02", false), day("1970-02", true)), (Some(31.0), Some(58.0)));
        assert_eq!((day("1971", false), day("1971", true)), (Some(365.0), Some(729.0)));
        assert_eq!((day("soon", false), day("1970-13", false)), (None, None));
    }
}
