//! Assigns one color to each series of a dashboard, independent of the selection and in both front
//! ends.
//!
//! Colors are indexes of a palette, which each front end adapts to its background. Names with a
//! color in the file have that color. The others are sorted and get the free indexes in order;
//! those beyond the palette share colors with names with which they are never drawn, or are gray if
//! there are none, as is the sum of series that are not drawn. No chart has the same color twice.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use super::kinds::{Chart, Content};
use crate::humanize;

/// Number of colors in the palette.
pub const PALETTE_SIZE: usize = 20;

/// The names of the palette's colors. The first one is the brand's.
const NAMES: [&str; PALETTE_SIZE] = [
    "accent", "orange", "purple", "red", "yellow", "cyan", "brown", "olive", "magenta", "blue",
    "coral", "lavender", "pink", "mustard", "teal", "tan", "lime", "orchid", "sky", "green",
];
/// What queries call the sum of what they leave out.
const OTHER: &str = "Other";
const GRAY: [&str; 2] = ["gray", "grey"];

/// Parses the name of a color in files.
pub(super) fn parse(name: &str) -> Result<Option<u8>, String> {
    if GRAY.contains(&name) {
        return Ok(None);
    }
    let place = NAMES.iter().position(|known| *known == name);
    let place = place.and_then(|place| u8::try_from(place).ok());
    place.map(Some).ok_or_else(|| {
        humanize::unknown_name_message("color", name, NAMES.into_iter().chain(["gray"]))
    })
}

/// Gives each series of a dashboard its color. `known` are the names of series that are drawn while
/// nothing is selected, so that a selection changes no color; `has_single` is whether a chart of
/// the dashboard always has one series.
pub(super) fn assign<'a>(
    contents: impl Iterator<Item = &'a mut Content>,
    declared: &BTreeMap<String, Option<u8>>,
    known: &[Vec<String>],
    has_single: bool,
) {
    let mut charts: Vec<&mut Chart> = contents.flat_map(Content::charts_mut).collect();
    // The only series of a chart has the brand's color, unless it is compared elsewhere.
    let visible: Vec<Vec<String>> = charts.iter().map(|chart| compared(chart)).collect();
    let mut colors = declared.clone();
    let mut free: Vec<u8> = (u8::from(has_single)..).take(PALETTE_SIZE).collect();
    free.retain(|place| {
        usize::from(*place) < PALETTE_SIZE && !declared.values().any(|other| *other == Some(*place))
    });
    let mut free = free.into_iter();
    // Series drawn without a selection come first, so that their colors do not depend on one.
    let sorted = |groups: &[Vec<String>]| {
        let names: BTreeSet<&String> = groups.iter().flatten().collect();
        let mut sorted: Vec<String> = names.into_iter().cloned().collect();
        sorted.sort_by(|one, other| compare_names(one, other));
        sorted
    };
    for name in sorted(known).into_iter().chain(sorted(&visible)) {
        if colors.contains_key(&name) || name == OTHER {
            continue;
        }
        // With more names than colors, names that are never in the same chart may share one.
        let color = free.next().or_else(|| {
            let together =
                known.iter().chain(&visible).filter(|group| group.contains(&name)).flatten();
            let taken: BTreeSet<u8> =
                together.filter_map(|other| colors.get(other).copied().flatten()).collect();
            (u8::from(has_single)..u8::try_from(PALETTE_SIZE).unwrap_or(u8::MAX)).find(|place| {
                !taken.contains(place) && !declared.values().any(|own| *own == Some(*place))
            })
        });
        colors.insert(name, color);
    }
    for chart in &mut charts {
        let alone = chart.series.len() == 1;
        for series in &mut chart.series {
            series.color = match colors.get(&series.name) {
                _ if series.other => None,
                None if series.name == OTHER => None,
                // Its series are parts of one figure.
                _ if !chart.mark.has_legend() => Some(0),
                Some(color) => *color,
                None if alone => Some(0),
                None => None,
            };
        }
    }
}

/// Returns the names of the series that each chart compares.
pub(super) fn compared_names(content: &Content) -> Vec<Vec<String>> {
    content.charts().map(compared).collect()
}

fn compared(chart: &Chart) -> Vec<String> {
    let is_compared = chart.series.len() > 1 && chart.mark.has_legend();
    let series = chart.series.iter().filter(|series| is_compared && !series.other);
    series.map(|series| series.name.clone()).collect()
}

/// Compares names in natural order: numbers within them by value, and null last.
pub(super) fn compare_names(one: &str, other: &str) -> Ordering {
    let is_none = |name: &str| name == super::kinds::NONE;
    is_none(one).cmp(&is_none(other)).then_with(|| natural(one, other)).then_with(|| one.cmp(other))
}

fn natural(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.chars().peekable(), other.chars().peekable());
    let number = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
        let mut digits = String::new();
        while let Some(digit) = chars.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        let digits = digits.trim_start_matches('0').to_owned();
        (digits.len(), digits)
    };
    loop {
        let order = match (one.peek().copied(), other.peek().copied()) {
            (None, None) => return Ordering::Equal,
            (Some(left), Some(right)) if left.is_ascii_digit() && right.is_ascii_digit() => {
                number(&mut one).cmp(&number(&mut other))
            }
            (left, right) => {
                one.next();
                other.next();
                left.map(lower).cmp(&right.map(lower))
            }
        };
        if order.is_ne() {
            return order;
        }
    }
}

fn lower(letter: char) -> char {
    letter.to_lowercase().next().unwrap_or(letter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::kinds::{Axis, Mark, Scale, Series};

    fn chart(names: &[&str]) -> Content {
        let axis = || Axis {
            title: String::new(),
            has_title: false,
            log: false,
            scale: Scale::Number,
            min: 0.0,
            max: 1.0,
            ticks: Vec::new(),
        };
        let series = |name: &&str| Series {
            name: (*name).to_owned(),
            points: Vec::new(),
            other: *name == "Other",
            ..Series::default()
        };
        Content::Chart(Chart {
            mark: Mark::Line,
            x: axis(),
            y: axis(),
            series: names.iter().map(series).collect(),
            ..Chart::default()
        })
    }

    fn colors(contents: &[Content]) -> Vec<(String, Option<u8>)> {
        let charts = contents.iter().filter_map(|content| match content {
            Content::Chart(chart) => Some(chart),
            _ => None,
        });
        charts
            .flat_map(|chart| &chart.series)
            .map(|series| (series.name.clone(), series.color))
            .collect()
    }

    #[test]
    fn a_series_has_one_color_on_every_panel_in_every_order_and_whatever_is_selected() {
        let declared = BTreeMap::from([("Brazil".to_owned(), Some(19))]);
        let of = |panels: &[&[&str]], known: &[&str]| {
            let mut contents: Vec<Content> = panels.iter().map(|names| chart(names)).collect();
            let known: Vec<String> = known.iter().map(|name| (*name).to_owned()).collect();
            assign(contents.iter_mut(), &declared, &[known], false);
            colors(&contents).into_iter().collect::<BTreeMap<_, _>>()
        };
        let everything = ["Brazil", "Colombia", "Vietnam", "Peru"];
        let all = of(&[&everything, &["Peru", "Brazil", "Other"]], &everything);
        assert_eq!(all["Brazil"], Some(19));
        assert_eq!(all["Other"], None);
        let distinct: BTreeSet<_> = all.values().flatten().collect();
        assert_eq!(distinct.len(), 4);
        let some = of(&[&["Vietnam", "Peru"]], &everything);
        assert_eq!((some["Vietnam"], some["Peru"]), (all["Vietnam"], all["Peru"]));
        let one = of(&[&["Vietnam"]], &everything);
        assert_eq!(one["Vietnam"], some["Vietnam"]);
    }

    #[test]
    fn more_series_than_colors_are_gray_and_never_share_one() {
        let names: Vec<String> = (0..40).map(|number| format!("Shop {number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut contents = [chart(&names)];
        assign(contents.iter_mut(), &BTreeMap::new(), &[], false);
        let colors = colors(&contents);
        let colored: Vec<u8> = colors.iter().filter_map(|(_, color)| *color).collect();
        assert_eq!(colored.len(), PALETTE_SIZE);
        assert_eq!(colored.iter().collect::<BTreeSet<_>>().len(), PALETTE_SIZE);
    }

    #[test]
    fn names_that_are_never_in_one_chart_may_share_a_color_before_one_becomes_gray() {
        let shops: Vec<String> = (10..28).map(|number| format!("Shop {number}")).collect();
        let shops: Vec<&str> = shops.iter().map(String::as_str).collect();
        let mut contents = [chart(&shops), chart(&["Tea", "Water", "Wine"])];
        assign(contents.iter_mut(), &BTreeMap::new(), &[], true);
        let colors: BTreeMap<_, _> = colors(&contents).into_iter().collect();
        assert!(colors.values().all(Option::is_some), "{colors:?}");
        let drinks: BTreeSet<_> = ["Tea", "Water", "Wine"].map(|name| colors[name]).into();
        assert_eq!(drinks.len(), 3);
    }

    #[test]
    fn names_are_sorted_as_people_sort_them() {
        let mut names = ["Shop 10", "shop 9", "(none)", "Apples", "Shop 010"];
        names.sort_by(|one, other| compare_names(one, other));
        assert_eq!(names, ["Apples", "shop 9", "Shop 010", "Shop 10", "(none)"]);
    }
}
