//! The document around every page: head, navigation, foot.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::freshness::{Freshness, freshness};
use crate::web::{
    app::App,
    page::{Page, Place},
    viewer::{Appearance, Viewer},
};

/// The whole document of a page. Nothing in it belongs to one customer alone, so that a page can be shared by all of one plan.
pub(crate) fn document(app: &App, viewer: &Viewer, page: &Page) -> Markup {
    let brand = &app.settings.brand;
    let appearance = viewer.appearance();
    // A page tells the age of what it was drawn from, every other one that of what is served now.
    let info = page.shared.clone().or_else(|| app.reader.state().generation);
    let fresh = info.map(|info| Freshness::of(&info, app.clock.now()));
    html! {
        (DOCTYPE)
        html lang="en" data-appearance=[(appearance != Appearance::System).then(|| appearance.name())] {
            head {
                meta charset="utf-8";
                title { (page.title) " · " (brand.name) }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="description" content=(brand.about);
                meta name="color-scheme" content=(match appearance { Appearance::System => "light dark", one => one.name() });
                link rel="stylesheet" href=(app.assets.style());
                link rel="icon" type="image/svg+xml" href=(app.assets.icon());
                script defer src=(app.assets.script()) {}
            }
            body data-generation=(fresh.as_ref().map_or("", |fresh| fresh.generation.as_str())) {
                a.skip href="#main" { "Skip to the content" }
                (head(app, viewer, page.place))
                main #main tabindex="-1" { (page.body) }
                (foot(app, fresh.as_ref()))
            }
        }
    }
}

fn head(app: &App, viewer: &Viewer, place: Place) -> Markup {
    let brand = &app.settings.brand;
    let current = |here: Place| (here == place).then_some("page");
    let signed_in = viewer.signed_in().is_some();
    html! {
        header.top {
            div.bar {
                a.brand href="/" aria-current=[current(Place::Home)] {
                    @if let Some(logo) = &brand.logo { span.logo aria-hidden="true" { (PreEscaped(logo)) } }
                    span { (brand.name) }
                }
                nav aria-label="Site" {
                    @if signed_in { a href="/dashboard/" aria-current=[current(Place::Dashboards)] { "Dashboards" } }
                    @if signed_in { a href="/tables" aria-current=[current(Place::Tables)] { "Tables" } }
                    a href="/methodology" aria-current=[current(Place::Methodology)] { "Methodology" }
                    @if viewer.is_admin() { a href="/admin/" aria-current=[current(Place::Admin)] { "Admin" } }
                    @if signed_in { a href="/settings" aria-current=[current(Place::Settings)] { "Settings" } }
                }
                div.account {
                    @if signed_in {
                        form method="post" action="/auth/logout" { button.link type="submit" { "Sign out" } }
                    } @else {
                        a.button data-kind="plain" href="/auth/login" aria-current=[current(Place::SignIn)] { "Sign in" }
                    }
                }
            }
        }
    }
}

fn foot(app: &App, fresh: Option<&Freshness>) -> Markup {
    let brand = &app.settings.brand;
    html! {
        footer.foot {
            div.bar {
                (freshness(fresh))
                p.foot-links {
                    @if let Some(owner) = &brand.owner { span { (owner) } }
                    a href="/docs/api" { "API" }
                    @for text in &app.legal { a href={ "/legal/" (text.name) } { (text.title) } }
                    @if let Some(contact) = &brand.contact { a href={ "mailto:" (contact) } { (contact) } }
                }
            }
        }
    }
}
