//! Maps: countries colored by a value, or dots at longitudes and latitudes.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{
    Axis, Chart, Mark, Point, Series, Tick, axis, check_link, filled, mark_link, reduce::Reducer,
};
use crate::{
    dashboard::{
        colors::compare_names,
        kinds::{Content, Kind, RawPanel, Visualization, by_column, optional_column},
        limits::{Notes, Undrawn},
        model::{Panel, default_title},
        parse::ParseContext,
        rows::{ResultRows, Row},
        world::{Country, Frame, Position, find_country},
    },
    humanize,
    links::is_allowed,
    values::{Format, format_number},
};

/// Number of unknown countries that a note names.
const MAX_NAMED: usize = 5;
/// Decimals of longitudes and latitudes: about a kilometer.
const DEGREES: Format = Format::Decimal(2);

pub(in crate::dashboard::kinds) const MAP: Kind = Kind {
    name: "map",
    keys: &[
        "sql",
        "country",
        "longitude",
        "latitude",
        "value",
        "series",
        "label",
        "size",
        "unit",
        "format",
        "labels",
        "log",
        "view",
        "max_series",
        "max_points",
        "link",
        "colors",
        "colours",
    ],
    width: 12,
    parse,
};

/// The part of the world that a map shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// The part that has data.
    #[default]
    Data,
    /// The whole world.
    World,
}

/// The specification of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapSpec {
    /// The query.
    pub sql: String,
    /// What is drawn.
    pub places: PlacesSpec,
    /// The column with the numbers; dots can do without.
    pub value: Option<String>,
    /// The column with the names of countries or dots.
    pub label: Option<String>,
    /// The titles of columns.
    pub labels: BTreeMap<String, String>,
    /// Whether the limits between colors are in a geometric rather than an arithmetic sequence.
    pub log: bool,
    /// The part of the world that is shown.
    pub view: View,
    /// Where countries or dots lead, with `$column` as a placeholder for the row's value.
    pub link: Option<String>,
}

/// The places on a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlacesSpec {
    /// Countries.
    Countries {
        /// The column with their codes.
        code: String,
    },
    /// Dots.
    Dots {
        /// The column with the degrees to the east.
        longitude: String,
        /// The column with the degrees to the north.
        latitude: String,
        /// The column whose values identify the series.
        series: Option<String>,
        /// The column with the sizes.
        size: Option<String>,
    },
}

impl MapSpec {
    /// Returns the columns that it shows.
    pub(in crate::dashboard) fn columns(&self) -> Vec<&str> {
        let places: Vec<&String> = match &self.places {
            PlacesSpec::Countries { code } => vec![code],
            PlacesSpec::Dots { longitude, latitude, series, size } => {
                [longitude, latitude].into_iter().chain(series).chain(size).collect()
            }
        };
        places.into_iter().chain(&self.label).chain(&self.value).map(String::as_str).collect()
    }

    /// Returns the column whose values identify the series.
    pub(in crate::dashboard) fn series(&self) -> Option<&str> {
        match &self.places {
            PlacesSpec::Dots { series, .. } => series.as_deref(),
            PlacesSpec::Countries { .. } => None,
        }
    }
}

/// An evaluated map.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Map {
    /// The part of the world that is shown.
    pub frame: Frame,
    /// The title of the values; empty if there are none.
    pub title: String,
    /// The countries with values, the largest first.
    pub countries: Vec<CountryValue>,
    /// The dots: `x` is the longitude and `y` the latitude.
    pub dots: Chart,
    /// The values between which colors change, in order; empty if colors do not stand for values.
    pub limits: Vec<Tick>,
}

/// The value of a country.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CountryValue {
    /// The alpha-3 code of ISO 3166.
    pub code: &'static str,
    /// The name.
    pub name: String,
    /// The value as a number and as text.
    pub value: Tick,
    /// Where it leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub href: Option<String>,
}

impl Map {
    /// Returns the intensity of a value's color, of those between the limits: above 0 and up to 1,
    /// or down to −1 for negative values.
    #[must_use]
    pub fn shade(&self, value: f64) -> f64 {
        let spans = self.limits.len().saturating_sub(1);
        let found = self.limits.iter().skip(1).position(|limit| value < limit.at);
        self.shade_of(found.unwrap_or(spans.saturating_sub(1)))
    }

    /// Returns the intensity of the color between a limit and the next one.
    #[must_use]
    pub fn shade_of(&self, span: usize) -> f64 {
        let spans = self.limits.len().saturating_sub(1);
        let below = self.limits.iter().take(spans).filter(|limit| limit.at < 0.0).count();
        let most = below.max(spans - below).max(1) as f64;
        if span < below {
            -((below - span) as f64) / most
        } else {
            (span - below + 1) as f64 / most
        }
    }
}

fn parse(context: &mut ParseContext<'_>, raw: RawPanel, line: usize) -> Option<Visualization> {
    let title = raw.title.clone();
    let start = raw.country.as_ref().map(|country| country.span().start);
    let dots = [&raw.longitude, &raw.latitude, &raw.series, &raw.size];
    if let (Some(start), Some(_)) = (start, dots.into_iter().flatten().next()) {
        let message = "a map has countries or dots: leave out country, or longitude, latitude, series and size";
        context.problem(Some(start), message.to_owned());
        return None;
    }
    let value = optional_column(raw.value);
    let places = match optional_column(raw.country) {
        Some(code) => {
            if value.is_none() {
                context.problem(
                    start,
                    format!(
                        "the panel {title:?} needs value, the column with the countries' numbers"
                    ),
                );
                return None;
            }
            PlacesSpec::Countries { code }
        }
        None if raw.longitude.is_none() && raw.latitude.is_none() => {
            let message =
                format!("the panel {title:?} needs country and value, or longitude and latitude");
            let problem = context.error(Some(line), message);
            context.problems.push(problem);
            return None;
        }
        None => PlacesSpec::Dots {
            longitude: context.required_column("longitude", raw.longitude, &title, line)?,
            latitude: context.required_column("latitude", raw.latitude, &title, line)?,
            series: optional_column(raw.series),
            size: optional_column(raw.size),
        },
    };
    Some(Visualization::Map(MapSpec {
        sql: context.required("sql", raw.sql, &title, line)?,
        places,
        value,
        label: optional_column(raw.label),
        labels: by_column(raw.labels),
        log: raw.log.is_some_and(toml::Spanned::into_inner),
        view: raw.view.map(toml::Spanned::into_inner).unwrap_or_default(),
        link: mark_link(context, raw.link),
    }))
}

/// The columns that countries and dots have in common.
struct MapColumns<'s> {
    value: Option<usize>,
    format: Format,
    label: Option<usize>,
    link: Option<&'s str>,
}

impl<'s> MapColumns<'s> {
    fn find(spec: &'s MapSpec, panel: &Panel, rows: &ResultRows<'_>) -> Result<Self, String> {
        let value = spec.value.as_deref().map(|value| rows.find_number(value)).transpose()?;
        let own = value.map_or(Format::Plain, |value| rows.value_format(value));
        Ok(Self {
            value,
            format: panel.values.format().unwrap_or(own),
            label: spec.label.as_deref().map(|label| rows.find(label)).transpose()?,
            link: spec.link.as_deref(),
        })
    }

    fn value(&self, row: Row<'_, '_>) -> Option<Tick> {
        let column = self.value?;
        let label = row.format(column, self.format).unwrap_or_default().into_owned();
        Some(Tick { at: row.number(column)?, label })
    }

    fn href(&self, row: Row<'_, '_>, rows: &ResultRows<'_>) -> Option<String> {
        self.link.map(|link| filled(link, row, rows)).filter(|href| is_allowed(href))
    }

    fn name(&self, row: Row<'_, '_>) -> Option<String> {
        row.text(self.label?).map(std::borrow::Cow::into_owned)
    }
}

/// Converts rows to countries or dots.
pub(in crate::dashboard::kinds) fn draw(
    spec: &MapSpec,
    panel: &Panel,
    rows: &ResultRows<'_>,
    notes: &mut Notes,
) -> Result<Content, Undrawn> {
    if let Some(link) = &spec.link {
        check_link(link, rows)?;
    }
    let columns = MapColumns::find(spec, panel, rows)?;
    let (mut countries, mut series) = (Vec::new(), Vec::new());
    let positions: Vec<Position> = match &spec.places {
        PlacesSpec::Countries { code } => {
            let found = find_countries(&columns, rows, rows.find(code)?, notes)?;
            let ends = |(country, _): &(&Country, CountryValue)| -> Vec<Position> {
                let ring = country.mainland().unwrap_or_default();
                ring.iter().copied().chain(country.spot).collect()
            };
            let positions = found.iter().flat_map(ends).collect();
            countries = found.into_iter().map(|(_, value)| value).collect();
            positions
        }
        PlacesSpec::Dots { .. } => {
            series = find_dots(spec, panel, rows, &columns, notes)?;
            let points = series.iter().flat_map(|series: &Series| &series.points);
            points.filter_map(|point| Some((point.x, point.y?))).collect()
        }
    };
    if positions.is_empty() {
        return Ok(Content::Empty { reason: String::new() });
    }
    let own =
        |column: &String| spec.labels.get(column).cloned().unwrap_or_else(|| default_title(column));
    let points = series.iter().flat_map(|series| &series.points);
    // The colors of dots in several series are those of the series.
    let colored = points.filter(|_| series.len() == 1).filter_map(|point| point.value.as_ref());
    let values = countries.iter().map(|country: &CountryValue| &country.value).chain(colored);
    let values: Vec<f64> = values.map(|value| value.at).collect();
    let degrees = |title: &str| Axis { title: title.to_owned(), ..Axis::default() };
    Ok(Content::Map(Map {
        frame: match spec.view {
            View::World => Frame::WORLD,
            View::Data => Frame::around(positions.into_iter()),
        },
        title: spec.value.as_ref().map(own).unwrap_or_default(),
        limits: limits(&values, columns.format, spec.log, notes),
        countries,
        dots: Chart {
            mark: Mark::Scatter,
            x: degrees("Longitude"),
            y: degrees("Latitude"),
            series,
            size_title: match &spec.places {
                PlacesSpec::Dots { size, .. } => size.as_ref().map(own),
                PlacesSpec::Countries { .. } => None,
            },
            ..Chart::default()
        },
    }))
}

/// Returns round limits between colors; none if there are no values.
fn limits(values: &[f64], format: Format, log: bool, notes: &mut Notes) -> Vec<Tick> {
    if values.is_empty() {
        return Vec::new();
    }
    let range = super::points::range(values.iter().copied());
    if log && range.0 > 0.0 {
        return log_limits(range, format);
    }
    if log {
        notes
            .texts
            .push("Colors are not logarithmic, since there are values of zero or less.".to_owned());
    }
    axis::nice_axis(String::new(), range, format).ticks
}

/// Returns limits that are multiples of one another: the closest of 1, 2, 5, of 1, 3, or of powers
/// of ten that are few enough for a legend.
fn log_limits((min, max): (f64, f64), format: Format) -> Vec<Tick> {
    const MAX_LIMITS: usize = 9;
    let (first, last) = (min.log10().floor(), max.log10().ceil().max(min.log10().floor() + 1.0));
    let within = |factors: &[f64], every: f64| -> Vec<f64> {
        let mut all = Vec::new();
        let mut power = first;
        while power <= last + every {
            all.extend(factors.iter().map(|factor| factor * 10_f64.powf(power)));
            power += every;
        }
        // From the last limit up to the smallest value, to the first one from the largest on.
        let begin = all.iter().rposition(|limit| *limit <= min * 1.000_001).unwrap_or_default();
        let end = all.iter().position(|limit| *limit >= max * 0.999_999).unwrap_or(all.len() - 1);
        all[begin..=end.max(begin + 1).min(all.len() - 1)].to_vec()
    };
    let mut every = 1.0;
    let mut limits = within(&[1.0, 2.0, 5.0], every);
    if limits.len() > MAX_LIMITS {
        limits = within(&[1.0, 3.0], every);
    }
    while limits.len() > MAX_LIMITS {
        limits = within(&[1.0], every);
        every += 1.0;
    }
    limits.into_iter().map(|at| Tick { at, label: axis::log_label(at, format) }).collect()
}

/// Returns the countries with values, the largest first.
fn find_countries<'c>(
    columns: &MapColumns<'_>,
    rows: &ResultRows<'_>,
    code: usize,
    notes: &mut Notes,
) -> Result<Vec<(&'c Country, CountryValue)>, Undrawn> {
    let mut found = Vec::new();
    let mut known = HashSet::new();
    let (mut unknown, mut without) = (Vec::<String>::new(), 0);
    for row in rows.each() {
        let Some(value) = columns.value(row) else { continue };
        let Some(text) = row.text(code) else {
            without += 1;
            continue;
        };
        let Some(country) = find_country(&text) else {
            unknown.push(text.into_owned());
            continue;
        };
        if !known.insert(country.three) {
            let message = format!("two rows for {}: aggregate them in SQL", country.name);
            return Err(Undrawn::by_amount(message));
        }
        let name = columns.name(row).unwrap_or_else(|| country.name.to_owned());
        let href = columns.href(row, rows);
        found.push((country, CountryValue { code: country.three, name, value, href }));
    }
    if !unknown.is_empty() {
        unknown.sort_by(|one, other| compare_names(one, other));
        unknown.dedup();
        let more = unknown.len().saturating_sub(MAX_NAMED);
        let all = unknown.len();
        unknown.truncate(MAX_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let are = if all == 1 { "is not on the map" } else { "are not on the map" };
        notes.texts.push(format!("{}{more} {are}.", unknown.join(", ")));
    }
    note_missing(without, "a country", notes);
    found.sort_by(|(_, one), (_, other)| {
        other.value.at.total_cmp(&one.value.at).then_with(|| one.name.cmp(&other.name))
    });
    Ok(found)
}

fn note_missing(rows: u64, what: &str, notes: &mut Notes) {
    if rows > 0 {
        let are = if rows == 1 { "is" } else { "are" };
        notes.texts.push(format!("{} without {what} {are} not shown.", humanize::rows(rows)));
    }
}

/// Returns the dots of each series.
fn find_dots(
    spec: &MapSpec,
    panel: &Panel,
    rows: &ResultRows<'_>,
    columns: &MapColumns<'_>,
    notes: &mut Notes,
) -> Result<Vec<Series>, Undrawn> {
    let PlacesSpec::Dots { longitude, latitude, series, size } = &spec.places else {
        return Ok(Vec::new());
    };
    let (east, north) = (rows.find_number(longitude)?, rows.find_number(latitude)?);
    let by = series.as_deref().map(|series| rows.find(series)).transpose()?;
    let size = size.as_deref().map(|size| rows.find_number(size)).transpose()?;
    let size_format = size.map_or(Format::Plain, |size| rows.value_format(size));
    let largest = rows.each().filter_map(|row| row.number(size?)).fold(0.0, f64::max);
    let mut all = BTreeMap::<String, Vec<Point>>::new();
    let (mut without, mut outside) = (0, 0);
    for row in rows.each() {
        let (Some(x), Some(y)) = (row.number(east), row.number(north)) else {
            without += 1;
            continue;
        };
        if x.abs() > 180.0 || y.abs() > 90.0 {
            outside += 1;
            continue;
        }
        let name = match by {
            Some(column) => row.text(column).unwrap_or_else(|| super::NONE.into()).into_owned(),
            None => String::new(),
        };
        let sized = size.and_then(|size| row.number(size)).filter(|_| largest > 0.0);
        all.entry(name).or_default().push(Point {
            x,
            y: Some(y),
            x_shown: format_number(x, DEGREES),
            y_shown: format_number(y, DEGREES),
            name: columns.name(row),
            value: columns.value(row),
            href: columns.href(row, rows),
            size: sized.map(|size| (size / largest, format_number(size, size_format))),
            ..Point::default()
        });
    }
    note_missing(without, "a longitude and a latitude", notes);
    if outside > 0 {
        notes.texts.push(format!(
            "{} with a longitude beyond 180 or a latitude beyond 90 degrees {} not shown.",
            humanize::rows(outside),
            if outside == 1 { "is" } else { "are" }
        ));
    }
    let named = |(name, points)| Series { name, points, ..Series::default() };
    let mut series: Vec<Series> = all.into_iter().map(named).collect();
    series.sort_by(|one, other| compare_names(&one.name, &other.name));
    let mut reducer =
        Reducer { mark: Mark::Scatter, limits: &panel.limits, format: columns.format, notes };
    reducer.reduce_series(&mut series);
    reducer.reduce_points(&mut series);
    Ok(series)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(values: &[f64], log: bool) -> Map {
        Map {
            frame: Frame::WORLD,
            title: String::new(),
            countries: Vec::new(),
            dots: Chart::default(),
            limits: limits(values, Format::Integer, log, &mut Notes::default()),
        }
    }

    #[test]
    fn a_larger_value_never_has_a_lighter_color_and_the_limits_are_those_of_the_legend() {
        let values = [0.0, 3.0, 19.9, 20.0, 55.0, 100.0];
        let map = map(&values, false);
        let shades: Vec<f64> = values.iter().map(|value| map.shade(*value)).collect();
        assert!(shades.is_sorted(), "{shades:?}");
        assert!(shades.iter().all(|shade| *shade > 0.0 && *shade <= 1.0));
        assert!(map.shade(19.9) < map.shade(20.0));
        assert_eq!(map.limits.first().map(|limit| limit.label.as_str()), Some("0"));
        assert!((map.shade(100.0) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn values_below_zero_have_the_other_color() {
        let map = map(&[-10.0, 40.0], false);
        assert!(map.shade(-10.0) < 0.0 && map.shade(0.0) > 0.0 && map.shade(40.0) > 0.9);
        let without = Map { limits: Vec::new(), ..map };
        assert!(without.shade(5.0).is_finite());
    }

    #[test]
    fn limits_of_a_logarithmic_map_are_as_close_as_a_legend_allows() {
        let of = |min: f64, max: f64| {
            let map = map(&[min, max], true);
            assert!(map.limits.windows(2).all(|pair| pair[0].at < pair[1].at));
            assert!(map.limits[0].at <= min && map.limits[map.limits.len() - 1].at >= max);
            map.limits.iter().map(|limit| limit.label.clone()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(3.0, 66.0), "2 5 10 20 50 100");
        assert_eq!(of(0.02, 69.7), "0.01 0.03 0.1 0.3 1 3 10 30 100");
        assert_eq!(of(1.0, 1_000_000.0), "1 10 100 1,000 10 k 100 k 1 M");
        assert_eq!(of(7.0, 7.0), "5 10");
    }

    #[test]
    fn a_logarithmic_map_distinguishes_small_values_from_smaller_ones() {
        let map = map(&[3.0, 40.0, 66_000.0], true);
        assert!(map.shade(3.0) < map.shade(40.0) && map.shade(40.0) < map.shade(66_000.0));
    }
}
