//! Axes: where they begin and end, and where they are labelled.

use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};

use super::{Axis, Scale, Tick};
use crate::values::{Format, human, human_time};

/// About how many labels an axis has.
const LABELS: f64 = 5.0;

/// An axis of numbers that begins and ends at a round one.
pub(super) fn round(title: String, (min, max): (f64, f64), format: Format) -> Axis {
    let (min, max) = if min < max { (min, max) } else { (min - apart(min), max + apart(max)) };
    let step = step(max - min, format);
    // Shares that add up to a hair more than one do not need another step.
    let (first, last) = ((min / step + 1e-9).floor(), (max / step - 1e-9).ceil());
    Axis { title, scale: Scale::Number, min: first * step, max: last * step, ticks: ticks(first, last, step, format) }
}

/// An axis of numbers that begins and ends with the data.
pub(super) fn tight(title: String, (min, max): (f64, f64), format: Format) -> Axis {
    let (min, max) = if min < max { (min, max) } else { (min - 0.5, max + 0.5) };
    let step = step(max - min, format);
    let ticks = ticks((min / step).ceil(), (max / step).floor(), step, format);
    Axis { title, scale: Scale::Number, min, max, ticks }
}

/// How far an axis reaches around a single value.
fn apart(value: f64) -> f64 {
    if value == 0.0 { 1.0 } else { value.abs() / 10.0 }
}

/// 1, 2, 2.5 or 5 times a power of ten; a whole number where only those are printed.
fn step(range: f64, format: Format) -> f64 {
    let rough = range / LABELS;
    let power = 10_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 2.5, 5.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough * 0.999_999).unwrap_or(10.0 * power);
    match format {
        Format::Integer | Format::Year => step.max(1.0).ceil(),
        _ => step,
    }
}

fn ticks(first: f64, last: f64, step: f64, format: Format) -> Vec<Tick> {
    // Far more than any axis has, and few enough to survive a wrong step.
    const MOST: f64 = 100.0;
    let count = (last - first).clamp(0.0, MOST);
    let format = short(first.abs().max(last.abs()) * step, step, format);
    let mut ticks = Vec::new();
    let mut index = 0.0;
    while index <= count && first <= last {
        // Adding zero makes a zero of a negative one.
        let at = (first + index) * step + 0.0;
        ticks.push(Tick { at, label: human(at, format) });
        index += 1.0;
    }
    ticks
}

/// A format with no more decimals than the step between labels needs, and no fewer.
fn short(largest: f64, step: f64, format: Format) -> Format {
    let needed = |step: f64| {
        (0..=12_u8).find(|decimals| {
            let scaled = step * 10_f64.powi(i32::from(*decimals));
            (scaled - scaled.round()).abs() < 1e-6 * scaled.abs().max(1.0)
        })
    };
    match format {
        Format::Year => Format::Year,
        Format::Percent(_) => Format::Percent(needed(step * 100.0).unwrap_or(2)),
        Format::Compact => Format::Compact,
        _ if largest >= 1e7 => Format::Compact,
        _ => match needed(step) {
            Some(0) | None => Format::Integer,
            Some(decimals) => Format::Decimal(decimals),
        },
    }
}

/// An axis of names.
pub(super) fn names(title: String, names: Vec<String>) -> Axis {
    let ticks = names.iter().enumerate().map(|(index, name)| Tick { at: index as f64, label: name.clone() }).collect();
    let max = names.len().max(1) as f64 - 0.5;
    Axis { title, scale: Scale::Category { names }, min: -0.5, max, ticks }
}

/// How far labels of a time axis are apart.
#[derive(Clone, Copy)]
enum Stride {
    Years(i16),
    Months(i8),
    Days(i64),
    Millis(i64),
}

/// An axis of days or moments, in milliseconds since 1970, that begins and ends with the data.
pub(super) fn time(title: String, (min, max): (f64, f64), format: Format) -> Axis {
    const HOUR: f64 = 3_600_000.0;
    const DAY: f64 = 24.0 * HOUR;
    let (min, max) = if min < max { (min, max) } else { (min - DAY / 2.0, max + DAY / 2.0) };
    let days = (max - min) / DAY / LABELS;
    let (stride, label) = match days {
        ..0.05 => (Stride::Millis(rounded(days * DAY, &[1_000, 10_000, 60_000, 300_000, 900_000, 3_600_000])), Format::Time),
        0.05..0.7 => (Stride::Millis(6 * 3_600_000), Format::Time),
        0.7..1.5 => (Stride::Days(1), Format::Date),
        1.5..3.5 => (Stride::Days(2), Format::Date),
        3.5..12.0 => (Stride::Days(7), Format::Date),
        12.0..45.0 => (Stride::Months(1), Format::Month),
        45.0..135.0 => (Stride::Months(3), Format::Month),
        135.0..230.0 => (Stride::Months(6), Format::Month),
        _ => (Stride::Years(i16::try_from(rounded(days / 365.25 * 1.01, &[1, 2, 5, 10, 20, 50, 100, 500])).unwrap_or(1_000)), Format::Year),
    };
    // Data by the year is not labelled by the month.
    let (stride, label) = match (format, stride) {
        (Format::Year, Stride::Months(_) | Stride::Days(_) | Stride::Millis(_)) => (Stride::Years(1), Format::Year),
        (Format::Month, Stride::Days(_) | Stride::Millis(_)) => (Stride::Months(1), Format::Month),
        other => (other.1, label),
    };
    let ticks = moments(min, max, stride).into_iter().map(|millis| Tick { at: millis as f64, label: human_time(millis, label) }).collect();
    Axis { title, scale: Scale::Time, min, max, ticks }
}

/// The first of the round ones that is no smaller; the largest if none is.
fn rounded(rough: f64, round: &[i64]) -> i64 {
    round.iter().copied().find(|step| *step as f64 >= rough).or_else(|| round.last().copied()).unwrap_or(1)
}

#[allow(clippy::cast_possible_truncation, reason = "an axis of years fits, and a float that does not saturates")]
fn moments(min: f64, max: f64, stride: Stride) -> Vec<i64> {
    const MOST: usize = 100;
    let (min, max) = (min.ceil() as i64, max.floor() as i64);
    if let Stride::Millis(step) = stride {
        let first = min.div_euclid(step) * step;
        return (0..).map(|index| first + index * step).skip_while(|at| *at < min).take_while(|at| *at <= max).take(MOST).collect();
    }
    let Ok(begin) = Timestamp::from_millisecond(min) else { return Vec::new() };
    let begin = begin.to_zoned(TimeZone::UTC).date();
    let millis = |date: Date| date.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp().as_millisecond()).ok();
    let first = match stride {
        Stride::Years(years) => Date::new(begin.year().div_euclid(years) * years, 1, 1),
        Stride::Months(months) => Date::new(begin.year(), (begin.month() - 1) / months * months + 1, 1),
        Stride::Days(_) | Stride::Millis(_) => Ok(begin),
    };
    let Ok(first) = first else { return Vec::new() };
    let next = |index: i64| match stride {
        Stride::Years(years) => first.checked_add((index * i64::from(years)).years()),
        Stride::Months(months) => first.checked_add((index * i64::from(months)).months()),
        Stride::Days(days) => first.checked_add((index * days).days()),
        Stride::Millis(_) => Ok(first),
    };
    (0..).map_while(|index| millis(next(index).ok()?)).skip_while(|at| *at < min).take_while(|at| *at <= max).take(MOST).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn numbers_are_labelled_at_round_ones_with_as_many_decimals_as_they_need() {
        let y = |range, format| round(String::new(), range, format);
        assert_eq!(labels(&y((0.0, 176_432.0), Format::Integer)), ["0", "50,000", "100,000", "150,000", "200,000"]);
        assert_eq!(labels(&y((0.12, 0.31), Format::Percent(1))), ["10 %", "15 %", "20 %", "25 %", "30 %", "35 %"]);
        assert_eq!(labels(&y((-3.0, 8.4), Format::Decimal(2))), ["-5.0", "-2.5", "0.0", "2.5", "5.0", "7.5", "10.0"]);
        assert_eq!(labels(&y((0.0, 3.0), Format::Integer)), ["0", "1", "2", "3"]);
        assert_eq!(labels(&y((0.0, 45e6), Format::Integer)), ["0", "10 M", "20 M", "30 M", "40 M", "50 M"]);
        assert_eq!(labels(&y((0.0, 1.000_000_000_000_2), Format::Percent(0))).last(), Some(&"100 %"));
        let flat = y((7.0, 7.0), Format::Decimal(1));
        assert!(flat.min < 7.0 && flat.max > 7.0 && flat.ticks.len() > 2);
        assert_eq!(labels(&tight(String::new(), (2003.0, 2026.0), Format::Year)), ["2005", "2010", "2015", "2020", "2025"]);
    }

    #[test]
    fn times_are_labelled_where_calendars_turn() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond() as f64;
        let x = |from: &str, to: &str, format| time(String::new(), (at(from), at(to)), format);
        assert_eq!(labels(&x("1990-03-01T00:00:00Z", "2026-10-01T00:00:00Z", Format::Month)), ["2000", "2010", "2020"]);
        assert_eq!(
            labels(&x("2024-11-05T00:00:00Z", "2026-02-03T00:00:00Z", Format::Date)),
            ["Jan 2025", "Apr 2025", "Jul 2025", "Oct 2025", "Jan 2026"]
        );
        assert_eq!(labels(&x("2026-02-02T00:00:00Z", "2026-02-07T00:00:00Z", Format::Date)).len(), 6);
        assert_eq!(
            labels(&x("2026-02-02T10:10:00Z", "2026-02-02T13:00:00Z", Format::Time)),
            ["2026-02-02 11:00", "2026-02-02 12:00", "2026-02-02 13:00"]
        );
    }
}
