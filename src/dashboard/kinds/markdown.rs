//! Text in Markdown.

use super::{Kind, Visualization};
use crate::links;

pub(super) const MARKDOWN: Kind = Kind {
    name: "markdown",
    keys: &["text"],
    width: 12,
    parse: |context, raw, line| {
        let start = raw.text.as_ref().map(|text| text.span().start);
        let text = context.required("text", raw.text, &raw.title, line)?;
        for problem in links::problems_in_markdown(&text) {
            context.problem(start, problem);
        }
        Some(Visualization::Markdown(MarkdownSpec { text }))
    },
};

/// The specification of a text panel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkdownSpec {
    /// The text in Markdown.
    pub text: String,
}
