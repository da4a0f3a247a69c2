//! The screens. Each owns its state, its keys, its handling of messages and its drawing.

pub(crate) mod dashboards;
pub(crate) mod history;
pub(crate) mod logs;
pub(crate) mod overview;
pub(crate) mod sql;
pub(crate) mod tables;

use std::{ops::ControlFlow, sync::Arc};

use jiff::Timestamp;
use materia::{alert::AlertInputs, store::GenerationId};
use ratatui::{crossterm::event::KeyEvent, layout::Rect};

use super::{
    context::Context,
    grid::Grid,
    keys::KeyGroup,
    message::{Channel, ClickTarget, Config, Effect, Message},
    overlays::palette::PaletteEntry,
    views::Canvas,
};

/// One screen of the dashboard. Key and message handlers change the state; `draw` never does.
pub(crate) trait Screen {
    /// Returns the keys that apply while nothing is opened.
    fn home_keys(&self) -> &'static KeyGroup;

    /// Returns every table of keys that can apply.
    fn key_groups(&self) -> Vec<&'static KeyGroup> {
        vec![self.home_keys()]
    }

    /// Returns the keys that currently apply, besides the global ones.
    fn keys(&self) -> &'static KeyGroup {
        self.home_keys()
    }

    /// Draws the state into the area between the tabs and the footer.
    fn draw(&self, canvas: &mut Canvas, area: Rect, context: &Context);

    /// Returns the number of visible lines of the list that the cursor moves through.
    fn page_height(&self, context: &Context) -> usize;

    /// Moves the cursor, or scrolls, by lines; negative is up.
    fn move_cursor(&mut self, by: isize, context: &mut Context) -> Vec<Effect>;

    /// Requests the data that the screen needs when it becomes visible.
    fn enter(&mut self, _context: &mut Context) -> Vec<Effect> {
        Vec::new()
    }

    /// Closes one level of what is open; `None` if nothing is.
    fn close(&mut self, _context: &mut Context) -> Option<Vec<Effect>> {
        None
    }

    /// Closes everything that is open, so that the home keys apply.
    fn reset(&mut self) {}

    /// Returns whether keys are text input, in which case only the screen's own keys apply.
    fn is_typing(&self) -> bool {
        false
    }

    /// Handles a key of text input.
    fn type_key(&mut self, _key: KeyEvent, _context: &mut Context) -> Vec<Effect> {
        Vec::new()
    }

    fn paste(&mut self, _text: &str) {}

    fn click(&mut self, _target: ClickTarget, _context: &mut Context) -> Vec<Effect> {
        Vec::new()
    }

    /// Limits scrolling to the drawn lines.
    fn clamp_scroll(&mut self, _first_line: usize) {}

    /// Shows the target of the link; `None` if another screen does.
    fn follow_link(&mut self, _link: &Link, _context: &mut Context) -> Option<Vec<Effect>> {
        None
    }

    /// Handles a worker's message; returns it if another screen does.
    fn handle_message(
        &mut self,
        message: Message,
        _context: &mut Context,
    ) -> ControlFlow<Vec<Effect>, Message> {
        ControlFlow::Continue(message)
    }

    /// Reacts to a change of the context.
    fn handle_change(&mut self, _change: &Change, _context: &mut Context) -> Vec<Effect> {
        Vec::new()
    }

    /// Returns the rows of the screen, and the channel on which they are requested.
    fn grid(&mut self) -> Option<(&mut Grid, Channel)> {
        None
    }

    /// Returns the area of the rows.
    fn grid_area(&self, context: &Context) -> Rect {
        context.body()
    }

    /// Moves the focus to the rows.
    fn focus_grid(&mut self) {}

    /// Moves the focus from the rows to the area above them.
    fn leave_grid(&mut self) {}

    /// Returns whether a response is pending, so that the spinner must be animated.
    fn is_waiting(&self) -> bool {
        false
    }

    /// Returns the time at which the screen next changes without a message.
    fn next_change(&self, _context: &Context) -> Option<Timestamp> {
        None
    }

    /// Returns the screen's objects that the palette offers.
    fn palette_entries(&self, _context: &Context) -> Vec<PaletteEntry> {
        Vec::new()
    }

    /// Requests objects for the palette that are not known yet.
    fn load_palette_entries(&mut self, _context: &mut Context) -> Vec<Effect> {
        Vec::new()
    }
}

/// A change of the context that screens may react to.
#[derive(Debug)]
pub(crate) enum Change {
    /// The settings name another served file or schema, which invalidates all data.
    StatusSource,
    Config {
        previous: Option<Arc<Config>>,
    },
    /// The reader follows another generation.
    Generation,
    /// The catalog of the current generation was read.
    Catalog,
    /// The state of files and locks changed.
    Status {
        previous: Option<Arc<AlertInputs>>,
    },
    /// A pipeline has run.
    PipelineRuns,
    /// The files of the dashboards changed.
    DashboardFiles,
}

/// An object that one screen shows and every screen can link to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    Table(String),
    Attempt(GenerationId),
    Dashboard(String),
    /// A dashboard with a selection in its filters.
    DashboardView(String, Vec<(String, String)>),
    /// A query to put into the prompt.
    Query(String),
    /// A query of the refused file to put into the prompt.
    RefusedQuery(String),
}
