//! What the settings look like.

use jiff::Timestamp;
use maud::{Markup, html};

use super::keys::KeysSection;
use crate::web::{
    accounts::{Account, LONGEST_NAME, SessionLine},
    page::View,
    parts::{self, Field, button, field, moment, notice, plan_title, since},
    viewer::Appearance,
};

/// Everything on `/settings`.
pub(super) struct SettingsPage {
    pub(super) account: Account,
    /// What the plan includes, line by line.
    pub(super) includes: Vec<String>,
    pub(super) price: Option<String>,
    pub(super) contact: Option<String>,
    pub(super) sessions: Vec<SessionView>,
    pub(super) keys: KeysSection,
    /// What was just done.
    pub(super) done: Option<&'static str>,
    /// What is wrong with the new address.
    pub(super) problem: Option<Problem>,
    pub(super) now: Timestamp,
}

/// One session.
pub(super) struct SessionView {
    pub(super) current: bool,
    pub(super) browser: String,
    pub(super) line: SessionLine,
}

/// What was given, and what is wrong with it.
pub(super) struct Problem {
    pub(super) given: String,
    pub(super) sentence: String,
}

/// What was just done, in words; anything else than our own words is ignored.
pub(super) fn done_words(word: &str) -> Option<&'static str> {
    Some(match word {
        "profile" => "Your name is saved.",
        "email-asked" => "We sent a link to the new address. Your address changes when you open it.",
        "email" => "Your address is changed, and every other session is signed out.",
        "appearance" => "The appearance is saved.",
        "key" => "The key is revoked.",
        "session" => "That session is signed out.",
        "sessions" => "Every other session is signed out.",
        _ => return None,
    })
}

impl View for SettingsPage {
    fn body(&self) -> Markup {
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
                    p { "Everything that is kept of you, as one JSON file." }
                    p.actions { a.button data-kind="plain" href="/settings/data.json" download { "Download my data" } }
                    p { "Deleting the account removes all of it, at once and for good." }
                    p.actions { a.button data-kind="danger" href="/settings/delete" { "Delete my account" } }
                }
            }
        }
    }
}

impl SettingsPage {
    fn profile(&self) -> Markup {
        let hint = format!("How we call you, up to {LONGEST_NAME} characters.");
        let name = Field {
            name: "name",
            label: "Name",
            kind: "text",
            value: &self.account.name,
            autocomplete: "name",
            hint: Some(&hint),
            problem: None,
            required: false,
        };
        html! {
            section.sheet aria-labelledby="profile" {
                h2 #profile { "Profile" }
                p { "Customer since " (moment(self.account.created_at)) }
                form.stack method="post" action="/settings/profile" { (field(&name)) (button("Save the name", "plain")) }
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
            hint: Some("We send a link there, and a notice to the present address. It changes when you open the link."),
            problem: self.problem.as_ref().map(|problem| problem.sentence.as_str()),
            required: true,
        };
        html! {
            section.sheet aria-labelledby="address" {
                h2 #address { "E-mail address" }
                p { "You sign in with " strong { (self.account.email) } "." }
                form.stack method="post" action="/settings/email" { (field(&email)) (button("Change the address", "plain")) }
            }
        }
    }

    fn plan(&self) -> Markup {
        html! {
            section.sheet aria-labelledby="plan" {
                h2 #plan { "Plan" }
                p { strong { (plan_title(self.account.plan)) } @if let Some(price) = &self.price { ", " (price) } }
                ul { @for line in &self.includes { li { (line) } } }
                @if let Some(contact) = &self.contact {
                    p { "To change it, write to " a href={ "mailto:" (contact) } { (contact) } "." }
                }
            }
        }
    }

    fn appearance(&self) -> Markup {
        let label = |one: Appearance| match one {
            Appearance::System => "As the system says",
            Appearance::Light => "Light",
            Appearance::Dark => "Dark",
        };
        html! {
            section.sheet aria-labelledby="appearance" {
                h2 #appearance { "Appearance" }
                form.stack method="post" action="/settings/appearance" {
                    fieldset {
                        legend { "Colours" }
                        @for one in Appearance::ALL {
                            label.option { input type="radio" name="appearance" value=(one.name()) checked[one == self.account.appearance]; " " (label(one)) }
                        }
                    }
                    (button("Save the appearance", "plain"))
                }
            }
        }
    }

    fn active_sessions(&self) -> Markup {
        html! {
            section.sheet aria-labelledby="sessions" {
                h2 #sessions { "Where you are signed in" }
                (parts::scroll("Sessions", &html! {
                    table {
                        thead { tr { th scope="col" { "Browser" } th scope="col" { "From" } th scope="col" { "Since" } th scope="col" { "Last seen" } th scope="col" { "Sign out" } } }
                        tbody {
                            @for session in &self.sessions {
                                tr {
                                    th scope="row" { (session.browser) @if session.current { " " span.badge { "this one" } } }
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

/// Deleting an account: the address has to be typed.
pub(super) struct DeletePage {
    pub(super) email: String,
    /// What was typed instead.
    pub(super) given: Option<String>,
}

impl View for DeletePage {
    fn body(&self) -> Markup {
        let label = format!("Type {} to confirm", self.email);
        let problem = self.given.as_ref().map(|_| format!("That is not {}. Nothing was deleted.", self.email));
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
                p.lead { "Your account, your sessions and everything else that is kept of you are removed at once. This cannot be undone." }
                form.stack method="post" action="/settings/delete" {
                    (field(&email))
                    (button("Delete my account for good", "danger"))
                }
                p { a href="/settings" { "Keep the account" } }
            }
        }
    }
}
