//! The dashboards screen: the one that is shown, and what is chosen in its filters.

use std::{collections::HashMap, sync::Arc};

use materia::dashboard::{Choice, DashboardData, FilterData};
use ratatui_textarea::TextArea;

use super::list::Cursor;

/// Options shown at once.
pub(crate) const HEIGHT: usize = 12;

#[derive(Debug, Clone, Default)]
pub(crate) struct DashboardsScreen {
    /// Slugs and titles, in their order.
    pub(crate) list: Vec<(String, String)>,
    pub(crate) data: Option<Arc<DashboardData>>,
    /// What is wrong with the files.
    pub(crate) mistakes: Vec<String>,
    /// Why there is no newer data.
    pub(crate) problem: Option<String>,
    /// The slug of the one to show; `None` is the first.
    pub(crate) wanted: Option<String>,
    /// What is chosen, by slug, as it stands in addresses.
    pub(crate) chosen: HashMap<String, Vec<(String, String)>>,
    pub(crate) asked: Option<u64>,
    /// The first row of panels shown.
    pub(crate) scroll: usize,
}

impl DashboardsScreen {
    /// The slug after the one that is shown, or before it.
    pub(crate) fn beside(&self, forward: bool) -> Option<String> {
        let shown = self.wanted.as_ref().or_else(|| self.data.as_ref().map(|data| &data.slug));
        let at = self.list.iter().position(|(slug, _)| Some(slug) == shown).unwrap_or_default();
        let of = self.list.len();
        let next = if forward { at + 1 } else { at + of.saturating_sub(1) };
        self.list.get(next.checked_rem(of)?).map(|(slug, _)| slug.clone())
    }
}

/// Choosing in the filters of a dashboard.
#[derive(Debug, Clone)]
pub(crate) struct Picker {
    pub(crate) slug: String,
    pub(crate) filters: Vec<FilterData>,
    /// Which filter.
    pub(crate) at: usize,
    /// Narrows the options down; for years and texts it is the value.
    pub(crate) input: TextArea<'static>,
    pub(crate) cursor: Cursor,
    pub(crate) problem: Option<String>,
}

impl Picker {
    pub(crate) fn new(data: &DashboardData) -> Option<Self> {
        let mut picker = Self {
            slug: data.slug.clone(),
            filters: data.filters.clone(),
            at: 0,
            input: TextArea::default(),
            cursor: Cursor::default(),
            problem: None,
        };
        (!picker.filters.is_empty()).then(|| {
            picker.to(0);
            picker
        })
    }

    /// Goes to a filter, on to what is chosen in it.
    pub(crate) fn to(&mut self, at: usize) {
        self.at = at % self.filters.len().max(1);
        self.problem = None;
        let text = match self.filters.get(self.at).map(|filter| &filter.choice) {
            Some(Choice::Years { from, to, .. }) => format!("{from}-{to}"),
            Some(Choice::Search { text }) => text.clone(),
            _ => String::new(),
        };
        self.input = super::line_input(&text);
        let chosen = match self.filters.get(self.at).map(|filter| &filter.choice) {
            Some(Choice::One { options }) => options.iter().position(|option| option.chosen),
            _ => None,
        };
        self.cursor = Cursor::default();
        self.cursor.to(chosen.unwrap_or_default(), self.fitting().len(), HEIGHT);
    }

    /// Indexes of the options whose name has what was typed.
    pub(crate) fn fitting(&self) -> Vec<usize> {
        let wanted = self.input.lines().concat().to_lowercase();
        match self.filters.get(self.at).map(|filter| &filter.choice) {
            Some(Choice::One { options } | Choice::Many { options }) => {
                (0..options.len()).filter(|index| options[*index].label.to_lowercase().contains(&wanted)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Chooses the option one is on: the only one, or one more or less of many.
    pub(crate) fn choose(&mut self) {
        let Some(index) = self.fitting().get(self.cursor.at).copied() else { return };
        match &mut self.filters[self.at].choice {
            Choice::One { options } => {
                for (at, option) in options.iter_mut().enumerate() {
                    option.chosen = at == index;
                }
            }
            Choice::Many { options } => {
                // All of them chosen means that nothing was: the first choice is the only one then.
                if options.iter().all(|option| option.chosen) {
                    for option in options.iter_mut() {
                        option.chosen = false;
                    }
                }
                options[index].chosen = !options[index].chosen;
            }
            Choice::Years { .. } | Choice::Search { .. } => {}
        }
    }

    /// Takes over what was typed; `false` where it cannot be understood.
    pub(crate) fn take_text(&mut self) -> bool {
        let text = self.input.lines().concat();
        match &mut self.filters[self.at].choice {
            Choice::Years { from, to, .. } => {
                let years: Vec<_> = text.split(['-', ' ']).filter(|part| !part.is_empty()).map(str::parse::<i64>).collect();
                match years[..] {
                    [Ok(year)] => (*from, *to) = (year, year),
                    [Ok(one), Ok(other)] => (*from, *to) = (one.min(other), one.max(other)),
                    _ => {
                        self.problem = Some("two years, for example 2010-2020".to_owned());
                        return false;
                    }
                }
            }
            Choice::Search { text: wanted } => *wanted = text,
            Choice::One { .. } | Choice::Many { .. } => {}
        }
        true
    }

    /// Everything chosen, as it stands in addresses.
    pub(crate) fn asked(&self) -> Vec<(String, String)> {
        let mut asked = Vec::new();
        for filter in &self.filters {
            match &filter.choice {
                Choice::One { options } | Choice::Many { options } => {
                    let all = options.iter().all(|option| option.chosen);
                    let chosen = options.iter().filter(|option| option.chosen && (!all || options.len() == 1));
                    asked.extend(chosen.map(|option| (filter.name.clone(), option.value.clone())));
                }
                Choice::Years { from, to, .. } => {
                    asked.push((format!("{}_from", filter.name), from.to_string()));
                    asked.push((format!("{}_to", filter.name), to.to_string()));
                }
                Choice::Search { text } => asked.push((filter.name.clone(), text.clone())),
            }
        }
        asked
    }
}
