//! Computes the range and the labels of axes.

use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};

use super::{Axis, Scale, Tick};
use crate::values::{Format, format_number, format_time};

/// Approximate number of labels of an axis.
const LABELS: f64 = 5.0;
/// Limit on labels, which a correct step never reaches.
const MAX_TICKS: usize = 100;
/// Maximum decimals of a label; more precise ones are printed with a power of ten.
const MAX_DECIMALS: u8 = 8;

/// Returns a numeric axis that begins and ends at round numbers.
pub(super) fn nice_axis(title: String, (min, max): (f64, f64), format: Format) -> Axis {
    let (min, max) = if min < max { (min, max) } else { (min - margin(min), max + margin(max)) };
    let step = step(max - min, format);
    // Shares whose sum slightly exceeds one, due to rounding, must not add a step.
    let (first, last) = ((min / step + 1e-9).floor(), (max / step - 1e-9).ceil());
    Axis {
        title,
        has_title: false,
        log: false,
        scale: Scale::Number,
        min: first * step,
        max: last * step,
        ticks: ticks(first, last, step, format),
    }
}

/// Returns a numeric axis that begins and ends with the data.
pub(super) fn data_axis(title: String, (min, max): (f64, f64), format: Format) -> Axis {
    let (min, max) = if min < max { (min, max) } else { (min - 0.5, max + 0.5) };
    let step = step(max - min, format);
    let ticks = ticks((min / step).ceil(), (max / step).floor(), step, format);
    Axis { title, has_title: false, log: false, scale: Scale::Number, min, max, ticks }
}

/// Returns a logarithmic axis. All values must be positive.
pub(super) fn log_axis(title: String, (min, max): (f64, f64), format: Format) -> Axis {
    let (first, last) = (min.log10() + 1e-9, max.log10() - 1e-9);
    let (first, last) = (first.floor(), last.ceil().max(first.floor() + 1.0));
    // Up to two decades also have labels between the powers of ten; with many decades, some powers
    // have none.
    let factors: &[f64] = if last - first <= 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let every = ((last - first) / (2.0 * LABELS)).ceil().max(1.0);
    let mut ticks = Vec::new();
    let mut power = first;
    while power <= last && ticks.len() < MAX_TICKS {
        for factor in factors {
            let at = factor * 10_f64.powf(power);
            if at <= 10_f64.powf(last) * 1.000_001 {
                ticks.push(Tick { at, label: log_label(at, format) });
            }
        }
        power += every;
    }
    Axis {
        title,
        has_title: false,
        log: true,
        scale: Scale::Number,
        min: 10_f64.powf(first),
        max: 10_f64.powf(last),
        ticks,
    }
}

/// Formats a label of a logarithmic scale, with as many decimals as the number itself has.
pub(super) fn log_label(at: f64, format: Format) -> String {
    let needed = decimals_of(at);
    let label = match format {
        Format::Percent(_) => Format::Percent(decimals_of(at * 100.0)),
        _ if !(1e-7..1e15).contains(&at) => Format::Scientific(2),
        _ if at >= 1e4 => Format::Compact,
        _ if needed == 0 => Format::Integer,
        _ => Format::Decimal(needed),
    };
    format_number(at, label)
}

/// Returns how far an axis extends around a single value.
fn margin(value: f64) -> f64 {
    if value == 0.0 { 1.0 } else { value.abs() / 10.0 }
}

/// Returns the smallest of 1, 2, 2.5 or 5 times a power of ten that is at least `rough`.
pub(super) fn round_step(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 2.5, 5.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough * 0.999_999)
        .unwrap_or(10.0 * power)
}

/// Returns the distance between labels, which is an integer if the format prints only integers.
fn step(range: f64, format: Format) -> f64 {
    let step = round_step(range / LABELS);
    match format {
        Format::Integer | Format::Year | Format::Season => step.max(1.0).ceil(),
        _ => step,
    }
}

fn ticks(first: f64, last: f64, step: f64, format: Format) -> Vec<Tick> {
    let count = (last - first).clamp(0.0, MAX_TICKS as f64);
    let mut places = Vec::new();
    let mut index = 0.0;
    while index <= count && first <= last {
        // Adding zero converts negative zero to zero.
        places.push((first + index) * step + 0.0);
        index += 1.0;
    }
    let largest = first.abs().max(last.abs()) * step;
    let labels = labels(&places, largest, step, format);
    places.into_iter().zip(labels).map(|(at, label)| Tick { at, label }).collect()
}

/// Formats labels with no more decimals than the step requires, but enough to distinguish them.
fn labels(places: &[f64], largest: f64, step: f64, format: Format) -> Vec<String> {
    let print = |format: Format| -> Vec<String> {
        places.iter().map(|at| format_number(*at, format)).collect()
    };
    let needed = decimals_of(step);
    let is_wide = largest >= 1e7 || format == Format::Compact && largest >= 1e3;
    let candidates = match format {
        Format::Year | Format::Season => vec![format],
        Format::Percent(_) => vec![Format::Percent(decimals_of(step * 100.0))],
        _ if !(1e-7..1e15).contains(&largest) || needed > MAX_DECIMALS => {
            vec![Format::Scientific(2), Format::Scientific(4)]
        }
        _ if is_wide => {
            vec![Format::Compact, Format::CompactDecimal(compact_decimals(largest, step))]
        }
        _ => vec![if needed == 0 { Format::Integer } else { Format::Decimal(needed) }],
    };
    let all_differ = |labels: &Vec<String>| labels.windows(2).all(|pair| pair[0] != pair[1]);
    candidates.into_iter().map(print).find(all_differ).unwrap_or_else(|| print(Format::Plain))
}

/// Returns how many decimals a step between labels needs.
pub(super) fn decimals_of(step: f64) -> u8 {
    let fits = |decimals: &u8| {
        let scaled = step * 10_f64.powi(i32::from(*decimals));
        (scaled - scaled.round()).abs() < 1e-6 * scaled.abs().max(1e-3) && scaled.round() != 0.0
    };
    (0..=15_u8).find(fits).unwrap_or(0)
}

/// Returns how many decimals a step needs in the unit of the largest label: thousands, millions.
fn compact_decimals(largest: f64, step: f64) -> u8 {
    let thousands = (largest.log10() / 3.0).floor().clamp(0.0, 4.0);
    decimals_of(step / 1_000_f64.powf(thousands)).min(MAX_DECIMALS)
}

/// Returns an axis with names.
pub(super) fn category_axis(title: String, names: Vec<String>) -> Axis {
    let ticks = names
        .iter()
        .enumerate()
        .map(|(index, name)| Tick { at: index as f64, label: name.clone() })
        .collect();
    let max = names.len().max(1) as f64 - 0.5;
    Axis {
        title,
        has_title: false,
        log: false,
        scale: Scale::Category { names },
        min: -0.5,
        max,
        ticks,
    }
}

/// The distance between the labels of a time axis.
#[derive(Clone, Copy)]
enum Stride {
    Years(i16),
    Months(i8),
    Days(i64),
    Millis(i64),
}

/// Returns an axis of dates or timestamps, in milliseconds since 1970, that begins and ends with
/// the data and has labels at boundaries of calendar or clock units. Dates are never labelled by
/// the hour, nor months by the day.
pub(super) fn calendar_axis(
    title: String,
    (min, max): (f64, f64),
    format: Format,
    is_zoned: bool,
) -> Axis {
    const SECOND: i64 = 1_000;
    const MINUTE: i64 = 60 * SECOND;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: f64 = 24.0 * HOUR as f64;
    let (min, max) = if min < max { (min, max) } else { (min - DAY / 2.0, max + DAY / 2.0) };
    let days = (max - min) / DAY / LABELS;
    let (stride, label) = match days {
        ..0.18 => {
            let steps = [
                1,
                2,
                5,
                10,
                20,
                50,
                100,
                200,
                500,
                SECOND,
                2 * SECOND,
                5 * SECOND,
                10 * SECOND,
                15 * SECOND,
                30 * SECOND,
                MINUTE,
                2 * MINUTE,
                5 * MINUTE,
                10 * MINUTE,
                15 * MINUTE,
                30 * MINUTE,
                HOUR,
                2 * HOUR,
                3 * HOUR,
                6 * HOUR,
            ];
            let step = round_up(days * DAY, &steps);
            let label = if step < SECOND {
                Format::Millisecond
            } else if step < MINUTE {
                Format::Second
            } else {
                Format::Time
            };
            (Stride::Millis(step), label)
        }
        0.18..0.3 => (Stride::Millis(6 * HOUR), Format::Time),
        0.3..0.7 => (Stride::Millis(12 * HOUR), Format::Time),
        0.7..1.5 => (Stride::Days(1), Format::Date),
        1.5..3.5 => (Stride::Days(2), Format::Date),
        3.5..12.0 => (Stride::Days(7), Format::Date),
        12.0..45.0 => (Stride::Months(1), Format::Month),
        45.0..135.0 => (Stride::Months(3), Format::Month),
        135.0..230.0 => (Stride::Months(6), Format::Month),
        _ => (
            Stride::Years(
                i16::try_from(round_up(days / 365.25 * 1.01, &[1, 2, 5, 10, 20, 50, 100, 500]))
                    .unwrap_or(1_000),
            ),
            Format::Year,
        ),
    };
    let (stride, label) = match (format, stride) {
        (Format::Year, Stride::Months(_) | Stride::Days(_) | Stride::Millis(_)) => {
            (Stride::Years(1), Format::Year)
        }
        (Format::Month, Stride::Days(_) | Stride::Millis(_)) => (Stride::Months(1), Format::Month),
        (Format::Date, Stride::Millis(_)) => (Stride::Days(1), Format::Date),
        other => (other.1, label),
    };
    let places = calendar_ticks(min, max, stride);
    let has_clock = matches!(label, Format::Time | Format::Second | Format::Millisecond);
    let day = |millis: &i64| format_time(*millis, Format::Date);
    // A date that all labels have in common is printed once.
    let shared = places
        .first()
        .map(day)
        .filter(|first| has_clock && places.iter().all(|millis| day(millis) == *first));
    let print = |millis: i64| {
        let text = format_time(millis, label);
        let clock = shared.as_ref().and_then(|day| text.strip_prefix(day.as_str()));
        clock.map_or_else(|| text.clone(), |clock| clock.trim_start().to_owned())
    };
    let zone = (has_clock && is_zoned).then_some("UTC");
    let about: Vec<&str> = shared.as_deref().into_iter().chain(zone).collect();
    let has_title = !about.is_empty();
    let title = if has_title { format!("{title} ({})", about.join(", ")) } else { title };
    let ticks =
        places.iter().map(|millis| Tick { at: *millis as f64, label: print(*millis) }).collect();
    Axis { title, has_title, log: false, scale: Scale::Time, min, max, ticks }
}

/// Returns the smallest round number that is no smaller than `rough`, or the largest of all.
fn round_up(rough: f64, round: &[i64]) -> i64 {
    round
        .iter()
        .copied()
        .find(|step| *step as f64 >= rough * 0.999_999)
        .or_else(|| round.last().copied())
        .unwrap_or(1)
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "an axis of years fits, and a float that does not saturates"
)]
fn calendar_ticks(min: f64, max: f64, stride: Stride) -> Vec<i64> {
    let (min, max) = (min.ceil() as i64, max.floor() as i64);
    if let Stride::Millis(step) = stride {
        let first = min.div_euclid(step) * step;
        return (0..)
            .map(|index| first + index * step)
            .skip_while(|at| *at < min)
            .take_while(|at| *at <= max)
            .take(MAX_TICKS)
            .collect();
    }
    let Ok(begin) = Timestamp::from_millisecond(min) else { return Vec::new() };
    let begin = begin.to_zoned(TimeZone::UTC).date();
    let millis = |date: Date| {
        date.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp().as_millisecond()).ok()
    };
    let first = match stride {
        Stride::Years(years) => Date::new(begin.year().div_euclid(years) * years, 1, 1),
        Stride::Months(months) => {
            Date::new(begin.year(), (begin.month() - 1) / months * months + 1, 1)
        }
        Stride::Days(_) | Stride::Millis(_) => Ok(begin),
    };
    let Ok(first) = first else { return Vec::new() };
    let next = |index: i64| match stride {
        Stride::Years(years) => first.checked_add((index * i64::from(years)).years()),
        Stride::Months(months) => first.checked_add((index * i64::from(months)).months()),
        Stride::Days(days) => first.checked_add((index * days).days()),
        Stride::Millis(_) => Ok(first),
    };
    (0..)
        .map_while(|index| millis(next(index).ok()?))
        .skip_while(|at| *at < min)
        .take_while(|at| *at <= max)
        .take(MAX_TICKS)
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn numbers_are_labeled_at_round_ones_with_as_many_decimals_as_they_need() {
        let y = |range, format| nice_axis(String::new(), range, format);
        assert_eq!(
            labels(&y((0.0, 176_432.0), Format::Integer)),
            ["0", "50,000", "100,000", "150,000", "200,000"]
        );
        assert_eq!(
            labels(&y((0.12, 0.31), Format::Percent(1))),
            ["10%", "15%", "20%", "25%", "30%", "35%"]
        );
        assert_eq!(
            labels(&y((-3.0, 8.4), Format::Decimal(2))),
            ["−5.0", "−2.5", "0.0", "2.5", "5.0", "7.5", "10.0"]
        );
        assert_eq!(labels(&y((0.0, 3.0), Format::Integer)), ["0", "1", "2", "3"]);
        assert_eq!(
            labels(&y((0.0, 45e6), Format::Integer)),
            ["0", "10 M", "20 M", "30 M", "40 M", "50 M"]
        );
        assert_eq!(
            labels(&y((0.0, 1.000_000_000_000_2), Format::Percent(0))).last(),
            Some(&"100%")
        );
        let flat = y((7.0, 7.0), Format::Decimal(1));
        assert!(flat.min < 7.0 && flat.max > 7.0 && flat.ticks.len() > 2);
        assert_eq!(
            labels(&data_axis(String::new(), (2003.0, 2026.0), Format::Year)),
            ["2005", "2010", "2015", "2020", "2025"]
        );
    }

    #[test]
    fn no_two_labels_are_the_same_and_none_is_a_zero_that_is_not_one() {
        let ranges = [
            (12_345_678.0, 12_345_999.0),
            (1_000_003_000.0, 1_000_042_000.0),
            (0.000_120, 0.000_138),
            (1e9 + 1e-6, 1e9 + 9e-6),
            (0.0, 1e300),
            (0.0, 9e-300),
            (1e-12, 1e-11),
            (-3e18, 3e18),
            (999_999.0, 1_000_001.0),
        ];
        for range in ranges {
            for format in [Format::Decimal(2), Format::Compact, Format::Plain] {
                let axis = nice_axis(String::new(), range, format);
                let labels = labels(&axis);
                assert!(labels.len() > 1, "{range:?}");
                for pair in labels.windows(2) {
                    assert_ne!(pair[0], pair[1], "{range:?} {format:?}: {labels:?}");
                }
                for (tick, label) in axis.ticks.iter().zip(&labels) {
                    assert_eq!(
                        tick.at == 0.0,
                        !label.contains(|letter: char| matches!(letter, '1'..='9')),
                        "{range:?} {format:?}: {labels:?}"
                    );
                    assert!(label.len() < 24, "{label}");
                }
            }
        }
        let huge = nice_axis(String::new(), (0.0, 1e300), Format::Decimal(2));
        assert_eq!(labels(&huge).last(), Some(&"1e300"));
    }

    #[test]
    fn a_logarithmic_axis_is_labeled_at_powers_of_ten() {
        let axis = log_axis(String::new(), (1.0, 1e9), Format::Integer);
        assert_eq!(labels(&axis)[..3], ["1", "10", "100"]);
        assert_eq!(labels(&axis).last(), Some(&"1 B"));
        assert!((axis.fraction(1e3) - 1.0 / 3.0).abs() < 1e-9);
        let narrow = log_axis(String::new(), (30.0, 900.0), Format::Integer);
        assert_eq!(labels(&narrow), ["10", "20", "50", "100", "200", "500", "1,000"]);
        let wide = log_axis(String::new(), (1e-12, 1e300), Format::Decimal(2));
        assert!(labels(&wide).len() <= 12, "{:?}", labels(&wide));
    }

    #[test]
    fn times_are_labeled_where_calendars_and_clocks_begin_anew() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond() as f64;
        let x = |from: &str, to: &str, format| {
            calendar_axis("When".to_owned(), (at(from), at(to)), format, true)
        };
        assert_eq!(
            labels(&x("1990-03-01T00:00:00Z", "2026-10-01T00:00:00Z", Format::Month)),
            ["2000", "2010", "2020"]
        );
        assert_eq!(
            labels(&x("2024-11-05T00:00:00Z", "2026-02-03T00:00:00Z", Format::Date)),
            ["Jan 2025", "Apr 2025", "Jul 2025", "Oct 2025", "Jan 2026"]
        );
        assert_eq!(
            labels(&x("2026-02-02T00:00:00Z", "2026-02-07T00:00:00Z", Format::Date)).len(),
            6
        );
        let clock = x("2026-02-02T10:10:00Z", "2026-02-02T13:00:00Z", Format::Time);
        assert_eq!(labels(&clock), ["11:00", "12:00", "13:00"]);
        assert_eq!((clock.title.as_str(), clock.has_title), ("When (2026-02-02, UTC)", true));
        let night = x("2024-10-26T20:00:00Z", "2024-10-27T06:00:00Z", Format::Time);
        assert_eq!(labels(&night)[0], "2024-10-26 20:00");
        assert_eq!(night.title, "When (UTC)");
        let days = x("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", Format::Date);
        assert_eq!(labels(&days), ["2024-01-01", "2024-01-02"]);
        assert_eq!(days.title, "When");
        let seconds = x("2024-01-01T09:00:00Z", "2024-01-01T09:00:49Z", Format::Second);
        assert_eq!(labels(&seconds), ["09:00:00", "09:00:10", "09:00:20", "09:00:30", "09:00:40"]);
        let fractions = x("2024-01-01T00:00:00Z", "2024-01-01T00:00:04.75Z", Format::Millisecond);
        assert_eq!(labels(&fractions)[1], "00:00:01");
    }
}
