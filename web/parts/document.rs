//! The document around every page: head, navigation, foot.

use maud::{DOCTYPE, Markup, html};

use crate::web::{
    app::App,
    page::{Page, Place},
    viewer::{Appearance, Viewer},
};

/// The whole document of a page.
pub(crate) fn document(app: &App, viewer: &Viewer, path: &str, page: &Page) -> Markup {
    let brand = &app.settings.brand;
    let appearance = viewer.appearance();
    html! {
        (DOCTYPE)
        html lang="en" data-appearance=[(appearance != Appearance::System).then(|| appearance.name())] {
            head {
                meta charset="utf-8";
                title { (page.title) " · " (brand.name) }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content=(match appearance { Appearance::System => "light dark", one => one.name() });
                link rel="stylesheet" href=(app.assets.style());
                link rel="icon" type="image/svg+xml" href=(app.assets.icon());
                script defer src=(app.assets.script()) {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                (head(app, viewer, path, page.place))
                main #main tabindex="-1" { (page.body) }
                (foot(app))
            }
        }
    }
}

fn head(app: &App, viewer: &Viewer, _path: &str, place: Place) -> Markup {
    let brand = &app.settings.brand;
    let current = |here: Place| (here == place).then_some("page");
    html! {
        header.top {
            a.brand href="/" aria-current=[current(Place::Home)] { (brand.name) }
            nav aria-label="Site" {
                @if viewer.signed_in().is_some() { a href="/dashboard/" aria-current=[current(Place::Dashboards)] { "Dashboards" } }
                a href="/methodology" aria-current=[current(Place::Methodology)] { "Methodology" }
                @if viewer.is_admin() { a href="/admin/" aria-current=[current(Place::Admin)] { "Admin" } }
                @if viewer.signed_in().is_some() {
                    a href="/settings" aria-current=[current(Place::Settings)] { "Settings" }
                    form method="post" action="/auth/logout" { button.link type="submit" { "Sign out" } }
                } @else {
                    a href="/auth/login" aria-current=[current(Place::SignIn)] { "Sign in" }
                }
            }
        }
    }
}

fn foot(app: &App) -> Markup {
    let brand = &app.settings.brand;
    html! {
        footer.foot {
            @if let Some(owner) = &brand.owner { p { (owner) } }
        }
    }
}
