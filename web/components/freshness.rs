//! The age of the data, shown on every page.

use std::sync::Arc;

use jiff::Timestamp;
use materia::{reader::GenerationInfo, store::GenerationId};
use maud::{Markup, html};

/// The age of the data. Its text changes at most once a minute, so that pages can be cached for
/// that long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Freshness {
    /// The generation, for the script to compare.
    pub(crate) generation: String,
    /// When it was exported or last confirmed unchanged; when it was opened, if there is no
    /// manifest.
    at: Timestamp,
    /// Whether materia exported it.
    exported: bool,
    /// The age as text: `12 min ago`.
    pub(crate) ago: String,
}

impl Freshness {
    pub(crate) fn of(info: &Arc<GenerationInfo>, now: Timestamp) -> Self {
        let at = info.as_of().unwrap_or(info.opened_at);
        Self {
            generation: name(info),
            at,
            exported: info.exported_at.is_some(),
            ago: ago(now.duration_since(at).as_secs()),
        }
    }
}

/// Returns an identifier for a generation: its id, or properties of a file that materia did not
/// publish.
pub(crate) fn name(info: &GenerationInfo) -> String {
    info.id.as_ref().map_or_else(
        || format!("file-{}-{}", info.opened_at.as_millisecond(), info.bytes),
        GenerationId::to_string,
    )
}

/// Formats an age in one unit.
pub(crate) fn ago(seconds: i64) -> String {
    match seconds {
        ..60 => "just now".to_owned(),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// Renders the age of the data, for operators with the generation's id.
pub(crate) fn freshness(freshness: Option<&Freshness>, with_generation: bool) -> Markup {
    html! {
        p.freshness #freshness data-state=(if freshness.is_some() { "served" } else { "none" }) {
            span.dot aria-hidden="true" {}
            @match freshness {
                Some(fresh) => {
                    (if fresh.exported { "Data updated " } else { "Data opened " })
                    time datetime=(fresh.at) data-ago="" { (fresh.ago) }
                    @if with_generation { span.generation { ", generation " (fresh.generation) } }
                },
                None => "Data is being prepared",
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_one_unit() {
        assert_eq!(
            [-5, 59, 60, 3_599, 3_600, 172_799, 172_800].map(ago),
            [
                "just now",
                "just now",
                "1 min ago",
                "59 min ago",
                "1 h ago",
                "47 h ago",
                "2 days ago"
            ]
        );
    }
}
