//! One figure, how it changed, and its history.

use serde::{Deserialize, Serialize};

use super::{
    Content, Kind, Thresholds, Visualization, optional, optional_column, table::RawThresholds,
};
use crate::{
    dashboard::{model::Panel, parse::ParseContext, rows::ResultRows},
    values::{Format, format_number},
};

pub(super) const STAT: Kind = Kind {
    name: "stat",
    keys: &[
        "sql",
        "x",
        "y",
        "unit",
        "format",
        "x_format",
        "before",
        "change",
        "good",
        "against",
        "target",
        "thresholds",
    ],
    width: 3,
    parse: |context, raw, line| {
        Some(Visualization::Stat(StatSpec {
            sql: context.required("sql", raw.sql, &raw.title, line)?,
            y: context.required_columns("y", raw.y, &raw.title, line)?.into_iter().next()?,
            x: optional_column(raw.x),
            before: raw.before.map_or(1, toml::Spanned::into_inner),
            change: raw.change.map(toml::Spanned::into_inner).unwrap_or_default(),
            good: raw.good.map(toml::Spanned::into_inner).unwrap_or_default(),
            against: optional(raw.against),
            target: raw.target.map(toml::Spanned::into_inner),
            thresholds: thresholds(context, raw.thresholds),
        }))
    },
};

/// The specification of a figure.
#[derive(Debug, Clone, PartialEq)]
pub struct StatSpec {
    pub sql: String,
    /// The column with the figure.
    pub y: String,
    /// The column with its date or name.
    pub x: Option<String>,
    /// The number of rows by which the compared figure precedes; 0 disables the comparison.
    pub before: usize,
    /// How the difference is formatted.
    pub change: ChangeKind,
    /// Which direction is favorable.
    pub good: GoodDirection,
    /// The name of the compared figure.
    pub against: Option<String>,
    /// What the figure should reach.
    pub target: Option<TargetSpec>,
    /// From which values on it is good or bad.
    pub thresholds: Option<Thresholds>,
}

fn thresholds(
    context: &mut ParseContext<'_>,
    given: Option<toml::Spanned<RawThresholds>>,
) -> Option<Thresholds> {
    let given = given?;
    match given.get_ref() {
        RawThresholds::Figure(thresholds) => Some(*thresholds),
        RawThresholds::Columns(_) => {
            let message = "thresholds of a figure are { good = 5, bad = 15 }";
            context.problem(Some(given.span().start), message.to_owned());
            None
        }
    }
}

/// What a figure should reach.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "expected a number, or the name of a column")]
pub enum TargetSpec {
    Number(f64),
    /// The column's number in the same row.
    Column(String),
}

/// What a figure should reach, and how far it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    /// The target as it is printed, without the unit.
    pub shown: String,
    /// The figure's share of it, from 0.
    pub share: f64,
    /// The share as it is printed.
    pub share_shown: String,
    /// Whether it is reached: from below, or from above where less is good.
    pub is_reached: bool,
}

/// How the difference between two figures is formatted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// As a share of the earlier figure.
    #[default]
    Percent,
    /// In the figure's unit.
    Value,
    /// In percentage points, for figures that are shares.
    Points,
}

/// Which direction of a figure is favorable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GoodDirection {
    /// More is good.
    #[default]
    Up,
    /// Less is good, for example for delays, complaints or costs.
    Down,
    /// Neither.
    None,
}

/// How a change is colored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// Good news.
    Good,
    /// Bad news.
    Bad,
    /// Neither, or no change.
    Neutral,
}

impl GoodDirection {
    fn tone(self, difference: f64) -> Tone {
        match self {
            Self::None => Tone::Neutral,
            _ if difference == 0.0 => Tone::Neutral,
            Self::Up if difference > 0.0 => Tone::Good,
            Self::Down if difference < 0.0 => Tone::Good,
            Self::Up | Self::Down => Tone::Bad,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stat {
    pub value: f64,
    /// The formatted figure, without the unit.
    pub shown: String,
    /// Its color, by the thresholds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tone: Option<Tone>,
    /// Its date, month or name.
    pub at: Option<String>,
    /// The difference from an earlier figure.
    pub change: Option<Change>,
    /// What it should reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The figures up to this one, oldest first; `None` for missing ones. Empty without a history.
    pub history: Vec<Option<f64>>,
}

/// How a figure differs from an earlier one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The difference, in the figure's unit; its sign is the direction.
    pub value: f64,
    /// The formatted difference with its sign: `+3.2%`, `−1,204 t`.
    pub shown: String,
    pub tone: Tone,
    /// What it is compared with: `Sep 2025`, `previous year`.
    pub against: String,
}

/// Maximum number of earlier figures in the history.
const MAX_HISTORY: usize = 120;

struct Figure {
    value: Option<f64>,
    target: Option<f64>,
    shown: String,
    at: Option<String>,
}

pub(super) fn draw(
    spec: &StatSpec,
    panel: &Panel,
    rows: &ResultRows<'_>,
) -> Result<Content, String> {
    let StatSpec { y, x, before, change, good, against, .. } = spec;
    let y = rows.find_number(y)?;
    let x = x.as_deref().map(|x| rows.find(x)).transpose()?;
    let x_format = x.map(|x| panel.x_format.unwrap_or_else(|| rows.default_format(x)));
    let format = panel.values.format().unwrap_or_else(|| rows.value_format(y));
    let target = match &spec.target {
        Some(TargetSpec::Column(column)) => Some(rows.find_number(&column.to_lowercase())?),
        _ => None,
    };
    let figures: Vec<Figure> = rows
        .each()
        .map(|row| Figure {
            value: row.number(y),
            target: match &spec.target {
                Some(TargetSpec::Number(number)) => Some(*number),
                _ => target.and_then(|target| row.number(target)),
            },
            shown: row.format(y, format).unwrap_or_default().into_owned(),
            at: x.zip(x_format).and_then(|(x, format)| Some(row.format(x, format)?.into_owned())),
        })
        .collect();
    let Some((place, value)) =
        figures.iter().enumerate().rev().find_map(|(place, figure)| Some((place, figure.value?)))
    else {
        return Ok(Content::Empty { reason: String::new() });
    };
    let unit = panel.values.suffix();
    let earlier = Some(*before)
        .filter(|before| *before > 0)
        .and_then(|before| figures.get(place.checked_sub(before)?));
    let change = earlier.and_then(|earlier| {
        let (difference, shown) = difference(value, earlier.value?, *change, format, unit);
        let against =
            against.clone().or_else(|| earlier.at.clone()).unwrap_or_else(|| "previous".to_owned());
        Some(Change { value: difference, shown, tone: good.tone(difference), against })
    });
    let target = figures[place].target.filter(|target| *target > 0.0).map(|target| Target {
        shown: format_number(target, format),
        share: (value / target).max(0.0),
        share_shown: share_shown(value / target),
        is_reached: if *good == GoodDirection::Down { value <= target } else { value >= target },
    });
    let history =
        if place == 0 { &[] } else { &figures[(place + 1).saturating_sub(MAX_HISTORY)..=place] };
    Ok(Content::Stat(Stat {
        value,
        shown: figures[place].shown.clone(),
        tone: spec.thresholds.map(|thresholds| thresholds.tone(value)),
        at: figures[place].at.clone(),
        change,
        target,
        history: history.iter().map(|figure| figure.value).collect(),
    }))
}

/// Formats a share of a target, which is 100% only where the target is met.
fn share_shown(share: f64) -> String {
    let whole = (share * 100.0).round() / 100.0;
    if share < 1.0 && whole >= 1.0 {
        return format_number((share * 1e4).floor() / 1e4, Format::Percent(2));
    }
    if share > 1.0 && whole <= 1.0 {
        return format_number((share * 1e4).ceil() / 1e4, Format::Percent(2));
    }
    format_number(share, Format::Percent(0))
}

/// Returns the difference in the figure's unit, and formatted.
fn difference(
    now: f64,
    before: f64,
    kind: ChangeKind,
    format: Format,
    unit: Option<&str>,
) -> (f64, String) {
    let difference = now - before;
    let signed = |shown: String| if difference > 0.0 { format!("+{shown}") } else { shown };
    let unit = unit.map(|unit| format!(" {unit}")).unwrap_or_default();
    let shown = match kind {
        // A percentage of zero, or of a negative number, is meaningless.
        ChangeKind::Percent if before > 0.0 => {
            let share = difference / before;
            // From a hundredfold on, a percentage is hard to read.
            if share.abs() >= 100.0 {
                signed(format!("{}{unit}", format_number(difference, format)))
            } else {
                signed(format_number(share, Format::Percent(1)))
            }
        }
        ChangeKind::Points => {
            signed(format!("{} pp", format_number(difference * 100.0, Format::Decimal(1))))
        }
        ChangeKind::Percent | ChangeKind::Value => {
            signed(format!("{}{unit}", format_number(difference, format)))
        }
    };
    (difference, shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_printed_as_its_kind_says_and_never_as_a_share_of_less_than_nothing() {
        let shown = |now, before, kind| difference(now, before, kind, Format::Integer, None).1;
        assert_eq!(shown(110.0, 100.0, ChangeKind::Percent), "+10.0%");
        assert_eq!(shown(90.0, 100.0, ChangeKind::Percent), "−10.0%");
        assert_eq!(shown(100.0, 100.0, ChangeKind::Percent), "0.0%");
        assert_eq!(shown(12_000.0, -4_000.0, ChangeKind::Percent), "+16,000");
        assert_eq!(shown(0.25, 0.21, ChangeKind::Points), "+4.0 pp");
        assert_eq!(shown(-9_500.0, -4_000.0, ChangeKind::Value), "−5,500");
        assert_eq!(shown(5.0, 1e-9, ChangeKind::Percent), "+5");
    }

    #[test]
    fn a_target_that_is_nearly_met_is_not_met() {
        let shown = [0.974, 0.996, 0.99999, 1.0, 1.000_001, 1.04].map(share_shown);
        assert_eq!(shown, ["97%", "99.60%", "99.99%", "100%", "100.01%", "104%"]);
    }

    #[test]
    fn a_difference_in_the_unit_names_the_unit() {
        let shown = |kind, now| difference(now, 4_000.0, kind, Format::Integer, Some("k bags")).1;
        assert_eq!(shown(ChangeKind::Value, 9_930.0), "+5,930 k bags");
        assert_eq!(shown(ChangeKind::Value, 2_000.0), "−2,000 k bags");
        assert_eq!(shown(ChangeKind::Percent, 5_000.0), "+25.0%");
    }

    #[test]
    fn more_delay_is_not_good_news() {
        assert_eq!(GoodDirection::Up.tone(3.0), Tone::Good);
        assert_eq!(GoodDirection::Down.tone(3.0), Tone::Bad);
        assert_eq!(GoodDirection::Down.tone(-3.0), Tone::Good);
        assert_eq!(GoodDirection::None.tone(3.0), Tone::Neutral);
        assert_eq!(GoodDirection::Up.tone(0.0), Tone::Neutral);
    }
}
