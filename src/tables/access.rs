//! Access rules: which tables a plan may read, from which year on, and without which columns.

use std::sync::Arc;

use super::{query::FromYear, type_class::TypeClass};
use crate::{
    plan::Plan,
    reader::{Pin, Query, QueryLimits, ReaderError, TableInfo},
    settings::{TableRule, TableRules, TableView, rule_of},
    sql, values,
};

/// A table and a plan's access to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessibleTable {
    /// The table without its hidden columns, in the order in which they are shown.
    pub table: Arc<TableInfo>,
    /// The plan's access to the table.
    pub access: Access,
    /// How pages show it.
    pub view: Arc<TableView>,
}

/// The part of a table that a plan may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    All,
    /// The most recent years.
    RecentYears {
        /// The number of years.
        years: u32,
        /// The first visible year.
        since: FromYear,
    },
    /// Nothing: the table requires this plan.
    Locked(Plan),
}

impl Access {
    /// Returns the first visible year, if access is limited to recent years.
    #[must_use]
    pub fn since(self) -> Option<FromYear> {
        if let Self::RecentYears { since, .. } = self { Some(since) } else { None }
    }
}

/// Returns every served table without the columns that customers do not see anywhere, sorted by
/// name.
///
/// # Errors
/// The errors of [`Pin::catalog`].
pub async fn visible_catalog(pin: &Pin, rules: &TableRules) -> Result<Vec<TableInfo>, ReaderError> {
    let tables = pin.catalog().await?.tables;
    let visible = tables.into_iter().map(|table| visible(table, rules).0);
    Ok(visible.filter(|table| !table.columns.is_empty()).collect())
}

/// Returns a table without its hidden columns, in the order of its rule, and the rule.
fn visible(mut table: TableInfo, rules: &TableRules) -> (TableInfo, Option<TableRule>) {
    let Some(rule) = rule_of(rules, &table.name) else { return (table, None) };
    table.columns.retain(|column| !rule.hides(&column.name));
    let place = |name: &str| {
        let order = &rule.view.order;
        order.iter().position(|wanted| wanted.eq_ignore_ascii_case(name)).unwrap_or(order.len())
    };
    // Stable: the others stay as they are in the table.
    table.columns.sort_by_key(|column| place(&column.name));
    (table, Some(rule))
}

/// Returns a table as a plan sees it.
async fn accessible(
    pin: &Pin,
    rules: &TableRules,
    table: TableInfo,
    plan: Plan,
) -> Result<AccessibleTable, ReaderError> {
    let (table, rule) = visible(table, rules);
    let access = match &rule {
        Some(rule) => access(pin, rule, &table, plan).await?,
        None => Access::All,
    };
    let view = Arc::new(rule.unwrap_or_default().view);
    Ok(AccessibleTable { table: Arc::new(table), access, view })
}

/// Returns the names in the rules that no served table or column has, in sentences: a column that
/// is spelled differently is not hidden.
#[must_use]
pub fn unknown_names(tables: &[TableInfo], rules: &TableRules) -> Vec<String> {
    let mut unknown = Vec::new();
    for (name, rule) in rules.iter().filter(|(name, _)| *name != "*") {
        let Some(table) = tables.iter().find(|table| table.name.eq_ignore_ascii_case(name)) else {
            unknown.push(format!("[tables.{name}]: there is no table {name}"));
            continue;
        };
        let named = rule
            .hidden
            .iter()
            .chain(&rule.year)
            .chain(&rule.view.order)
            .chain(rule.view.columns.keys());
        let has = |wanted: &str| {
            table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(wanted))
        };
        unknown.extend(
            named
                .filter(|column| !has(column))
                .map(|column| format!("[tables.{name}]: {name} has no column {column}")),
        );
    }
    unknown
}

/// Returns every served table with the plan's access to it, sorted by name.
///
/// # Errors
/// The errors of [`Pin::query`].
pub async fn tables(
    pin: &Pin,
    rules: &TableRules,
    plan: Plan,
) -> Result<Vec<AccessibleTable>, ReaderError> {
    let mut seen = Vec::new();
    for table in pin.catalog().await?.tables {
        let table = accessible(pin, rules, table, plan).await?;
        // A table whose columns are all hidden does not exist.
        if !table.table.columns.is_empty() {
            seen.push(table);
        }
    }
    Ok(seen)
}

/// Returns the served table of exactly this name with the plan's access to it, if it exists.
///
/// # Errors
/// The errors of [`Pin::query`].
pub async fn table(
    pin: &Pin,
    rules: &TableRules,
    name: &str,
    plan: Plan,
) -> Result<Option<AccessibleTable>, ReaderError> {
    match pin.catalog().await?.tables.into_iter().find(|table| table.name == name) {
        Some(table) => {
            let table = accessible(pin, rules, table, plan).await?;
            Ok(Some(table).filter(|table| !table.table.columns.is_empty()))
        }
        None => Ok(None),
    }
}

/// Returns the plan's access. If the table lacks the year column that its rule requires, only the
/// largest plan may read it.
async fn access(
    pin: &Pin,
    rule: &TableRule,
    table: &TableInfo,
    plan: Plan,
) -> Result<Access, ReaderError> {
    if !plan.includes(rule.plan) {
        return Ok(Access::Locked(rule.plan));
    }
    // A plan never has less access than a smaller one.
    let Some(years) =
        rule.last.iter().filter(|(limited, _)| **limited >= plan).map(|(_, years)| *years).min()
    else {
        return Ok(Access::All);
    };
    let column = rule.year.as_ref().and_then(|year| {
        table.columns.iter().position(|column| column.name.eq_ignore_ascii_case(year))
    });
    let kind = |column: usize| TypeClass::of(&table.columns[column].data_type);
    let has_day =
        |column: usize| !matches!(table.columns[column].data_type.as_str(), "TIME" | "TIME_NS");
    let dated = |column: &usize| {
        kind(*column) == TypeClass::Integer
            || kind(*column) == TypeClass::Temporal && has_day(*column)
    };
    let Some(column) = column.filter(dated) else { return Ok(Access::Locked(Plan::Pro)) };
    let name = sql::ident(&table.columns[column].name);
    let newest = if kind(column) == TypeClass::Temporal {
        format!("year(max({name}))")
    } else {
        format!("max({name})")
    };
    let answer = pin
        .query(
            Query::new(&format!("SELECT {newest} FROM {}", sql::ident(&table.name))),
            QueryLimits::for_page(),
        )
        .await?;
    let newest = answer.batches.first().and_then(|batch| {
        values::columns(&answer.fields, batch).first()?.text(0)?.parse::<i64>().ok()
    });
    let year = newest.map_or(9_999, |newest| newest.saturating_sub(i64::from(years) - 1));
    Ok(Access::RecentYears { years, since: FromYear { column, year } })
}
