//! Relations that pass on the rows of one physical table as they are: the table itself, or a view
//! that only selects and renames columns, as SQLMesh and dbt create them. Their rows have the
//! table's row numbers, so a part of them can be copied.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    TableName,
    lineage::{Dependencies, Lineage, parse, query_of},
};
use crate::export::{
    ExportError,
    engine::Engine,
    plan::{self, ExportPlan, TablePlan},
};
use crate::sql;
use crate::store::{ColumnManifest, RelationKind};

/// The physical table whose rows a relation passes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::export) struct RowSource {
    /// Its qualified name in SQL.
    pub(in crate::export) table: String,
    /// The physical columns, in the relation's order.
    columns: Vec<String>,
    /// The relation's names for them.
    names: Vec<String>,
}

impl RowSource {
    /// Returns the columns in the relation's order, as a list in SQL.
    pub(in crate::export) fn column_list(&self) -> String {
        self.columns.iter().map(|column| sql::ident(column)).collect::<Vec<_>>().join(", ")
    }

    /// Returns the relation with its own names and a column `rowid`, as a subquery in SQL.
    pub(in crate::export) fn numbered(&self) -> String {
        let columns: Vec<_> = self
            .columns
            .iter()
            .zip(&self.names)
            .map(|(column, name)| format!("{} AS {}", sql::ident(column), sql::ident(name)))
            .collect();
        format!("(SELECT {}, rowid FROM {})", columns.join(", "), self.table)
    }
}

/// Returns the row sources of the relations in `wanted`, by name; relations of any other form have
/// none. Only for relations with a fingerprint.
pub(in crate::export) fn find(
    engine: &Engine,
    plan: &ExportPlan,
    wanted: &[&TablePlan],
) -> Result<BTreeMap<String, RowSource>, ExportError> {
    let mut found = BTreeMap::new();
    if wanted.is_empty() {
        return Ok(found);
    }
    let lineage = Lineage::of(engine, &plan.catalog)?;
    let mut schemas = BTreeMap::<String, BTreeMap<String, Vec<ColumnManifest>>>::new();
    for table in wanted.iter().filter(|table| table.query.is_none() && table.order_by.is_empty()) {
        let Ok(below) = lineage.dependencies(&table.origin, table)? else { continue };
        let Some((name, selection)) = selection(engine, table, &below)? else { continue };
        if !schemas.contains_key(&name.0) {
            schemas.insert(name.0.clone(), plan::columns(engine, &plan.catalog, &name.0)?);
        }
        let physical = schemas.get(&name.0).and_then(|tables| tables.get(&name.1));
        if let Some(columns) = physical.and_then(|physical| resolve(table, physical, &selection)) {
            let source = RowSource {
                table: sql::path(&[&plan.catalog, &name.0, &name.1]),
                columns,
                names: table.columns.iter().map(|column| column.name.clone()).collect(),
            };
            found.insert(table.name.clone(), source);
        }
    }
    Ok(found)
}

/// The selected columns of a table.
enum ColumnSelection {
    All,
    /// Column references as written, each possibly qualified, and the name that qualifies them.
    Columns(Vec<Vec<String>>, String),
}

/// Returns the single table that a relation selects from and what it selects; `None` if it does
/// anything else.
fn selection(
    engine: &Engine,
    table: &TablePlan,
    below: &Dependencies,
) -> Result<Option<(TableName, ColumnSelection)>, ExportError> {
    let mut tables = below.tables.iter();
    let (Some(name), None) = (tables.next(), tables.next()) else { return Ok(None) };
    let mut texts = below.texts.iter();
    match (table.kind, texts.next(), texts.next()) {
        (RelationKind::Table, None, _) => Ok(Some((name.clone(), ColumnSelection::All))),
        (RelationKind::View, Some(text), None) => {
            let parsed = parse(engine, query_of(text))?;
            Ok(parsed.as_ref().and_then(plain_select).map(|selection| (name.clone(), selection)))
        }
        _ => Ok(None),
    }
}

/// Returns what `SELECT columns FROM table` selects; `None` for a statement with any other part.
fn plain_select(parsed: &Value) -> Option<ColumnSelection> {
    let [statement] = parsed.get("statements")?.as_array()?.as_slice() else { return None };
    let node = statement.get("node")?;
    let from = node.get("from_table")?;
    let text = |value: &Value, field: &str| value.get(field)?.as_str().map(str::to_owned);
    let is_plain = has_only(statement, &["node"])
        && has_only(node, &["type", "select_list", "from_table", "aggregate_handling"])
        && has_only(
            from,
            &["type", "alias", "schema_name", "table_name", "catalog_name", "qualified_name"],
        )
        && text(node, "type")? == "SELECT_NODE"
        && text(node, "aggregate_handling")? == "STANDARD_HANDLING"
        && text(from, "type")? == "BASE_TABLE";
    if !is_plain {
        return None;
    }
    let alias = text(from, "alias").filter(|alias| !alias.is_empty());
    let qualifier = alias.or_else(|| text(from, "table_name"))?;
    let list = node.get("select_list")?.as_array()?;
    if let [star] = list.as_slice()
        && text(star, "class")? == "STAR"
    {
        let is_all = has_only(star, &["class", "type"]) && text(star, "type")? == "STAR";
        return is_all.then_some(ColumnSelection::All);
    }
    let column = |column: &Value| -> Option<Vec<String>> {
        let is_column = has_only(column, &["class", "type", "alias", "column_names"])
            && text(column, "class")? == "COLUMN_REF"
            && text(column, "type")? == "COLUMN_REF";
        let names = column.get("column_names")?.as_array()?;
        let names = names.iter().map(|name| name.as_str().map(str::to_owned)).collect();
        is_column.then_some(names).flatten()
    };
    Some(ColumnSelection::Columns(list.iter().map(column).collect::<Option<_>>()?, qualifier))
}

/// Returns whether all fields but these are empty. A field that a later DuckDB adds is thereby
/// permitted only while it says nothing.
fn has_only(node: &Value, fields: &[&str]) -> bool {
    let is_position = |name: &str| name.starts_with("query_location");
    node.as_object().is_some_and(|node| {
        node.iter().all(|(name, value)| {
            fields.contains(&name.as_str()) || is_position(name) || is_empty(value)
        })
    })
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        _ => false,
    }
}

/// Returns the physical columns in the relation's order, if each has the type under which the
/// relation passes it on.
fn resolve(
    table: &TablePlan,
    physical: &[ColumnManifest],
    selection: &ColumnSelection,
) -> Option<Vec<String>> {
    let named = |name: &str| {
        let mut matching =
            physical.iter().filter(|column| column.name.to_lowercase() == name.to_lowercase());
        matching.next().filter(|_| matching.next().is_none())
    };
    let columns: Vec<_> = match selection {
        ColumnSelection::All => physical.iter().collect(),
        ColumnSelection::Columns(references, qualifier) => references
            .iter()
            .map(|reference| match reference.as_slice() {
                [column] => named(column),
                // `a.b` may also be a field of the column `a`.
                [table, column]
                    if table.eq_ignore_ascii_case(qualifier) && named(table).is_none() =>
                {
                    named(column)
                }
                _ => None,
            })
            .collect::<Option<_>>()?,
    };
    let is_same = columns.len() == table.columns.len()
        && columns.iter().zip(&table.columns).all(|(one, other)| one.data_type == other.data_type);
    is_same.then(|| columns.into_iter().map(|column| column.name.clone()).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::export::{CancellationToken, ResourceLimits};

    #[test]
    fn only_a_query_that_selects_columns_of_one_table_is_plain() {
        let spill = tempfile::tempdir().unwrap();
        let engine =
            Engine::start(&ResourceLimits::default(), spill.path(), &CancellationToken::default())
                .unwrap();
        let is_plain =
            |query: &str| plain_select(&parse(&engine, query).unwrap().unwrap()).is_some();
        for query in [
            "SELECT * FROM t",
            "FROM a.b.t",
            "SELECT * FROM t AS u",
            "SELECT a, b AS c FROM t",
            "(SELECT u.a FROM b.t AS u)",
        ] {
            assert!(is_plain(query), "{query}");
        }
        for query in [
            "SELECT * EXCLUDE (a) FROM t",
            "SELECT * REPLACE (a + 1 AS a) FROM t",
            "SELECT * RENAME (a AS b) FROM t",
            "SELECT t.* FROM t",
            "SELECT COLUMNS('a') FROM t",
            "SELECT a + 1 FROM t",
            "SELECT a::INTEGER FROM t",
            "SELECT DISTINCT a FROM t",
            "SELECT a FROM t WHERE a > 1",
            "SELECT a FROM t ORDER BY a",
            "SELECT a FROM t LIMIT 1",
            "SELECT a FROM t GROUP BY ALL",
            "SELECT a FROM t QUALIFY row_number() OVER () = 1",
            "SELECT a FROM t USING SAMPLE 3",
            "SELECT a FROM t TABLESAMPLE 10%",
            "SELECT x FROM t AS u(x)",
            "SELECT a FROM t, u",
            "SELECT a FROM (SELECT a FROM t)",
            "WITH t AS (SELECT 1 AS a) SELECT a FROM t",
            "SELECT a FROM t UNION ALL SELECT a FROM t",
            "SELECT unnest(a) FROM t",
            "SELECT 1 FROM t",
        ] {
            assert!(!is_plain(query), "{query}");
        }
    }
}
