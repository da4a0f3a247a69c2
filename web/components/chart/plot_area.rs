//! The layout of a chart: the positions of its axes, and the texts along them.

use materia::dashboard::{Axis, Band, Chart, Mark, Scale, Series, Tick};
use maud::{Markup, html};

use super::{
    px,
    text::{self, Extent, LINE, Taken},
};

/// Largest share of the width for names along the side.
const MAX_NAMES: f64 = 0.42;
/// Maximum number of names at the ends of lines: with more series, or on less space, the legend
/// replaces them.
const MAX_END_LABELS: usize = 6;
const MIN_WIDTH_FOR_END_LABELS: f64 = 500.0;
/// Maximum distance between a name and the end of its line.
const MAX_END_SHIFT: f64 = 22.0;

/// Positions in the units of the drawing, which are about pixels.
pub(super) struct PlotArea<'a> {
    chart: &'a Chart,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
    horizontal: bool,
    /// Names below bars, each in two lines, where one line has no room for all of them.
    wrapped: Option<Vec<[String; 2]>>,
    /// The position of the labels of the right axis.
    right_labels: f64,
    /// Names at the ends of lines: the height of each and the index of its series.
    end_labels: Vec<(f64, usize)>,
}

/// The height of drawings that are at least 400 wide.
pub(super) const HEIGHT: f64 = 290.0;

impl<'a> PlotArea<'a> {
    /// `least` is the least height of the drawing; 0 for its own.
    pub(super) fn new(chart: &'a Chart, width: f64, least: f64) -> Self {
        let horizontal = chart.mark.is_horizontal();
        let (across, side) = if horizontal { (&chart.y, &chart.x) } else { (&chart.x, &chart.y) };
        let longest = side.ticks.iter().map(|tick| text::width(&tick.label)).fold(0.0, f64::max);
        let top = if side.has_title { 26.0 } else { 10.0 };
        let rows = if let (true, Scale::Category { names }) = (horizontal, &chart.x.scale) {
            names.len()
        } else {
            0
        };
        let is_one = chart.mark.is_stacked() || matches!(chart.mark, Mark::Funnel | Mark::Dumbbell);
        let bars = if is_one { 1 } else { chart.series.len().max(1) };
        let right_labels = chart.right.as_ref().map_or(0.0, |right| {
            right.ticks.iter().map(|tick| text::width(&tick.label)).fold(0.0, f64::max) + 10.0
        });
        let top =
            if chart.right.is_some() || chart.events.iter().any(|event| !event.label.is_empty()) {
                26.0
            } else {
                top
            };
        let below = if across.has_title { 46.0 } else { 30.0 };
        let height = if horizontal {
            top + below + rows as f64 * (12.0 + 14.0 * bars as f64)
        } else if width < 400.0 {
            240.0
        } else {
            HEIGHT
        };
        let height = height.max(least);
        let mut area = Self {
            chart,
            width,
            height,
            left: longest.min(width * MAX_NAMES) + 12.0,
            right: width - right_labels.max(14.0),
            right_labels,
            wrapped: None,
            top,
            bottom: height - below,
            horizontal,
            end_labels: Vec::new(),
        };
        area.reserve_end_labels();
        area.wrapped = area.wrap_names();
        if area.wrapped.is_some() {
            area.height += LINE;
        }
        area
    }

    /// Reserves space for the names at the ends of lines, if there is enough for all of them.
    fn reserve_end_labels(&mut self) {
        let series = &self.chart.series;
        let is_drawn = self.chart.mark == Mark::Line
            && self.chart.right.is_none()
            && (2..=MAX_END_LABELS).contains(&series.len())
            && self.width >= MIN_WIDTH_FOR_END_LABELS;
        let longest = series.iter().map(|one| text::width(&one.name) * 1.08).fold(0.0, f64::max);
        if !is_drawn || longest > self.width * 0.26 {
            return;
        }
        let mut ends: Vec<(f64, usize)> = Vec::new();
        for (index, one) in series.iter().enumerate() {
            let last = one.points.iter().rev().find_map(|point| Some((point.x, point.y?)));
            let Some((x, y)) = last else { continue };
            // A line that ends early has no space for its name nearby.
            if (x - self.chart.x.max).abs() > (self.chart.x.max - self.chart.x.min) * 0.02 {
                return;
            }
            ends.push((self.y(y) + 4.0, index));
        }
        ends.sort_by(|one, other| one.0.total_cmp(&other.0));
        let wanted: Vec<f64> = ends.iter().map(|(y, _)| *y).collect();
        for at in 1..ends.len() {
            ends[at].0 = ends[at].0.max(ends[at - 1].0 + LINE);
        }
        let mut lowest = self.bottom + 4.0;
        for end in ends.iter_mut().rev() {
            end.0 = end.0.min(lowest);
            lowest = end.0 - LINE;
        }
        let is_near =
            ends.iter().zip(&wanted).all(|((y, _), wanted)| (y - wanted).abs() <= MAX_END_SHIFT);
        if is_near && ends.first().is_none_or(|(y, _)| *y >= LINE) {
            self.right = self.width - longest - 12.0;
            self.end_labels = ends;
        }
    }

    /// Returns the position of a value along the x axis.
    pub(super) fn x(&self, value: f64) -> f64 {
        let fraction = self.chart.x.fraction(value);
        if self.horizontal {
            self.top + fraction * (self.bottom - self.top)
        } else {
            self.left + fraction * (self.right - self.left)
        }
    }

    /// Returns the position of a value along the y axis.
    pub(super) fn y(&self, value: f64) -> f64 {
        let fraction = self.chart.y.fraction(value);
        if self.horizontal {
            self.left + fraction * (self.right - self.left)
        } else {
            self.bottom - fraction * (self.bottom - self.top)
        }
    }

    /// Returns the position of a series' value along its axis.
    pub(super) fn y_of(&self, series: &Series, value: f64) -> f64 {
        match &self.chart.right {
            Some(right) if series.right => {
                self.bottom - right.fraction(value) * (self.bottom - self.top)
            }
            _ => self.y(value),
        }
    }

    /// Returns the position where bars and areas begin: zero, or the end of the axis closest to it.
    pub(super) fn base(&self) -> f64 {
        // A logarithmic axis has no zero.
        self.y(0.0_f64.clamp(self.chart.y.min, self.chart.y.max))
    }

    /// Returns the width of one step along x.
    pub(super) fn step(&self) -> f64 {
        if let Scale::Category { names } = &self.chart.x.scale {
            return (self.x(1.0) - self.x(0.0))
                .abs()
                .min((self.x(names.len() as f64) - self.x(0.0)).abs());
        }
        let mut places: Vec<f64> = self
            .chart
            .series
            .iter()
            .flat_map(|series| &series.points)
            .map(|point| self.x(point.x))
            .collect();
        places.sort_by(f64::total_cmp);
        let nearest = places
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .filter(|gap| *gap > 0.01)
            .min_by(f64::total_cmp);
        nearest.unwrap_or((self.right - self.left) / 3.0)
    }

    fn axes(&self) -> (&'a Axis, &'a Axis) {
        if self.horizontal {
            (&self.chart.y, &self.chart.x)
        } else {
            (&self.chart.x, &self.chart.y)
        }
    }

    pub(super) fn grid(&self) -> Markup {
        let base = self.base();
        let has_zero = self.chart.y.min <= 0.0 && self.chart.y.max >= 0.0;
        html! {
            @for band in &self.chart.bands { (self.band(band)) }
            g.grid {
                @for tick in &self.chart.y.ticks { (self.rule(self.y(tick.at), None)) }
                @if (self.horizontal || has_zero) && self.chart.mark != Mark::Funnel { (self.rule(base, Some("zero"))) }
            }
        }
    }

    /// Draws an interval of one axis across the whole of the other.
    fn band(&self, band: &Band) -> Markup {
        let place = |at: f64| if band.along_x { self.x(at) } else { self.y(at) };
        let (from, to) =
            (place(band.from).min(place(band.to)), place(band.from).max(place(band.to)));
        html! {
            @if band.along_x == self.horizontal {
                rect.band x=(px(self.left)) y=(px(from)) width=(px(self.right - self.left)) height=(px(to - from)) {}
            } @else {
                rect.band x=(px(from)) y=(px(self.top)) width=(px(to - from)) height=(px(self.bottom - self.top)) {}
            }
        }
    }

    /// Draws a line across the plot at a value of y.
    fn rule(&self, at: f64, class: Option<&str>) -> Markup {
        let path = if self.horizontal {
            format!("M{},{}V{}", px(at), px(self.top), px(self.bottom))
        } else {
            format!("M{},{}H{}", px(self.left), px(at), px(self.right))
        };
        html! { path class=[class] d=(path) {} }
    }

    /// Draws every text: labels and titles of both axes, names of lines, labels of guides. Texts
    /// neither overlap nor exceed the drawing.
    pub(super) fn texts(&self) -> Markup {
        let (across, side) = self.axes();
        let mut taken = Taken::default();
        html! {
            g.ticks {
                (self.side_labels(side, &mut taken))
                (self.across_labels(across, &mut taken))
                (self.right_side(&mut taken))
                (self.titles(across, side, &mut taken))
            }
            @if !self.end_labels.is_empty() { (self.names(&mut taken)) }
            (self.events(&mut taken))
            (self.guides(&mut taken))
            (self.band_labels(&mut taken))
        }
    }

    /// Draws the labels of the right axis.
    fn right_side(&self, taken: &mut Taken) -> Markup {
        let Some(right) = &self.chart.right else { return html! {} };
        let x = self.right + 8.0;
        html! {
            @for tick in &right.ticks {
                @let y = self.bottom - right.fraction(tick.at) * (self.bottom - self.top) + 4.0;
                @let label = text::fit(&tick.label, self.right_labels);
                @if taken.take(Extent { from: x, to: x + text::width(&label) }, y) {
                    text x=(px(x)) y=(px(y)) { (label) }
                }
            }
        }
    }

    /// Draws vertical lines at events, each with its label above.
    fn events(&self, taken: &mut Taken) -> Markup {
        html! {
            @for event in &self.chart.events {
                @let at = self.x(event.at);
                @let path = if self.horizontal { format!("M{},{}H{}", px(self.left), px(at), px(self.right)) } else { format!("M{},{}V{}", px(at), px(self.top), px(self.bottom)) };
                g.guide {
                    path d=(path) {}
                    @let label = text::fit(&event.label, self.width * 0.4);
                    @let (extent, y) = if self.horizontal {
                        (Extent { from: self.right - text::width(&label) - 4.0, to: self.right - 4.0 }, at - 5.0)
                    } else {
                        (Extent::centered(at, text::width(&label), self.width), self.top - 8.0)
                    };
                    @if !label.is_empty() && taken.take(extent, y) {
                        text x=(px(extent.middle())) y=(px(y)) text-anchor="middle" { (label) }
                    }
                }
            }
        }
    }

    fn band_labels(&self, taken: &mut Taken) -> Markup {
        let has_labels = self.chart.bands.iter().any(|band| !band.label.is_empty());
        html! {
            @if has_labels { g.ticks {
                @for band in self.chart.bands.iter().filter(|band| !band.label.is_empty()) {
                    @if let Some((x, y, label)) = self.band_label(band, taken) {
                        text x=(px(x)) y=(px(y)) { (label) }
                    }
                }
            } }
        }
    }

    fn band_label(&self, band: &Band, taken: &mut Taken) -> Option<(f64, f64, String)> {
        let place = |at: f64| if band.along_x { self.x(at) } else { self.y(at) };
        let (one, other) = (place(band.from), place(band.to));
        let (from, to) = (one.min(other), one.max(other));
        let is_upright = band.along_x != self.horizontal;
        let first = if is_upright { from + 4.0 } else { self.left + 6.0 };
        let label = text::fit(&band.label, self.right - first);
        let width = text::width(&label);
        let places: Vec<(f64, f64)> = if is_upright {
            let (top, bottom) = (self.top + LINE, self.bottom - 5.0);
            [top, top + LINE, bottom].map(|y| (first, y)).into()
        } else {
            let last = self.right - width - 4.0;
            let across = [0.0, 1.0, 0.5, 0.25, 0.75].map(|at| first + (last - first) * at);
            let lines = [from + LINE, to - 5.0];
            lines.into_iter().flat_map(|y| across.map(|x| (x, y))).collect()
        };
        self.clear_place(places, width, taken).map(|(x, y)| (x, y, label))
    }

    /// Returns the first free place for a text, if possible one behind which no line passes.
    fn clear_place(
        &self,
        places: Vec<(f64, f64)>,
        width: f64,
        taken: &mut Taken,
    ) -> Option<(f64, f64)> {
        let is_clear =
            |(x, y): &(f64, f64)| !self.is_crossed(Extent { from: *x, to: x + width }, *y);
        let (clear, crossed): (Vec<_>, Vec<_>) = places.into_iter().partition(is_clear);
        clear
            .into_iter()
            .chain(crossed)
            .find(|(x, y)| taken.take(Extent { from: *x, to: x + width }, *y))
    }

    fn side_labels(&self, side: &Axis, taken: &mut Taken) -> Markup {
        let place = |at: f64| if self.horizontal { self.x(at) } else { self.y(at) };
        let end = self.left - 8.0;
        html! {
            @for tick in &side.ticks {
                @let label = text::fit(&tick.label, end);
                @let y = place(tick.at) + 4.0;
                @if taken.take(Extent { from: end - text::width(&label), to: end }, y) {
                    text x=(px(end)) y=(px(y)) text-anchor="end" { (label) }
                }
            }
        }
    }

    /// Splits the names below bars into two lines, where that makes room for all of them.
    fn wrap_names(&self) -> Option<Vec<[String; 2]>> {
        let Scale::Category { names } = &self.chart.x.scale else { return None };
        let space = self.step() - 6.0;
        let fits = |name: &&String| text::width(name) <= space;
        if self.horizontal || names.len() < 2 || names.iter().all(|name| fits(&name)) {
            return None;
        }
        let split = |name: &String| {
            if fits(&name) {
                return Some([name.clone(), String::new()]);
            }
            let spaces = name.char_indices().filter(|(_, letter)| *letter == ' ');
            let halves = spaces.map(|(at, _)| [name[..at].to_owned(), name[at + 1..].to_owned()]);
            halves
                .map(|halves| (halves.each_ref().map(|half| text::width(half)), halves))
                .filter(|(widths, _)| widths.iter().all(|width| *width <= space))
                .min_by(|one, other| one.0[0].max(one.0[1]).total_cmp(&other.0[0].max(other.0[1])))
                .map(|(_, halves)| halves)
        };
        names.iter().map(split).collect()
    }

    /// The height of a second line of names.
    fn second_line(&self) -> f64 {
        if self.wrapped.is_some() { LINE } else { 0.0 }
    }

    fn across_labels(&self, across: &Axis, taken: &mut Taken) -> Markup {
        if let Some(wrapped) = &self.wrapped {
            return html! {
                @for (place, lines) in (0..).map(f64::from).zip(wrapped) {
                    @for (line, y) in lines.iter().zip([self.bottom + 20.0, self.bottom + 20.0 + LINE]) {
                        @let extent = Extent::centered(self.x(place), text::width(line), self.width);
                        @if !line.is_empty() && taken.take(extent, y) {
                            text x=(px(extent.middle())) y=(px(y)) text-anchor="middle" { (line) }
                        }
                    }
                }
            };
        }
        let place = |at: f64| if self.horizontal { self.y(at) } else { self.x(at) };
        let labels = self.across_texts(across);
        let extents: Vec<Extent> = labels
            .iter()
            .map(|(at, label)| Extent::centered(place(*at), text::width(label), self.width))
            .collect();
        let stride = text::stride(&extents);
        let y = self.bottom + 20.0;
        html! {
            @for ((_, label), extent) in labels.iter().zip(&extents).step_by(stride) {
                @if taken.take(*extent, y) {
                    text x=(px(extent.middle())) y=(px(y)) text-anchor="middle" { (label) }
                }
            }
        }
    }

    /// Returns the labels of the x axis. Names are truncated to the width of their bars rather than
    /// omitted, as long as part of them is legible.
    fn across_texts(&self, across: &Axis) -> Vec<(f64, String)> {
        let step = self.step() - 8.0;
        let is_names = matches!(across.scale, Scale::Category { .. }) && !self.horizontal;
        let has_long_names =
            is_names && across.ticks.iter().any(|tick| text::width(&tick.label) > 110.0);
        let space =
            if has_long_names && step >= 44.0 { step } else { 130.0_f64.min(self.width / 2.0) };
        let fit = |tick: &Tick| (tick.at, text::fit(&tick.label, space));
        across.ticks.iter().map(fit).collect()
    }

    fn titles(&self, across: &Axis, side: &Axis, taken: &mut Taken) -> Markup {
        let own = if self.chart.right.is_some() { self.width / 2.0 } else { self.width };
        let side_title = text::fit(&side.title, own - 8.0);
        let across_title = text::fit(&across.title, self.width - 8.0);
        let middle = f64::midpoint(self.left, self.right);
        let extent = Extent::centered(middle, text::width(&across_title), self.width);
        html! {
            @if side.has_title && taken.take(Extent { from: 0.0, to: text::width(&side_title) }, 12.0) {
                text.title x="0" y="12" { (side_title) }
            }
            @if let Some(right) = &self.chart.right {
                @let title = text::fit(&right.title, self.width / 2.0 - 8.0);
                @if taken.take(Extent { from: self.width - text::width(&title), to: self.width }, 12.0) {
                    text.title x=(px(self.width)) y="12" text-anchor="end" { (title) }
                }
            }
            @let below = self.bottom + 38.0 + self.second_line();
            @if across.has_title && taken.take(extent, below) {
                text.title x=(px(extent.middle())) y=(px(below)) text-anchor="middle" { (across_title) }
            }
        }
    }

    fn names(&self, taken: &mut Taken) -> Markup {
        let x = self.right + 8.0;
        html! {
            g.names aria-hidden="true" {
                @for (y, index) in &self.end_labels {
                    @let series = &self.chart.series[*index];
                    @if taken.take(Extent { from: x, to: self.width }, *y) {
                        text.(super::color(series)) x=(px(x)) y=(px(*y)) { (series.name) }
                    }
                }
            }
        }
    }

    /// Draws guide lines at values, each with its label where there is space.
    fn guides(&self, taken: &mut Taken) -> Markup {
        html! {
            @for guide in &self.chart.guides {
                @let at = self.y(guide.at);
                g.guide {
                    (self.rule(at, None))
                    @if let Some((x, y, label)) = self.guide_label(at, &guide.label, taken) {
                        text x=(px(x)) y=(px(y)) { (label) }
                    }
                }
            }
        }
    }

    fn guide_label(&self, at: f64, label: &str, taken: &mut Taken) -> Option<(f64, f64, String)> {
        let label = text::fit(label, (self.right - self.left) * 0.6);
        let width = text::width(&label);
        let (first, last) = (self.left + 6.0, self.right - width - 4.0);
        let places: Vec<(f64, f64)> = if self.horizontal {
            let x = (at + 4.0).min(self.width - width);
            (0..6_u8).map(|line| (x, self.top + LINE * f64::from(line + 1))).collect()
        } else {
            let above = at - 5.0;
            let below = at + LINE - 1.0;
            let middle = f64::midpoint(first, last);
            let between =
                [0.15, 0.25, 0.35, 0.65, 0.75, 0.85].map(|at| first + (last - first) * at);
            [above, below]
                .into_iter()
                .filter(|y| *y > LINE && *y < self.bottom)
                .flat_map(|y| [(first, y), (last, y), (middle, y)])
                .chain([above, below].into_iter().flat_map(|y| between.map(|x| (x, y))))
                .filter(|(_, y)| *y > LINE && *y < self.bottom)
                .collect()
        };
        self.clear_place(places, width, taken).map(|(x, y)| (x, y, label))
    }

    /// Whether a line passes behind a text with its base line at `y`.
    fn is_crossed(&self, text: Extent, y: f64) -> bool {
        let (above, below) = (y - LINE + 2.0, y + 3.0);
        let is_line = |series: &&Series| series.line || self.chart.mark == Mark::Line;
        self.chart.series.iter().filter(is_line).any(|series| {
            series.pieces().flat_map(|piece| piece.windows(2)).any(|pair| {
                let (Some(one), Some(other)) = (pair[0].y, pair[1].y) else { return false };
                let (x1, x2) = (self.x(pair[0].x), self.x(pair[1].x));
                if x2 < text.from || x1 > text.to || x2 <= x1 {
                    return false;
                }
                let (y1, y2) = (self.y_of(series, one), self.y_of(series, other));
                let at = |x: f64| y1 + (y2 - y1) * ((x - x1) / (x2 - x1)).clamp(0.0, 1.0);
                let ends = [at(text.from.max(x1)), at(text.to.min(x2))];
                ends[0].max(ends[1]) > above && ends[0].min(ends[1]) < below
            })
        })
    }
}
