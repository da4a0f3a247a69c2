//! Times in human and machine-readable form.

use jiff::Timestamp;
use maud::{Markup, html};

/// Renders a time as `1 Mar 2026, 12:00 UTC`.
pub(crate) fn moment(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (at.strftime("%-d %b %Y, %H:%M UTC")) } }
}

/// Renders a date as `March 1, 2026`.
pub(crate) fn date(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (at.strftime("%B %-d, %Y")) } }
}

/// Renders the time since a moment as `3 min ago`.
pub(crate) fn since(at: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(at) { (super::ago(now.duration_since(at).as_secs())) } }
}
