//! The document around every page: header, navigation and footer.

use axum::http::StatusCode;
use materia::settings::{SignUp, is_public};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::freshness::{Freshness, freshness};
use crate::{
    app::AppState,
    page::{NavItem, Page},
    viewer::{Appearance, Viewer},
};

/// Renders the whole document of a page. Nothing in it is specific to one customer, so that all
/// viewers of one plan can share the page.
pub(crate) fn document(app: &AppState, viewer: &Viewer, page: &Page, path: &str) -> Markup {
    let brand = &app.settings.brand;
    let appearance = viewer.appearance();
    // A shared page shows the age of its own generation; other pages that of the served one.
    let info = page.shared.clone().or_else(|| app.reader.state().generation);
    let fresh = info.map(|info| Freshness::of(&info, app.clock.now()));
    html! {
        (DOCTYPE)
        html lang="en" data-appearance=[(appearance != Appearance::System).then(|| appearance.name())] {
            head {
                meta charset="utf-8";
                title { (page.title) " · " (brand.name) }
                meta name="viewport" content="width=device-width, initial-scale=1";
                (about(app, page, path))
                meta name="color-scheme" content=(match appearance { Appearance::System => "light dark", one => one.name() });
                link rel="stylesheet" href=(app.assets.style());
                link rel="icon" type="image/svg+xml" href=(app.assets.icon());
                link rel="alternate" type="application/atom+xml" href="/feed.atom" title="Updates of the data";
                link rel="alternate icon" href="/favicon.ico" sizes="32x32";
                link rel="apple-touch-icon" href="/apple-touch-icon.png";
                script defer src=(app.assets.script()) {}
            }
            body data-generation=(fresh.as_ref().map_or("", |fresh| fresh.generation.as_str())) data-dashboards=[app.is_preview.then(|| app.dashboards.current().digest)] {
                a.skip href="#main" { "Skip to content" }
                (head(app, viewer, page.place))
                @if let Some(notice) = &brand.notice { aside.site-notice aria-label="Notice" { (notice) } }
                main #main tabindex="-1" { (page.body) }
                (foot(app, viewer, fresh.as_ref()))
            }
        }
    }
}

/// What search engines and previews of links read.
fn about(app: &AppState, page: &Page, path: &str) -> Markup {
    let brand = &app.settings.brand;
    let base = app.settings.web.base_url();
    let description = page.description.as_deref().unwrap_or(&brand.about);
    if page.status != StatusCode::OK {
        return html! {
            meta name="description" content=(description);
            meta name="robots" content="noindex";
        };
    }
    let address = format!("{base}{path}");
    let picture = page.picture.clone().or_else(|| app.dashboards.current().picture);
    let picture = picture.map(|picture| format!("{base}{picture}"));
    html! {
        meta name="description" content=(description);
        @if !page.listed { meta name="robots" content="noindex"; }
        link rel="canonical" href=(address);
        meta property="og:type" content="website";
        meta property="og:site_name" content=(brand.name);
        meta property="og:title" content=(page.title);
        meta property="og:description" content=(description);
        meta property="og:url" content=(address);
        @if let Some(picture) = &picture {
            meta property="og:image" content=(picture);
            meta property="og:image:type" content="image/png";
            meta name="twitter:image" content=(picture);
        }
        meta name="twitter:card" content=(if picture.is_some() { "summary_large_image" } else { "summary" });
        meta name="twitter:title" content=(page.title);
        meta name="twitter:description" content=(description);
        @if let Some(structured) = &page.structured {
            script type="application/ld+json" { (PreEscaped(structured)) }
        }
    }
}

fn head(app: &AppState, viewer: &Viewer, place: NavItem) -> Markup {
    let brand = &app.settings.brand;
    let current = |here: NavItem| (here == place).then_some("page");
    let signed_in = viewer.signed_in().is_some();
    let rules = &app.settings.tables;
    let dashboards = signed_in || app.dashboards.current().has_public(None);
    let tables = signed_in || rules.keys().any(|table| is_public(rules, table));
    html! {
        header.top {
            div.bar {
                a.brand href="/" aria-current=[current(NavItem::Home)] {
                    @if let Some(logo) = &brand.logo { span.logo aria-hidden="true" { (PreEscaped(logo)) } }
                    span { (brand.name) }
                }
                nav aria-label="Site" {
                    @if signed_in && !app.is_preview { a href="/home" aria-current=[current(NavItem::Start)] { "Home" } }
                    @if dashboards { a href="/dashboard/" aria-current=[current(NavItem::Dashboards)] { "Dashboards" } }
                    @if tables { a href="/tables" aria-current=[current(NavItem::Tables)] { "Tables" } }
                    a href="/methodology" aria-current=[current(NavItem::Methodology)] { "Methodology" }
                    @if !brand.plans.is_empty() && !app.is_preview { a href="/pricing" aria-current=[current(NavItem::Pricing)] { "Pricing" } }
                    @if !app.is_preview {
                        a href="/docs/api" aria-current=[current(NavItem::Docs)] { "Docs" }
                        @if viewer.is_admin() { a href="/admin/" aria-current=[current(NavItem::Admin)] { "Admin" } }
                        @if signed_in { a href="/settings" aria-current=[current(NavItem::Settings)] { "Settings" } }
                    }
                }
                div.account {
                    @if app.is_preview {
                        span.badge { "Preview" }
                    } @else if signed_in {
                        a.icon-link href="/search" data-search="" aria-label="Search" title="Search (press /)" { svg viewBox="0 0 20 20" aria-hidden="true" { circle cx="8.5" cy="8.5" r="5.5" {} path d="M13 13l4.5 4.5" {} } }
                        form method="post" action="/auth/logout" { button.link type="submit" { "Sign out" } }
                    } @else {
                        a.link href="/auth/login" aria-current=[current(NavItem::SignIn)] { "Sign in" }
                        @if app.accounts.settings().sign_up != SignUp::Invited { a.button data-kind="primary" href="/auth/signup" { "Sign up" } }
                    }
                }
            }
        }
    }
}

fn foot(app: &AppState, viewer: &Viewer, fresh: Option<&Freshness>) -> Markup {
    let brand = &app.settings.brand;
    html! {
        footer.foot {
            div.bar {
                (freshness(fresh, viewer.is_admin()))
                p.foot-links {
                    @if let Some(owner) = &brand.owner { span { (owner) } }
                    @if !app.is_preview { a href="/docs/api" { "API" } }
                    @for text in &app.legal { a href={ "/legal/" (text.name) } { (text.title) } }
                    @if let Some(contact) = &brand.contact { a href={ "mailto:" (contact) } { (contact) } }
                }
            }
        }
    }
}
