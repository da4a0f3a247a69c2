//! How things look: roles instead of colours, in as many colours as the terminal has, on a dark or a light ground.

use ratatui::style::{Color, Modifier, Style};

/// What something is, which decides how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Text,
    /// Less important than text.
    Dim,
    /// Names of things.
    Strong,
    /// Frames and rules.
    Frame,
    /// Headings of columns and panels.
    Heading,
    /// What one can press, and where one is.
    Accent,
    Good,
    Warn,
    Bad,
    /// The line or cell one is on.
    Selected,
    /// The line one was on before going elsewhere.
    Marked,
    /// What a search found.
    Found,
    /// The n-th series of a chart.
    Series(usize),
}

/// The terminal's ground.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Theme {
    Dark,
    Light,
}

/// How many colours the terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// None: bold, dim, reversed and underlined only.
    None,
    Sixteen,
    Many,
    True,
}

/// Theme, colours, and whether more than ASCII may be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) theme: Theme,
    pub(crate) depth: Depth,
    pub(crate) ascii: bool,
}

/// A colour in true colour, in 256, in 16.
#[derive(Clone, Copy)]
struct Ink(u32, u8, Color);

impl Look {
    /// The style of a role.
    pub(crate) fn style(self, role: Role) -> Style {
        if self.depth == Depth::None {
            return plain(role);
        }
        let ink = self.ink(role);
        let style = match role {
            Role::Text => Style::new(),
            Role::Selected | Role::Found | Role::Marked => Style::new().fg(self.color(self.ground_text(role))).bg(self.color(ink)),
            _ => Style::new().fg(self.color(ink)),
        };
        match role {
            Role::Strong | Role::Bad | Role::Heading => style.add_modifier(Modifier::BOLD),
            _ => style,
        }
    }

    /// A colour between cold and hot, `share` from 0 to 1, for heatmaps.
    pub(crate) fn heat(self, share: f64) -> Style {
        let share = share.clamp(0.0, 1.0);
        let step = |from: u8, to: u8| {
            let mixed = f64::from(from) + (f64::from(to) - f64::from(from)) * share;
            // Between two bytes, hence a byte.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let mixed = mixed as u8;
            mixed
        };
        match (self.depth, self.theme) {
            (Depth::None, _) => Style::new(),
            (Depth::Sixteen, _) => {
                let ramp = [Color::Blue, Color::Cyan, Color::Green, Color::Yellow, Color::Red];
                Style::new().fg(ramp[rank(share, ramp.len())])
            }
            (Depth::Many, _) => {
                let ramp = [17, 24, 30, 36, 71, 107, 143, 179, 214, 208, 202];
                Style::new().fg(Color::Indexed(ramp[rank(share, ramp.len())]))
            }
            (Depth::True, Theme::Dark) => Style::new().fg(Color::Rgb(step(24, 250), step(52, 204), step(92, 110))),
            (Depth::True, Theme::Light) => Style::new().fg(Color::Rgb(step(214, 140), step(228, 52), step(244, 28))),
        }
    }

    fn ground_text(self, role: Role) -> Ink {
        match (self.theme, role) {
            (Theme::Dark, Role::Found) => Ink(0x001c_1c1c, 234, Color::Black),
            (Theme::Dark, Role::Marked) => Ink(0x00d0_d0d0, 252, Color::White),
            (Theme::Dark, _) => Ink(0x00ff_ffff, 231, Color::White),
            (Theme::Light, _) => Ink(0x0012_1212, 233, Color::Black),
        }
    }

    fn ink(self, role: Role) -> Ink {
        let dark = self.theme == Theme::Dark;
        let pick = |on_dark: Ink, on_light: Ink| if dark { on_dark } else { on_light };
        match role {
            Role::Text | Role::Strong => pick(Ink(0x00e4_e4e4, 254, Color::White), Ink(0x001c_1c1c, 234, Color::Black)),
            Role::Dim => pick(Ink(0x008a_8a8a, 245, Color::DarkGray), Ink(0x006c_6c6c, 242, Color::DarkGray)),
            Role::Frame => pick(Ink(0x004e_4e4e, 239, Color::DarkGray), Ink(0x00b2_b2b2, 249, Color::Gray)),
            Role::Heading => pick(Ink(0x00af_afd7, 146, Color::Cyan), Ink(0x003a_3a8a, 18, Color::Blue)),
            Role::Accent => pick(Ink(0x00e0_a458, 179, Color::Yellow), Ink(0x009a_5b00, 130, Color::Blue)),
            Role::Good => pick(Ink(0x0087_c06f, 113, Color::Green), Ink(0x002e_7d32, 28, Color::Green)),
            Role::Warn => pick(Ink(0x00f2_c040, 221, Color::Yellow), Ink(0x00a8_6a00, 136, Color::Yellow)),
            Role::Bad => pick(Ink(0x00f0_6a5d, 203, Color::Red), Ink(0x00b7_1c1c, 124, Color::Red)),
            Role::Selected => pick(Ink(0x002f_4b6e, 24, Color::Blue), Ink(0x00bb_d6f2, 153, Color::Cyan)),
            Role::Marked => pick(Ink(0x0030_3030, 236, Color::DarkGray), Ink(0x00e0_e0e0, 254, Color::Gray)),
            Role::Found => pick(Ink(0x00f2_c040, 221, Color::Yellow), Ink(0x00ff_e082, 222, Color::Yellow)),
            Role::Series(index) => series(index, dark),
        }
    }

    fn color(self, ink: Ink) -> Color {
        match self.depth {
            Depth::None => Color::Reset,
            Depth::Sixteen => ink.2,
            Depth::Many => Color::Indexed(ink.1),
            Depth::True => Color::from_u32(ink.0),
        }
    }
}

fn series(index: usize, dark: bool) -> Ink {
    const DARK: [Ink; 6] = [
        Ink(0x006f_a8dc, 74, Color::LightBlue),
        Ink(0x00e0_a458, 179, Color::Yellow),
        Ink(0x0087_c06f, 113, Color::Green),
        Ink(0x00d0_82b8, 175, Color::Magenta),
        Ink(0x005f_c7c0, 79, Color::Cyan),
        Ink(0x00f0_6a5d, 203, Color::Red),
    ];
    const LIGHT: [Ink; 6] = [
        Ink(0x001f_5fa8, 25, Color::Blue),
        Ink(0x009a_5b00, 130, Color::Yellow),
        Ink(0x002e_7d32, 28, Color::Green),
        Ink(0x008a_2a6d, 90, Color::Magenta),
        Ink(0x0000_7470, 30, Color::Cyan),
        Ink(0x00b7_1c1c, 124, Color::Red),
    ];
    let inks = if dark { DARK } else { LIGHT };
    inks[index % inks.len()]
}

/// Roles without colours.
fn plain(role: Role) -> Style {
    let style = Style::new();
    match role {
        Role::Strong | Role::Heading | Role::Good => style.add_modifier(Modifier::BOLD),
        Role::Dim | Role::Frame => style.add_modifier(Modifier::DIM),
        Role::Accent | Role::Marked => style.add_modifier(Modifier::UNDERLINED),
        Role::Warn => style.add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
        Role::Bad | Role::Selected | Role::Found => style.add_modifier(Modifier::REVERSED),
        Role::Text | Role::Series(_) => style,
    }
}

/// Which of `of` equal steps a share from 0 to 1 falls into.
pub(crate) fn rank(share: f64, of: usize) -> usize {
    // Clamped to the number of steps.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let step = (share.clamp(0.0, 1.0) * of as f64) as usize;
    step.min(of.saturating_sub(1))
}

/// What is drawn with signs rather than words, in Unicode and in ASCII.
impl Look {
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

    pub(crate) fn middle(self) -> &'static str {
        self.sign("·", "-")
    }

    pub(crate) fn arrow(self) -> &'static str {
        self.sign("→", "->")
    }

    /// The `turn`-th picture of something that goes round while one waits.
    pub(crate) fn spinner(self, turn: usize) -> &'static str {
        const UNICODE: [&str; 8] = ["⠋", "⠙", "⠸", "⠴", "⠦", "⠇", "⠏", "⠹"];
        const ASCII: [&str; 4] = ["|", "/", "-", "\\"];
        if self.ascii { ASCII[turn % 4] } else { UNICODE[turn % 8] }
    }

    /// A bar as tall as `share` of a line.
    pub(crate) fn spark(self, share: f64) -> &'static str {
        const UNICODE: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
        const ASCII: [&str; 5] = ["_", ".", "-", "=", "#"];
        if self.ascii { ASCII[rank(share, 5)] } else { UNICODE[rank(share, 8)] }
    }
}
