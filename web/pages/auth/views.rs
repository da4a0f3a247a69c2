//! What the sign-in pages look like.

use maud::{Markup, html};

use super::Wish;
use crate::web::{
    accounts::{LONGEST_NAME, Letter, ReturnPath, Token},
    page::{Page, Place, View},
    parts::{Field, button, field, moment, notice},
};

/// The form that asks for an address.
pub(super) struct AskPage {
    pub(super) wish: Wish,
    pub(super) email: String,
    pub(super) name: String,
    pub(super) next: ReturnPath,
    pub(super) problem: Option<String>,
    pub(super) sends_mail: bool,
}

impl AskPage {
    pub(super) fn page(&self) -> Page {
        let title = if self.wish == Wish::SignIn { "Sign in" } else { "Sign up" };
        Page::new(title, Place::SignIn, self)
    }

    /// The other form, which leads to the same place.
    fn other(&self, path: &str) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", self.next.as_str()).finish();
        format!("{path}?{query}")
    }
}

impl View for AskPage {
    fn body(&self) -> Markup {
        let email = Field {
            name: "email",
            label: "E-mail address",
            kind: "email",
            value: &self.email,
            autocomplete: "email",
            hint: Some("We send you a link that signs you in. There is no password."),
            problem: self.problem.as_deref(),
            required: true,
        };
        let hint = format!("How we call you, up to {LONGEST_NAME} characters. You may leave it empty.");
        let name = Field {
            name: "name",
            label: "Name",
            kind: "text",
            value: &self.name,
            autocomplete: "name",
            hint: Some(&hint),
            problem: None,
            required: false,
        };
        let sign_up = self.wish == Wish::SignUp;
        html! {
            div.narrow {
                h1 { (if sign_up { "Sign up" } else { "Sign in" }) }
                @if !self.sends_mail {
                    (notice("bad", "Nobody can sign in now, since this site cannot send mail. Whoever runs it has to set SMTP_URL."))
                }
                form.stack method="post" action=(if sign_up { "/auth/signup" } else { "/auth/login" }) {
                    (field(&email))
                    @if sign_up { (field(&name)) }
                    input type="hidden" name="next" value=(self.next.as_str());
                    (button("Send me a link", "primary"))
                }
                @if sign_up {
                    p { "You have an account? " a href=(self.other("/auth/login")) { "Sign in" } }
                } @else {
                    p { "You are new here? " a href=(self.other("/auth/signup")) { "Sign up" } }
                }
            }
        }
    }
}

/// The answer to everybody who asked for a link.
pub(super) struct SentPage {
    pub(super) email: String,
    /// Whether there is a dev mailbox.
    pub(super) mailbox: bool,
}

impl View for SentPage {
    fn body(&self) -> Markup {
        html! {
            div.narrow {
                h1 { "Check your mail" }
                p.lead { "We sent a link to " strong { (self.email) } ". It works once, and for 15 minutes." }
                p { "Nothing there? Look among the spam, wait a minute, or " a href="/auth/login" { "ask again" } "." }
                @if self.mailbox { p { a href="/dev/mailbox" { "Open the dev mailbox" } } }
            }
        }
    }
}

/// What a link would do, and the button that does it.
pub(super) struct ConfirmPage {
    pub(super) heading: String,
    pub(super) sentence: String,
    pub(super) action: &'static str,
    pub(super) token: Token,
    pub(super) verb: &'static str,
}

impl View for ConfirmPage {
    fn body(&self) -> Markup {
        html! {
            div.narrow {
                h1 { (self.heading) }
                p.lead { (self.sentence) }
                form.stack method="post" action=(self.action) {
                    input type="hidden" name="token" value=(self.token.reveal());
                    (button(self.verb, "primary"))
                }
                p.hint { "You did not ask for this? Then close this page; nothing has happened." }
            }
        }
    }
}

/// A link that does nothing any more.
pub(super) struct DeadPage {
    /// The address it would have given away belongs to somebody.
    pub(super) taken: bool,
}

impl View for DeadPage {
    fn body(&self) -> Markup {
        html! {
            div.narrow {
                @if self.taken {
                    h1 { "This address has an account" }
                    p.lead { "One address can only have one account. Sign in with it, or choose another address." }
                    p.actions { a.button data-kind="primary" href="/settings" { "To the settings" } }
                } @else {
                    h1 { "This link does not work any more" }
                    p.lead { "Links work once, and for 15 minutes. Ask for a new one." }
                    p.actions { a.button data-kind="primary" href="/auth/login" { "Send me a new link" } }
                }
            }
        }
    }
}

/// Letters that were not sent.
pub(super) struct MailboxPage {
    pub(super) letters: Vec<Letter>,
}

impl View for MailboxPage {
    fn body(&self) -> Markup {
        html! {
            h1 { "Dev mailbox" }
            p.lead { "Letters that would have been sent if there were an SMTP_URL. Only with DEBUG=true." }
            @if self.letters.is_empty() { p { "None yet." } }
            @for letter in &self.letters {
                article.letter {
                    h2 { (letter.subject) }
                    p.hint { "to " (letter.to) ", " (moment(letter.at)) }
                    pre { @for piece in pieces(&letter.text) {
                        @if piece.starts_with("http") { a href=(piece) { (piece) } } @else { (piece) }
                    } }
                }
            }
        }
    }
}

/// A text, cut where addresses begin and end.
fn pieces(text: &str) -> Vec<&str> {
    let mut rest = text;
    let mut pieces = Vec::new();
    while let Some(at) = ["http://", "https://"].iter().filter_map(|scheme| rest.find(scheme)).min() {
        let (before, address) = rest.split_at(at);
        let end = address.find(char::is_whitespace).unwrap_or(address.len());
        pieces.extend([before, &address[..end]]);
        rest = &address[end..];
    }
    pieces.push(rest);
    pieces
}
