//! Themes from files: colors by name, which replace those of the color scheme.

use std::{collections::HashMap, fmt, path::Path};

use materia::toml_file::{self, FileError};
use ratatui::style::Color;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::theme::{ColorDepth, ColorName, ColorScheme};

/// The colors that a theme file sets.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ThemeColors {
    colors: HashMap<ColorName, ThemeColor>,
    pub(crate) series: Vec<ThemeColor>,
}

impl ThemeColors {
    pub(crate) fn get(&self, name: ColorName) -> Option<ThemeColor> {
        self.colors.get(&name).copied()
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct ThemeFile {
    /// The background it is made for; `None` is detected.
    pub scheme: Option<ColorScheme>,
    pub colors: ThemeColors,
}

/// A theme file as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Document {
    scheme: Scheme,
    series: Vec<ThemeColor>,
    colors: HashMap<ColorName, ThemeColor>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Scheme {
    #[default]
    Auto,
    Dark,
    Light,
}

impl ThemeFile {
    /// Parses `text`, the content of the file at `path`.
    ///
    /// # Errors
    /// The first error in the file.
    pub fn parse(path: &Path, text: &str) -> Result<Self, FileError> {
        let document: Document = toml_file::parse(path, text)?;
        Ok(Self {
            scheme: match document.scheme {
                Scheme::Auto => None,
                Scheme::Dark => Some(ColorScheme::Dark),
                Scheme::Light => Some(ColorScheme::Light),
            },
            colors: ThemeColors { colors: document.colors, series: document.series },
        })
    }
}

/// A color of a theme file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ThemeColor {
    Rgb(u32),
    /// A color of the 256-color palette.
    Indexed(u8),
    /// One of the sixteen colors that the terminal defines, or its default.
    Named(Color),
}

/// The sixteen colors of terminals, with their usual values.
const ANSI: [(Color, &str, u32); 16] = [
    (Color::Black, "black", 0x0000_0000),
    (Color::Red, "red", 0x00cd_0000),
    (Color::Green, "green", 0x0000_cd00),
    (Color::Yellow, "yellow", 0x00cd_cd00),
    (Color::Blue, "blue", 0x0000_00ee),
    (Color::Magenta, "magenta", 0x00cd_00cd),
    (Color::Cyan, "cyan", 0x0000_cdcd),
    (Color::Gray, "gray", 0x00e5_e5e5),
    (Color::DarkGray, "dark-gray", 0x007f_7f7f),
    (Color::LightRed, "light-red", 0x00ff_0000),
    (Color::LightGreen, "light-green", 0x0000_ff00),
    (Color::LightYellow, "light-yellow", 0x00ff_ff00),
    (Color::LightBlue, "light-blue", 0x005c_5cff),
    (Color::LightMagenta, "light-magenta", 0x00ff_00ff),
    (Color::LightCyan, "light-cyan", 0x0000_ffff),
    (Color::White, "white", 0x00ff_ffff),
];

/// The levels of each component in the color cube of the 256-color palette.
const CUBE_LEVELS: [u32; 6] = [0, 95, 135, 175, 215, 255];

impl ThemeColor {
    /// Returns the nearest color that a terminal of this depth can show.
    pub(crate) fn at_depth(self, depth: ColorDepth) -> Color {
        match (self, depth) {
            (_, ColorDepth::None) => Color::Reset,
            (Self::Named(color), _) => color,
            (Self::Rgb(rgb), ColorDepth::TrueColor) => Color::from_u32(rgb),
            (Self::Rgb(rgb), ColorDepth::Ansi256) => {
                let index = (16..=255).min_by_key(|index| distance(rgb, palette_rgb(*index)));
                Color::Indexed(index.unwrap_or_default())
            }
            (Self::Rgb(rgb), ColorDepth::Sixteen) => nearest_ansi(rgb),
            (Self::Indexed(index), ColorDepth::Sixteen) => ANSI
                .get(usize::from(index))
                .map_or_else(|| nearest_ansi(palette_rgb(index)), |(color, ..)| *color),
            (Self::Indexed(index), _) => Color::Indexed(index),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if let Some(digits) = text.strip_prefix('#') {
            let is_rgb = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            return is_rgb.then(|| u32::from_str_radix(digits, 16).ok().map(Self::Rgb)).flatten();
        }
        let name = text.to_lowercase();
        if name == "default" {
            return Some(Self::Named(Color::Reset));
        }
        let known = ANSI.iter().find(|(_, known, _)| *known == name);
        known.map(|(color, ..)| *color).map(Self::Named)
    }
}

impl fmt::Display for ThemeColor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rgb(rgb) => write!(formatter, "\"#{rgb:06x}\""),
            Self::Indexed(index) => write!(formatter, "{index}"),
            Self::Named(color) => {
                let known = ANSI.iter().find(|(known, ..)| known == color);
                write!(formatter, "\"{}\"", known.map_or("default", |(_, name, _)| name))
            }
        }
    }
}

impl<'de> Deserialize<'de> for ThemeColor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected \"#rrggbb\", a number up to 255, or a name")]
        enum Written {
            Index(u8),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Index(index) => Ok(Self::Indexed(index)),
            Written::Text(text) => Self::parse(&text).ok_or_else(|| {
                let names: Vec<_> = ANSI.iter().map(|(_, name, _)| *name).collect();
                D::Error::custom(format!(
                    "unknown color {text:?}; a color is \"#rrggbb\", a number up to 255, default, or one of {}",
                    names.join(", ")
                ))
            }),
        }
    }
}

fn nearest_ansi(rgb: u32) -> Color {
    let nearest = ANSI.iter().min_by_key(|(_, _, known)| distance(rgb, *known));
    nearest.map_or(Color::Reset, |(color, ..)| *color)
}

/// Returns the usual value of a color of the 256-color palette.
fn palette_rgb(index: u8) -> u32 {
    match index {
        0..16 => ANSI[usize::from(index)].2,
        16..232 => {
            let level = |step: u8| CUBE_LEVELS[usize::from((index - 16) / step % 6)];
            (level(36) << 16) | (level(6) << 8) | level(1)
        }
        _ => (8 + 10 * u32::from(index - 232)) * 0x0001_0101,
    }
}

fn distance(one: u32, other: u32) -> u32 {
    [16, 8, 0]
        .map(|shift| ((one >> shift) & 0xff).abs_diff((other >> shift) & 0xff).pow(2))
        .into_iter()
        .sum()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use super::*;
    use crate::theme::{StyleRole, Theme};

    fn parsed(text: &str) -> Result<ThemeFile, String> {
        ThemeFile::parse(Path::new("night.toml"), text).map_err(|error| error.to_string())
    }

    fn with(colors: &'static ThemeColors, depth: ColorDepth) -> Theme {
        Theme { scheme: ColorScheme::Dark, depth, ascii: false, colors: Some(colors) }
    }

    #[test]
    fn a_printed_theme_is_a_theme_file_that_changes_nothing() {
        for scheme in [ColorScheme::Dark, ColorScheme::Light] {
            let plain = Theme { scheme, depth: ColorDepth::TrueColor, ascii: false, colors: None };
            let file = parsed(&plain.to_file()).unwrap();
            assert_eq!(file.scheme, Some(scheme));
            let themed = Theme { colors: Some(Box::leak(Box::new(file.colors))), ..plain };
            assert_eq!(themed.to_file(), plain.to_file());
            for role in [
                StyleRole::Strong,
                StyleRole::Dim,
                StyleRole::Good,
                StyleRole::Selected,
                StyleRole::Marked,
                StyleRole::Found,
                StyleRole::Series(8),
            ] {
                assert_eq!(themed.style(role), plain.style(role), "{role:?}");
            }
        }
    }

    #[test]
    fn a_color_is_the_nearest_one_that_the_terminal_has() {
        let text =
            "series = ['#6fa8dc']\n[colors]\ngood = '#00ff00'\nwarn = 208\nbad = 'light-red'\n";
        let colors: &'static ThemeColors = Box::leak(Box::new(parsed(text).unwrap().colors));
        let shown = |role, depth| with(colors, depth).style(role).fg.unwrap();
        assert_eq!(shown(StyleRole::Good, ColorDepth::TrueColor), Color::Rgb(0, 255, 0));
        assert_eq!(shown(StyleRole::Good, ColorDepth::Ansi256), Color::Indexed(46));
        assert_eq!(shown(StyleRole::Good, ColorDepth::Sixteen), Color::LightGreen);
        assert_eq!(shown(StyleRole::Warn, ColorDepth::Ansi256), Color::Indexed(208));
        assert_eq!(shown(StyleRole::Bad, ColorDepth::TrueColor), Color::LightRed);
        assert_eq!(shown(StyleRole::Series(3), ColorDepth::TrueColor), Color::Rgb(111, 168, 220));
        assert_eq!(with(colors, ColorDepth::None).style(StyleRole::Dim).fg, None);
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        for (text, wanted) in [
            (
                "[colors]\nacent = 1",
                "night.toml:2: unknown value \"acent\"; did you mean \"accent\"?",
            ),
            ("[colors]\ngood = '#12345'", "night.toml:2: unknown color \"#12345\""),
            ("[colors]\ngood = 256", "night.toml:2: expected \"#rrggbb\""),
            ("scheme = 'dusk'", "night.toml:1: unknown value \"dusk\""),
            ("colours = 1", "unknown key \"colours\"; did you mean \"colors\"?"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
