//! A question about one table, and the SQL it becomes.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{
    cursor::{Cursor, CursorError},
    filter::{Filter, name_of, typed},
    kind::Kind,
    mistake::{AskError, Mistake},
};
use crate::{
    download::is_text_elsewhere,
    reader::{Answer, ColumnInfo, Limits, Param, Pin, Query, ReaderError, TableInfo},
    sql, values,
};

/// Which rows of a table, in what order, and which columns of them. Names come from the catalog, values are bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableQuery {
    /// The table.
    pub table: Arc<TableInfo>,
    /// The columns, by their places.
    pub columns: Vec<usize>,
    /// Every one must hold.
    pub filters: Vec<Filter>,
    /// By what rows are ordered; rows that are equal in it, and all rows without it, come as they stand in the file.
    pub order: Vec<Order>,
    /// Rows before it do not exist for whoever asks.
    pub since: Option<Since>,
}

/// A column that rows are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// The column, by its place in the table.
    pub column: usize,
    /// From the largest to the smallest.
    pub descending: bool,
    /// Where nulls are.
    pub nulls: Nulls,
}

/// Where nulls are in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Nulls {
    /// Before everything.
    First,
    /// After everything.
    #[default]
    Last,
}

/// The first year that is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// The column that tells the year, by its place.
    pub column: usize,
    /// The year.
    pub year: i64,
}

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// After so many rows.
    Offset(u64),
    /// After the row that a page before ended with.
    After(Cursor),
}

/// For whom values are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// For [`crate::values`], which reads every type.
    Whole,
    /// For columnar files: types that other programs do not know become text.
    Columnar,
}

impl TableQuery {
    /// The whole table.
    #[must_use]
    pub fn all(table: Arc<TableInfo>) -> Self {
        Self { columns: (0..table.columns.len()).collect(), table, filters: Vec::new(), order: Vec::new(), since: None }
    }

    /// The chosen columns.
    pub fn chosen(&self) -> impl Iterator<Item = &ColumnInfo> {
        self.columns.iter().filter_map(|at| self.table.columns.get(*at))
    }

    /// How many rows there are.
    #[must_use]
    pub fn count(&self) -> Query {
        self.bind(Query::new(&format!("SELECT count(*) FROM {}{}", self.source(), self.conditions(None))))
    }

    /// All rows.
    #[must_use]
    pub fn whole(&self, layout: Layout) -> Query {
        let select = self.chosen().map(|column| laid_out(column, layout)).collect::<Vec<_>>().join(", ");
        self.bind(Query::new(&format!("SELECT {select} FROM {}{}{}", self.source(), self.conditions(None), self.ordered())))
    }

    /// At most `limit` rows from `place` on. Behind the chosen columns come those that [`TableQuery::cursor`] reads.
    #[must_use]
    pub fn page(&self, place: &Place, limit: u64, layout: Layout) -> Query {
        let mut select: Vec<_> = self.chosen().map(|column| laid_out(column, layout)).collect();
        if self.has_row_numbers() {
            select.push("t.rowid AS \"row number\"".to_owned());
            let keys = self.order.iter().filter_map(|order| self.table.columns.get(order.column)).enumerate();
            select.extend(keys.map(|(at, column)| format!("CAST({} AS VARCHAR) AS \"key {at}\"", name_of(column))));
        }
        let after = match place {
            Place::Offset(_) => None,
            Place::After(cursor) => Some(cursor),
        };
        let sql = format!(
            "SELECT {} FROM {}{}{} LIMIT $limit OFFSET $offset",
            select.join(", "),
            self.source(),
            self.conditions(after),
            self.ordered()
        );
        let offset = if let Place::Offset(offset) = place { *offset } else { 0 };
        let query = self.bind(Query::new(&sql)).bind("limit", int(limit)).bind("offset", int(offset));
        let Some(cursor) = after else { return query };
        let keys = cursor.keys.iter().enumerate();
        keys.fold(query.bind("row", cursor.row), |query, (at, key)| query.bind(&format!("key{at}"), Param::from(key.clone())))
    }

    /// Smallest, largest, about how many different values, and nulls, of the first chosen column; without the first two where values cannot
    /// be compared.
    #[must_use]
    pub fn summary(&self, comparable: bool) -> Query {
        let name = self.chosen().next().map_or_else(|| "NULL".to_owned(), name_of);
        let (least, most) =
            if comparable { (format!("min({name})"), format!("max({name})")) } else { ("NULL".to_owned(), "NULL".to_owned()) };
        let text = format!("CAST({name} AS VARCHAR)");
        let counted = if comparable { &name } else { &text };
        self.bind(Query::new(&format!(
            "SELECT CAST({least} AS VARCHAR), CAST({most} AS VARCHAR), CAST(approx_count_distinct({counted}) AS BIGINT), count(*) - count({name})
             FROM {}{}",
            self.source(),
            self.conditions(None)
        )))
    }

    /// Where the page ended that `answer` is, for the next one.
    #[must_use]
    pub fn cursor(&self, answer: &Answer, generation: &str) -> Option<Cursor> {
        let batch = answer.batches.iter().rev().find(|batch| batch.num_rows() > 0).filter(|_| self.has_row_numbers())?;
        let (columns, last) = (values::columns(&answer.fields, batch), batch.num_rows() - 1);
        let mut hidden = columns.get(self.columns.len()..)?.iter().map(|column| column.text(last).map(std::borrow::Cow::into_owned));
        let row = hidden.next()??.parse().ok()?;
        Some(Cursor { generation: generation.to_owned(), question: self.fingerprint(), row, keys: hidden.collect() })
    }

    /// Whether a cursor belongs to this question and to this generation.
    ///
    /// # Errors
    /// Why it does not.
    pub fn check_cursor(&self, cursor: &Cursor, generation: &str) -> Result<(), CursorError> {
        match () {
            () if cursor.question != self.fingerprint() || cursor.keys.len() != self.order.len() => Err(CursorError::Foreign),
            () if cursor.generation != generation => Err(CursorError::Expired),
            () => Ok(()),
        }
    }

    /// Lets the engine say which values are none of their columns' types, before they get into a question.
    ///
    /// # Errors
    /// The first [`Mistake`], or every [`ReaderError`].
    pub async fn check(&self, pin: &Pin) -> Result<(), AskError> {
        let typed_values = self.filters.iter().filter_map(|filter| Some((self.table.columns.get(filter.column)?, filter.values())));
        let typed_values: Vec<_> = typed_values
            .filter(|(column, _)| !Kind::of(&column.data_type).is_text())
            .flat_map(|(column, values)| values.into_iter().map(move |value| (column, value)))
            .collect();
        for (column, value) in &typed_values {
            if !Kind::of(&column.data_type).reads(value) {
                return Err(unreadable(column, value).into());
            }
        }
        if typed_values.is_empty() {
            return Ok(());
        }
        let tests: Vec<_> =
            (0..).zip(&typed_values).map(|(at, (column, _))| format!("TRY_CAST($v{at} AS {}) IS NULL", column.data_type)).collect();
        let query = (0..).zip(&typed_values).fold(Query::new(&format!("SELECT {}", tests.join(", "))), |query, (at, (_, value))| {
            query.bind(&format!("v{at}"), value.as_str())
        });
        let answer = pin.ask(query, Limits::page()).await?;
        let Some(batch) = answer.batches.first() else { return Ok(()) };
        let wrong = values::columns(&answer.fields, batch).iter().position(|column| column.text(0).as_deref() == Some("true"));
        match wrong.and_then(|at| typed_values.get(at)) {
            Some((column, value)) => Err(unreadable(column, value).into()),
            None => Ok(()),
        }
    }

    /// How many rows there are, asked.
    ///
    /// # Errors
    /// As [`Pin::ask`].
    pub async fn rows(&self, pin: &Pin, limits: Limits) -> Result<u64, ReaderError> {
        let answer = pin.ask(self.count(), limits).await?;
        let counted = answer.batches.first().and_then(|batch| values::columns(&answer.fields, batch).first()?.text(0)?.parse().ok());
        counted.ok_or_else(|| ReaderError::Engine { message: "the rows could not be counted".to_owned() })
    }

    /// Everything that makes this another question, shortly.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let Self { table, columns: _, filters, order, since } = self;
        let digest = Sha256::digest(format!("{} {filters:?} {order:?} {since:?}", table.name));
        digest.iter().take(8).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    /// Whether the file's own row numbers can be asked for: a column may have taken their name.
    fn has_row_numbers(&self) -> bool {
        !self.table.columns.iter().any(|column| column.name.eq_ignore_ascii_case("rowid"))
    }

    fn source(&self) -> String {
        format!("{} AS t", sql::ident(&self.table.name))
    }

    fn conditions(&self, after: Option<&Cursor>) -> String {
        let filters = self.filters.iter().enumerate();
        let mut all: Vec<_> =
            filters.filter_map(|(number, filter)| Some(filter.sql(self.table.columns.get(filter.column)?, number))).collect();
        all.extend(self.since.and_then(|since| Some(since_sql(self.table.columns.get(since.column)?))));
        all.extend(after.map(|cursor| self.after(cursor)));
        if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) }
    }

    /// The rows behind a cursor's: later in the first key, or equal in it and later in the second, and so on, the row's number last.
    fn after(&self, cursor: &Cursor) -> String {
        let (mut later, mut equal) = (Vec::new(), Vec::new());
        for (at, (order, key)) in self.order.iter().zip(&cursor.keys).enumerate() {
            let Some(column) = self.table.columns.get(order.column) else { continue };
            let (name, value) = (sorted_name(column), typed(&format!("key{at}"), column));
            let (past, same) = match (key, order.nulls) {
                (Some(_), nulls) => {
                    let past = format!("{name} {} {value}", if order.descending { "<" } else { ">" });
                    let past = if nulls == Nulls::Last { format!("({past} OR {name} IS NULL)") } else { past };
                    (Some(past), format!("{name} = {value}"))
                }
                (None, Nulls::First) => (Some(format!("{name} IS NOT NULL")), format!("{name} IS NULL")),
                (None, Nulls::Last) => (None, format!("{name} IS NULL")),
            };
            later.extend(past.map(|past| equal.iter().cloned().chain([past]).collect::<Vec<_>>().join(" AND ")));
            equal.push(same);
        }
        equal.push(self.later_row());
        later.push(equal.join(" AND "));
        format!("(({}))", later.join(") OR ("))
    }

    /// The rows behind the cursor's in the file. DuckDB 2.0 fails with an internal error where row numbers alone are compared and few rows are
    /// wanted (it then fetches the other columns later, by those numbers): a condition that looks at another column too is safe.
    fn later_row(&self) -> String {
        let later = "t.rowid > $row";
        let other = self.table.columns.first().map(name_of);
        other.map_or_else(|| later.to_owned(), |other| format!("({later} OR ({other} IS NULL AND {other} IS NOT NULL))"))
    }

    fn ordered(&self) -> String {
        let by = |order: &Order| {
            let direction = if order.descending { "DESC" } else { "ASC" };
            let nulls = if order.nulls == Nulls::First { "FIRST" } else { "LAST" };
            Some(format!("{} {direction} NULLS {nulls}", sorted_name(self.table.columns.get(order.column)?)))
        };
        let mut keys: Vec<_> = self.order.iter().filter_map(by).collect();
        if keys.is_empty() {
            return String::new();
        }
        keys.extend(self.has_row_numbers().then(|| "t.rowid".to_owned()));
        format!(" ORDER BY {}", keys.join(", "))
    }

    fn bind(&self, query: Query) -> Query {
        let query = self.filters.iter().enumerate().fold(query, |query, (number, filter)| filter.bind(query, number));
        let Some((since, column)) = self.since.and_then(|since| Some((since, self.table.columns.get(since.column)?))) else { return query };
        match Kind::of(&column.data_type) {
            Kind::Time => query.bind("since", format!("{:04}-01-01", since.year)),
            _ => query.bind("since", since.year),
        }
    }
}

fn since_sql(column: &ColumnInfo) -> String {
    match Kind::of(&column.data_type) {
        Kind::Time => format!("{} >= {}", name_of(column), typed("since", column)),
        _ => format!("{} >= $since", name_of(column)),
    }
}

/// ENUMs are in the order of their names, as people expect it, not of their declaration.
fn sorted_name(column: &ColumnInfo) -> String {
    let name = name_of(column);
    if Kind::of(&column.data_type) == Kind::Label { format!("CAST({name} AS VARCHAR)") } else { name }
}

fn laid_out(column: &ColumnInfo, layout: Layout) -> String {
    let (name, data_type) = (name_of(column), column.data_type.as_str());
    let text = match layout {
        // The crate cannot fetch it.
        _ if data_type.contains("VARIANT") => true,
        Layout::Whole => false,
        Layout::Columnar => is_text_elsewhere(data_type),
    };
    if text { format!("CAST({name} AS VARCHAR) AS {}", sql::ident(&column.name)) } else { name }
}

fn unreadable(column: &ColumnInfo, value: &str) -> Mistake {
    let kind = Kind::of(&column.data_type);
    let problem = format!("this is not a value of {}, which is {}", column.name, column.data_type);
    Mistake::new(&column.name, value, problem).allowed([kind.example()])
}

fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
