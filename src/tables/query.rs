//! A query for one table and its translation to SQL.

use std::sync::Arc;

use super::{
    cursor::{Cursor, CursorError},
    error::{ParameterError, TableQueryError},
    filter::{ColumnFilter, name_of, typed},
    layout::{Forms, TableLayout},
    type_class::TypeClass,
};
use crate::{
    digest::DigestBuilder,
    reader::{ColumnInfo, Param, Pin, Query, QueryLimits, QueryResult, ReaderError, TableInfo},
    sql, values,
};

/// Selects rows of a table, their order and their columns. Names come from the catalog, values are
/// bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableQuery {
    pub table: Arc<TableInfo>,
    /// The selected columns, as indexes in the table.
    pub columns: Vec<usize>,
    /// The filters, all of which must match.
    pub filters: Vec<ColumnFilter>,
    /// The order of rows; rows that compare equal, and all rows without an order, are in the order
    /// of the file.
    pub order: Vec<Order>,
    /// The first visible year; earlier rows do not exist for the caller.
    pub since: Option<FromYear>,
    /// The types to which columns are cast, by their indexes in the table; `None` for columns that
    /// stay unchanged.
    pub casts: Vec<Option<String>>,
}

/// A column by which rows are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Order {
    /// The index of the column in the table.
    pub column: usize,
    /// Whether the largest value comes first.
    pub descending: bool,
    /// The position of nulls.
    pub nulls: Nulls,
}

/// The position of nulls in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub enum Nulls {
    First,
    #[default]
    Last,
}

/// The first visible year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct FromYear {
    /// The index of the column with the year.
    pub column: usize,
    pub year: i64,
}

/// The start of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageStart {
    /// After this number of rows.
    Offset(u64),
    /// After the last row of a previous page.
    After(Cursor),
}

impl TableQuery {
    /// Selects the whole table.
    #[must_use]
    pub fn all(table: Arc<TableInfo>) -> Self {
        let casts = forms(&table, TableLayout::Full).casts(None);
        Self {
            columns: (0..table.columns.len()).collect(),
            table,
            filters: Vec::new(),
            order: Vec::new(),
            since: None,
            casts,
        }
    }

    /// Returns the same query with each column in the representation that `layout` requires for its
    /// values.
    ///
    /// # Errors
    /// The errors of [`Pin::query`].
    pub async fn with_layout(
        &self,
        pin: &Pin,
        layout: TableLayout,
        limits: QueryLimits,
    ) -> Result<Self, ReaderError> {
        let forms = forms(&self.table, layout);
        let casts = forms.resolve(pin, &self.source(), limits).await?;
        Ok(Self { casts, ..self.clone() })
    }

    /// Works like [`Self::with_layout`], but assumes that every value has the usual representation
    /// of its type, for estimates of sizes.
    #[must_use]
    pub fn with_usual_layout(&self, layout: TableLayout) -> Self {
        Self { casts: forms(&self.table, layout).casts(None), ..self.clone() }
    }

    /// Returns the selected columns.
    pub fn selected_columns(&self) -> impl Iterator<Item = &ColumnInfo> {
        self.columns.iter().filter_map(|at| self.table.columns.get(*at))
    }

    /// Returns the selected columns that are cast to text.
    pub fn texts(&self) -> impl Iterator<Item = &ColumnInfo> {
        let is_text = |at: &&usize| {
            self.casts.get(**at).is_some_and(|cast| cast.as_deref() == Some("VARCHAR"))
        };
        self.columns.iter().filter(is_text).filter_map(|at| self.table.columns.get(*at))
    }

    /// Returns a query for the number of rows.
    #[must_use]
    pub fn count(&self) -> Query {
        self.bind(Query::new(&format!(
            "SELECT count(*) FROM {}{}",
            self.source(),
            self.conditions(None)
        )))
    }

    /// Returns a query for all rows.
    #[must_use]
    pub fn all_rows(&self) -> Query {
        let select = self.projection().join(", ");
        self.bind(Query::new(&format!(
            "SELECT {select} FROM {}{}{}",
            self.source(),
            self.conditions(None),
            self.ordered()
        )))
    }

    /// Returns a query for at most `limit` rows from `place` on. The selected columns are followed
    /// by those that [`TableQuery::cursor`] reads.
    #[must_use]
    pub fn page(&self, place: &PageStart, limit: u64) -> Query {
        let mut select = self.projection();
        if self.has_row_numbers() {
            select.push("t.rowid AS \"row number\"".to_owned());
            let keys = self
                .order
                .iter()
                .filter_map(|order| self.table.columns.get(order.column))
                .enumerate();
            select.extend(keys.map(|(at, column)| {
                format!("CAST({} AS VARCHAR) AS \"key {at}\"", name_of(column))
            }));
        }
        let after = match place {
            PageStart::Offset(_) => None,
            PageStart::After(cursor) => Some(cursor),
        };
        let sql = format!(
            "SELECT {} FROM {}{}{} LIMIT $limit OFFSET $offset",
            select.join(", "),
            self.source(),
            self.conditions(after),
            self.ordered()
        );
        let offset = if let PageStart::Offset(offset) = place { *offset } else { 0 };
        let query =
            self.bind(Query::new(&sql)).bind("limit", int(limit)).bind("offset", int(offset));
        let Some(cursor) = after else { return query };
        let keys = cursor.keys.iter().enumerate();
        keys.fold(query.bind("row", cursor.row), |query, (at, key)| {
            query.bind(&format!("key{at}"), Param::from(key.clone()))
        })
    }

    /// Returns whether [`Self::summary`] counts distinct values instead of estimating them.
    #[must_use]
    pub fn counts_distinct(&self) -> bool {
        const MAX_COUNTED: u64 = 1_000_000;
        self.table.rows <= MAX_COUNTED
    }

    /// Returns a query for minimum, maximum, number of distinct values, and number of nulls of the
    /// first selected column; without minimum and maximum if values are not comparable. In large
    /// tables the number of distinct values is an estimate.
    #[must_use]
    pub fn summary(&self, comparable: bool) -> Query {
        let name = self.selected_columns().next().map_or_else(|| "NULL".to_owned(), name_of);
        let (least, most) = if comparable {
            (format!("min({name})"), format!("max({name})"))
        } else {
            ("NULL".to_owned(), "NULL".to_owned())
        };
        let text = format!("CAST({name} AS VARCHAR)");
        let counted = if comparable { &name } else { &text };
        let distinct = if self.counts_distinct() {
            format!("count(DISTINCT {counted})")
        } else {
            format!("CAST(approx_count_distinct({counted}) AS BIGINT)")
        };
        self.bind(Query::new(&format!(
            "SELECT CAST({least} AS VARCHAR), CAST({most} AS VARCHAR), {distinct}, count(*) - count({name})
             FROM {}{}",
            self.source(),
            self.conditions(None)
        )))
    }

    /// Returns a query for the most common values of the first selected column with their numbers
    /// of rows, the most common first.
    #[must_use]
    pub fn common_values(&self, limit: usize) -> Query {
        let name = self.selected_columns().next().map_or_else(|| "NULL".to_owned(), name_of);
        self.bind(Query::new(&format!(
            "SELECT CAST({name} AS VARCHAR), count(*) FROM {}{} GROUP BY {name} ORDER BY count(*) DESC, 1 NULLS LAST LIMIT {limit}",
            self.source(),
            self.conditions(None)
        )))
    }

    /// Returns a query for values of the first selected column that a filter can be compared with,
    /// the most common first, from a sample: its cost does not depend on the size of the table.
    #[must_use]
    pub fn suggestions(&self, limit: usize) -> Query {
        const SAMPLE: usize = 100_000;
        let name = self.selected_columns().next().map_or_else(|| "NULL".to_owned(), name_of);
        self.bind(Query::new(&format!(
            "SELECT value FROM (SELECT CAST({name} AS VARCHAR) AS value FROM {}{} LIMIT {SAMPLE})
             WHERE value IS NOT NULL AND length(value) BETWEEN 1 AND 60 GROUP BY value ORDER BY count(*) DESC, value LIMIT {limit}",
            self.source(),
            self.conditions(None)
        )))
    }

    /// Returns a query for expressions over the matching rows. They are written by the caller, with
    /// the names of [`Self::sql_name`].
    pub(crate) fn aggregate(&self, expressions: &str, tail: &str) -> Query {
        self.bind(Query::new(&format!(
            "SELECT {expressions} FROM {}{} {tail}",
            self.source(),
            self.conditions(None)
        )))
    }

    /// Returns the name of a column in [`Self::aggregate`].
    pub(crate) fn sql_name(&self, column: usize) -> Option<String> {
        self.table.columns.get(column).map(name_of)
    }

    /// Returns the cursor for the page after `answer`.
    #[must_use]
    pub fn cursor(&self, answer: &QueryResult, generation: &str) -> Option<Cursor> {
        let batch = answer
            .batches
            .iter()
            .rev()
            .find(|batch| batch.num_rows() > 0)
            .filter(|_| self.has_row_numbers())?;
        let (columns, last) = (values::columns(&answer.fields, batch), batch.num_rows() - 1);
        let mut hidden = columns
            .get(self.columns.len()..)?
            .iter()
            .map(|column| column.text(last).map(std::borrow::Cow::into_owned));
        let row = hidden.next()??.parse().ok()?;
        Some(Cursor {
            generation: generation.to_owned(),
            query_digest: self.fingerprint(),
            row,
            keys: hidden.collect(),
        })
    }

    /// Checks that a cursor belongs to this query and this generation.
    ///
    /// # Errors
    /// The reason why it does not.
    pub fn check_cursor(&self, cursor: &Cursor, generation: &str) -> Result<(), CursorError> {
        match () {
            () if cursor.query_digest != self.fingerprint()
                || cursor.keys.len() != self.order.len() =>
            {
                Err(CursorError::Invalid)
            }
            () if cursor.generation != generation => Err(CursorError::Expired),
            () => Ok(()),
        }
    }

    /// Checks with the engine that all values are valid for their columns' types before they are
    /// used in a query.
    ///
    /// # Errors
    /// The first [`ParameterError`], or every [`ReaderError`].
    pub async fn check(&self, pin: &Pin) -> Result<(), TableQueryError> {
        let typed_values = self
            .filters
            .iter()
            .filter_map(|filter| Some((self.table.columns.get(filter.column)?, filter.values())));
        let typed_values: Vec<_> = typed_values
            .filter(|(column, _)| !TypeClass::of(&column.data_type).is_text())
            .flat_map(|(column, values)| {
                values.into_iter().map(move |value| (column, value.as_str()))
            })
            .collect();
        for (column, value) in &typed_values {
            if !TypeClass::of(&column.data_type).can_parse(value) {
                return Err(unreadable(column, value).into());
            }
        }
        match unreadable_at(pin, &typed_values).await?.and_then(|at| typed_values.get(at)) {
            Some((column, value)) => Err(unreadable(column, value).into()),
            None => Ok(()),
        }
    }

    /// Checks that a page can begin at `place`: its cursor belongs to this query and generation,
    /// and its values are valid for their columns' types.
    ///
    /// # Errors
    /// [`TableQueryError::Cursor`], or every [`ReaderError`].
    pub async fn check_page_start(
        &self,
        place: &PageStart,
        pin: &Pin,
        generation: &str,
    ) -> Result<(), TableQueryError> {
        let PageStart::After(cursor) = place else { return Ok(()) };
        self.check_cursor(cursor, generation)?;
        let keys = self.order.iter().zip(&cursor.keys);
        let keys = keys.filter_map(|(order, key)| {
            Some((self.table.columns.get(order.column)?, key.as_deref()?))
        });
        let keys: Vec<_> = keys
            .filter(|(column, _)| TypeClass::of(&column.data_type) != TypeClass::Text)
            .collect();
        match unreadable_at(pin, &keys).await? {
            Some(_) => Err(CursorError::Invalid.into()),
            None => Ok(()),
        }
    }

    /// Returns the number of rows.
    ///
    /// # Errors
    /// The errors of [`Pin::query`].
    pub async fn rows(&self, pin: &Pin, limits: QueryLimits) -> Result<u64, ReaderError> {
        let answer = pin.query(self.count(), limits).await?;
        let counted = answer.batches.first().and_then(|batch| {
            values::columns(&answer.fields, batch).first()?.text(0)?.parse().ok()
        });
        counted.ok_or_else(|| ReaderError::Engine {
            message: "the rows could not be counted".to_owned(),
        })
    }

    /// Returns a short digest of everything that distinguishes queries.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let Self { table, columns: _, filters, order, since, casts: _ } = self;
        let digest = DigestBuilder::new()
            .add(&table.name)
            .add_json(filters)
            .add_json(order)
            .add_json(since)
            .digest();
        digest[..16].to_owned()
    }

    /// Returns whether the file's row numbers are accessible: a column may have the same name.
    fn has_row_numbers(&self) -> bool {
        !self.table.columns.iter().any(|column| column.name.eq_ignore_ascii_case("rowid"))
    }

    /// Returns the selected columns in SQL, each in its representation.
    fn projection(&self) -> Vec<String> {
        let select = |at: &usize| {
            let column = self.table.columns.get(*at)?;
            let name = name_of(column);
            Some(match self.casts.get(*at) {
                Some(Some(cast)) => {
                    format!("CAST({name} AS {cast}) AS {}", sql::ident(&column.name))
                }
                _ => name,
            })
        };
        self.columns.iter().filter_map(select).collect()
    }

    fn source(&self) -> String {
        format!("{} AS t", sql::ident(&self.table.name))
    }

    fn conditions(&self, after: Option<&Cursor>) -> String {
        let filters = self.filters.iter().enumerate();
        let mut all: Vec<_> = filters
            .filter_map(|(number, filter)| {
                Some(filter.sql(self.table.columns.get(filter.column)?, number))
            })
            .collect();
        all.extend(
            self.since.and_then(|since| Some(since_sql(self.table.columns.get(since.column)?))),
        );
        all.extend(after.map(|cursor| self.keyset_condition(cursor)));
        if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) }
    }

    /// Returns the condition for rows after a cursor: greater in the first key, or equal in it and
    /// greater in the second, and so on, with the row's number last.
    fn keyset_condition(&self, cursor: &Cursor) -> String {
        let (mut later, mut equal) = (Vec::new(), Vec::new());
        for (at, (order, key)) in self.order.iter().zip(&cursor.keys).enumerate() {
            let Some(column) = self.table.columns.get(order.column) else { continue };
            let (name, value) = (name_of(column), key_value(at, column));
            let (past, same) = match (key, order.nulls) {
                (Some(_), nulls) => {
                    let past =
                        format!("{name} {} {value}", if order.descending { "<" } else { ">" });
                    let past = if nulls == Nulls::Last {
                        format!("({past} OR {name} IS NULL)")
                    } else {
                        past
                    };
                    (Some(past), format!("{name} = {value}"))
                }
                (None, Nulls::First) => {
                    (Some(format!("{name} IS NOT NULL")), format!("{name} IS NULL"))
                }
                (None, Nulls::Last) => (None, format!("{name} IS NULL")),
            };
            later.extend(
                past.map(|past| {
                    equal.iter().cloned().chain([past]).collect::<Vec<_>>().join(" AND ")
                }),
            );
            equal.push(same);
        }
        equal.push(self.row_number_condition());
        later.push(equal.join(" AND "));
        format!("(({}))", later.join(") OR ("))
    }

    /// Returns the condition for rows after the cursor in the file. DuckDB 2.0 fails with an
    /// internal error if only row numbers are compared and few rows are selected (it then fetches
    /// the other columns later, by those numbers); a condition that also reads another column
    /// avoids this.
    fn row_number_condition(&self) -> String {
        let later = "t.rowid > $row";
        let other = self.table.columns.first().map(name_of);
        other.map_or_else(
            || later.to_owned(),
            |other| format!("({later} OR ({other} IS NULL AND {other} IS NOT NULL))"),
        )
    }

    fn ordered(&self) -> String {
        let by = |order: &Order| {
            let direction = if order.descending { "DESC" } else { "ASC" };
            let nulls = if order.nulls == Nulls::First { "FIRST" } else { "LAST" };
            Some(format!(
                "{} {direction} NULLS {nulls}",
                name_of(self.table.columns.get(order.column)?)
            ))
        };
        let mut keys: Vec<_> = self.order.iter().filter_map(by).collect();
        if keys.is_empty() {
            return String::new();
        }
        keys.extend(self.has_row_numbers().then(|| "t.rowid".to_owned()));
        format!(" ORDER BY {}", keys.join(", "))
    }

    fn bind(&self, query: Query) -> Query {
        let query = self
            .filters
            .iter()
            .enumerate()
            .fold(query, |query, (number, filter)| filter.bind(query, number));
        let Some((since, column)) =
            self.since.and_then(|since| Some((since, self.table.columns.get(since.column)?)))
        else {
            return query;
        };
        match TypeClass::of(&column.data_type) {
            TypeClass::Temporal => query.bind("since", format!("{:04}-01-01", since.year)),
            _ => query.bind("since", since.year),
        }
    }
}

fn since_sql(column: &ColumnInfo) -> String {
    match TypeClass::of(&column.data_type) {
        TypeClass::Temporal => format!("{} >= {}", name_of(column), typed("since", column)),
        _ => format!("{} >= $since", name_of(column)),
    }
}

fn forms(table: &TableInfo, layout: TableLayout) -> Forms {
    Forms::new(
        layout,
        table.columns.iter().map(|column| (name_of(column), column.data_type.clone())),
    )
}

/// Returns a cursor's key as a value that compares in its own order: ENUMs in the order of their
/// declaration.
fn key_value(at: usize, column: &ColumnInfo) -> String {
    match TypeClass::of(&column.data_type) {
        TypeClass::Label => format!("CAST($key{at} AS {})", column.data_type),
        _ => typed(&format!("key{at}"), column),
    }
}

/// Returns the index of the first value that the engine cannot parse as its column's type.
async fn unreadable_at(
    pin: &Pin,
    typed_values: &[(&ColumnInfo, &str)],
) -> Result<Option<usize>, ReaderError> {
    if typed_values.is_empty() {
        return Ok(None);
    }
    let tests: Vec<_> = (0..)
        .zip(typed_values)
        .map(|(at, (column, _))| format!("TRY_CAST($v{at} AS {}) IS NULL", column.data_type))
        .collect();
    let query = Query::new(&format!("SELECT {}", tests.join(", ")));
    let query = (0..)
        .zip(typed_values)
        .fold(query, |query, (at, (_, value))| query.bind(&format!("v{at}"), *value));
    let answer = pin.query(query, QueryLimits::for_page()).await?;
    let Some(batch) = answer.batches.first() else { return Ok(None) };
    Ok(values::columns(&answer.fields, batch)
        .iter()
        .position(|column| column.text(0).as_deref() == Some("true")))
}

fn unreadable(column: &ColumnInfo, value: &str) -> ParameterError {
    let kind = TypeClass::of(&column.data_type);
    let problem = format!("this is not a value of {}, which is {}", column.name, column.data_type);
    ParameterError::new(&column.name, value, problem).allowed([kind.example()])
}

fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
