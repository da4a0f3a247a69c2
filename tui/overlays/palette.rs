//! The command palette: finds every action, dashboard and table by some of its letters.

use materia::humanize;
use nucleo_matcher::{
    Config, Matcher, Utf32Str,
    pattern::{CaseMatching, Normalization, Pattern},
};
use ratatui::{crossterm::event::KeyEvent, layout::Rect, text::Line};
use ratatui_textarea::TextArea;

use super::{Overlay, draw_input, edit_line, line_input};
use crate::{
    app::{App, GLOBAL_KEYS, ScreenId},
    commands,
    keys::{self, KeyBinding},
    layout,
    list_cursor::ListCursor,
    message::{ClickTarget, Effect},
    screens::Link,
    theme::StyleRole,
    views::Canvas,
};

const HEIGHT: usize = 12;

/// The prefix of the entries that run pipelines.
pub(crate) const RUN_PIPELINE: &str = "run pipeline: ";

/// The prefixes of the entries that stop what clients of the PostgreSQL endpoint run.
pub(crate) const STOP_STATEMENT: &str = "stop statement: ";
const DISCONNECT: &str = "disconnect: ";

/// Actions that the palette of every screen offers under their own names.
const ANYWHERE: [&str; 2] = ["export", "stop"];

#[derive(Debug, Clone)]
pub(crate) struct Palette {
    title: &'static str,
    input: TextArea<'static>,
    pub(crate) entries: Vec<PaletteEntry>,
    /// Indexes of the entries that match the input, best first.
    pub(crate) matches: Vec<usize>,
    pub(crate) cursor: ListCursor,
}

#[derive(Debug, Clone)]
pub(crate) struct PaletteEntry {
    pub(crate) text: String,
    /// The key of the same action, or the age of an object.
    pub(crate) key: String,
    pub(crate) action: PaletteAction,
}

impl PaletteEntry {
    /// Returns whether it runs the action of this name on the visible screen.
    fn runs(&self, name: &str) -> bool {
        matches!(self.action, PaletteAction::Run(binding) if binding.name == name)
    }
}

#[derive(Debug, Clone)]
pub(crate) enum PaletteAction {
    Run(&'static KeyBinding),
    /// Runs an action of another screen, on that screen.
    RunOn(ScreenId, &'static KeyBinding),
    Follow(Link),
    RunPipeline(String),
    /// Stops the statement of a connection to the PostgreSQL endpoint, or ends the connection.
    StopClient {
        pid: i32,
        disconnect: bool,
    },
}

/// Opens the palette, and requests objects that are not known yet.
pub(crate) fn open(app: &mut App) -> Vec<Effect> {
    app.context.overlay = Some(Overlay::Palette(Box::new(Palette::with_text(app, ""))));
    let mut effects = Vec::new();
    for id in ScreenId::ALL {
        let (screen, context) = app.screen_mut(id);
        effects.extend(screen.load_palette_entries(context));
    }
    effects
}

/// Updates the entries for the text that has been typed.
pub(crate) fn refresh(app: &mut App) {
    let overlay = app.context.overlay.take();
    app.context.overlay = match overlay {
        Some(Overlay::Palette(mut palette)) => {
            palette.entries = entries(app);
            palette.update_matches();
            Some(Overlay::Palette(palette))
        }
        other => other,
    };
}

/// Lists every action of this and of other screens, and every object, with navigation last.
fn entries(app: &App) -> Vec<PaletteEntry> {
    let visible = app.context.screen;
    let (mut entries, mut navigation) = (Vec::<PaletteEntry>::new(), Vec::new());
    for group in [app.visible().keys(), &GLOBAL_KEYS] {
        for binding in group.bindings.iter().filter(|binding| binding.name != "palette") {
            let entry = PaletteEntry {
                text: binding.full_text(),
                key: app.context.keyboard.keymap.first_key(group, binding).to_owned(),
                action: PaletteAction::Run(binding),
            };
            let list = if binding.is_navigation { &mut navigation } else { &mut entries };
            if !list.iter().any(|known| known.runs(binding.name)) {
                list.push(entry);
            }
        }
    }
    for id in ScreenId::ALL {
        let bindings = app.screen(id).home_keys().bindings;
        for binding in bindings.iter().filter(|binding| !binding.is_navigation) {
            let anywhere = ANYWHERE.contains(&binding.name);
            if anywhere && !entries.iter().any(|known| known.runs(binding.name)) {
                let text = binding.about.to_owned();
                entries.push(PaletteEntry {
                    text,
                    key: String::new(),
                    action: PaletteAction::Run(binding),
                });
            } else if !anywhere && id != visible {
                entries.push(PaletteEntry {
                    text: format!("{}: {}", id.title(), binding.full_text()),
                    key: String::new(),
                    action: PaletteAction::RunOn(id, binding),
                });
            }
        }
    }
    let config = app.context.reader.config.as_ref();
    let pipelines = config.map(|config| config.settings.pipelines.names()).unwrap_or_default();
    entries.extend(pipelines.into_iter().map(|name| PaletteEntry {
        text: format!("{RUN_PIPELINE}{name}"),
        key: String::new(),
        action: PaletteAction::RunPipeline(name.to_owned()),
    }));
    entries.extend(clients(app));
    let objects = ScreenId::ALL.into_iter().rev();
    entries.extend(objects.flat_map(|id| app.screen(id).palette_entries(&app.context)));
    entries.extend(navigation);
    entries
}

/// Lists what can be stopped of the PostgreSQL endpoint's clients: statements first.
fn clients(app: &App) -> Vec<PaletteEntry> {
    let endpoint = app.context.status_view.endpoint.as_ref();
    let clients: Vec<_> =
        endpoint.and_then(|state| state.clients()).into_iter().flatten().collect();
    let entry = |text: String, pid, disconnect| PaletteEntry {
        text,
        key: String::new(),
        action: PaletteAction::StopClient { pid, disconnect },
    };
    let statements = clients.iter().filter_map(|client| {
        let query = humanize::printable(client.query.as_deref()?);
        let text = format!("{STOP_STATEMENT}{} {} {query}", client.pid, client.email);
        Some(entry(text, client.pid, false))
    });
    let connections = clients.iter().map(|client| {
        let application = humanize::printable(&client.application);
        let text = format!("{DISCONNECT}{} {} {application}", client.pid, client.email);
        entry(text.trim_end().to_owned(), client.pid, true)
    });
    statements.chain(connections).collect()
}

impl Palette {
    /// Returns the palette with an initial text.
    pub(crate) fn with_text(app: &App, text: &str) -> Self {
        let mut palette = Self::new("Find", entries(app));
        palette.input = line_input(text);
        palette.update_matches();
        palette
    }

    /// Returns a palette with entries other than actions.
    pub(crate) fn new(title: &'static str, entries: Vec<PaletteEntry>) -> Self {
        let mut palette = Self {
            title,
            input: line_input(""),
            entries,
            matches: Vec::new(),
            cursor: ListCursor::default(),
        };
        palette.update_matches();
        palette
    }

    fn update_matches(&mut self) {
        let pattern = Pattern::parse(
            &self.input.lines().concat(),
            CaseMatching::Ignore,
            Normalization::Smart,
        );
        let mut matcher = Matcher::new(Config::DEFAULT);
        let mut buffer = Vec::new();
        let mut scored: Vec<_> = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| {
                let text = Utf32Str::new(&entry.text, &mut buffer);
                Some((pattern.score(text, &mut matcher)?, index))
            })
            .collect();
        scored.sort_by_key(|(score, index)| (std::cmp::Reverse(*score), *index));
        self.matches = scored.into_iter().map(|(_, index)| index).collect();
        self.cursor = ListCursor::default();
    }

    pub(super) fn paste(&mut self, text: &str) {
        self.input.insert_str(text);
        self.update_matches();
    }

    pub(super) fn move_cursor(&mut self, by: isize) {
        self.cursor.move_by(by, self.matches.len(), HEIGHT);
    }

    pub(crate) fn selected(&self) -> Option<&PaletteEntry> {
        self.matches.get(self.cursor.at).map(|index| &self.entries[*index])
    }
}

pub(super) fn press(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    let Some(Overlay::Palette(palette)) = &mut app.context.overlay else { return Vec::new() };
    match keys::key_name(key).as_str() {
        "esc" => app.context.overlay = None,
        "enter" => return run_selected(app),
        "down" | "ctrl-n" | "tab" => palette.move_cursor(1),
        "up" | "ctrl-p" | "backtab" => palette.move_cursor(-1),
        "pgdn" => palette.move_cursor(HEIGHT.cast_signed()),
        "pgup" => palette.move_cursor(-HEIGHT.cast_signed()),
        _ => {
            if edit_line(&mut palette.input, key) {
                palette.update_matches();
            }
        }
    }
    Vec::new()
}

/// Closes the palette and runs the selected entry.
pub(super) fn run_selected(app: &mut App) -> Vec<Effect> {
    let Some(Overlay::Palette(palette)) = app.context.overlay.take() else { return Vec::new() };
    match palette.selected().map(|entry| &entry.action) {
        Some(PaletteAction::Run(binding)) => (binding.run)(app),
        Some(PaletteAction::RunOn(id, binding)) => {
            app.screen_mut(*id).0.reset();
            let mut effects = app.show(*id);
            effects.extend((binding.run)(app));
            effects
        }
        Some(PaletteAction::Follow(link)) => app.follow_link(link),
        Some(PaletteAction::RunPipeline(name)) => commands::run_pipeline(app, name),
        Some(PaletteAction::StopClient { pid, disconnect }) => {
            commands::stop_client(app, *pid, *disconnect)
        }
        None => Vec::new(),
    }
}

pub(super) fn draw(canvas: &mut Canvas, area: Rect, palette: &Palette) {
    let height = u16::try_from(HEIGHT + 3).unwrap_or(u16::MAX);
    let window = layout::centered(area, 76, height);
    let inside = canvas.window(window, palette.title);
    let prompt = canvas.span(StyleRole::Accent, ": ");
    canvas.line(inside, prompt);
    let field =
        Rect { x: inside.x + 2, width: inside.width.saturating_sub(2), height: 1, ..inside };
    draw_input(canvas, field, &palette.input);
    let list = Rect { y: inside.y + 1, height: inside.height.saturating_sub(1), ..inside };
    if palette.matches.is_empty() {
        let span = canvas.span(StyleRole::Dim, " no match");
        return canvas.line(list, span);
    }
    let range = palette.cursor.visible_range(palette.matches.len(), HEIGHT);
    for (row, index) in list.rows().zip(range) {
        let entry = &palette.entries[palette.matches[index]];
        let space = usize::from(row.width).saturating_sub(16);
        let line = Line::from(vec![
            canvas.span(StyleRole::Text, format!(" {} ", canvas.fit(&entry.text, space))),
            canvas.span(StyleRole::Accent, format!("{:>12} ", entry.key)),
        ]);
        canvas.line(row, line);
        if index == palette.cursor.at {
            canvas.select(row);
        }
        canvas.add_click_area(row, ClickTarget::Line(index));
    }
}
