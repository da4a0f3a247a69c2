//! The key table: what each key does where. Dispatch, the help overlay, the footer and the palette all read it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::state::Screen;

/// Where a key means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Everywhere but where text is being typed.
    Global,
    /// The first screen.
    Now,
    /// The list of tables.
    Tables,
    /// An opened table's columns.
    Columns,
    /// Rows: of an opened table, or of an answer.
    Grid,
    /// The list of attempts.
    History,
    /// One attempt, or two compared.
    Attempt,
    /// The dashboards.
    Dashboards,
    /// The SQL prompt while it is being typed in.
    Editor,
    /// The logs.
    Logs,
}

impl Scope {
    /// As the help calls it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Global => "Everywhere",
            Self::Now => "Now",
            Self::Tables => "Tables",
            Self::Columns => "Columns of a table",
            Self::Grid => "Rows",
            Self::History => "History",
            Self::Attempt => "One attempt",
            Self::Dashboards => "Dashboards",
            Self::Editor => "SQL prompt",
            Self::Logs => "Logs",
        }
    }
}

/// Something the operator can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Quit,
    Help,
    Palette,
    Show(Screen),
    NextScreen,
    PreviousScreen,
    Suspend,
    Redraw,
    AllowActions,
    Export,
    Pipeline,
    StopExport,
    Rollback,
    Pin,
    Up,
    Down,
    Left,
    Right,
    HalfUp,
    HalfDown,
    PageUp,
    PageDown,
    Top,
    Bottom,
    FirstColumn,
    LastColumn,
    Open,
    Back,
    Other,
    Filter,
    ClearFilters,
    SortNext,
    SortReverse,
    FilterByCell,
    CopyCell,
    CopyRow,
    GoToRow,
    Save,
    Mark,
    Compare,
    NextMatch,
    PreviousMatch,
    Follow,
    NextSource,
    PreviousSource,
    Edit,
    Run,
    Cancel,
    Earlier,
    Later,
    Complete,
    MoreTime,
    PickFilter,
}

impl Action {
    /// Whether it only moves what one looks at.
    pub(crate) fn is_move(self) -> bool {
        use Action as A;
        matches!(self, A::Up | A::Down | A::Left | A::Right | A::HalfUp | A::HalfDown | A::PageUp | A::PageDown | A::Top | A::Bottom)
            || matches!(self, A::FirstColumn | A::LastColumn | A::Back | A::Other)
    }
}

/// One line of the table.
pub(crate) struct Binding {
    /// Every key that does it, as [`name`] writes them, separated by spaces.
    pub(crate) keys: &'static str,
    pub(crate) scope: Scope,
    pub(crate) action: Action,
    /// What it does, as the help says.
    pub(crate) about: &'static str,
    /// What the footer calls it; empty keeps it out of the footer.
    pub(crate) short: &'static str,
}

const fn key(scope: Scope, keys: &'static str, action: Action, about: &'static str, short: &'static str) -> Binding {
    Binding { keys, scope, action, about, short }
}

/// The whole table. Within a scope the footer shows keys in this order, as many as there is room for.
pub(crate) const KEYS: &[Binding] = {
    use Action as A;
    use Scope as S;
    &[
        key(S::Now, "enter", A::Open, "open the newest attempt", "last attempt"),
        key(S::Now, "j down", A::Down, "scroll down", ""),
        key(S::Now, "k up", A::Up, "scroll up", ""),
        key(S::Now, "E", A::Export, "run an export now", "export"),
        key(S::Now, "p", A::Pipeline, "run a pipeline of materia.toml", "pipeline"),
        key(S::Now, "X", A::StopExport, "stop the command that was started here", ""),
        key(S::Tables, "enter l right", A::Open, "open the table", "open"),
        key(S::Tables, "/", A::Filter, "show tables whose name contains ...", "filter"),
        key(S::Tables, "s", A::SortNext, "sort by the next column", "sort"),
        key(S::Tables, "S", A::SortReverse, "turn the order round", "reverse"),
        key(S::Tables, "x esc", A::ClearFilters, "show all tables again", ""),
        key(S::Tables, "y", A::CopyCell, "copy the table's name", ""),
        key(S::Columns, "tab enter", A::Other, "go to the rows", "rows"),
        key(S::Columns, "esc h left backspace", A::Back, "back to the tables", "back"),
        key(S::Columns, "y", A::CopyCell, "copy the column's name", ""),
        key(S::Grid, "s", A::SortNext, "sort by this column: up, down, not at all", "sort"),
        key(S::Grid, "f", A::FilterByCell, "only rows with this value", "filter value"),
        key(S::Grid, "/", A::Filter, "only rows that have ... in this column", "filter"),
        key(S::Grid, "x", A::ClearFilters, "all rows again", ""),
        key(S::Grid, "#", A::GoToRow, "go to a row by its number", "row"),
        key(S::Grid, "y", A::CopyCell, "copy the value", "copy"),
        key(S::Grid, "Y", A::CopyRow, "copy the row, tab-separated", ""),
        key(S::Grid, "w", A::Save, "save these rows as CSV or Parquet", "save"),
        key(S::Grid, "tab", A::Other, "go to the columns, or to the prompt", ""),
        key(S::Grid, "h left", A::Left, "column to the left", ""),
        key(S::Grid, "l right", A::Right, "column to the right", ""),
        key(S::Grid, "0 home", A::FirstColumn, "first column", ""),
        key(S::Grid, "$ end", A::LastColumn, "last column", ""),
        key(S::Grid, "i", A::Edit, "type in the SQL prompt", ""),
        key(S::Grid, "esc backspace", A::Back, "stop what is loading or being saved, or go back", "back"),
        key(S::History, "enter l right", A::Open, "open the attempt", "open"),
        key(S::History, "space", A::Mark, "mark the attempt for a comparison", "mark"),
        key(S::History, "c", A::Compare, "compare with the marked one, or the one before", "compare"),
        key(S::History, "R", A::Rollback, "serve this generation again", "roll back"),
        key(S::History, "P", A::Pin, "keep this generation, or let it be pruned again", "pin"),
        key(S::History, "y", A::CopyCell, "copy the attempt's id", ""),
        key(S::Attempt, "esc h left backspace", A::Back, "back to the list", "back"),
        key(S::Attempt, "R", A::Rollback, "serve this generation again", "roll back"),
        key(S::Attempt, "P", A::Pin, "keep this generation, or let it be pruned again", "pin"),
        key(S::Dashboards, "tab l right ]", A::NextSource, "next dashboard", "next"),
        key(S::Dashboards, "h left [", A::PreviousSource, "dashboard before", "before"),
        key(S::Dashboards, "f", A::PickFilter, "choose the filters", "filters"),
        key(S::Editor, "ctrl-r f5 alt-enter", A::Run, "run the query (so does enter after a ;)", "run"),
        key(S::Editor, "esc", A::Cancel, "stop the query, or leave the prompt", "stop / leave"),
        key(S::Editor, "tab", A::Complete, "complete a table, column or word", "complete"),
        key(S::Editor, "ctrl-p", A::Earlier, "an earlier query", "earlier"),
        key(S::Editor, "ctrl-n", A::Later, "a later query", ""),
        key(S::Editor, "ctrl-t", A::MoreTime, "change the time limit", "time limit"),
        key(S::Logs, "f", A::Follow, "follow what is written, or stop following", "follow"),
        key(S::Logs, "/", A::Filter, "search", "search"),
        key(S::Logs, "n", A::NextMatch, "next match", ""),
        key(S::Logs, "N", A::PreviousMatch, "match before", ""),
        key(S::Logs, "tab", A::NextSource, "next log", "next log"),
        key(S::Logs, "h left", A::Left, "scroll left", ""),
        key(S::Logs, "l right", A::Right, "scroll right", ""),
        key(S::Logs, "esc", A::ClearFilters, "end the search", ""),
        key(S::Global, "j down", A::Down, "down", ""),
        key(S::Global, "k up", A::Up, "up", ""),
        key(S::Global, "ctrl-d", A::HalfDown, "half a page down", ""),
        key(S::Global, "ctrl-u", A::HalfUp, "half a page up", ""),
        key(S::Global, "pgdn ctrl-f", A::PageDown, "a page down", ""),
        key(S::Global, "pgup ctrl-b", A::PageUp, "a page up", ""),
        key(S::Global, "gg", A::Top, "to the first line", ""),
        key(S::Global, "G", A::Bottom, "to the last line", ""),
        key(S::Global, "1", A::Show(Screen::Now), "Now: is the data fresh, did the last export work", ""),
        key(S::Global, "2", A::Show(Screen::Tables), "Tables: what is served", ""),
        key(S::Global, "3", A::Show(Screen::History), "History: every attempt", ""),
        key(S::Global, "4", A::Show(Screen::Dashboards), "Dashboards: as customers see them", ""),
        key(S::Global, "5", A::Show(Screen::Sql), "SQL: ask the served generation", ""),
        key(S::Global, "6", A::Show(Screen::Logs), "Logs: what the services write", ""),
        key(S::Global, "L }", A::NextScreen, "next screen", ""),
        key(S::Global, "H {", A::PreviousScreen, "screen before", ""),
        key(S::Global, "!", A::AllowActions, "allow actions, or forbid them again", ""),
        key(S::Global, ":", A::Palette, "find an action, a table or a dashboard by name", "find"),
        key(S::Global, "?", A::Help, "this help", "help"),
        key(S::Global, "ctrl-l", A::Redraw, "draw everything anew", ""),
        key(S::Global, "ctrl-z", A::Suspend, "suspend; fg returns", ""),
        key(S::Global, "q ctrl-c", A::Quit, "quit", "quit"),
    ]
};

/// What one or two keys in a row mean in these scopes; earlier scopes go first.
pub(crate) fn find(scopes: &[Scope], pressed: &str) -> Option<&'static Binding> {
    scopes.iter().find_map(|scope| KEYS.iter().find(|binding| binding.scope == *scope && binding.names().any(|name| name == pressed)))
}

/// Whether more keys may follow `pressed` to mean something.
pub(crate) fn is_beginning(scopes: &[Scope], pressed: &str) -> bool {
    let longer = |name: &str| is_pair(name) && name.strip_prefix(pressed).is_some_and(|rest| !rest.is_empty());
    KEYS.iter().filter(|binding| scopes.contains(&binding.scope)).any(|binding| binding.names().any(longer))
}

/// Two keys in a row are written as one letter twice; every longer name is one key's.
fn is_pair(name: &str) -> bool {
    name.len() == 2 && name.as_bytes()[0] == name.as_bytes()[1]
}

impl Binding {
    /// Every key or pair of keys that does it.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.split(' ')
    }

    /// What it does, by both of its names: who looks for `roll back` finds that it serves a generation again.
    pub(crate) fn named(&self) -> String {
        let told = self.short.is_empty() || self.about.to_lowercase().contains(self.short);
        if told { self.about.to_owned() } else { format!("{}: {}", self.short, self.about) }
    }

    /// The first of them, which is the one to show.
    pub(crate) fn first(&self) -> &'static str {
        self.names().next().unwrap_or_default()
    }
}

/// A key as the table writes it: `j`, `G`, `ctrl-d`, `down`, `space`.
pub(crate) fn name(event: KeyEvent) -> String {
    let base = match event.code {
        KeyCode::Char(' ') => "space".to_owned(),
        KeyCode::Char(char) => char.to_string(),
        KeyCode::Enter => "enter".to_owned(),
        KeyCode::Esc => "esc".to_owned(),
        KeyCode::Tab => "tab".to_owned(),
        KeyCode::BackTab => "backtab".to_owned(),
        KeyCode::Backspace => "backspace".to_owned(),
        KeyCode::Delete => "delete".to_owned(),
        KeyCode::Up => "up".to_owned(),
        KeyCode::Down => "down".to_owned(),
        KeyCode::Left => "left".to_owned(),
        KeyCode::Right => "right".to_owned(),
        KeyCode::Home => "home".to_owned(),
        KeyCode::End => "end".to_owned(),
        KeyCode::PageUp => "pgup".to_owned(),
        KeyCode::PageDown => "pgdn".to_owned(),
        KeyCode::F(number) => format!("f{number}"),
        _ => return String::new(),
    };
    // Shift is in the letter already.
    let ctrl = if event.modifiers.contains(KeyModifiers::CONTROL) { "ctrl-" } else { "" };
    let alt = if event.modifiers.contains(KeyModifiers::ALT) { "alt-" } else { "" };
    format!("{ctrl}{alt}{base}")
}

/// The key that the table writes so; the first of a pair.
#[cfg(test)]
pub(crate) fn event(name: &str) -> KeyEvent {
    let (modifiers, base) = match name.split_once('-') {
        Some(("ctrl", base)) => (KeyModifiers::CONTROL, base),
        Some(("alt", base)) => (KeyModifiers::ALT, base),
        _ => (KeyModifiers::NONE, name),
    };
    let code = match base {
        "space" => KeyCode::Char(' '),
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "tab" => KeyCode::Tab,
        "backspace" => KeyCode::Backspace,
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "left" => KeyCode::Left,
        "right" => KeyCode::Right,
        "home" => KeyCode::Home,
        "end" => KeyCode::End,
        "pgup" => KeyCode::PageUp,
        "pgdn" => KeyCode::PageDown,
        "f5" => KeyCode::F(5),
        _ => KeyCode::Char(base.chars().next().unwrap_or_default()),
    };
    KeyEvent::new(code, modifiers)
}
