//! Sample series with dates: futures positions, prices, imports and rainfall, in the layouts of the
//! official files.

use jiff::{
    ToSpan,
    civil::{Date, date},
};
use std::fmt::Write;

use super::base_values::{Sample, between, noise, whole};

/// First and last Tuesday of the sample positions; each refresh adds a week.
const COT: (Date, Date) = (date(2006, 6, 13), date(2026, 11, 10));
/// First and last month of the sample prices; each refresh adds a month.
const PRICES: (Date, Date) = (date(1960, 1, 1), date(2026, 10, 1));
const IMPORTS: (Date, Date) = (date(2023, 1, 1), date(2026, 9, 1));
const RAIN: (Date, Date) = (date(1995, 1, 1), date(2026, 10, 1));

/// Weekly positions after `run` refreshes.
pub(super) fn cot(sample: &Sample, run: u32) -> String {
    let mut text = String::from(
        "date,oi,mm_long,mm_short,pm_long,pm_short,sd_long,sd_short,other_long,other_short,mm_net,pm_net,sd_net,other_net\n",
    );
    let (mut funds, mut swaps, mut drift) = (0.0, 0.0, 0.0);
    let last = COT.1.saturating_add(i64::from(run).weeks());
    for (week, day) in (0_i64..).zip(COT.0.series(1.week()).take_while(|day| *day <= last)) {
        funds = 0.965 * funds + 0.024 * noise("managed money", week);
        swaps = 0.98 * swaps + 0.008 * noise("swap dealers", week);
        drift = 0.9 * drift + 0.02 * noise("open interest", week);
        let anchors = sample
            .open_interest
            .iter()
            .map(|anchor| (f64::from(anchor.year) + 0.5, anchor.contracts));
        let interest = between(anchors, year_of(day)) * (1.0 + drift);

        let managed = Side::new(interest, 0.28, (0.04 + funds).clamp(-0.20, 0.20));
        let swap = Side::new(interest, 0.16, (0.10 + swaps).clamp(-0.05, 0.15));
        let other = Side::new(interest, 0.10, 0.02 + 0.01 * noise("other reportables", week));
        // Small traders have the remainder; commercial traders take the opposite side of all
        // others.
        let small = whole(interest * 0.01 * noise("non-reportables", week));
        let trade =
            Side::against(interest, 0.62, -(managed.net() + swap.net() + other.net() + small));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{day},{},{},{},{},{},{},{},{},{},{},{},{},{}",
            whole(interest),
            managed.long,
            managed.short,
            trade.long,
            trade.short,
            swap.long,
            swap.short,
            other.long,
            other.short,
            managed.net(),
            trade.net(),
            swap.net(),
            other.net()
        );
    }
    text
}

/// Positions of one kind of trader, in contracts.
struct Side {
    long: i64,
    short: i64,
}

impl Side {
    /// Returns positions whose long and short sides add up to the share `gross` of open interest
    /// and differ by the share `net`.
    fn new(interest: f64, gross: f64, net: f64) -> Self {
        Self {
            long: whole(interest * (gross + net) / 2.0),
            short: whole(interest * (gross - net) / 2.0),
        }
    }

    /// Returns positions of about the share `gross` of open interest that differ by exactly `net`.
    fn against(interest: f64, gross: f64, net: i64) -> Self {
        let short = ((whole(interest * gross) - net) / 2).max(0).max(-net);
        Self { long: short + net, short }
    }

    fn net(&self) -> i64 {
        self.long - self.short
    }
}

/// Monthly prices after `run` refreshes.
pub(super) fn prices(sample: &Sample, run: u32) -> String {
    let mut text = String::from("month,arabica_usd_per_kg,robusta_usd_per_kg\n");
    let (mut market, mut robustas) = (0.0, 0.0);
    for (step, month) in months(PRICES.0, PRICES.1.saturating_add(i64::from(run).months())) {
        market = 0.85 * market + 0.028 * noise("price", step);
        robustas = 0.85 * robustas + 0.018 * noise("robusta", step);
        let at = year_of(month);
        let arabica = between(
            sample.price.iter().map(|price| (f64::from(price.year) + 0.5, price.arabica)),
            at,
        );
        let robusta = between(
            sample.price.iter().map(|price| (f64::from(price.year) + 0.5, price.robusta)),
            at,
        );
        let _ = writeln!(
            text,
            "{}M{:02},{:.4},{:.4}",
            month.year(),
            month.month(),
            arabica * (1.0 + market),
            robusta * (1.0 + 0.8 * market + robustas)
        );
    }
    text
}

/// Monthly US imports by origin; months without imports have no line.
pub(super) fn imports(sample: &Sample) -> String {
    let mut text = String::from("origin,month,imports_mt\n");
    for (step, month) in months(IMPORTS.0, IMPORTS.1) {
        for source in &sample.us_import {
            let away = (month.month() - source.peak).abs();
            let from_peak = f64::from(away.min(12 - away));
            let season = 1.0 + 0.25 * (3.0 - from_peak) / 3.0;
            let tons = source.tons * season * (1.0 + 0.13 * noise(&source.origin, step));
            // Small origins ship an occasional container instead of a little every month.
            let ships = source.tons >= 30.0 || noise(&source.origin, -1 - step) < 0.9;
            if ships {
                let _ = writeln!(
                    text,
                    "{},{:04}-{:02},{tons:.1}",
                    source.origin,
                    month.year(),
                    month.month()
                );
            }
        }
    }
    text
}

/// Monthly rainfall by region.
pub(super) fn rain(sample: &Sample) -> String {
    let mut text = String::from("origin,region,month,precip_mm\n");
    for rain in &sample.rain {
        let Some(season) = sample.season.get(&rain.season) else { continue };
        for (region, yearly) in &rain.regions {
            for ((step, month), share) in months(RAIN.0, RAIN.1).zip(season.iter().cycle()) {
                // Neighboring regions have wet and dry years in common.
                let year = 1.0 + 0.10 * noise(&rain.origin, i64::from(month.year()));
                let fell =
                    yearly * share / 100.0 * year * (1.0 + 0.28 * noise(region, step)).max(0.02);
                let _ = writeln!(
                    text,
                    "{},{region},{:04}-{:02},{fell:.1}",
                    rain.origin,
                    month.year(),
                    month.month()
                );
            }
        }
    }
    text
}

/// Returns every month from `first` to `last`, counted from 0. Series with a yearly pattern start
/// in January.
fn months(first: Date, last: Date) -> impl Iterator<Item = (i64, Date)> {
    (0_i64..).zip(first.series(1.month()).take_while(move |month| *month <= last))
}

/// Returns a date as a fractional year.
fn year_of(day: Date) -> f64 {
    f64::from(day.year()) + f64::from(day.day_of_year() - 1) / 366.0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop")]
    use super::*;

    #[test]
    fn positions_are_weekly_whole_and_within_open_interest() {
        let text = cot(&Sample::embedded().unwrap(), 0);
        let mut before: Option<Date> = None;
        for line in text.lines().skip(1) {
            let (day, rest) = line.split_once(',').unwrap();
            let day: Date = day.parse().unwrap();
            assert_eq!(day.weekday(), jiff::civil::Weekday::Tuesday, "{line}");
            assert!(before.is_none_or(|before| before.saturating_add(1.week()) == day), "{line}");
            before = Some(day);
            let figures: Vec<i64> = rest.split(',').map(|figure| figure.parse().unwrap()).collect();
            let [interest, sides @ .., mm, pm, sd, other] = figures.as_slice() else {
                panic!("{line}")
            };
            let pairs: Vec<[i64; 2]> = sides.chunks(2).map(|side| [side[0], side[1]]).collect();
            assert!(sides.iter().all(|side| *side >= 0), "{line}");
            for way in [0, 1] {
                assert!(pairs.iter().map(|side| side[way]).sum::<i64>() <= *interest, "{line}");
            }
            let nets: Vec<i64> = pairs.iter().map(|[long, short]| long - short).collect();
            assert_eq!(nets, [*mm, *pm, *sd, *other], "{line}");
        }
    }

    #[test]
    fn a_refresh_adds_one_week_and_one_month_and_leaves_the_past_alone() {
        let sample = Sample::embedded().unwrap();
        for series in [cot, prices] {
            let (before, after) = (series(&sample, 4), series(&sample, 5));
            assert_eq!(after.strip_prefix(before.as_str()).map(|new| new.lines().count()), Some(1));
        }
    }
}
