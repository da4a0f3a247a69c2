//! The SQL screen: a prompt, earlier queries, completion, and the answer.

use materia::reader::Catalog;
use ratatui_textarea::{CursorMove, TextArea};

use super::grid::Grid;

/// Queries remembered.
pub(crate) const REMEMBERED: usize = 500;
const SUGGESTIONS: usize = 8;
const WORDS: [&str; 36] = [
    "AND",
    "AS",
    "ASC",
    "AVG",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COUNT",
    "DATE_TRUNC",
    "DESC",
    "DISTINCT",
    "ELSE",
    "END",
    "FROM",
    "GROUP",
    "HAVING",
    "IN",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "MAX",
    "MEDIAN",
    "MIN",
    "NOT",
    "NULL",
    "ON",
    "OR",
    "ORDER",
    "SELECT",
    "SUM",
    "THEN",
    "USING",
    "WHERE",
];

#[derive(Debug, Clone)]
pub(crate) struct SqlScreen {
    pub(crate) editor: TextArea<'static>,
    /// Whether keys are text.
    pub(crate) typing: bool,
    pub(crate) grid: Option<Box<Grid>>,
    /// Oldest first.
    pub(crate) asked: Vec<String>,
    /// Which of them stands in the prompt.
    pub(crate) recalled: Option<usize>,
    pub(crate) completion: Option<Completion>,
    /// Which of the time limits holds.
    pub(crate) time: usize,
}

impl Default for SqlScreen {
    fn default() -> Self {
        Self { editor: TextArea::default(), typing: true, grid: None, asked: Vec::new(), recalled: None, completion: None, time: 0 }
    }
}

/// What the word before the cursor may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Completion {
    pub(crate) choices: Vec<String>,
    pub(crate) at: usize,
    /// Characters of the word that stand there already.
    pub(crate) typed: usize,
}

impl SqlScreen {
    pub(crate) fn text(&self) -> String {
        self.editor.lines().join("\n")
    }

    pub(crate) fn set_text(&mut self, text: &str) {
        self.editor = TextArea::new(text.lines().map(str::to_owned).collect());
        self.editor.move_cursor(CursorMove::Bottom);
        self.editor.move_cursor(CursorMove::End);
    }

    /// Remembers a query; the same one twice in a row is one.
    pub(crate) fn remember(&mut self, text: &str) {
        if self.asked.last().is_none_or(|last| last != text) {
            self.asked.push(text.to_owned());
        }
        let over = self.asked.len().saturating_sub(REMEMBERED);
        self.asked.drain(..over);
        self.recalled = None;
    }

    /// Puts an earlier (or later) query into the prompt.
    pub(crate) fn recall(&mut self, earlier: bool) {
        let at = match (self.recalled, earlier) {
            (None, true) => self.asked.len().checked_sub(1),
            (Some(at), true) => Some(at.saturating_sub(1)),
            (Some(at), false) => Some(at + 1).filter(|at| *at < self.asked.len()),
            (None, false) => None,
        };
        let Some(at) = at else { return };
        self.recalled = Some(at);
        self.set_text(&self.asked[at].clone());
    }

    /// Completes the word before the cursor: at once where only one thing fits, else the next of what fits.
    pub(crate) fn complete(&mut self, catalog: Option<&Catalog>) {
        if let Some(completion) = &mut self.completion {
            completion.at = (completion.at + 1) % completion.choices.len();
            return;
        }
        let word = self.word();
        let choices = catalog.map(|catalog| suggestions(catalog, &self.text(), &word)).unwrap_or_default();
        let completion = Completion { choices, at: 0, typed: word.chars().count() };
        match completion.choices.len() {
            0 => {}
            1 => {
                self.completion = Some(completion);
                self.accept();
            }
            _ => self.completion = Some(completion),
        }
    }

    /// Puts the chosen completion in the place of the word.
    pub(crate) fn accept(&mut self) {
        let Some(completion) = self.completion.take() else { return };
        for _ in 0..completion.typed {
            self.editor.delete_char();
        }
        self.editor.insert_str(&completion.choices[completion.at]);
    }

    /// The word before the cursor.
    fn word(&self) -> String {
        let cursor = self.editor.cursor();
        let line = self.editor.lines().get(cursor.0).map(String::as_str).unwrap_or_default();
        let before: Vec<char> = line.chars().take(cursor.1).collect();
        let letters = before.iter().rev().take_while(|char| char.is_alphanumeric() || **char == '_').count();
        before[before.len() - letters..].iter().collect()
    }
}

/// Columns of tables that the query names, then tables, then other columns, then words of SQL.
fn suggestions(catalog: &Catalog, text: &str, word: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let start = word.to_lowercase();
    let (named, others): (Vec<_>, Vec<_>) = catalog.tables.iter().partition(|table| text.contains(&table.name.to_lowercase()));
    let columns = |tables: Vec<&materia::reader::TableInfo>| -> Vec<String> {
        tables.into_iter().flat_map(|table| table.columns.iter().map(|column| column.name.clone())).collect()
    };
    let tables = catalog.tables.iter().map(|table| table.name.clone());
    let all = columns(named).into_iter().chain(tables).chain(columns(others)).chain(WORDS.iter().map(|word| (*word).to_owned()));
    let mut found = Vec::<String>::new();
    for name in all.filter(|name| name.to_lowercase().starts_with(&start) && *name != word) {
        let name = quoted(name);
        if !found.contains(&name) {
            found.push(name);
        }
        if found.len() == SUGGESTIONS {
            break;
        }
    }
    found
}

/// Names that SQL would not read as one word are quoted.
fn quoted(name: String) -> String {
    let plain =
        name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_') && !name.starts_with(|char: char| char.is_ascii_digit());
    if plain { name } else { materia::sql::ident(&name) }
}
