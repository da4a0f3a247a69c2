//! Formats numbers and dates for people, identically in the terminal and in the browser.

use std::{
    fmt::{Display, Write as _},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    currency::{Money, MoneyDigits},
    number, time,
};
use crate::{
    humanize,
    locale::{self, Locale},
};

/// How a number or a date is formatted. Dashboard files use the names in [`Format::from_str`]'s
/// documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Unformatted: `1234.5`, `2026-11-21`.
    #[default]
    Plain,
    /// Rounded to a whole number: `1,235`.
    Integer,
    /// With this number of decimals: `1,234.50`.
    Decimal(u8),
    /// A fraction as a percentage with this number of decimals: 0.1234 is `12.3%`.
    Percent(u8),
    /// Three digits and a power of a thousand: `1.23 k`, `45.6 M`, `789 B` (10⁹).
    Compact,
    /// This number of decimals and a power of a thousand: `12.346 M`.
    CompactDecimal(u8),
    /// At most this number of decimals and a power of ten: `1.2e300`.
    Scientific(u8),
    /// A date: `2026-11-21`.
    Date,
    /// A date and a time in UTC, to the minute: `2026-11-21 10:05`.
    Time,
    /// A date and a time in UTC, to the second: `2026-11-21 10:05:07`.
    Second,
    /// A date and a time in UTC, to the millisecond: `2026-11-21 10:05:07.250`.
    Millisecond,
    /// A month: `Nov 2026`.
    Month,
    /// A year: `2026`; also for numbers, which are then not grouped.
    Year,
    /// A season by the year in which it begins: 2022 is `2022/23`.
    Season,
    /// An amount of money: `€1,234.50`.
    Money(Money),
}

/// An unknown format name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown format {name:?}{}; known are plain, integer, decimal, percent, compact, scientific (with a number of decimals behind a point: percent.1), date, time, second, millisecond, month, year, season and currencies (EUR, EUR.0, EUR.compact)",
    nearest.as_ref().map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
)]
pub struct UnknownFormat {
    pub name: String,
    /// The nearest known name, if one is close.
    pub nearest: Option<&'static str>,
}

const NAMES: [&str; 13] = [
    "plain",
    "integer",
    "decimal",
    "percent",
    "compact",
    "scientific",
    "date",
    "time",
    "second",
    "millisecond",
    "month",
    "year",
    "season",
];

/// Decimals beyond the precision of a double are useless.
const MAX_DECIMALS: u8 = 15;

impl Format {
    /// Returns how money is printed, if it is.
    #[must_use]
    pub fn money(&self) -> Option<Money> {
        match self {
            Self::Money(money) => Some(*money),
            _ => None,
        }
    }

    /// Returns whether the format includes a time of day.
    #[must_use]
    pub fn has_clock(&self) -> bool {
        matches!(self, Self::Time | Self::Second | Self::Millisecond)
    }

    /// Returns whether the format is for dates and timestamps.
    #[must_use]
    pub fn is_temporal(&self) -> bool {
        self.has_clock() || matches!(self, Self::Date | Self::Month | Self::Year)
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    /// Parses `plain`, `integer`, `decimal` (two decimals), `decimal.3`, `percent` (none),
    /// `percent.1`, `compact`, `compact.2`, `scientific`, `date`, `time`, `second`, `millisecond`,
    /// `month`, `year`, `season`, and currencies: `EUR`, `EUR.0`, `EUR.compact`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, decimals) = match text.split_once('.') {
            Some((name, decimals)) => (
                name,
                Some(decimals.parse::<u8>().ok().filter(|decimals| *decimals <= MAX_DECIMALS)),
            ),
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
            ("compact", Some(Some(decimals))) => Self::CompactDecimal(decimals),
            ("scientific", None) => Self::Scientific(2),
            ("scientific", Some(Some(decimals))) => Self::Scientific(decimals),
            ("date", None) => Self::Date,
            ("time", None) => Self::Time,
            ("second", None) => Self::Second,
            ("millisecond", None) => Self::Millisecond,
            ("month", None) => Self::Month,
            ("year", None) => Self::Year,
            ("season", None) => Self::Season,
            _ => {
                let known = NAMES.into_iter().chain(Money::codes());
                return text.parse().map(Self::Money).map_err(|()| UnknownFormat {
                    name: text.to_owned(),
                    nearest: humanize::nearest(name, known),
                });
            }
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
            Self::CompactDecimal(decimals) => write!(f, "compact.{decimals}"),
            Self::Scientific(decimals) => write!(f, "scientific.{decimals}"),
            Self::Date => f.write_str("date"),
            Self::Time => f.write_str("time"),
            Self::Second => f.write_str("second"),
            Self::Millisecond => f.write_str("millisecond"),
            Self::Month => f.write_str("month"),
            Self::Year => f.write_str("year"),
            Self::Season => f.write_str("season"),
            Self::Money(money) => write!(f, "{money}"),
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

/// Formats a number for people: with a true minus sign, never as zero unless it is zero, and with a
/// power of ten if its digits would be too many to read. Date formats apply to [`format_time`];
/// here they leave the number plain.
#[must_use]
pub fn format_number(number: f64, format: Format) -> String {
    let locale = locale::current();
    match format {
        Format::Money(money) if number.is_finite() => {
            money.print(english_number(number, money.digits.into()), locale)
        }
        _ => locale.number(english_number(number, format)),
    }
}

impl From<MoneyDigits> for Format {
    fn from(digits: MoneyDigits) -> Self {
        match digits {
            MoneyDigits::Decimals(0) => Self::Integer,
            MoneyDigits::Decimals(decimals) => Self::Decimal(decimals),
            MoneyDigits::Compact => Self::Compact,
        }
    }
}

fn english_number(number: f64, format: Format) -> String {
    if !number.is_finite() {
        let mut out = String::new();
        number::write_double(&mut out, number, false);
        return out;
    }
    match format {
        Format::Integer => readable(number, 0),
        Format::Decimal(decimals) => readable(number, decimals),
        Format::Percent(decimals) => format!("{}%", readable(number * 100.0, decimals)),
        Format::Compact => compact(number, None),
        Format::CompactDecimal(decimals) => compact(number, Some(decimals)),
        Format::Scientific(decimals) => scientific(number, decimals),
        Format::Season if number >= 0.0 && number.fract() == 0.0 => {
            format!("{number:.0}/{:02}", (number + 1.0) % 100.0)
        }
        _ => {
            let mut out = String::with_capacity(24);
            number::write_double(&mut out, number, false);
            out
        }
    }
}

/// Formats a date or timestamp for people, given in milliseconds since 1970 UTC. Number formats
/// leave it plain.
#[must_use]
pub fn format_time(millis: i64, format: Format) -> String {
    format_time_in(millis, format, locale::current())
}

/// Works like [`format_time`], in a given locale.
pub(crate) fn format_time_in(millis: i64, format: Format, locale: Locale) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const PER_DAY: i64 = 86_400_000;
    let day = time::Date::of(millis.div_euclid(PER_DAY));
    let mut out = String::with_capacity(16);
    match format {
        Format::Month => {
            let name = usize::try_from(day.month - 1)
                .ok()
                .and_then(|month| MONTHS.get(month))
                .unwrap_or(&"");
            format!("{name} {}", year(day.year))
        }
        Format::Year => year(day.year),
        Format::Date => locale.day((day.year, day.month, day.day)).unwrap_or_else(|| {
            time::write_day(&mut out, day, false);
            out
        }),
        Format::Time => {
            let day = format_time_in(millis, Format::Date, locale);
            let minutes = millis.rem_euclid(PER_DAY) / 60_000;
            format!("{day} {:02}:{:02}", minutes / 60, minutes % 60)
        }
        Format::Second | Format::Millisecond => {
            let mut out = format_time_in(millis, Format::Time, locale);
            let of_minute = millis.rem_euclid(60_000);
            let _ = write!(out, ":{:02}", of_minute / 1_000);
            if format == Format::Millisecond {
                let _ = write!(out, ".{:03}", of_minute % 1_000);
            }
            out
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

/// Formats `value / 10^scale` for people without converting it to a double; `None` for formats that
/// require a double.
pub(super) fn format_exact(value: i128, scale: u8, format: Format) -> Option<String> {
    let locale = locale::current();
    if let Format::Money(money) = format {
        let shown = english_exact(value, scale, money.digits.into());
        return shown.map(|shown| money.print(shown, locale));
    }
    english_exact(value, scale, format).map(|shown| locale.number(shown))
}

fn english_exact(value: i128, scale: u8, format: Format) -> Option<String> {
    let shown = match format {
        Format::Integer => exact(value, scale, 0)?,
        Format::Decimal(decimals) => exact(value, scale, decimals)?,
        // Multiplying by a hundred moves the decimal point by two digits.
        Format::Percent(decimals) if scale >= 2 => {
            format!("{}%", exact(value, scale - 2, decimals)?)
        }
        Format::Percent(decimals) => {
            format!("{}%", exact(value.checked_mul(100)?, scale, decimals)?)
        }
        Format::Compact | Format::CompactDecimal(_) | Format::Scientific(_) | Format::Season => {
            return double(value, scale).map(|number| english_number(number, format));
        }
        _ => return None,
    };
    if value != 0 && is_zero(&shown) {
        return double(value, scale).map(|number| english_number(number, format));
    }
    Some(shown)
}

/// Returns the double nearest to `value / 10^scale`.
fn double(value: i128, scale: u8) -> Option<f64> {
    let mut digits = String::with_capacity(40);
    number::write_decimal(&mut digits, value, scale, false);
    digits.parse().ok()
}

fn is_zero(shown: &str) -> bool {
    !shown.contains(|letter: char| matches!(letter, '1'..='9'))
}

/// Rounds half away from zero, as is usual for decimals.
fn exact(value: i128, scale: u8, decimals: u8) -> Option<String> {
    let magnitude = value.unsigned_abs();
    let kept = decimals.min(scale);
    let cut = 10_u128.checked_pow(u32::from(scale - kept))?;
    let rounded = magnitude / cut + u128::from(magnitude % cut >= cut.div_ceil(2) && cut > 1);
    let unit = 10_u128.checked_pow(kept.into())?;
    let mut shown = String::from(if value < 0 && rounded != 0 { MINUS } else { "" });
    shown.push_str(&humanize::thousands_separated(&(rounded / unit).to_string()));
    if decimals > 0 {
        let fraction = if kept == 0 {
            String::new()
        } else {
            format!("{:0width$}", rounded % unit, width = usize::from(kept))
        };
        shown.push('.');
        shown.push_str(&fraction);
        shown.extend(std::iter::repeat_n('0', usize::from(decimals - kept)));
    }
    Some(shown)
}

/// The true minus sign, which is as wide as a plus sign.
pub(super) const MINUS: &str = "−";
/// From this number on, a double has no decimals, and too many digits to read.
const LARGEST_WRITTEN_OUT: f64 = 1e15;
/// Maximum number of legible decimals; smaller numbers have a power of ten.
const MAX_READ_DECIMALS: i32 = 8;

/// Formats with the given number of decimals, or with more if the number would otherwise appear as
/// zero.
fn readable(number: f64, decimals: u8) -> String {
    if number.abs() >= LARGEST_WRITTEN_OUT {
        return scientific(number, 4);
    }
    let shown = fixed(number, decimals);
    if number == 0.0 || !is_zero(&shown) {
        return shown;
    }
    // Shows two significant digits.
    #[allow(clippy::cast_possible_truncation, reason = "an exponent of ten")]
    let first = -(number.abs().log10().floor() as i32);
    match u8::try_from(first + 1) {
        Ok(needed) if first < MAX_READ_DECIMALS => {
            let shown = fixed(number, needed);
            shown.trim_end_matches('0').to_owned()
        }
        _ => scientific(number, 2),
    }
}

fn fixed(number: f64, decimals: u8) -> String {
    let digits = format!("{:.*}", usize::from(decimals), number.abs());
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let sign = if number < 0.0 && !is_zero(&digits) { MINUS } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{fraction}", humanize::thousands_separated(whole))
}

fn scientific(number: f64, decimals: u8) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let text = format!("{:.*e}", usize::from(decimals), number);
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits = match digits.split_once('.') {
        Some((whole, fraction)) => {
            let fraction = fraction.trim_end_matches('0');
            let point = if fraction.is_empty() { "" } else { "." };
            format!("{whole}{point}{fraction}")
        }
        None => digits.to_owned(),
    };
    format!("{digits}e{exponent}").replace('-', MINUS)
}

fn compact(number: f64, decimals: Option<u8>) -> String {
    const UNITS: [&str; 5] = ["", " k", " M", " B", " T"];
    let mut value = number.abs();
    if value >= 1_000.0 * LARGEST_WRITTEN_OUT {
        return scientific(number, 2);
    }
    let mut unit = 0;
    // 999.5 rounds to 1000, which is the next unit's 1.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    let own = if value >= 99.95 || value == 0.0 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    let mut shown = if unit == 0 {
        readable(value, decimals.unwrap_or(own))
    } else {
        fixed(value, decimals.unwrap_or(own))
    };
    if shown.contains('.') && !shown.contains('e') {
        shown.truncate(shown.trim_end_matches('0').trim_end_matches('.').len());
    }
    let sign = if number < 0.0 && !is_zero(&shown) { MINUS } else { "" };
    format!("{sign}{shown}{}", UNITS[unit])
}
