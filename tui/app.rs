//! The application: all state, and the only place where messages change it.

use std::{ops::ControlFlow, sync::Arc};

use materia::{alert::AlertInputs, reader};
use ratatui::{
    crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
    layout::Size,
};

use super::{
    commands,
    context::{Context, ReaderState, StatusView},
    grid::actions,
    keys::{self, KeyGroup, Keymap, key},
    message::{
        Channel, ClickTarget, Config, Effect, Message, Request, Response, SaveEvent, SaveJob,
    },
    overlays::{self, Confirm, Overlay, palette},
    screens::{
        Change, Link, Screen, dashboards::DashboardsScreen, history::HistoryScreen,
        logs::LogsScreen, overview::OverviewScreen, sql::SqlScreen, tables::TablesScreen,
    },
};

/// Larger than the length of any list, and small enough that adding to it cannot overflow.
pub(crate) const MAX_STEP: isize = isize::MAX / 4;

/// The screens, in the order of their tabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ScreenId {
    Overview,
    Tables,
    History,
    Dashboards,
    Sql,
    Logs,
}

impl ScreenId {
    pub(crate) const ALL: [Self; 6] =
        [Self::Overview, Self::Tables, Self::History, Self::Dashboards, Self::Sql, Self::Logs];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Overview => "Now",
            Self::Tables => "Tables",
            Self::History => "History",
            Self::Dashboards => "Dashboards",
            Self::Sql => "SQL",
            Self::Logs => "Logs",
        }
    }

    /// Returns the screen `by` tabs to the right, wrapping around.
    fn neighbor(self, by: usize) -> Self {
        let at = Self::ALL.iter().position(|screen| *screen == self).unwrap_or_default();
        Self::ALL[(at + by) % Self::ALL.len()]
    }
}

/// The complete state of the application.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) context: Context,
    pub(crate) overview: OverviewScreen,
    pub(crate) tables: TablesScreen,
    pub(crate) history: HistoryScreen,
    pub(crate) dashboards: DashboardsScreen,
    pub(crate) sql: SqlScreen,
    pub(crate) logs: LogsScreen,
}

impl App {
    /// Returns the state before any data has arrived.
    pub(crate) fn new(now: jiff::Timestamp, size: Size, actions_allowed: bool) -> Self {
        Self {
            context: Context::new(now, size, actions_allowed),
            overview: OverviewScreen::default(),
            tables: TablesScreen::default(),
            history: HistoryScreen::default(),
            dashboards: DashboardsScreen::default(),
            sql: SqlScreen::default(),
            logs: LogsScreen::default(),
        }
    }

    pub(crate) fn screen(&self, id: ScreenId) -> &dyn Screen {
        match id {
            ScreenId::Overview => &self.overview,
            ScreenId::Tables => &self.tables,
            ScreenId::History => &self.history,
            ScreenId::Dashboards => &self.dashboards,
            ScreenId::Sql => &self.sql,
            ScreenId::Logs => &self.logs,
        }
    }

    /// Returns a screen and the context for its methods.
    pub(crate) fn screen_mut(&mut self, id: ScreenId) -> (&mut dyn Screen, &mut Context) {
        let screen: &mut dyn Screen = match id {
            ScreenId::Overview => &mut self.overview,
            ScreenId::Tables => &mut self.tables,
            ScreenId::History => &mut self.history,
            ScreenId::Dashboards => &mut self.dashboards,
            ScreenId::Sql => &mut self.sql,
            ScreenId::Logs => &mut self.logs,
        };
        (screen, &mut self.context)
    }

    pub(crate) fn visible(&self) -> &dyn Screen {
        self.screen(self.context.screen)
    }

    pub(crate) fn visible_mut(&mut self) -> (&mut dyn Screen, &mut Context) {
        self.screen_mut(self.context.screen)
    }

    /// Returns the tables of keys that apply now, most specific first.
    pub(crate) fn key_groups(&self) -> Vec<&'static KeyGroup> {
        let own = self.visible().keys();
        if self.visible().is_typing() { vec![own] } else { vec![own, &GLOBAL_KEYS] }
    }

    /// Returns every table of keys: those of the screens, of overlays, and the global ones.
    pub(crate) fn all_key_groups(&self) -> Vec<&'static KeyGroup> {
        let screens = ScreenId::ALL.into_iter().flat_map(|id| self.screen(id).key_groups());
        let mut groups: Vec<&'static KeyGroup> = Vec::new();
        for group in screens.chain([&TYPING_KEYS, &GLOBAL_KEYS]) {
            if !groups.iter().any(|known| known.id == group.id) {
                groups.push(group);
            }
        }
        groups
    }

    /// Shows a screen, and requests the data it needs.
    pub(crate) fn show(&mut self, id: ScreenId) -> Vec<Effect> {
        self.context.go_to(id);
        let (screen, context) = self.visible_mut();
        screen.enter(context)
    }

    /// Shows the target of a link on the screen that supports it.
    pub(crate) fn follow_link(&mut self, link: &Link) -> Vec<Effect> {
        ScreenId::ALL
            .into_iter()
            .find_map(|id| {
                let (screen, context) = self.screen_mut(id);
                screen.follow_link(link, context)
            })
            .unwrap_or_default()
    }

    /// Cancels the operation in progress, or else closes what is open, or else goes back.
    pub(crate) fn close(&mut self) -> Vec<Effect> {
        let (screen, context) = self.visible_mut();
        if let Some(effects) = actions::cancel_pending(screen) {
            return effects;
        }
        if context.saving.is_some() {
            return vec![Effect::CancelSaving];
        }
        match screen.close(context) {
            Some(effects) => effects,
            None => self.go_back(),
        }
    }

    /// Shows the previously visible screen.
    pub(crate) fn go_back(&mut self) -> Vec<Effect> {
        match self.context.previous_screens.pop() {
            Some(id) => {
                self.context.screen = id;
                let (screen, context) = self.visible_mut();
                screen.enter(context)
            }
            None => Vec::new(),
        }
    }

    pub(crate) fn move_cursor(&mut self, by: isize) -> Vec<Effect> {
        let (screen, context) = self.visible_mut();
        screen.move_cursor(by, context)
    }

    /// Moves the cursor by a fraction of the visible lines, at least one line.
    fn move_by_page(&mut self, divisor: usize, down: bool) -> Vec<Effect> {
        let page = self.visible().page_height(&self.context).max(1);
        let by = (page / divisor).max(1).cast_signed();
        self.move_cursor(if down { by } else { -by })
    }

    /// Returns whether an operation is in progress, so that the spinner must be animated.
    pub(crate) fn is_waiting(&self) -> bool {
        self.context.is_waiting() || self.visible().is_waiting()
    }

    /// Returns the time at which the display next changes without a message.
    pub(crate) fn next_change(&self) -> Option<jiff::Timestamp> {
        let spinner = self.is_waiting().then(|| self.context.next_spinner_frame()).flatten();
        let screen = self.visible().next_change(&self.context);
        [spinner, screen, self.context.next_change()].into_iter().flatten().min()
    }

    /// Applies a message to the state, and returns the resulting effects.
    pub(crate) fn update(&mut self, message: Message) -> Vec<Effect> {
        match message {
            Message::Key(key) => self.press(key),
            Message::Paste(text) => self.paste(&text),
            Message::Click(target) => self.click(target),
            Message::Scroll(by) => match &mut self.context.overlay {
                Some(overlay) => {
                    overlay.scroll(by);
                    Vec::new()
                }
                None => self.move_cursor(by),
            },
            Message::Resize(size) => {
                self.context.size = size;
                self.move_cursor(0)
            }
            Message::Tick(now) => {
                self.context.now = now;
                self.context.spinner_frame = self.context.spinner_frame.wrapping_add(1);
                if self.context.toast.as_ref().is_some_and(|toast| toast.until <= now) {
                    self.context.toast = None;
                }
                Vec::new()
            }
            Message::Rendered { first_line } => {
                match (first_line, &mut self.context.overlay) {
                    (Some(line), Some(overlay)) => overlay.clamp_scroll(line),
                    (Some(line), None) => self.visible_mut().0.clamp_scroll(line),
                    _ => {}
                }
                Vec::new()
            }
            Message::Suspend => vec![Effect::Suspend],
            Message::WorkerFailed(reason) => {
                self.context.show_toast(false, reason);
                Vec::new()
            }
            // The event loop draws with the scheme; a mouse event becomes a click or a scroll once
            // its target is known.
            Message::Background(_) | Message::Mouse(_) => Vec::new(),
            Message::Quit => vec![Effect::Quit],
            Message::Settings(Ok(config)) => self.set_config(config),
            Message::Settings(Err(error)) => {
                self.context.reader.config_error = Some(error);
                Vec::new()
            }
            Message::Served(state) => self.set_reader_state(*state),
            Message::Dashboards => self.notify(&Change::DashboardFiles),
            Message::Site(address, health) => {
                // The address may have changed since.
                let config = self.context.reader.config.as_ref();
                if config.is_some_and(|config| config.metrics() == Some(address)) {
                    self.context.status_view.site = Some(health);
                }
                Vec::new()
            }
            Message::Endpoint(state) => {
                self.context.status_view.endpoint = state;
                Vec::new()
            }
            Message::Status(Ok(facts)) => self.set_facts(facts),
            Message::Status(Err(error)) => {
                self.context.status_view.error = Some(error);
                self.move_cursor(0)
            }
            Message::Response { channel: Channel::Catalog, response, .. } => match response {
                Ok(Response::Catalog(catalog)) => {
                    self.context.reader.catalog = Some(catalog);
                    self.notify(&Change::Catalog)
                }
                Ok(_) => Vec::new(),
                Err(error) => {
                    self.context.reader.error = Some(error);
                    Vec::new()
                }
            },
            Message::Response { channel: Channel::Statistics, request_id, response } => {
                overlays::statistics::receive(&mut self.context, request_id, response);
                Vec::new()
            }
            Message::PipelineRuns(runs) => {
                self.context.pipeline_runs = runs;
                self.notify(&Change::PipelineRuns)
            }
            Message::Job(event) => {
                commands::handle_job_event(&mut self.context, event);
                Vec::new()
            }
            Message::Save(event) => {
                self.handle_save_event(event);
                Vec::new()
            }
            message => self.route(message),
        }
    }

    /// Passes a worker's message to the screen that handles it.
    fn route(&mut self, mut message: Message) -> Vec<Effect> {
        let lists_objects =
            matches!(message, Message::Response { response: Ok(Response::Dashboards(_)), .. });
        let mut effects = Vec::new();
        for id in ScreenId::ALL {
            let (screen, context) = self.screen_mut(id);
            match screen.handle_message(message, context) {
                ControlFlow::Break(requested) => {
                    effects = requested;
                    break;
                }
                ControlFlow::Continue(unhandled) => message = unhandled,
            }
        }
        if lists_objects {
            palette::refresh(self);
        }
        effects
    }

    /// Notifies every screen of a change of the context.
    fn notify(&mut self, change: &Change) -> Vec<Effect> {
        let mut effects = Vec::new();
        for id in ScreenId::ALL {
            let (screen, context) = self.screen_mut(id);
            effects.extend(screen.handle_change(change, context));
        }
        effects
    }

    fn set_config(&mut self, config: Arc<Config>) -> Vec<Effect> {
        let previous = self.context.reader.config.clone();
        let mut effects = Vec::new();
        if previous.as_ref().is_some_and(|previous| !previous.serves_same_data(&config)) {
            // Data of the previous source must not be mistaken for data of this one.
            self.context.reader = ReaderState::default();
            self.context.status_view = StatusView::default();
            effects.extend(self.notify(&Change::StatusSource));
        }
        if previous.as_ref().is_some_and(|previous| previous.metrics() != config.metrics()) {
            self.context.status_view.site = None;
        }
        match Keymap::parse(&config.settings.tui.keys, &self.all_key_groups()) {
            Ok(keymap) => {
                self.context.keyboard.keymap = keymap;
                self.context.reader.config_error = None;
            }
            // The keys stay as they are until the settings are corrected.
            Err(error) => self.context.reader.config_error = Some(error),
        }
        self.context.reader.config = Some(config);
        effects.extend(self.notify(&Change::Config { previous }));
        effects
    }

    fn set_reader_state(&mut self, state: reader::ReaderState) -> Vec<Effect> {
        self.context.reader.error = state.problem.map(|problem| problem.reason);
        let sequence = state.generation.map_or(0, |generation| generation.sequence);
        if sequence == 0 || sequence == self.context.reader.sequence {
            return Vec::new();
        }
        self.context.reader.sequence = sequence;
        let request_id = self.context.next_request_id();
        let mut effects = vec![Effect::Request {
            channel: Channel::Catalog,
            request_id,
            request: Request::Catalog,
        }];
        effects.extend(self.notify(&Change::Generation));
        effects
    }

    fn set_facts(&mut self, facts: Arc<AlertInputs>) -> Vec<Effect> {
        let now = self.context.now;
        let view = &mut self.context.status_view;
        let previous = view.facts.clone();
        let previous_pid = previous
            .as_ref()
            .and_then(|facts| facts.status.lakehouse_held_by.as_ref())
            .and_then(|holder| holder.pid);
        let holder = facts.status.lakehouse_held_by.as_ref();
        view.held_since = match (holder, view.held_since) {
            (None, _) => None,
            (Some(holder), Some(since)) if holder.pid == previous_pid => Some(since),
            (Some(_), _) => Some(now),
        };
        view.holder_started = holder
            .and_then(|holder| jiff::SignedDuration::try_from(holder.running?).ok())
            .and_then(|running| now.checked_sub(running).ok());
        view.error = None;
        view.facts = Some(facts);
        let mut effects = self.notify(&Change::Status { previous });
        effects.extend(self.move_cursor(0));
        effects
    }

    fn handle_save_event(&mut self, event: SaveEvent) {
        let context = &mut self.context;
        match event {
            SaveEvent::Progress { rows } => context.saving = Some(rows),
            SaveEvent::Exists(job) => {
                context.saving = None;
                context.open_confirm(Confirm {
                    title: "Overwrite?".to_owned(),
                    text: format!("{} exists already.", job.path.display()),
                    command: None,
                    effect: Effect::Save(SaveJob { overwrite: true, ..job }),
                });
            }
            SaveEvent::Ended(ended) => {
                context.saving = None;
                match ended {
                    Ok(text) => context.show_toast(true, text),
                    Err(text) => context.show_toast(false, text),
                }
            }
        }
    }

    fn press(&mut self, key: KeyEvent) -> Vec<Effect> {
        if key.kind == KeyEventKind::Release {
            return Vec::new();
        }
        let is_repeated = std::mem::take(&mut self.context.keyboard.canceled_by_ctrl_c);
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return self.interrupt(is_repeated);
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('z') {
            return vec![Effect::Suspend];
        }
        let name = keys::key_name(key);
        let keymap = self.context.keyboard.keymap.clone();
        if let Some(binding) = keymap.find(&[&TYPING_KEYS], &name) {
            self.context.overlay = None;
            return (binding.run)(self);
        }
        if self.context.overlay.is_some() {
            return overlays::press(self, key);
        }
        let groups = self.key_groups();
        if self.visible().is_typing() {
            if let Some(binding) = keymap.find(&groups, &name) {
                return (binding.run)(self);
            }
            let (screen, context) = self.visible_mut();
            return screen.type_key(key, context);
        }
        let pressed = std::mem::take(&mut self.context.keyboard.pending_keys) + &name;
        if keymap.is_prefix(&groups, &pressed) {
            self.context.keyboard.pending_keys = pressed;
            return Vec::new();
        }
        match keymap.find(&groups, &pressed).or_else(|| keymap.find(&groups, &name)) {
            Some(binding) => (binding.run)(self),
            None => Vec::new(),
        }
    }

    /// Handles Ctrl-C: cancels a query, and quits if there is none. After a query was canceled, or
    /// during a write, a dialog prevents quitting by accident.
    fn interrupt(&mut self, is_repeated: bool) -> Vec<Effect> {
        if let Some(effects) = actions::cancel_pending(self.visible_mut().0) {
            self.context.keyboard.canceled_by_ctrl_c = true;
            self.context.show_toast(true, "stopped; Ctrl-C again quits");
            return effects;
        }
        let is_asking = matches!(
            &self.context.overlay,
            Some(Overlay::Confirm(confirm)) if confirm.effect == Effect::Quit
        );
        let running = if self.context.saving.is_some() {
            Some("A file is being saved. Quitting removes the incomplete file.")
        } else {
            is_repeated.then_some("A query was stopped.")
        };
        match running.filter(|_| !is_asking) {
            None => vec![Effect::Quit],
            Some(text) => self.context.open_confirm(Confirm {
                title: "Quit?".to_owned(),
                text: text.to_owned(),
                command: None,
                effect: Effect::Quit,
            }),
        }
    }

    /// Inserts pasted text. Most terminals send a carriage return for a line break.
    fn paste(&mut self, text: &str) -> Vec<Effect> {
        let text = &text.replace("\r\n", "\n").replace('\r', "\n");
        if self.context.overlay.is_some() {
            return overlays::paste(self, text);
        }
        let (screen, _) = self.visible_mut();
        if screen.is_typing() {
            screen.paste(text);
        }
        Vec::new()
    }

    fn click(&mut self, target: ClickTarget) -> Vec<Effect> {
        if self.context.overlay.is_some() {
            return overlays::click(self, target);
        }
        match target {
            ClickTarget::Tab(screen) => self.show(screen),
            target => {
                let (screen, context) = self.visible_mut();
                screen.click(target, context)
            }
        }
    }

    fn toggle_actions(&mut self) {
        let allowed = !self.context.actions_allowed;
        self.context.actions_allowed = allowed;
        let text = if allowed {
            "actions are allowed now: each has to be confirmed"
        } else {
            "actions are off: nothing can be changed from here"
        };
        self.context.show_toast(true, text);
    }
}

/// Keys that also apply while text is being typed.
pub(crate) static TYPING_KEYS: KeyGroup = KeyGroup {
    id: "typing",
    title: "While typing, too",
    bindings: &[
        key("f1", "help", "this help", "", open_help),
        key("alt-1", "overview", "Now", "", |app| app.show(ScreenId::Overview)),
        key("alt-2", "tables", "Tables", "", |app| app.show(ScreenId::Tables)),
        key("alt-3", "history", "History", "", |app| app.show(ScreenId::History)),
        key("alt-4", "dashboards", "Dashboards", "", |app| app.show(ScreenId::Dashboards)),
        key("alt-5", "sql", "SQL", "", |app| app.show(ScreenId::Sql)),
        key("alt-6", "logs", "Logs", "", |app| app.show(ScreenId::Logs)),
    ],
};

fn open_help(app: &mut App) -> Vec<Effect> {
    app.context.overlay = Some(Overlay::Help { scroll: 0 });
    Vec::new()
}

/// Keys that apply on every screen, except while text is being typed.
pub(crate) static GLOBAL_KEYS: KeyGroup = KeyGroup {
    id: "global",
    title: "Everywhere",
    bindings: &[
        key("j down", "down", "down", "", |app| app.move_cursor(1)).navigation(),
        key("k up", "up", "up", "", |app| app.move_cursor(-1)).navigation(),
        key("ctrl-d", "half-page-down", "half a page down", "", |app| app.move_by_page(2, true))
            .navigation(),
        key("ctrl-u", "half-page-up", "half a page up", "", |app| app.move_by_page(2, false))
            .navigation(),
        key("pgdn ctrl-f", "page-down", "a page down", "", |app| app.move_by_page(1, true))
            .navigation(),
        key("pgup ctrl-b", "page-up", "a page up", "", |app| app.move_by_page(1, false))
            .navigation(),
        key("gg", "top", "to the first line", "", |app| app.move_cursor(-MAX_STEP)).navigation(),
        key("G", "bottom", "to the last line", "", |app| app.move_cursor(MAX_STEP)).navigation(),
        key("1", "overview", "Now: data age, last export, problems", "", |app| {
            app.show(ScreenId::Overview)
        }),
        key("2", "tables", "Tables: what is served", "", |app| app.show(ScreenId::Tables)),
        key("3", "history", "History: every attempt", "", |app| app.show(ScreenId::History)),
        key("4", "dashboards", "Dashboards: as customers see them", "", |app| {
            app.show(ScreenId::Dashboards)
        }),
        key("5", "sql", "SQL: query the served generation", "", |app| app.show(ScreenId::Sql)),
        key("6", "logs", "Logs: what the services write", "", |app| app.show(ScreenId::Logs)),
        key("L }", "next-screen", "next screen", "", |app| {
            app.show(app.context.screen.neighbor(1))
        }),
        key("H {", "previous-screen", "previous screen", "", |app| {
            app.show(app.context.screen.neighbor(ScreenId::ALL.len() - 1))
        }),
        key("!", "toggle-actions", "allow actions, or forbid them again", "", |app| {
            app.toggle_actions();
            Vec::new()
        }),
        key(
            ":",
            "palette",
            "find an action, a table or a dashboard by name",
            "find",
            palette::open,
        ),
        key("?", "help", "this help", "help", open_help),
        key("esc", "back", "stop what is loading, close, or go back", "", App::close).navigation(),
        key("ctrl-l", "redraw", "redraw", "", |_| vec![Effect::Redraw]),
        key("ctrl-z", "suspend", "suspend; fg returns", "", |_| vec![Effect::Suspend]),
        key("q ctrl-c", "quit", "quit", "quit", |_| vec![Effect::Quit]),
    ],
};
