//! Points in time as people read them.

use jiff::Timestamp;
use maud::{Markup, html};

/// `1 Mar 2026, 12:00 UTC`, and exactly for machines.
pub(crate) fn moment(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (at.strftime("%-d %b %Y, %H:%M UTC")) } }
}

/// `3 min ago`, and exactly for machines.
pub(crate) fn since(at: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(at) { (super::ago(now.duration_since(at).as_secs())) } }
}
