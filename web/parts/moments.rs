//! Points in time as people read them.

use jiff::Timestamp;
use materia::words;
use maud::{Markup, html};

/// `1 Mar 2026, 12:00 UTC`, and exactly for machines.
pub(crate) fn moment(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (at.strftime("%-d %b %Y, %H:%M UTC")) } }
}

/// `3 min 12 s ago`, and exactly for machines.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> Markup {
    let span = std::time::Duration::try_from(now.duration_since(at)).unwrap_or_default();
    html! { time datetime=(at) { (words::ago(span)) } }
}
