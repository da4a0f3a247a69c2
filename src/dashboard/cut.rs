//! What of a chart is drawn where it has more series, bars or points than can be read.

use std::collections::{BTreeSet, HashMap};

use super::{
    Mark, Point, Series,
    limits::{MAX_BARS, MAX_POINTS, MAX_SERIES, Notes, Others, PanelLimits},
};
use crate::{
    values::{Format, human},
    words,
};

/// A place along an axis of names: its name, and where it belongs if it is a number or a date.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) order: Option<f64>,
}

pub(super) struct Cutter<'a> {
    pub(super) mark: Mark,
    pub(super) limits: &'a PanelLimits,
    pub(super) format: Format,
    pub(super) notes: &'a mut Notes,
}

impl Cutter<'_> {
    /// Whether what lies beyond a limit is added up: only where the author says so or stacks it, and where all rows were read.
    fn sums(&self) -> bool {
        let own = if self.mark.is_stacked() { Others::Sum } else { Others::Drop };
        self.limits.others.unwrap_or(own) == Others::Sum && self.notes.unread == 0
    }

    fn note(&mut self, [shown, all]: [usize; 2], what: &str, which: &str, summed: Option<&str>, key: &'static str) {
        let rest = match (summed, all - shown) {
            (Some(name), 1) => format!("the other one is shown as \"{name}\""),
            (Some(name), _) => format!("the others are summed as \"{name}\""),
            (None, 1) => "1 is left out".to_owned(),
            (None, rest) => format!("{} are left out", words::count(rest as u64)),
        };
        let text = format!("Showing the {which} of {} {what}; {rest}.", words::count(all as u64));
        self.notes.add(text, key);
    }

    /// The largest bars, in their order; of bars over dates or numbers the latest.
    pub(super) fn bars(&mut self, series: &mut [Series], places: &[Place]) {
        let most = self.limits.bars;
        if places.len() <= most {
            return;
        }
        let ordered = places.iter().all(|place| place.order.is_some());
        let mut weights = vec![0.0; places.len()];
        for point in series.iter().flat_map(|series| &series.points) {
            weights[index(point.x)] += point.y.unwrap_or_default().abs();
        }
        let rank = |place: usize| if ordered { places[place].order.unwrap_or_default() } else { weights[place] };
        let mut ranked: Vec<usize> = (0..places.len()).collect();
        ranked.sort_by(|one, other| rank(*other).total_cmp(&rank(*one)));
        let kept: BTreeSet<usize> = ranked.into_iter().take(most).collect();
        // The sum of all earlier days is no day.
        let other = (self.sums() && !ordered).then(|| free("Other", &places.iter().map(|place| place.name.as_str())));
        let now: HashMap<usize, f64> = kept.iter().enumerate().map(|(new, old)| (*old, new as f64)).collect();
        for one in series {
            let mut sum: Option<f64> = None;
            for mut point in std::mem::take(&mut one.points) {
                match now.get(&index(point.x)) {
                    Some(x) => {
                        point.x = *x;
                        one.points.push(point);
                    }
                    None => sum = add(sum, point.y),
                }
            }
            if let (Some(name), Some(y)) = (&other, sum) {
                one.points.push(self.point(kept.len() as f64, name, Some(y)));
            }
        }
        let which = if ordered { "latest" } else { "largest" };
        self.note([most, places.len()], "bars", &format!("{} {which}", words::count(most as u64)), other.as_deref(), MAX_BARS.key);
    }

    /// The largest series, in their order: of lines by their latest value, of dots by their number, of others by all their values.
    pub(super) fn series(&mut self, series: &mut Vec<Series>) {
        let most = self.limits.series;
        let all = series.len();
        if all <= most {
            return;
        }
        let weight = |series: &Series| {
            let known = || series.points.iter().filter_map(|point| Some((point.x, point.y?)));
            match self.mark {
                Mark::Scatter => known().count() as f64,
                Mark::Line => known().max_by(|one, other| one.0.total_cmp(&other.0)).map_or(0.0, |(_, y)| y.abs()),
                _ => known().map(|(_, y)| y.abs()).sum(),
            }
        };
        let mut ranked: Vec<(usize, f64)> = series.iter().map(weight).enumerate().collect();
        ranked.sort_by(|one, other| other.1.total_cmp(&one.1));
        let kept: BTreeSet<usize> = ranked.into_iter().take(most).map(|(index, _)| index).collect();
        let (mut drawn, mut rest) = (Vec::new(), Vec::new());
        for (index, one) in std::mem::take(series).into_iter().enumerate() {
            if kept.contains(&index) { drawn.push(one) } else { rest.push(one) }
        }
        let other = (self.sums() && self.mark != Mark::Scatter).then(|| free("Other", &drawn.iter().map(|series| series.name.as_str())));
        if let Some(name) = &other {
            drawn.push(self.sum(name, &rest));
        }
        *series = drawn;
        let by = match self.mark {
            Mark::Line => " by latest value",
            Mark::Scatter => " by number of dots",
            _ => "",
        };
        self.note([most, all], "series", &format!("{} largest{by}", words::count(most as u64)), other.as_deref(), MAX_SERIES.key);
    }

    fn sum(&self, name: &str, rest: &[Series]) -> Series {
        let mut sums = HashMap::<u64, (f64, String, Option<f64>)>::new();
        for point in rest.iter().flat_map(|series| &series.points) {
            let (_, _, sum) = sums.entry(point.x.to_bits()).or_insert_with(|| (point.x, point.x_shown.clone(), None));
            *sum = add(*sum, point.y);
        }
        let points = sums.into_values().map(|(x, x_shown, y)| self.point(x, &x_shown, y)).collect();
        Series { name: name.to_owned(), points, other: true }
    }

    fn point(&self, x: f64, x_shown: &str, y: Option<f64>) -> Point {
        let y_shown = y.map(|y| human(y, self.format)).unwrap_or_default();
        Point { x, y, x_shown: x_shown.to_owned(), y_shown, name: None }
    }

    /// Fewer points of the same outline: of each span along x the places where a series is lowest, highest or missing. Dots: the first.
    pub(super) fn points(&mut self, series: &mut [Series]) {
        let all: usize = series.iter().map(|series| series.points.len()).sum();
        let most = self.limits.points;
        if all <= most {
            return;
        }
        if self.mark == Mark::Scatter {
            let share = |points: usize| (points * most).div_ceil(all);
            for one in series.iter_mut() {
                one.points.truncate(share(one.points.len()));
            }
            let shown: usize = series.iter().map(|series| series.points.len()).sum();
            return self.note([shown, all], "dots", &format!("first {}", words::count(shown as u64)), None, MAX_POINTS.key);
        }
        if !matches!(self.mark, Mark::Line | Mark::Area) {
            return;
        }
        let kept = outline(series, most, self.mark == Mark::Area);
        for one in series.iter_mut() {
            one.points.retain(|point| kept.contains(&point.x.to_bits()));
        }
        let shown: usize = series.iter().map(|series| series.points.len()).sum();
        let text = format!(
            "Showing {} of {} points: the lowest and the highest of each span.",
            words::count(shown as u64),
            words::count(all as u64)
        );
        self.notes.add(text, MAX_POINTS.key);
    }
}

/// The places along x that keep the outline of all series, about `most` points in all.
fn outline(series: &[Series], most: usize, stacked: bool) -> BTreeSet<u64> {
    // At each place there may be a point of every series, and every series keeps up to two places of a span.
    let curves = if stacked { 1 } else { series.len() };
    let spans = (most / (series.len().max(1) * 2 * curves.max(1))).max(2);
    let mut stack = Vec::new();
    if stacked {
        let mut sums = HashMap::<u64, Point>::new();
        for point in series.iter().flat_map(|series| &series.points) {
            match sums.get_mut(&point.x.to_bits()) {
                Some(sum) => sum.y = add(sum.y, point.y),
                None => drop(sums.insert(point.x.to_bits(), point.clone())),
            }
        }
        stack = sums.into_values().collect();
    }
    let curves: Vec<&[Point]> = if stacked { vec![&stack] } else { series.iter().map(|series| series.points.as_slice()).collect() };
    let range =
        curves.iter().copied().flatten().fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), point| (min.min(point.x), max.max(point.x)));
    let span_of =
        |x: f64| index(((x - range.0) / (range.1 - range.0).max(f64::MIN_POSITIVE) * spans as f64).clamp(0.0, spans as f64 - 1.0));
    let mut kept = BTreeSet::from([range.0.to_bits(), range.1.to_bits()]);
    for points in curves {
        let mut ends = vec![[None::<&Point>; 3]; spans];
        for point in points {
            let [low, high, gap] = &mut ends[span_of(point.x)];
            let Some(y) = point.y else {
                gap.get_or_insert(point);
                continue;
            };
            if low.and_then(|low| low.y).is_none_or(|low| y < low) {
                *low = Some(point);
            }
            if high.and_then(|high| high.y).is_none_or(|high| y > high) {
                *high = Some(point);
            }
        }
        kept.extend(ends.into_iter().flatten().flatten().map(|point| point.x.to_bits()));
        kept.extend(points.iter().max_by(|one, other| one.x.total_cmp(&other.x)).map(|point| point.x.to_bits()));
    }
    kept
}

fn add(sum: Option<f64>, value: Option<f64>) -> Option<f64> {
    value.map(|value| value + sum.unwrap_or_default()).or(sum)
}

/// A place in a list, as it runs along an axis.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers from 0 to the number of places")]
fn index(place: f64) -> usize {
    place as usize
}

/// A name that none of the others has.
fn free<'n>(name: &str, taken: &(impl Iterator<Item = &'n str> + Clone)) -> String {
    let mut name = name.to_owned();
    while taken.clone().any(|other| other == name) {
        name.insert_str(0, "All ");
    }
    name
}
