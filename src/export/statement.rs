//! Extracts the names in a statement from the output of DuckDB's parser.

use std::{collections::BTreeSet, thread};

use serde::Deserialize;
use serde_json::Value;

use super::{ExportError, engine::Engine};
use crate::guard;

/// Deeper statements are not examined.
const MAX_DEPTH: usize = 5_000;
/// Stack size that suffices for that depth.
const STACK_BYTES: usize = 64 << 20;

/// An object that a statement refers to.
#[derive(Debug)]
pub(super) enum Item {
    /// A table, a view or a file; omitted parts are empty.
    Table { catalog: String, schema: String, name: String, has_alias: bool, at: usize },
    /// A function in `FROM`, in lower case, and the texts of its first argument if that is a text
    /// or a list of texts.
    TableFunction { name: String, first: Option<Texts> },
    /// A function in an expression, in lower case.
    Function(String),
    /// `SHOW` in `FROM`, which reads DuckDB's own metadata.
    Show,
}

/// Texts in a statement, each with its position.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) texts: Vec<(String, usize)>,
    /// Whether they are written as a list.
    pub(super) is_list: bool,
}

/// Everything that a statement refers to.
#[derive(Debug, Default)]
pub(super) struct Statement {
    pub(super) items: Vec<Item>,
    /// The names of its `WITH` clauses, in lower case.
    pub(super) own_names: BTreeSet<String>,
}

impl Statement {
    /// Examines a query or an expression; `None` if DuckDB cannot parse it, or if it is nested too
    /// deeply.
    pub(super) fn examine(engine: &Engine, text: &str) -> Result<Option<Self>, ExportError> {
        for query in [text.to_owned(), format!("SELECT {text}")] {
            let parsed = match engine
                .query_strings("SELECT json_serialize_sql(?::VARCHAR)::VARCHAR", &[&query])
            {
                Err(ExportError::Engine { .. }) => None,
                parsed => parsed?.pop(),
            };
            if let Some(statement) = parsed.and_then(|parsed| Self::read(&parsed)) {
                return Ok(Some(statement));
            }
        }
        Ok(None)
    }

    /// Parses the parser's output on a sufficiently large stack: views with hundreds of `UNION`s
    /// are deeply nested.
    fn read(json: &str) -> Option<Self> {
        let read = || {
            let mut parser = serde_json::Deserializer::from_str(json);
            parser.disable_recursion_limit();
            let parsed = Value::deserialize(&mut parser).ok()?;
            let is_right = parsed.get("error") == Some(&Value::Bool(false));
            let mut statement = Self::default();
            statement.walk(&parsed);
            is_right.then_some(statement)
        };
        if guard::json_depth(json) > MAX_DEPTH {
            return None;
        }
        thread::scope(|scope| {
            thread::Builder::new()
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, read)
                .ok()?
                .join()
                .ok()?
        })
    }

    fn walk(&mut self, value: &Value) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.walk(value)),
            Value::Object(fields) if self.node(value) => {
                fields.values().for_each(|value| self.walk(value));
            }
            _ => {}
        }
    }

    /// Records what a node refers to and returns whether its children remain to be examined.
    fn node(&mut self, node: &Value) -> bool {
        let text = |field: &str| node.get(field).and_then(Value::as_str).unwrap_or_default();
        if !text("cte_name").is_empty() {
            self.own_names.insert(text("cte_name").to_lowercase());
        }
        if let Some(parts) = node.pointer("/cte_map/map").and_then(Value::as_array) {
            self.own_names.extend(
                parts.iter().filter_map(|part| Some(part.get("key")?.as_str()?.to_lowercase())),
            );
        }
        match text("type") {
            "BASE_TABLE" => self.items.push(Item::Table {
                catalog: text("catalog_name").to_owned(),
                schema: text("schema_name").to_owned(),
                name: text("table_name").to_owned(),
                has_alias: !text("alias").is_empty(),
                at: location(node),
            }),
            "TABLE_FUNCTION" => {
                let Some(function) = node.get("function") else { return true };
                let arguments = arguments(function);
                self.items.push(Item::TableFunction {
                    name: function_name(function),
                    first: arguments.first().and_then(|first| texts(first)),
                });
                for argument in arguments {
                    self.walk(argument);
                }
                return false;
            }
            "SHOW_REF"
                if text("show_type") != "SUMMARY"
                    && node.get("query").is_none_or(Value::is_null) =>
            {
                self.items.push(Item::Show);
            }
            _ if !text("function_name").is_empty() => {
                self.items.push(Item::Function(function_name(node)));
            }
            _ => {}
        }
        true
    }
}

/// Returns the texts of a constant or of a list of constants.
fn texts(value: &Value) -> Option<Texts> {
    if value.get("class").and_then(Value::as_str) == Some("CONSTANT") {
        // DuckDB 1.5 has `value`, 2.0 `literal`.
        let text =
            value.pointer("/value/value").or_else(|| value.pointer("/literal/text"))?.as_str()?;
        return Some(Texts { texts: vec![(text.to_owned(), location(value))], is_list: false });
    }
    if function_name(value) != "list_value" {
        return None;
    }
    let lists: Option<Vec<_>> = arguments(value).into_iter().map(texts).collect();
    Some(Texts { texts: lists?.into_iter().flat_map(|list| list.texts).collect(), is_list: true })
}

fn function_name(node: &Value) -> String {
    node.get("function_name").and_then(Value::as_str).unwrap_or_default().to_lowercase()
}

/// Returns the arguments of a function: DuckDB 1.5 has `children`, 2.0 `arguments` with names.
fn arguments(function: &Value) -> Vec<&Value> {
    let list = |field: &str| {
        function.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    };
    let named =
        list("arguments").iter().map(|argument| argument.get("expression").unwrap_or(argument));
    list("children").iter().chain(named).collect()
}

fn location(node: &Value) -> usize {
    node.get("query_location")
        .and_then(Value::as_u64)
        .and_then(|at| at.try_into().ok())
        .unwrap_or(usize::MAX)
}
