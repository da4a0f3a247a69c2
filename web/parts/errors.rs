//! Errors as pages that say what to do.

use materia::settings::BrandSettings;
use maud::{Markup, html};

use crate::web::{
    error::WebError,
    page::{Page, Place, View},
};

struct ErrorPage<'a> {
    status: u16,
    heading: &'static str,
    sentence: String,
    next: (&'static str, &'static str),
    contact: Option<&'a str>,
}

impl View for ErrorPage<'_> {
    fn body(&self) -> Markup {
        html! {
            div.error {
                p.error-status { (self.status) }
                h1 { (self.heading) }
                p.lead { (self.sentence) }
                p.actions {
                    a.button data-kind="primary" href=(self.next.0) { (self.next.1) }
                    @if let Some(contact) = self.contact { a.button data-kind="plain" href={ "mailto:" (contact) } { "Write to us" } }
                }
            }
        }
    }
}

/// The page for an error.
pub(crate) fn error_page(error: &WebError, signed_in: bool, brand: &BrandSettings) -> Page {
    let (heading, sentence) = error.words();
    let next = if signed_in { ("/dashboard/", "To the dashboards") } else { ("/", "To the front page") };
    // There, the same would be told again.
    let next = if matches!(error, WebError::Preparing | WebError::Suspended) { ("/", "To the front page") } else { next };
    let view = ErrorPage { status: error.status().as_u16(), heading, sentence, next, contact: brand.contact.as_deref() };
    Page::new(heading, Place::None, &view).with_status(error.status())
}
