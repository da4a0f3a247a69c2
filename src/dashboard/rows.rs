//! The rows of a query's result, with columns addressed by name.

use std::borrow::Cow;

use crate::{
    humanize,
    locale::Locale,
    reader::QueryResult,
    values::{self, Column, DuckType, Field, Format},
};

/// The rows of a result.
pub(super) struct ResultRows<'a> {
    fields: &'a [Field],
    batches: Vec<Vec<Column<'a>>>,
}

/// The properties of a column's type that matter for drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnKind {
    Integer,
    Number,
    /// Dates or timestamps.
    Temporal,
    /// Any other type.
    Other,
}

impl ColumnKind {
    fn new(data_type: &DuckType) -> Self {
        match data_type {
            whole if whole.is_integer() => Self::Integer,
            DuckType::Decimal { scale: 0, .. } => Self::Integer,
            number if number.is_numeric() => Self::Number,
            time if time.is_temporal() => Self::Temporal,
            _ => Self::Other,
        }
    }

    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Integer | Self::Number)
    }

    /// Returns the default format of its values.
    fn format(self) -> Format {
        match self {
            Self::Integer => Format::Integer,
            Self::Number => Format::Decimal(2),
            Self::Temporal => Format::Date,
            Self::Other => Format::Plain,
        }
    }
}

impl<'a> ResultRows<'a> {
    pub(super) fn new(answer: &'a QueryResult) -> Self {
        let batches =
            answer.batches.iter().map(|batch| values::columns(&answer.fields, batch)).collect();
        Self { fields: &answer.fields, batches }
    }

    pub(super) fn fields(&self) -> &'a [Field] {
        self.fields
    }

    /// Returns the index of a column.
    pub(super) fn find(&self, name: &str) -> Result<usize, String> {
        self.fields.iter().position(|field| field.name == name).ok_or_else(|| {
            humanize::unknown_name_message(
                "column",
                name,
                self.fields.iter().map(|field| field.name.as_str()),
            )
        })
    }

    /// Returns the index of a numeric column.
    pub(super) fn find_number(&self, name: &str) -> Result<usize, String> {
        let column = self.find(name)?;
        let data_type = &self.fields[column].data_type;
        if ColumnKind::new(data_type).is_number() {
            return Ok(column);
        }
        Err(format!("the column {name:?} is {data_type}, and must hold numbers to be drawn"))
    }

    pub(super) fn kind(&self, column: usize) -> ColumnKind {
        ColumnKind::new(&self.fields[column].data_type)
    }

    pub(super) fn each(&self) -> impl Iterator<Item = Row<'_, 'a>> {
        self.batches.iter().flat_map(|columns| {
            let rows = columns.first().map_or(0, Column::len);
            (0..rows).map(move |row| Row { columns, row })
        })
    }

    /// Returns the default format of a column of numbers.
    pub(super) fn value_format(&self, column: usize) -> Format {
        self.kind(column).format()
    }

    /// Returns whether a column contains timestamps with a time zone.
    pub(super) fn is_zoned(&self, column: usize) -> bool {
        self.fields[column].data_type.is_zoned()
    }

    /// Returns the default format of a column's values: years without commas, times with the
    /// necessary precision.
    pub(super) fn default_format(&self, column: usize) -> Format {
        const DAY: i64 = 86_400_000;
        match self.kind(column) {
            ColumnKind::Integer if self.fields[column].name.contains("year") => Format::Year,
            ColumnKind::Temporal => {
                let moments: Vec<i64> = self.each().filter_map(|row| row.millis(column)).collect();
                let all = |fits: &dyn Fn(i64) -> bool| moments.iter().all(|millis| fits(*millis));
                let shown = |format: Format, ending: &'static str| {
                    move |millis: i64| {
                        values::format_time_in(millis, format, Locale::default()).ends_with(ending)
                    }
                };
                let multiple_of = |unit: i64| all(&|millis| millis.rem_euclid(unit) == 0);
                if !multiple_of(1_000) {
                    Format::Millisecond
                } else if !multiple_of(60_000) {
                    Format::Second
                } else if !multiple_of(DAY) {
                    Format::Time
                } else if moments.len() > 1 && all(&shown(Format::Date, "-01-01")) {
                    Format::Year
                } else if all(&shown(Format::Date, "-01")) {
                    Format::Month
                } else {
                    Format::Date
                }
            }
            other => other.format(),
        }
    }
}

/// One row of a result.
#[derive(Clone, Copy)]
pub(super) struct Row<'r, 'a> {
    columns: &'r [Column<'a>],
    row: usize,
}

impl<'a> Row<'_, 'a> {
    pub(super) fn number(&self, column: usize) -> Option<f64> {
        self.columns.get(column)?.number(self.row).filter(|number| number.is_finite())
    }

    /// Returns the numbers of a LIST.
    pub(super) fn numbers(&self, column: usize) -> Vec<Option<f64>> {
        match self.columns.get(column).map(|column| column.json(self.row)) {
            Some(serde_json::Value::Array(items)) => {
                // Decimals are text in JSON.
                let number = |item: &serde_json::Value| {
                    item.as_f64().or_else(|| item.as_str().and_then(|text| text.parse().ok()))
                };
                items.iter().map(number).collect()
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn millis(&self, column: usize) -> Option<i64> {
        self.columns.get(column)?.millis(self.row)
    }

    pub(super) fn text(&self, column: usize) -> Option<Cow<'a, str>> {
        self.columns.get(column)?.text(self.row)
    }

    pub(super) fn format(&self, column: usize, format: Format) -> Option<Cow<'a, str>> {
        self.columns.get(column)?.format(self.row, format)
    }
}
