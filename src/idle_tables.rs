//! Detects tables that stopped changing while others continue: dbt does not drop a renamed model's
//! old table, which would then be served forever.

use crate::store::AttemptRecord;

/// Number of publications without a change after which a table is reported.
const MANY_EXPORTS: usize = 20;

/// A served table that has not changed for many publications.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct IdleTable {
    pub name: String,
    /// Number of consecutive publications that changed other tables but not this one.
    pub exports: usize,
}

/// Finds the tables that none of the newest publications changed. `history` has the oldest attempt
/// first.
#[must_use]
pub fn find(history: &[AttemptRecord]) -> Vec<IdleTable> {
    let changed = |record: &AttemptRecord| {
        record.tables.iter().any(|table| !table.reused)
            && record.tables.iter().any(|table| table.reused)
    };
    let published: Vec<_> =
        history.iter().rev().filter(|record| record.outcome.has_published()).collect();
    let Some(newest) = published.first() else { return Vec::new() };
    let reused_in = |record: &AttemptRecord, name: &str| {
        record.tables.iter().find(|table| table.name == name).map(|table| table.reused)
    };
    let idle = newest.tables.iter().map(|table| IdleTable {
        name: table.name.clone(),
        // Exports that copied everything, or changed only tables no longer served, give no evidence
        // about a table.
        exports: published
            .iter()
            .filter(|record| changed(record))
            .take_while(|record| reused_in(record, &table.name) == Some(true))
            .count(),
    });
    idle.filter(|table| table.exports >= MANY_EXPORTS).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::AttemptOutcome;
    use crate::{store::GenerationId, store::TableRecord};

    fn published(number: i64, reused: &[(&str, bool)]) -> AttemptRecord {
        let now = jiff::Timestamp::from_second(1_795_000_000 + number).unwrap();
        let table = |(name, reused): &(&str, bool)| TableRecord {
            name: (*name).to_owned(),
            reused: *reused,
            ..TableRecord::default()
        };
        let tables = reused.iter().map(table).collect();
        AttemptRecord {
            outcome: AttemptOutcome::Published,
            tables,
            ..AttemptRecord::begin(GenerationId::after(now, None), now)
        }
    }

    #[test]
    fn a_table_that_many_publications_left_as_it_was_is_found() {
        let mut history = vec![published(0, &[("orders", false), ("orders_old", false)])];
        history.extend(
            (1..20).map(|number| published(number, &[("orders", false), ("orders_old", true)])),
        );
        assert_eq!(find(&history), [], "19 are not many yet");
        history.push(published(20, &[("orders", false), ("orders_old", true)]));
        assert_eq!(find(&history), [IdleTable { name: "orders_old".to_owned(), exports: 20 }]);
        // A full export copies every table and gives no evidence.
        history.push(published(21, &[("orders", false), ("orders_old", false)]));
        assert_eq!(find(&history).len(), 1);
        history.push(published(22, &[("orders", true), ("orders_old", false)]));
        assert_eq!(find(&history), []);
        assert_eq!(find(&[]), []);
    }
}
