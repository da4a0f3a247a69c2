//! The terminal dashboard: what an operator keeps open all day.
//!
//! Keys, signals, time and answers arrive as messages over one channel; [`update::update`] changes the state and returns wishes; [`work`] fulfils them
//! off this thread; views draw the state and nothing else.

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::format_push_string,
    reason = "a test that cannot go on says so by panicking"
)]
mod fixture;
#[cfg(test)]
mod fixture_dashboard;
mod keys;
mod layout;
mod look;
mod message;
mod state;
mod terminal;
mod text;
mod update;
mod views;
mod work;

use std::{
    io,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::Duration,
};

use jiff::Timestamp;
use ratatui::{
    crossterm::{
        event::{MouseButton, MouseEvent, MouseEventKind},
        terminal::size,
    },
    layout::Size,
};

pub(crate) use self::{
    look::{Depth, Look, Theme},
    message::Setup,
    terminal::Screen as TerminalScreen,
    work::Source,
};
use self::{
    message::{Effect, Message},
    state::State,
    update::update,
    views::Hits,
    work::Work,
};

/// How the dashboard was asked to be.
pub(crate) struct Options {
    pub(crate) look: Look,
    /// Whether anything but reading is allowed from the start.
    pub(crate) allow_actions: bool,
    pub(crate) mouse: bool,
}

/// Messages taken in before the next drawing, so that a flood of them cannot keep the screen from changing.
const AT_ONCE: usize = 1_000;

/// Shows the dashboard until somebody quits.
///
/// # Errors
/// The terminal cannot be used.
pub(crate) fn run(options: &Options, source: Source) -> io::Result<()> {
    let (send, receive) = mpsc::channel();
    terminal::survive_panics(&send);
    let mut screen = TerminalScreen::take(options.mouse)?;
    let mut state = State::new(Timestamp::now(), size().map(Size::from)?, options.allow_actions);
    // Something is to be seen before anything is opened or asked.
    let mut hits = draw(&mut screen, &state, options.look)?;
    terminal::read_signals(&send)?;
    terminal::read_events(&send);
    let mut work = Work::start(source, send);
    loop {
        let messages = next(&receive, state.next_change());
        update(&mut state, Message::Tick(Timestamp::now()));
        for message in messages {
            let Some(message) = located(message, &hits) else { continue };
            for effect in update(&mut state, message) {
                match effect {
                    Effect::Quit => return Ok(()),
                    Effect::Suspend => {
                        let size = screen.suspend()?;
                        update(&mut state, Message::Resize(size));
                    }
                    Effect::Redraw => screen.redraw()?,
                    Effect::Copy(text) => TerminalScreen::copy(&text)?,
                    effect => work.fulfil(effect),
                }
            }
        }
        hits = draw(&mut screen, &state, options.look)?;
        // Who pressed `down` at the end of a text need not press `up` as often to see it move again.
        update(&mut state, Message::Drawn { first_line: hits.first_line });
    }
}

fn draw(screen: &mut TerminalScreen, state: &State, look: Look) -> io::Result<Hits> {
    let mut hits = Hits::default();
    screen.terminal.draw(|frame| hits = views::draw(frame, state, look))?;
    Ok(hits)
}

/// What has happened: waits until something has, or until something that is shown changes by itself.
fn next(receive: &Receiver<Message>, change: Option<Timestamp>) -> Vec<Message> {
    let first = match change {
        None => receive.recv().map_err(|_| RecvTimeoutError::Disconnected),
        Some(at) => {
            let pause = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
            receive.recv_timeout(pause)
        }
    };
    match first {
        Ok(first) => std::iter::once(first).chain(receive.try_iter()).take(AT_ONCE).collect(),
        Err(RecvTimeoutError::Timeout) => Vec::new(),
        // Nobody is left who could say anything.
        Err(RecvTimeoutError::Disconnected) => vec![Message::End],
    }
}

/// The mouse as what it points at; nothing where that is nothing.
fn located(message: Message, hits: &Hits) -> Option<Message> {
    const LINES: isize = 3;
    let Message::Mouse(MouseEvent { kind, column, row, .. }) = message else { return Some(message) };
    match kind {
        MouseEventKind::Down(MouseButton::Left) => hits.at(column, row).map(Message::Click),
        MouseEventKind::ScrollDown => Some(Message::Scroll(LINES)),
        MouseEventKind::ScrollUp => Some(Message::Scroll(-LINES)),
        _ => None,
    }
}
