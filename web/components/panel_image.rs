//! Renders a panel's chart as a standalone SVG, without a style sheet or a page: for slides, chats
//! and link previews. Always on a light background.

use std::{fmt::Write as _, sync::LazyLock};

use materia::dashboard::{Chart, Content, Map, Mark, PALETTE_SIZE, PanelData, Stat, Tone};
use maud::{Markup, PreEscaped, html};

use super::chart;
use crate::png::FONT_FAMILY;

const STYLE: &str = include_str!("../assets/style.css");
const MARGIN: f64 = 28.0;
const CHART_WIDTH: u16 = 900;
const STAT_WIDTH: f64 = 480.0;

/// The text of a picture around its panel.
pub(crate) struct Caption<'a> {
    /// The name of the site.
    pub(crate) brand: &'a str,
    /// The brand's color on a light background.
    pub(crate) accent: &'a str,
    /// The date of the figures with the selection, and their sources.
    pub(crate) origin: [&'a str; 2],
}

/// Returns whether a panel can be rendered as a picture.
pub(crate) fn has_image(content: &Content) -> bool {
    match content {
        // Its legend is text of the page.
        Content::Chart(chart) => chart.mark != Mark::Donut,
        Content::Stat(_) | Content::Map(_) => true,
        _ => false,
    }
}

/// Renders a panel as a picture; `None` for text panels.
pub(crate) fn panel_image(panel: &PanelData, caption: &Caption<'_>) -> Option<String> {
    if !has_image(&panel.content) {
        return None;
    }
    let (width, height, body) = match &panel.content {
        Content::Chart(drawn) => chart_body(panel, drawn),
        Content::Map(drawn) => map_body(panel, drawn),
        Content::Stat(stat) => (STAT_WIDTH, 176.0, stat_body(panel, stat)),
        _ => return None,
    };
    let foot = height + 14.0;
    let total = foot + 40.0;
    let space = width - 2.0 * MARGIN;
    let brand_space = chart::text_width(caption.brand) + 20.0;
    let svg = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(total) viewBox={ "0 0 " (width) " " (total) } role="img" aria-label=(clean(&panel.title)) {
            style { (PreEscaped(style(caption.accent))) }
            rect width="100%" height="100%" fill="#fff" {}
            (body)
            text.small x=(MARGIN) y=(foot) { (chart::fit(&clean(caption.origin[0]), (space - brand_space) * 1.15)) }
            text.small x=(MARGIN) y=(foot + 17.0) { (chart::fit(&clean(caption.origin[1]), space * 1.15)) }
            text.small.strong x=(width - MARGIN) y=(foot) text-anchor="end" { (clean(caption.brand)) }
        }
    };
    Some(svg.into_string())
}

fn chart_body(panel: &PanelData, drawn: &Chart) -> (f64, f64, Markup) {
    let width = f64::from(CHART_WIDTH) + 2.0 * MARGIN;
    let (plot, plot_height) = chart::alone(drawn, CHART_WIDTH, &clean(&panel.title));
    let mut y = MARGIN + 20.0;
    let title_y = y;
    let unit_y = y + 22.0;
    // The axis may already show it.
    let is_in_title =
        |unit: &&String| drawn.y.has_title && drawn.y.title.eq_ignore_ascii_case(unit);
    let unit = panel.unit.as_ref().filter(|unit| !is_in_title(unit));
    if unit.is_some() {
        y = unit_y;
    }
    let (legend, lines) = legend(drawn, y + 24.0, width - MARGIN);
    y += 22.0 * lines as f64 + 14.0;
    let body = html! {
        text.heading x=(MARGIN) y=(title_y) { (chart::fit(&clean(&panel.title), (width - 2.0 * MARGIN) / 1.7)) }
        @if let Some(unit) = unit { text.body x=(MARGIN) y=(unit_y) { (clean(unit)) } }
        (legend)
        (placed(&plot, (MARGIN, y), (f64::from(CHART_WIDTH), plot_height)))
    };
    (width, y + plot_height + 8.0, body)
}

fn map_body(panel: &PanelData, drawn: &Map) -> (f64, f64, Markup) {
    let width = f64::from(CHART_WIDTH) + 2.0 * MARGIN;
    let (plot, size) = chart::map_alone(drawn, &clean(&panel.title));
    let height = size.1 * f64::from(CHART_WIDTH) / size.0;
    let title_y = MARGIN + 20.0;
    let (series, lines) = legend(&drawn.dots, title_y + 46.0, width - MARGIN);
    let y = title_y + 36.0 + 22.0 * lines.max(1) as f64;
    let step = 76.0;
    let limits = if lines == 0 { drawn.limits.as_slice() } else { &[] };
    let body = html! {
        text.heading x=(MARGIN) y=(title_y) { (chart::fit(&clean(&panel.title), (width - 2.0 * MARGIN) / 1.7)) }
        @if let Some(unit) = &panel.unit { text.body x=(MARGIN) y=(title_y + 22.0) { (clean(unit)) } }
        (series)
        g.countries {
            @for (span, limit) in limits.iter().enumerate() {
                @let x = MARGIN + 14.0 + step * span as f64;
                @if span + 1 < limits.len() {
                    @let shade = drawn.shade_of(span);
                    rect.below[shade < 0.0] x=(x) y=(title_y + 48.0) width=(step - 2.0) height="8" fill-opacity=(chart::opacity(shade)) {}
                }
                text.small x=(x) y=(title_y + 44.0) text-anchor="middle" { (clean(&limit.label)) }
            }
        }
        (placed(&plot, (MARGIN, y), (f64::from(CHART_WIDTH), height)))
    };
    (width, y + height + 8.0, body)
}

/// Draws the legend; returns it with its number of lines.
fn legend(drawn: &Chart, top: f64, right: f64) -> (Markup, usize) {
    if drawn.series.len() < 2 || !drawn.mark.has_legend() {
        return (html! {}, 0);
    }
    let (mut x, mut line, mut placed) = (MARGIN, 0, Vec::new());
    for series in &drawn.series {
        let name = chart::fit(&clean(&series.name), right - MARGIN - 30.0);
        let space = chart::text_width(&name) * 1.1 + 34.0;
        if x + space > right && x > MARGIN {
            (x, line) = (MARGIN, line + 1);
        }
        placed.push((x, top + 22.0 * f64::from(line), chart::color(series), name));
        x += space;
    }
    let markup = html! {
        @for (x, y, color, name) in &placed {
            rect.swatch.(color) x=(x) y=(y - 10.0) width="11" height="11" rx="3" {}
            text.body x=(x + 17.0) y=(y) { (name) }
        }
    };
    (markup, usize::try_from(line).unwrap_or_default() + 1)
}

fn stat_body(panel: &PanelData, stat: &Stat) -> Markup {
    let unit = panel.unit.as_deref().map(clean);
    let spark = chart::sparkline(&stat.history);
    let sign = |value: f64| match value {
        more if more > 0.0 => "▲ ",
        less if less < 0.0 => "▼ ",
        _ => "",
    };
    html! {
        text.body x=(MARGIN) y="48" { (chart::fit(&clean(&panel.title), STAT_WIDTH - 2.0 * MARGIN)) }
        text.figure x=(MARGIN) y="96" { (clean(&stat.shown)) @if let Some(unit) = unit { tspan.unit dx="8" { (unit) } } }
        text.body x=(MARGIN) y="124" {
            @if let Some(change) = &stat.change {
                tspan.(match change.tone { Tone::Good => "good", Tone::Bad => "bad", Tone::Neutral => "neutral" }) { (sign(change.value)) (clean(&change.shown)) }
                " vs " (clean(&change.against)) " "
            }
            @if let Some(at) = &stat.at { @if stat.change.is_some() { "· " } (clean(at)) }
        }
        @if !spark.0.is_empty() { (placed(&spark, (STAT_WIDTH - MARGIN - 160.0, 62.0), (160.0, 43.0))) }
    }
}

/// Positions a drawing that has no size.
fn placed(drawing: &Markup, (x, y): (f64, f64), (width, height): (f64, f64)) -> Markup {
    let place = format!("<svg x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" ");
    PreEscaped(drawing.0.replacen("<svg ", &place, 1))
}

/// Removes characters that XML does not allow.
fn clean(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

/// The style sheet's colors on a light background: the palette, then text, soft text, lines, strong
/// lines, good and bad.
struct Colors {
    palette: [&'static str; PALETTE_SIZE],
    ink: &'static str,
    soft: &'static str,
    line: &'static str,
    strong_line: &'static str,
    good: &'static str,
    bad: &'static str,
}

static COLORS: LazyLock<Colors> = LazyLock::new(|| {
    let mut palette = ["#000"; PALETTE_SIZE];
    for (index, color) in palette.iter_mut().enumerate().skip(1) {
        *color = light(&format!("s{index}"));
    }
    Colors {
        palette,
        ink: light("ink"),
        soft: light("soft"),
        line: light("line"),
        strong_line: light("strong-line"),
        good: light("good"),
        bad: light("bad"),
    }
});

/// Returns the light color of a pair in the style sheet.
fn light(name: &str) -> &'static str {
    let pair = STYLE.split_once(&format!("--{name}: light-dark(")).map(|(_, rest)| rest);
    pair.and_then(|pair| pair.split_once(',')).map_or("#000", |(light, _)| light.trim())
}

fn style(accent: &str) -> String {
    let Colors { palette, ink, soft, line, strong_line, good, bad } = &*COLORS;
    let below = palette[1];
    let mut css = format!(
        "text{{font-family:{FONT_FAMILY},system-ui,sans-serif;font-size:12px;fill:{soft}}}\
         .heading{{font-size:20px;font-weight:600;fill:{ink}}}.body{{font-size:14px}}.small{{font-size:12px}}.strong{{font-weight:600}}\
         .figure{{font-size:40px;font-weight:600;fill:{ink}}}.unit{{font-size:16px;font-weight:400;fill:{soft}}}.title{{font-weight:600}}\
         .good{{fill:{good};font-weight:600}}.bad{{fill:{bad};font-weight:600}}.neutral{{fill:{ink};font-weight:600}}\
         .grid path{{stroke:{line};fill:none}}.grid .zero{{stroke:{strong_line}}}\
         .line path{{stroke-width:1.9;stroke-linejoin:round;stroke-linecap:round}}.area .fill{{fill-opacity:.22}}.area .edge{{stroke-width:1.5}}\
         .dots circle{{fill-opacity:.65;stroke:#fff}}.names text{{font-weight:600}}\
         .guide path{{stroke:{soft};stroke-dasharray:4 4;fill:none}}.guide text{{paint-order:stroke;stroke:#fff;stroke-width:3px}}\
         .spark path{{stroke:{accent};stroke-width:1.5;stroke-linejoin:round}}.spark circle{{fill:{accent}}}"
    );
    let named = palette
        .iter()
        .enumerate()
        .map(|(index, color)| (format!("s{index}"), if index == 0 { accent } else { *color }));
    for (class, color) in named.chain([("s-other".to_owned(), *strong_line)]) {
        let _ = write!(
            css,
            ".{class} path,.boxes.{class} rect{{stroke:{color}}}.boxes.{class} rect{{fill-opacity:.3}}.{class} .fill{{fill:{color};stroke:none}}.{class} circle,.{class} rect,rect.{class},text.{class}{{fill:{color}}}"
        );
    }
    let _ = write!(
        css,
        ".bars .less{{fill:{bad}}}.bars .more{{fill:{good}}}.joins path{{stroke:{strong_line};fill:none}}\
         .land{{fill:{line};stroke:#fff}}.countries path,.countries rect{{fill:{accent};stroke:#fff}}.countries .below{{fill:{below}}}.spots .spot,.countries .spot{{stroke-linecap:round}}.countries .spot{{stroke:{accent}}}\
         .bars .forecast{{fill-opacity:.28}}.hatch{{fill:none}}.line .forecast{{fill:#fff;stroke:{soft}}}.ends circle{{stroke:#fff}}.boxes path{{fill:none}}.boxes .median{{stroke-width:2.5}}.band{{fill:{soft};opacity:.12}}"
    );
    css
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_color_of_the_palette_is_found_in_the_style_sheet() {
        let found: HashSet<&str> = COLORS.palette[1..].iter().copied().collect();
        assert_eq!(found.len(), PALETTE_SIZE - 1, "{found:?}");
        assert!(found.iter().all(|color| color.starts_with('#') && color.len() == 7));
        assert_ne!(COLORS.ink, "#000");
    }
}
