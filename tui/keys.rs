//! Key bindings: each screen has its own table, from which dispatch, help, footer and palette are
//! derived.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use materia::{humanize, settings::Keys};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{app::App, message::Effect};

/// A table of keys that apply together.
#[derive(Debug)]
pub(crate) struct KeyGroup {
    /// The prefix of its actions' names, for example `tables`.
    pub(crate) id: &'static str,
    /// The heading in the help.
    pub(crate) title: &'static str,
    pub(crate) bindings: &'static [KeyBinding],
}

/// Keys, and the action they run.
#[derive(Debug)]
pub(crate) struct KeyBinding {
    /// The action's name, unique within its group.
    pub(crate) name: &'static str,
    /// Every key that runs it by default, as formatted by [`key_name`], separated by spaces.
    keys: &'static str,
    /// The description in the help.
    pub(crate) about: &'static str,
    /// The label in the footer; empty keeps it out of the footer.
    pub(crate) short: &'static str,
    /// Whether it only moves the cursor or the view.
    pub(crate) is_navigation: bool,
    pub(crate) run: fn(&mut App) -> Vec<Effect>,
}

/// Binds keys to an action.
pub(crate) const fn key(
    keys: &'static str,
    name: &'static str,
    about: &'static str,
    short: &'static str,
    run: fn(&mut App) -> Vec<Effect>,
) -> KeyBinding {
    KeyBinding { name, keys, about, short, is_navigation: false, run }
}

impl KeyBinding {
    /// Marks the action as one that only moves the cursor or the view.
    pub(crate) const fn navigation(mut self) -> Self {
        self.is_navigation = true;
        self
    }

    /// Describes the action by its label and its description, so that a search for either finds it.
    pub(crate) fn full_text(&self) -> String {
        if self.short.is_empty() || self.about.to_lowercase().contains(self.short) {
            self.about.to_owned()
        } else {
            format!("{}: {}", self.short, self.about)
        }
    }
}

/// The keys of actions: those of the tables, except where the settings name others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Keymap {
    /// Keys by group and action, separated by spaces.
    chosen: Arc<HashMap<(&'static str, &'static str), String>>,
}

impl Keymap {
    /// Returns the keys that the settings name for actions of these groups.
    ///
    /// # Errors
    /// An action or a key is unknown, or a key has two meanings in one group.
    pub(crate) fn parse(
        settings: &BTreeMap<String, Keys>,
        groups: &[&'static KeyGroup],
    ) -> Result<Self, String> {
        let actions = || {
            groups.iter().flat_map(|group| {
                group
                    .bindings
                    .iter()
                    .map(move |binding| (group, format!("{}.{}", group.id, binding.name), binding))
            })
        };
        let mut chosen = HashMap::new();
        for (action, keys) in settings {
            let Some((group, _, binding)) = actions().find(|(_, name, _)| name == action) else {
                let names: Vec<_> = actions().map(|(_, name, _)| name).collect();
                let help = humanize::nearest(action, names.iter().map(String::as_str));
                let help = help.map_or_else(
                    || "materia tui --print-keys lists all".to_owned(),
                    |nearest| format!("did you mean {nearest:?}?"),
                );
                return Err(format!("[tui.keys]: unknown action {action:?}; {help}"));
            };
            let keys = keys.as_slice();
            if let Some(key) = keys.iter().find(|key| !is_key(key)) {
                return Err(format!(
                    "[tui.keys]: {action}: unknown key {key:?}; keys are written as in materia tui --print-keys"
                ));
            }
            chosen.insert((group.id, binding.name), keys.join(" "));
        }
        let keymap = Self { chosen: Arc::new(chosen) };
        for group in groups {
            let mut meanings = HashMap::new();
            for binding in group.bindings {
                for key in keymap.keys(group, binding) {
                    if let Some(other) = meanings.insert(key, binding.name) {
                        let id = group.id;
                        return Err(format!(
                            "[tui.keys]: {key:?} is both {id}.{other} and {id}.{}",
                            binding.name
                        ));
                    }
                }
            }
        }
        Ok(keymap)
    }

    /// Returns every key or pair of keys that runs the action; none if it was given an empty list.
    pub(crate) fn keys<'a>(
        &'a self,
        group: &KeyGroup,
        binding: &KeyBinding,
    ) -> impl Iterator<Item = &'a str> {
        let chosen = self.chosen.get(&(group.id, binding.name));
        chosen.map_or(binding.keys, String::as_str).split(' ').filter(|key| !key.is_empty())
    }

    /// Returns the key to show if there is room for only one.
    pub(crate) fn first_key<'a>(&'a self, group: &KeyGroup, binding: &KeyBinding) -> &'a str {
        self.keys(group, binding).next().unwrap_or_default()
    }

    /// Returns the binding of one or two keys in a row; earlier groups take precedence.
    pub(crate) fn find(&self, groups: &[&KeyGroup], pressed: &str) -> Option<&'static KeyBinding> {
        groups.iter().find_map(|group| {
            let runs = |binding: &&KeyBinding| self.keys(group, binding).any(|key| key == pressed);
            group.bindings.iter().find(runs)
        })
    }

    /// Returns whether `pressed` is the first key of a pair.
    pub(crate) fn is_prefix(&self, groups: &[&KeyGroup], pressed: &str) -> bool {
        let is_longer =
            |key: &str| is_pair(key) && key.len() > pressed.len() && key.starts_with(pressed);
        groups.iter().any(|group| {
            group.bindings.iter().any(|binding| self.keys(group, binding).any(is_longer))
        })
    }
}

/// Returns whether a name is that of a key or of a pair of keys.
fn is_key(name: &str) -> bool {
    const NAMED: [&str; 16] = [
        "space",
        "enter",
        "esc",
        "tab",
        "backtab",
        "backspace",
        "delete",
        "up",
        "down",
        "left",
        "right",
        "home",
        "end",
        "pgup",
        "pgdn",
        "insert",
    ];
    let base = name.strip_prefix("ctrl-").unwrap_or(name);
    let base = base.strip_prefix("alt-").unwrap_or(base);
    let function = base.strip_prefix('f').and_then(|number| number.parse::<u8>().ok());
    is_pair(name)
        || (base.chars().count() == 1 && !base.contains(' '))
        || NAMED.contains(&base)
        || function.is_some_and(|number| (1..=12).contains(&number))
}

/// A pair is one letter twice; every other name of several letters is a single key.
pub(crate) fn is_pair(name: &str) -> bool {
    name.len() == 2 && name.as_bytes()[0] == name.as_bytes()[1]
}

/// Returns a key's name in the tables' notation: `j`, `G`, `ctrl-d`, `down`, `space`.
pub(crate) fn key_name(event: KeyEvent) -> String {
    let base = match event.code {
        KeyCode::Char(' ') => "space".to_owned(),
        KeyCode::Char(char) => char.to_string(),
        KeyCode::Enter => "enter".to_owned(),
        KeyCode::Esc => "esc".to_owned(),
        KeyCode::Tab => "tab".to_owned(),
        KeyCode::BackTab => "backtab".to_owned(),
        KeyCode::Backspace => "backspace".to_owned(),
        KeyCode::Delete => "delete".to_owned(),
        KeyCode::Insert => "insert".to_owned(),
        KeyCode::Up => "up".to_owned(),
        KeyCode::Down => "down".to_owned(),
        KeyCode::Left => "left".to_owned(),
        KeyCode::Right => "right".to_owned(),
        KeyCode::Home => "home".to_owned(),
        KeyCode::End => "end".to_owned(),
        KeyCode::PageUp => "pgup".to_owned(),
        KeyCode::PageDown => "pgdn".to_owned(),
        KeyCode::F(number) => format!("f{number}"),
        _ => return String::new(),
    };
    // The letter already includes Shift.
    let ctrl = if event.modifiers.contains(KeyModifiers::CONTROL) { "ctrl-" } else { "" };
    let alt = if event.modifiers.contains(KeyModifiers::ALT) { "alt-" } else { "" };
    format!("{ctrl}{alt}{base}")
}

/// Returns the key with this name; the first of a pair.
#[cfg(test)]
pub(crate) fn key_event(name: &str) -> KeyEvent {
    let (modifiers, base) = match name.split_once('-') {
        Some(("ctrl", base)) => (KeyModifiers::CONTROL, base),
        Some(("alt", base)) => (KeyModifiers::ALT, base),
        _ => (KeyModifiers::NONE, name),
    };
    let code = match base {
        "space" => KeyCode::Char(' '),
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "tab" => KeyCode::Tab,
        "backspace" => KeyCode::Backspace,
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "left" => KeyCode::Left,
        "right" => KeyCode::Right,
        "home" => KeyCode::Home,
        "end" => KeyCode::End,
        "pgup" => KeyCode::PageUp,
        "pgdn" => KeyCode::PageDown,
        "f1" => KeyCode::F(1),
        "f5" => KeyCode::F(5),
        _ => KeyCode::Char(base.chars().next().unwrap_or_default()),
    };
    KeyEvent::new(code, modifiers)
}
