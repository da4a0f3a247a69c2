//! The `[tables]` section: which plan sees which table, and from which year on.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::plan::Plan;

/// The `[tables]` section: a rule for each table by its name; `"*"` is for tables that have none of their own. Without either, everybody with
/// an account sees all of a table.
pub type TableRules = BTreeMap<String, TableRule>;

/// Who sees a table, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default, try_from = "File")]
pub struct TableRule {
    /// The smallest plan that sees it.
    pub plan: Plan,
    /// The column that tells a row's year: whole numbers, days or times.
    pub year: Option<String>,
    /// How many of the last years a plan sees; plans above those named see all.
    pub last: BTreeMap<Plan, u32>,
}

/// The rule as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    plan: Plan,
    year: Option<String>,
    last: BTreeMap<Plan, u32>,
}

impl TryFrom<File> for TableRule {
    type Error = &'static str;

    fn try_from(File { plan, year, last }: File) -> Result<Self, Self::Error> {
        match year {
            None if !last.is_empty() => Err("last needs to know the year of a row; name its column by year = \"...\""),
            _ if last.values().any(|years| *years == 0) => Err("last is at least 1 year"),
            year => Ok(Self { plan, year, last }),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn years_are_limited_only_where_a_column_tells_them() {
        let rules: TableRules = toml::from_str("['*']\nplan = 'starter'\n[prices]\nyear = 'month'\nlast = { free = 5 }").unwrap();
        assert_eq!(rules["*"].plan, Plan::Starter);
        assert_eq!(rules["prices"].last[&Plan::Free], 5);
        let error = toml::from_str::<TableRules>("[prices]\nlast = { free = 5 }").unwrap_err();
        assert!(error.message().contains("name its column by year"), "{error}");
        assert!(toml::from_str::<TableRules>("[prices]\nplans = 'free'").is_err());
    }
}
