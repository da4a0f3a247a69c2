//! Which tables a plan sees, and from which year on.

use std::sync::Arc;

use super::{kind::Kind, query::Since};
use crate::{
    plan::Plan,
    reader::{Limits, Pin, Query, ReaderError, TableInfo},
    settings::{TableRule, TableRules},
    sql, values,
};

/// A table as a plan sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The table.
    pub table: Arc<TableInfo>,
    /// Whether the plan sees it, and how much.
    pub access: Access,
}

/// How much of a table a plan sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// All of it.
    All,
    /// The last years.
    Last {
        /// How many.
        years: u32,
        /// From when on.
        since: Since,
    },
    /// Nothing: it asks for this plan.
    Locked(Plan),
}

impl Access {
    /// Where the rows begin that are seen.
    #[must_use]
    pub fn since(self) -> Option<Since> {
        if let Self::Last { since, .. } = self { Some(since) } else { None }
    }
}

/// The rule for a table: its own, or everybody's.
#[must_use]
pub fn rule<'a>(rules: &'a TableRules, table: &str) -> Option<&'a TableRule> {
    rules.get(table).or_else(|| rules.get("*"))
}

/// Every served table as `plan` sees it, in the order of their names.
///
/// # Errors
/// As [`Pin::ask`].
pub async fn tables(pin: &Pin, rules: &TableRules, plan: Plan) -> Result<Vec<Seen>, ReaderError> {
    let mut seen = Vec::new();
    for table in pin.catalog().await?.tables {
        let table = Arc::new(table);
        seen.push(Seen { access: access(pin, rules, &table, plan).await?, table });
    }
    Ok(seen)
}

/// One served table as `plan` sees it; `None` where there is none of exactly this name.
///
/// # Errors
/// As [`Pin::ask`].
pub async fn table(pin: &Pin, rules: &TableRules, name: &str, plan: Plan) -> Result<Option<Seen>, ReaderError> {
    let Some(table) = pin.catalog().await?.tables.into_iter().find(|table| table.name == name).map(Arc::new) else { return Ok(None) };
    Ok(Some(Seen { access: access(pin, rules, &table, plan).await?, table }))
}

/// What cannot be limited as its rule asks, because it has no such column, is seen by nobody but the largest plan.
async fn access(pin: &Pin, rules: &TableRules, table: &TableInfo, plan: Plan) -> Result<Access, ReaderError> {
    let Some(rule) = rule(rules, &table.name) else { return Ok(Access::All) };
    if !plan.includes(rule.plan) {
        return Ok(Access::Locked(rule.plan));
    }
    // A plan sees no more than the plans above it do.
    let Some(years) = rule.last.iter().filter(|(limited, _)| **limited >= plan).map(|(_, years)| *years).min() else {
        return Ok(Access::All);
    };
    let column = rule.year.as_ref().and_then(|year| table.columns.iter().position(|column| column.name == *year));
    let kind = |column: usize| Kind::of(&table.columns[column].data_type);
    let has_day = |column: usize| !matches!(table.columns[column].data_type.as_str(), "TIME" | "TIME_NS");
    let dated = |column: &usize| kind(*column) == Kind::Whole || kind(*column) == Kind::Time && has_day(*column);
    let Some(column) = column.filter(dated) else { return Ok(Access::Locked(Plan::Pro)) };
    let name = sql::ident(&table.columns[column].name);
    let newest = if kind(column) == Kind::Time { format!("year(max({name}))") } else { format!("max({name})") };
    let answer = pin.ask(Query::new(&format!("SELECT {newest} FROM {}", sql::ident(&table.name))), Limits::page()).await?;
    let newest = answer.batches.first().and_then(|batch| values::columns(&answer.fields, batch).first()?.text(0)?.parse::<i64>().ok());
    let year = newest.map_or(9_999, |newest| newest.saturating_sub(i64::from(years) - 1));
    Ok(Access::Last { years, since: Since { column, year } })
}
