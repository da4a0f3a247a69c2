//! The first screen: the age of the data, the last export, and problems.

use std::{cmp::Reverse, collections::HashMap, time::Duration};

use jiff::Timestamp;
use materia::{
    endpoint::{Connection, EndpointState},
    humanize,
    lock::LockHolder,
    pipeline::RunOutcome,
    status::Status,
    store::ServedState,
    store::{AttemptOutcome, AttemptRecord, RunningExport},
};
use ratatui::{
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
};

use super::{
    Change, Link, Screen,
    history::{duration_sparkline, failure_reason, lost_lines_text, outcome_role, table_change},
    tables::{RowChange, format_change},
};
use crate::{
    app::ScreenId,
    commands::{self, Job},
    context::{Context, format_ago, next_age_change},
    keys::{KeyGroup, key},
    message::{ClickTarget, Effect},
    text::{width, wrap},
    theme::{self, StyleRole},
    views::{Canvas, freshness},
};

/// Width of the column with field names.
const NAMES: usize = 11;
/// Minimum width for the last attempts in a separate column.
const TWO_COLUMNS_WIDTH: u16 = 110;

#[derive(Debug, Clone, Default)]
pub(crate) struct OverviewScreen {
    /// The first line in view.
    pub(crate) scroll: usize,
    /// Tables with their rows in the last generations, those that changed last first.
    trends: Vec<TableTrend>,
}

/// Generations whose rows are drawn.
const TREND_GENERATIONS: usize = 40;
/// Clients of the PostgreSQL endpoint that are listed.
const SHOWN_CLIENTS: usize = 12;
/// Tables whose trends are drawn.
const TREND_TABLES: usize = 30;

/// The rows of a table in the last generations.
#[derive(Debug, Clone, PartialEq)]
struct TableTrend {
    name: String,
    /// Oldest first; `None` where the table was missing.
    rows: Vec<Option<u64>>,
    /// The latest change of its values or rows, and when it was published.
    changed: Option<(RowChange, Timestamp)>,
}

static KEYS: KeyGroup = KeyGroup {
    id: "overview",
    title: "Now",
    bindings: &[
        key("enter", "open", "open the newest attempt", "last attempt", |app| {
            let newest = app.context.status().and_then(Status::last_attempt);
            let link = newest.map(|attempt| Link::Attempt(attempt.id.clone()));
            link.map(|link| app.follow_link(&link)).unwrap_or_default()
        }),
        key("j down", "down", "scroll down", "", |app| app.move_cursor(1)).navigation(),
        key("k up", "up", "scroll up", "", |app| app.move_cursor(-1)).navigation(),
        key("E", "export", "run an export now", "export", commands::export),
        key(
            "p",
            "pipeline",
            "run a pipeline of materia.toml",
            "pipeline",
            commands::choose_pipeline,
        ),
        key(
            "K",
            "kill",
            "stop a statement of the PostgreSQL endpoint",
            "",
            commands::choose_statement,
        ),
        key("X", "stop", "stop the command that was started here", "", commands::stop),
    ],
};

impl Screen for OverviewScreen {
    fn home_keys(&self) -> &'static KeyGroup {
        &KEYS
    }

    fn page_height(&self, context: &Context) -> usize {
        usize::from(context.body().height)
    }

    fn move_cursor(&mut self, by: isize, _context: &mut Context) -> Vec<Effect> {
        self.scroll = self.scroll.saturating_add_signed(by);
        Vec::new()
    }

    fn clamp_scroll(&mut self, first_line: usize) {
        self.scroll = first_line;
    }

    fn handle_change(&mut self, change: &Change, context: &mut Context) -> Vec<Effect> {
        match change {
            Change::StatusSource => *self = Self::default(),
            Change::Status { previous } => {
                let known = |status: &Status| (status.generation.clone(), status.history.len());
                let before = previous.as_ref().map(|facts| known(&facts.status));
                if before != context.status().map(known) {
                    self.trends = context.status().map(trends).unwrap_or_default();
                }
            }
            _ => {}
        }
        Vec::new()
    }

    /// The times for which the lakehouse has been held and statements have run advance every second.
    fn next_change(&self, context: &Context) -> Option<Timestamp> {
        let running = context.status_view.endpoint.as_ref().and_then(EndpointState::clients);
        let since = running.into_iter().flatten().filter_map(|client| client.running_since);
        let since = since.chain(context.status_view.held_since);
        since.filter_map(|at| next_age_change(at, context.now)).min()
    }

    fn draw(&self, canvas: &mut Canvas, area: Rect, context: &Context) {
        let wide = area.width >= TWO_COLUMNS_WIDTH;
        let [left, right] = if wide {
            Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(area)
        } else {
            [area, Rect::default()]
        };
        let columns = usize::from(left.width.saturating_sub(2));
        let mut lines = vec![Line::default()];
        lines.extend(fields(canvas, context, columns));
        lines.extend(attention(canvas, context, columns));
        lines.extend(pipelines(canvas, context, columns));
        lines.extend(clients(canvas, context, columns));
        if wide {
            lines.extend(trend_lines(canvas, &self.trends, columns));
        }
        if let Some(job) = &context.job {
            lines.extend(job_lines(canvas, job, columns));
        }
        let attempts = context.status().map(|status| &status.history[..]).unwrap_or_default();
        if !wide && !attempts.is_empty() {
            lines.push(Line::default());
            lines.push(heading(canvas, "Last attempts"));
            lines.push(duration_sparkline(canvas, attempts, columns.saturating_sub(1)));
            lines.extend(newest_attempts(canvas, attempts, columns));
        }
        let inside = Rect { x: left.x + 1, width: left.width.saturating_sub(1), ..left };
        canvas.scrolled(inside, lines, self.scroll);
        if wide {
            let inside = canvas.block(right, "Last attempts", StyleRole::Heading);
            let columns = usize::from(inside.width);
            let mut lines = vec![duration_sparkline(canvas, attempts, columns)];
            lines.extend(newest_attempts(canvas, attempts, columns));
            canvas.lines(inside, lines);
            canvas.add_click_area(inside, ClickTarget::Tab(ScreenId::History));
        }
    }
}

/// Returns the rows of tables in the last generations, at most [`TREND_TABLES`] of them.
fn trends(status: &Status) -> Vec<TableTrend> {
    let is_published = |record: &&AttemptRecord| record.outcome == AttemptOutcome::Published;
    let mut published: Vec<_> =
        status.history.iter().rev().filter(is_published).take(TREND_GENERATIONS).collect();
    let Some(newest) = published.first() else { return Vec::new() };
    let mut trends: Vec<_> = newest
        .tables
        .iter()
        .map(|table| TableTrend { name: table.name.clone(), rows: Vec::new(), changed: None })
        .collect();
    let index: HashMap<String, usize> =
        trends.iter().enumerate().map(|(at, trend)| (trend.name.clone(), at)).collect();
    for record in &published {
        for table in &record.tables {
            let Some(trend) = index.get(&table.name).and_then(|at| trends.get_mut(*at)) else {
                continue;
            };
            if trend.changed.is_none() {
                let change = table_change(status, record, table);
                let is_change = !matches!(
                    change,
                    RowChange::Rows(0) | RowChange::SameRows | RowChange::Unknown
                );
                trend.changed = is_change.then_some((change, record.ended_at));
            }
        }
    }
    // The tables that changed last, and by most rows.
    trends.sort_by_key(|trend| {
        let changed = trend.changed.map(|(change, at)| (at, change.size()));
        (Reverse(changed), trend.name.clone())
    });
    trends.truncate(TREND_TABLES);
    published.reverse();
    for trend in &mut trends {
        let rows = |record: &&AttemptRecord| {
            record.tables.iter().find(|table| table.name == trend.name).map(|table| table.rows)
        };
        trend.rows = published.iter().map(rows).collect();
    }
    trends
}

/// Draws one line per table: rows, a bar for each generation, and the latest change.
fn trend_lines(canvas: &Canvas, trends: &[TableTrend], columns: usize) -> Vec<Line<'static>> {
    if trends.is_empty() {
        return Vec::new();
    }
    let names = trends.iter().map(|trend| width(&trend.name, 32)).max().unwrap_or_default();
    let space = columns.saturating_sub(names + 2 + 13 + 2 + 2 + 30);
    let mut lines = vec![Line::default(), heading(canvas, "Tables over generations")];
    for trend in trends {
        let bars = trend.rows.len().min(space);
        let shown = &trend.rows[trend.rows.len() - bars..];
        let highest = shown.iter().flatten().max().copied().unwrap_or_default().max(1);
        let bar = |rows: &Option<u64>| match rows {
            Some(rows) => canvas.theme.spark(*rows as f64 / highest as f64),
            None => " ",
        };
        let rows = trend.rows.last().copied().flatten().unwrap_or_default();
        let mut spans = vec![
            canvas.span(StyleRole::Strong, format!("{}  ", canvas.fit(&trend.name, names))),
            canvas.span(StyleRole::Text, format!("{:>13}  ", humanize::count(rows))),
            canvas.span(StyleRole::Series(0), shown.iter().map(bar).collect::<String>()),
        ];
        if let Some((change, at)) = trend.changed {
            let (role, text) = format_change(change).unwrap_or((StyleRole::Dim, String::new()));
            spans.push(canvas.span(role, format!("  {text}")));
            let age = format!(", {}", format_ago(at, canvas.now));
            spans.push(canvas.span(StyleRole::Dim, age));
        }
        lines.push(Line::from(spans));
    }
    lines
}

fn heading(canvas: &Canvas, text: &str) -> Line<'static> {
    Line::from(canvas.span(StyleRole::Heading, text))
}

/// Formats a named field; further lines are aligned with the first one.
fn field(
    canvas: &Canvas,
    name: &str,
    role: StyleRole,
    text: &str,
    columns: usize,
) -> Vec<Line<'static>> {
    let rows = wrap(text, columns.saturating_sub(NAMES));
    rows.into_iter()
        .enumerate()
        .map(|(index, row)| {
            let name = if index == 0 { name } else { "" };
            Line::from(vec![
                canvas.span(StyleRole::Dim, format!("{name:<NAMES$}")),
                canvas.span(role, row),
            ])
        })
        .collect()
}

fn fields(canvas: &Canvas, context: &Context, columns: usize) -> Vec<Line<'static>> {
    let Some(status) = context.status() else {
        let text =
            context.status_view.error.clone().or_else(|| context.reader.config_error.clone());
        return match text {
            Some(error) => field(canvas, "Served", StyleRole::Bad, &error, columns),
            None => vec![Line::from(vec![
                canvas.span(StyleRole::Dim, format!("{:<NAMES$}", "Served")),
                canvas.spinner(),
                canvas.span(StyleRole::Dim, " opening"),
            ])],
        };
    };
    let mut lines =
        field(canvas, "Served", StyleRole::Strong, &status.served.display().to_string(), columns);
    let (role, texts) = freshness(context);
    let text = texts.first().cloned().unwrap_or_default();
    let is_read = status.what != ServedState::Missing && status.unreadable.is_none();
    let generation = status
        .generation
        .as_ref()
        .map_or_else(|| "no generation of materia's".to_owned(), |id| format!("generation {id}"));
    let limit = status
        .max_age
        .filter(|_| status.exported_at.is_some())
        .map(|max| format!(", at most {} allowed", humanize::duration(max)))
        .unwrap_or_default();
    let age = Line::from(vec![
        canvas.span(StyleRole::Dim, " ".repeat(NAMES)),
        canvas.span(role, format!("{} {text}", canvas.theme.dot())),
        canvas.span(StyleRole::Dim, limit),
    ]);
    lines.push(age);
    if is_read {
        lines.extend(field(canvas, "", StyleRole::Text, &generation, columns));
        if let Some(older) = &status.older {
            lines.extend(field(canvas, "", StyleRole::Warn, &older.to_string(), columns));
        }
        lines.extend(field(canvas, "Size", StyleRole::Text, &size(context, status), columns));
    } else if let Some(contents) = contents(context) {
        lines.extend(field(
            canvas,
            "Shown",
            StyleRole::Warn,
            &format!("{contents}, as last read"),
            columns,
        ));
    }
    let mut kept = retained(status);
    if let Some(left) = context.status_view.facts.as_ref().and_then(|facts| facts.space_left) {
        kept = format!("{kept}, {} free on the disk", humanize::bytes(left));
    }
    lines.extend(field(canvas, "Kept", StyleRole::Text, &kept, columns));
    lines.push(Line::default());
    lines.extend(if let Some(running) = &status.running {
        running_export(canvas, running, status, columns)
    } else {
        let text = match expected_export(&status.history) {
            Some(at) if at > canvas.now => {
                let wait = at.duration_since(canvas.now).as_secs().unsigned_abs().div_ceil(60);
                let wait = humanize::duration(Duration::from_secs(wait * 60));
                format!("idle, next expected in {wait}")
            }
            Some(at) => format!("idle, was expected {}", format_ago(at, canvas.now)),
            None => "idle".to_owned(),
        };
        field(canvas, "Export", StyleRole::Dim, &text, columns)
    });
    let (role, text) = lakehouse(context, status);
    lines.extend(field(canvas, "Lakehouse", role, &text, columns));
    if let Some(address) = context.reader.config.as_ref().and_then(|config| config.metrics()) {
        let (role, text) = site(context);
        let (role, text) = if text.is_empty() {
            (StyleRole::Dim, format!("querying {address}"))
        } else {
            (role, text)
        };
        lines.extend(field(canvas, "Site", role, &text, columns));
    }
    if let Some(endpoint) = &context.status_view.endpoint {
        let is_down = matches!(endpoint, EndpointState::Down(_));
        let role = if is_down { StyleRole::Bad } else { StyleRole::Good };
        // The reason needs attention, below.
        let text = if is_down { "does not respond".to_owned() } else { endpoint.summary() };
        lines.extend(field(canvas, "PostgreSQL", role, &text, columns));
    }
    lines
}

/// Returns when the next export is expected to begin, if the last ones began at regular intervals.
fn expected_export(history: &[AttemptRecord]) -> Option<Timestamp> {
    const LAST: usize = 8;
    const LEAST: usize = 4;
    /// Shorter intervals, in seconds, are manual attempts and not a schedule.
    const SHORTEST: i64 = 60;
    // Rollbacks have no lakehouse.
    let exports = history.iter().rev().filter(|record| record.lakehouse.is_some());
    let begun: Vec<Timestamp> = exports.take(LAST).map(|record| record.started_at).collect();
    if begun.len() < LEAST {
        return None;
    }
    let intervals = begun.windows(2).map(|pair| pair[0].duration_since(pair[1]).as_secs().max(1));
    let mut intervals: Vec<i64> = intervals.collect();
    intervals.sort_unstable();
    let median = intervals[intervals.len() / 2];
    let is_regular = |interval: &&i64| (**interval - median).abs() * 4 <= median;
    let regular = intervals.iter().filter(is_regular).count();
    // One that was made by hand, or a night without any, does not change the rhythm.
    let next = begun[0].checked_add(jiff::SignedDuration::from_secs(median)).ok()?;
    (median >= SHORTEST && regular * 4 >= intervals.len() * 3).then_some(next)
}

fn size(context: &Context, status: &Status) -> String {
    let bytes = status.bytes.map(humanize::bytes);
    bytes.into_iter().chain(contents(context)).collect::<Vec<_>>().join(", ")
}

/// Returns the number of tables and rows.
fn contents(context: &Context) -> Option<String> {
    let catalog = context.reader.catalog.as_ref()?;
    let rows = catalog.tables.iter().map(|table| table.rows).sum();
    Some(format!("{}, {}", humanize::plural(catalog.tables.len(), "table"), humanize::rows(rows)))
}

fn retained(status: &Status) -> String {
    let pinned = status.generations.iter().filter(|generation| generation.pinned).count();
    let pinned = if pinned > 0 { format!(", {pinned} pinned") } else { String::new() };
    format!("{}{pinned}", humanize::plural(status.generations.len(), "generation"))
}

/// Describes the running export of any process.
fn running_export(
    canvas: &Canvas,
    running: &RunningExport,
    status: &Status,
    columns: usize,
) -> Vec<Line<'static>> {
    let table = running.table.as_ref().map(|table| format!(" {table}")).unwrap_or_default();
    let percent = running.percent.map(|percent| format!(" {percent:.0} %")).unwrap_or_default();
    let step = format!(
        "{} {}{table}{percent}",
        canvas.theme.spinner(canvas.spinner_frame),
        running.step.label()
    );
    let mut lines = field(canvas, "Export", StyleRole::Accent, &step, columns);
    if let Some(percent) = running.percent {
        let space = columns.saturating_sub(NAMES).min(40);
        lines.push(Line::from(vec![
            Span::raw(" ".repeat(NAMES)),
            bar(canvas, StyleRole::Accent, percent / 100.0, space),
        ]));
    }
    // The holder of the lakehouse has a separate field below.
    let holder_pid = status.lakehouse_held_by.as_ref().and_then(|holder| holder.pid);
    if let Some(holder) = running
        .waiting_for
        .as_ref()
        .filter(|holder| holder.pid.is_none() || holder.pid != holder_pid)
    {
        lines.extend(field(canvas, "", StyleRole::Warn, &format!("waiting for {holder}"), columns));
    }
    lines.extend(field(
        canvas,
        "",
        StyleRole::Dim,
        &format!("pid {}, started {}", running.pid, format_ago(running.started_at, canvas.now)),
        columns,
    ));
    lines
}

fn bar(canvas: &Canvas, role: StyleRole, share: f64, columns: usize) -> Span<'static> {
    canvas.span(role, canvas.theme.bar().repeat(theme::rank(share, columns + 1)))
}

fn lakehouse(context: &Context, status: &Status) -> (StyleRole, String) {
    let path = status.lakehouse.display();
    match &status.lakehouse_held_by {
        Some(holder) => {
            // The running time increases while nothing else changes.
            let running = context.status_view.holder_started.map(|at| {
                Duration::from_secs(context.now.duration_since(at).as_secs().max(0).unsigned_abs())
            });
            let holder = LockHolder { running, ..holder.clone() };
            let since = context
                .status_view
                .held_since
                .map(|at| format!("; first seen {}", format_ago(at, context.now)))
                .unwrap_or_default();
            (StyleRole::Warn, format!("{path} is held by {holder}{since}"))
        }
        None if status.lakehouse_exists => (StyleRole::Good, format!("{path} is free")),
        None => (StyleRole::Warn, format!("{path} does not exist")),
    }
}

/// Describes the health of the site; empty before the first sample.
fn site(context: &Context) -> (StyleRole, String) {
    let health = match &context.status_view.site {
        None => return (StyleRole::Dim, String::new()),
        Some(Err(_)) => return (StyleRole::Bad, "unknown".to_owned()),
        Some(Ok(health)) => health,
    };
    let signed_in = health.signed_in.map(|users| format!("{} signed in", humanize::count(users)));
    let signed_in = signed_in.unwrap_or_else(|| "its accounts cannot be read".to_owned());
    let Some(recent) = &health.recent else { return (StyleRole::Good, signed_in) };
    if recent.requests == 0 {
        return (StyleRole::Good, format!("no requests, {signed_in}"));
    }
    let rate = recent.requests as f64 / recent.time.as_secs_f64().max(1.0);
    let rate = if rate < 100.0 {
        format!("{rate:.1}")
    } else {
        humanize::thousands_separated(&format!("{rate:.0}"))
    };
    let p99 = recent.p99.map(|p99| format!(", p99 {}", format_latency(p99))).unwrap_or_default();
    let errors = match recent.errors {
        0 => "no errors".to_owned(),
        1 => "1 error".to_owned(),
        errors => format!("{} errors", humanize::count(errors)),
    };
    let role = match recent.errors {
        0 if health.signed_in.is_none() => StyleRole::Warn,
        0 => StyleRole::Good,
        // An error rate of 1% or more.
        errors if errors * 100 >= recent.requests => StyleRole::Bad,
        _ => StyleRole::Warn,
    };
    (role, format!("{rate} requests/s{p99}, {errors}, {signed_in}"))
}

/// Formats a latency, short ones with a tenth of a millisecond.
fn format_latency(time: Duration) -> String {
    if time < Duration::from_millis(10) {
        format!("{:.1} ms", time.as_secs_f64() * 1e3)
    } else {
        humanize::duration(time)
    }
}

/// Describes the problem with the site.
fn site_error(context: &Context) -> Option<String> {
    let address = context.reader.config.as_ref()?.metrics()?;
    match context.status_view.site.as_ref()? {
        Err(error) => Some(format!("the site's metrics on {address} cannot be read: {error}")),
        Ok(health) => {
            let recent = health.recent.as_ref().filter(|recent| recent.errors > 0)?;
            let time = humanize::duration(recent.time);
            let (errors, all) = (humanize::count(recent.errors), humanize::count(recent.requests));
            Some(format!(
                "{errors} of {all} requests to the site failed within {time}; see its log"
            ))
        }
    }
}

/// Lists the newest run of each pipeline.
fn pipelines(canvas: &Canvas, context: &Context, columns: usize) -> Vec<Line<'static>> {
    if context.pipeline_runs.is_empty() {
        return Vec::new();
    }
    let names = context.pipeline_runs.iter().map(|run| width(&run.pipeline, 24)).max();
    let names = names.unwrap_or_default();
    let mut lines = vec![Line::default(), heading(canvas, "Pipelines")];
    for run in &context.pipeline_runs {
        let role = match run.outcome {
            RunOutcome::Succeeded => StyleRole::Good,
            RunOutcome::Running => StyleRole::Accent,
            RunOutcome::Skipped | RunOutcome::Busy => StyleRole::Dim,
            RunOutcome::Failed | RunOutcome::TimedOut | RunOutcome::Interrupted => StyleRole::Bad,
        };
        let when = run.ended_at.map_or_else(
            || format!("since {}", format_ago(run.started_at, canvas.now)),
            |ended| format_ago(ended, canvas.now),
        );
        let took = humanize::duration(Duration::from_millis(run.total_ms));
        let reason = run.why.as_ref().map(|why| format!("  {why}")).unwrap_or_default();
        let name = format!("{}  ", canvas.fit(&run.pipeline, names));
        let outcome = format!("{:<12}", run.outcome.label());
        let text = format!("{when}, {took}{reason}");
        let space = columns.saturating_sub(names + 2 + 12);
        lines.push(Line::from(vec![
            canvas.span(StyleRole::Strong, name),
            canvas.span(role, outcome),
            canvas.span(StyleRole::Dim, canvas.fit(&text, space).trim_end().to_owned()),
        ]));
    }
    lines
}

/// Lists who is connected to the PostgreSQL endpoint; those whose statement has run longest first.
fn clients(canvas: &Canvas, context: &Context, columns: usize) -> Vec<Line<'static>> {
    let endpoint = context.status_view.endpoint.as_ref();
    let mut clients: Vec<_> =
        endpoint.and_then(EndpointState::clients).into_iter().flatten().collect();
    if clients.is_empty() {
        return Vec::new();
    }
    clients
        .sort_by_key(|client| (client.running_since.is_none(), client.running_since, client.pid));
    let widest = |text: fn(&Connection) -> &str, most| {
        clients.iter().map(|client| width(text(client), most)).max().unwrap_or_default()
    };
    let (emails, applications) =
        (widest(|client| &client.email, 28), widest(|client| &client.application, 16));
    let mut lines = vec![Line::default(), heading(canvas, "PostgreSQL clients")];
    for client in clients.iter().take(SHOWN_CLIENTS) {
        let (role, state) = match client.running_since {
            Some(at) => (StyleRole::Accent, format_ago(at, canvas.now)),
            None => (StyleRole::Dim, "idle".to_owned()),
        };
        let query = client.query.as_deref().unwrap_or_default();
        let query: Vec<_> = query.split_whitespace().collect();
        let space = columns.saturating_sub(7 + emails + 2 + applications + 2 + 16);
        lines.push(Line::from(vec![
            canvas.span(StyleRole::Dim, format!("{:>5}  ", client.pid)),
            canvas.span(StyleRole::Strong, format!("{}  ", canvas.fit(&client.email, emails))),
            canvas.span(
                StyleRole::Text,
                format!("{}  ", canvas.fit(&client.application, applications)),
            ),
            canvas.span(role, format!("{state:<14}  ")),
            canvas.span(StyleRole::Text, canvas.fit(&query.join(" "), space).trim_end().to_owned()),
        ]));
    }
    if let Some(more) = clients.len().checked_sub(SHOWN_CLIENTS).filter(|more| *more > 0) {
        let text = format!("and {} more: materia postgres list", humanize::count(more as u64));
        lines.push(Line::from(canvas.span(StyleRole::Dim, format!("       {text}"))));
    }
    lines
}

fn attention(canvas: &Canvas, context: &Context, columns: usize) -> Vec<Line<'static>> {
    let mut problems = Vec::new();
    problems.extend(context.reader.config_error.clone().filter(|_| context.status().is_some()));
    problems.extend(context.status_view.error.clone().filter(|_| context.status().is_some()));
    if let (Some(facts), Some(config)) = (context.facts(), &context.reader.config) {
        let findings = facts.findings(&config.settings.alerts, canvas.now);
        let findings = findings.into_iter().chain(facts.warnings());
        problems.extend(findings.map(|finding| finding.text));
    }
    problems.extend(context.status().and_then(lost_lines_text));
    problems.extend(site_error(context));
    let mut lines = vec![Line::default()];
    if problems.is_empty() {
        if context.status().is_some() {
            lines.extend(field(canvas, "Attention", StyleRole::Good, "all clear", columns));
        }
        return lines;
    }
    lines.push(heading(canvas, "Needs attention"));
    for problem in problems {
        for (index, row) in wrap(&problem, columns.saturating_sub(2)).into_iter().enumerate() {
            let mark = if index == 0 { canvas.theme.dot() } else { " " };
            lines.push(Line::from(vec![
                canvas.span(StyleRole::Bad, format!("{mark} ")),
                canvas.span(StyleRole::Text, row),
            ]));
        }
    }
    lines
}

/// Describes the command that was started from the dashboard.
fn job_lines(canvas: &Canvas, job: &Job, columns: usize) -> Vec<Line<'static>> {
    let mut lines = vec![Line::default(), heading(canvas, &format!("$ {}", job.command))];
    let last = job.ended.as_ref().map(|(_, message)| message);
    let output: Vec<_> = job.output.iter().filter(|line| Some(*line) != last).collect();
    for line in &output[output.len().saturating_sub(4)..] {
        lines.push(Line::from(
            canvas
                .span(StyleRole::Dim, format!("  {}", canvas.fit(line, columns.saturating_sub(2)))),
        ));
    }
    let (role, text) = match &job.ended {
        None => (
            StyleRole::Accent,
            format!(
                "{} {}, started {}",
                canvas.theme.spinner(canvas.spinner_frame),
                job.status,
                format_ago(job.started_at, canvas.now)
            ),
        ),
        Some((true, message)) => (StyleRole::Good, message.clone()),
        Some((false, message)) => (StyleRole::Bad, message.clone()),
    };
    lines.extend(
        wrap(&text, columns.saturating_sub(2))
            .into_iter()
            .map(|row| Line::from(vec![Span::raw("  "), canvas.span(role, row)])),
    );
    lines
}

fn newest_attempts(
    canvas: &Canvas,
    attempts: &[AttemptRecord],
    columns: usize,
) -> Vec<Line<'static>> {
    attempts
        .iter()
        .rev()
        .map(|record| {
            let took = humanize::duration(Duration::from_millis(record.total_ms));
            let why = failure_reason(record);
            let used = 19 + 2 + 12 + 10 + 2;
            let space =
                Some(columns.saturating_sub(used)).filter(|space| *space >= 12).unwrap_or_default();
            Line::from(vec![
                canvas.span(StyleRole::Dim, format!("{}  ", record.id)),
                canvas
                    .span(outcome_role(record.outcome), format!("{:<12}", record.outcome.label())),
                canvas.span(StyleRole::Text, format!("{took:>10}  ")),
                canvas.span(StyleRole::Dim, canvas.fit(why, space)),
            ])
        })
        .collect()
}
