//! Questions as they stand in addresses, in `PostgREST`'s grammar: `select=a,b`, `year=gte.2020`, `country=in.(Brazil,Vietnam)`,
//! `order=year.desc`, `limit`, `offset`, `cursor`.

use std::sync::Arc;

use super::{
    cursor::{Cursor, CursorError},
    filter::{Comparison, Filter, Test},
    grammar,
    kind::{Kind, Operator},
    mistake::Mistake,
    query::{Nulls, Order, Place, TableQuery},
};
use crate::{reader::TableInfo, words};

/// Farther than this one gets by cursor, which costs the same everywhere.
pub const MOST_OFFSET: u64 = 10_000;
/// Parameters that are none of a question's, and left to whoever reads it.
pub const OTHERS: [&str; 2] = ["format", "safe"];
/// The parameters that are no column's.
const OURS: [&str; 5] = ["select", "order", "limit", "offset", "cursor"];
const MOST_FILTERS: usize = 50;
const MOST_VALUES: usize = 500;
/// In characters.
const LONGEST_VALUE: usize = 1_000;

/// How many rows an answer has where nothing is said, and at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Where nothing is said.
    pub usual: u64,
    /// At most.
    pub most: u64,
}

/// A question, and which of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The question.
    pub query: TableQuery,
    /// Where the answer begins.
    pub place: Place,
    /// How many rows it has at most.
    pub limit: u64,
    /// Whether the question said so itself.
    pub limited: bool,
}

impl Asked {
    /// Reads the parameters of a question about `table`.
    ///
    /// # Errors
    /// The first parameter that cannot be used.
    pub fn parse(table: &Arc<TableInfo>, parameters: &[(String, String)], bounds: Bounds) -> Result<Self, Mistake> {
        let mut query = TableQuery::all(table.clone());
        for (name, value) in parameters {
            let once = OURS.contains(&name.as_str()) || OTHERS.contains(&name.as_str());
            if once && parameters.iter().filter(|(other, _)| other == name).count() > 1 {
                return Err(Mistake::new(name, value, "it is given more than once"));
            }
            match name.as_str() {
                "select" => query.columns = select(table, value)?,
                "order" => query.order = order(table, value)?,
                name if once => debug_assert!(!name.is_empty()),
                _ => query.filters.push(filter(table, name, value)?),
            }
        }
        if query.filters.len() > MOST_FILTERS {
            let (name, value) = parameters.last().cloned().unwrap_or_default();
            return Err(Mistake::new(&name, &value, format!("more than {MOST_FILTERS} filters")));
        }
        let given = |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let limit = given("limit").map(|text| number("limit", text, 1, bounds.most)).transpose()?;
        let offset = given("offset").map(|text| number("offset", text, 0, MOST_OFFSET)).transpose()?;
        let place = match (given("cursor"), offset) {
            (Some(text), None) => {
                let cursor = Cursor::decode(text).map_err(|error| Mistake::new("cursor", text, error.to_string()))?;
                if cursor.keys.len() != query.order.len() {
                    return Err(Mistake::new("cursor", text, CursorError::Foreign.to_string()));
                }
                Place::After(cursor)
            }
            (Some(text), Some(_)) => return Err(Mistake::new("cursor", text, "either cursor or offset, not both")),
            (None, offset) => Place::Offset(offset.unwrap_or(0)),
        };
        Ok(Self { query, place, limit: limit.unwrap_or(bounds.usual), limited: limit.is_some() })
    }
}

/// A column's name as an address takes it as the name of a filter: in quotes where another parameter is called so.
#[must_use]
pub fn quoted(name: &str) -> String {
    let taken = OURS.contains(&name) || OTHERS.contains(&name);
    if taken { format!("\"{name}\"") } else { grammar::quoted(name) }
}

fn number(name: &str, text: &str, least: u64, most: u64) -> Result<u64, Mistake> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| {
        let range = format!("a whole number from {least} to {most}");
        let cursor = if name == "offset" { "; for rows farther on use cursor" } else { "" };
        Mistake::new(name, text, format!("it must be {range}{cursor}")).allowed([range])
    })
}

fn column(table: &TableInfo, parameter: &str, value: &str, name: &str) -> Result<usize, Mistake> {
    let found = table.columns.iter().position(|column| column.name == name);
    let found = found.or_else(|| table.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name)));
    found.ok_or_else(|| {
        let names = || table.columns.iter().map(|column| column.name.as_str());
        let near = words::nearest(name, names()).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
        Mistake::new(parameter, value, format!("{} has no such column{near}", table.name)).allowed(names())
    })
}

fn select(table: &TableInfo, value: &str) -> Result<Vec<usize>, Mistake> {
    let names = grammar::list(value).ok_or_else(|| Mistake::new("select", value, "a quote does not end"))?;
    if names == ["*"] {
        return Ok((0..table.columns.len()).collect());
    }
    let mut chosen = Vec::with_capacity(names.len());
    for name in names {
        let column = column(table, "select", value, &name)?;
        if chosen.contains(&column) {
            return Err(Mistake::new("select", value, format!("{name} is named twice")));
        }
        chosen.push(column);
    }
    Ok(chosen)
}

fn order(table: &TableInfo, value: &str) -> Result<Vec<Order>, Mistake> {
    let mut orders = Vec::<Order>::new();
    // Quotes are for names; what follows one stands outside of it, and comes out of the list without them.
    for part in grammar::list(value).ok_or_else(|| Mistake::new("order", value, "a quote does not end"))? {
        let (mut name, mut descending, mut nulls) = (part.as_str(), false, Nulls::default());
        loop {
            // A column may be called so itself.
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
        if !Kind::of(data_type).sorts() {
            return Err(Mistake::new("order", value, format!("rows cannot be ordered by {name}, which is {data_type}")));
        }
        if orders.iter().any(|order| order.column == column) {
            return Err(Mistake::new("order", value, format!("{name} is named twice")));
        }
        orders.push(Order { column, descending, nulls });
    }
    Ok(orders)
}

fn filter(table: &TableInfo, name: &str, value: &str) -> Result<Filter, Mistake> {
    let bare = match grammar::list(name).as_deref() {
        Some([one]) => one.clone(),
        _ => name.to_owned(),
    };
    let column = column(table, name, value, &bare).map_err(|mistake| {
        let allowed = mistake.allowed.iter().cloned().chain(OURS.iter().chain(&OTHERS).map(|name| (*name).to_owned())).collect();
        Mistake { allowed, ..mistake }
    })?;
    let kind = Kind::of(&table.columns[column].data_type);
    let (negated, rest) = value.strip_prefix("not.").map_or((false, value), |rest| (true, rest));
    let allowed = || kind.operators().iter().map(|operator| operator.name());
    let (operator, operand) = rest.split_once('.').unwrap_or((rest, ""));
    let Some(operator) = Operator::named(operator).filter(|operator| kind.operators().contains(operator)) else {
        let data_type = &table.columns[column].data_type;
        let problem = format!("write operator.value, as in {}; {name} is {data_type}", example(kind));
        return Err(Mistake::new(name, value, problem).allowed(allowed()));
    };
    let test = match operator {
        Operator::Eq => Test::Compare(Comparison::Equal, operand.to_owned()),
        Operator::Neq => Test::Compare(Comparison::Unequal, operand.to_owned()),
        Operator::Gt => Test::Compare(Comparison::Greater, operand.to_owned()),
        Operator::Gte => Test::Compare(Comparison::AtLeast, operand.to_owned()),
        Operator::Lt => Test::Compare(Comparison::Less, operand.to_owned()),
        Operator::Lte => Test::Compare(Comparison::AtMost, operand.to_owned()),
        Operator::In => Test::OneOf(one_of(name, value, operand)?),
        Operator::Contains => Test::Contains(operand.to_owned()),
        Operator::Like | Operator::Ilike => Test::Like { pattern: operand.to_owned(), any_case: operator == Operator::Ilike },
        Operator::Is if operand == "null" => Test::Null,
        Operator::Is => return Err(Mistake::new(name, value, "only is.null and not.is.null are known").allowed(["is.null", "not.is.null"])),
    };
    let longest = match &test {
        Test::OneOf(values) => values.iter().map(|value| value.chars().count()).max().unwrap_or_default(),
        _ => operand.chars().count(),
    };
    if longest > LONGEST_VALUE {
        return Err(Mistake::new(name, value, format!("a value is longer than {LONGEST_VALUE} characters")));
    }
    Ok(Filter { column, negated, test })
}

fn one_of(name: &str, value: &str, operand: &str) -> Result<Vec<String>, Mistake> {
    let wrong = |problem: &str| Mistake::new(name, value, problem).allowed(["in.(one,\"two, with a comma\")"]);
    let inner =
        operand.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or_else(|| wrong("the list must stand in brackets"))?;
    if inner.is_empty() {
        return Err(wrong("the list is empty"));
    }
    let values = grammar::list(inner).ok_or_else(|| wrong("a quote does not end"))?;
    if values.len() > MOST_VALUES {
        return Err(Mistake::new(name, value, format!("the list has {} values, more than {MOST_VALUES}", values.len())));
    }
    Ok(values)
}

fn example(kind: Kind) -> &'static str {
    match kind {
        Kind::Whole | Kind::Decimal { .. } | Kind::Float { .. } => "gte.2020",
        Kind::Time => "gte.2020-01-31",
        Kind::Text | Kind::Label => "eq.Brazil",
        Kind::Boolean => "eq.true",
        Kind::Uuid => "eq.6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        Kind::Other => "is.null",
    }
}
