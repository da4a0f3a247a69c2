//! Form fields, buttons and notices.

use maud::{Markup, html};

/// A text field with its label.
pub(crate) struct Field<'a> {
    /// Its name in the form, and its id.
    pub(crate) name: &'a str,
    pub(crate) label: &'a str,
    /// The input's type: `email`, `text`, ...
    pub(crate) kind: &'a str,
    pub(crate) value: &'a str,
    /// The autocomplete token: `email`, `name`, `off`.
    pub(crate) autocomplete: &'a str,
    /// An explanation below the field.
    pub(crate) hint: Option<&'a str>,
    /// The error in the submitted value.
    pub(crate) problem: Option<&'a str>,
    /// Whether the field must be filled in.
    pub(crate) required: bool,
}

/// Renders a field with its label, hint and error, associated for assistive technology.
pub(crate) fn field(field: &Field<'_>) -> Markup {
    let (hint, problem) = (format!("{}-hint", field.name), format!("{}-problem", field.name));
    let described = [field.hint.map(|_| hint.as_str()), field.problem.map(|_| problem.as_str())];
    let described = described.into_iter().flatten().collect::<Vec<_>>().join(" ");
    html! {
        div.field {
            label for=(field.name) { (field.label) }
            input id=(field.name) name=(field.name) type=(field.kind) value=(field.value) autocomplete=(field.autocomplete)
                required[field.required] aria-invalid=[field.problem.map(|_| "true")]
                aria-describedby=[(!described.is_empty()).then_some(described)];
            @if let Some(text) = field.hint { p.hint id=(hint) { (text) } }
            @if let Some(text) = field.problem { p.problem id=(problem) { (text) } }
        }
    }
}

/// Renders a submit button. `kind` is `primary`, `plain` or `danger`.
pub(crate) fn button(label: &str, kind: &str) -> Markup {
    html! { button.button type="submit" data-kind=(kind) { (label) } }
}

/// Renders a message about an outcome. `kind` is `good`, `bad` or `info`.
pub(crate) fn notice(kind: &str, text: &str) -> Markup {
    html! { p.notice data-kind=(kind) role=(if kind == "bad" { "alert" } else { "status" }) { (text) } }
}
