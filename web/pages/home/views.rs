//! Views of the start page and of the page that saves.

use jiff::Timestamp;
use materia::plan::Plan;
use maud::{Markup, html};

use super::{
    alerts::{self, NewAlertForm},
    digests,
};
use crate::{
    accounts::{DigestSubscription, MAX_NAME, OwnedAlert, SavedView},
    components::{self, Field, button, field, notice},
    page::View,
    pages::dashboard::{DashboardLink, grouped},
};

pub(super) struct HomePage {
    /// The customer's name, if known.
    pub(super) name: Option<String>,
    /// The confirmation of the last action.
    pub(super) done: Option<&'static str>,
    /// The plan of a subscription that is over, and until when it was paid for.
    pub(super) ended: Option<(Plan, Option<Timestamp>)>,
    pub(super) favorites: Vec<FavoriteView>,
    pub(super) saved: Vec<ViewLine>,
    pub(super) alerts: Vec<OwnedAlert>,
    pub(super) digests: Vec<DigestSubscription>,
    pub(super) now: Timestamp,
    pub(super) all: Vec<DashboardLink>,
}

/// A favorite; without a title if the dashboard no longer exists.
pub(super) struct FavoriteView {
    pub(super) slug: String,
    pub(super) title: Option<String>,
    pub(super) about: Option<String>,
}

/// A saved view with the title of its dashboard, if that still exists.
pub(super) struct ViewLine {
    pub(super) title: Option<String>,
    pub(super) view: SavedView,
}

/// Returns the confirmation for an action's name; unknown names are ignored.
pub(super) fn confirmation_text(word: &str) -> Option<&'static str> {
    Some(match word {
        "view" => "The view was saved.",
        "view-deleted" => "The view was deleted.",
        "default" => {
            "This view now opens first, after you sign in and from \u{201c}Dashboards\u{201d}."
        }
        "no-default" => "\u{201c}Dashboards\u{201d} opens the first dashboard again.",
        "alert" => "The alert was created. It is checked whenever the data is updated.",
        "alert-paused" => "The alert was paused.",
        "alert-resumed" => "The alert is active again.",
        "alert-deleted" => "The alert was deleted.",
        "digest" => "The digest was created. The first one is sent on the date below.",
        "digest-deleted" => "The digest was ended.",
        "favorite" => "The dashboard was added to your favorites.",
        "no-favorite" => "The dashboard was removed from your favorites.",
        _ => return None,
    })
}

/// Renders a button that switches something on or off.
pub(super) fn switch(action: &str, on: bool, label: &str, described: &str) -> Markup {
    html! {
        form method="post" action=(action) {
            input type="hidden" name="on" value=(if on { "yes" } else { "no" });
            button.button type="submit" data-kind="plain" aria-label=(described) { (label) }
        }
    }
}

impl View for HomePage {
    fn render(&self) -> Markup {
        html! {
            div.settings {
                h1 { @match &self.name { Some(name) => { "Welcome back, " (name) }, None => "Home" } }
                @if let Some(done) = self.done { (notice("good", done)) }
                @if let Some((plan, at)) = self.ended { (ended(plan, at)) }
                (self.first_steps())
                (self.favorites())
                (self.views())
                (alerts::list(&self.alerts, self.now))
                (digests::list(&self.digests))
                (self.all_dashboards())
            }
        }
    }
}

/// Says that a plan is over, what that means and what to do.
fn ended(plan: Plan, at: Option<Timestamp>) -> Markup {
    html! {
        aside.banner aria-label="Your plan" {
            p { "Your " strong { (components::plan_title(plan)) } " plan has ended" @if let Some(at) = at { " on " (components::date(at)) } ". What it included is locked, and its alerts and digests are paused." }
            a.button data-kind="primary" href={ "/plans/" (plan) } { "Renew" }
        }
    }
}

impl HomePage {
    /// Renders the steps of a new customer that are left; nothing once all are done.
    fn first_steps(&self) -> Markup {
        let first = self.all.iter().find(|one| one.locked.is_none());
        let open = first
            .map_or_else(|| "/dashboard/".to_owned(), |one| format!("/dashboard/{}", one.slug));
        let save = format!("/home/save?page={open}");
        let steps = [
            (
                !self.favorites.is_empty(),
                "Add a favorite",
                "Open a dashboard and choose \u{201c}Save or follow\u{201d}. Favorites are at the top of this page.",
                &open,
            ),
            (
                !self.saved.is_empty(),
                "Save a view",
                "Set the filters to what you need, and save them under a name.",
                &save,
            ),
            (
                !self.alerts.is_empty() || !self.digests.is_empty(),
                "Get alerts about changes",
                "Get an email when a figure crosses a threshold, or a digest every week.",
                &save,
            ),
        ];
        let done = steps.iter().filter(|step| step.0).count();
        if done == steps.len() || self.all.is_empty() {
            return html! {};
        }
        html! {
            section.sheet aria-labelledby="steps" {
                h2 #steps { "First steps" }
                p.hint { (done) " of " (steps.len()) " done" }
                ol.steps { @for (is_done, title, text, href) in steps {
                    li data-done[is_done] { @if is_done { span { (title) } " " span.badge { "Done" } } @else { a.line-name href=(href) { (title) } p.hint { (text) } } }
                } }
            }
        }
    }

    fn favorites(&self) -> Markup {
        html! {
            section.sheet aria-labelledby="favorites" {
                h2 #favorites { "Favorites" }
                @if self.favorites.is_empty() {
                    p.hint { "No favorites yet. Open a dashboard and choose \u{201c}Save or follow\u{201d} to add it here." }
                } @else {
                    ul.lines {
                        @for one in &self.favorites {
                            li {
                                div {
                                    @match &one.title {
                                        Some(title) => a.line-name href={ "/dashboard/" (one.slug) } { (title) },
                                        None => span { (one.slug) " (no longer available)" },
                                    }
                                    @if let Some(about) = &one.about { p.hint { (about) } }
                                }
                                (switch(&format!("/home/favorites/{}", one.slug), false, "Remove", &format!("Remove {} from favorites", one.title.as_deref().unwrap_or(&one.slug))))
                            }
                        }
                    }
                }
            }
        }
    }

    fn views(&self) -> Markup {
        html! {
            section.sheet aria-labelledby="views" {
                h2 #views { "Saved views" }
                @if self.saved.is_empty() {
                    p.hint { "A saved view is a dashboard with your filters. Set the filters, then choose \u{201c}Save or follow\u{201d} on the dashboard." }
                } @else {
                    ul.lines {
                        @for line in &self.saved {
                            @let view = &line.view;
                            li {
                                div {
                                    @if line.title.is_some() { a.line-name href=(view.address()) { (view.name) } } @else { span { (view.name) " (no longer available)" } }
                                    @if view.is_default { " " span.badge { "Opens first" } }
                                    p.hint { (line.title.as_deref().unwrap_or(&view.dashboard)) @if !view.summary.is_empty() { " \u{b7} " (view.summary) } }
                                }
                                div.line-actions {
                                    @let address = format!("/home/views/{}", view.id);
                                    @if view.is_default { (switch(&format!("{address}/default"), false, "Don't open first", &format!("Don't open {} first", view.name))) }
                                    @else if line.title.is_some() { (switch(&format!("{address}/default"), true, "Open first", &format!("Open {} first", view.name))) }
                                    form method="post" action={ (address) "/delete" } { button.button type="submit" data-kind="plain" aria-label={ "Delete " (view.name) } { "Delete" } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn all_dashboards(&self) -> Markup {
        html! {
            section.sheet aria-labelledby="all" {
                h2 #all { "All dashboards" }
                @if self.all.is_empty() { p.hint { "The first data is being prepared. The dashboards appear here in a moment." } }
                @let groups = grouped(&self.all);
                @for (group, all) in &groups {
                    @if groups.len() > 1 { h3 { (group.unwrap_or("Other")) } }
                    ul.columns { @for one in all { li { (one.link(false)) } } }
                }
            }
        }
    }
}

/// The page that saves a dashboard with its selection.
pub(super) struct SavePage {
    pub(super) title: String,
    pub(super) slug: String,
    /// The dashboard's address with the selection.
    pub(super) address: String,
    /// The selection in words.
    pub(super) filters: Vec<String>,
    pub(super) is_favorite: bool,
    /// The views of this dashboard that the account has already.
    pub(super) existing: Vec<SavedView>,
    pub(super) alert: NewAlertForm,
    /// The refused name, and why it was refused.
    pub(super) problem: Option<(String, String)>,
}

impl View for SavePage {
    fn render(&self) -> Markup {
        html! {
            div.settings {
                h1 { "Save or follow" }
                p.lead { a href=(self.address) { (self.title) } @for filter in &self.filters { " \u{b7} " (filter) } }
                (self.view_form())
                (self.alert.render(&self.address))
                (digests::form(&self.address, self.alert.included > 0 && self.alert.has_mail))
                section.sheet aria-labelledby="favorite" {
                    h2 #favorite { "Favorite" }
                    p { "Favorites are at the top of your start page." }
                    @let action = format!("/home/favorites/{}", self.slug);
                    @if self.is_favorite { (switch(&action, false, "Remove from favorites", &format!("Remove {} from favorites", self.title))) }
                    @else { (switch(&action, true, "Add to favorites", &format!("Add {} to favorites", self.title))) }
                }
                p { a href=(self.address) { "Back to the dashboard" } }
            }
        }
    }
}

impl SavePage {
    fn view_form(&self) -> Markup {
        let limit = format!(
            "Up to {MAX_NAME} characters. A view of this dashboard with the same name is replaced."
        );
        let name = Field {
            name: "name",
            label: "Name of the view",
            kind: "text",
            value: self.problem.as_ref().map(|problem| problem.0.as_str()).unwrap_or_default(),
            autocomplete: "off",
            hint: Some(&limit),
            problem: self.problem.as_ref().map(|problem| problem.1.as_str()),
            required: true,
        };
        html! {
            section.sheet aria-labelledby="view" {
                h2 #view { "Save as a view" }
                @if self.filters.is_empty() { p { "Saves the dashboard without any filter. To save a selection, set the filters first." } }
                @else { p { "Saves the dashboard with these filters: " (self.filters.join("; ")) "." } }
                form.stack method="post" action="/home/views" {
                    input type="hidden" name="page" value=(self.address);
                    (field(&name))
                    label.option { input type="checkbox" name="default" value="yes"; " Open this view first" }
                    (button("Save view", "primary"))
                }
                @if !self.existing.is_empty() {
                    p.hint { "Your views of this dashboard: " @for (at, view) in self.existing.iter().enumerate() { @if at > 0 { ", " } a href=(view.address()) { (view.name) } } }
                }
            }
        }
    }
}
