//! Detects queries that lose rows while nothing is selected in a filter, so that "All" does not
//! show everything.
//!
//! A query such as `WHERE list_contains($region, region)` would lose the rows whose region is null,
//! and `region = ANY($region)` those whose region is not an option, although the page shows "All".
//! Each query is compared with the same query without its conditions on the filter.

use duckdb::{Config, Connection};
use serde_json::Value;

use super::{
    PanelFailure, evaluate,
    model::{Dashboard, Filter, FilterKind, Panel},
    parameters,
    rows::ResultRows,
};
use crate::{
    humanize,
    plan::Plan,
    reader::{Pin, Query, QueryLimits},
    settings::Severity,
    toml_file::FileError,
};

/// Returns a warning for each panel and filter where "All" shows only a part.
pub(super) async fn find(dashboard: &Dashboard, pin: &Pin) -> Vec<PanelFailure> {
    let mut found = Vec::new();
    let restricts = |filter: &&Filter| match &filter.kind {
        // With a default, an empty selection means the default rather than "All".
        FilterKind::Many { default, .. } => default.is_none(),
        FilterKind::Choice { all, .. } => *all,
        _ => false,
    };
    let filters: Vec<&Filter> = dashboard.filters.iter().filter(restricts).collect();
    if filters.is_empty() {
        return found;
    }
    let selection = evaluate::unselected(dashboard, pin, Plan::Pro).await;
    for (panel, filter, without) in stripped(dashboard, &filters) {
        let Some(sql) = panel.visualization.sql() else { continue };
        let with = evaluate::bind_unselected(sql, dashboard, &selection);
        let without = evaluate::bind_unselected(&without, dashboard, &selection);
        let (Some(with), Some(without)) = (summary(pin, &with).await, summary(pin, &without).await)
        else {
            continue;
        };
        if with != without {
            found.push(failure(dashboard, panel, filter, [with.rows, without.rows]));
        }
    }
    found
}

/// Returns each panel's query without its conditions on each filter, if it has any.
fn stripped<'d>(
    dashboard: &'d Dashboard,
    filters: &[&'d Filter],
) -> Vec<(&'d Panel, &'d Filter, String)> {
    let mut all = Vec::new();
    // Without an engine nothing can be compared.
    let Some(parser) = parser() else { return all };
    for panel in &dashboard.panels {
        let Some(sql) = panel.visualization.sql() else { continue };
        for filter in filters {
            if parameters::used(sql).contains(&filter.name.as_str()) {
                let without = without_conditions(&parser, sql, &filter.name);
                all.extend(without.map(|without| (panel, *filter, without)));
            }
        }
    }
    all
}

fn failure(dashboard: &Dashboard, panel: &Panel, filter: &Filter, rows: [u64; 2]) -> PanelFailure {
    let [with, without] = rows.map(humanize::rows);
    let how_many = if with == without {
        "other values".to_owned()
    } else {
        format!("{with} instead of {without}")
    };
    let name = &filter.name;
    PanelFailure {
        dashboard: dashboard.slug.clone(),
        part: format!("panel {:?}, filter {name:?}", panel.title),
        severity: Severity::Warn,
        error: FileError {
            path: dashboard.file.clone(),
            line: Some(panel.line),
            message: format!(
                "shows {how_many} while nothing is selected in the filter {name:?} and the page says \"All\": rows whose value is null or no option are lost; write selected(${name}, column), which holds for every row then"
            ),
        },
    }
}

/// A summary that is the same for equal results, whatever their order.
#[derive(PartialEq)]
struct Summary {
    rows: u64,
    hash: Option<String>,
}

async fn summary(pin: &Pin, query: &evaluate::BoundQuery) -> Option<Summary> {
    let inner = query.sql.trim_end().trim_end_matches(';');
    let sql = format!(
        "SELECT count(*) AS total, CAST(sum(hash(CAST(t AS VARCHAR))) AS VARCHAR) AS digest FROM (\n{inner}\n) AS t"
    );
    let query = query
        .values
        .iter()
        .fold(Query::new(&sql), |query, (name, value)| query.bind(name, value.clone()));
    let answer = pin.query(query, QueryLimits::for_page()).await.ok()?;
    let rows = ResultRows::new(&answer);
    let row = rows.each().next()?;
    Some(Summary {
        rows: row.text(0)?.parse().ok()?,
        hash: row.text(1).map(std::borrow::Cow::into_owned),
    })
}

fn parser() -> Option<Connection> {
    let config =
        Config::default().enable_autoload_extension(false).and_then(|config| config.threads(1));
    config.and_then(Connection::open_in_memory_with_flags).ok()
}

/// Returns a query without the conditions of its WHERE clauses that use a parameter; `None` if it
/// has none or cannot be parsed.
fn without_conditions(parser: &Connection, sql: &str, parameter: &str) -> Option<String> {
    let parsed: String = parser
        .query_row("SELECT CAST(json_serialize_sql(?) AS VARCHAR)", [sql], |row| row.get(0))
        .ok()?;
    let mut tree: Value = serde_json::from_str(&parsed).ok()?;
    if !strip(&mut tree, parameter) {
        return None;
    }
    parser
        .query_row("SELECT json_deserialize_sql(CAST(? AS JSON))", [tree.to_string()], |row| {
            row.get(0)
        })
        .ok()
}

/// Removes conditions, and returns whether there were any.
fn strip(node: &mut Value, parameter: &str) -> bool {
    let mut stripped = false;
    match node {
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                if matches!(key.as_str(), "where_clause" | "qualify" | "having") {
                    stripped |= strip_condition(value, parameter);
                }
                stripped |= strip(value, parameter);
            }
        }
        Value::Array(items) => {
            for item in items {
                stripped |= strip(item, parameter);
            }
        }
        _ => {}
    }
    stripped
}

fn strip_condition(condition: &mut Value, parameter: &str) -> bool {
    if condition.get("type").and_then(Value::as_str) == Some("CONJUNCTION_AND")
        && let Some(children) = condition.get_mut("children").and_then(Value::as_array_mut)
    {
        let before = children.len();
        children.retain(|child| !uses(child, parameter));
        let after = children.len();
        if after == 1 {
            *condition = children.remove(0);
        } else if after == 0 {
            *condition = Value::Null;
        }
        return after < before;
    }
    let is_used = uses(condition, parameter);
    if is_used {
        *condition = Value::Null;
    }
    is_used
}

fn uses(node: &Value, parameter: &str) -> bool {
    match node {
        Value::Object(fields) => {
            fields.get("class").and_then(Value::as_str) == Some("PARAMETER")
                && fields.get("identifier").and_then(Value::as_str) == Some(parameter)
                || fields.values().any(|value| uses(value, parameter))
        }
        Value::Array(items) => items.iter().any(|item| uses(item, parameter)),
        _ => false,
    }
}
