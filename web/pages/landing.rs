//! `/`: what it is, live figures, plans and prices.

use axum::extract::State;
use maud::{Markup, html};

use crate::web::{
    app::App,
    page::{Page, Place, View},
};

struct Landing {
    headline: String,
    about: String,
}

pub(crate) async fn page(State(app): State<App>) -> Page {
    let brand = &app.settings.brand;
    let view = Landing { headline: brand.headline.clone(), about: brand.about.clone() };
    Page::new(brand.headline.clone(), Place::Home, &view)
}

impl View for Landing {
    fn body(&self) -> Markup {
        html! { h1 { (self.headline) } p.lead { (self.about) } }
    }
}
