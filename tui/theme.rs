//! Styles: roles instead of colors, for the terminal's color depth and for a dark or a light
//! background.

use std::fmt::Write as _;

use ratatui::style::{Color, Modifier, Style};

use super::theme_file::{ThemeColor, ThemeColors};

/// The meaning of a text, which determines its style.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StyleRole {
    Text,
    /// Text of lesser importance.
    Dim,
    Strong,
    Frame,
    /// Headings of columns and panels.
    Heading,
    /// Keys, and the current position.
    Accent,
    Good,
    Warn,
    Bad,
    /// The selected line or cell.
    Selected,
    /// The selected line while another area has the focus.
    Marked,
    /// A match of a search.
    Found,
    /// A series of a chart, by its index.
    Series(usize),
}

/// The background of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorScheme {
    /// Light text on a dark background.
    Dark,
    /// Dark text on a light background.
    Light,
}

/// The number of colors that the terminal supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorDepth {
    /// No colors: bold, dim, reversed and underlined only.
    None,
    /// The sixteen ANSI colors, which the terminal defines.
    Sixteen,
    /// The 256 colors of xterm.
    Ansi256,
    TrueColor,
}

/// Color scheme, color depth, colors of a theme file, and whether only ASCII is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// The background with which colors must contrast.
    pub scheme: ColorScheme,
    /// The colors that may be used.
    pub depth: ColorDepth,
    /// Whether only ASCII characters are drawn.
    pub ascii: bool,
    /// The colors of a theme file, which is read once per process.
    pub colors: Option<&'static ThemeColors>,
}

/// A color that a theme file can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ColorName {
    Text,
    Strong,
    Dim,
    Frame,
    Heading,
    Accent,
    Good,
    Warn,
    Bad,
    Selected,
    SelectedText,
    Marked,
    MarkedText,
    Found,
    FoundText,
}

impl ColorName {
    /// Every name as in a theme file, with what it is the color of.
    pub(crate) const ALL: [(Self, &'static str, &'static str); 15] = [
        (Self::Text, "text", "text; the terminal's own color unless set"),
        (Self::Strong, "strong", "names and titles"),
        (Self::Dim, "dim", "text of lesser importance"),
        (Self::Frame, "frame", "frames and lines"),
        (Self::Heading, "heading", "headings of columns and panels"),
        (Self::Accent, "accent", "keys, and the current position"),
        (Self::Good, "good", "what is well"),
        (Self::Warn, "warn", "warnings"),
        (Self::Bad, "bad", "errors"),
        (Self::Selected, "selected", "background of the selected line or cell"),
        (Self::SelectedText, "selected-text", "text on it"),
        (
            Self::Marked,
            "marked",
            "background of the selected line while another area has the focus",
        ),
        (Self::MarkedText, "marked-text", "text on it"),
        (Self::Found, "found", "background of a match of a search"),
        (Self::FoundText, "found-text", "text on it"),
    ];
}

/// A color as 24 bits, in the 256-color palette, and as an ANSI color.
#[derive(Clone, Copy)]
struct PaletteColor(u32, u8, Color);

impl Theme {
    /// Returns the style of a role.
    pub(crate) fn style(self, role: StyleRole) -> Style {
        if self.depth == ColorDepth::None {
            return plain(role);
        }
        let on = |text: ColorName, background: ColorName| {
            Style::new().fg(self.color(text)).bg(self.color(background))
        };
        let style = match role {
            StyleRole::Text => match self.custom(ColorName::Text) {
                Some(color) => Style::new().fg(color),
                None => Style::new(),
            },
            StyleRole::Selected => on(ColorName::SelectedText, ColorName::Selected),
            StyleRole::Marked => on(ColorName::MarkedText, ColorName::Marked),
            StyleRole::Found => on(ColorName::FoundText, ColorName::Found),
            StyleRole::Strong => Style::new().fg(self.color(ColorName::Strong)),
            StyleRole::Dim => Style::new().fg(self.color(ColorName::Dim)),
            StyleRole::Frame => Style::new().fg(self.color(ColorName::Frame)),
            StyleRole::Heading => Style::new().fg(self.color(ColorName::Heading)),
            StyleRole::Accent => Style::new().fg(self.color(ColorName::Accent)),
            StyleRole::Good => Style::new().fg(self.color(ColorName::Good)),
            StyleRole::Warn => Style::new().fg(self.color(ColorName::Warn)),
            StyleRole::Bad => Style::new().fg(self.color(ColorName::Bad)),
            StyleRole::Series(index) => Style::new().fg(self.series(index)),
        };
        match role {
            StyleRole::Strong | StyleRole::Bad | StyleRole::Heading => {
                style.add_modifier(Modifier::BOLD)
            }
            _ => style,
        }
    }

    /// Returns a color between cold and hot for heatmaps; `share` is between 0 and 1.
    pub(crate) fn heat(self, share: f64) -> Style {
        let share = share.clamp(0.0, 1.0);
        let step = |from: u8, to: u8| {
            let mixed = f64::from(from) + (f64::from(to) - f64::from(from)) * share;
            // Interpolated between two bytes.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let mixed = mixed as u8;
            mixed
        };
        match (self.depth, self.scheme) {
            (ColorDepth::None, _) => Style::new(),
            (ColorDepth::Sixteen, _) => {
                let ramp = [Color::Blue, Color::Cyan, Color::Green, Color::Yellow, Color::Red];
                Style::new().fg(ramp[rank(share, ramp.len())])
            }
            (ColorDepth::Ansi256, _) => {
                let ramp = [17, 24, 30, 36, 71, 107, 143, 179, 214, 208, 202];
                Style::new().fg(Color::Indexed(ramp[rank(share, ramp.len())]))
            }
            (ColorDepth::TrueColor, ColorScheme::Dark) => {
                Style::new().fg(Color::Rgb(step(24, 250), step(52, 204), step(92, 110)))
            }
            (ColorDepth::TrueColor, ColorScheme::Light) => {
                Style::new().fg(Color::Rgb(step(214, 140), step(228, 52), step(244, 28)))
            }
        }
    }

    fn custom(self, name: ColorName) -> Option<Color> {
        self.colors?.get(name).map(|color| color.at_depth(self.depth))
    }

    fn color(self, name: ColorName) -> Color {
        self.custom(name).unwrap_or_else(|| self.at_depth(default_color(name, self.scheme)))
    }

    fn series(self, index: usize) -> Color {
        let custom = self.colors.map(|colors| &colors.series[..]).unwrap_or_default();
        if !custom.is_empty() {
            return custom[index % custom.len()].at_depth(self.depth);
        }
        let colors = default_series(self.scheme);
        self.at_depth(colors[index % colors.len()])
    }

    fn at_depth(self, color: PaletteColor) -> Color {
        match self.depth {
            ColorDepth::None => Color::Reset,
            ColorDepth::Sixteen => color.2,
            ColorDepth::Ansi256 => Color::Indexed(color.1),
            ColorDepth::TrueColor => Color::from_u32(color.0),
        }
    }

    /// Returns the theme as a theme file.
    #[must_use]
    pub fn to_file(self) -> String {
        let custom = |name| self.colors.and_then(|colors| colors.get(name));
        let scheme = if self.scheme == ColorScheme::Dark { "dark" } else { "light" };
        let default = |color: PaletteColor| ThemeColor::Rgb(color.0);
        let series: Vec<ThemeColor> = match self.colors {
            Some(colors) if !colors.series.is_empty() => colors.series.clone(),
            _ => default_series(self.scheme).map(default).to_vec(),
        };
        let series: Vec<_> = series.iter().map(ToString::to_string).collect();
        let mut text = format!(
            "# A theme for `materia tui`: --theme FILE, or [tui] theme in materia.toml.
# Colors are \"#rrggbb\", a number of the 256-color palette, or a name (\"light-red\", \"default\").
# What is left out has the color of the scheme.

# The background of the terminal: \"dark\", \"light\" or \"auto\".
scheme = \"{scheme}\"
# The series of charts, in order.
series = [{}]

[colors]
",
            series.join(", ")
        );
        for (name, key, about) in ColorName::ALL {
            let color = custom(name).unwrap_or_else(|| default(default_color(name, self.scheme)));
            let is_default_text = name == ColorName::Text && custom(name).is_none();
            let color = if is_default_text { "\"default\"".to_owned() } else { color.to_string() };
            let setting = format!("{key} = {color}");
            let _ = writeln!(text, "{setting:<28}# {about}");
        }
        text
    }
}

/// Returns the color of a scheme.
fn default_color(name: ColorName, scheme: ColorScheme) -> PaletteColor {
    let dark = scheme == ColorScheme::Dark;
    let pick =
        |on_dark: PaletteColor, on_light: PaletteColor| if dark { on_dark } else { on_light };
    match name {
        ColorName::Text | ColorName::Strong => pick(
            PaletteColor(0x00e4_e4e4, 254, Color::White),
            PaletteColor(0x001c_1c1c, 234, Color::Black),
        ),
        ColorName::Dim => pick(
            PaletteColor(0x008a_8a8a, 245, Color::DarkGray),
            PaletteColor(0x006c_6c6c, 242, Color::DarkGray),
        ),
        ColorName::Frame => pick(
            PaletteColor(0x004e_4e4e, 239, Color::DarkGray),
            PaletteColor(0x00b2_b2b2, 249, Color::Gray),
        ),
        ColorName::Heading => pick(
            PaletteColor(0x00af_afd7, 146, Color::Cyan),
            PaletteColor(0x003a_3a8a, 18, Color::Blue),
        ),
        ColorName::Accent => pick(
            PaletteColor(0x00e0_a458, 179, Color::Yellow),
            PaletteColor(0x009a_5b00, 130, Color::Blue),
        ),
        ColorName::Good => pick(
            PaletteColor(0x0087_c06f, 113, Color::Green),
            PaletteColor(0x002e_7d32, 28, Color::Green),
        ),
        ColorName::Warn => pick(
            PaletteColor(0x00f2_c040, 221, Color::Yellow),
            PaletteColor(0x00a8_6a00, 136, Color::Yellow),
        ),
        ColorName::Bad => pick(
            PaletteColor(0x00f0_6a5d, 203, Color::Red),
            PaletteColor(0x00b7_1c1c, 124, Color::Red),
        ),
        ColorName::Selected => pick(
            PaletteColor(0x002f_4b6e, 24, Color::Blue),
            PaletteColor(0x00bb_d6f2, 153, Color::Cyan),
        ),
        ColorName::Marked => pick(
            PaletteColor(0x0030_3030, 236, Color::DarkGray),
            PaletteColor(0x00e0_e0e0, 254, Color::Gray),
        ),
        ColorName::Found => pick(
            PaletteColor(0x00f2_c040, 221, Color::Yellow),
            PaletteColor(0x00ff_e082, 222, Color::Yellow),
        ),
        ColorName::SelectedText => pick(
            PaletteColor(0x00ff_ffff, 231, Color::White),
            PaletteColor(0x0012_1212, 233, Color::Black),
        ),
        ColorName::MarkedText => pick(
            PaletteColor(0x00d0_d0d0, 252, Color::White),
            PaletteColor(0x0012_1212, 233, Color::Black),
        ),
        ColorName::FoundText => pick(
            PaletteColor(0x001c_1c1c, 234, Color::Black),
            PaletteColor(0x0012_1212, 233, Color::Black),
        ),
    }
}

fn default_series(scheme: ColorScheme) -> [PaletteColor; 6] {
    match scheme {
        ColorScheme::Dark => [
            PaletteColor(0x006f_a8dc, 74, Color::LightBlue),
            PaletteColor(0x00e0_a458, 179, Color::Yellow),
            PaletteColor(0x0087_c06f, 113, Color::Green),
            PaletteColor(0x00d0_82b8, 175, Color::Magenta),
            PaletteColor(0x005f_c7c0, 79, Color::Cyan),
            PaletteColor(0x00f0_6a5d, 203, Color::Red),
        ],
        ColorScheme::Light => [
            PaletteColor(0x001f_5fa8, 25, Color::Blue),
            PaletteColor(0x009a_5b00, 130, Color::Yellow),
            PaletteColor(0x002e_7d32, 28, Color::Green),
            PaletteColor(0x008a_2a6d, 90, Color::Magenta),
            PaletteColor(0x0000_7470, 30, Color::Cyan),
            PaletteColor(0x00b7_1c1c, 124, Color::Red),
        ],
    }
}

/// Returns the style of a role without colors.
fn plain(role: StyleRole) -> Style {
    let style = Style::new();
    match role {
        StyleRole::Strong | StyleRole::Heading | StyleRole::Good => {
            style.add_modifier(Modifier::BOLD)
        }
        StyleRole::Dim | StyleRole::Frame => style.add_modifier(Modifier::DIM),
        StyleRole::Accent | StyleRole::Marked => style.add_modifier(Modifier::UNDERLINED),
        StyleRole::Warn => style.add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
        StyleRole::Bad | StyleRole::Selected | StyleRole::Found => {
            style.add_modifier(Modifier::REVERSED)
        }
        StyleRole::Text | StyleRole::Series(_) => style,
    }
}

/// Returns the index of the interval that contains a share between 0 and 1, out of `of` equal ones.
pub(crate) fn rank(share: f64, of: usize) -> usize {
    // Clamped to the number of steps.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let step = (share.clamp(0.0, 1.0) * of as f64) as usize;
    step.min(of.saturating_sub(1))
}

/// Signs, in Unicode and in ASCII.
impl Theme {
    fn sign(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.ascii { ascii } else { unicode }
    }

    pub(crate) fn dot(self) -> &'static str {
        self.sign("●", "*")
    }

    pub(crate) fn up(self) -> &'static str {
        self.sign("▲", "^")
    }

    pub(crate) fn down(self) -> &'static str {
        self.sign("▼", "v")
    }

    pub(crate) fn more(self) -> &'static str {
        self.sign("…", "~")
    }

    pub(crate) fn bar(self) -> &'static str {
        self.sign("█", "#")
    }

    pub(crate) fn line(self) -> &'static str {
        self.sign("─", "-")
    }

    /// Returns the line to the right of frozen columns.
    pub(crate) fn column_line(self) -> &'static str {
        self.sign("│ ", "| ")
    }

    pub(crate) fn middle(self) -> &'static str {
        self.sign("·", "-")
    }

    pub(crate) fn arrow(self) -> &'static str {
        self.sign("→", "->")
    }

    /// Returns a frame of the spinner.
    pub(crate) fn spinner(self, spinner_frame: usize) -> &'static str {
        const UNICODE: [&str; 8] = ["⠋", "⠙", "⠸", "⠴", "⠦", "⠇", "⠏", "⠹"];
        const ASCII: [&str; 4] = ["|", "/", "-", "\\"];
        if self.ascii { ASCII[spinner_frame % 4] } else { UNICODE[spinner_frame % 8] }
    }

    /// Returns a bar whose height is a share of the line.
    pub(crate) fn spark(self, share: f64) -> &'static str {
        const UNICODE: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
        const ASCII: [&str; 5] = ["_", ".", "-", "=", "#"];
        if self.ascii { ASCII[rank(share, 5)] } else { UNICODE[rank(share, 8)] }
    }
}
