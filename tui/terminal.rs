//! The terminal, which is restored when the program ends, panics, receives a signal, or is
//! suspended.

use std::{
    fs,
    io::{self, IsTerminal as _, Stdout, Write as _, stdout},
    ops::ControlFlow,
    panic,
    process::Command,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ratatui::{
    Frame, Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor,
        event::{
            self, DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste,
            EnableMouseCapture, Event,
        },
        execute, queue,
        terminal::{
            self, BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate,
            EnterAlternateScreen, LeaveAlternateScreen,
        },
    },
    layout::Size,
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH},
    iterator::Signals,
};

use super::{message::Message, osc_response::OscResponse};

/// The alternate screen in raw mode; dropping it restores the terminal.
pub struct TerminalScreen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    mouse: bool,
}

impl TerminalScreen {
    /// Returns whether standard input and output are a terminal.
    #[must_use]
    pub fn is_available() -> bool {
        stdout().is_terminal() && io::stdin().is_terminal()
    }

    pub(crate) fn enter(mouse: bool) -> io::Result<Self> {
        let entered =
            enter_screen(mouse).and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        entered.map(|terminal| Self { terminal, mouse }).inspect_err(|_| leave_screen())
    }

    /// Draws a frame. Terminals that support synchronized updates show it whole, never in parts.
    pub(crate) fn draw(&mut self, render: impl FnOnce(&mut Frame)) -> io::Result<()> {
        queue!(stdout(), BeginSynchronizedUpdate)?;
        self.terminal.draw(render)?;
        execute!(stdout(), EndSynchronizedUpdate)
    }

    /// Restores the terminal, stops until the process is continued, and enters again.
    pub(crate) fn suspend(&mut self) -> io::Result<Size> {
        leave_screen();
        signal_hook::low_level::emulate_default_handler(SIGTSTP)?;
        enter_screen(self.mouse)?;
        self.redraw()?;
        terminal::size().map(Size::from)
    }

    /// Opens a text in the editor, which uses the terminal meanwhile; returns the saved text.
    ///
    /// # Errors
    /// The editor cannot be started, or ended with an error.
    pub(crate) fn edit(
        &mut self,
        editor: &str,
        text: &str,
        events: &EventReader,
    ) -> Result<String, String> {
        let edit = || {
            let mut file = tempfile::Builder::new().prefix("materia-").suffix(".sql").tempfile()?;
            writeln!(file, "{text}")?;
            let path = file.path().to_path_buf();
            leave_screen();
            // The command may include arguments.
            let status = Command::new("sh")
                .args(["-c", &format!("{editor} \"$1\""), "sh"])
                .arg(&path)
                .status();
            enter_screen(self.mouse)?;
            self.redraw()?;
            match status? {
                status if status.success() => fs::read_to_string(&path),
                status => Err(io::Error::other(format!("it ended with {status}"))),
            }
        };
        events.pause_while(edit).map_err(|error| format!("editor {editor}: {error}"))
    }

    /// Sets the title of the window; the previous one is restored with the terminal.
    pub(crate) fn set_title(title: &str) -> io::Result<()> {
        if !HAS_TITLE.swap(true, Ordering::SeqCst) {
            write!(stdout(), "\x1b[22;2t")?;
        }
        execute!(stdout(), terminal::SetTitle(title))
    }

    /// Queries the background color with OSC 11. The response is read like keys, and recognized by
    /// [`OscResponse`].
    pub(crate) fn query_background() -> io::Result<()> {
        let mut out = stdout();
        write!(out, "\x1b]11;?\x1b\\")?;
        out.flush()
    }

    pub(crate) fn ring_bell() -> io::Result<()> {
        let mut out = stdout();
        write!(out, "\x07")?;
        out.flush()
    }

    /// Clears the screen, so that everything is redrawn.
    ///
    /// `Terminal::clear` would query the cursor's position, and another thread reads the response.
    pub(crate) fn redraw(&mut self) -> io::Result<()> {
        execute!(stdout(), Clear(ClearType::All))?;
        self.terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
        Ok(())
    }

    /// Copies text to the terminal's clipboard with OSC 52, which also works over ssh if allowed.
    pub(crate) fn copy(text: &str) -> io::Result<()> {
        let mut out = stdout();
        write!(out, "\x1b]52;c;{}\x07", STANDARD.encode(text))?;
        out.flush()
    }
}

impl Drop for TerminalScreen {
    fn drop(&mut self) {
        leave_screen();
    }
}

/// Timeout for pausing the event reader.
const PAUSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether the terminal must be restored. A process has only one terminal.
static ENTERED: AtomicBool = AtomicBool::new(false);

/// Whether the window's title was set, so that the previous one must be restored.
static HAS_TITLE: AtomicBool = AtomicBool::new(false);

fn enter_screen(mouse: bool) -> io::Result<()> {
    ENTERED.store(true, Ordering::SeqCst);
    terminal::enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste, cursor::Hide)?;
    if mouse { execute!(stdout(), EnableMouseCapture) } else { Ok(()) }
}

/// Restores the terminal once: restoring it again would move the cursor above later output.
fn leave_screen() {
    if !ENTERED.swap(false, Ordering::SeqCst) {
        return;
    }
    if HAS_TITLE.swap(false, Ordering::SeqCst) {
        let _ = write!(stdout(), "\x1b[23;2t");
    }
    let _ = execute!(
        stdout(),
        // After a panic within a frame.
        EndSynchronizedUpdate,
        DisableMouseCapture,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        cursor::Show
    );
    let _ = terminal::disable_raw_mode();
}

/// Restores the terminal before a panic of the drawing thread is printed. A panic of a worker is
/// shown as a notice.
pub(crate) fn restore_on_panic(send: &Sender<Message>) {
    let before = panic::take_hook();
    let (drawing, send) = (thread::current().id(), send.clone());
    panic::set_hook(Box::new(move |info| {
        if thread::current().id() == drawing {
            leave_screen();
            before(info);
        } else {
            let _ = send.send(Message::WorkerFailed(info.to_string()));
        }
    }));
}

/// The thread that reads the terminal's events. It can be paused, so that an editor reads the keys.
pub(crate) struct EventReader {
    pause: Arc<Pause>,
}

#[derive(Default)]
struct Pause {
    state: Mutex<PauseState>,
    changed: Condvar,
}

#[derive(Default)]
struct PauseState {
    is_requested: bool,
    is_paused: bool,
}

impl EventReader {
    /// Starts sending keys, mouse events, pastes and sizes, until the process ends.
    pub(crate) fn start(send: &Sender<Message>, expects_response: bool) -> Self {
        let pause = Arc::new(Pause::default());
        let (send, own) = (send.clone(), pause.clone());
        thread::spawn(move || {
            let mut response = OscResponse::new(expects_response);
            loop {
                let event = event::read();
                own.wait_while_requested();
                let message = match event {
                    Ok(Event::Key(key)) => match response.receive(key) {
                        ControlFlow::Continue(()) => Message::Key(key),
                        ControlFlow::Break(None) => continue,
                        ControlFlow::Break(Some(scheme)) => Message::Background(scheme),
                    },
                    Ok(Event::Mouse(mouse)) => Message::Mouse(mouse),
                    Ok(Event::Paste(text)) => Message::Paste(text),
                    Ok(Event::Resize(width, height)) => Message::Resize(Size { width, height }),
                    Ok(Event::FocusGained | Event::FocusLost) => continue,
                    // The terminal is gone.
                    Err(_) => Message::Quit,
                };
                let is_end = matches!(message, Message::Quit);
                if send.send(message).is_err() || is_end {
                    return;
                }
            }
        });
        Self { pause }
    }

    /// Stops reading while `action` runs.
    fn pause_while<T>(&self, action: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.pause.request(true);
        // A change of size is the event that ends a blocking read.
        signal_hook::low_level::raise(SIGWINCH)?;
        let paused = self.pause.wait_until_paused();
        let result = if paused {
            action()
        } else {
            Err(io::Error::other("the terminal's events could not be paused"))
        };
        self.pause.request(false);
        result
    }
}

impl Pause {
    fn state(&self) -> MutexGuard<'_, PauseState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request(&self, is_requested: bool) {
        self.state().is_requested = is_requested;
        self.changed.notify_all();
    }

    fn wait_while_requested(&self) {
        let mut state = self.state();
        while state.is_requested {
            state.is_paused = true;
            self.changed.notify_all();
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_paused = false;
    }

    fn wait_until_paused(&self) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.state(), PAUSE_TIMEOUT, |state| !state.is_paused)
            .unwrap_or_else(PoisonError::into_inner);
        waited.0.is_paused
    }
}

/// Sends signals as messages.
pub(crate) fn read_signals(send: &Sender<Message>) -> io::Result<()> {
    let send = send.clone();
    let mut signals = Signals::new([SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGTSTP])?;
    thread::spawn(move || {
        for signal in &mut signals {
            let message = if signal == SIGTSTP { Message::Suspend } else { Message::Quit };
            if send.send(message).is_err() {
                return;
            }
        }
    });
    Ok(())
}
