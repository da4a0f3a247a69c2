//! Selects the part of a chart that is drawn if it has too many series, bars or points.

use std::collections::{BTreeSet, HashMap};

use super::{Mark, Point, Series};
use crate::{
    dashboard::limits::{MAX_BARS, MAX_POINTS, MAX_SERIES, Notes, Others, PanelLimits},
    humanize,
    values::{Format, format_number},
};

/// A position along an axis of names: its name, and its order if it is a number or a date.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) order: Option<f64>,
}

pub(super) struct Reducer<'a> {
    pub(super) mark: Mark,
    pub(super) limits: &'a PanelLimits,
    pub(super) format: Format,
    pub(super) notes: &'a mut Notes,
}

impl Reducer<'_> {
    /// Returns whether values beyond a limit are added up: only if the author requests it or stacks
    /// them, and only if all rows were read.
    fn sums(&self) -> bool {
        let own = if self.mark.is_stacked() { Others::Sum } else { Others::Drop };
        self.limits.others.unwrap_or(own) == Others::Sum && self.notes.unread == 0
    }

    fn note(
        &mut self,
        [shown, all]: [usize; 2],
        what: &str,
        which: &str,
        summed: Option<&str>,
        key: &'static str,
    ) {
        let rest = match (summed, all - shown) {
            (Some(name), 1) => format!("the other one is shown as \"{name}\""),
            (Some(name), _) => format!("the others are summed as \"{name}\""),
            (None, 1) => "1 is left out".to_owned(),
            (None, rest) => format!("{} are left out", humanize::count(rest as u64)),
        };
        let text =
            format!("Showing the {which} of {} {what}; {rest}.", humanize::count(all as u64));
        if self.limits.is_top {
            self.notes.expected.push(text);
        } else {
            self.notes.add(text, key);
        }
    }

    /// Keeps the largest bars, in their order; for bars over dates or numbers, the latest.
    pub(super) fn reduce_bars(&mut self, series: &mut [Series], places: &[Place]) {
        let max = self.limits.bars;
        if places.len() <= max {
            return;
        }
        let ordered = places.iter().all(|place| place.order.is_some());
        let mut weights = vec![0.0; places.len()];
        for point in series.iter().flat_map(|series| &series.points) {
            weights[index(point.x)] += point.y.unwrap_or_default().abs();
        }
        let rank = |place: usize| {
            if ordered { places[place].order.unwrap_or_default() } else { weights[place] }
        };
        let mut ranked: Vec<usize> = (0..places.len()).collect();
        ranked.sort_by(|one, other| rank(*other).total_cmp(&rank(*one)));
        let kept: BTreeSet<usize> = ranked.into_iter().take(max).collect();
        // The sum of all earlier dates is not a date.
        let other = (self.sums() && !ordered)
            .then(|| unused_name("Other", &places.iter().map(|place| place.name.as_str())));
        let now: HashMap<usize, f64> =
            kept.iter().enumerate().map(|(new, old)| (*old, new as f64)).collect();
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
        self.note(
            [max, places.len()],
            "bars",
            &format!("{} {which}", humanize::count(max as u64)),
            other.as_deref(),
            MAX_BARS.key,
        );
    }

    /// Keeps the largest series, in their order: of lines by their latest value, of dots by their
    /// number, of others by the sum of their values.
    pub(super) fn reduce_series(&mut self, series: &mut Vec<Series>) {
        let max = self.limits.series;
        let all = series.len();
        if all <= max {
            return;
        }
        let weight = |series: &Series| {
            let known = || series.points.iter().filter_map(|point| Some((point.x, point.y?)));
            match self.mark {
                Mark::Scatter => known().count() as f64,
                Mark::Line => known()
                    .max_by(|one, other| one.0.total_cmp(&other.0))
                    .map_or(0.0, |(_, y)| y.abs()),
                _ => known().map(|(_, y)| y.abs()).sum(),
            }
        };
        let mut ranked: Vec<(usize, f64)> = series.iter().map(weight).enumerate().collect();
        ranked.sort_by(|one, other| other.1.total_cmp(&one.1));
        let kept: BTreeSet<usize> = ranked.into_iter().take(max).map(|(index, _)| index).collect();
        let (mut drawn, mut rest) = (Vec::new(), Vec::new());
        for (index, one) in std::mem::take(series).into_iter().enumerate() {
            if kept.contains(&index) { drawn.push(one) } else { rest.push(one) }
        }
        let other = (self.sums() && self.mark != Mark::Scatter)
            .then(|| unused_name("Other", &drawn.iter().map(|series| series.name.as_str())));
        if let Some(name) = &other {
            drawn.push(self.sum(name, &rest));
        }
        *series = drawn;
        let by = match self.mark {
            Mark::Line => " by latest value",
            Mark::Scatter => " by number of dots",
            _ => "",
        };
        self.note(
            [max, all],
            "series",
            &format!("{} largest{by}", humanize::count(max as u64)),
            other.as_deref(),
            MAX_SERIES.key,
        );
    }

    fn sum(&self, name: &str, rest: &[Series]) -> Series {
        let mut sums = HashMap::<u64, Point>::new();
        for point in rest.iter().flat_map(|series| &series.points) {
            let sum = sums.entry(point.x.to_bits()).or_insert_with(|| Point {
                forecast: point.forecast,
                ..self.point(point.x, &point.x_shown, None)
            });
            sum.y = add(sum.y, point.y);
        }
        let shown = |point: Point| Point {
            forecast: point.forecast,
            ..self.point(point.x, &point.x_shown, point.y)
        };
        let points = sums.into_values().map(shown).collect();
        Series { name: name.to_owned(), points, other: true, ..Series::default() }
    }

    fn point(&self, x: f64, x_shown: &str, y: Option<f64>) -> Point {
        let y_shown = y.map(|y| format_number(y, self.format)).unwrap_or_default();
        Point { x, y, x_shown: x_shown.to_owned(), y_shown, ..Point::default() }
    }

    /// Reduces points while preserving the outline. Of dots, keeps the first.
    pub(super) fn reduce_points(&mut self, series: &mut [Series]) {
        let all: usize = series.iter().map(|series| series.points.len()).sum();
        let max = self.limits.points;
        if all <= max {
            return;
        }
        if self.mark == Mark::Scatter {
            let share = |points: usize| (points * max).div_ceil(all);
            for one in series.iter_mut() {
                one.points.truncate(share(one.points.len()));
            }
            let shown: usize = series.iter().map(|series| series.points.len()).sum();
            return self.note(
                [shown, all],
                "dots",
                &format!("first {}", humanize::count(shown as u64)),
                None,
                MAX_POINTS.key,
            );
        }
        if !self.mark.is_joined() {
            return;
        }
        let share = |points: usize| (points * max / all).max(3);
        if self.mark.is_stacked() {
            // Stacked areas need the same positions: those of their sum.
            let places = series.first().map_or(0, |series| series.points.len());
            let sum: Vec<(f64, Option<f64>)> = (0..places)
                .map(|place| {
                    let at = || series.iter().filter_map(|series| series.points.get(place));
                    let x = at().map(|point| point.x).next().unwrap_or_default();
                    (x, at().fold(None, |sum, point| add(sum, point.y)))
                })
                .collect();
            let kept = largest_triangles(&sum, share(places));
            for one in series.iter_mut() {
                keep(one, &kept);
            }
        } else {
            for one in series.iter_mut() {
                let line: Vec<_> = one.points.iter().map(|point| (point.x, point.y)).collect();
                let kept = largest_triangles(&line, share(line.len()));
                keep(one, &kept);
            }
        }
        let shown: usize = series.iter().map(|series| series.points.len()).sum();
        let text = format!(
            "Showing {} of {} points, chosen so that the line keeps its shape.",
            humanize::count(shown as u64),
            humanize::count(all as u64)
        );
        self.notes.add(text, MAX_POINTS.key);
    }
}

/// Keeps the points at these positions. Gaps between them are preserved.
fn keep(series: &mut Series, kept: &BTreeSet<usize>) {
    let mut gap = false;
    let mut points = Vec::with_capacity(kept.len());
    for (place, mut point) in std::mem::take(&mut series.points).into_iter().enumerate() {
        gap |= point.after_gap;
        if kept.contains(&place) {
            point.after_gap = gap;
            gap = false;
            points.push(point);
        }
    }
    series.points = points;
}

/// Returns the positions of about `max` points that preserve the outline of a line: from each
/// interval the point with the largest triangle with the previous point and the center of the next
/// interval (Steinarsson, Downsampling Time Series for Visual Representation, 2013). The minimum,
/// the maximum, both ends, and one position of each gap are kept.
fn largest_triangles(line: &[(f64, Option<f64>)], max: usize) -> BTreeSet<usize> {
    if line.len() <= max.max(3) {
        return (0..line.len()).collect();
    }
    let last = line.len() - 1;
    let mut kept = BTreeSet::from([0, last]);
    let known = || line.iter().enumerate().filter_map(|(place, (_, y))| Some((place, (*y)?)));
    kept.extend(known().min_by(|one, other| one.1.total_cmp(&other.1)).map(|(place, _)| place));
    kept.extend(known().max_by(|one, other| one.1.total_cmp(&other.1)).map(|(place, _)| place));
    let spans = max.saturating_sub(4).max(1);
    let begin = |span: usize| 1 + span * (last - 1) / spans;
    let mut before = (line[0].0, line[0].1.unwrap_or_default());
    for span in 0..spans {
        let (from, to) = (begin(span), begin(span + 1).max(begin(span) + 1).min(last));
        let next = &line[to.min(last)..begin(span + 2).max(to + 1).min(line.len())];
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let ahead = (
            mean(next.iter().map(|(x, _)| *x).collect()),
            mean(next.iter().filter_map(|(_, y)| *y).collect()),
        );
        let area = |(x, y): (f64, f64)| {
            ((before.0 - ahead.0) * (y - before.1) - (before.0 - x) * (ahead.1 - before.1)).abs()
        };
        let points =
            || (from..to).filter_map(|place| Some((place, (line[place].0, line[place].1?))));
        if let Some((place, point)) =
            points().max_by(|one, other| area(one.1).total_cmp(&area(other.1)))
        {
            kept.insert(place);
            before = point;
        }
        // A null within the interval interrupts the line there, too.
        kept.extend((from..to).find(|place| line[*place].1.is_none()));
    }
    kept
}

fn add(sum: Option<f64>, value: Option<f64>) -> Option<f64> {
    value.map(|value| value + sum.unwrap_or_default()).or(sum)
}

/// Returns an index of a list as a position along an axis.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole numbers from 0 to the number of places"
)]
fn index(place: f64) -> usize {
    place as usize
}

/// Returns a name that no other series has.
fn unused_name<'n>(name: &str, taken: &(impl Iterator<Item = &'n str> + Clone)) -> String {
    let mut name = name.to_owned();
    while taken.clone().any(|other| other == name) {
        name.insert_str(0, "All ");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thinned_line_keeps_its_ends_its_extremes_and_its_gaps() {
        let mut line: Vec<(f64, Option<f64>)> =
            (0..100_000).map(|x| (f64::from(x), Some((f64::from(x) / 5_000.0).sin()))).collect();
        line[31_337].1 = Some(40.0);
        line[77_777].1 = Some(-40.0);
        line[50_000].1 = None;
        let kept = largest_triangles(&line, 1_000);
        assert!((900..=1_100).contains(&kept.len()), "{}", kept.len());
        for place in [0, 31_337, 50_000, 77_777, 99_999] {
            assert!(kept.contains(&place), "{place}");
        }
        assert_eq!(largest_triangles(&line[..5], 10).len(), 5);
    }
}
