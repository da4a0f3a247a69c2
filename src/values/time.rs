//! Formats dates, timestamps, times of day and intervals. The calendar is the proleptic Gregorian
//! one over DuckDB's whole range, which exceeds that of calendar libraries.

use std::fmt::Write;

use duckdb::arrow::datatypes::IntervalMonthDayNano;

use super::number;

const SECONDS_PER_DAY: i64 = 86_400;

/// The largest offset of a TIME WITH TIME ZONE, in seconds; DuckDB stores the difference from it.
const MAX_OFFSET: i64 = 16 * 3_600 - 1;

/// A date: `year` is astronomical, so that 0 is 1 BC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Date {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
}

impl Date {
    /// Returns the date that is this number of days after 1970-01-01. Counts in eras of 400 years,
    /// each 146,097 days long, from 1 March.
    pub(super) fn of(days: i64) -> Self {
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: of_year - (153 * march_month + 2) / 5 + 1,
        }
    }
}

/// Returns `None` for DuckDB's infinities.
pub(super) fn finite(value: i64) -> Option<i64> {
    (value != i64::MAX && value != -i64::MAX).then_some(value)
}

/// Returns `None` for DuckDB's infinities.
pub(super) fn finite_day(days: i32) -> Option<i64> {
    (days != i32::MAX && days != -i32::MAX).then_some(days.into())
}

fn write_infinity(out: &mut String, positive: bool) {
    out.push_str(if positive { "infinity" } else { "-infinity" });
}

/// Appends `2026-11-21`; years before 1 as `0044-03-15 (BC)` in DuckDB's format and as
/// `-000043-03-15` in ISO 8601.
pub(super) fn write_date(out: &mut String, days: i32, iso: bool) {
    match finite_day(days) {
        Some(days) => write_day(out, Date::of(days), iso),
        None => write_infinity(out, days > 0),
    }
}

pub(super) fn write_day(out: &mut String, Date { year, month, day }: Date, iso: bool) {
    match (iso, year) {
        (true, 0..=9_999) | (false, 1..) => write_padded(out, year, 4),
        (true, _) => {
            let _ = write!(out, "{year:+07}");
        }
        (false, _) => write_padded(out, 1 - year, 4),
    }
    out.push('-');
    write_padded(out, month, 2);
    out.push('-');
    write_padded(out, day, 2);
    if !iso && year < 1 {
        out.push_str(" (BC)");
    }
}

/// Appends a number that is not negative with at least this many digits.
fn write_padded(out: &mut String, number: i64, digits: usize) {
    number::write_padded(out, number.unsigned_abs().into(), digits);
}

/// Appends `10:00:00` with the decimals that are not zero. The largest time of day is 24:00:00.
pub(super) fn write_clock(out: &mut String, ticks: i64, per_second: i64) {
    let seconds = ticks / per_second;
    write_padded(out, seconds / 3_600, 2);
    out.push(':');
    write_padded(out, seconds / 60 % 60, 2);
    out.push(':');
    write_padded(out, seconds % 60, 2);
    write_fraction(out, ticks % per_second, per_second);
}

fn write_fraction(out: &mut String, mut fraction: i64, per_second: i64) {
    if fraction == 0 {
        return;
    }
    let mut digits = usize::try_from(per_second.ilog10()).unwrap_or(0);
    while fraction % 10 == 0 {
        fraction /= 10;
        digits -= 1;
    }
    out.push('.');
    write_padded(out, fraction, digits);
}

/// Appends `2026-11-21 10:00:00+00`, or `2026-11-21T10:00:00+00:00`.
pub(super) fn write_timestamp(
    out: &mut String,
    ticks: i64,
    per_second: i64,
    zoned: bool,
    iso: bool,
) {
    let Some(ticks) = finite(ticks) else { return write_infinity(out, ticks > 0) };
    let per_day = per_second * SECONDS_PER_DAY;
    write_day(out, Date::of(ticks.div_euclid(per_day)), iso);
    out.push(if iso { 'T' } else { ' ' });
    write_clock(out, ticks.rem_euclid(per_day), per_second);
    if zoned {
        out.push_str(if iso { "+00:00" } else { "+00" });
    }
}

/// Returns the microseconds of a TIME WITH TIME ZONE, and its offset in seconds to the east of UTC.
/// The eight bytes contain microseconds in the upper 40 bits, the offset in the rest.
pub(super) fn time_tz_parts(bytes: &[u8]) -> (i64, i64) {
    let bits = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
    let offset = MAX_OFFSET - i64::try_from(bits & 0xFF_FFFF).unwrap_or(0);
    (i64::try_from(bits >> 24).unwrap_or(0), offset)
}

/// Appends `10:00:00+02`, or `10:00:00+02:00` as ISO 8601.
pub(super) fn write_time_tz(out: &mut String, bytes: &[u8], iso: bool) {
    let (micros, offset) = time_tz_parts(bytes);
    write_clock(out, micros, 1_000_000);
    let seconds = offset.abs();
    let _ = write!(out, "{}{:02}", if offset < 0 { '-' } else { '+' }, seconds / 3_600);
    if iso || seconds % 3_600 != 0 {
        let _ = write!(out, ":{:02}", seconds / 60 % 60);
    }
    if seconds % 60 != 0 {
        let _ = write!(out, ":{:02}", seconds % 60);
    }
}

/// Appends `1 year 2 months 3 days 04:05:06.5`; parts that are zero are omitted, and an empty
/// interval is `00:00:00`.
pub(super) fn write_interval(out: &mut String, interval: IntervalMonthDayNano) {
    let start = out.len();
    let micros = interval.nanoseconds / 1_000;
    for (number, unit) in
        [(interval.months / 12, "year"), (interval.months % 12, "month"), (interval.days, "day")]
    {
        if number != 0 {
            let space = if out.len() > start { " " } else { "" };
            let plural = if number.abs() == 1 { "" } else { "s" };
            let _ = write!(out, "{space}{number} {unit}{plural}");
        }
    }
    if micros != 0 || out.len() == start {
        let space = if out.len() > start { " " } else { "" };
        out.push_str(space);
        out.push_str(if micros < 0 { "-" } else { "" });
        write_clock(out, micros.saturating_abs(), 1_000_000);
    }
}
