//! Finds tables behind paid panels that a lower plan can read.

use std::collections::BTreeSet;

use duckdb::{Config, Connection};

use super::{ChangesSpec, Dashboard, Panel, PanelFailure, Visualization};
use crate::{
    guard,
    plan::Plan,
    settings::{Severity, TableRules, rule_of},
    toml_file::FileError,
};

/// Returns a warning for each table of a panel that lower plans may read completely in the
/// explorer, in downloads and through the API. A table of which a lower plan sees only recent years
/// is limited intentionally.
#[must_use]
pub fn exposed(dashboards: &[impl AsRef<Dashboard>], rules: &TableRules) -> Vec<PanelFailure> {
    let mut found: Vec<PanelFailure> = dashboards
        .iter()
        .flat_map(|dashboard| shown_revisions(dashboard.as_ref(), rules))
        .collect();
    let paid = |dashboard: &Dashboard| dashboard.panels.iter().any(|panel| panel.plan > Plan::Free);
    if !dashboards.iter().any(|dashboard| paid(dashboard.as_ref())) {
        return found;
    }
    // Without an engine no table can be read either.
    let Some(parser) = parser() else { return found };
    for dashboard in dashboards.iter().map(AsRef::as_ref) {
        for panel in dashboard.panels.iter().filter(|panel| panel.plan > Plan::Free) {
            // Unparsable queries are reported as errors elsewhere.
            let tables = panel
                .visualization
                .sql()
                .and_then(|sql| guard::table_names(&parser, sql).ok())
                .unwrap_or_default();
            for table in tables {
                let Some(reader) =
                    lowest_reader(rules, &table).filter(|reader| *reader < panel.plan)
                else {
                    continue;
                };
                let message = format!(
                    "requires the plan {}, but the plan {reader} can read all of its table {table}; add [tables.{}] with plan = \"{}\" to materia.toml",
                    panel.plan,
                    key(&table),
                    panel.plan
                );
                let (path, line) = (dashboard.file.clone(), Some(panel.line));
                let (dashboard, part) =
                    (dashboard.slug.clone(), format!("panel {:?}", panel.title));
                found.push(PanelFailure {
                    dashboard,
                    part,
                    severity: Severity::Warn,
                    error: FileError { path, line, message },
                });
            }
        }
    }
    found
}

/// Returns a warning for each table of which a panel of changes shows values to plans that may not
/// read it completely.
fn shown_revisions(dashboard: &Dashboard, rules: &TableRules) -> Vec<PanelFailure> {
    let mut found = Vec::new();
    let shows = |panel: &&Panel| {
        matches!(panel.visualization, Visualization::Changes(ChangesSpec { values: true, .. }))
    };
    for panel in dashboard.panels.iter().filter(shows) {
        for table in rules.keys() {
            if lowest_reader(rules, table).is_some_and(|reader| reader <= panel.plan) {
                continue;
            }
            let tables = if table == "*" { "tables".to_owned() } else { format!("table {table}") };
            let message = format!(
                "shows revised values of the {tables} to the plan {}, which may not read all of it; leave out values, or give the panel a larger plan",
                panel.plan
            );
            found.push(PanelFailure {
                dashboard: dashboard.slug.clone(),
                part: format!("panel {:?}", panel.title),
                severity: Severity::Warn,
                error: FileError { path: dashboard.file.clone(), line: Some(panel.line), message },
            });
        }
    }
    found
}

/// Returns the tables that each panel of a dashboard reads, in lower case; none if its query cannot
/// be parsed.
#[must_use]
pub fn tables_read(dashboards: &[impl AsRef<Dashboard>]) -> Vec<Vec<BTreeSet<String>>> {
    let parser = parser();
    let of_panel = |panel: &Panel| {
        let sql = panel.visualization.sql();
        let read = parser.as_ref().zip(sql).map(|(parser, sql)| guard::table_names(parser, sql));
        read.and_then(Result::ok).unwrap_or_default()
    };
    dashboards
        .iter()
        .map(|dashboard| dashboard.as_ref().panels.iter().map(of_panel).collect())
        .collect()
}

/// Opens an engine without data, for parsing.
fn parser() -> Option<Connection> {
    let config =
        Config::default().enable_autoload_extension(false).and_then(|config| config.threads(1));
    config.and_then(Connection::open_in_memory_with_flags).ok()
}

/// Returns the lowest plan that may read the whole table.
pub(super) fn lowest_reader(rules: &TableRules, table: &str) -> Option<Plan> {
    let Some(rule) = rule_of(rules, table) else { return Some(Plan::Free) };
    Plan::ALL
        .into_iter()
        .find(|plan| plan.includes(rule.plan) && !rule.last.keys().any(|limited| limited >= plan))
}

/// Formats a table's name as a TOML key.
fn key(table: &str) -> String {
    let bare = table.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-'));
    if bare { table.to_owned() } else { format!("{table:?}") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{
        super::{parse, units::Units},
        *,
    };

    fn warnings(rules: &str) -> Vec<String> {
        let text = "
            title = 'Mine'
            [[panel]]
            title = 'Open'
            kind = 'table'
            sql = 'SELECT * FROM open'
            [[panel]]
            title = 'Paid'
            plan = 'starter'
            kind = 'table'
            sql = 'WITH o AS (SELECT * FROM Secret) SELECT * FROM o'
            [[panel]]
            title = 'Words'
            plan = 'pro'
            kind = 'markdown'
            text = 'none'";
        let (dashboard, problems) =
            parse::dashboard(std::path::Path::new("mine.toml"), text, &Units::default());
        assert!(problems.is_empty(), "{problems:?}");
        let found =
            exposed(&[std::sync::Arc::new(dashboard.unwrap())], &toml::from_str(rules).unwrap());
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_paid_panels_table_that_a_lower_plan_can_read_is_named_with_the_rule_that_closes_it() {
        let expected = "dashboard mine, panel \"Paid\": requires the plan starter, but the plan free can read all of its table secret; \
                        add [tables.secret] with plan = \"starter\" to materia.toml";
        for open in [
            "",
            "[other]\nplan = 'pro'",
            "[secret]\nplan = 'free'",
            "['*']\nplan = 'pro'\n[Secret]\nplan = 'free'",
        ] {
            let found = warnings(open);
            assert!(matches!(&found[..], [one] if one.ends_with(expected)), "{open:?}: {found:?}");
        }
        for closed in [
            "[Secret]\nplan = 'starter'",
            "['*']\nplan = 'pro'",
            "['*']\nplan = 'pro'\n[Secret]\nlabel = 'Secret'",
            "[secret]\nyear = 'y'\nlast = { free = 5 }",
        ] {
            assert_eq!(warnings(closed), Vec::<String>::new(), "{closed:?}");
        }
    }
}
