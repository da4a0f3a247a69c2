//! A terminal for the terminal dashboard: runs the real command on a pty and interprets its output
//! as a terminal does.

use std::{
    io::{Read, Write},
    num::NonZeroU16,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::support::Site;

/// Timeout for anything to appear, also on a loaded machine.
const TIMEOUT: Duration = Duration::from_mins(1);

/// The output of the command, as a terminal shows it.
pub(crate) struct Screen {
    pub(crate) shown: Arc<Mutex<Written>>,
    keys: Box<dyn Write + Send>,
    pub(crate) child: Box<dyn Child + Send + Sync>,
    pub(crate) pty: Box<dyn MasterPty + Send>,
}

pub(crate) struct Written {
    pub(crate) parser: vt100::Parser,
    pub(crate) raw: Vec<u8>,
    /// The start of a frame whose end was not read yet.
    partial: Vec<u8>,
}

/// The bytes around a frame, which terminals show whole.
const FRAME_START: &[u8] = b"\x1b[?2026h";
const FRAME_END: &[u8] = b"\x1b[?2026l";

impl Written {
    /// Shows what was read, except for a frame that is not complete: a screen with the top of one
    /// frame and the footer of another does not exist.
    fn receive(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        self.partial.extend_from_slice(bytes);
        let find =
            |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|window| window == what);
        let complete = match find(&self.partial, FRAME_START) {
            // Later frames are complete only if the last one is.
            Some(_) => {
                let last_end = self.partial.windows(FRAME_END.len()).rposition(|w| w == FRAME_END);
                let end = last_end.map_or(0, |at| at + FRAME_END.len());
                let start = find(&self.partial[end..], FRAME_START);
                start.map_or(self.partial.len(), |start| end + start)
            }
            None => self.partial.len(),
        };
        // The start of a frame may itself be read in parts.
        let complete = (1..FRAME_START.len())
            .rev()
            .find(|len| self.partial[..complete].ends_with(&FRAME_START[..*len]))
            .map_or(complete, |len| complete - len);
        self.parser.process(&self.partial[..complete]);
        self.partial.drain(..complete);
    }
}

pub(crate) fn size(cells: u16) -> NonZeroU16 {
    NonZeroU16::new(cells).unwrap()
}

impl Screen {
    pub(crate) fn start(site: &Site, arguments: &[&str]) -> Self {
        Self::start_with(site, arguments, &[])
    }

    pub(crate) fn start_with(site: &Site, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start_themed(site, &[&["--theme", "dark"], arguments].concat(), variables)
    }

    /// Starts the command without a color scheme, which it detects.
    pub(crate) fn start_themed(
        site: &Site,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let cells = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(cells).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_materia"));
        command.arg("tui");
        command.args(arguments);
        command.cwd(site.folder());
        for name in [
            "NO_COLOR",
            "DUCKDB_PATH",
            "SERVING_DUCKDB_PATH",
            "MATERIA_CONFIG",
            "MATERIA_MAX_AGE",
            "COLORTERM",
            "COLORFGBG",
        ] {
            command.env_remove(name);
        }
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        command.env("XDG_STATE_HOME", site.path("state"));
        for (name, value) in variables {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let shown = Arc::new(Mutex::new(Written {
            parser: vt100::Parser::new(size(24), size(80), 0),
            raw: Vec::new(),
            partial: Vec::new(),
        }));
        let (mut output, own) = (pair.master.try_clone_reader().unwrap(), shown.clone());
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut buffer) {
                own.lock().unwrap().receive(&buffer[..read]);
            }
        });
        let keys = pair.master.take_writer().unwrap();
        let screen = Self { shown, keys, child, pty: pair.master };
        // Keys that are sent before could be echoed.
        screen.wait_until("the first frame", |screen| !screen.text().is_empty());
        screen
    }

    pub(crate) fn text(&self) -> String {
        self.shown.lock().unwrap().parser.screen().contents()
    }

    /// Presses keys, and waits until the screen shows a text that it did not show before.
    ///
    /// A text that was visible before would not show that the keys were handled. Keys that follow
    /// too early are read together with these, where an escape becomes part of another key.
    pub(crate) fn press(&mut self, keys: &str, expected: &str) {
        self.press_until(keys, expected, |screen| screen.text().contains(expected));
    }

    /// Presses keys, and waits for a condition that did not hold before.
    pub(crate) fn press_until(&mut self, keys: &str, what: &str, holds: impl Fn(&Self) -> bool) {
        assert!(!holds(self), "{what:?} already before {keys:?} is pressed:\n{}", self.text());
        self.send(keys);
        self.wait_until(what, holds);
    }

    /// Presses the keys that end the command, and returns its exit code.
    pub(crate) fn quit(mut self, keys: &str) -> u32 {
        self.send(keys);
        self.ends()
    }

    fn send(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until the screen shows something, and returns how long that took. For the effect of
    /// keys see [`Self::press`].
    pub(crate) fn shows(&self, what: &str) -> Duration {
        self.wait_until(what, |screen| screen.text().contains(what))
    }

    fn wait_until(&self, what: &str, holds: impl Fn(&Self) -> bool) -> Duration {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < TIMEOUT, "{what:?} is not on the screen:\n{}", self.text());
            thread::sleep(Duration::from_millis(2));
        }
        begun.elapsed()
    }

    /// Returns whether the command has written a sequence.
    pub(crate) fn has_written(&self, sequence: &str) -> bool {
        let written = self.shown.lock().unwrap();
        String::from_utf8_lossy(&written.raw).contains(sequence)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.shown.lock().unwrap().raw.len()
    }

    /// Waits for the end of the command, and checks that the terminal is restored.
    pub(crate) fn ends(mut self) -> u32 {
        let deadline = Instant::now() + TIMEOUT;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(Instant::now() < deadline, "it does not end:\n{}", self.text()),
            }
            thread::sleep(Duration::from_millis(5));
        };
        // The output before the end is read completely.
        let restored = |screen: &vt100::Screen| {
            !screen.alternate_screen()
                && !screen.hide_cursor()
                && !screen.bracketed_paste()
                && screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None
        };
        while !restored(self.shown.lock().unwrap().parser.screen()) {
            assert!(Instant::now() < deadline, "the terminal is not restored");
            thread::sleep(Duration::from_millis(5));
        }
        #[cfg(unix)]
        {
            // The line discipline too: input is echoed and edited by line again.
            let settings = self.pty.get_termios().unwrap();
            let local = format!("{:?}", settings.local_flags);
            assert!(local.contains("ECHO") && local.contains("ICANON"), "{local}");
        }
        status.exit_code()
    }
}
