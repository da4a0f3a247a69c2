//! The terminal's response to the query for its background color, which arrives among the keys:
//! `ESC ] 11 ; rgb:ffff/ffff/ffff`, ended by BEL or by `ESC \`.
//!
//! There is no time limit for which the start would have to wait: a terminal that does not respond
//! costs nothing, and a late response is recognized, too, so that none of it is mistaken for keys.

use std::ops::ControlFlow;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::theme::ColorScheme;

/// Length up to which a response is collected; real ones are half as long.
const MAX_LENGTH: usize = 64;

/// Recognizes the response among the keys.
#[derive(Debug)]
pub(crate) struct OscResponse {
    is_expected: bool,
    /// Whether the previous key was Esc: the sequence's start can be read in two parts.
    after_esc: bool,
    /// The response so far; `None` outside of one.
    text: Option<String>,
}

impl OscResponse {
    pub(crate) fn new(is_expected: bool) -> Self {
        Self { is_expected, after_esc: false, text: None }
    }

    /// Returns whether a key is input; otherwise it belongs to the response, and the last one
    /// completes it.
    pub(crate) fn receive(&mut self, key: KeyEvent) -> ControlFlow<Option<ColorScheme>> {
        if !self.is_expected {
            return ControlFlow::Continue(());
        }
        let is_alt = key.modifiers.contains(KeyModifiers::ALT);
        let is_ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        let Some(text) = &mut self.text else {
            let is_start = key.code == KeyCode::Char(']') && (is_alt || self.after_esc);
            self.after_esc = key.code == KeyCode::Esc;
            if !is_start {
                return ControlFlow::Continue(());
            }
            self.text = Some(String::new());
            return ControlFlow::Break(None);
        };
        // BEL, or the second part of `ESC \`.
        let is_end = key.code == KeyCode::Char('\\') || (is_ctrl && key.code == KeyCode::Char('g'));
        match key.code {
            _ if is_end => {}
            KeyCode::Esc => return ControlFlow::Break(None),
            KeyCode::Char(char) if !is_alt && !is_ctrl && text.len() < MAX_LENGTH => {
                text.push(char);
                return ControlFlow::Break(None);
            }
            // Not a response: an operator who pressed Alt-].
            _ => {
                self.text = None;
                return ControlFlow::Continue(());
            }
        }
        let scheme = parse_background(text);
        (self.text, self.is_expected) = (None, false);
        ControlFlow::Break(scheme)
    }
}

/// Returns the scheme that contrasts with the color in `11;rgb:RRRR/GGGG/BBBB`.
fn parse_background(response: &str) -> Option<ColorScheme> {
    let color = response.strip_prefix("11;")?;
    let color = color.strip_prefix("rgb:").or_else(|| color.strip_prefix("rgba:"))?;
    let component = |text: &str| {
        let max = 16_u32.checked_pow(u32::try_from(text.len()).ok()?)? - 1;
        Some(f64::from(u32::from_str_radix(text, 16).ok()?) / f64::from(max))
    };
    let components = color.split('/').take(3).map(component).collect::<Option<Vec<_>>>()?;
    let [red, green, blue] = components[..] else { return None };
    // Relative brightness as perceived.
    let brightness = 0.299 * red + 0.587 * green + 0.114 * blue;
    Some(if brightness > 0.5 { ColorScheme::Light } else { ColorScheme::Dark })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the keys that remain input, and the reported scheme.
    fn receive(keys: &[(KeyCode, KeyModifiers)]) -> (String, Option<ColorScheme>) {
        let mut response = OscResponse::new(true);
        let (mut input, mut scheme) = (String::new(), None);
        for (code, modifiers) in keys {
            match response.receive(KeyEvent::new(*code, *modifiers)) {
                ControlFlow::Continue(()) => input += &code.to_string(),
                ControlFlow::Break(reported) => scheme = scheme.or(reported),
            }
        }
        (input, scheme)
    }

    fn keys(text: &str) -> Vec<(KeyCode, KeyModifiers)> {
        text.chars().map(|char| (KeyCode::Char(char), KeyModifiers::NONE)).collect()
    }

    #[test]
    fn a_response_among_keys_is_recognized_however_it_is_read_and_ended() {
        let alt = |char| (KeyCode::Char(char), KeyModifiers::ALT);
        let esc = (KeyCode::Esc, KeyModifiers::NONE);
        let bell = (KeyCode::Char('g'), KeyModifiers::CONTROL);
        let light = keys("11;rgb:ffff/ffff/eeee");
        let whole = [vec![alt(']')], light.clone(), vec![alt('\\')]].concat();
        assert_eq!(receive(&whole), (String::new(), Some(ColorScheme::Light)));
        let ended_by_bell =
            [keys("2"), vec![alt(']')], keys("11;rgb:00/2b/36"), vec![bell], keys("j")];
        assert_eq!(receive(&ended_by_bell.concat()), ("2j".to_owned(), Some(ColorScheme::Dark)));
        let in_parts = [vec![esc], keys("]"), light, vec![esc], keys("\\q")];
        assert_eq!(receive(&in_parts.concat()), ("Escq".to_owned(), Some(ColorScheme::Light)));
    }

    #[test]
    fn keys_that_only_begin_like_a_response_are_input_again() {
        let pressed = [
            vec![(KeyCode::Char(']'), KeyModifiers::ALT), (KeyCode::Down, KeyModifiers::NONE)],
            keys("q"),
        ];
        assert_eq!(receive(&pressed.concat()), ("Downq".to_owned(), None));
        let mut response = OscResponse::new(false);
        let key = KeyEvent::new(KeyCode::Char(']'), KeyModifiers::ALT);
        assert_eq!(response.receive(key), ControlFlow::Continue(()));
    }
}
