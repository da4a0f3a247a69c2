//! The changes between two generations as text and as Markdown.

use std::fmt::Write as _;

use super::{GenerationDiff, TableChange, TableDiff};
use crate::humanize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Markdown,
}

impl GenerationDiff {
    /// Lists the changed tables, each with its differences below it.
    #[must_use]
    pub fn to_text(&self) -> String {
        render(self, Format::Text)
    }

    /// Returns the changes as Markdown, for a mail or a pull request.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        render(self, Format::Markdown)
    }
}

fn render(diff: &GenerationDiff, format: Format) -> String {
    let mut text = String::new();
    let (before, now) = (&diff.before, &diff.now);
    let _ = match format {
        Format::Text => writeln!(text, "{before} -> {now}"),
        Format::Markdown => writeln!(
            text,
            "# {before} → {now}\n\n| table | rows before | rows | what changed |\n| --- | ---: | ---: | --- |"
        ),
    };
    let is_news = |table: &&TableDiff| table.change != TableChange::Unchanged;
    let news: Vec<_> = diff.tables.iter().filter(is_news).collect();
    for table in &news {
        let rows = |rows: Option<u64>| rows.map(humanize::count).unwrap_or_default();
        let (name, summary) = (humanize::printable(&table.table), summary(table));
        let _ = match format {
            Format::Text => writeln!(text, "\n{name}  {summary}"),
            Format::Markdown => writeln!(
                text,
                "| {} | {} | {} | {} |",
                escape(&name),
                rows(table.rows_before),
                rows(table.rows),
                escape(&summary)
            ),
        };
        if format == Format::Text {
            for line in details(table) {
                let _ = writeln!(text, "  {line}");
            }
        }
    }
    if format == Format::Markdown {
        for table in &news {
            let details = details(table);
            if !details.is_empty() {
                let _ = writeln!(text, "\n## {}\n", escape(&table.table));
                for line in &details {
                    let _ = writeln!(text, "- {}", escape(line));
                }
            }
        }
    }
    let unchanged = diff.tables.len() - news.len();
    let _ = writeln!(text, "\n{} unchanged", humanize::plural(unchanged, "table"));
    text
}

fn summary(table: &TableDiff) -> String {
    match (table.change, &table.revision) {
        (TableChange::Added, _) => {
            format!("new table, {}", humanize::rows(table.rows.unwrap_or_default()))
        }
        (TableChange::Removed, _) => {
            format!("removed table, {}", humanize::rows(table.rows_before.unwrap_or_default()))
        }
        (TableChange::Unknown, _) => "no difference in rows and columns".to_owned(),
        (_, Some(revision)) => revision.counts(),
        (_, None) if table.rows != table.rows_before => format!(
            "{} -> {}",
            humanize::count(table.rows_before.unwrap_or_default()),
            humanize::rows(table.rows.unwrap_or_default())
        ),
        _ => "other columns".to_owned(),
    }
}

fn details(table: &TableDiff) -> Vec<String> {
    let mut lines = Vec::new();
    let mut list = |what: &str, names: &[String]| {
        if !names.is_empty() {
            lines.push(format!("{what}: {}", names.join(", ")));
        }
    };
    list("new columns", &table.columns_added);
    list("removed columns", &table.columns_removed);
    list("other types", &table.columns_retyped);
    if let Some(revision) = &table.revision {
        list("compared by", &revision.key);
        for column in &revision.columns {
            lines.push(column.to_string());
        }
        lines.extend(revision.shift.iter().map(ToString::to_string));
        lines.extend(revision.largest.iter().map(ToString::to_string));
        let sampled =
            revision.sampled.map(|rows| format!("estimated from {}", humanize::rows(rows)));
        lines.extend(sampled);
        for (done, keys, count) in [
            ("new", &table.added_keys, revision.added),
            ("removed", &table.removed_keys, revision.removed),
        ] {
            if !keys.is_empty() {
                let more = count.saturating_sub(keys.len() as u64);
                let more = if more > 0 {
                    format!(", and {} more", humanize::count(more))
                } else {
                    String::new()
                };
                lines.push(format!("{done} keys: {}{more}", keys.join(", ")));
            }
        }
    }
    lines.extend(table.note.clone());
    lines
}

/// Escapes Markdown in a text.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        if matches!(char, '|' | '*' | '_' | '`' | '<' | '[' | '\\' | '#') {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}
