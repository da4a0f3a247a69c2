//! Handling of missing values in lines and areas: nulls, and periods without a row.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{ChartSpec, Gaps, Point, Series};
use crate::values::{Format, format_number, format_time};

const DAY: f64 = 86_400_000.0;
/// Maximum number of positions filled with zero, which limits the cost of a wrong date.
const MAX_FILLED: usize = 10_000;

/// The regular distance between neighbors along x, if there is one.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Period {
    /// A number of calendar months.
    Months(i64),
    /// Days, without rows on Saturdays and Sundays.
    Weekdays,
    /// Any other distance.
    Step(f64),
}

/// Interrupts, connects or fills missing values.
pub(super) fn cross_gaps(
    series: &mut [Series],
    spec: &ChartSpec,
    x_format: Format,
    y_format: Format,
) {
    match spec.gaps {
        Gaps::Join => {
            for one in series.iter_mut().filter(|_| !spec.mark.is_stacked()) {
                one.points.retain(|point| point.y.is_some());
            }
        }
        Gaps::Break => {
            let Some(period) = Period::find(&places(series)) else { return };
            for one in series {
                let mut before = None::<f64>;
                for point in &mut one.points {
                    point.after_gap = before.is_some_and(|before| period.has_gap(before, point.x));
                    before = Some(point.x);
                }
            }
        }
        Gaps::Zero => {
            let places = places(series);
            let period = Period::find(&places);
            let mut all: Vec<f64> = Vec::new();
            for x in places {
                if let (Some(before), Some(period)) = (all.last().copied(), period) {
                    all.extend(
                        period
                            .between(before, x)
                            .take(MAX_FILLED.saturating_sub(all.len()))
                            .collect::<Vec<_>>(),
                    );
                }
                all.push(x);
            }
            let is_time = x_format.is_temporal() && x_format != Format::Year
                || all.iter().any(|x| x.abs() > 1e10);
            for one in series {
                let mut points = std::mem::take(&mut one.points).into_iter().peekable();
                for x in &all {
                    let known = points.next_if(|point| point.x.total_cmp(x).is_eq());
                    let mut point = known.unwrap_or_else(|| Point {
                        x: *x,
                        x_shown: shown(*x, x_format, is_time),
                        ..Point::default()
                    });
                    if point.y.is_none() {
                        point.y = Some(0.0);
                        point.y_shown = format_number(0.0, y_format);
                    }
                    one.points.push(point);
                }
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "moments are whole milliseconds")]
fn shown(x: f64, format: Format, is_time: bool) -> String {
    if is_time { format_time(x as i64, format) } else { format_number(x, format) }
}

/// Returns every position along x in any of the series, in order.
fn places(series: &[Series]) -> Vec<f64> {
    let mut all: Vec<f64> =
        series.iter().flat_map(|series| &series.points).map(|point| point.x).collect();
    all.sort_by(f64::total_cmp);
    all.dedup_by(|one, other| one.total_cmp(other).is_eq());
    all
}

impl Period {
    /// Returns the distance between most neighbors; `None` if there is no common one.
    fn find(places: &[f64]) -> Option<Self> {
        if places.len() < 3 {
            return None;
        }
        if let Some(dates) = places.iter().map(|x| date(*x)).collect::<Option<Vec<_>>>() {
            // Dates on the same day of the month, or at the ends of months.
            let same_day = dates.iter().all(|date| date.day() == dates[0].day());
            let ends = dates.iter().all(|date| date.day() == date.last_of_month().day());
            let steps = || dates.windows(2).map(|pair| month(pair[1]) - month(pair[0]));
            if (same_day || ends) && steps().all(|step| step > 0) {
                let step = steps().min()?;
                return steps().all(|other| other % step == 0).then_some(Self::Months(step));
            }
            let weekdays = dates.iter().all(|date| date.weekday().to_monday_one_offset() <= 5);
            let smallest = smallest(places)?;
            if weekdays && (smallest - DAY).abs() < 1.0 {
                return Some(Self::Weekdays);
            }
        }
        let step = smallest(places)?;
        let regular = places
            .windows(2)
            .filter(|pair| {
                let steps = (pair[1] - pair[0]) / step;
                (steps - steps.round()).abs() < 0.01
            })
            .count();
        let single = places.windows(2).filter(|pair| pair[1] - pair[0] < step * 1.5).count();
        // If rows have irregular distances, none is missing.
        (regular == places.len() - 1 && single * 2 >= places.len() - 1).then_some(Self::Step(step))
    }

    fn has_gap(self, before: f64, after: f64) -> bool {
        match self {
            Self::Months(step) => date(before)
                .zip(date(after))
                .is_some_and(|(one, other)| month(other) - month(one) > step),
            // Holidays are not missing data; the longest gap is from Thursday to Tuesday.
            Self::Weekdays => after - before > 5.5 * DAY,
            Self::Step(step) => after - before > step * 1.5,
        }
    }

    /// Returns the missing positions between two neighbors.
    fn between(self, before: f64, after: f64) -> impl Iterator<Item = f64> {
        let next = move |at: f64| match self {
            Self::Months(step) => {
                let date = date(at)?;
                let is_end = date.day() == date.last_of_month().day();
                let span = jiff::Span::new().try_months(step).ok()?;
                let next = date.checked_add(span).ok()?;
                millis(if is_end && date.day() > 1 { next.last_of_month() } else { next })
            }
            Self::Weekdays => {
                let friday = date(at)?.weekday().to_monday_one_offset() == 5;
                Some(at + if friday { 3.0 } else { 1.0 } * DAY)
            }
            Self::Step(step) => Some(at + step),
        };
        // The last missing position is at least half a day or step before the next one.
        let end = match self {
            Self::Months(_) | Self::Weekdays => after - DAY / 2.0,
            Self::Step(step) => after - step / 2.0,
        };
        std::iter::successors(next(before), move |at| next(*at)).take_while(move |at| *at < end)
    }
}

fn smallest(places: &[f64]) -> Option<f64> {
    places.windows(2).map(|pair| pair[1] - pair[0]).min_by(f64::total_cmp)
}

/// Returns the date of a position, if it is midnight of a plausible date.
fn date(x: f64) -> Option<Date> {
    // Years and other small numbers are not timestamps.
    if x.abs() < 1e9 && x != 0.0 || x % DAY != 0.0 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "moments are whole milliseconds")]
    let millis = x as i64;
    Some(Timestamp::from_millisecond(millis).ok()?.to_zoned(TimeZone::UTC).date())
}

fn millis(date: Date) -> Option<f64> {
    let zoned = date.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_millisecond() as f64)
}

fn month(date: Date) -> i64 {
    i64::from(date.year()) * 12 + i64::from(date.month())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn days(days: &[&str]) -> Vec<f64> {
        days.iter().map(|day| millis(day.parse().unwrap()).unwrap()).collect()
    }

    fn gaps(places: &[f64]) -> Vec<bool> {
        let period = Period::find(places);
        places
            .windows(2)
            .map(|pair| period.is_some_and(|period| period.has_gap(pair[0], pair[1])))
            .collect()
    }

    #[test]
    fn a_missing_month_is_a_gap_although_months_differ_in_length() {
        let places = days(&["2024-01-01", "2024-02-01", "2024-03-01", "2024-05-01", "2024-06-01"]);
        assert_eq!(gaps(&places), [false, false, true, false]);
        let ends = days(&["2024-01-31", "2024-02-29", "2024-03-31", "2024-06-30"]);
        assert_eq!(gaps(&ends), [false, false, true]);
        let quarters = days(&["2023-01-01", "2023-04-01", "2023-07-01", "2024-01-01"]);
        assert_eq!(gaps(&quarters), [false, false, true]);
    }

    #[test]
    fn weekends_and_holidays_are_no_gaps_and_missing_weeks_are() {
        let trading = days(&["2024-03-27", "2024-03-28", "2024-04-02", "2024-04-03", "2024-04-22"]);
        assert_eq!(gaps(&trading), [false, false, false, true]);
        let daily = days(&["2024-03-01", "2024-03-02", "2024-03-03", "2024-03-05"]);
        assert_eq!(gaps(&daily), [false, false, true]);
    }

    #[test]
    fn years_have_gaps_and_measurements_at_any_distance_have_none() {
        assert_eq!(gaps(&[2000.0, 2001.0, 2002.0, 2005.0]), [false, false, true]);
        assert_eq!(gaps(&[0.1, 0.25, 0.9, 4.0]), [false, false, false]);
        assert_eq!(gaps(&[1.0, 2.0]), [false]);
    }

    #[test]
    fn missing_periods_are_counted_by_the_calendar() {
        let places = days(&["2024-01-31", "2024-02-29", "2024-03-31", "2024-06-30"]);
        let period = Period::find(&places).unwrap();
        let between: Vec<f64> = period.between(places[2], places[3]).collect();
        assert_eq!(between, days(&["2024-04-30", "2024-05-31"]));
        assert_eq!(Period::Step(1.0).between(3.0, 6.0).collect::<Vec<_>>(), [4.0, 5.0]);
    }
}
