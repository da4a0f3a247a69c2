//! Drawing of the list of attempts, of one attempt, and of a comparison of two.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use materia::{
    humanize,
    settings::Severity,
    status::Status,
    store::GenerationId,
    store::{
        AttemptOutcome, AttemptRecord, Audit, ColumnManifest, Revision, SnapshotMethod,
        TableManifest,
    },
};
use ratatui::{
    layout::Rect,
    text::{Line, Span},
};

use super::{
    HistoryScreen, OpenAttempt, ValueComparison, content_change, find_attempt, find_manifest,
    table_change,
};
use crate::{
    context::{Context, format_ago},
    layout,
    message::ClickTarget,
    screens::tables::{RowChange, format_change},
    text::{width, wrap},
    theme::{ColorDepth, StyleRole},
    views::Canvas,
};

pub(super) fn draw(screen: &HistoryScreen, canvas: &mut Canvas, area: Rect, context: &Context) {
    let Some(status) = context.status() else {
        let line = match &context.status_view.error {
            Some(error) => Line::from(canvas.span(StyleRole::Bad, format!(" {error}"))),
            None => Line::from(vec![
                Span::raw(" "),
                canvas.spinner(),
                canvas.span(StyleRole::Dim, " reading the history"),
            ]),
        };
        return canvas.line(area, line);
    };
    let columns = usize::from(area.width).saturating_sub(2);
    let mut lines = match &screen.open {
        None => return draw_list(screen, canvas, area, (context, status)),
        Some(OpenAttempt::One(id)) => match find_attempt(status, id) {
            Some(record) => attempt(canvas, (context, status), record, columns),
            None => vec![Line::from(
                canvas.span(StyleRole::Dim, " this attempt is no longer in the history"),
            )],
        },
        Some(OpenAttempt::Compared(older, newer)) => {
            comparison(canvas, status, (older, newer), columns)
        }
    };
    if let Some(values) = &screen.values {
        lines.extend(value_lines(canvas, values, columns));
    }
    let inside = Rect { x: area.x + 1, width: area.width - 1, ..area };
    canvas.scrolled(inside, lines, screen.scroll);
}

/// Minimum width for a column with durations.
const MIN_WIDTH_WITH_TOOK: u16 = 68;
/// Minimum widths for columns with the local time, and with the age as well.
const MIN_WIDTH_WITH_LOCAL_TIME: u16 = 100;
const MIN_WIDTH_WITH_AGE: u16 = 130;

/// The phases of an attempt: name, sign for terminals without colors, and role.
const PARTS: [(&str, &str, StyleRole); 5] = [
    ("wait", ".", StyleRole::Dim),
    ("blocked", "b", StyleRole::Warn),
    ("stage", "s", StyleRole::Series(0)),
    ("audit", "a", StyleRole::Series(3)),
    ("publish", "p", StyleRole::Series(4)),
];

/// Returns the milliseconds of each phase, in order; time that blocked the pipeline is separate
/// from staging that did not.
fn parts(record: &AttemptRecord) -> [u64; 5] {
    // A copy is taken before staging begins; in place, staging blocks writers.
    let stage = if record.snapshot == Some(SnapshotMethod::None) {
        record.stage_ms.saturating_sub(record.blocked_ms)
    } else {
        record.stage_ms
    };
    [record.wait_ms, record.blocked_ms, stage, record.audit_ms, record.publish_ms]
}

/// Returns the sign of a phase, which distinguishes it without colors.
fn sign(canvas: &Canvas, part: usize) -> &'static str {
    if canvas.theme.ascii || canvas.theme.depth == ColorDepth::None {
        PARTS[part].1
    } else {
        canvas.theme.bar()
    }
}

/// Draws the phases one after the other, in proportion to their durations.
fn bar(
    canvas: &Canvas,
    record: &AttemptRecord,
    longest: u64,
    columns: usize,
) -> Vec<Span<'static>> {
    let cells = |ms: u64| {
        usize::try_from(ms * columns as u64 / longest.max(1)).unwrap_or_default().min(columns)
    };
    let mut spans = Vec::new();
    let (mut passed, mut drawn) = (0, 0);
    for (part, ms) in parts(record).into_iter().enumerate() {
        passed += ms;
        let end = cells(passed);
        spans
            .push(canvas.span(PARTS[part].2, sign(canvas, part).repeat(end.saturating_sub(drawn))));
        drawn = end.max(drawn);
    }
    spans
}

/// Explains the phases of a bar.
fn legend(canvas: &Canvas) -> Vec<Span<'static>> {
    let named = |(part, (name, _, role)): (usize, &(&str, &str, StyleRole))| {
        [canvas.span(*role, sign(canvas, part)), canvas.span(StyleRole::Dim, format!(" {name}  "))]
    };
    PARTS.iter().enumerate().flat_map(named).collect()
}

/// Describes how many lines of the history cannot be read.
pub(crate) fn lost_lines_text(status: &Status) -> Option<String> {
    let lines = Some(status.history_lost).filter(|lost| *lost > 0)?;
    Some(format!("{} of the history cannot be read: left out", humanize::plural(lines, "line")))
}

/// Returns the role of an outcome.
pub(crate) fn outcome_role(outcome: AttemptOutcome) -> StyleRole {
    match outcome {
        AttemptOutcome::Published | AttemptOutcome::RolledBack | AttemptOutcome::Migrated => {
            StyleRole::Good
        }
        AttemptOutcome::Unchanged | AttemptOutcome::Released => StyleRole::Dim,
        AttemptOutcome::Refused | AttemptOutcome::Held => StyleRole::Warn,
        AttemptOutcome::Failed | AttemptOutcome::Interrupted => StyleRole::Bad,
    }
}

/// Returns the first line of the error, without the outcome, which is drawn next to it.
pub(crate) fn failure_reason(record: &AttemptRecord) -> &str {
    let why = record.error.as_deref().and_then(|error| error.lines().next()).unwrap_or_default();
    why.strip_prefix(record.outcome.label())
        .map_or(why, |why| why.trim_start_matches([':', ';', ' ']))
}

/// Draws one bar per attempt, newest at the right: its height is the duration, its color the
/// outcome.
pub(crate) fn duration_sparkline(
    canvas: &Canvas,
    attempts: &[AttemptRecord],
    columns: usize,
) -> Line<'static> {
    let shown = &attempts[attempts.len().saturating_sub(columns)..];
    let longest = shown.iter().map(|record| record.total_ms).max().unwrap_or_default().max(1);
    let tall = |record: &AttemptRecord| canvas.theme.spark(record.total_ms as f64 / longest as f64);
    Line::from(
        shown
            .iter()
            .map(|record| canvas.span(outcome_role(record.outcome), tall(record)))
            .collect::<Vec<_>>(),
    )
}

fn ms(milliseconds: u64) -> String {
    humanize::duration(Duration::from_millis(milliseconds))
}

fn draw_list(
    screen: &HistoryScreen,
    canvas: &mut Canvas,
    area: Rect,
    (context, status): (&Context, &Status),
) {
    let [headings, body, below] = layout::list(area);
    // A narrow terminal shows only the essentials: the outcome and the rows.
    let has_took = area.width >= MIN_WIDTH_WITH_TOOK;
    let took_column = |text: &str| if has_took { format!("{text:>10}  ") } else { String::new() };
    // Local time and age, where the steps keep enough room.
    let has_local = area.width >= MIN_WIDTH_WITH_LOCAL_TIME;
    let has_age = area.width >= MIN_WIDTH_WITH_AGE;
    let time_columns = |local: &str, age: &str| {
        let local = if has_local { format!("{local:<12}  ") } else { String::new() };
        let age = if has_age { format!("{age:<15}  ") } else { String::new() };
        format!("{local}{age}")
    };
    let title = format!(
        "   {:<19}  {}{:<12}  {}{:>13}  ",
        "Attempt",
        time_columns("Local time", "Ended"),
        "Outcome",
        took_column("Took"),
        "Rows"
    );
    let mut spans = vec![canvas.span(StyleRole::Heading, title)];
    spans.extend(if area.width >= 110 {
        legend(canvas)
    } else {
        vec![canvas.span(StyleRole::Heading, "Steps")]
    });
    canvas.line(headings, Line::from(spans));
    if status.history.is_empty() {
        let line = match lost_lines_text(status) {
            Some(error) => canvas.span(StyleRole::Bad, format!(" {error}")),
            None => {
                canvas.span(StyleRole::Dim, " nothing has been exported yet; run `materia export`")
            }
        };
        return canvas.line(body, Line::from(line));
    }
    let attempts = screen.shown(status);
    let len = attempts.len();
    let view = screen.cursor.visible_range(len, usize::from(body.height));
    let shown: Vec<&AttemptRecord> = attempts[view.clone()].to_vec();
    let longest = shown.iter().map(|record| record.total_ms).max().unwrap_or_default();
    let base = if has_took { 66 } else { 54 };
    let used = base + time_columns("", "").len();
    let space = usize::from(area.width).saturating_sub(used + 2);
    for ((row, index), record) in body.rows().zip(view).zip(shown) {
        // A generation belongs to the attempt that created it, not to those that found no changes.
        let created =
            record.generation.as_ref().filter(|_| record.outcome != AttemptOutcome::Unchanged);
        let served = created.is_some() && created == status.generation.as_ref();
        let retained = status.generations.iter().find(|generation| Some(&generation.id) == created);
        let marked = screen.marked.as_ref() == Some(&record.id);
        let mark = match (marked, served, retained.is_some_and(|generation| generation.pinned)) {
            (true, ..) => "=",
            (_, true, _) => canvas.theme.dot(),
            (_, _, true) => "P",
            _ if retained.is_some() => canvas.theme.middle(),
            _ => " ",
        };
        let mut spans = vec![
            canvas.span(
                if served { StyleRole::Good } else { StyleRole::Accent },
                format!(" {mark} "),
            ),
            canvas.span(StyleRole::Text, format!("{}  ", record.id)),
            canvas.span(
                StyleRole::Dim,
                time_columns(
                    &context.format_local(record.ended_at),
                    &format_ago(record.ended_at, canvas.now),
                ),
            ),
            canvas.span(outcome_role(record.outcome), format!("{:<12}  ", record.outcome.label())),
            canvas.span(
                StyleRole::Text,
                format!(
                    "{}{:>13}  ",
                    took_column(&ms(record.total_ms)),
                    if record.tables.is_empty() {
                        String::new()
                    } else {
                        humanize::count(record.rows())
                    }
                ),
            ),
        ];
        if record.error.is_none() {
            spans.extend(bar(canvas, record, longest, space));
        } else {
            spans.push(canvas.span(
                StyleRole::Dim,
                canvas.fit(failure_reason(record), usize::from(area.width).saturating_sub(used)),
            ));
        }
        canvas.line(row, Line::from(spans));
        if index == screen.cursor.at {
            canvas.select(row);
        }
        canvas.add_click_area(row, ClickTarget::Line(index));
    }
    let text = format!(
        " {}{}   {} served   {} kept   P pinned   = marked",
        humanize::plural(len, "attempt"),
        screen.filter.label(),
        canvas.theme.dot(),
        canvas.theme.middle()
    );
    let error =
        lost_lines_text(status).map(|error| canvas.span(StyleRole::Bad, format!(" {error}  ")));
    let spans: Vec<_> = error.into_iter().chain([canvas.span(StyleRole::Dim, text)]).collect();
    canvas.line(below, Line::from(spans));
}

fn pair(
    canvas: &Canvas,
    name: &str,
    role: StyleRole,
    text: &str,
    columns: usize,
) -> Vec<Line<'static>> {
    let rows = wrap(text, columns.saturating_sub(11));
    let line = |(index, row): (usize, String)| {
        Line::from(vec![
            canvas.span(StyleRole::Dim, format!("{:<11}", if index == 0 { name } else { "" })),
            canvas.span(role, row),
        ])
    };
    rows.into_iter().enumerate().map(line).collect()
}

fn attempt(
    canvas: &Canvas,
    (context, status): (&Context, &Status),
    record: &AttemptRecord,
    columns: usize,
) -> Vec<Line<'static>> {
    let manifest = record.generation.as_ref().and_then(|id| find_manifest(status, id));
    let mut lines = pair(canvas, "Attempt", StyleRole::Strong, record.id.as_str(), columns);
    let forced = if record.forced { ", forced" } else { "" };
    lines.extend(pair(
        canvas,
        "Outcome",
        outcome_role(record.outcome),
        &format!("{}{forced}, {}", record.outcome.label(), format_ago(record.ended_at, canvas.now)),
        columns,
    ));
    let [began, ended] =
        [record.started_at, record.ended_at].map(|time| time.to_zoned(context.zone.clone()));
    let times =
        format!("{} to {}", began.strftime("%-d %b %Y %H:%M:%S"), ended.strftime("%H:%M:%S %Z"));
    lines.extend(pair(canvas, "Local time", StyleRole::Text, &times, columns));
    if let Some(error) = &record.error {
        let error = error.lines().map(str::trim).collect::<Vec<_>>().join("\n");
        lines.extend(pair(canvas, "Error", StyleRole::Bad, &error, columns));
    }
    if let Some(source) = &record.lakehouse {
        let how =
            record.snapshot.map(|how| format!(", {}", snapshot_text(how))).unwrap_or_default();
        let text = format!("{}, {}{how}", source.path.display(), humanize::bytes(source.bytes));
        lines.extend(pair(canvas, "Lakehouse", StyleRole::Text, &text, columns));
    }
    if let Some(previous) = &record.previous {
        lines.extend(pair(canvas, "Before", StyleRole::Dim, previous.as_str(), columns));
    }
    let steps = [
        ("wait", record.wait_ms),
        ("stage", record.stage_ms),
        ("audit", record.audit_ms),
        ("publish", record.publish_ms),
    ];
    let took = steps.map(|(name, time)| format!("{name} {}", ms(time))).join(", ");
    let blocked = format!(
        "{}: {took}; the pipeline was blocked for {}",
        ms(record.total_ms),
        ms(record.blocked_ms)
    );
    lines.extend(pair(canvas, "Took", StyleRole::Text, &blocked, columns));
    let mut spans = vec![Span::raw(" ".repeat(11))];
    spans.extend(bar(canvas, record, record.total_ms, columns.saturating_sub(11).min(60)));
    lines.push(Line::from(spans));
    let mut spans = vec![Span::raw(" ".repeat(11))];
    spans.extend(legend(canvas));
    lines.push(Line::from(spans));
    if record.bytes > 0 {
        lines.extend(pair(
            canvas,
            "Size",
            StyleRole::Text,
            &humanize::bytes(record.bytes),
            columns,
        ));
    }
    let audits = manifest.map_or(&record.audits_failed[..], |manifest| &manifest.audits.audits);
    lines.extend(audit_lines(canvas, record, audits, columns));
    let of_manifest = manifest
        .filter(|_| record.outcome == AttemptOutcome::Published)
        .map(|manifest| &manifest.revisions[..]);
    lines.extend(revised(canvas, of_manifest.unwrap_or(&record.revisions), columns));
    lines.extend(table_lines(canvas, status, record, columns));
    lines
}

fn audit_lines(
    canvas: &Canvas,
    record: &AttemptRecord,
    audits: &[Audit],
    columns: usize,
) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let failed =
        record.audits_failed.iter().filter(|audit| audit.severity == Severity::Error).count();
    let warned = record.audits_failed.len() - failed;
    if !audits.is_empty() || record.audits_passed > 0 {
        lines.push(Line::default());
        let mut text = format!("Audits: {} passed, {failed} failed", record.audits_passed);
        if warned > 0 {
            let _ = write!(text, ", {}", humanize::plural(warned, "warning"));
        }
        lines.push(Line::from(canvas.span(StyleRole::Heading, text)));
        for audit in audits
            .iter()
            .filter(|audit| !audit.passed)
            .chain(audits.iter().filter(|audit| audit.passed))
        {
            lines.push(audit_line(canvas, audit, columns));
        }
    }
    lines
}

fn table_lines(
    canvas: &Canvas,
    status: &Status,
    record: &AttemptRecord,
    columns: usize,
) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if !record.tables.is_empty() {
        lines.push(Line::default());
        // A shorter text would be illegible.
        let why = columns.saturating_sub(75);
        let why = if why < 12 { 0 } else { why };
        let title = format!(
            "{:<32}  {:>13}  {:>11}  {:>10}  {}",
            "Table",
            "Rows",
            "Change",
            "Took",
            if why == 0 { "" } else { "Why" }
        );
        lines.push(Line::from(canvas.span(StyleRole::Heading, title)));
        lines.extend(record.tables.iter().map(|table| {
            let moved = table_change(status, record, table);
            let (role, moved) = format_change(moved).unwrap_or((StyleRole::Dim, String::new()));
            Line::from(vec![
                canvas.span(StyleRole::Text, canvas.fit(&table.name, 32)),
                canvas.span(StyleRole::Text, format!("  {:>13}  ", humanize::count(table.rows))),
                canvas.span(role, format!("{moved:>11}")),
                canvas.span(
                    StyleRole::Dim,
                    format!(
                        "  {:>10}  ",
                        if table.reused { "kept".to_owned() } else { ms(table.ms) }
                    ),
                ),
                canvas.span(StyleRole::Dim, canvas.fit(&table.why, why)),
            ])
        }));
    }
    lines
}

/// Lists the values that were revised since the previous generation.
fn revised(canvas: &Canvas, revisions: &[Revision], columns: usize) -> Vec<Line<'static>> {
    const MAX_COLUMNS: usize = 8;
    let mut lines = Vec::new();
    if !revisions.is_empty() {
        lines.push(Line::default());
        lines.push(Line::from(canvas.span(StyleRole::Heading, "Revised values")));
    }
    for revision in revisions {
        let text = format!("{}: {}", revision.table, revision.counts());
        lines.push(Line::from(canvas.span(StyleRole::Text, canvas.fit(&text, columns))));
        let figures = revision.columns.iter().take(MAX_COLUMNS).map(ToString::to_string);
        let details = revision
            .shift
            .iter()
            .map(ToString::to_string)
            .chain(figures)
            .chain(revision.largest.iter().map(ToString::to_string));
        lines.extend(details.map(|text| {
            Line::from(canvas.span(StyleRole::Dim, canvas.fit(&format!("  {text}"), columns)))
        }));
    }
    lines
}

fn audit_line(canvas: &Canvas, audit: &Audit, columns: usize) -> Line<'static> {
    let (role, word) = match (audit.passed, audit.severity) {
        (true, _) => (StyleRole::Good, "passed"),
        (false, Severity::Error) => (StyleRole::Bad, "failed"),
        (false, Severity::Warn) => (StyleRole::Warn, "warned"),
    };
    let about = audit.table.as_ref().map(|table| format!("{table} ")).unwrap_or_default();
    let text = format!("{about}{}: {}", audit.name, audit.found);
    Line::from(vec![
        canvas.span(role, format!("{word}  ")),
        canvas.span(StyleRole::Text, canvas.fit(&text, columns.saturating_sub(8))),
    ])
}

/// Describes how the lakehouse was read.
fn snapshot_text(how: SnapshotMethod) -> &'static str {
    match how {
        SnapshotMethod::Reflink => "from a copy that shares its blocks",
        SnapshotMethod::Copy => "from a copy",
        SnapshotMethod::None => "in place",
    }
}

/// A table in two attempts, with its rows and columns if known.
#[derive(Default)]
struct TablePair<'a> {
    rows: [Option<u64>; 2],
    manifests: [Option<&'a TableManifest>; 2],
}

fn comparison(
    canvas: &Canvas,
    status: &Status,
    (older, newer): (&GenerationId, &GenerationId),
    columns: usize,
) -> Vec<Line<'static>> {
    let sides = [find_attempt(status, older), find_attempt(status, newer)];
    let (Some(old), Some(new)) = (sides[0], sides[1]) else {
        return vec![Line::from(
            canvas.span(StyleRole::Dim, "one of them is no longer in the history"),
        )];
    };
    let mut tables = BTreeMap::<&str, TablePair>::new();
    for (side, record) in [old, new].into_iter().enumerate() {
        for table in &record.tables {
            tables.entry(&table.name).or_default().rows[side] = Some(table.rows);
        }
        let known = record.generation.as_ref().and_then(|id| find_manifest(status, id));
        for table in known.map(|manifest| &manifest.tables[..]).unwrap_or_default() {
            tables.entry(&table.name).or_default().manifests[side] = Some(table);
        }
    }
    let widest = tables.keys().map(|name| width(name, 48)).max().unwrap_or_default();
    let wide = columns.saturating_sub(61).min(widest.max(12));
    let head = |name: &str, one: String, two: String| {
        Line::from(vec![
            canvas.span(StyleRole::Dim, format!("{name:<wide$}")),
            canvas.span(StyleRole::Text, format!("  {one:>19}  {two:>19}")),
        ])
    };
    let mut lines = vec![
        head("", old.id.to_string(), new.id.to_string()),
        head("outcome", old.outcome.label().to_owned(), new.outcome.label().to_owned()),
        head("bytes", humanize::bytes(old.bytes), humanize::bytes(new.bytes)),
        head("rows", humanize::count(old.rows()), humanize::count(new.rows())),
        head("took", ms(old.total_ms), ms(new.total_ms)),
        Line::default(),
        Line::from(canvas.span(
            StyleRole::Heading,
            format!(
                "{:<wide$}  {:>19}  {:>19}  {:>10}  {:>5}",
                "Table", "Rows", "Rows", "Change", "Cols"
            ),
        )),
    ];
    for (name, sides) in tables {
        let count = |rows: Option<u64>| {
            rows.map_or_else(|| canvas.theme.middle().to_owned(), humanize::count)
        };
        let (role, moved) = match sides.rows {
            [Some(before), Some(after)] if before == after => {
                format_change(content_change(sides.manifests[0], sides.manifests[1]))
            }
            [Some(before), Some(after)] => {
                format_change(RowChange::Rows(after.cast_signed() - before.cast_signed()))
            }
            [None, Some(_)] => Some((StyleRole::Accent, "new".to_owned())),
            [Some(_), None] => Some((StyleRole::Bad, "gone".to_owned())),
            [None, None] => None,
        }
        .unwrap_or((StyleRole::Dim, String::new()));
        let count_of = match sides.manifests.map(|table| table.map(|table| table.columns.len())) {
            [Some(before), Some(after)] if before != after => {
                format!("{before}{}{after}", canvas.theme.arrow())
            }
            [_, Some(columns)] | [Some(columns), _] => columns.to_string(),
            _ => String::new(),
        };
        lines.push(Line::from(vec![
            canvas.span(StyleRole::Strong, canvas.fit(name, wide)),
            canvas.span(
                StyleRole::Text,
                format!("  {:>19}  {:>19}  ", count(sides.rows[0]), count(sides.rows[1])),
            ),
            canvas.span(role, format!("{moved:>10}")),
            canvas.span(StyleRole::Dim, format!("  {count_of:>5}")),
        ]));
        if let [Some(before), Some(after)] = sides.manifests {
            lines.extend(changed_columns(canvas, &before.columns, &after.columns, columns));
        }
    }
    lines
}

/// Lists the differences between the values of two generations.
fn value_lines(canvas: &Canvas, values: &ValueComparison, columns: usize) -> Vec<Line<'static>> {
    let mut lines = vec![Line::default(), Line::from(canvas.span(StyleRole::Heading, "Values"))];
    match &values.result {
        None => lines.push(Line::from(vec![
            canvas.spinner(),
            canvas.span(StyleRole::Dim, " reading both generations; esc stops it"),
        ])),
        Some(Err(error)) => lines.extend(
            wrap(error, columns)
                .into_iter()
                .map(|row| Line::from(canvas.span(StyleRole::Bad, row))),
        ),
        Some(Ok(text)) => lines.extend(text.lines().flat_map(|line| {
            let role = if line.starts_with(' ') { StyleRole::Dim } else { StyleRole::Text };
            let rows = wrap(line, columns).into_iter();
            rows.map(|row| Line::from(canvas.span(role, row))).collect::<Vec<_>>()
        })),
    }
    lines
}

/// Lists columns that only one of two generations has, or whose types differ.
fn changed_columns(
    canvas: &Canvas,
    before: &[ColumnManifest],
    after: &[ColumnManifest],
    space: usize,
) -> Vec<Line<'static>> {
    let lacks = |columns: &[ColumnManifest], wanted: &ColumnManifest| {
        !columns
            .iter()
            .any(|column| column.name == wanted.name && column.data_type == wanted.data_type)
    };
    let removed = before
        .iter()
        .filter(|column| lacks(after, column))
        .map(|column| (StyleRole::Bad, "-", column));
    let added = after
        .iter()
        .filter(|column| lacks(before, column))
        .map(|column| (StyleRole::Accent, "+", column));
    let line = |(role, sign, column): (StyleRole, &str, &ColumnManifest)| {
        let text = format!("  {sign} {} {}", column.name, column.data_type);
        Line::from(canvas.span(role, canvas.fit(&text, space)))
    };
    removed.chain(added).map(line).collect()
}
