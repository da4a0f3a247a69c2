//! The terminal, taken and given back: when the program ends, panics, is told to end, or is suspended.

use std::{
    io::{self, IsTerminal as _, Stdout, Write as _, stdout},
    panic,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor,
        event::{self, DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture, Event},
        execute,
        terminal::{self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen},
    },
    layout::Size,
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP},
    iterator::Signals,
};

use super::{keys::Action, message::Message};

/// The screen, for as long as this lives.
pub(crate) struct Screen {
    pub(crate) terminal: Terminal<CrosstermBackend<Stdout>>,
    mouse: bool,
}

impl Screen {
    /// Whether there is a terminal to draw on and to read keys from.
    pub(crate) fn is_there() -> bool {
        stdout().is_terminal() && io::stdin().is_terminal()
    }

    pub(crate) fn take(mouse: bool) -> io::Result<Self> {
        // From here on, whatever happens gives the terminal back.
        let taken = enter(mouse).and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        taken.map(|terminal| Self { terminal, mouse }).inspect_err(|_| leave())
    }

    /// Gives the terminal back, stops until somebody says to go on, and takes it again.
    pub(crate) fn suspend(&mut self) -> io::Result<Size> {
        leave();
        signal_hook::low_level::emulate_default_handler(SIGTSTP)?;
        enter(self.mouse)?;
        self.redraw()?;
        terminal::size().map(Size::from)
    }

    /// Forgets what is on the screen, so that everything is drawn anew.
    ///
    /// `Terminal::clear` would ask where the cursor is, and the answer would come among the keys, which somebody else reads.
    pub(crate) fn redraw(&mut self) -> io::Result<()> {
        execute!(stdout(), Clear(ClearType::All))?;
        self.terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
        Ok(())
    }

    /// Puts text into the clipboard of the terminal, also over ssh, where it allows that.
    pub(crate) fn copy(text: &str) -> io::Result<()> {
        let mut out = stdout();
        write!(out, "\x1b]52;c;{}\x07", STANDARD.encode(text))?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// Whether the terminal is ours now: there is one for the process.
static TAKEN: AtomicBool = AtomicBool::new(false);

fn enter(mouse: bool) -> io::Result<()> {
    TAKEN.store(true, Ordering::SeqCst);
    terminal::enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste, cursor::Hide)?;
    if mouse { execute!(stdout(), EnableMouseCapture) } else { Ok(()) }
}

/// Gives everything back, where it is taken: done twice, the cursor would be back above what was told in between.
fn leave() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let _ = execute!(stdout(), DisableMouseCapture, DisableBracketedPaste, LeaveAlternateScreen, cursor::Show);
    let _ = terminal::disable_raw_mode();
}

/// A panic of the thread that draws ends the program: the terminal is given back before it is told. One of a worker is told on the screen.
pub(crate) fn survive_panics(send: &Sender<Message>) {
    let before = panic::take_hook();
    let (drawing, send) = (thread::current().id(), send.clone());
    panic::set_hook(Box::new(move |info| {
        if thread::current().id() == drawing {
            leave();
            before(info);
        } else {
            let _ = send.send(Message::Broken(info.to_string()));
        }
    }));
}

/// Keys, mouse, pastes and sizes as messages, from a thread that ends with the process.
pub(crate) fn read_events(send: &Sender<Message>) {
    let send = send.clone();
    thread::spawn(move || {
        loop {
            let message = match event::read() {
                Ok(Event::Key(key)) => Message::Key(key),
                Ok(Event::Mouse(mouse)) => Message::Mouse(mouse),
                Ok(Event::Paste(text)) => Message::Paste(text),
                Ok(Event::Resize(width, height)) => Message::Resize(Size { width, height }),
                Ok(Event::FocusGained | Event::FocusLost) => continue,
                // The terminal is gone.
                Err(_) => Message::End,
            };
            let end = matches!(message, Message::End);
            if send.send(message).is_err() || end {
                return;
            }
        }
    });
}

/// Signals as messages.
pub(crate) fn read_signals(send: &Sender<Message>) -> io::Result<()> {
    let send = send.clone();
    let mut signals = Signals::new([SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGTSTP])?;
    thread::spawn(move || {
        for signal in &mut signals {
            let message = if signal == SIGTSTP { Message::Do(Action::Suspend) } else { Message::End };
            if send.send(message).is_err() {
                return;
            }
        }
    });
    Ok(())
}
