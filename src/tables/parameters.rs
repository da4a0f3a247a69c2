//! Parses queries in URLs, in `PostgREST`'s grammar: `select=a,b`, `year=gte.2020`,
//! `country=in.(Brazil,Vietnam)`, `order=year.desc`, `limit`, `offset`, `cursor`.

use std::sync::Arc;

use super::{
    cursor::{Cursor, CursorError},
    error::ParameterError,
    filter::{ColumnFilter, Comparison, Predicate},
    list_syntax,
    query::{Nulls, Order, PageStart, TableQuery},
    type_class::{Operator, TypeClass},
};
use crate::{humanize, reader::TableInfo};

/// Later pages require a cursor, whose cost does not depend on the position.
pub const MAX_OFFSET: u64 = 10_000;
/// Parameters that are not part of a query and are left to the caller.
pub const IGNORED_PARAMS: [&str; 2] = ["format", "safe"];
/// Parameters that are not the name of a column.
const RESERVED_PARAMS: [&str; 5] = ["select", "order", "limit", "offset", "cursor"];
const MAX_FILTERS: usize = 50;
/// Maximum number of columns to order by.
pub const MAX_ORDER_KEYS: usize = 8;
const MAX_VALUES: usize = 500;
/// In characters.
const MAX_VALUE_CHARS: usize = 1_000;

/// Default and maximum number of rows in a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageBounds {
    pub default: u64,
    pub max: u64,
}

/// A parsed query, and the page of its rows that is requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedRequest {
    pub query: TableQuery,
    /// The start of the page.
    pub place: PageStart,
    /// The maximum number of rows.
    pub limit: u64,
    /// Whether the request contains a limit.
    pub limited: bool,
}

impl ParsedRequest {
    /// Parses the parameters of a query for `table`.
    ///
    /// # Errors
    /// The first invalid parameter.
    pub fn parse(
        table: &Arc<TableInfo>,
        parameters: &[(String, String)],
        bounds: PageBounds,
    ) -> Result<Self, ParameterError> {
        let mut query = TableQuery::all(table.clone());
        for (name, value) in parameters {
            let once =
                RESERVED_PARAMS.contains(&name.as_str()) || IGNORED_PARAMS.contains(&name.as_str());
            if once && parameters.iter().filter(|(other, _)| other == name).count() > 1 {
                return Err(ParameterError::new(name, value, "it is given more than once"));
            }
            match name.as_str() {
                "select" => query.columns = select(table, value)?,
                "order" => query.order = order(table, value)?,
                name if once => debug_assert!(!name.is_empty()),
                _ => query.filters.push(filter(table, name, value)?),
            }
        }
        if query.filters.len() > MAX_FILTERS {
            let (name, value) = parameters.last().cloned().unwrap_or_default();
            return Err(ParameterError::new(
                &name,
                &value,
                format!("more than {MAX_FILTERS} filters"),
            ));
        }
        let given = |wanted: &str| {
            parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
        };
        let limit = given("limit").map(|text| number("limit", text, 1, bounds.max)).transpose()?;
        let offset =
            given("offset").map(|text| number("offset", text, 0, MAX_OFFSET)).transpose()?;
        let place = match (given("cursor"), offset) {
            (Some(text), None) => {
                let cursor = Cursor::decode(text)
                    .map_err(|error| ParameterError::new("cursor", text, error.to_string()))?;
                if cursor.keys.len() != query.order.len() {
                    return Err(ParameterError::new(
                        "cursor",
                        text,
                        CursorError::Invalid.to_string(),
                    ));
                }
                PageStart::After(cursor)
            }
            (Some(text), Some(_)) => {
                return Err(ParameterError::new(
                    "cursor",
                    text,
                    "either cursor or offset, not both",
                ));
            }
            (None, offset) => PageStart::Offset(offset.unwrap_or(0)),
        };
        Ok(Self { query, place, limit: limit.unwrap_or(bounds.default), limited: limit.is_some() })
    }
}

/// Formats a column's name as the name of a filter in a URL: in quotes if it equals a reserved
/// parameter.
#[must_use]
pub fn quoted(name: &str) -> String {
    let taken = RESERVED_PARAMS.contains(&name) || IGNORED_PARAMS.contains(&name);
    if taken { format!("\"{name}\"") } else { list_syntax::quoted(name) }
}

fn number(name: &str, text: &str, least: u64, most: u64) -> Result<u64, ParameterError> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| {
        let range = format!("a whole number from {least} to {most}");
        let cursor = if name == "offset" { "; for rows farther on use cursor" } else { "" };
        ParameterError::new(name, text, format!("it must be {range}{cursor}")).allowed([range])
    })
}

fn column(
    table: &TableInfo,
    parameter: &str,
    value: &str,
    name: &str,
) -> Result<usize, ParameterError> {
    let found = table.columns.iter().position(|column| column.name == name);
    let found = found
        .or_else(|| table.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name)));
    found.ok_or_else(|| {
        let names = || table.columns.iter().map(|column| column.name.as_str());
        let near = humanize::nearest(name, names())
            .map(|near| format!("; did you mean {near:?}?"))
            .unwrap_or_default();
        ParameterError::new(parameter, value, format!("{} has no such column{near}", table.name))
            .allowed(names())
    })
}

fn select(table: &TableInfo, value: &str) -> Result<Vec<usize>, ParameterError> {
    let names = list_syntax::list(value)
        .ok_or_else(|| ParameterError::new("select", value, "a quote does not end"))?;
    if names == ["*"] {
        return Ok((0..table.columns.len()).collect());
    }
    let mut chosen = Vec::with_capacity(names.len());
    for name in names {
        let column = column(table, "select", value, &name)?;
        if chosen.contains(&column) {
            return Err(ParameterError::new("select", value, format!("{name} is named twice")));
        }
        chosen.push(column);
    }
    Ok(chosen)
}

fn order(table: &TableInfo, value: &str) -> Result<Vec<Order>, ParameterError> {
    let mut orders = Vec::<Order>::new();
    // Only names are quoted: suffixes such as `.desc` follow the closing quote, and `list` removes
    // the quotes.
    for part in list_syntax::list(value)
        .ok_or_else(|| ParameterError::new("order", value, "a quote does not end"))?
    {
        let (mut name, mut descending, mut nulls) = (part.as_str(), false, Nulls::default());
        loop {
            // A column's name may itself have this form.
            let whole = table.columns.iter().any(|column| column.name == name);
            match name.rsplit_once('.').filter(|_| !whole) {
                Some((rest, "asc")) => name = rest,
                Some((rest, "desc")) => (name, descending) = (rest, true),
                Some((rest, "nullsfirst")) => (name, nulls) = (rest, Nulls::First),
                Some((rest, "nullslast")) => (name, nulls) = (rest, Nulls::Last),
                _ => break,
            }
        }
        let column = column(table, "order", value, name)?;
        let data_type = &table.columns[column].data_type;
        if !TypeClass::of(data_type).is_sortable() {
            return Err(ParameterError::new(
                "order",
                value,
                format!("rows cannot be ordered by {name}, which is {data_type}"),
            ));
        }
        if orders.iter().any(|order| order.column == column) {
            return Err(ParameterError::new("order", value, format!("{name} is named twice")));
        }
        if orders.len() == MAX_ORDER_KEYS {
            return Err(ParameterError::new(
                "order",
                value,
                format!("rows are ordered by at most {MAX_ORDER_KEYS} columns"),
            ));
        }
        orders.push(Order { column, descending, nulls });
    }
    Ok(orders)
}

fn filter(table: &TableInfo, name: &str, value: &str) -> Result<ColumnFilter, ParameterError> {
    let bare = match list_syntax::list(name).as_deref() {
        Some([one]) => one.clone(),
        _ => name.to_owned(),
    };
    let column = column(table, name, value, &bare).map_err(|mistake| {
        let allowed = mistake
            .allowed
            .iter()
            .cloned()
            .chain(RESERVED_PARAMS.iter().chain(&IGNORED_PARAMS).map(|name| (*name).to_owned()))
            .collect();
        ParameterError { allowed, ..mistake }
    })?;
    let kind = TypeClass::of(&table.columns[column].data_type);
    let (negated, rest) = value.strip_prefix("not.").map_or((false, value), |rest| (true, rest));
    let allowed = || kind.operators().iter().map(|operator| operator.name());
    let (operator, operand) = rest.split_once('.').unwrap_or((rest, ""));
    let Some(operator) =
        Operator::named(operator).filter(|operator| kind.operators().contains(operator))
    else {
        let data_type = &table.columns[column].data_type;
        let problem =
            format!("write operator.value, as in {}; {name} is {data_type}", example(kind));
        return Err(ParameterError::new(name, value, problem).allowed(allowed()));
    };
    let test = match operator {
        Operator::Eq => Predicate::Compare(Comparison::Equal, operand.to_owned()),
        Operator::Neq => Predicate::Compare(Comparison::Unequal, operand.to_owned()),
        Operator::Gt => Predicate::Compare(Comparison::Greater, operand.to_owned()),
        Operator::Gte => Predicate::Compare(Comparison::AtLeast, operand.to_owned()),
        Operator::Lt => Predicate::Compare(Comparison::Less, operand.to_owned()),
        Operator::Lte => Predicate::Compare(Comparison::AtMost, operand.to_owned()),
        Operator::In => Predicate::OneOf(one_of(name, value, operand)?),
        Operator::Contains => Predicate::Contains(operand.to_owned()),
        Operator::Like | Operator::Ilike => {
            Predicate::Like { pattern: operand.to_owned(), any_case: operator == Operator::Ilike }
        }
        Operator::Is if operand == "null" => Predicate::Null,
        Operator::Is => {
            return Err(ParameterError::new(name, value, "only is.null and not.is.null are known")
                .allowed(["is.null", "not.is.null"]));
        }
    };
    let longest = match &test {
        Predicate::OneOf(values) => {
            values.iter().map(|value| value.chars().count()).max().unwrap_or_default()
        }
        _ => operand.chars().count(),
    };
    if longest > MAX_VALUE_CHARS {
        return Err(ParameterError::new(
            name,
            value,
            format!("a value is longer than {MAX_VALUE_CHARS} characters"),
        ));
    }
    Ok(ColumnFilter { column, negated, test })
}

fn one_of(name: &str, value: &str, operand: &str) -> Result<Vec<String>, ParameterError> {
    let wrong = |problem: &str| {
        ParameterError::new(name, value, problem).allowed(["in.(one,\"two, with a comma\")"])
    };
    let inner = operand
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
        .ok_or_else(|| wrong("the list must be in brackets"))?;
    if inner.is_empty() {
        return Err(wrong("the list is empty"));
    }
    let values = list_syntax::list(inner).ok_or_else(|| wrong("a quote does not end"))?;
    if values.len() > MAX_VALUES {
        return Err(ParameterError::new(
            name,
            value,
            format!("the list has {} values, more than {MAX_VALUES}", values.len()),
        ));
    }
    Ok(values)
}

fn example(kind: TypeClass) -> &'static str {
    match kind {
        TypeClass::Integer | TypeClass::Decimal { .. } | TypeClass::Float { .. } => "gte.2020",
        TypeClass::Temporal => "gte.2020-01-31",
        TypeClass::Text | TypeClass::Label => "eq.Brazil",
        TypeClass::Boolean => "eq.true",
        TypeClass::Uuid => "eq.6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        TypeClass::Other => "is.null",
    }
}
