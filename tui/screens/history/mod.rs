//! The history screen: all attempts, and the opened one or the two that are compared.

mod draw;

use std::ops::ControlFlow;

use materia::{
    sql,
    status::Status,
    store::{
        AttemptOutcome, AttemptRecord, Audit, GenerationId, Manifest, TableManifest, TableRecord,
    },
};
use ratatui::layout::Rect;

pub(crate) use self::draw::{duration_sparkline, failure_reason, lost_lines_text, outcome_role};
use super::{Change, Link, Screen, tables::RowChange};
use crate::{
    app::{App, ScreenId},
    commands,
    context::Context,
    keys::{KeyGroup, key},
    layout,
    list_cursor::ListCursor,
    message::{ClickTarget, Comparison, Effect, Message},
    overlays::{
        Overlay,
        palette::{Palette, PaletteAction, PaletteEntry},
    },
    views::Canvas,
};

#[derive(Debug, Clone, Default)]
pub(crate) struct HistoryScreen {
    pub(crate) cursor: ListCursor,
    pub(crate) filter: OutcomeFilter,
    pub(crate) marked: Option<GenerationId>,
    pub(crate) open: Option<OpenAttempt>,
    /// The first visible line of the opened attempt.
    pub(crate) scroll: usize,
    pub(crate) values: Option<ValueComparison>,
}

/// A comparison by values.
#[derive(Debug, Clone)]
pub(crate) struct ValueComparison {
    request_id: u64,
    /// The differences, or why they are unknown; `None` while the generations are being read.
    pub(crate) result: Option<Result<String, String>>,
}

/// The filter of listed attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum OutcomeFilter {
    #[default]
    All,
    /// Refused, failed, interrupted or held.
    Unsuccessful,
    /// Published or rolled back: changed the served generation.
    Published,
}

impl OutcomeFilter {
    fn next(self) -> Self {
        match self {
            Self::All => Self::Unsuccessful,
            Self::Unsuccessful => Self::Published,
            Self::Published => Self::All,
        }
    }

    fn accepts(self, attempt: &AttemptRecord) -> bool {
        match self {
            Self::All => true,
            Self::Unsuccessful => !attempt.outcome.is_success(),
            Self::Published => {
                attempt.outcome.has_published() || attempt.outcome == AttemptOutcome::RolledBack
            }
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::All => "",
            Self::Unsuccessful => "   only unsuccessful ones",
            Self::Published => "   only published and rolled back ones",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OpenAttempt {
    One(GenerationId),
    /// Two attempts, the older one first.
    Compared(GenerationId, GenerationId),
}

static LIST_KEYS: KeyGroup = KeyGroup {
    id: "history",
    title: "History",
    bindings: &[
        key("enter l right", "open", "open the attempt", "open", |app| {
            app.history.open_selected(&app.context)
        }),
        key("space", "mark", "mark the attempt for a comparison", "mark", |app| {
            app.history.toggle_mark(&app.context)
        }),
        key("c", "compare", "compare with the marked one, or the one before", "compare", compare),
        key("R", "rollback", "serve this generation again", "roll back", commands::roll_back),
        key(
            "P",
            "pin",
            "keep this generation, or let it be pruned again",
            "pin",
            commands::toggle_pin,
        ),
        key("o", "filter", "only unsuccessful ones, only published ones, all", "filter", |app| {
            app.history.filter_next()
        }),
        key("y", "copy", "copy the attempt's id", "", |app| app.history.copy_id(&mut app.context)),
    ],
};

static ATTEMPT_KEYS: KeyGroup = KeyGroup {
    id: "attempt",
    title: "One attempt",
    bindings: &[
        key(
            "f",
            "failing-rows",
            "query the refused file for the rows that failed",
            "rows",
            |app| app.history.choose_failing_rows(&mut app.context),
        ),
        key("v", "values", "compare both generations by values", "values", |app| {
            app.history.compare_values(&mut app.context)
        }),
        key("esc h left backspace", "back", "back to the list", "back", App::close).navigation(),
        key("R", "rollback", "serve this generation again", "roll back", commands::roll_back),
        key(
            "P",
            "pin",
            "keep this generation, or let it be pruned again",
            "pin",
            commands::toggle_pin,
        ),
    ],
};

impl HistoryScreen {
    /// Returns the attempts that match the filter, newest first.
    fn shown<'a>(&self, status: &'a Status) -> Vec<&'a AttemptRecord> {
        status.history.iter().rev().filter(|attempt| self.filter.accepts(attempt)).collect()
    }

    fn len(&self, context: &Context) -> usize {
        context.status().map_or(0, |status| self.shown(status).len())
    }

    fn filter_next(&mut self) -> Vec<Effect> {
        self.filter = self.filter.next();
        self.cursor = ListCursor::default();
        Vec::new()
    }

    /// Returns the attempt under the cursor; the newest is the first line.
    fn current<'a>(&self, status: &'a Status) -> Option<&'a AttemptRecord> {
        self.shown(status).get(self.cursor.at).copied()
    }

    /// Returns the attempt to which rollback, pin and copy apply.
    pub(crate) fn selected_attempt<'a>(&self, status: &'a Status) -> Option<&'a AttemptRecord> {
        match &self.open {
            Some(OpenAttempt::One(id) | OpenAttempt::Compared(_, id)) => find_attempt(status, id),
            None => self.current(status),
        }
    }

    fn open(&mut self, attempt: OpenAttempt) {
        self.open = Some(attempt);
        self.scroll = 0;
        self.values = None;
    }

    /// Compares the values of the two attempts, or of the opened one and the one before it.
    fn compare_values(&mut self, context: &mut Context) -> Vec<Effect> {
        let compared = self.retained_generations(context).zip(context.reader.config.clone());
        let Some(((before, now), config)) = compared else {
            let text =
                "values can be compared where both generations are kept; c in the list chooses two";
            context.show_toast(false, text);
            return Vec::new();
        };
        let request_id = context.next_request_id();
        self.values = Some(ValueComparison { request_id, result: None });
        vec![Effect::Compare(Comparison { request_id, config, before, now })]
    }

    /// Opens the list of the failed audits, whose queries run on the refused file.
    fn choose_failing_rows(&self, context: &mut Context) -> Vec<Effect> {
        let Some(status) = context.status() else { return Vec::new() };
        let is_refused = |record: &&AttemptRecord| record.outcome == AttemptOutcome::Refused;
        let newest = status.history.iter().rev().find(is_refused);
        let selected = self.selected_attempt(status);
        let Some(record) = newest.filter(|newest| Some(*newest) == selected) else {
            context.show_toast(false, "only the file of the last refused export can be kept");
            return Vec::new();
        };
        let audits = context.reader.config.as_ref().map(|config| &config.settings.export.audits);
        let query = |audit: &Audit| {
            let own = audits?.iter().find(|known| known.name == audit.name);
            let of_table = || Some(format!("SELECT * FROM {}", sql::ident(audit.table.as_ref()?)));
            own.map(|known| known.sql.clone()).or_else(of_table)
        };
        let entry = |audit: &Audit| {
            Some(PaletteEntry {
                text: format!("{}: {}", audit.name, audit.found),
                key: audit.table.clone().unwrap_or_default(),
                action: PaletteAction::Follow(Link::RefusedQuery(query(audit)?)),
            })
        };
        let mut entries: Vec<_> = record.audits_failed.iter().filter_map(entry).collect();
        entries.push(PaletteEntry {
            text: "a query of the refused file".to_owned(),
            key: String::new(),
            action: PaletteAction::Follow(Link::RefusedQuery(String::new())),
        });
        context.overlay =
            Some(Overlay::Palette(Box::new(Palette::new("Rows of the refused file", entries))));
        Vec::new()
    }

    fn retained_generations(&self, context: &Context) -> Option<(GenerationId, GenerationId)> {
        let status = context.status()?;
        let (before, now) = match self.open.as_ref()? {
            OpenAttempt::Compared(before, now) => (before, now),
            OpenAttempt::One(now) => (find_attempt(status, now)?.previous.as_ref()?, now),
        };
        let generation = |id: &GenerationId| find_attempt(status, id)?.generation.clone();
        let (before, now) = (generation(before)?, generation(now)?);
        let is_kept = |id: &GenerationId| status.generations.iter().any(|kept| kept.id == *id);
        (before != now && is_kept(&before) && is_kept(&now)).then_some((before, now))
    }

    fn open_selected(&mut self, context: &Context) -> Vec<Effect> {
        let current = context.status().and_then(|status| self.current(status));
        if let Some(id) = current.map(|attempt| attempt.id.clone()) {
            self.open(OpenAttempt::One(id));
        }
        Vec::new()
    }

    fn toggle_mark(&mut self, context: &Context) -> Vec<Effect> {
        let current = context.status().and_then(|status| self.current(status));
        let id = current.map(|attempt| attempt.id.clone());
        self.marked = if self.marked == id { None } else { id };
        Vec::new()
    }

    fn copy_id(&self, context: &mut Context) -> Vec<Effect> {
        let id = context
            .status()
            .and_then(|status| self.selected_attempt(status))
            .map(|attempt| attempt.id.to_string());
        let Some(id) = id else { return Vec::new() };
        context.show_toast(true, format!("copied {id}"));
        vec![Effect::Copy(id)]
    }
}

impl Screen for HistoryScreen {
    fn home_keys(&self) -> &'static KeyGroup {
        &LIST_KEYS
    }

    fn key_groups(&self) -> Vec<&'static KeyGroup> {
        vec![&LIST_KEYS, &ATTEMPT_KEYS]
    }

    fn keys(&self) -> &'static KeyGroup {
        if self.open.is_some() { &ATTEMPT_KEYS } else { &LIST_KEYS }
    }

    fn draw(&self, canvas: &mut Canvas, area: Rect, context: &Context) {
        draw::draw(self, canvas, area, context);
    }

    fn page_height(&self, context: &Context) -> usize {
        usize::from(layout::list(context.body())[1].height)
    }

    fn move_cursor(&mut self, by: isize, context: &mut Context) -> Vec<Effect> {
        if self.open.is_some() {
            self.scroll = self.scroll.saturating_add_signed(by);
        } else {
            let len = self.len(context);
            let height = self.page_height(context).max(1);
            self.cursor.move_by(by, len, height);
        }
        Vec::new()
    }

    fn clamp_scroll(&mut self, first_line: usize) {
        self.scroll = first_line;
    }

    fn close(&mut self, _context: &mut Context) -> Option<Vec<Effect>> {
        self.open.take()?;
        let is_running = self.values.take().is_some_and(|values| values.result.is_none());
        Some(if is_running { vec![Effect::CancelComparison] } else { Vec::new() })
    }

    fn reset(&mut self) {
        self.open = None;
    }

    fn is_waiting(&self) -> bool {
        self.values.as_ref().is_some_and(|values| values.result.is_none())
    }

    fn handle_message(
        &mut self,
        message: Message,
        _context: &mut Context,
    ) -> ControlFlow<Vec<Effect>, Message> {
        let Message::Compared(request_id, result) = message else {
            return ControlFlow::Continue(message);
        };
        if let Some(values) = self.values.as_mut().filter(|known| known.request_id == request_id) {
            values.result = Some(result);
        }
        ControlFlow::Break(Vec::new())
    }

    fn click(&mut self, target: ClickTarget, context: &mut Context) -> Vec<Effect> {
        let ClickTarget::Line(line) = target else { return Vec::new() };
        if self.cursor.at == line {
            return self.open_selected(context);
        }
        let len = self.len(context);
        let height = self.page_height(context).max(1);
        self.cursor.move_to(line, len, height);
        Vec::new()
    }

    fn follow_link(&mut self, link: &Link, context: &mut Context) -> Option<Vec<Effect>> {
        let Link::Attempt(id) = link else { return None };
        context.go_to(ScreenId::History);
        self.cursor = ListCursor::default();
        self.open(OpenAttempt::One(id.clone()));
        Some(Vec::new())
    }

    fn handle_change(&mut self, change: &Change, context: &mut Context) -> Vec<Effect> {
        match change {
            Change::StatusSource => *self = Self::default(),
            // The selected attempt stays under the cursor when newer ones are added above it,
            // except at the top.
            Change::Status { previous: Some(previous) } if self.cursor.at > 0 => {
                let before = self.shown(&previous.status).len();
                self.cursor.at += self.len(context).saturating_sub(before);
            }
            _ => {}
        }
        Vec::new()
    }
}

/// Opens the comparison of the selected attempt with the marked one, or with the one before.
fn compare(app: &mut App) -> Vec<Effect> {
    let Some(facts) = app.context.status_view.facts.clone() else { return Vec::new() };
    let status = &facts.status;
    let Some(current) = app.history.current(status) else { return Vec::new() };
    let other = match &app.history.marked {
        Some(id) => Some(id.clone()),
        None => current.previous.clone().or_else(|| previous_serving(&status.history, &current.id)),
    };
    match other.filter(|other| *other != current.id) {
        Some(other) => {
            let current = current.id.clone();
            let (older, newer) = if other < current { (other, current) } else { (current, other) };
            app.history.open(OpenAttempt::Compared(older, newer));
        }
        None => app.context.show_toast(false, "mark another attempt with space first"),
    }
    Vec::new()
}

/// Returns the newest attempt before `id` that served a generation.
fn previous_serving(history: &[AttemptRecord], id: &GenerationId) -> Option<GenerationId> {
    history
        .iter()
        .rev()
        .find(|record| record.id < *id && record.generation.is_some())
        .map(|record| record.id.clone())
}

/// Compares a table of an attempt with the same table of the previous generation: by content if the
/// manifests have digests of it, otherwise by rows.
pub(crate) fn table_change(
    status: &Status,
    attempt: &AttemptRecord,
    table: &TableRecord,
) -> RowChange {
    let is_compared = attempt.outcome != AttemptOutcome::RolledBack
        && attempt.tables.iter().any(|table| table.previous_rows.is_some());
    let Some(before) = table.previous_rows.filter(|_| is_compared) else {
        return if is_compared { RowChange::New } else { RowChange::Unknown };
    };
    match table.rows.cast_signed() - before.cast_signed() {
        0 if table.reused => RowChange::Rows(0),
        0 => {
            let manifest = |id: &GenerationId| find_manifest(status, id);
            let sides = [&attempt.generation, &attempt.previous];
            let [after, before] = sides.map(|id| id.as_ref().and_then(manifest));
            let find = |manifest: Option<&'_ Manifest>| {
                manifest.and_then(|manifest| {
                    manifest.tables.iter().find(|known| known.name == table.name).cloned()
                })
            };
            content_change(find(before).as_ref(), find(after).as_ref())
        }
        rows => RowChange::Rows(rows),
    }
}

/// Compares two tables with the same number of rows.
fn content_change(before: Option<&TableManifest>, after: Option<&TableManifest>) -> RowChange {
    let (Some(before), Some(after)) = (before, after) else { return RowChange::SameRows };
    let columns = |table: &TableManifest| -> Vec<_> {
        table.columns.iter().map(|column| (column.name.clone(), column.data_type.clone())).collect()
    };
    match (&before.content, &after.content) {
        _ if columns(before) != columns(after) => RowChange::Values,
        (Some(before), Some(after)) if before == after => RowChange::Rows(0),
        (Some(_), Some(_)) => RowChange::Values,
        _ => RowChange::SameRows,
    }
}

fn find_manifest<'a>(status: &'a Status, id: &GenerationId) -> Option<&'a Manifest> {
    status.generations.iter().find(|generation| generation.id == *id)?.manifest.as_ref()
}

fn find_attempt<'a>(status: &'a Status, id: &GenerationId) -> Option<&'a AttemptRecord> {
    status.history.iter().rev().find(|record| record.id == *id)
}

/// Returns the newest attempt that published or served `generation`.
pub(crate) fn attempt_of_generation<'a>(
    status: &'a Status,
    generation: &GenerationId,
) -> Option<&'a AttemptRecord> {
    let served = |record: &&AttemptRecord| record.generation.as_ref() == Some(generation);
    // The export's record has more details than that of a later rollback to it.
    find_attempt(status, generation)
        .filter(served)
        .or_else(|| status.history.iter().rev().find(served))
}
