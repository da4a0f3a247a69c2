//! Rows: moving through them, sorting, filtering, and asking for those that come into view.

use super::{layout, prompt};
use crate::tui::{
    message::{Effect, Lane, Question},
    state::{
        PromptKind, Screen, State,
        grid::{Grid, PageAsk, Wanted},
    },
};

/// The rows that are shown, and the lane they are asked in.
pub(super) fn shown(state: &mut State) -> Option<(&mut Grid, Lane)> {
    match state.screen {
        Screen::Tables => state.tables.open.as_mut().map(|open| (&mut open.grid, Lane::Rows)),
        Screen::Sql => state.sql.grid.as_deref_mut().map(|grid| (grid, Lane::Sql)),
        _ => None,
    }
}

/// Columns that the values have, beside the row numbers.
fn space(state: &mut State) -> usize {
    let width = usize::from(layout::rows(state).width);
    shown(state).map_or(width, |(grid, _)| width.saturating_sub(layout::gutter(grid.len())))
}

pub(super) fn step(state: &mut State, by: isize) -> Vec<Effect> {
    let height = layout::rows_height(state).max(1);
    let Some((grid, _)) = shown(state) else { return Vec::new() };
    let len = grid.len();
    grid.cursor.step(by, len, height);
    load(state)
}

pub(super) fn go_to(state: &mut State, row: usize) -> Vec<Effect> {
    let height = layout::rows_height(state).max(1);
    let Some((grid, _)) = shown(state) else { return Vec::new() };
    let len = grid.len();
    grid.cursor.to(row, len, height);
    load(state)
}

pub(super) fn column(state: &mut State, by: isize) -> Vec<Effect> {
    let space = space(state);
    if let Some((grid, _)) = shown(state) {
        grid.move_to_column(grid.column.saturating_add_signed(by), space);
    }
    Vec::new()
}

pub(super) fn click(state: &mut State, row: usize, column: usize) -> Vec<Effect> {
    let space = space(state);
    match state.screen {
        Screen::Tables => state.tables.open.iter_mut().for_each(|open| open.on_rows = true),
        _ => state.sql.typing = false,
    }
    if let Some((grid, _)) = shown(state) {
        grid.move_to_column(column, space);
    }
    go_to(state, row)
}

/// Asks for the rows in view, where they are not loaded.
pub(super) fn load(state: &mut State) -> Vec<Effect> {
    let height = layout::rows_height(state).max(1);
    let ask = shown(state).and_then(|(grid, _)| grid.wants(height));
    ask.map(|ask| asked(state, ask)).unwrap_or_default()
}

/// Asks for the view from its beginning: it is sorted or filtered otherwise now.
pub(super) fn again(state: &mut State) -> Vec<Effect> {
    let ask = shown(state).map(|(grid, _)| {
        let ask = grid.anew();
        grid.rewind();
        ask
    });
    ask.map(|ask| asked(state, ask)).unwrap_or_default()
}

fn asked(state: &mut State, ask: PageAsk) -> Vec<Effect> {
    let request = state.request();
    let Some((grid, lane)) = shown(state) else { return Vec::new() };
    grid.asking(request, &ask);
    vec![Effect::Ask { lane, request, question: Question::Page(ask) }]
}

pub(super) fn sort(state: &mut State) -> Vec<Effect> {
    if let Some((grid, _)) = shown(state) {
        grid.sort_next();
    }
    again(state)
}

/// Sorts by a column that was clicked on.
pub(super) fn sort_by(state: &mut State, column: usize) -> Vec<Effect> {
    let space = space(state);
    if let Some((grid, _)) = shown(state) {
        grid.move_to_column(column, space);
    }
    sort(state)
}

pub(super) fn filter_by_cell(state: &mut State) -> Vec<Effect> {
    let Some((grid, _)) = shown(state) else { return Vec::new() };
    let Some(value) = grid.cell().map(|cell| cell.map(str::to_owned)) else { return Vec::new() };
    grid.filter(Wanted::Value(value));
    again(state)
}

pub(super) fn filter_by_part(state: &mut State, part: String) -> Vec<Effect> {
    let Some((grid, _)) = shown(state) else { return Vec::new() };
    grid.filter(Wanted::Part(part));
    again(state)
}

pub(super) fn clear_filters(state: &mut State) -> Vec<Effect> {
    match shown(state) {
        Some((grid, _)) if !grid.filters.is_empty() => {
            grid.clear_filters();
            again(state)
        }
        _ => Vec::new(),
    }
}

pub(super) fn copy_cell(state: &mut State) -> Vec<Effect> {
    let Some(value) = shown(state).and_then(|(grid, _)| grid.cell().map(|cell| cell.unwrap_or_default().to_owned())) else {
        return Vec::new();
    };
    state.say(true, "copied the value");
    vec![Effect::Copy(value)]
}

pub(super) fn copy_row(state: &mut State) -> Vec<Effect> {
    let row = shown(state).and_then(|(grid, _)| {
        let row = grid.row(grid.cursor.at)?;
        // What separates values and rows must not stand in them.
        let cell = |cell: &Option<String>| cell.as_deref().unwrap_or_default().replace(['\t', '\n', '\r'], " ");
        Some(row.iter().map(cell).collect::<Vec<_>>().join("\t"))
    });
    let Some(row) = row else { return Vec::new() };
    state.say(true, "copied the row");
    vec![Effect::Copy(row)]
}

/// Asks where to save the rows.
pub(super) fn save(state: &mut State) -> Vec<Effect> {
    let Some((grid, _)) = shown(state) else { return Vec::new() };
    if grid.columns.is_empty() {
        return Vec::new();
    }
    let name = match &grid.from {
        super::super::state::grid::From::Table { name, .. } => format!("{}.csv", name.replace(['/', '\0'], "_")),
        super::super::state::grid::From::Sql(_) => "answer.csv".to_owned(),
    };
    prompt(state, PromptKind::Save, &name)
}
