//! The logs screen: output of services and pipelines in files and in the journal.

mod record;

use std::ops::ControlFlow;

use materia::humanize;
use ratatui::{
    layout::Rect,
    text::{Line, Span},
};

use self::record::LogRecord;
use super::{Change, Screen};
use crate::{
    app::{App, ScreenId},
    context::Context,
    keys::{KeyGroup, key},
    layout,
    list_cursor::ListCursor,
    message::{ClickTarget, Effect, LogEvent, LogRequest, LogSource, Message},
    overlays::{Overlay, Prompt, TextView},
    text::wrap,
    theme::StyleRole,
    views::Canvas,
};

/// Number of loaded lines before and after the visible ones.
const WINDOW_MARGIN: usize = 200;
/// Number of characters at the start of a line that are searched for its level.
const LEVEL_PREFIX: usize = 160;
/// Number of cells per step of sideways scrolling.
const SCROLL_COLUMNS: isize = 8;

const HELP: [&str; 6] = [
    "No log is configured. In materia.toml, relative to its folder:",
    "",
    "    [tui]",
    "    logs = [\"supervisor.log\", \"web.log\", \"unit:materia-web\"]",
    "",
    "or start with: materia tui --log FILE --log unit:NAME",
];

#[derive(Debug, Clone, Default)]
pub(crate) struct LogsScreen {
    pub(crate) logs: Vec<Log>,
    /// The index of the visible log.
    pub(crate) current: usize,
    /// Whether the screen has been visible, so that the logs are being read.
    started: bool,
    pub(crate) filter: LogFilter,
    /// Characters scrolled to the right.
    pub(crate) left: usize,
    /// Whether long lines are wrapped.
    pub(crate) wrap: bool,
}

/// The filter and the search.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LogFilter {
    /// The minimum level of the shown lines.
    pub(crate) min_level: Option<Level>,
    /// The text to find, ignoring case; empty for none.
    pub(crate) search: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Log {
    pub(crate) name: String,
    source: LogSource,
    /// Why there is nothing to show, or the latest event.
    pub(crate) note: String,
    /// Changes whenever positions of lines do.
    pub(crate) epoch: u64,
    /// Number of lines that match the filter.
    pub(crate) len: usize,
    /// The loaded lines, and the position of the first one.
    pub(crate) window: Vec<LogLine>,
    pub(crate) first: usize,
    /// The first line and the number of lines that are being loaded.
    pending: Option<(usize, usize)>,
    pub(crate) cursor: ListCursor,
    /// Whether the newest line stays selected.
    pub(crate) follow: bool,
    /// The position and the number of the current match.
    pub(crate) found: Option<(usize, usize)>,
    pub(crate) matches: usize,
    /// The percentage of the file that was scanned, while it is being scanned.
    progress: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogLine {
    pub(crate) level: Level,
    pub(crate) text: String,
    /// The fields of a line of JSON.
    record: Option<LogRecord>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    /// The line has no level.
    #[default]
    None,
}

static KEYS: KeyGroup = KeyGroup {
    id: "logs",
    title: "Logs",
    bindings: &[
        key("enter", "record", "show the whole line; JSON field by field", "record", |app| {
            app.logs.open_record(&mut app.context)
        }),
        key("f", "follow", "follow what is written, or stop following", "follow", |app| {
            app.logs.toggle_follow(&app.context)
        }),
        key("/", "search", "search the whole log", "search", |app| {
            let prompt = Prompt::new("search: ", &app.logs.filter.search, search);
            app.context.open_prompt(prompt)
        }),
        key("n", "next-match", "next match", "", |app| app.logs.find(true)),
        key("N", "previous-match", "previous match", "", |app| app.logs.find(false)),
        key("v", "level", "only warnings and errors, only errors, all", "level", |app| {
            let level = match app.logs.filter.min_level {
                None => Some(Level::Warn),
                Some(Level::Warn) => Some(Level::Error),
                Some(_) => None,
            };
            app.logs.set_filter(LogFilter { min_level: level, ..app.logs.filter.clone() })
        }),
        key("w", "wrap", "wrap long lines, or cut them", "wrap", |app| {
            app.logs.wrap = !app.logs.wrap;
            app.logs.left = 0;
            Vec::new()
        }),
        key("y", "copy", "copy the line", "", |app| app.logs.copy_line(&mut app.context)),
        key("tab", "next-log", "next log", "next log", |app| app.logs.show_next(&app.context)),
        key("h left", "scroll-left", "scroll left", "", |app| {
            app.logs.left = app.logs.left.saturating_add_signed(-SCROLL_COLUMNS);
            Vec::new()
        })
        .navigation(),
        key("l right", "scroll-right", "scroll right", "", |app| {
            app.logs.left = app.logs.left.saturating_add_signed(SCROLL_COLUMNS);
            Vec::new()
        })
        .navigation(),
        key("esc", "end-search", "end the search, or go back", "", |app| {
            if app.logs.filter.search.is_empty() {
                return app.go_back();
            }
            let min_level = app.logs.filter.min_level;
            app.logs.set_filter(LogFilter { min_level, search: String::new() })
        }),
    ],
};

/// Searches for a text, and selects its next match once the log has been scanned.
#[allow(clippy::unnecessary_wraps, reason = "prompts can fail")]
fn search(app: &mut App, text: &str) -> Result<Vec<Effect>, String> {
    let filter = LogFilter { search: text.to_owned(), ..app.logs.filter.clone() };
    let mut effects = app.logs.set_filter(filter);
    if !text.is_empty() {
        effects.extend(app.logs.find(true));
    }
    Ok(effects)
}

impl Screen for LogsScreen {
    fn home_keys(&self) -> &'static KeyGroup {
        &KEYS
    }

    fn draw(&self, canvas: &mut Canvas, area: Rect, _context: &Context) {
        let [names, body, below] = layout::list(area);
        let Some(log) = self.logs.get(self.current) else {
            let line = |text: &&str| Line::from(canvas.span(StyleRole::Dim, format!(" {text}")));
            let lines: Vec<_> = HELP.iter().map(line).collect();
            return canvas.lines(Rect { y: area.y + 1, ..area }, lines);
        };
        let tabs = self.logs.iter().enumerate().map(|(index, log)| {
            let role = if index == self.current { StyleRole::Strong } else { StyleRole::Dim };
            canvas.span(role, format!(" {} ", log.name))
        });
        let line = Line::from(tabs.collect::<Vec<_>>());
        canvas.line(names, line);
        if self.wrap {
            self.draw_wrapped(canvas, body, log);
        } else {
            let range = log.cursor.visible_range(log.len, usize::from(body.height));
            for (row, index) in body.rows().zip(range) {
                let line = self.format_line(canvas, log, index);
                canvas.line(row, line);
                if index == log.cursor.at && !log.follow {
                    canvas.select(row);
                }
                canvas.add_click_area(row, ClickTarget::Line(index));
            }
        }
        let spans = self.summary(canvas, log);
        canvas.line(below, Line::from(spans));
    }

    fn page_height(&self, context: &Context) -> usize {
        usize::from(layout::list(context.body())[1].height)
    }

    fn move_cursor(&mut self, by: isize, context: &mut Context) -> Vec<Effect> {
        let height = self.page_height(context);
        let Some(log) = self.logs.get_mut(self.current) else { return Vec::new() };
        if by != 0 {
            log.cursor.move_by(by, log.len, height);
            log.follow = log.cursor.at + 1 >= log.len;
        }
        log.load(self.current, height)
    }

    /// Starts reading the logs when the screen becomes visible for the first time.
    fn enter(&mut self, _context: &mut Context) -> Vec<Effect> {
        if self.started || self.logs.is_empty() {
            return Vec::new();
        }
        self.started = true;
        vec![Effect::Tail(self.logs.iter().map(|log| log.source.clone()).collect())]
    }

    fn click(&mut self, target: ClickTarget, context: &mut Context) -> Vec<Effect> {
        let height = self.page_height(context);
        match (target, self.logs.get_mut(self.current)) {
            (ClickTarget::Line(line), Some(log)) if log.cursor.at == line => {
                self.open_record(context)
            }
            (ClickTarget::Line(line), Some(log)) => {
                log.follow = false;
                log.cursor.move_to(line, log.len, height);
                log.load(self.current, height)
            }
            _ => Vec::new(),
        }
    }

    fn handle_message(
        &mut self,
        message: Message,
        context: &mut Context,
    ) -> ControlFlow<Vec<Effect>, Message> {
        let Message::Log(index, event) = message else { return ControlFlow::Continue(message) };
        let height = self.page_height(context);
        let Some(log) = self.logs.get_mut(index) else { return ControlFlow::Break(Vec::new()) };
        let found_nothing = matches!(event, LogEvent::Found { found: None, .. });
        log.receive(event, height);
        if found_nothing && log.progress.is_none() {
            context.show_toast(false, "no match");
        }
        let is_shown = context.screen == ScreenId::Logs && index == self.current;
        ControlFlow::Break(if is_shown { log.load(index, height) } else { Vec::new() })
    }

    fn handle_change(&mut self, change: &Change, context: &mut Context) -> Vec<Effect> {
        if !matches!(change, Change::Config { .. } | Change::PipelineRuns) {
            return Vec::new();
        }
        self.configure(context);
        if context.screen == ScreenId::Logs { self.enter(context) } else { Vec::new() }
    }
}

impl LogsScreen {
    /// Takes the configured logs and those of the pipelines' newest runs.
    fn configure(&mut self, context: &Context) {
        let Some(config) = &context.reader.config else { return };
        let configured = config.logs.iter().map(|name| (name.clone(), LogSource::parse(name)));
        let pipelines = context
            .pipeline_runs
            .iter()
            .filter_map(|run| Some((run.pipeline.clone(), LogSource::File(run.log.clone()?))));
        let sources: Vec<(String, LogSource)> = configured.chain(pipelines).collect();
        let is_same = |(log, (name, source)): (&Log, &(String, LogSource))| {
            log.name == *name && log.source == *source
        };
        if self.logs.len() == sources.len() && self.logs.iter().zip(&sources).all(is_same) {
            return;
        }
        let shown = self.logs.get(self.current).map(|log| log.name.clone());
        self.logs = sources.into_iter().map(|(name, source)| Log::new(name, source)).collect();
        self.current =
            self.logs.iter().position(|log| Some(&log.name) == shown.as_ref()).unwrap_or_default();
        self.filter = LogFilter::default();
        self.started = false;
    }

    fn toggle_follow(&mut self, context: &Context) -> Vec<Effect> {
        let height = self.page_height(context);
        let Some(log) = self.logs.get_mut(self.current) else { return Vec::new() };
        log.follow = !log.follow;
        log.load(self.current, height)
    }

    fn show_next(&mut self, context: &Context) -> Vec<Effect> {
        self.current = (self.current + 1) % self.logs.len().max(1);
        let height = self.page_height(context);
        let Some(log) = self.logs.get_mut(self.current) else { return Vec::new() };
        log.load(self.current, height)
    }

    /// Sets the filter of every log.
    fn set_filter(&mut self, filter: LogFilter) -> Vec<Effect> {
        if self.filter == filter {
            return Vec::new();
        }
        let request = |(index, log): (usize, &mut Log)| {
            log.found = None;
            Effect::Log(index, LogRequest::Filter(filter.clone()))
        };
        let effects = self.logs.iter_mut().enumerate().map(request).collect();
        self.filter = filter;
        effects
    }

    /// Requests the next match, or the previous one.
    fn find(&mut self, forward: bool) -> Vec<Effect> {
        let Some(log) = self.logs.get(self.current) else { return Vec::new() };
        if self.filter.search.is_empty() {
            return Vec::new();
        }
        let from = log.found.map_or(log.cursor.top, |(at, _)| at);
        vec![Effect::Log(self.current, LogRequest::Find { from, forward })]
    }

    fn selected(&self) -> Option<&LogLine> {
        let log = self.logs.get(self.current)?;
        log.line(log.cursor.at)
    }

    fn copy_line(&self, context: &mut Context) -> Vec<Effect> {
        let Some(line) = self.selected() else { return Vec::new() };
        context.show_toast(true, "copied the line");
        vec![Effect::Copy(line.text.clone())]
    }

    fn open_record(&mut self, context: &mut Context) -> Vec<Effect> {
        let Some(line) = self.selected() else { return Vec::new() };
        let text = LogRecord::pretty(&line.text).unwrap_or_else(|| line.text.clone());
        let copy = line.text.clone();
        context.overlay = Some(Overlay::Text(Box::new(TextView::new("Record", text, copy))));
        Vec::new()
    }

    fn summary(&self, canvas: &Canvas, log: &Log) -> Vec<Span<'static>> {
        let (role, text) = if log.follow {
            (StyleRole::Good, " following".to_owned())
        } else {
            let at = humanize::count(log.cursor.at as u64 + 1);
            (StyleRole::Warn, format!(" line {at}"))
        };
        let lines = format!("  {}", humanize::plural(log.len, "line"));
        let mut spans = vec![canvas.span(role, text), canvas.span(StyleRole::Dim, lines)];
        if let Some(level) = self.filter.min_level {
            spans.push(canvas.span(StyleRole::Accent, format!("  {} and above", level.name())));
        }
        if !self.filter.search.is_empty() {
            let matches = humanize::count(log.matches as u64);
            let place = match log.found {
                Some((_, number)) => {
                    format!("match {} of {matches}", humanize::count(number as u64))
                }
                None if log.matches == 1 => "1 match".to_owned(),
                None => format!("{matches} matches"),
            };
            let text = format!("  /{}  {place}", self.filter.search);
            spans.push(canvas.span(StyleRole::Accent, text));
        }
        if let Some(percent) = log.progress {
            spans.push(canvas.span(StyleRole::Dim, format!("  reading {percent}%")));
        }
        if !log.note.is_empty() {
            spans.push(canvas.span(StyleRole::Warn, format!("  {}", log.note)));
        }
        spans
    }

    /// Formats a line in the color of its level, with matches of the search marked.
    fn format_line(&self, canvas: &Canvas, log: &Log, index: usize) -> Line<'static> {
        let Some(line) = log.line(index) else {
            return Line::from(canvas.span(StyleRole::Dim, format!(" {}", canvas.theme.more())));
        };
        let is_found = log.found.is_some_and(|(at, _)| at == index);
        let (mark_role, mark) =
            if is_found { (StyleRole::Found, ">") } else { (StyleRole::Text, " ") };
        let mut spans = vec![canvas.span(mark_role, mark)];
        let text: String = line.display_text().chars().skip(self.left).collect();
        spans.extend(self.mark_matches(canvas, line.level.role(), &text));
        Line::from(spans)
    }

    fn mark_matches(&self, canvas: &Canvas, role: StyleRole, text: &str) -> Vec<Span<'static>> {
        let wanted = self.filter.search.to_lowercase();
        let lower = text.to_lowercase();
        // Offsets differ if the lower-case text has another length.
        if wanted.is_empty() || lower.len() != text.len() {
            return vec![canvas.span(role, text)];
        }
        let mut spans = Vec::new();
        let mut from = 0;
        for (at, part) in lower.match_indices(&wanted) {
            let (Some(before), Some(hit)) = (text.get(from..at), text.get(at..at + part.len()))
            else {
                continue;
            };
            spans.push(canvas.span(role, before));
            spans.push(canvas.span(StyleRole::Found, hit));
            from = at + part.len();
        }
        spans.push(canvas.span(role, text.get(from..).unwrap_or_default()));
        spans
    }

    /// Draws wrapped lines, starting at one that keeps the selected line visible.
    fn draw_wrapped(&self, canvas: &mut Canvas, area: Rect, log: &Log) {
        let columns = usize::from(area.width).saturating_sub(1);
        let height = usize::from(area.height);
        let rows_of = |index: usize| {
            log.line(index).map_or_else(Vec::new, |line| wrap(&line.display_text(), columns))
        };
        // Goes upwards from the selected line, as far as lines fit.
        let (mut first, mut used) = (log.cursor.at, rows_of(log.cursor.at).len());
        while first > log.cursor.top {
            used += rows_of(first - 1).len();
            if used > height {
                break;
            }
            first -= 1;
        }
        let mut y = area.y;
        for index in first..log.len {
            let Some(line) = log.line(index) else { break };
            for (part, text) in rows_of(index).into_iter().enumerate() {
                if y >= area.bottom() {
                    return;
                }
                let row = Rect { y, height: 1, ..area };
                let is_found = part == 0 && log.found.is_some_and(|(at, _)| at == index);
                let mut spans = vec![canvas.span(
                    if is_found { StyleRole::Found } else { StyleRole::Text },
                    if is_found { ">" } else { " " },
                )];
                spans.extend(self.mark_matches(canvas, line.level.role(), &text));
                canvas.line(row, Line::from(spans));
                if index == log.cursor.at && !log.follow {
                    canvas.select(row);
                }
                canvas.add_click_area(row, ClickTarget::Line(index));
                y += 1;
            }
        }
    }
}

impl Log {
    fn new(name: String, source: LogSource) -> Self {
        Self {
            name,
            source,
            note: "reading".to_owned(),
            epoch: 0,
            len: 0,
            window: Vec::new(),
            first: 0,
            pending: None,
            cursor: ListCursor::default(),
            follow: true,
            found: None,
            matches: 0,
            progress: None,
        }
    }

    fn line(&self, index: usize) -> Option<&LogLine> {
        self.window.get(index.checked_sub(self.first)?)
    }

    /// Selects the newest line if following is on, and requests missing visible lines.
    fn load(&mut self, index: usize, height: usize) -> Vec<Effect> {
        let at = if self.follow { self.len.saturating_sub(1) } else { self.cursor.at };
        self.cursor.move_to(at, self.len, height);
        let view = self.cursor.visible_range(self.len, height);
        let covers = |first: usize, count: usize| view.start >= first && view.end <= first + count;
        let is_pending = self.pending.is_some_and(|(first, count)| covers(first, count));
        if view.is_empty() || covers(self.first, self.window.len()) || is_pending {
            return Vec::new();
        }
        let first = view.start.saturating_sub(WINDOW_MARGIN);
        let count = view.end - first + WINDOW_MARGIN;
        self.pending = Some((first, count));
        vec![Effect::Log(index, LogRequest::Window { first, count })]
    }

    fn receive(&mut self, event: LogEvent, height: usize) {
        match event {
            LogEvent::Note(note) => self.note = note,
            LogEvent::State { epoch, lines, matches, progress } => {
                self.note.clear();
                if epoch != self.epoch {
                    self.window.clear();
                    self.first = 0;
                    self.pending = None;
                    self.found = None;
                    self.epoch = epoch;
                }
                (self.len, self.matches, self.progress) = (lines, matches, progress);
            }
            LogEvent::Preview(lines) => {
                self.window = lines.into_iter().map(LogLine::new).collect();
                self.first = self.len.saturating_sub(self.window.len());
            }
            LogEvent::Window { epoch, first, lines } if epoch == self.epoch => {
                self.pending = None;
                self.first = first;
                self.window = lines.into_iter().map(LogLine::new).collect();
            }
            LogEvent::Found { epoch, found: Some((at, number)) } if epoch == self.epoch => {
                self.found = Some((at, number));
                self.follow = false;
                self.cursor.move_to(at, self.len, height);
                // With lines before and after it.
                self.cursor.top = at.saturating_sub(height / 2);
            }
            LogEvent::Window { .. } | LogEvent::Found { .. } => {}
        }
    }
}

impl LogLine {
    fn new(text: String) -> Self {
        let record = LogRecord::parse(&text);
        let level = record.as_ref().map_or_else(|| Level::parse(&text), LogRecord::level);
        Self { level, text, record }
    }

    /// Returns the columns of a line of JSON, or else the line itself.
    fn display_text(&self) -> String {
        self.record.as_ref().map_or_else(|| self.text.clone(), ToString::to_string)
    }
}

impl Level {
    /// Parses the level from the start of the line: `ERROR`, `"level":"warn"`, `level=info`,
    /// `[debug]`.
    ///
    /// A line that starts with spaces continues the line before it.
    pub(crate) fn parse(text: &str) -> Self {
        if text.starts_with([' ', '\t']) {
            return Self::None;
        }
        let start: String = text.chars().take(LEVEL_PREFIX).collect::<String>().to_lowercase();
        let words = start.split(|char: char| !char.is_alphanumeric());
        words.map(Self::from_word).find(|level| *level != Self::None).unwrap_or_default()
    }

    fn from_word(word: &str) -> Self {
        match word {
            "error" | "err" | "fatal" | "panic" | "critical" | "crit" | "emerg" | "alert"
            | "panicked" => Self::Error,
            "warn" | "warning" => Self::Warn,
            "info" | "notice" => Self::Info,
            "debug" | "trace" => Self::Debug,
            _ => Self::None,
        }
    }

    /// Returns a number that is larger for a more important level.
    pub(crate) fn rank(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Debug => 1,
            Self::Info => 2,
            Self::Warn => 3,
            Self::Error => 4,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::None => "",
        }
    }

    fn role(self) -> StyleRole {
        match self {
            Self::Error => StyleRole::Bad,
            Self::Warn => StyleRole::Warn,
            Self::Debug => StyleRole::Dim,
            Self::Info | Self::None => StyleRole::Text,
        }
    }
}
