//! Rows of any number, of which a window is loaded: an opened table, or the answer to a query.

use std::time::Duration;

use super::list::Cursor;
use crate::tui::text::width;

/// Rows loaded at once from a table, around those in view.
pub(crate) const WINDOW: usize = 200;
/// Rows taken of a query's answer.
pub(crate) const SQL_ROWS: usize = 10_000;
/// The widest a column is drawn.
const WIDEST: usize = 40;

/// Where rows come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum From {
    /// A served table, and how many rows it has.
    Table { name: String, rows: usize },
    /// A query.
    Sql(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GridColumn {
    pub(crate) name: String,
    /// As DuckDB writes it.
    pub(crate) data_type: String,
    pub(crate) numeric: bool,
    pub(crate) width: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sort {
    pub(crate) column: String,
    pub(crate) descending: bool,
}

/// Only rows in which one column ...
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) column: String,
    pub(crate) data_type: String,
    pub(crate) wanted: Wanted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// ... has this value.
    Value(Option<String>),
    /// ... contains this text, in any case.
    Part(String),
}

impl Filter {
    /// `country = Brazil`, `name has "co"`.
    pub(crate) fn words(&self) -> String {
        match &self.wanted {
            Wanted::Value(Some(value)) => format!("{} = {value}", self.column),
            Wanted::Value(None) => format!("{} is null", self.column),
            Wanted::Part(part) => format!("{} has {part:?}", self.column),
        }
    }
}

/// Which rows to load.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PageAsk {
    pub(crate) from: From,
    pub(crate) sort: Option<Sort>,
    pub(crate) filters: Vec<Filter>,
    pub(crate) first: usize,
    pub(crate) count: usize,
    /// How many rows there are in all, where that is known.
    pub(crate) total: Option<usize>,
    pub(crate) time: Duration,
}

/// A window of rows.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) columns: Vec<GridColumn>,
    pub(crate) first: usize,
    pub(crate) rows: Vec<Vec<Option<String>>>,
    pub(crate) total: usize,
    /// There were more rows than are kept.
    pub(crate) cut: bool,
    pub(crate) took: Duration,
}

/// What has been asked and not been answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) request: u64,
    first: usize,
    count: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Grid {
    pub(crate) from: From,
    pub(crate) columns: Vec<GridColumn>,
    /// The first row of the window.
    pub(crate) first: usize,
    pub(crate) rows: Vec<Vec<Option<String>>>,
    /// Rows of the whole view; `None` until counted.
    pub(crate) total: Option<usize>,
    pub(crate) cut: bool,
    pub(crate) took: Option<Duration>,
    pub(crate) cursor: Cursor,
    pub(crate) column: usize,
    /// The first column in view.
    pub(crate) left: usize,
    pub(crate) sort: Option<Sort>,
    pub(crate) filters: Vec<Filter>,
    pub(crate) asked: Option<Asked>,
    pub(crate) problem: Option<String>,
    /// How long an answer may take.
    pub(crate) time: Duration,
}

impl Grid {
    /// Rows that have not been asked for yet.
    pub(crate) fn new(from: From, columns: Vec<GridColumn>, time: Duration) -> Self {
        let total = match &from {
            From::Table { rows, .. } => Some(*rows),
            From::Sql(_) => None,
        };
        Self {
            from,
            columns,
            first: 0,
            rows: Vec::new(),
            total,
            cut: false,
            took: None,
            cursor: Cursor::default(),
            column: 0,
            left: 0,
            sort: None,
            filters: Vec::new(),
            asked: None,
            problem: None,
            time,
        }
    }

    /// How many rows one can go through, as far as is known.
    pub(crate) fn len(&self) -> usize {
        self.total.unwrap_or(self.first + self.rows.len())
    }

    /// A row, where it is loaded.
    pub(crate) fn row(&self, at: usize) -> Option<&[Option<String>]> {
        self.rows.get(at.checked_sub(self.first)?).map(Vec::as_slice)
    }

    /// The value one is on: `None` while it is loading, `Some(None)` where it is null.
    #[allow(clippy::option_option, reason = "loading, null, or a value")]
    pub(crate) fn cell(&self) -> Option<Option<&str>> {
        self.row(self.cursor.at)?.get(self.column).map(Option::as_deref)
    }

    /// What has to be asked so that the rows in view get loaded; nothing where they are, or are on their way.
    pub(crate) fn wants(&self, height: usize) -> Option<PageAsk> {
        if let From::Sql(_) = self.from {
            return None;
        }
        let view = self.cursor.view(self.len(), height);
        let covers = |first: usize, count: usize| view.start >= first && view.end <= first + count;
        if view.is_empty() || covers(self.first, self.rows.len()) {
            return None;
        }
        if self.asked.as_ref().is_some_and(|asked| covers(asked.first, asked.count)) {
            return None;
        }
        // More ahead than behind where one goes down, and the other way round.
        let ahead = WINDOW.saturating_sub(height);
        let behind = if view.start >= self.first { ahead / 4 } else { ahead * 3 / 4 };
        let first = view.start.saturating_sub(behind);
        Some(self.ask(first, WINDOW.max(height)))
    }

    /// The first rows of the view as it is filtered and sorted now.
    pub(crate) fn anew(&self) -> PageAsk {
        let count = if matches!(self.from, From::Sql(_)) { SQL_ROWS } else { WINDOW };
        self.ask(0, count)
    }

    /// The rows in view again, of another generation.
    pub(crate) fn around(&self) -> PageAsk {
        match self.from {
            From::Sql(_) => self.anew(),
            From::Table { .. } => self.ask(self.cursor.top.saturating_sub(WINDOW / 4), WINDOW),
        }
    }

    fn ask(&self, first: usize, count: usize) -> PageAsk {
        PageAsk {
            from: self.from.clone(),
            sort: self.sort.clone(),
            filters: self.filters.clone(),
            first,
            count,
            total: self.total,
            time: self.time,
        }
    }

    /// Notes what has been asked.
    pub(crate) fn asking(&mut self, request: u64, ask: &PageAsk) {
        self.asked = Some(Asked { request, first: ask.first, count: ask.count });
    }

    /// Takes an answer; one that is not the latest is ignored.
    pub(crate) fn answered(&mut self, request: u64, page: Result<Page, String>) -> bool {
        if self.asked.as_ref().is_none_or(|asked| asked.request != request) {
            return false;
        }
        self.asked = None;
        match page {
            Ok(page) => {
                self.problem = None;
                self.columns = page.columns;
                self.first = page.first;
                self.rows = page.rows;
                self.total = Some(page.total);
                self.cut = page.cut;
                self.took = Some(page.took);
                self.measure();
                self.column = self.column.min(self.columns.len().saturating_sub(1));
                self.left = self.left.min(self.column);
            }
            Err(problem) => self.problem = Some(problem),
        }
        true
    }

    /// Columns are as wide as the widest of what is loaded, with room for the sign of the order; they do not shrink while one scrolls.
    fn measure(&mut self) {
        for (index, column) in self.columns.iter_mut().enumerate() {
            let cells = self.rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.as_deref().map_or(4, |text| width(text, WIDEST)));
            column.width = cells.max().unwrap_or(0).max(width(&column.name, WIDEST) + 1).max(column.width).clamp(3, WIDEST);
        }
    }

    /// Moves to a column, keeping it in view.
    pub(crate) fn move_to_column(&mut self, column: usize, space: usize) {
        self.column = column.min(self.columns.len().saturating_sub(1));
        self.left = self.left.min(self.column);
        while self.left < self.column && self.columns[self.left..=self.column].iter().map(|column| column.width + 2).sum::<usize>() > space
        {
            self.left += 1;
        }
    }

    /// By the column one is on: ascending, descending, not at all.
    pub(crate) fn sort_next(&mut self) {
        let Some(column) = self.columns.get(self.column).map(|column| column.name.clone()) else { return };
        self.sort = match self.sort.take() {
            Some(sort) if sort.column == column && sort.descending => None,
            Some(sort) if sort.column == column => Some(Sort { column, descending: true }),
            _ => Some(Sort { column, descending: false }),
        };
    }

    /// Only rows in which the column one is on is as wanted; a former wish for that column is replaced.
    pub(crate) fn filter(&mut self, wanted: Wanted) {
        let Some(column) = self.columns.get(self.column) else { return };
        let filter = Filter { column: column.name.clone(), data_type: column.data_type.clone(), wanted };
        self.filters.retain(|known| known.column != filter.column);
        self.filters.push(filter);
        self.total = None;
    }

    pub(crate) fn clear_filters(&mut self) {
        self.filters.clear();
        self.total = match &self.from {
            From::Table { rows, .. } => Some(*rows),
            From::Sql(_) => None,
        };
    }

    /// Back to the first row, for a view that will be asked anew; old rows stay until then.
    pub(crate) fn rewind(&mut self) {
        self.cursor = Cursor::default();
        self.first = 0;
    }
}
