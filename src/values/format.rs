//! Numbers and dates as people read them, in the terminal and in the browser alike.

use std::{fmt::Display, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{number, time};
use crate::words;

/// How a number or a date is shown. Dashboard files name it by the words in [`Format::from_str`]'s documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// As it is: `1234.5`, `2026-11-21`.
    #[default]
    Plain,
    /// Rounded to a whole number: `1,235`.
    Integer,
    /// With so many decimals: `1,234.50`.
    Decimal(u8),
    /// A share of one in hundredths, with so many decimals: 0.1234 is `12.3 %`.
    Percent(u8),
    /// Three digits and a power of a thousand: `1.23 k`, `45.6 M`, `789 B` (thousand million).
    Compact,
    /// A day: `2026-11-21`.
    Date,
    /// A day and a time in UTC, to the minute: `2026-11-21 10:05`.
    Time,
    /// A month: `Nov 2026`.
    Month,
    /// A year: `2026`; also of a number, which is then not grouped.
    Year,
}

/// A format that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown format {name:?}{}; known are plain, integer, decimal, percent (with a number of decimals behind a point: percent.1), compact, date, time, month and year",
    nearest.as_ref().map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
)]
pub struct UnknownFormat {
    /// What was given.
    pub name: String,
    /// The known name nearest to it, if any comes close.
    pub nearest: Option<&'static str>,
}

const NAMES: [&str; 9] = ["plain", "integer", "decimal", "percent", "compact", "date", "time", "month", "year"];

/// More decimals than a double has digits are of no use.
const MAX_DECIMALS: u8 = 15;

impl Format {
    /// Whether the format is one for days and moments.
    #[must_use]
    pub fn is_temporal(&self) -> bool {
        matches!(self, Self::Date | Self::Time | Self::Month | Self::Year)
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    /// Reads `plain`, `integer`, `decimal` (two decimals), `decimal.3`, `percent` (none), `percent.1`, `compact`, `date`, `time`, `month`, `year`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, decimals) = match text.split_once('.') {
            Some((name, decimals)) => (name, Some(decimals.parse::<u8>().ok().filter(|decimals| *decimals <= MAX_DECIMALS))),
            None => (text, None),
        };
        Ok(match (name, decimals) {
            ("plain", None) => Self::Plain,
            ("integer", None) => Self::Integer,
            ("decimal", None) => Self::Decimal(2),
            ("decimal", Some(Some(decimals))) => Self::Decimal(decimals),
            ("percent", None) => Self::Percent(0),
            ("percent", Some(Some(decimals))) => Self::Percent(decimals),
            ("compact", None) => Self::Compact,
            ("date", None) => Self::Date,
            ("time", None) => Self::Time,
            ("month", None) => Self::Month,
            ("year", None) => Self::Year,
            _ => return Err(UnknownFormat { name: text.to_owned(), nearest: crate::words::nearest(name, NAMES) }),
        })
    }
}

impl Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain => f.write_str("plain"),
            Self::Integer => f.write_str("integer"),
            Self::Decimal(decimals) => write!(f, "decimal.{decimals}"),
            Self::Percent(decimals) => write!(f, "percent.{decimals}"),
            Self::Compact => f.write_str("compact"),
            Self::Date => f.write_str("date"),
            Self::Time => f.write_str("time"),
            Self::Month => f.write_str("month"),
            Self::Year => f.write_str("year"),
        }
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A number as people read it. Date formats apply to [`human_time`]; here they leave the number plain.
#[must_use]
pub fn human(number: f64, format: Format) -> String {
    if !number.is_finite() {
        let mut out = String::new();
        number::write_double(&mut out, number, false);
        return out;
    }
    match format {
        Format::Integer => fixed(number, 0),
        Format::Decimal(decimals) => fixed(number, decimals),
        Format::Percent(decimals) => format!("{} %", fixed(number * 100.0, decimals)),
        Format::Compact => compact(number),
        Format::Plain | Format::Date | Format::Time | Format::Month | Format::Year => {
            let mut out = String::with_capacity(24);
            number::write_double(&mut out, number, false);
            out
        }
    }
}

/// A day or moment as people read it, given in milliseconds since 1970 UTC. Number formats leave it a plain moment.
#[must_use]
pub fn human_time(millis: i64, format: Format) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const PER_DAY: i64 = 86_400_000;
    let day = time::Date::of(millis.div_euclid(PER_DAY));
    let mut out = String::with_capacity(16);
    match format {
        Format::Month => {
            let name = usize::try_from(day.month - 1).ok().and_then(|month| MONTHS.get(month)).unwrap_or(&"");
            format!("{name} {}", year(day.year))
        }
        Format::Year => year(day.year),
        Format::Date => {
            time::write_day(&mut out, day, false);
            out
        }
        Format::Time => {
            time::write_day(&mut out, day, false);
            let minutes = millis.rem_euclid(PER_DAY) / 60_000;
            format!("{out} {:02}:{:02}", minutes / 60, minutes % 60)
        }
        _ => {
            time::write_timestamp(&mut out, millis, 1_000, false, false);
            out
        }
    }
}

fn year(year: i64) -> String {
    if year > 0 { year.to_string() } else { format!("{} BC", 1 - year) }
}

/// `value / 10^scale` as people read it, without a detour through a double; `None` where the format has no rule of its own for it.
pub(super) fn human_exact(value: i128, scale: u8, format: Format) -> Option<String> {
    match format {
        Format::Integer => exact(value, scale, 0),
        Format::Decimal(decimals) => exact(value, scale, decimals),
        // A hundredfold is the same digits with the point two places on.
        Format::Percent(decimals) if scale >= 2 => exact(value, scale - 2, decimals).map(|shown| format!("{shown} %")),
        Format::Percent(decimals) => exact(value.checked_mul(100)?, scale, decimals).map(|shown| format!("{shown} %")),
        Format::Compact => {
            let mut digits = String::with_capacity(40);
            number::write_decimal(&mut digits, value, scale, false);
            digits.parse().ok().map(compact)
        }
        _ => None,
    }
}

/// Rounds half away from zero, as people do with decimals.
fn exact(value: i128, scale: u8, decimals: u8) -> Option<String> {
    let magnitude = value.unsigned_abs();
    let kept = decimals.min(scale);
    let cut = 10_u128.checked_pow(u32::from(scale - kept))?;
    let rounded = magnitude / cut + u128::from(magnitude % cut >= cut.div_ceil(2) && cut > 1);
    let unit = 10_u128.checked_pow(kept.into())?;
    let mut shown = String::from(if value < 0 && rounded != 0 { "-" } else { "" });
    shown.push_str(&words::group(&(rounded / unit).to_string()));
    if decimals > 0 {
        let fraction = if kept == 0 { String::new() } else { format!("{:0width$}", rounded % unit, width = usize::from(kept)) };
        shown.push('.');
        shown.push_str(&fraction);
        shown.extend(std::iter::repeat_n('0', usize::from(decimals - kept)));
    }
    Some(shown)
}

fn fixed(number: f64, decimals: u8) -> String {
    let digits = format!("{:.*}", usize::from(decimals), number.abs());
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let zero = digits.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let sign = if number < 0.0 && !zero { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{fraction}", words::group(whole))
}

fn compact(number: f64) -> String {
    const UNITS: [&str; 5] = ["", " k", " M", " B", " T"];
    let mut value = number.abs();
    let mut unit = 0;
    // 999.5 rounds to 1000, which is the next unit's 1.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    let decimals = if value >= 99.95 || value == 0.0 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    let mut shown = fixed(value, decimals);
    if shown.contains('.') {
        shown.truncate(shown.trim_end_matches('0').trim_end_matches('.').len());
    }
    let sign = if number < 0.0 && shown != "0" { "-" } else { "" };
    format!("{sign}{shown}{}", UNITS[unit])
}
