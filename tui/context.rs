//! State shared by all screens: time, settings, served data, notices and overlays.

use std::{sync::Arc, time::Duration};

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use materia::{
    alert::AlertInputs, endpoint::EndpointState, humanize, pipeline::Run, reader::Catalog,
    status::Status,
};
use ratatui::layout::{Rect, Size};

use super::{
    app::ScreenId,
    commands::Job,
    keys::Keymap,
    layout,
    message::{Config, Effect, SiteHealth},
    overlays::{Confirm, Overlay, Prompt},
};

/// How long notices of success and of failure are shown.
const SUCCESS_TOAST_SECONDS: i64 = 4;
const FAILURE_TOAST_SECONDS: i64 = 12;
/// Screens that `esc` can return to.
const MAX_PREVIOUS_SCREENS: usize = 20;
const SPINNER_FRAME_MILLISECONDS: i64 = 125;

/// The state that every screen can read.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) now: Timestamp,
    /// The zone of the times that are shown.
    pub(crate) zone: TimeZone,
    pub(crate) size: Size,
    pub(crate) screen: ScreenId,
    pub(crate) reader: ReaderState,
    pub(crate) status_view: StatusView,
    /// The newest run of each pipeline.
    pub(crate) pipeline_runs: Vec<Run>,
    pub(crate) overlay: Option<Overlay>,
    /// The previously visible screens, the latest last.
    pub(crate) previous_screens: Vec<ScreenId>,
    pub(crate) keyboard: Keyboard,
    /// Whether actions other than reading are allowed.
    pub(crate) actions_allowed: bool,
    pub(crate) job: Option<Job>,
    /// Number of rows written so far to a file that is being saved.
    pub(crate) saving: Option<u64>,
    pub(crate) toast: Option<Toast>,
    pub(crate) last_request_id: u64,
    pub(crate) spinner_frame: usize,
}

/// What keys mean, and those that were pressed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keyboard {
    pub(crate) keymap: Keymap,
    /// The first key of a pending pair.
    pub(crate) pending_keys: String,
    /// Whether the previous key was Ctrl-C and canceled a query.
    pub(crate) canceled_by_ctrl_c: bool,
}

/// The state of the reader.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReaderState {
    pub(crate) config: Option<Arc<Config>>,
    /// Why the settings are invalid.
    pub(crate) config_error: Option<String>,
    /// Counts generations; 0 before the first one.
    pub(crate) sequence: u64,
    pub(crate) catalog: Option<Arc<Catalog>>,
    /// Why there is no catalog, or why it is outdated.
    pub(crate) error: Option<String>,
}

/// The state of files, locks and the site.
#[derive(Debug, Clone, Default)]
pub(crate) struct StatusView {
    pub(crate) facts: Option<Arc<AlertInputs>>,
    /// Why files and locks currently cannot be read.
    pub(crate) error: Option<String>,
    /// When the holder of the lakehouse was first observed.
    pub(crate) held_since: Option<Timestamp>,
    /// When the process that holds it started.
    pub(crate) holder_started: Option<Timestamp>,
    /// The health of the site, or why it is unknown; `None` before the first sample.
    pub(crate) site: Option<Result<SiteHealth, String>>,
    /// The PostgreSQL endpoint; `None` if the settings do not tell where it is.
    pub(crate) endpoint: Option<EndpointState>,
}

/// A short notice in the footer.
#[derive(Debug, Clone)]
pub(crate) struct Toast {
    pub(crate) text: String,
    pub(crate) success: bool,
    pub(crate) until: Timestamp,
}

impl Context {
    pub(crate) fn new(now: Timestamp, size: Size, actions_allowed: bool) -> Self {
        Self {
            now,
            zone: TimeZone::UTC,
            size,
            screen: ScreenId::Overview,
            reader: ReaderState::default(),
            status_view: StatusView::default(),
            pipeline_runs: Vec::new(),
            overlay: None,
            previous_screens: Vec::new(),
            keyboard: Keyboard::default(),
            actions_allowed,
            job: None,
            saving: None,
            toast: None,
            last_request_id: 0,
            spinner_frame: 0,
        }
    }

    pub(crate) fn status(&self) -> Option<&Status> {
        self.facts().map(|facts| &facts.status)
    }

    /// Returns the status with everything else from which conditions are derived.
    pub(crate) fn facts(&self) -> Option<&AlertInputs> {
        self.status_view.facts.as_deref()
    }

    /// Makes a screen visible; `esc` returns to the current one.
    pub(crate) fn go_to(&mut self, id: ScreenId) {
        if id == self.screen {
            return;
        }
        self.previous_screens.push(self.screen);
        let excess = self.previous_screens.len().saturating_sub(MAX_PREVIOUS_SCREENS);
        self.previous_screens.drain(..excess);
        self.screen = id;
    }

    /// Returns the area between the tabs and the footer.
    pub(crate) fn body(&self) -> Rect {
        layout::body(self.size)
    }

    /// Formats a time of this year as `21 Nov 02:00`, in the operator's zone.
    pub(crate) fn format_local(&self, at: Timestamp) -> String {
        let [at, now] = [at, self.now].map(|time| time.to_zoned(self.zone.clone()));
        let format = if at.year() == now.year() { "%-d %b %H:%M" } else { "%-d %b %Y" };
        at.strftime(format).to_string()
    }

    pub(crate) fn show_toast(&mut self, success: bool, text: impl Into<String>) {
        let seconds = if success { SUCCESS_TOAST_SECONDS } else { FAILURE_TOAST_SECONDS };
        let until = self.now.saturating_add(seconds.seconds()).unwrap_or(self.now);
        self.toast = Some(Toast { text: text.into(), success, until });
    }

    /// Opens a line for text input.
    pub(crate) fn open_prompt(&mut self, prompt: Prompt) -> Vec<Effect> {
        self.overlay = Some(Overlay::Prompt(Box::new(prompt)));
        Vec::new()
    }

    /// Opens a dialog that runs an effect when confirmed.
    pub(crate) fn open_confirm(&mut self, confirm: Confirm) -> Vec<Effect> {
        self.overlay = Some(Overlay::Confirm(Box::new(confirm)));
        Vec::new()
    }

    pub(crate) fn next_request_id(&mut self) -> u64 {
        self.last_request_id += 1;
        self.last_request_id
    }

    /// Returns the number of conditions that need attention; `None` before the first status.
    pub(crate) fn problem_count(&self) -> Option<usize> {
        if self.status_view.error.is_some() || self.reader.config_error.is_some() {
            return Some(1);
        }
        let (facts, config) = (self.facts()?, self.reader.config.as_ref()?);
        Some(facts.findings(&config.settings.alerts, self.now).len())
    }

    /// Returns the title of the terminal's window.
    pub(crate) fn title(&self) -> String {
        let state = match self.problem_count() {
            None => "opening".to_owned(),
            Some(0) if self.is_exporting() => "exporting".to_owned(),
            Some(0) => "all clear".to_owned(),
            Some(problems) => humanize::plural(problems, "problem"),
        };
        format!("materia: {state}")
    }

    pub(crate) fn is_exporting(&self) -> bool {
        self.status().is_some_and(|status| status.running.is_some())
    }

    /// Returns whether an operation outside of the screens is in progress.
    pub(crate) fn is_waiting(&self) -> bool {
        let opening = self.reader.sequence == 0
            && self.reader.error.is_none()
            && self.reader.config_error.is_none();
        let computing = matches!(
            &self.overlay,
            Some(Overlay::Statistics(view)) if view.result.is_none()
        );
        opening
            || computing
            || self.saving.is_some()
            || self.job.as_ref().is_some_and(Job::is_running)
            || self.is_exporting()
    }

    /// Returns the time of the spinner's next frame.
    pub(crate) fn next_spinner_frame(&self) -> Option<Timestamp> {
        self.now.saturating_add(SPINNER_FRAME_MILLISECONDS.milliseconds()).ok()
    }

    /// Returns the time at which the header or the footer next changes without a message.
    pub(crate) fn next_change(&self) -> Option<Timestamp> {
        let toast = self.toast.as_ref().map(|toast| toast.until);
        let age = self
            .status()
            .and_then(|status| status.exported_at)
            .and_then(|at| next_age_change(at, self.now));
        let stale = self.status().and_then(|status| {
            let at = status
                .exported_at?
                .checked_add(jiff::SignedDuration::try_from(status.max_age?).ok()?)
                .ok()?;
            at.checked_add(1.milliseconds()).ok().filter(|at| *at > self.now)
        });
        [toast, age, stale].into_iter().flatten().min()
    }
}

/// Formats the time since `at` as coarsely as operators read it: `12 s ago`, `3 min ago`, `2 h 5
/// min ago`, `4 d 3 h ago`.
pub(crate) fn format_ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs().max(0).unsigned_abs();
    let seconds = if seconds < 60 { seconds } else { seconds / 60 * 60 };
    humanize::ago(Duration::from_secs(seconds))
}

/// Returns the time at which [`format_ago`] returns another text.
pub(crate) fn next_age_change(at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let passed = now.duration_since(at).as_millis().max(0);
    let step = match passed {
        ..60_000 => 1_000,
        60_000..86_400_000 => 60_000,
        _ => 3_600_000,
    };
    let next = i64::try_from((passed / step + 1) * step).ok()?;
    at.checked_add(next.milliseconds()).ok()
}
