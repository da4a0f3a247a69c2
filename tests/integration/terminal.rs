//! A terminal to run the terminal dashboard in: the real command on the other side of a pty, its screen read as a terminal reads it.

use std::{
    io::{Read, Write},
    num::NonZeroU16,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::support::Site;

/// What the command writes, as a terminal shows it.
pub(crate) struct Screen {
    pub(crate) shown: Arc<Mutex<Written>>,
    keys: Box<dyn Write + Send>,
    pub(crate) child: Box<dyn Child + Send + Sync>,
    pub(crate) pty: Box<dyn MasterPty + Send>,
}

pub(crate) struct Written {
    pub(crate) parser: vt100::Parser,
    pub(crate) raw: Vec<u8>,
}

pub(crate) fn size(cells: u16) -> NonZeroU16 {
    NonZeroU16::new(cells).unwrap()
}

impl Screen {
    pub(crate) fn start(site: &Site, arguments: &[&str]) -> Self {
        Self::start_with(site, arguments, &[])
    }

    pub(crate) fn start_with(site: &Site, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let cells = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(cells).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_materia"));
        command.args(["tui", "--theme", "dark"]);
        command.args(arguments);
        command.cwd(site.folder());
        for name in ["NO_COLOR", "DUCKDB_PATH", "SERVING_DUCKDB_PATH", "MATERIA_CONFIG", "MATERIA_MAX_AGE", "COLORTERM"] {
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
        let shown = Arc::new(Mutex::new(Written { parser: vt100::Parser::new(size(24), size(80), 0), raw: Vec::new() }));
        let (mut output, own) = (pair.master.try_clone_reader().unwrap(), shown.clone());
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut buffer) {
                let mut written = own.lock().unwrap();
                written.parser.process(&buffer[..read]);
                written.raw.extend_from_slice(&buffer[..read]);
            }
        });
        Self { shown, keys: pair.master.take_writer().unwrap(), child, pty: pair.master }
    }

    pub(crate) fn text(&self) -> String {
        self.shown.lock().unwrap().parser.screen().contents()
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until the screen shows something, and returns how long that took.
    pub(crate) fn shows(&self, what: &str) -> Duration {
        let begun = Instant::now();
        while !self.text().contains(what) {
            assert!(begun.elapsed() < Duration::from_secs(30), "{what:?} is not on the screen:\n{}", self.text());
            thread::sleep(Duration::from_millis(2));
        }
        begun.elapsed()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.shown.lock().unwrap().raw.len()
    }

    /// Waits for the end of the command, and checks that the terminal is as it was.
    pub(crate) fn ends(mut self) -> u32 {
        let deadline = Instant::now() + Duration::from_secs(30);
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(Instant::now() < deadline, "it does not end:\n{}", self.text()),
            }
            thread::sleep(Duration::from_millis(5));
        };
        // What was written before the end is read to its end.
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
            // The line discipline too: keys are shown and lines are edited again.
            let settings = self.pty.get_termios().unwrap();
            let local = format!("{:?}", settings.local_flags);
            assert!(local.contains("ECHO") && local.contains("ICANON"), "{local}");
        }
        status.exit_code()
    }
}
