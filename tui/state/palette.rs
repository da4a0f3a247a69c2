//! The command palette: every action, every dashboard and every table, found by a few of their letters.

use nucleo_matcher::{
    Config, Matcher, Utf32Str,
    pattern::{CaseMatching, Normalization, Pattern},
};
use ratatui_textarea::TextArea;

use super::{Screen, State, list::Cursor};
use crate::tui::keys::{Action, KEYS, Scope};

/// Lines shown at once.
pub(crate) const HEIGHT: usize = 12;

/// How the lines that run pipelines begin.
pub(crate) const RUN_PIPELINE: &str = "run pipeline: ";

#[derive(Debug, Clone)]
pub(crate) struct Palette {
    pub(crate) input: TextArea<'static>,
    pub(crate) choices: Vec<Choice>,
    /// Indexes of what fits, best first.
    pub(crate) fitting: Vec<usize>,
    pub(crate) cursor: Cursor,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) text: String,
    /// The key that does the same.
    pub(crate) key: &'static str,
    pub(crate) does: Does,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Does {
    Action(Action),
    /// On another screen.
    ActionOn(Screen, Action),
    OpenTable(String),
    OpenDashboard(String),
    RunPipeline(String),
}

impl Palette {
    /// Everything that can be done, on this screen or on another, every dashboard and every table.
    pub(crate) fn of(state: &State) -> Self {
        let mut palette = Self { input: super::line_input(""), choices: Vec::new(), fitting: Vec::new(), cursor: Cursor::default() };
        palette.renew(state);
        palette
    }

    /// The same with something typed already.
    pub(crate) fn searching(state: &State, text: &str) -> Self {
        let mut palette = Self { input: super::line_input(text), ..Self::of(state) };
        palette.find();
        palette
    }

    /// Offers what there is now, for what has been typed already.
    pub(crate) fn renew(&mut self, state: &State) {
        // From the SQL prompt, too, what holds everywhere.
        let scopes: Vec<_> = state.scopes().into_iter().chain([Scope::Global]).collect();
        let mut choices = Vec::<Choice>::new();
        let mut moves = Vec::new();
        for binding in KEYS.iter().filter(|binding| scopes.contains(&binding.scope) && binding.action != Action::Palette) {
            let choice = Choice { text: binding.named(), key: binding.first(), does: Does::Action(binding.action) };
            let into = if binding.action.is_move() { &mut moves } else { &mut choices };
            if !into.iter().any(|known| known.does == choice.does) {
                into.push(choice);
            }
        }
        let everywhere = [(Action::Export, "run an export now"), (Action::StopExport, "stop the command that was started here")];
        for (action, text) in everywhere {
            let does = Does::Action(action);
            if !choices.iter().any(|choice| choice.does == does) {
                choices.push(Choice { text: text.to_owned(), key: "", does });
            }
        }
        for screen in Screen::ALL.into_iter().filter(|screen| *screen != state.screen) {
            let done_from_here = |action| everywhere.iter().any(|(known, _)| *known == action);
            let there = KEYS.iter().filter(|binding| binding.scope == screen.scope() && !binding.action.is_move());
            choices.extend(there.filter(|binding| !done_from_here(binding.action)).map(|binding| Choice {
                text: format!("{}: {}", screen.title(), binding.named()),
                key: "",
                does: Does::ActionOn(screen, binding.action),
            }));
        }
        let pipelines = state.served.setup.iter().flat_map(|setup| &setup.pipelines);
        choices.extend(pipelines.map(|name| Choice {
            text: format!("{RUN_PIPELINE}{name}"),
            key: "",
            does: Does::RunPipeline(name.clone()),
        }));
        choices.extend(state.dashboards.list.iter().map(|(slug, title)| Choice {
            text: format!("show dashboard {title}"),
            key: "",
            does: Does::OpenDashboard(slug.clone()),
        }));
        choices.extend(state.tables.rows.iter().map(|row| Choice {
            text: format!("open table {}", row.name),
            key: "",
            does: Does::OpenTable(row.name.clone()),
        }));
        choices.extend(moves);
        self.choices = choices;
        self.find();
    }

    /// Finds what fits what has been typed.
    pub(crate) fn find(&mut self) {
        let pattern = Pattern::parse(&self.input.lines().concat(), CaseMatching::Ignore, Normalization::Smart);
        let mut matcher = Matcher::new(Config::DEFAULT);
        let mut buffer = Vec::new();
        let mut scored: Vec<_> = self
            .choices
            .iter()
            .enumerate()
            .filter_map(|(index, choice)| Some((pattern.score(Utf32Str::new(&choice.text, &mut buffer), &mut matcher)?, index)))
            .collect();
        scored.sort_by_key(|(score, index)| (std::cmp::Reverse(*score), *index));
        self.fitting = scored.into_iter().map(|(_, index)| index).collect();
        self.cursor = Cursor::default();
    }

    pub(crate) fn chosen(&self) -> Option<&Choice> {
        self.fitting.get(self.cursor.at).map(|index| &self.choices[*index])
    }
}
