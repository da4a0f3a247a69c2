//! An answer, row by row, with its columns found by name.

use std::borrow::Cow;

use crate::{
    reader::Answer,
    values::{self, Column, DuckType, Field, Format},
    words,
};

/// The rows of an answer.
pub(super) struct Rows<'a> {
    fields: &'a [Field],
    batches: Vec<Vec<Column<'a>>>,
}

/// What a column holds, as far as drawing is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// Numbers without a fraction.
    Whole,
    /// Numbers.
    Number,
    /// Days or moments.
    Time,
    /// Anything else.
    Other,
}

impl Holds {
    pub(super) fn of(data_type: &DuckType) -> Self {
        match data_type {
            whole if whole.is_integer() => Self::Whole,
            DuckType::Decimal { scale: 0, .. } => Self::Whole,
            number if number.is_numeric() => Self::Number,
            time if time.is_temporal() => Self::Time,
            _ => Self::Other,
        }
    }

    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Whole | Self::Number)
    }

    /// How its values are printed when nobody says how.
    pub(super) fn format(self) -> Format {
        match self {
            Self::Whole => Format::Integer,
            Self::Number => Format::Decimal(2),
            Self::Time => Format::Date,
            Self::Other => Format::Plain,
        }
    }
}

impl<'a> Rows<'a> {
    pub(super) fn of(answer: &'a Answer) -> Self {
        let batches = answer.batches.iter().map(|batch| values::columns(&answer.fields, batch)).collect();
        Self { fields: &answer.fields, batches }
    }

    pub(super) fn fields(&self) -> &'a [Field] {
        self.fields
    }

    /// Where a column is.
    pub(super) fn find(&self, name: &str) -> Result<usize, String> {
        self.fields
            .iter()
            .position(|field| field.name == name)
            .ok_or_else(|| words::unknown("column", name, self.fields.iter().map(|field| field.name.as_str())))
    }

    /// Where a column of numbers is.
    pub(super) fn find_number(&self, name: &str) -> Result<usize, String> {
        let column = self.find(name)?;
        let data_type = &self.fields[column].data_type;
        if Holds::of(data_type).is_number() {
            return Ok(column);
        }
        Err(format!("the column {name:?} is {data_type}, and must hold numbers to be drawn"))
    }

    pub(super) fn holds(&self, column: usize) -> Holds {
        Holds::of(&self.fields[column].data_type)
    }

    pub(super) fn each(&self) -> impl Iterator<Item = Row<'_, 'a>> {
        self.batches.iter().flat_map(|columns| {
            let rows = columns.first().map_or(0, Column::len);
            (0..rows).map(move |row| Row { columns, row })
        })
    }

    /// How the values of a column are printed when nobody says how: years without commas, times by how far apart they are.
    pub(super) fn format(&self, column: usize) -> Format {
        const DAY: i64 = 86_400_000;
        match self.holds(column) {
            Holds::Whole if self.fields[column].name.contains("year") => Format::Year,
            Holds::Time => {
                let moments: Vec<i64> = self.each().filter_map(|row| row.millis(column)).collect();
                let all = |fits: &dyn Fn(i64) -> bool| moments.iter().all(|millis| fits(*millis));
                let shown = |format: Format, ending: &'static str| move |millis: i64| values::human_time(millis, format).ends_with(ending);
                if !all(&|millis| millis.rem_euclid(DAY) == 0) {
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

/// One row of an answer.
#[derive(Clone, Copy)]
pub(super) struct Row<'r, 'a> {
    columns: &'r [Column<'a>],
    row: usize,
}

impl<'a> Row<'_, 'a> {
    pub(super) fn number(&self, column: usize) -> Option<f64> {
        self.columns.get(column)?.number(self.row).filter(|number| number.is_finite())
    }

    pub(super) fn millis(&self, column: usize) -> Option<i64> {
        self.columns.get(column)?.millis(self.row)
    }

    pub(super) fn text(&self, column: usize) -> Option<Cow<'a, str>> {
        self.columns.get(column)?.text(self.row)
    }

    pub(super) fn human(&self, column: usize, format: Format) -> Option<Cow<'a, str>> {
        self.columns.get(column)?.human(self.row, format)
    }
}
