//! `/admin/traffic`: what is asked of the server now.

use axum::extract::State;
use maud::{Markup, html};

use super::{
    frame::{self, Section},
    overview::figures,
};
use crate::web::{
    accounts::Figures,
    app::App,
    error::WebError,
    page::{Page, View},
};

pub(super) struct Traffic {
    pub(super) figures: Figures,
}

/// `GET /admin/traffic`
pub(crate) async fn traffic(app: State<App>) -> Result<Page, WebError> {
    let view = Traffic { figures: app.accounts.figures().await? };
    Ok(frame::page(Section::Traffic, "Traffic", &view))
}

impl View for Traffic {
    fn body(&self) -> Markup {
        html! { (figures(&self.figures)) }
    }
}
