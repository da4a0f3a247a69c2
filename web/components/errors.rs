//! Error pages with the next action.

use materia::settings::BrandSettings;
use maud::{Markup, html};

use crate::{
    error::WebError,
    page::{NavItem, Page, View},
};

struct ErrorPage<'a> {
    status: u16,
    heading: &'static str,
    sentence: String,
    next: (&'static str, &'static str),
    contact: Option<&'a str>,
}

impl View for ErrorPage<'_> {
    fn render(&self) -> Markup {
        html! {
            div.error {
                p.error-status { (self.status) }
                h1 { (self.heading) }
                p.lead { (self.sentence) }
                p.actions {
                    a.button data-kind="primary" href=(self.next.0) { (self.next.1) }
                    @if let Some(contact) = self.contact { a.button data-kind="plain" href={ "mailto:" (contact) } { "Contact us" } }
                }
            }
        }
    }
}

/// Returns the page for an error, with the reason that an operator gave for it.
pub(crate) fn error_page(
    error: &WebError,
    signed_in: bool,
    brand: &BrandSettings,
    reason: Option<&str>,
) -> Page {
    let (heading, mut sentence) = error.title_and_message();
    if let Some(reason) = reason {
        sentence = format!("Reason: {}. {sentence}", reason.trim_end_matches('.'));
    }
    let next =
        if signed_in { ("/dashboard/", "Go to dashboards") } else { ("/", "Go to homepage") };
    // The dashboards would show the same error.
    let next = if matches!(error, WebError::NoDataYet | WebError::Suspended) {
        ("/", "Go to homepage")
    } else {
        next
    };
    let view = ErrorPage {
        status: error.status().as_u16(),
        heading,
        sentence,
        next,
        contact: brand.contact.as_deref(),
    };
    Page::new(heading, NavItem::None, &view).with_status(error.status())
}
