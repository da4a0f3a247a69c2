//! One figure, what it was before, and its history.

use super::{
    Change, Content, Stat,
    model::{ChangeKind, Drawing, Panel},
    rows::Rows,
};
use crate::values::{Format, human};

/// How many earlier figures are of use.
const HISTORY: usize = 120;

struct Figure {
    value: Option<f64>,
    shown: String,
    at: Option<String>,
}

pub(super) fn stat(panel: &Panel, rows: &Rows) -> Result<Content, String> {
    let Drawing::Stat { y, x, before, change, against, .. } = &panel.drawing else { return Err("not a figure".to_owned()) };
    let y = rows.find_number(y)?;
    let x = x.as_deref().map(|x| rows.find(x)).transpose()?;
    let x_format = x.map(|x| panel.x_format.unwrap_or_else(|| rows.format(x)));
    let format = panel.figures.format().unwrap_or_else(|| rows.holds(y).format());
    let figures: Vec<Figure> = rows
        .each()
        .map(|row| Figure {
            value: row.number(y),
            shown: row.human(y, format).unwrap_or_default().into_owned(),
            at: x.zip(x_format).and_then(|(x, format)| Some(row.human(x, format)?.into_owned())),
        })
        .collect();
    let Some((place, value)) = figures.iter().enumerate().rev().find_map(|(place, figure)| Some((place, figure.value?))) else {
        return Ok(Content::Empty { reason: String::new() });
    };
    let earlier = Some(*before).filter(|before| *before > 0).and_then(|before| figures.get(place.checked_sub(before)?));
    let change = earlier.and_then(|earlier| {
        let (difference, shown) = difference(value, earlier.value?, *change, format);
        let against = against.clone().or_else(|| earlier.at.clone()).unwrap_or_else(|| "before".to_owned());
        Some(Change { value: difference, shown, against })
    });
    let history = if place == 0 { &[] } else { &figures[(place + 1).saturating_sub(HISTORY)..=place] };
    Ok(Content::Stat(Stat {
        value,
        shown: figures[place].shown.clone(),
        at: figures[place].at.clone(),
        change,
        history: history.iter().map(|figure| figure.value).collect(),
    }))
}

/// The difference in the figure's unit, and as it is printed.
fn difference(now: f64, before: f64, kind: ChangeKind, format: Format) -> (f64, String) {
    let difference = now - before;
    let signed = |shown: String| if difference > 0.0 { format!("+{shown}") } else { shown };
    let shown = match kind {
        // A share of nothing, or of less than nothing, says nothing.
        ChangeKind::Percent if before > 0.0 => signed(human(difference / before, Format::Percent(1))),
        ChangeKind::Points => signed(format!("{} pp", human(difference * 100.0, Format::Decimal(1)))),
        ChangeKind::Percent | ChangeKind::Value => signed(human(difference, format)),
    };
    (difference, shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_told_as_its_kind_wants_and_never_as_a_share_of_less_than_nothing() {
        let shown = |now, before, kind| difference(now, before, kind, Format::Integer).1;
        assert_eq!(shown(110.0, 100.0, ChangeKind::Percent), "+10.0 %");
        assert_eq!(shown(90.0, 100.0, ChangeKind::Percent), "-10.0 %");
        assert_eq!(shown(100.0, 100.0, ChangeKind::Percent), "0.0 %");
        assert_eq!(shown(12_000.0, -4_000.0, ChangeKind::Percent), "+16,000");
        assert_eq!(shown(0.25, 0.21, ChangeKind::Points), "+4.0 pp");
        assert_eq!(shown(-9_500.0, -4_000.0, ChangeKind::Value), "-5,500");
    }
}
