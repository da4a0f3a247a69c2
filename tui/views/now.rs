//! Is the data fresh, did the last export work, what is wrong.

use std::time::Duration;

use materia::{
    export::{Outcome, Record, Running},
    lock::Holder,
    status::Status,
    target::Served,
    words,
};
use ratatui::{
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
};

use super::{Paint, chrome};
use crate::tui::{
    look::Role,
    message::Target,
    state::{Job, State, ago},
    text::wrap,
};

/// Columns that names of facts take.
const NAMES: usize = 11;

pub(super) fn draw(paint: &mut Paint, area: Rect, state: &State) {
    let wide = area.width >= 110;
    let [left, right] =
        if wide { Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(area) } else { [area, Rect::default()] };
    let columns = usize::from(left.width.saturating_sub(2));
    let mut lines = vec![Line::default()];
    lines.extend(facts(paint, state, columns));
    lines.extend(attention(paint, state, columns));
    if let Some(job) = &state.job {
        lines.extend(started(paint, job, columns));
    }
    let attempts = state.status().map(|status| &status.history[..]).unwrap_or_default();
    if !wide && !attempts.is_empty() {
        lines.push(Line::default());
        lines.push(heading(paint, "Last attempts"));
        lines.push(strip(paint, attempts, columns.saturating_sub(1)));
        lines.extend(newest(paint, attempts, columns));
    }
    let inside = Rect { x: left.x + 1, width: left.width.saturating_sub(1), ..left };
    paint.scrolled(inside, lines, state.overview.scroll);
    if wide {
        let inside = paint.block(right, "Last attempts", Role::Heading);
        let columns = usize::from(inside.width);
        let mut lines = vec![strip(paint, attempts, columns)];
        lines.extend(newest(paint, attempts, columns));
        paint.lines(inside, lines);
        paint.hit(inside, Target::Tab(crate::tui::state::Screen::History));
    }
}

fn heading(paint: &Paint, text: &str) -> Line<'static> {
    Line::from(paint.span(Role::Heading, text))
}

/// A named fact; further lines of it stand below its beginning.
fn fact(paint: &Paint, name: &str, role: Role, text: &str, columns: usize) -> Vec<Line<'static>> {
    let rows = wrap(text, columns.saturating_sub(NAMES));
    rows.into_iter()
        .enumerate()
        .map(|(index, row)| {
            let name = if index == 0 { name } else { "" };
            Line::from(vec![paint.span(Role::Dim, format!("{name:<NAMES$}")), paint.span(role, row)])
        })
        .collect()
}

fn facts(paint: &Paint, state: &State, columns: usize) -> Vec<Line<'static>> {
    let Some(status) = state.status() else {
        let text = state.overview.problem.clone().or_else(|| state.served.bad_settings.clone());
        return match text {
            Some(problem) => fact(paint, "Served", Role::Bad, &problem, columns),
            None => vec![Line::from(vec![
                paint.span(Role::Dim, format!("{:<NAMES$}", "Served")),
                paint.spinner(),
                paint.span(Role::Dim, " opening"),
            ])],
        };
    };
    let mut lines = fact(paint, "Served", Role::Strong, &status.served.display().to_string(), columns);
    let (role, word) = chrome::freshness(paint, state);
    let is_read = status.what != Served::Missing && status.unreadable.is_none();
    let generation = status.generation.as_ref().map_or_else(|| "no generation of materia's".to_owned(), |id| format!("generation {id}"));
    let limit = status
        .max_age
        .filter(|_| status.exported_at.is_some())
        .map(|most| format!(", at most {} allowed", words::duration(most)))
        .unwrap_or_default();
    let age = Line::from(vec![
        paint.span(Role::Dim, " ".repeat(NAMES)),
        paint.span(role, format!("{} {word}", paint.look.dot())),
        paint.span(Role::Dim, limit),
    ]);
    lines.push(age);
    if is_read {
        lines.extend(fact(paint, "", Role::Text, &generation, columns));
        if let Some(older) = &status.older {
            lines.extend(fact(paint, "", Role::Warn, &older.to_string(), columns));
        }
        lines.extend(fact(paint, "Size", Role::Text, &size(state, status), columns));
    } else if let Some(contents) = contents(state) {
        lines.extend(fact(paint, "Shown", Role::Warn, &format!("{contents}, as last read"), columns));
    }
    lines.extend(fact(paint, "Kept", Role::Text, &kept(status), columns));
    lines.push(Line::default());
    lines.extend(match &status.running {
        Some(running) => export_now(paint, running, status, columns),
        None => fact(paint, "Export", Role::Dim, "idle", columns),
    });
    let (role, text) = lakehouse(state, status);
    lines.extend(fact(paint, "Lakehouse", role, &text, columns));
    if let Some(address) = state.served.setup.as_ref().and_then(|setup| setup.metrics) {
        let (role, text) = site(state);
        let (role, text) = if text.is_empty() { (Role::Dim, format!("asking {address}")) } else { (role, text) };
        lines.extend(fact(paint, "Site", role, &text, columns));
    }
    lines
}

fn size(state: &State, status: &Status) -> String {
    let bytes = status.bytes.map(words::bytes);
    bytes.into_iter().chain(contents(state)).collect::<Vec<_>>().join(", ")
}

/// Tables and rows of what is shown.
fn contents(state: &State) -> Option<String> {
    let catalog = state.served.catalog.as_ref()?;
    let rows = catalog.tables.iter().map(|table| table.rows).sum();
    Some(format!("{}, {}", words::plural(catalog.tables.len(), "table"), words::rows(rows)))
}

fn kept(status: &Status) -> String {
    let pinned = status.generations.iter().filter(|generation| generation.pinned).count();
    let pinned = if pinned > 0 { format!(", {pinned} pinned") } else { String::new() };
    format!("{}{pinned}", words::plural(status.generations.len(), "generation"))
}

/// What an exporter, in whichever process, is doing.
fn export_now(paint: &Paint, running: &Running, status: &Status, columns: usize) -> Vec<Line<'static>> {
    let table = running.table.as_ref().map(|table| format!(" {table}")).unwrap_or_default();
    let percent = running.percent.map(|percent| format!(" {percent:.0} %")).unwrap_or_default();
    let doing = format!("{} {}{table}{percent}", paint.look.spinner(paint.turn), running.step.word());
    let mut lines = fact(paint, "Export", Role::Accent, &doing, columns);
    if let Some(percent) = running.percent {
        let space = columns.saturating_sub(NAMES).min(40);
        lines.push(Line::from(vec![Span::raw(" ".repeat(NAMES)), bar(paint, Role::Accent, percent / 100.0, space)]));
    }
    // Who holds the lakehouse is told below.
    let told = status.lakehouse_held_by.as_ref().and_then(|holder| holder.pid);
    if let Some(holder) = running.waiting_for.as_ref().filter(|holder| holder.pid.is_none() || holder.pid != told) {
        lines.extend(fact(paint, "", Role::Warn, &format!("waiting for {holder}"), columns));
    }
    lines.extend(fact(paint, "", Role::Dim, &format!("pid {}, began {}", running.pid, ago(running.started_at, paint.now)), columns));
    lines
}

fn bar(paint: &Paint, role: Role, share: f64, columns: usize) -> Span<'static> {
    paint.span(role, paint.look.bar().repeat(crate::tui::look::rank(share, columns + 1)))
}

fn lakehouse(state: &State, status: &Status) -> (Role, String) {
    let path = status.lakehouse.display();
    match &status.lakehouse_held_by {
        Some(holder) => {
            // How long it has been running goes on while nothing else changes.
            let running =
                state.overview.holder_began.map(|at| Duration::from_secs(state.now.duration_since(at).as_secs().max(0).unsigned_abs()));
            let holder = Holder { running, ..holder.clone() };
            let since = state.overview.held_since.map(|at| format!("; first seen {}", ago(at, state.now))).unwrap_or_default();
            (Role::Warn, format!("{path} is held by {holder}{since}"))
        }
        None if status.lakehouse_exists => (Role::Good, format!("{path} is free")),
        None => (Role::Warn, format!("{path} does not exist")),
    }
}

/// How the site does, in words; nothing while it is being asked.
fn site(state: &State) -> (Role, String) {
    let health = match &state.overview.site {
        None => return (Role::Dim, String::new()),
        Some(Err(_)) => return (Role::Bad, "unknown".to_owned()),
        Some(Ok(health)) => health,
    };
    let signed_in = health.signed_in.map(|users| format!("{} signed in", words::count(users)));
    let signed_in = signed_in.unwrap_or_else(|| "its accounts cannot be read".to_owned());
    let Some(lately) = &health.lately else { return (Role::Good, signed_in) };
    if lately.requests == 0 {
        return (Role::Good, format!("no requests, {signed_in}"));
    }
    let rate = lately.requests as f64 / lately.time.as_secs_f64().max(1.0);
    let rate = if rate < 100.0 { format!("{rate:.1}") } else { words::group(&format!("{rate:.0}")) };
    let p99 = lately.p99.map(|p99| format!(", p99 {}", quick(p99))).unwrap_or_default();
    let errors = match lately.errors {
        0 => "no errors".to_owned(),
        1 => "1 error".to_owned(),
        errors => format!("{} errors", words::count(errors)),
    };
    let role = match lately.errors {
        0 if health.signed_in.is_none() => Role::Warn,
        0 => Role::Good,
        // One in a hundred is more than bad luck.
        errors if errors * 100 >= lately.requests => Role::Bad,
        _ => Role::Warn,
    };
    (role, format!("{rate} requests/s{p99}, {errors}, {signed_in}"))
}

/// Times of answers: a millisecond matters, a tenth of a long one does not.
fn quick(time: Duration) -> String {
    if time < Duration::from_millis(10) { format!("{:.1} ms", time.as_secs_f64() * 1e3) } else { words::duration(time) }
}

/// What is missing in the history, in words.
pub(super) fn history_problem(status: &Status) -> Option<String> {
    let lines = Some(status.history_lost).filter(|lost| *lost > 0)?;
    Some(format!("{} of the history cannot be read: left out", words::plural(lines, "line")))
}

/// What is wrong with the site, in words.
fn site_problem(state: &State) -> Option<String> {
    let address = state.served.setup.as_ref()?.metrics?;
    match state.overview.site.as_ref()? {
        Err(problem) => Some(format!("the site's metrics on {address} cannot be read: {problem}")),
        Ok(health) => {
            let lately = health.lately.as_ref().filter(|lately| lately.errors > 0)?;
            let time = words::duration(lately.time);
            let (errors, all) = (words::count(lately.errors), words::count(lately.requests));
            Some(format!("the site answered {errors} of {all} requests with an error within {time}; see its log"))
        }
    }
}

fn attention(paint: &Paint, state: &State, columns: usize) -> Vec<Line<'static>> {
    let mut problems = Vec::new();
    problems.extend(state.served.bad_settings.clone().filter(|_| state.status().is_some()));
    problems.extend(state.overview.problem.clone().filter(|_| state.status().is_some()));
    problems.extend(state.status().map(|status| status.problems(paint.now)).unwrap_or_default());
    problems.extend(state.status().and_then(history_problem));
    problems.extend(site_problem(state));
    let mut lines = vec![Line::default()];
    if problems.is_empty() {
        if state.status().is_some() {
            lines.extend(fact(paint, "Attention", Role::Good, "nothing needs any", columns));
        }
        return lines;
    }
    lines.push(heading(paint, "Needs attention"));
    for problem in problems {
        for (index, row) in wrap(&problem, columns.saturating_sub(2)).into_iter().enumerate() {
            let mark = if index == 0 { paint.look.dot() } else { " " };
            lines.push(Line::from(vec![paint.span(Role::Bad, format!("{mark} ")), paint.span(Role::Text, row)]));
        }
    }
    lines
}

/// A command that was started here.
fn started(paint: &Paint, job: &Job, columns: usize) -> Vec<Line<'static>> {
    let mut lines = vec![Line::default(), heading(paint, &format!("$ {}", job.command))];
    let last = job.ended.as_ref().map(|(_, message)| message);
    let said: Vec<_> = job.said.iter().filter(|line| Some(*line) != last).collect();
    for line in &said[said.len().saturating_sub(4)..] {
        lines.push(Line::from(paint.span(Role::Dim, format!("  {}", paint.fit(line, columns.saturating_sub(2))))));
    }
    let (role, text) = match &job.ended {
        None => (Role::Accent, format!("{} {}, started {}", paint.look.spinner(paint.turn), job.doing, ago(job.started, paint.now))),
        Some((true, message)) => (Role::Good, message.clone()),
        Some((false, message)) => (Role::Bad, message.clone()),
    };
    lines.extend(wrap(&text, columns.saturating_sub(2)).into_iter().map(|row| Line::from(vec![Span::raw("  "), paint.span(role, row)])));
    lines
}

pub(super) fn role_of(outcome: Outcome) -> Role {
    match outcome {
        Outcome::Published | Outcome::RolledBack => Role::Good,
        Outcome::Unchanged | Outcome::Released => Role::Dim,
        Outcome::Refused | Outcome::Held => Role::Warn,
        Outcome::Failed | Outcome::Interrupted => Role::Bad,
    }
}

/// Why it did not publish, in a line, without the word that stands beside it.
pub(super) fn reason(record: &Record) -> &str {
    let why = record.error.as_deref().and_then(|error| error.lines().next()).unwrap_or_default();
    why.strip_prefix(record.outcome.word()).map_or(why, |why| why.trim_start_matches([':', ';', ' ']))
}

/// One column for each attempt, newest at the right: as tall as it took long, coloured as it ended.
fn strip(paint: &Paint, attempts: &[Record], columns: usize) -> Line<'static> {
    let shown = &attempts[attempts.len().saturating_sub(columns)..];
    let longest = shown.iter().map(|record| record.total_ms).max().unwrap_or_default().max(1);
    let tall = |record: &Record| paint.look.spark(record.total_ms as f64 / longest as f64);
    Line::from(shown.iter().map(|record| paint.span(role_of(record.outcome), tall(record))).collect::<Vec<_>>())
}

fn newest(paint: &Paint, attempts: &[Record], columns: usize) -> Vec<Line<'static>> {
    attempts
        .iter()
        .rev()
        .map(|record| {
            let took = words::duration(Duration::from_millis(record.total_ms));
            let why = reason(record);
            let used = 19 + 2 + 12 + 10 + 2;
            let space = Some(columns.saturating_sub(used)).filter(|space| *space >= 12).unwrap_or_default();
            Line::from(vec![
                paint.span(Role::Dim, format!("{}  ", record.id)),
                paint.span(role_of(record.outcome), format!("{:<12}", record.outcome.word())),
                paint.span(Role::Text, format!("{took:>10}  ")),
                paint.span(Role::Dim, paint.fit(why, space)),
            ])
        })
        .collect()
}
