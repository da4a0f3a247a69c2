//! Up and down, on every screen alike.

use super::{height, rows, screens};
use crate::tui::{
    layout,
    message::Effect,
    state::{Overlay, Screen, State},
};

/// Further than any list is long, and not so far that adding to it overflows.
const FAR: isize = isize::MAX / 4;

/// Some lines down, or up where `by` is negative.
pub(super) fn step(state: &mut State, by: isize) -> Vec<Effect> {
    let height = height(state);
    match state.screen {
        Screen::Now => {
            state.overview.scroll = state.overview.scroll.saturating_add_signed(by);
            Vec::new()
        }
        Screen::Tables => match &mut state.tables.open {
            Some(open) if open.on_rows => rows::step(state, by),
            Some(open) => {
                open.cursor.step(by, open.columns.len(), height);
                rows::load(state)
            }
            None => {
                state.tables.cursor.step(by, state.tables.shown.len(), height);
                screens::measure(state)
            }
        },
        Screen::History if state.history.open.is_some() => {
            state.history.scroll = state.history.scroll.saturating_add_signed(by);
            Vec::new()
        }
        Screen::History => {
            let attempts = state.status().map_or(0, |status| status.history.len());
            state.history.cursor.step(by, attempts, height);
            Vec::new()
        }
        Screen::Dashboards => {
            let last = layout::last_panel_row(state);
            // Rows of panels are tall: one at a time.
            state.dashboards.scroll =
                state.dashboards.scroll.saturating_add_signed(if by.abs() < FAR { by.signum() } else { by }).min(last);
            Vec::new()
        }
        Screen::Sql => rows::step(state, by),
        Screen::Logs => {
            if let Some(log) = state.logs.shown_mut() {
                log.scroll(by, height);
            }
            Vec::new()
        }
    }
}

/// Takes it that no text can be scrolled beyond its end.
pub(super) fn settle(state: &mut State, first_line: Option<usize>) {
    let Some(first) = first_line else { return };
    match (&mut state.overlay, state.screen) {
        (Some(Overlay::Help { scroll }), _) => *scroll = first,
        (None, Screen::Now) => state.overview.scroll = first,
        (None, Screen::History) => state.history.scroll = first,
        _ => {}
    }
}

/// To the first line, or to the last.
pub(super) fn end(state: &mut State, last: bool) -> Vec<Effect> {
    step(state, if last { FAR } else { -FAR })
}
