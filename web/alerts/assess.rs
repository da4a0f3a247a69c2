//! Whether a rule fires.

use crate::accounts::{Alert, AlertCondition, Seen, Threshold};

/// Returns the rows for which a rule fires, and what it remembers from now on.
///
/// Above and below fire when a figure crosses the threshold, changes when it differs enough from
/// when the rule last fired, and new rows when there were none of that name. Without any rows, what
/// was seen is kept: a table that is empty for once has not changed its rows.
pub(super) fn assess(alert: &Alert, now: &Seen) -> (Vec<String>, Seen) {
    let before = &alert.seen;
    if now.is_empty() {
        return (Vec::new(), before.clone());
    }
    let threshold =
        alert.rule.threshold.parse().unwrap_or(Threshold { value: f64::NAN, is_percent: false });
    let is_met = |value: Option<f64>| match (alert.rule.condition, value) {
        (AlertCondition::Above, Some(value)) => value > threshold.value,
        (AlertCondition::Below, Some(value)) => value < threshold.value,
        _ => false,
    };
    let has_fired = |row: &str, value: Option<f64>| match alert.rule.condition {
        AlertCondition::Above | AlertCondition::Below => {
            is_met(value) && !is_met(before.get(row).copied().flatten())
        }
        AlertCondition::Changes => {
            let known = before.get(row).copied().flatten();
            known.zip(value).is_some_and(|(known, value)| differs(known, value, threshold))
        }
        AlertCondition::NewRows => !before.contains_key(row),
        AlertCondition::Updated => before.get(row) != Some(&value),
    };
    let fired: Vec<String> = now
        .iter()
        .filter(|(row, value)| has_fired(row, **value))
        .map(|(row, _)| row.clone())
        .collect();
    let mut seen = now.clone();
    if alert.rule.condition == AlertCondition::Changes {
        // Small steps add up until the rule fires.
        for (row, value) in &mut seen {
            if !fired.contains(row)
                && let Some(known) = before.get(row).copied().flatten()
            {
                *value = Some(known);
            }
        }
    }
    (fired, seen)
}

/// Returns whether two figures differ by the threshold or more.
fn differs(known: f64, value: f64, threshold: Threshold) -> bool {
    // 0.3 - 0.2 is a little less than 0.1.
    const TOLERANCE: f64 = 1e-9;
    let change = (value - known).abs();
    let least =
        if threshold.is_percent { known.abs() * threshold.value / 100.0 } else { threshold.value };
    change > 0.0 && change >= least * (1.0 - TOLERANCE)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::accounts::AlertRule;

    fn alert(condition: AlertCondition, threshold: &str) -> Alert {
        Alert {
            id: String::new(),
            account: String::new(),
            rule: AlertRule {
                dashboard: "supply".to_owned(),
                panel: "stocks".to_owned(),
                field: String::new(),
                title: "Stocks".to_owned(),
                summary: String::new(),
                query: String::new(),
                condition,
                threshold: threshold.to_owned(),
            },
            by_mail: true,
            webhook: String::new(),
            secret: String::new(),
            is_paused: false,
            created_at: Timestamp::UNIX_EPOCH,
            evaluated: String::new(),
            seen: Seen::new(),
            fired_at: None,
            problem: String::new(),
        }
    }

    /// Returns which of a sequence of figures make a rule fire; the first is what it begins with.
    fn firing(condition: AlertCondition, threshold: &str, figures: &[f64]) -> Vec<f64> {
        let mut rule = alert(condition, threshold);
        rule.seen = [(String::new(), Some(figures[0]))].into();
        let mut firing = Vec::new();
        for figure in &figures[1..] {
            let (fired, seen) = assess(&rule, &[(String::new(), Some(*figure))].into());
            rule.seen = seen;
            if !fired.is_empty() {
                firing.push(*figure);
            }
        }
        firing
    }

    #[test]
    fn a_rule_fires_when_its_threshold_is_crossed_and_not_again_while_it_stays_so() {
        use AlertCondition::{Above, Below};
        assert_eq!(firing(Above, "10", &[9.0, 10.0, 11.0, 12.0, 10.0, 13.0]), [11.0, 13.0]);
        assert_eq!(firing(Above, "10", &[11.0, 12.0]), [] as [f64; 0], "it was above before");
        assert_eq!(firing(Below, "-1.5", &[0.0, -1.5, -2.0, -3.0]), [-2.0]);
    }

    #[test]
    fn small_changes_add_up_and_a_percentage_refers_to_what_was_told_last() {
        use AlertCondition::Changes;
        assert_eq!(firing(Changes, "1", &[10.0, 10.4, 10.8, 11.2, 11.6]), [11.2]);
        assert_eq!(firing(Changes, "0.1", &[0.2, 0.3]), [0.3]);
        assert_eq!(firing(Changes, "10%", &[100.0, 109.0, 110.0, 120.0, 98.0]), [110.0, 98.0]);
        assert_eq!(firing(Changes, "5%", &[0.0, 0.0, 1.0]), [1.0], "no share of 0 is nothing");
    }

    #[test]
    fn each_row_of_a_table_is_compared_with_itself() {
        let mut rule = alert(AlertCondition::Above, "10");
        rule.seen =
            [("A".to_owned(), Some(11.0)), ("B".to_owned(), Some(9.0)), ("C".to_owned(), None)]
                .into();
        let now: Seen = [
            ("A".to_owned(), Some(12.0)),
            ("B".to_owned(), Some(12.0)),
            ("C".to_owned(), None),
            ("D".to_owned(), Some(50.0)),
        ]
        .into();
        assert_eq!(assess(&rule, &now).0, ["B", "D"]);
        rule.rule.condition = AlertCondition::NewRows;
        assert_eq!(assess(&rule, &now).0, ["D"]);
        let (fired, seen) = assess(&rule, &Seen::new());
        assert!(fired.is_empty() && seen == rule.seen, "nothing to see is no change");
    }
}
