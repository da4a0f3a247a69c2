//! The room of a chart: where its axes are, and what stands along them.

use materia::dashboard::{Axis, Chart, Mark, Scale};
use maud::{Markup, html};

use super::px;

/// About as wide as a character of the labels.
const CHARACTER: f64 = 6.4;
/// The same of the names beside lines, which are bold.
const BOLD: f64 = 7.2;
const LINE: f64 = 14.0;
/// Longer names are cut.
const LONGEST_NAME: usize = 22;

/// Where things are, in the units of the drawing.
pub(super) struct Frame {
    pub(super) width: u32,
    pub(super) height: f64,
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
    horizontal: bool,
    x: (f64, f64),
    y: (f64, f64),
}

impl Frame {
    pub(super) fn of(chart: &Chart, columns: u8) -> Self {
        let horizontal = chart.mark.is_horizontal();
        // As wide as the panel is on a large screen, so that text keeps its size.
        let width = match columns {
            ..=4 => 400,
            5..=6 => 560,
            7..=9 => 740,
            _ => 880,
        };
        let longest = |axis: &Axis| axis.ticks.iter().map(|tick| shortened(&tick.label).chars().count()).max().unwrap_or_default() as f64;
        let side = if horizontal { longest(&chart.x) } else { longest(&chart.y) };
        let labelled = !horizontal && matches!(chart.mark, Mark::Line) && chart.series.len() > 1;
        let longest_name = chart.series.iter().map(|series| shortened(&series.name).chars().count()).max().unwrap_or_default() as f64;
        let rows = if let (true, Scale::Category { names }) = (horizontal, &chart.x.scale) { names.len() } else { 0 };
        let beside = if chart.mark == Mark::HorizontalStackedBar { 1 } else { chart.series.len().max(1) };
        let height = if horizontal {
            44.0 + rows as f64 * (12.0 + 14.0 * beside as f64)
        } else if columns > 9 {
            300.0
        } else {
            280.0
        };
        let right = if labelled { longest_name * BOLD + 12.0 } else { 14.0 };
        Self {
            width,
            height,
            left: side * CHARACTER + 12.0,
            right: f64::from(width) - right.min(f64::from(width) * 0.28),
            top: 10.0,
            bottom: height - 28.0,
            horizontal,
            x: (chart.x.min, chart.x.max),
            y: (chart.y.min, chart.y.max),
        }
    }

    /// Where a value of x is along its axis.
    pub(super) fn x(&self, value: f64) -> f64 {
        let share = share(value, self.x);
        if self.horizontal { self.top + share * (self.bottom - self.top) } else { self.left + share * (self.right - self.left) }
    }

    /// Where a value of y is along its axis.
    pub(super) fn y(&self, value: f64) -> f64 {
        let share = share(value, self.y);
        if self.horizontal { self.left + share * (self.right - self.left) } else { self.bottom - share * (self.bottom - self.top) }
    }

    /// Where bars and areas begin: at zero, or at the end of the axis next to it.
    pub(super) fn base(&self) -> f64 {
        self.y(0.0_f64.clamp(self.y.0, self.y.1))
    }

    /// How much room one place of x has.
    pub(super) fn step(&self, chart: &Chart) -> f64 {
        if let Scale::Category { names } = &chart.x.scale {
            return (self.x(1.0) - self.x(0.0)).abs().min((self.x(names.len() as f64) - self.x(0.0)).abs());
        }
        let mut places: Vec<f64> = chart.series.iter().flat_map(|series| &series.points).map(|point| self.x(point.x)).collect();
        places.sort_by(f64::total_cmp);
        let nearest = places.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 0.01).min_by(f64::total_cmp);
        nearest.unwrap_or((self.right - self.left) / 3.0)
    }

    /// The grid, the labels along both axes, and their lines.
    pub(super) fn grid(&self, chart: &Chart) -> Markup {
        let (across, along) = if self.horizontal { (&chart.y, &chart.x) } else { (&chart.x, &chart.y) };
        let place_across = |at: f64| if self.horizontal { self.y(at) } else { self.x(at) };
        let place_along = |at: f64| if self.horizontal { self.x(at) } else { self.y(at) };
        let zero = place_value_zero(self, chart);
        html! {
            g.grid {
                @if self.horizontal {
                    @for tick in &across.ticks { line x1=(px(place_across(tick.at))) x2=(px(place_across(tick.at))) y1=(px(self.top)) y2=(px(self.bottom)) {} }
                } @else {
                    @for tick in &along.ticks { line x1=(px(self.left)) x2=(px(self.right)) y1=(px(place_along(tick.at))) y2=(px(place_along(tick.at))) {} }
                }
                (zero)
            }
            g.ticks {
                g.across {
                    @for (at, label) in spaced(across, place_across) {
                        text x=(px(at)) y=(px(self.bottom + 18.0)) text-anchor=(self.anchor(at, &label)) { (label) }
                    }
                }
                @for tick in &along.ticks {
                    text x=(px(self.left - 8.0)) y=(px(place_along(tick.at) + 4.0)) text-anchor="end" { (shortened(&tick.label)) }
                }
            }
        }
    }

    /// Labels at the edge stay inside.
    fn anchor(&self, at: f64, label: &str) -> &'static str {
        let half = label.chars().count() as f64 * CHARACTER / 2.0;
        match at {
            at if at + half > f64::from(self.width) => "end",
            at if at - half < 0.0 => "start",
            _ => "middle",
        }
    }

    /// Lines at values that mean something.
    pub(super) fn guides(&self, chart: &Chart) -> Markup {
        html! {
            @for guide in &chart.guides {
                @let at = self.y(guide.at);
                g.guide {
                    @if self.horizontal {
                        line x1=(px(at)) x2=(px(at)) y1=(px(self.top)) y2=(px(self.bottom)) {}
                        text x=(px(at + 4.0)) y=(px(self.top + LINE)) { (guide.label) }
                    } @else {
                        line x1=(px(self.left)) x2=(px(self.right)) y1=(px(at)) y2=(px(at)) {}
                        text x=(px(self.left + 6.0)) y=(px(at - 5.0)) { (guide.label) }
                    }
                }
            }
        }
    }
}

/// The line that bars and areas stand on, where zero is in sight.
fn place_value_zero(frame: &Frame, chart: &Chart) -> Markup {
    let at = frame.base();
    let seen = chart.y.min <= 0.0 && chart.y.max >= 0.0;
    html! {
        @if frame.horizontal {
            line.zero x1=(px(at)) x2=(px(at)) y1=(px(frame.top)) y2=(px(frame.bottom)) {}
        } @else if seen {
            line.zero x1=(px(frame.left)) x2=(px(frame.right)) y1=(px(at)) y2=(px(at)) {}
        }
    }
}

/// Labels that do not run into one another: the others are left out.
fn spaced(axis: &Axis, place: impl Fn(f64) -> f64) -> Vec<(f64, String)> {
    let mut free = f64::MIN;
    let mut kept = Vec::new();
    for tick in &axis.ticks {
        let label = shortened(&tick.label);
        let (at, half) = (place(tick.at), label.chars().count() as f64 * CHARACTER / 2.0);
        if at - half >= free {
            free = at + half + 8.0;
            kept.push((at, label));
        }
    }
    kept
}

fn share(value: f64, (min, max): (f64, f64)) -> f64 {
    if max > min { ((value - min) / (max - min)).clamp(0.0, 1.0) } else { 0.5 }
}

/// A name that fits beside an axis.
pub(super) fn shortened(name: &str) -> String {
    if name.chars().count() <= LONGEST_NAME {
        return name.to_owned();
    }
    name.chars().take(LONGEST_NAME - 1).collect::<String>().trim_end().to_owned() + "…"
}
