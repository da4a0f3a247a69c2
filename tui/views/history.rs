//! Every attempt, one of them in full, or two side by side.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use materia::{
    export::{Audit, Column, How, Manifest, Outcome, Record, Revision},
    settings::Severity,
    status::Status,
    target::GenerationId,
    words,
};
use ratatui::{
    layout::Rect,
    text::{Line, Span},
};

use super::{
    Paint,
    now::{history_problem, reason, role_of},
    tables::change,
};
use crate::tui::{
    layout,
    look::{Depth, Role},
    message::Target,
    state::{
        State, ago,
        history::{Open, record},
        tables::Change,
    },
    text::{width, wrap},
};

pub(super) fn draw(paint: &mut Paint, area: Rect, state: &State) {
    let Some(status) = state.status() else {
        let line = match &state.overview.problem {
            Some(problem) => Line::from(paint.span(Role::Bad, format!(" {problem}"))),
            None => Line::from(vec![Span::raw(" "), paint.spinner(), paint.span(Role::Dim, " reading the history")]),
        };
        return paint.line(area, line);
    };
    let columns = usize::from(area.width).saturating_sub(2);
    let lines = match &state.history.open {
        None => return list(paint, area, state, status),
        Some(Open::Attempt(id)) => match record(status, id) {
            Some(record) => attempt(paint, status, record, columns),
            None => vec![Line::from(paint.span(Role::Dim, " this attempt is not in the history any more"))],
        },
        Some(Open::Compared(one, other)) => compared(paint, status, (one, other), columns),
    };
    let inside = Rect { x: area.x + 1, width: area.width - 1, ..area };
    paint.scrolled(inside, lines, state.history.scroll);
}

/// What the parts of a bar are called, the sign of each where there are no colours, and its role.
const PARTS: [(&str, &str, Role); 5] = [
    ("wait", ".", Role::Dim),
    ("blocked", "b", Role::Warn),
    ("stage", "s", Role::Series(0)),
    ("audit", "a", Role::Series(3)),
    ("publish", "p", Role::Series(4)),
];

/// How long each part of an attempt took, in milliseconds, one after the other: what blocked the pipeline, and what was staged while it did not.
fn parts(record: &Record) -> [u64; 5] {
    // A copy is taken before anything is staged; in place, staging is what blocks.
    let stage = if record.snapshot == Some(How::None) { record.stage_ms.saturating_sub(record.blocked_ms) } else { record.stage_ms };
    [record.wait_ms, record.blocked_ms, stage, record.audit_ms, record.publish_ms]
}

/// The sign that a part of a bar is drawn with: signs tell parts apart where colours do not.
fn sign(paint: &Paint, part: usize) -> &'static str {
    if paint.look.ascii || paint.look.depth == Depth::None { PARTS[part].1 } else { paint.look.bar() }
}

/// Parts one after the other, as long as they took.
fn bar(paint: &Paint, record: &Record, longest: u64, columns: usize) -> Vec<Span<'static>> {
    let cells = |ms: u64| usize::try_from(ms * columns as u64 / longest.max(1)).unwrap_or_default().min(columns);
    let mut spans = Vec::new();
    let (mut passed, mut drawn) = (0, 0);
    for (part, ms) in parts(record).into_iter().enumerate() {
        passed += ms;
        let end = cells(passed);
        spans.push(paint.span(PARTS[part].2, sign(paint, part).repeat(end.saturating_sub(drawn))));
        drawn = end.max(drawn);
    }
    spans
}

/// What the parts of a bar are.
fn legend(paint: &Paint) -> Vec<Span<'static>> {
    let named = |(part, (name, _, role)): (usize, &(&str, &str, Role))| {
        [paint.span(*role, sign(paint, part)), paint.span(Role::Dim, format!(" {name}  "))]
    };
    PARTS.iter().enumerate().flat_map(named).collect()
}

fn ms(milliseconds: u64) -> String {
    words::duration(Duration::from_millis(milliseconds))
}

fn list(paint: &mut Paint, area: Rect, state: &State, status: &Status) {
    let [headings, body, below] = layout::list(area);
    let title = format!("   {:<19}  {:<12}  {:>10}  {:>13}  ", "Attempt", "Outcome", "Took", "Rows");
    let mut spans = vec![paint.span(Role::Heading, title)];
    spans.extend(if area.width >= 110 { legend(paint) } else { vec![paint.span(Role::Heading, "Steps")] });
    paint.line(headings, Line::from(spans));
    if status.history.is_empty() {
        let line = match history_problem(status) {
            Some(problem) => paint.span(Role::Bad, format!(" {problem}")),
            None => paint.span(Role::Dim, " nothing has been exported yet; run `materia export`"),
        };
        return paint.line(body, Line::from(line));
    }
    let len = status.history.len();
    let view = state.history.cursor.view(len, usize::from(body.height));
    let shown: Vec<&Record> = view.clone().filter_map(|index| status.history.get(len - 1 - index)).collect();
    let longest = shown.iter().map(|record| record.total_ms).max().unwrap_or_default();
    let space = usize::from(area.width).saturating_sub(68);
    for ((row, index), record) in body.rows().zip(view).zip(shown) {
        // The attempt that made a generation stands for it, not those that found nothing to change.
        let made = record.generation.as_ref().filter(|_| record.outcome != Outcome::Unchanged);
        let served = made.is_some() && made == status.generation.as_ref();
        let kept = status.generations.iter().find(|generation| Some(&generation.id) == made);
        let marked = state.history.marked.as_ref() == Some(&record.id);
        let mark = match (marked, served, kept.is_some_and(|kept| kept.pinned)) {
            (true, ..) => "=",
            (_, true, _) => paint.look.dot(),
            (_, _, true) => "P",
            _ if kept.is_some() => paint.look.middle(),
            _ => " ",
        };
        let mut spans = vec![
            paint.span(if served { Role::Good } else { Role::Accent }, format!(" {mark} ")),
            paint.span(Role::Text, format!("{}  ", record.id)),
            paint.span(role_of(record.outcome), format!("{:<12}  ", record.outcome.word())),
            paint.span(
                Role::Text,
                format!(
                    "{:>10}  {:>13}  ",
                    ms(record.total_ms),
                    if record.tables.is_empty() { String::new() } else { words::count(record.rows()) }
                ),
            ),
        ];
        if record.error.is_none() {
            spans.extend(bar(paint, record, longest, space));
        } else {
            spans.push(paint.span(Role::Dim, paint.fit(reason(record), usize::from(area.width).saturating_sub(66))));
        }
        paint.line(row, Line::from(spans));
        if index == state.history.cursor.at {
            paint.select(row);
        }
        paint.hit(row, Target::Line(index));
    }
    let text =
        format!(" {}   {} served   {} kept   P pinned   = marked", words::plural(len, "attempt"), paint.look.dot(), paint.look.middle());
    let problem = history_problem(status).map(|problem| paint.span(Role::Bad, format!(" {problem}  ")));
    let spans: Vec<_> = problem.into_iter().chain([paint.span(Role::Dim, text)]).collect();
    paint.line(below, Line::from(spans));
}

fn pair(paint: &Paint, name: &str, role: Role, text: &str, columns: usize) -> Vec<Line<'static>> {
    let rows = wrap(text, columns.saturating_sub(11));
    let line = |(index, row): (usize, String)| {
        Line::from(vec![paint.span(Role::Dim, format!("{:<11}", if index == 0 { name } else { "" })), paint.span(role, row)])
    };
    rows.into_iter().enumerate().map(line).collect()
}

fn attempt(paint: &Paint, status: &Status, record: &Record, columns: usize) -> Vec<Line<'static>> {
    let manifest = record.generation.as_ref().and_then(|id| manifest(status, id));
    let mut lines = pair(paint, "Attempt", Role::Strong, record.id.as_str(), columns);
    let forced = if record.forced { ", forced" } else { "" };
    lines.extend(pair(
        paint,
        "Outcome",
        role_of(record.outcome),
        &format!("{}{forced}, {}", record.outcome.word(), ago(record.ended_at, paint.now)),
        columns,
    ));
    if let Some(error) = &record.error {
        let error = error.lines().map(str::trim).collect::<Vec<_>>().join("\n");
        lines.extend(pair(paint, "Error", Role::Bad, &error, columns));
    }
    if let Some(source) = &record.lakehouse {
        let how = record.snapshot.map(|how| format!(", {}", how_word(how))).unwrap_or_default();
        let text = format!("{}, {}{how}", source.path.display(), words::bytes(source.bytes));
        lines.extend(pair(paint, "Lakehouse", Role::Text, &text, columns));
    }
    if let Some(previous) = &record.previous {
        lines.extend(pair(paint, "Before", Role::Dim, previous.as_str(), columns));
    }
    let steps = [("wait", record.wait_ms), ("stage", record.stage_ms), ("audit", record.audit_ms), ("publish", record.publish_ms)];
    let took = steps.map(|(name, time)| format!("{name} {}", ms(time))).join(", ");
    let blocked = format!("{}: {took}; the pipeline was blocked for {}", ms(record.total_ms), ms(record.blocked_ms));
    lines.extend(pair(paint, "Took", Role::Text, &blocked, columns));
    let mut spans = vec![Span::raw(" ".repeat(11))];
    spans.extend(bar(paint, record, record.total_ms, columns.saturating_sub(11).min(60)));
    lines.push(Line::from(spans));
    let mut spans = vec![Span::raw(" ".repeat(11))];
    spans.extend(legend(paint));
    lines.push(Line::from(spans));
    if record.bytes > 0 {
        lines.extend(pair(paint, "Size", Role::Text, &words::bytes(record.bytes), columns));
    }
    let audits = manifest.map_or(&record.audits_failed[..], |manifest| &manifest.audits.audits);
    let failed = record.audits_failed.iter().filter(|audit| audit.severity == Severity::Error).count();
    let warned = record.audits_failed.len() - failed;
    if !audits.is_empty() || record.audits_passed > 0 {
        lines.push(Line::default());
        let mut text = format!("Audits: {} passed, {failed} failed", record.audits_passed);
        if warned > 0 {
            let _ = write!(text, ", {}", words::plural(warned, "warning"));
        }
        lines.push(Line::from(paint.span(Role::Heading, text)));
        for audit in audits.iter().filter(|audit| !audit.passed).chain(audits.iter().filter(|audit| audit.passed)) {
            lines.push(audit_line(paint, audit, columns));
        }
    }
    let of_manifest = manifest.filter(|_| record.outcome == Outcome::Published).map(|manifest| &manifest.revisions[..]);
    lines.extend(revised(paint, of_manifest.unwrap_or(&record.revisions), columns));
    if !record.tables.is_empty() {
        lines.push(Line::default());
        // Less than this tells nothing.
        let why = columns.saturating_sub(75);
        let why = if why < 12 { 0 } else { why };
        let title = format!("{:<32}  {:>13}  {:>11}  {:>10}  {}", "Table", "Rows", "Change", "Took", if why == 0 { "" } else { "Why" });
        lines.push(Line::from(paint.span(Role::Heading, title)));
        lines.extend(record.tables.iter().map(|table| {
            let moved = match table.previous_rows {
                Some(before) => Change::Rows(table.rows.cast_signed() - before.cast_signed()),
                None if record.previous.is_some() && record.outcome != Outcome::RolledBack => Change::New,
                None => Change::Unknown,
            };
            let (role, moved) = change(moved).unwrap_or((Role::Dim, String::new()));
            Line::from(vec![
                paint.span(Role::Text, paint.fit(&table.name, 32)),
                paint.span(Role::Text, format!("  {:>13}  ", words::count(table.rows))),
                paint.span(role, format!("{moved:>11}")),
                paint.span(Role::Dim, format!("  {:>10}  ", if table.reused { "kept".to_owned() } else { ms(table.ms) })),
                paint.span(Role::Dim, paint.fit(&table.why, why)),
            ])
        }));
    }
    lines
}

/// What the export changed in values that were served before.
fn revised(paint: &Paint, revisions: &[Revision], columns: usize) -> Vec<Line<'static>> {
    const MAX_COLUMNS: usize = 8;
    let mut lines = Vec::new();
    if !revisions.is_empty() {
        lines.push(Line::default());
        lines.push(Line::from(paint.span(Role::Heading, "Revised values")));
    }
    for revision in revisions {
        let text = format!("{}: {}", revision.table, revision.counts());
        lines.push(Line::from(paint.span(Role::Text, paint.fit(&text, columns))));
        let figures = revision.columns.iter().take(MAX_COLUMNS).map(ToString::to_string);
        let details = revision.shift.iter().map(ToString::to_string).chain(figures).chain(revision.largest.iter().map(ToString::to_string));
        lines.extend(details.map(|text| Line::from(paint.span(Role::Dim, paint.fit(&format!("  {text}"), columns)))));
    }
    lines
}

fn audit_line(paint: &Paint, audit: &Audit, columns: usize) -> Line<'static> {
    let (role, word) = match (audit.passed, audit.severity) {
        (true, _) => (Role::Good, "passed"),
        (false, Severity::Error) => (Role::Bad, "failed"),
        (false, Severity::Warn) => (Role::Warn, "warned"),
    };
    let about = audit.table.as_ref().map(|table| format!("{table} ")).unwrap_or_default();
    let text = format!("{about}{}: {}", audit.name, audit.found);
    Line::from(vec![paint.span(role, format!("{word}  ")), paint.span(Role::Text, paint.fit(&text, columns.saturating_sub(8)))])
}

/// How the lakehouse was read, in words.
fn how_word(how: How) -> &'static str {
    match how {
        How::Reflink => "from a copy that shares its blocks",
        How::Copy => "from a copy",
        How::None => "in place",
    }
}

fn manifest<'a>(status: &'a Status, id: &GenerationId) -> Option<&'a Manifest> {
    status.generations.iter().find(|generation| generation.id == *id)?.manifest.as_ref()
}

/// A table in two attempts: rows and columns, where they are known.
#[derive(Default)]
struct Sides<'a> {
    rows: [Option<u64>; 2],
    columns: [Option<&'a [Column]>; 2],
}

fn compared(paint: &Paint, status: &Status, (one, other): (&GenerationId, &GenerationId), columns: usize) -> Vec<Line<'static>> {
    let sides = [record(status, one), record(status, other)];
    let (Some(old), Some(new)) = (sides[0], sides[1]) else {
        return vec![Line::from(paint.span(Role::Dim, "one of them is not in the history any more"))];
    };
    let mut tables = BTreeMap::<&str, Sides>::new();
    for (side, record) in [old, new].into_iter().enumerate() {
        for table in &record.tables {
            tables.entry(&table.name).or_default().rows[side] = Some(table.rows);
        }
        let known = record.generation.as_ref().and_then(|id| manifest(status, id));
        for table in known.map(|manifest| &manifest.tables[..]).unwrap_or_default() {
            tables.entry(&table.name).or_default().columns[side] = Some(&table.columns);
        }
    }
    let widest = tables.keys().map(|name| width(name, 48)).max().unwrap_or_default();
    let wide = columns.saturating_sub(61).min(widest.max(12));
    let head = |name: &str, one: String, two: String| {
        Line::from(vec![paint.span(Role::Dim, format!("{name:<wide$}")), paint.span(Role::Text, format!("  {one:>19}  {two:>19}"))])
    };
    let mut lines = vec![
        head("", old.id.to_string(), new.id.to_string()),
        head("outcome", old.outcome.word().to_owned(), new.outcome.word().to_owned()),
        head("bytes", words::bytes(old.bytes), words::bytes(new.bytes)),
        head("rows", words::count(old.rows()), words::count(new.rows())),
        head("took", ms(old.total_ms), ms(new.total_ms)),
        Line::default(),
        Line::from(
            paint.span(Role::Heading, format!("{:<wide$}  {:>19}  {:>19}  {:>10}  {:>5}", "Table", "Rows", "Rows", "Change", "Cols")),
        ),
    ];
    for (name, sides) in tables {
        let count = |rows: Option<u64>| rows.map_or_else(|| paint.look.middle().to_owned(), words::count);
        let (role, moved) = match sides.rows {
            [Some(before), Some(after)] => change(Change::Rows(after.cast_signed() - before.cast_signed())),
            [None, Some(_)] => Some((Role::Accent, "new".to_owned())),
            [Some(_), None] => Some((Role::Bad, "gone".to_owned())),
            [None, None] => None,
        }
        .unwrap_or((Role::Dim, String::new()));
        let count_of = match sides.columns.map(|columns| columns.map(<[Column]>::len)) {
            [Some(before), Some(after)] if before != after => format!("{before}{}{after}", paint.look.arrow()),
            [_, Some(columns)] | [Some(columns), _] => columns.to_string(),
            _ => String::new(),
        };
        lines.push(Line::from(vec![
            paint.span(Role::Strong, paint.fit(name, wide)),
            paint.span(Role::Text, format!("  {:>19}  {:>19}  ", count(sides.rows[0]), count(sides.rows[1]))),
            paint.span(role, format!("{moved:>10}")),
            paint.span(Role::Dim, format!("  {count_of:>5}")),
        ]));
        if let [Some(before), Some(after)] = sides.columns {
            lines.extend(other_columns(paint, before, after, columns));
        }
    }
    lines
}

/// Columns that only one of two generations of a table has, or that have another type in the other.
fn other_columns(paint: &Paint, before: &[Column], after: &[Column], space: usize) -> Vec<Line<'static>> {
    let lacks = |columns: &[Column], wanted: &Column| {
        !columns.iter().any(|column| column.name == wanted.name && column.data_type == wanted.data_type)
    };
    let gone = before.iter().filter(|column| lacks(after, column)).map(|column| (Role::Bad, "-", column));
    let come = after.iter().filter(|column| lacks(before, column)).map(|column| (Role::Accent, "+", column));
    let line = |(role, sign, column): (Role, &str, &Column)| {
        let text = format!("  {sign} {} {}", column.name, column.data_type);
        Line::from(paint.span(role, paint.fit(&text, space)))
    };
    gone.chain(come).map(line).collect()
}
