//! The `[tables]` section: which plan may read which table and from which year on, which columns
//! nobody sees, and how the table is shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{plan::Plan, values::Format};

/// The `[tables]` section: a rule per table name; `"*"` applies to tables without a rule. Without
/// either, everyone with an account may read the whole table.
pub type TableRules = BTreeMap<String, TableRule>;

/// Access to a table, and its presentation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, try_from = "RawTableRule")]
pub struct TableRule {
    /// The smallest plan that may read it.
    pub plan: Plan,
    /// The column with a row's year: whole numbers, dates or timestamps.
    pub year: Option<String>,
    /// Number of most recent years visible to a plan; plans above those listed see all.
    pub last: BTreeMap<Plan, u32>,
    /// Whether it can be read on the site without an account, as the plan free sees it.
    pub public: bool,
    /// Columns that customers do not see anywhere.
    pub hidden: Vec<String>,
    /// How pages show the table.
    #[serde(flatten)]
    pub view: TableView,
    /// Whether the rule says nothing about access, so that `"*"` does.
    #[serde(skip)]
    pub inherits_access: bool,
}

/// How pages show a table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TableView {
    /// Its title; derived from its name if absent.
    pub label: Option<String>,
    /// The columns that come first, in this order.
    pub order: Vec<String>,
    /// The order of rows, as in addresses: `month.desc`. The newest first if absent.
    pub sort: Option<String>,
    /// Titles, units and formats of columns.
    pub columns: BTreeMap<String, ColumnView>,
}

/// How pages show a column.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColumnView {
    /// Its title; derived from its name if absent.
    pub label: Option<String>,
    /// The unit of its figures.
    pub unit: Option<String>,
    /// The format of its figures, as in dashboards: `integer`, `percent.1`.
    pub format: Option<Format>,
}

impl TableRule {
    /// Returns whether customers do not see a column.
    #[must_use]
    pub fn hides(&self, column: &str) -> bool {
        self.hidden.iter().any(|hidden| hidden.eq_ignore_ascii_case(column))
    }
}

impl TableView {
    /// Returns how a column is shown, if the settings say so.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ColumnView> {
        self.columns
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, view)| view)
    }
}

/// Returns the rule of a table: its own, or `"*"`. Columns that `"*"` hides are hidden in every
/// table, and its access applies to tables whose own rule says nothing about it.
#[must_use]
pub fn rule_of(rules: &TableRules, table: &str) -> Option<TableRule> {
    let general = rules.get("*");
    // Names are the same in any case, as in the engine.
    let same = || rules.iter().find(|(name, _)| name.eq_ignore_ascii_case(table));
    let own = rules.get(table).or_else(|| same().map(|(_, rule)| rule));
    let Some(own) = own else { return general.cloned() };
    let mut rule = own.clone();
    let Some(general) = general else { return Some(rule) };
    if own.inherits_access {
        rule.plan = general.plan;
        rule.year.clone_from(&general.year);
        rule.last.clone_from(&general.last);
        rule.public = general.public;
    }
    rule.hidden.extend(general.hidden.iter().cloned());
    Some(rule)
}

/// Returns whether a table can be read without an account.
#[must_use]
pub fn is_public(rules: &TableRules, table: &str) -> bool {
    rule_of(rules, table).is_some_and(|rule| rule.public && rule.plan == Plan::Free)
}

/// The rule as written in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTableRule {
    plan: Option<Plan>,
    year: Option<String>,
    last: BTreeMap<Plan, u32>,
    public: bool,
    hidden: Vec<String>,
    label: Option<String>,
    order: Vec<String>,
    sort: Option<String>,
    columns: BTreeMap<String, ColumnView>,
}

impl TryFrom<RawTableRule> for TableRule {
    type Error = String;

    fn try_from(raw: RawTableRule) -> Result<Self, Self::Error> {
        let RawTableRule { plan, year, last, public, hidden, label, order, sort, columns } = raw;
        if year.is_none() && !last.is_empty() {
            return Err("last needs to know the year of a row; name its column by year = \"...\""
                .to_owned());
        }
        if last.values().any(|years| *years == 0) {
            return Err("last is at least 1 year".to_owned());
        }
        if public && plan.unwrap_or_default() > Plan::Free {
            return Err(
                "a table that requires a plan cannot be public: remove plan or public".to_owned()
            );
        }
        let inherits_access = plan.is_none() && year.is_none() && last.is_empty() && !public;
        let rule = Self {
            plan: plan.unwrap_or_default(),
            year,
            last,
            public,
            hidden,
            view: TableView { label, order, sort, columns },
            inherits_access,
        };
        if let Some(year) = rule.year.as_ref().filter(|year| rule.hides(year)) {
            return Err(format!(
                "{year} cannot be hidden: it determines which rows a plan sees, so it can be inferred from them"
            ));
        }
        // Rows are numbered by this name, which would then be the column's values.
        if rule.hides("rowid") {
            return Err(
                "a column named rowid cannot be hidden; rename it in the pipeline".to_owned()
            );
        }
        Ok(rule)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn years_are_limited_only_where_a_column_tells_them() {
        let rules: TableRules = toml::from_str(
            "['*']\nplan = 'starter'\n[prices]\nyear = 'month'\nlast = { free = 5 }",
        )
        .unwrap();
        assert_eq!(rules["*"].plan, Plan::Starter);
        assert_eq!(rules["prices"].last[&Plan::Free], 5);
        let error = toml::from_str::<TableRules>("[prices]\nlast = { free = 5 }").unwrap_err();
        assert!(error.message().contains("name its column by year"), "{error}");
        assert!(toml::from_str::<TableRules>("[prices]\nplans = 'free'").is_err());
    }

    #[test]
    fn a_title_for_a_table_does_not_open_it_and_what_is_hidden_everywhere_is_hidden_there_too() {
        let rules: TableRules = toml::from_str(
            "['*']\nplan = 'pro'\nhidden = ['Email']\n[orders]\nlabel = 'Orders'\nhidden = ['note']\n\
             [prices]\nplan = 'free'\n[open]\npublic = true",
        )
        .unwrap();
        let orders = rule_of(&rules, "orders").unwrap();
        assert_eq!((orders.plan, orders.view.label.as_deref()), (Plan::Pro, Some("Orders")));
        assert!(orders.hides("eMail") && orders.hides("note") && !orders.hides("id"));
        let prices = rule_of(&rules, "prices").unwrap();
        assert!(prices.plan == Plan::Free && prices.hides("email"));
        assert!(
            is_public(&rules, "open")
                && !is_public(&rules, "prices")
                && !is_public(&rules, "orders")
        );
        assert_eq!(rule_of(&rules, "other").unwrap().plan, Plan::Pro);
    }

    #[test]
    fn rules_that_could_not_be_kept_are_refused() {
        for (rule, problem) in [
            ("plan = 'pro'\npublic = true", "cannot be public"),
            ("year = 'month'\nhidden = ['Month']\nlast = { free = 1 }", "cannot be hidden"),
            ("hidden = ['RowID']", "cannot be hidden"),
            ("columns.price.units = 'USD'", "unknown field"),
            ("columns.price.format = 'roman'", "unknown format"),
        ] {
            let error = toml::from_str::<TableRules>(&format!("[prices]\n{rule}")).unwrap_err();
            assert!(error.message().contains(problem), "{rule}: {error}");
        }
    }
}
