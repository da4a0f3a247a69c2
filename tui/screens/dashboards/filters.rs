//! The dialog for a dashboard's filters.

use std::fmt::Write as _;

use materia::dashboard::{DashboardData, FilterData, FilterValue};
use ratatui::{crossterm::event::KeyEvent, layout::Rect, text::Line};
use ratatui_textarea::TextArea;

use crate::{
    app::App,
    keys, layout,
    list_cursor::ListCursor,
    message::{ClickTarget, Effect},
    overlays::{Overlay, draw_input, edit_line, line_input},
    theme::StyleRole,
    views::{Canvas, panels::draw_text},
};

const HEIGHT: usize = 12;

/// The state of the dialog for a dashboard's filters.
#[derive(Debug, Clone)]
pub(crate) struct FilterPicker {
    pub(crate) slug: String,
    pub(crate) filters: Vec<FilterData>,
    /// The index of the visible filter.
    pub(crate) at: usize,
    /// A search for options; for years and texts it is the value itself.
    pub(crate) input: TextArea<'static>,
    pub(crate) cursor: ListCursor,
    pub(crate) error: Option<String>,
}

impl FilterPicker {
    /// Moves the cursor by options; negative is up.
    pub(crate) fn move_cursor(&mut self, by: isize) {
        let len = self.matches().len();
        self.cursor.move_by(by, len, HEIGHT);
    }

    pub(crate) fn new(data: &DashboardData) -> Option<Self> {
        let mut picker = Self {
            slug: data.slug.clone(),
            filters: data.filters.clone(),
            at: 0,
            input: TextArea::default(),
            cursor: ListCursor::default(),
            error: None,
        };
        (!picker.filters.is_empty()).then(|| {
            picker.move_to_filter(0);
            picker
        })
    }

    /// Shows a filter, with the cursor on its value.
    pub(crate) fn move_to_filter(&mut self, at: usize) {
        self.at = at % self.filters.len().max(1);
        self.error = None;
        let text = match self.filters.get(self.at).map(|filter| &filter.value) {
            Some(years @ FilterValue::Years { from, to, .. }) => {
                format!("{}-{}", years.year_label(*from), years.year_label(*to))
            }
            Some(range @ FilterValue::Range { .. }) => range_text(range),
            Some(FilterValue::Search { text }) => text.clone(),
            _ => String::new(),
        };
        self.input = line_input(&text);
        let chosen = match self.filters.get(self.at).map(|filter| &filter.value) {
            Some(FilterValue::One { options }) => options.iter().position(|option| option.chosen),
            _ => None,
        };
        self.cursor = ListCursor::default();
        self.cursor.move_to(chosen.unwrap_or_default(), self.matches().len(), HEIGHT);
    }

    /// Returns indexes of the options whose label contains the input.
    fn matches(&self) -> Vec<usize> {
        let wanted = self.input.lines().concat().to_lowercase();
        match self.filters.get(self.at).map(|filter| &filter.value) {
            Some(FilterValue::One { options } | FilterValue::Many { options }) => (0..options
                .len())
                .filter(|index| options[*index].label.to_lowercase().contains(&wanted))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Selects the option under the cursor; in a filter with multiple selection, toggles it.
    pub(crate) fn toggle_selected(&mut self) {
        let Some(index) = self.matches().get(self.cursor.at).copied() else { return };
        match &mut self.filters[self.at].value {
            FilterValue::One { options } => {
                for (at, option) in options.iter_mut().enumerate() {
                    option.chosen = at == index;
                }
            }
            FilterValue::Many { options } => {
                // Selecting all options means no restriction: only the first choice is then
                // selected.
                if options.iter().all(|option| option.chosen) {
                    for option in options.iter_mut() {
                        option.chosen = false;
                    }
                }
                options[index].chosen = !options[index].chosen;
            }
            FilterValue::Years { .. } | FilterValue::Range { .. } | FilterValue::Search { .. } => {}
        }
    }

    /// Applies the input to the filter; returns whether it is valid.
    fn apply_input(&mut self) -> bool {
        let text = self.input.lines().concat();
        match &mut self.filters[self.at].value {
            FilterValue::Years { from, to, .. } => {
                let years: Vec<_> = text
                    .split(['-', ' '])
                    .filter(|part| !part.is_empty())
                    // 2022/23 is the season that begins in 2022.
                    .map(|part| part.split('/').next().unwrap_or(part).parse::<i64>())
                    .collect();
                match years[..] {
                    [Ok(year)] => (*from, *to) = (year, year),
                    [Ok(one), Ok(other)] => (*from, *to) = (one.min(other), one.max(other)),
                    _ => {
                        self.error = Some("two years, for example 2010-2020".to_owned());
                        return false;
                    }
                }
            }
            FilterValue::Range { days, from, to, presets, .. } => {
                let wanted = text.trim().to_lowercase();
                if let Some(known) = presets.iter().position(|preset| preset.value == wanted) {
                    for (at, preset) in presets.iter_mut().enumerate() {
                        preset.chosen = at == known;
                    }
                    return true;
                }
                let ends: Vec<&str> =
                    wanted.split("to").map(str::trim).filter(|end| !end.is_empty()).collect();
                let [one, other] = ends[..] else {
                    self.error = Some(if *days {
                        "two days, for example 2024-01-01 to 2024-06-30".to_owned()
                    } else {
                        "two numbers, for example 10 to 200".to_owned()
                    });
                    return false;
                };
                (*from, *to) = (one.to_owned(), other.to_owned());
                for preset in presets {
                    preset.chosen = false;
                }
            }
            FilterValue::Search { text: wanted } => *wanted = text,
            FilterValue::One { .. } | FilterValue::Many { .. } => {}
        }
        true
    }

    /// Returns the values of all filters in URL notation.
    fn values(&self) -> Vec<(String, String)> {
        let mut values = Vec::new();
        for filter in &self.filters {
            match &filter.value {
                FilterValue::One { options } | FilterValue::Many { options } => {
                    let all = options.iter().all(|option| option.chosen);
                    let chosen = options
                        .iter()
                        .filter(|option| option.chosen && (!all || options.len() == 1));
                    let before = values.len();
                    values.extend(chosen.map(|option| (filter.name.clone(), option.value.clone())));
                    // Without any value, the default would be selected.
                    if values.len() == before && filter.can_be_emptied {
                        values.push((filter.name.clone(), String::new()));
                    }
                }
                FilterValue::Years { from, to, .. } => {
                    values.push((format!("{}_from", filter.name), from.to_string()));
                    values.push((format!("{}_to", filter.name), to.to_string()));
                }
                FilterValue::Range { from, to, presets, .. } => {
                    if let Some(preset) = presets.iter().find(|preset| preset.chosen) {
                        values.push((filter.name.clone(), preset.value.clone()));
                    } else {
                        values.push((format!("{}_from", filter.name), from.clone()));
                        values.push((format!("{}_to", filter.name), to.clone()));
                    }
                }
                FilterValue::Search { text } => values.push((filter.name.clone(), text.clone())),
            }
        }
        values
    }
}

pub(crate) fn press(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    let Some(Overlay::Filters(picker)) = &mut app.context.overlay else { return Vec::new() };
    match keys::key_name(key).as_str() {
        "esc" => app.context.overlay = None,
        "enter" => return submit(app),
        "tab" | "right" => {
            if picker.apply_input() {
                picker.move_to_filter(picker.at + 1);
            }
        }
        "backtab" | "left" => {
            if picker.apply_input() {
                picker.move_to_filter(picker.at + picker.filters.len() - 1);
            }
        }
        "down" | "ctrl-n" => picker.move_cursor(1),
        "up" | "ctrl-p" => picker.move_cursor(-1),
        "pgdn" => picker.move_cursor(HEIGHT.cast_signed()),
        "pgup" => picker.move_cursor(-HEIGHT.cast_signed()),
        "space" if !picker.matches().is_empty() => picker.toggle_selected(),
        _ => {
            picker.error = None;
            if edit_line(&mut picker.input, key) {
                picker.cursor = ListCursor::default();
            }
        }
    }
    Vec::new()
}

/// Returns a range as it is typed: a preset, or both ends.
pub(super) fn range_text(range: &FilterValue) -> String {
    let FilterValue::Range { from, to, presets, .. } = range else { return String::new() };
    let preset = presets.iter().find(|preset| preset.chosen);
    preset.map_or_else(|| format!("{from} to {to}"), |preset| preset.value.clone())
}

/// Requests the dashboard with the chosen values.
fn submit(app: &mut App) -> Vec<Effect> {
    let Some(Overlay::Filters(picker)) = &mut app.context.overlay else { return Vec::new() };
    // In a single-choice filter, the option under the cursor is the selected one.
    if matches!(picker.filters[picker.at].value, FilterValue::One { .. }) {
        picker.toggle_selected();
    }
    if !picker.apply_input() {
        return Vec::new();
    }
    let (slug, values) = (picker.slug.clone(), picker.values());
    app.context.overlay = None;
    app.dashboards.set_filters(slug, values, &mut app.context)
}

pub(crate) fn draw(canvas: &mut Canvas, area: Rect, picker: &FilterPicker) {
    let filter = &picker.filters[picker.at];
    // A note takes a line above the keys.
    let note_lines = u16::from(filter.note.is_some());
    let spot = layout::centered(
        area,
        64,
        u16::try_from(HEIGHT + 5).unwrap_or(u16::MAX).saturating_add(note_lines),
    );
    let inside = canvas.window(spot, "Filters");
    let names = picker.filters.iter().enumerate().map(|(index, filter)| {
        let role = if index == picker.at { StyleRole::Selected } else { StyleRole::Dim };
        canvas.span(role, format!(" {} ", filter.label))
    });
    let line = Line::from(names.collect::<Vec<_>>());
    canvas.line(inside, line);
    let prompt = canvas.span(StyleRole::Accent, "> ");
    let row = Rect { y: inside.y + 1, height: 1, ..inside };
    canvas.line(row, prompt);
    let field = Rect { x: row.x + 2, width: row.width.saturating_sub(2), ..row };
    draw_input(canvas, field, &picker.input);
    let list =
        Rect { y: inside.y + 2, height: inside.height.saturating_sub(3 + note_lines), ..inside };
    if let Some(note) = &filter.note {
        let span = canvas.span(StyleRole::Warn, note.clone());
        canvas.line(Rect { y: list.bottom(), height: 1, ..inside }, span);
    }
    let (options, many) = match &filter.value {
        FilterValue::One { options } => (&options[..], false),
        FilterValue::Many { options } => (&options[..], true),
        FilterValue::Years { first, last, .. } => {
            draw_text(canvas, list, StyleRole::Dim, &format!("from {first} to {last}"));
            (&[][..], false)
        }
        FilterValue::Range { first, last, presets, .. } => {
            let mut text = format!("from {first} to {last}");
            for preset in presets {
                let _ = write!(text, "\n{}: {}", preset.value, preset.label);
            }
            draw_text(canvas, list, StyleRole::Dim, &text);
            (&[][..], false)
        }
        FilterValue::Search { .. } => (&[][..], false),
    };
    let matches = picker.matches();
    for (row, index) in list.rows().zip(picker.cursor.visible_range(matches.len(), HEIGHT)) {
        let option = &options[matches[index]];
        let mark = match (many, option.chosen) {
            (true, true) => "[x]",
            (true, false) => "[ ]",
            (false, true) => "(*)",
            (false, false) => "( )",
        };
        let span = canvas.span(StyleRole::Text, format!(" {mark} {}", option.label));
        canvas.line(row, span);
        if index == picker.cursor.at {
            canvas.select(row);
        }
        canvas.add_click_area(row, ClickTarget::Line(index));
    }
    let help = match (&picker.error, many) {
        (Some(error), _) => canvas.span(StyleRole::Bad, error.clone()),
        (None, true) => canvas
            .span(StyleRole::Dim, "space selects, tab next filter, enter applies, esc cancels"),
        (None, false) => canvas.span(StyleRole::Dim, "tab next filter, enter applies, esc cancels"),
    };
    canvas.line(Rect { y: inside.bottom().saturating_sub(1), height: 1, ..inside }, help);
}
