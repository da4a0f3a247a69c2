//! Chooses one representation per column of a file: if a format cannot represent some value of a
//! column, the whole column is written in another one.
//!
//! | format | type | native representation if every value of the table | otherwise |
//! |---|---|---|---|
//! | JSON | FLOAT, DOUBLE | is finite | text |
//! | JSON | JSON | is a document of the same kind: object, array, text, number or truth value | text |
//! | JSON | UBIGINT, HUGEINT, UHUGEINT, BIGNUM | fits into 64 bits with sign | text |
//! | Parquet, Arrow | HUGEINT, UHUGEINT | has at most 38 digits, as `DECIMAL(38,0)` | text |
//! | Parquet, Arrow | DATE, TIMESTAMP | is in the years 1 to 9999 | text |
//! | Parquet, Arrow | TIME | is before 24:00 | text |
//! | Excel | integers of 64 bits and more, DECIMAL | has at most 15 digits, not counting leading and trailing zeros | text |
//! | Excel | FLOAT, DOUBLE | is finite | text |
//! | Excel | DATE, TIMESTAMP | is in the years 1900 to 9999 | text |
//!
//! The decision depends on the whole table, not on the selected rows, so that every page and every
//! filter of one generation has the same types. Members of nested types follow the same rules, all
//! members of a type together.

mod spelling;

use std::collections::BTreeSet;

use self::spelling::{rewrite, type_names};
use crate::{
    reader::{Pin, Query, QueryLimits, QueryResult, ReaderError},
    sql, values,
};

/// The purpose for which rows are selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableLayout {
    /// For [`crate::values`], which supports every type.
    Full,
    /// For JSON, in which each column has one type.
    Json,
    /// For columnar files that other programs read.
    Columnar,
    /// For spreadsheets, which store numbers with 15 digits.
    Sheet,
}

/// A condition that all values of a column must meet, or the column is written in another
/// representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum CastCondition {
    Finite,
    In64Bits,
    In38Digits,
    In15Digits,
    InYears { first: u16 },
    BeforeMidnight,
    OfOneKind,
}

/// Types that only DuckDB supports.
const UNSUPPORTED_TYPES: [&str; 12] = [
    "BIGNUM",
    "BIT",
    "GEOMETRY",
    "HUGEINT",
    "INTERVAL",
    "TIME WITH TIME ZONE",
    "TIMESTAMPTZ_NS",
    "TIME_NS",
    "TUPLE",
    "UHUGEINT",
    "UNION",
    "UUID",
];
/// The largest signed 64-bit integer.
const MAX_64_BITS: &str = "9223372036854775807";
const MAX_38_DIGITS: &str = "99999999999999999999999999999999999999";
/// Matches the text of a date that is infinite or outside of the years 1 to 9999.
const FAR_DAY: &str = r"infinity|\(BC\)|[0-9]{5,}-[0-9]{2}-[0-9]{2}";

/// The columns of a query, and the conditions on their values that determine their representations.
#[derive(Debug)]
pub struct Forms {
    layout: TableLayout,
    columns: Vec<LayoutColumn>,
}

#[derive(Debug)]
struct LayoutColumn {
    name: String,
    data_type: String,
    conditions: Vec<CastCondition>,
}

impl Forms {
    /// Takes the columns' names in SQL and their types in DuckDB's notation.
    #[must_use]
    pub fn new(layout: TableLayout, columns: impl IntoIterator<Item = (String, String)>) -> Self {
        let column = |(name, data_type): (String, String)| LayoutColumn {
            conditions: conditions(layout, &data_type),
            name,
            data_type,
        };
        Self { layout, columns: columns.into_iter().map(column).collect() }
    }

    /// Returns a query that tests the values of `source`, a relation in SQL, for [`Forms::casts`];
    /// `None` if the types alone determine the result.
    #[must_use]
    pub fn test_query(&self, source: &str) -> Option<Query> {
        let tests = self
            .columns
            .iter()
            .flat_map(|column| column.conditions.iter().map(|condition| column.test(*condition)));
        let tests: Vec<_> = tests.collect();
        (!tests.is_empty())
            .then(|| Query::new(&format!("SELECT {} FROM {source}", tests.join(", "))))
    }

    /// Returns the type to which each column is cast, `None` for a column that stays unchanged.
    /// Without a result, every value is assumed to fit, except where a value that does not would
    /// make the query fail.
    #[must_use]
    pub fn casts(&self, answer: Option<&QueryResult>) -> Vec<Option<String>> {
        let batch = answer.and_then(|answer| {
            Some((answer, answer.batches.iter().find(|batch| batch.num_rows() > 0)?))
        });
        let columns =
            batch.map(|(answer, batch)| values::columns(&answer.fields, batch)).unwrap_or_default();
        // A column with only nulls always fits.
        let mut fits = columns.iter().map(|column| column.text(0).as_deref() != Some("false"));
        let cast = |column: &LayoutColumn| {
            let met: Vec<_> = column
                .conditions
                .iter()
                .map(|condition| {
                    (*condition, fits.next().unwrap_or(*condition != CastCondition::In38Digits))
                })
                .collect();
            column.cast(self.layout, &met)
        };
        self.columns.iter().map(cast).collect()
    }

    /// Runs the test query and returns the casts.
    ///
    /// # Errors
    /// The errors of [`Pin::query`].
    pub async fn resolve(
        &self,
        pin: &Pin,
        source: &str,
        limits: QueryLimits,
    ) -> Result<Vec<Option<String>>, ReaderError> {
        let answer = match self.test_query(source) {
            Some(question) => Some(pin.query(question, limits).await?),
            None => None,
        };
        Ok(self.casts(answer.as_deref()))
    }
}

impl LayoutColumn {
    /// Returns the SQL that tests whether all values meet the condition.
    fn test(&self, condition: CastCondition) -> String {
        let (name, data_type) = (&self.name, self.data_type.as_str());
        let text = format!("CAST({name} AS VARCHAR)");
        let never = |pattern: &str| {
            format!("NOT bool_or(regexp_matches({text}, {}))", sql::literal(pattern))
        };
        let value = |value: &str| format!("CAST({} AS {data_type})", sql::literal(value));
        let up_to = |most: &str| match data_type {
            "HUGEINT" => format!(
                "min({name}) >= {} AND max({name}) <= {}",
                value(&format!("-{most}")),
                value(most)
            ),
            "UBIGINT" | "UHUGEINT" => format!("max({name}) <= {}", value(most)),
            _ => never(&format!("[0-9]{{{}}}", if most == MAX_64_BITS { 19 } else { 39 })),
        };
        match condition {
            CastCondition::Finite if matches!(data_type, "FLOAT" | "DOUBLE") => {
                format!("bool_and(isfinite({name}))")
            }
            CastCondition::Finite => never(r"\b(nan|inf)\b"),
            CastCondition::In64Bits => up_to(MAX_64_BITS),
            CastCondition::In38Digits => up_to(MAX_38_DIGITS),
            CastCondition::In15Digits => {
                let digits = format!(
                    "length(rtrim(ltrim(replace(replace({text}, '-', ''), '.', ''), '0'), '0')) <= 15"
                );
                match data_type {
                    "BIGINT" | "UBIGINT" | "HUGEINT" => {
                        format!(
                            "bool_and(CASE WHEN {name} BETWEEN -999999999999999 AND 999999999999999 THEN true ELSE {digits} END)"
                        )
                    }
                    _ => format!("bool_and({digits})"),
                }
            }
            CastCondition::InYears { first } => match data_type {
                "DATE" | "TIMESTAMP" | "TIMESTAMP_S" | "TIMESTAMP_MS" => {
                    format!(
                        "min({name}) >= {} AND max({name}) < {}",
                        value(&format!("{first:04}-01-01")),
                        value("10000-01-01")
                    )
                }
                "TIMESTAMP WITH TIME ZONE" => {
                    let (from, to) = (
                        value(&format!("{first:04}-01-01 00:00:00+00")),
                        value("10000-01-01 00:00:00+00"),
                    );
                    format!("min({name}) >= {from} AND max({name}) < {to}")
                }
                // Its finite values end in the year 2262.
                "TIMESTAMP_NS" => {
                    let from = if first < 1700 { "1677-09-22" } else { "1900-01-01" };
                    format!(
                        "min({name}) >= {} AND max({name}) < {}",
                        value(from),
                        value("2262-04-11")
                    )
                }
                _ => never(FAR_DAY),
            },
            // Compares the first characters; a JSON null is compatible with every kind.
            CastCondition::OfOneKind => {
                let first = format!("left(ltrim({text}, ' ' || chr(9) || chr(10) || chr(13)), 1)");
                let kind = format!(
                    "CASE WHEN {first} IN ('{{', '[', '\"') THEN {first} WHEN {first} IN ('t', 'f') THEN 't' WHEN {first} <> 'n' THEN '0' END"
                );
                format!("count(DISTINCT {kind}) <= 1")
            }
            CastCondition::BeforeMidnight if data_type == "TIME" => {
                format!("max({name}) < {}", value("24:00:00"))
            }
            CastCondition::BeforeMidnight => never("24:00:00"),
        }
    }

    fn cast(&self, layout: TableLayout, met: &[(CastCondition, bool)]) -> Option<String> {
        let text = || Some("VARCHAR".to_owned());
        let data_type = self.data_type.as_str();
        // The DuckDB crate cannot read VARIANT.
        if type_names(data_type).any(|word| word == "VARIANT") {
            return text();
        }
        let rewritten = rewrite(data_type, |word| {
            let condition = condition(layout, word)
                .filter(|condition| met.iter().any(|(known, _)| known == condition))?;
            let fits = met.contains(&(condition, true));
            match condition {
                CastCondition::In38Digits if fits => Some("DECIMAL(38,0)"),
                _ if fits => None,
                _ => Some("VARCHAR"),
            }
        });
        // The cast must name the target type, and not every type has a name.
        let has_no_spelling = rewritten != data_type
            && type_names(&rewritten).any(|word| matches!(word, "UNION" | "TUPLE" | "ENUM"));
        let unknown = layout == TableLayout::Columnar && is_unsupported(&rewritten);
        if has_no_spelling || unknown {
            return text();
        }
        (rewritten != data_type).then_some(rewritten)
    }
}

fn is_unsupported(data_type: &str) -> bool {
    // Parquet cannot represent a struct without fields.
    type_names(data_type).any(|word| UNSUPPORTED_TYPES.contains(&word) || word == "STRUCT")
}

/// Returns the conditions on a column's values, by its type.
fn conditions(layout: TableLayout, data_type: &str) -> Vec<CastCondition> {
    let (plain, arguments) = data_type.split_once('(').unwrap_or((data_type, ""));
    let is_nested = data_type.ends_with(']') || type_names(data_type).next() != Some(plain);
    let digits = arguments
        .split(',')
        .next()
        .and_then(|width| width.parse().ok())
        .filter(|_| plain == "DECIMAL");
    // Spreadsheets have nested values as text in any case.
    if layout == TableLayout::Sheet && (is_nested || digits.is_some_and(|digits: u8| digits <= 15))
    {
        return Vec::new();
    }
    // JSON documents inside nested values may have different kinds.
    if layout == TableLayout::Json && data_type == "JSON" {
        return vec![CastCondition::OfOneKind];
    }
    type_names(data_type)
        .filter_map(|word| condition(layout, word))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

fn condition(layout: TableLayout, word: &str) -> Option<CastCondition> {
    let day = matches!(
        word,
        "DATE"
            | "TIMESTAMP"
            | "TIMESTAMP_S"
            | "TIMESTAMP_MS"
            | "TIMESTAMP_NS"
            | "TIMESTAMP WITH TIME ZONE"
    );
    match (layout, word) {
        (TableLayout::Json | TableLayout::Sheet, "FLOAT" | "DOUBLE") => Some(CastCondition::Finite),
        (TableLayout::Json, "JSON") => Some(CastCondition::OfOneKind),
        (TableLayout::Json, "UBIGINT" | "HUGEINT" | "UHUGEINT" | "BIGNUM") => {
            Some(CastCondition::In64Bits)
        }
        (TableLayout::Columnar, "HUGEINT" | "UHUGEINT") => Some(CastCondition::In38Digits),
        (TableLayout::Columnar, "TIME") => Some(CastCondition::BeforeMidnight),
        (TableLayout::Columnar, _) if day => Some(CastCondition::InYears { first: 1 }),
        (TableLayout::Sheet, _) if day => Some(CastCondition::InYears { first: 1900 }),
        (
            TableLayout::Sheet,
            "BIGINT" | "UBIGINT" | "HUGEINT" | "UHUGEINT" | "BIGNUM" | "DECIMAL",
        ) => Some(CastCondition::In15Digits),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cast(layout: TableLayout, data_type: &str, fits: bool) -> Option<String> {
        let column = LayoutColumn {
            name: "c".to_owned(),
            data_type: data_type.to_owned(),
            conditions: conditions(layout, data_type),
        };
        let met: Vec<_> = column.conditions.iter().map(|condition| (*condition, fits)).collect();
        column.cast(layout, &met)
    }

    #[test]
    fn a_member_that_does_not_fit_changes_its_type_and_keeps_the_frame_around_it() {
        let nested = "STRUCT(hugeint HUGEINT, \"a HUGEINT\" DOUBLE, e ENUM('HUGEINT'))[]";
        let expected = "STRUCT(hugeint DECIMAL(38,0), \"a HUGEINT\" DOUBLE, e ENUM('HUGEINT'))[]";
        assert_eq!(cast(TableLayout::Columnar, nested, true).as_deref(), Some(expected));
        let expected = "STRUCT(hugeint VARCHAR, \"a HUGEINT\" VARCHAR, e ENUM('HUGEINT'))[]";
        assert_eq!(cast(TableLayout::Json, nested, false).as_deref(), Some(expected));
        assert_eq!(cast(TableLayout::Json, nested, true), None);
    }

    #[test]
    fn a_question_that_nothing_is_known_for_does_not_fail_at_a_number_of_39_digits() {
        let forms = Forms::new(
            TableLayout::Columnar,
            [("a".to_owned(), "HUGEINT".to_owned()), ("b".to_owned(), "DATE".to_owned())],
        );
        assert_eq!(forms.casts(None), [Some("VARCHAR".to_owned()), None]);
    }

    #[test]
    fn types_that_only_duckdb_knows_are_text_in_columnar_files_whatever_they_hold() {
        for data_type in [
            "UUID",
            "BIT",
            "UNION(a INTEGER)",
            "TIME WITH TIME ZONE",
            "INTERVAL[]",
            "STRUCT",
            "GEOMETRY",
            "BIGNUM",
        ] {
            assert_eq!(
                cast(TableLayout::Columnar, data_type, true).as_deref(),
                Some("VARCHAR"),
                "{data_type}"
            );
        }
        for data_type in [
            "TIMESTAMP WITH TIME ZONE",
            "ENUM('UUID')",
            "STRUCT(\"UUID\" INTEGER)",
            "DECIMAL(38,10)",
            "MAP(VARCHAR, DATE)",
        ] {
            assert_eq!(cast(TableLayout::Columnar, data_type, true), None, "{data_type}");
        }
    }
}
