//! Views of the settings pages.

use jiff::Timestamp;
use materia::plan::Plan;
use maud::{Markup, html};

use super::keys::KeysSection;
use crate::{
    accounts::{Account, SessionInfo, Subscription, SubscriptionState},
    components::{self, Field, button, date, field, moment, notice, plan_title, since},
    page::View,
    viewer::Appearance,
};

/// The settings page.
pub(super) struct SettingsPage {
    pub(super) account: Account,
    /// The features of the plan.
    pub(super) includes: Vec<String>,
    pub(super) price: Option<String>,
    /// What the payment provider reported and is not over.
    pub(super) subscriptions: Vec<Subscription>,
    /// The plan that was asked for and not granted yet.
    pub(super) requested: Option<Plan>,
    /// Whether there is a page of prices.
    pub(super) has_pricing: bool,
    pub(super) contact: Option<String>,
    pub(super) sessions: Vec<SessionView>,
    pub(super) keys: KeysSection,
    /// The confirmation of the last action.
    pub(super) done: Option<&'static str>,
    /// The error in the submitted address.
    pub(super) problem: Option<FormProblem>,
    pub(super) now: Timestamp,
}

/// A session and the browser that it belongs to.
pub(super) struct SessionView {
    pub(super) current: bool,
    pub(super) browser: String,
    pub(super) line: SessionInfo,
}

/// A submitted value and its error.
pub(super) struct FormProblem {
    pub(super) given: String,
    pub(super) sentence: String,
}

/// Returns the confirmation for an action's name; unknown names are ignored.
pub(super) fn confirmation_text(word: &str) -> Option<&'static str> {
    Some(match word {
        "profile" => "Your name was saved.",
        "email-asked" => {
            "We sent a link to the new address. Your address changes when you open it."
        }
        "email-delayed" => {
            "The email with the link could not be sent yet. We keep trying for the next few minutes."
        }
        "email" => "Your email address was changed, and all other sessions were signed out.",
        "appearance" => "The appearance was saved.",
        "paid" => {
            "Thank you! Your plan changes as soon as the payment is confirmed, usually within a minute. Reload this page to see it."
        }
        "key" => "The key was revoked.",
        "session" => "The session was signed out.",
        "sessions" => "All other sessions were signed out.",
        _ => return None,
    })
}

impl View for SettingsPage {
    fn render(&self) -> Markup {
        html! {
            div.settings {
                h1 { "Settings" }
                @if let Some(done) = self.done { (notice("good", done)) }
                (self.profile())
                (self.email())
                (self.plan())
                (self.appearance())
                (self.keys.markup())
                (self.active_sessions())
                section.sheet aria-labelledby="data" {
                    h2 #data { "Your data" }
                    p { "Everything we store about you, as one JSON file." }
                    p.actions { a.button data-kind="plain" href="/settings/data.json" download { "Download my data" } }
                    p { "Deleting the account removes all of it, immediately and permanently." }
                    p.actions { a.button data-kind="danger" href="/settings/delete" { "Delete my account" } }
                }
            }
        }
    }
}

impl SettingsPage {
    fn profile(&self) -> Markup {
        let name = Field {
            name: "name",
            label: "Your name (optional)",
            kind: "text",
            value: &self.account.name,
            autocomplete: "name",
            hint: None,
            problem: None,
            required: false,
        };
        html! {
            section.sheet aria-labelledby="profile" {
                h2 #profile { "Profile" }
                p { "Member since " (date(self.account.created_at)) }
                form.stack method="post" action="/settings/profile" { (field(&name)) (button("Save", "plain")) }
            }
        }
    }

    fn email(&self) -> Markup {
        let email = Field {
            name: "email",
            label: "New address",
            kind: "email",
            value: self.problem.as_ref().map(|problem| problem.given.as_str()).unwrap_or_default(),
            autocomplete: "email",
            hint: Some(
                "We send a link there, and a notice to your current address. It changes when you open the link.",
            ),
            problem: self.problem.as_ref().map(|problem| problem.sentence.as_str()),
            required: true,
        };
        html! {
            section.sheet aria-labelledby="address" {
                h2 #address { "Email address" }
                p { "You sign in with " strong { (self.account.email) } "." }
                form.stack method="post" action="/settings/email" { (field(&email)) (button("Change email", "plain")) }
            }
        }
    }

    fn plan(&self) -> Markup {
        html! {
            section.sheet aria-labelledby="plan" {
                h2 #plan { "Plan" }
                p { strong { (plan_title(self.account.plan)) } @if let Some(price) = &self.price { ", " (price) } }
                ul { @for line in &self.includes { li { (line) } } }
                @for one in &self.subscriptions { (subscription(one)) }
                @if let Some(request) = self.requested { p { "You asked for the " strong { (plan_title(request)) } " plan. We will answer by email." } }
                @if self.has_pricing { p.actions { a.button data-kind="plain" href="/pricing" { "Compare plans" } } }
                @if let Some(contact) = &self.contact {
                    p { "Questions about your plan or an invoice? " a href={ "mailto:" (contact) } { (contact) } }
                }
            }
        }
    }

    fn appearance(&self) -> Markup {
        let label = |one: Appearance| match one {
            Appearance::System => "Match system",
            Appearance::Light => "Light",
            Appearance::Dark => "Dark",
        };
        html! {
            section.sheet aria-labelledby="appearance" {
                h2 #appearance { "Appearance" }
                form.stack method="post" action="/settings/appearance" {
                    fieldset {
                        legend { "Color scheme" }
                        @for one in Appearance::ALL {
                            label.option { input type="radio" name="appearance" value=(one.name()) checked[one == self.account.appearance]; " " (label(one)) }
                        }
                    }
                    (button("Save", "plain"))
                }
            }
        }
    }

    fn active_sessions(&self) -> Markup {
        html! {
            section.sheet aria-labelledby="sessions" {
                h2 #sessions { "Active sessions" }
                (components::scroll("Sessions", &html! {
                    table {
                        thead { tr { th scope="col" { "Browser" } th scope="col" { "From" } th scope="col" { "Since" } th scope="col" { "Last seen" } th scope="col" { "Sign out" } } }
                        tbody {
                            @for session in &self.sessions {
                                tr {
                                    th scope="row" { (session.browser) @if session.current { " " span.badge { "This device" } } }
                                    td { (session.line.network) }
                                    td { (moment(session.line.created_at)) }
                                    td { (since(session.line.seen_at, self.now)) }
                                    td {
                                        form method="post" action={ "/settings/sessions/" (session.line.handle) "/end" } {
                                            button.button type="submit" data-kind="plain" aria-label={ "Sign out " (session.browser) " from " (session.line.network) } { "Sign out" }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }))
                @if self.sessions.len() > 1 {
                    form method="post" action="/settings/sessions/end-others" { (button("Sign out all others", "plain")) }
                }
            }
        }
    }
}

/// Says until when a plan is paid for, and what happens then.
fn subscription(one: &Subscription) -> Markup {
    let title = one.plan.map_or("Subscription", plan_title);
    html! {
        p {
            (title) ": "
            @match (one.state, one.period_ends_at) {
                (SubscriptionState::PastDue, _) => "the last payment failed. Check your email, or pay the open invoice to keep the plan.",
                (_, Some(at)) if one.is_cancelled => { "cancelled, active until " (date(at)) },
                (_, Some(at)) => { "renews on " (date(at)) },
                (_, None) => "active",
            }
            @if !one.invoice_url.is_empty() { " " a href=(one.invoice_url) rel="noreferrer" { "Latest invoice" } }
        }
    }
}

/// Confirms the deletion of an account by its typed address.
pub(super) struct DeletePage {
    pub(super) email: String,
    /// The text that was typed instead.
    pub(super) given: Option<String>,
}

impl View for DeletePage {
    fn render(&self) -> Markup {
        let label = format!("Type {} to confirm", self.email);
        let problem = self
            .given
            .as_ref()
            .map(|_| format!("This is not {}. Nothing was deleted.", self.email));
        let email = Field {
            name: "email",
            label: &label,
            kind: "text",
            value: self.given.as_deref().unwrap_or_default(),
            autocomplete: "off",
            hint: None,
            problem: problem.as_deref(),
            required: true,
        };
        html! {
            div.narrow {
                h1 { "Delete your account" }
                p.lead { "Your account, your sessions and everything else we store about you are deleted immediately. This cannot be undone." }
                form.stack method="post" action="/settings/delete" {
                    (field(&email))
                    (button("Delete my account permanently", "danger"))
                }
                p { a href="/settings" { "Cancel" } }
            }
        }
    }
}
