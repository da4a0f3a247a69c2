//! What arrives from the workers.

use std::sync::Arc;

use materia::{
    reader::{self, Catalog},
    status::Status,
};

use super::{dashboards, moves, rows, screens};
use crate::tui::{
    message::{Answer, Effect, JobEvent, Lane, LogEvent, Message, Question, SaveEvent, Setup},
    state::{Confirm, Overlay, Screen, State, history::of_generation},
};

/// Lines of a command's words that are kept.
const SAID: usize = 50;

pub(super) fn arrive(state: &mut State, message: Message) -> Vec<Effect> {
    match message {
        Message::Settings(Ok(setup)) => settings(state, &setup),
        Message::Settings(Err(problem)) => {
            state.served.bad_settings = Some(problem);
            Vec::new()
        }
        Message::Served(now) => served(state, *now),
        Message::Site(address, health) => {
            // Another address may have been set since.
            if state.served.setup.as_ref().is_some_and(|setup| setup.metrics == Some(address)) {
                state.overview.site = Some(health);
            }
            Vec::new()
        }
        Message::Status(status) => {
            took_status(state, status);
            Vec::new()
        }
        Message::Answer { lane, request, answer } => answered(state, lane, request, answer),
        Message::Dashboards => dashboards::refresh(state),
        Message::Job(event) => {
            job(state, event);
            Vec::new()
        }
        Message::Save(event) => {
            saved(state, event);
            Vec::new()
        }
        Message::Log(index, event) => {
            log(state, index, event);
            Vec::new()
        }
        Message::Asked(queries) => {
            // What has been asked meanwhile is later.
            let since = std::mem::replace(&mut state.sql.asked, queries);
            state.sql.asked.extend(since);
            Vec::new()
        }
        _ => Vec::new(),
    }
}

fn settings(state: &mut State, setup: &Arc<Setup>) -> Vec<Effect> {
    let other_place = state.served.setup.as_ref().is_some_and(|before| !before.serves_the_same(setup));
    if other_place {
        // Nothing of the former place may be taken for this one's.
        state.served = super::super::state::Served::default();
        state.overview = super::super::state::Overview::default();
        state.tables = super::super::state::tables::TablesScreen::default();
        state.history = super::super::state::history::HistoryScreen::default();
        state.sql.grid = None;
        state.dashboards = super::super::state::dashboards::DashboardsScreen::default();
    }
    if state.served.setup.as_ref().is_some_and(|before| before.metrics != setup.metrics) {
        state.overview.site = None;
    }
    let other_dashboards = state.served.setup.as_ref().is_some_and(|before| before.dashboards != setup.dashboards);
    state.served.bad_settings = None;
    state.served.setup = Some(setup.clone());
    state.logs.configure(&setup.logs);
    let mut effects = if state.screen == Screen::Logs { screens::start_logs(state) } else { Vec::new() };
    if other_dashboards {
        effects.extend(dashboards::refresh(state));
    }
    effects
}

/// The reader follows another generation, or cannot.
fn served(state: &mut State, now: reader::State) -> Vec<Effect> {
    state.served.problem = now.problem.map(|problem| problem.reason);
    let sequence = now.generation.map_or(0, |generation| generation.sequence);
    if sequence == 0 || sequence == state.served.sequence {
        return Vec::new();
    }
    state.served.sequence = sequence;
    let request = state.request();
    let mut effects = vec![Effect::Ask { lane: Lane::Catalog, request, question: Question::Catalog }];
    effects.extend(dashboards::refresh(state));
    effects
}

fn took_status(state: &mut State, status: Result<Arc<Status>, String>) {
    match status {
        Ok(status) => {
            let before = state.overview.status.as_ref().and_then(|status| status.lakehouse_held_by.as_ref()).and_then(|holder| holder.pid);
            let now = status.lakehouse_held_by.as_ref();
            state.overview.held_since = match (now, state.overview.held_since) {
                (None, _) => None,
                (Some(holder), Some(since)) if holder.pid == before => Some(since),
                (Some(_), _) => Some(state.now),
            };
            let began = |running| state.now.checked_sub(jiff::SignedDuration::try_from(running).ok()?).ok();
            state.overview.holder_began = now.and_then(|holder| began(holder.running?));
            let longer = state.overview.status.as_ref().map_or(0, |before| status.history.len().saturating_sub(before.history.len()));
            // The attempt one is on stays under the cursor when newer ones come in above it, except at the top.
            if state.overview.status.is_some() && state.history.cursor.at > 0 {
                state.history.cursor.at += longer;
            }
            // Only these are laid over the catalog, and how far an export is changes many times in a second.
            let known = state.overview.status.as_ref().map(|before| (before.generation.clone(), before.history.len()));
            let news = known != Some((status.generation.clone(), status.history.len()));
            state.overview.problem = None;
            state.overview.status = Some(status);
            if let Some(catalog) = state.served.catalog.clone().filter(|_| news) {
                retake(state, &catalog);
            }
        }
        Err(problem) => state.overview.problem = Some(problem),
    }
    moves::step(state, 0);
}

/// Lays what the history knows over what the catalog knows.
fn retake(state: &mut State, catalog: &Catalog) {
    let bytes: std::collections::HashMap<_, _> = state.tables.rows.iter().filter_map(|row| Some((row.name.clone(), row.bytes?))).collect();
    let status = state.overview.status.clone();
    let record = status.as_ref().and_then(|status| of_generation(status, status.generation.as_ref()?));
    state.tables.take(catalog, record);
    for row in &mut state.tables.rows {
        row.bytes = bytes.get(&row.name).copied();
    }
}

fn answered(state: &mut State, lane: Lane, request: u64, answer: Result<Answer, String>) -> Vec<Effect> {
    match (lane, answer) {
        (Lane::Catalog, Ok(Answer::Catalog(catalog))) => {
            state.served.catalog = Some(catalog.clone());
            // Sizes are another generation's now.
            state.tables.rows.iter_mut().for_each(|row| row.bytes = None);
            state.tables.measuring = None;
            retake(state, &catalog);
            let mut effects = screens::refresh_open(state);
            if state.screen == Screen::Tables {
                effects.extend(moves::step(state, 0));
            }
            effects
        }
        (Lane::Catalog, Err(problem)) => {
            state.served.problem = Some(problem);
            Vec::new()
        }
        (Lane::Bytes, answer) if state.tables.measuring == Some(request) => measured(state, answer),
        (Lane::Rows | Lane::Sql, answer) => {
            let page = answer.and_then(|answer| match answer {
                Answer::Page(page) => Ok(page),
                _ => Err("another answer than was asked for".to_owned()),
            });
            took_page(state, lane, request, page)
        }
        (Lane::Dashboard, answer) => {
            dashboards::answered(state, request, answer);
            Vec::new()
        }
        (Lane::Profile, answer) => {
            profiled(state, request, answer);
            Vec::new()
        }
        _ => Vec::new(),
    }
}

fn measured(state: &mut State, answer: Result<Answer, String>) -> Vec<Effect> {
    let Ok(Answer::Bytes { tables, last }) = answer else {
        state.tables.measuring = None;
        return Vec::new();
    };
    let sizes: std::collections::HashMap<_, _> = tables.into_iter().collect();
    for row in &mut state.tables.rows {
        row.bytes = sizes.get(&row.name).copied().or(row.bytes);
    }
    if state.tables.sort == super::super::state::tables::TableSort::Bytes {
        state.tables.arrange();
    }
    if !last {
        return Vec::new();
    }
    state.tables.measuring = None;
    if state.screen == Screen::Tables { screens::measure(state) } else { Vec::new() }
}

fn took_page(state: &mut State, lane: Lane, request: u64, page: Result<crate::tui::state::grid::Page, String>) -> Vec<Effect> {
    let worked = page.is_ok();
    let grid = match lane {
        Lane::Rows => state.tables.open.as_mut().map(|open| &mut open.grid),
        _ => state.sql.grid.as_deref_mut(),
    };
    let Some(grid) = grid else { return Vec::new() };
    if !grid.answered(request, page) || !worked {
        return Vec::new();
    }
    let on_screen = matches!((state.screen, lane), (Screen::Tables, Lane::Rows) | (Screen::Sql, Lane::Sql));
    if on_screen { rows::step(state, 0) } else { Vec::new() }
}

fn profiled(state: &mut State, request: u64, answer: Result<Answer, String>) {
    let Some(open) = state.tables.open.as_mut().filter(|open| open.profiling == Some(request)) else { return };
    match answer {
        Ok(Answer::Profile { index, profile, last }) => {
            if let Some(column) = open.columns.get_mut(index) {
                column.profile = Some(*profile);
            }
            if last {
                open.profiling = None;
            }
        }
        Ok(_) => {}
        Err(problem) => {
            open.profiling = None;
            for column in open.columns.iter_mut().filter(|column| column.profile.is_none()) {
                column.profile = Some(Err(problem.clone()));
            }
        }
    }
}

fn job(state: &mut State, event: JobEvent) {
    let Some(job) = &mut state.job else { return };
    match event {
        JobEvent::Doing(what) => job.doing = what,
        JobEvent::Said(line) => {
            job.said.push(line);
            let over = job.said.len().saturating_sub(SAID);
            job.said.drain(..over);
        }
        JobEvent::Ended { good, message } => {
            job.ended = Some((good, message.clone()));
            state.say(good, message.lines().next().unwrap_or_default().to_owned());
        }
    }
}

fn saved(state: &mut State, event: SaveEvent) {
    match event {
        SaveEvent::Progress { rows } => state.saving = Some(rows),
        SaveEvent::Exists(job) => {
            state.saving = None;
            let text = format!("{} is there already.", job.path.display());
            let yes = Effect::Save(crate::tui::message::SaveJob { overwrite: true, ..job });
            state.overlay = Some(Overlay::Confirm(Box::new(Confirm { title: "Overwrite?".to_owned(), text, command: None, yes })));
        }
        SaveEvent::Ended(ended) => {
            state.saving = None;
            match ended {
                Ok(text) => state.say(true, text),
                Err(text) => state.say(false, text),
            }
        }
    }
}

fn log(state: &mut State, index: usize, event: LogEvent) {
    let height = usize::from(crate::tui::layout::list(crate::tui::layout::body(state.size))[1].height);
    let Some(log) = state.logs.logs.get_mut(index) else { return };
    match event {
        LogEvent::Lines(lines) => log.take(lines, height),
        LogEvent::Note(note) => log.note = note,
    }
}
