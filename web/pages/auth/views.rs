//! What the sign-in pages look like.

use materia::settings::SignUp;
use maud::{Markup, html};

use super::Wish;
use crate::web::{
    accounts::{AccountSettings, Letter, LinkInfo, ReturnPath, Token, display_address},
    page::{Page, Place, View},
    parts::{Field, button, field, moment, notice},
};

/// The form that asks for an address.
pub(super) struct AskPage<'a> {
    pub(super) wish: Wish,
    pub(super) email: String,
    pub(super) name: String,
    pub(super) next: ReturnPath,
    pub(super) problem: Option<String>,
    pub(super) sends_mail: bool,
    /// Say who may create an account.
    pub(super) settings: &'a AccountSettings,
}

impl AskPage<'_> {
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

impl View for AskPage<'_> {
    fn body(&self) -> Markup {
        let email = Field {
            name: "email",
            label: "Email address",
            kind: "email",
            value: &self.email,
            autocomplete: "email",
            hint: Some("We send you a link that signs you in. There is no password."),
            problem: self.problem.as_deref(),
            required: true,
        };
        let name = Field {
            name: "name",
            label: "Your name (optional)",
            kind: "text",
            value: &self.name,
            autocomplete: "name",
            hint: None,
            problem: None,
            required: false,
        };
        let sign_up = self.wish == Wish::SignUp;
        html! {
            div.narrow {
                h1 { (if sign_up { "Sign up" } else { "Sign in" }) }
                @if !self.sends_mail {
                    (notice("bad", "Sign-in is unavailable because this site cannot send email. The operator needs to set SMTP_URL."))
                }
                @if sign_up && self.settings.sign_up == SignUp::Invited {
                    (notice("info", "New accounts are created by invitation. If you have one, enter your address to get a sign-in link."))
                }
                @if sign_up && self.settings.sign_up == SignUp::Domains {
                    (notice("info", &format!("Sign-up is open to email addresses at {}.", self.settings.domains.join(", "))))
                }
                form.stack method="post" action=(if sign_up { "/auth/signup" } else { "/auth/login" }) data-once {
                    (field(&email))
                    @if sign_up { (field(&name)) }
                    input type="hidden" name="next" value=(self.next.as_str());
                    (button("Send me a link", "primary"))
                }
                @if sign_up {
                    p { "Already have an account? " a href=(self.other("/auth/login")) { "Sign in" } }
                } @else if self.settings.sign_up != SignUp::Invited {
                    p { "New here? " a href=(self.other("/auth/signup")) { "Sign up" } }
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
                h1 { "Check your email" }
                p.lead { "We sent a link to " strong { (self.email) } ". It can be used once, within 15 minutes." }
                p { "Nothing there? Check your spam folder, wait a minute, or " a href="/auth/login" { "request another link" } "." }
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
    /// API keys that can be revoked along the way.
    pub(super) active_keys: u64,
}

impl View for ConfirmPage {
    fn body(&self) -> Markup {
        html! {
            div.narrow {
                h1 { (self.heading) }
                p.lead { (self.sentence) }
                form.stack method="post" action=(self.action) data-once {
                    input type="hidden" name="token" value=(self.token.reveal());
                    @if self.active_keys > 0 {
                        label.check {
                            input type="checkbox" name="revoke_keys" value="true" checked;
                            " Revoke my " (materia::words::plural(usize::try_from(self.active_keys).unwrap_or(usize::MAX), "API key"))
                            ". Programs that use them stop working."
                        }
                    }
                    (button(self.verb, "primary"))
                }
                p.hint { "Did not request this? Close this page; nothing has changed." }
            }
        }
    }
}

/// A link that does nothing any more.
pub(super) struct DeadPage {
    /// The address it would have given away belongs to another account.
    pub(super) taken: bool,
    /// What it was for, where that is still known.
    pub(super) spent: Option<LinkInfo>,
}

impl View for DeadPage {
    fn body(&self) -> Markup {
        html! {
            div.narrow {
                @if self.taken {
                    h1 { "This address has an account" }
                    p.lead { "An email address can belong to one account only. Sign in with it, or choose another address." }
                    p.actions { a.button data-kind="primary" href="/settings" { "Go to settings" } }
                } @else {
                    h1 { "This link has expired" }
                    p.lead { "Sign-in links work once and are valid for 15 minutes." }
                    @if let Some(spent) = &self.spent {
                        form.stack method="post" action="/auth/login" data-once {
                            input type="hidden" name="email" value=(spent.email);
                            input type="hidden" name="next" value=(spent.next.as_str());
                            (button(&format!("Send a new link to {}", display_address(&spent.email)), "primary"))
                        }
                    } @else {
                        p.actions { a.button data-kind="primary" href="/auth/login" { "Send me a new link" } }
                    }
                }
            }
        }
    }
}

/// The confirmation after an account was deleted.
pub(super) struct DeletedPage;

impl View for DeletedPage {
    fn body(&self) -> Markup {
        html! {
            div.narrow {
                h1 { "Your account has been deleted" }
                p.lead { "Everything we stored about you was removed immediately: sessions, API keys, links and the email log." }
                p { "The audit log keeps one entry that an account was deleted, without your name or address." }
                p.actions { a.button data-kind="plain" href="/" { "Go to homepage" } }
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
                article.sheet {
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
