//! Views of the sign-in pages.

use materia::settings::{PlanOffer, SignUp};
use maud::{Markup, html};

use super::AuthFlow;
use crate::{
    accounts::{
        AccountSettings, Delivery, LinkInfo, OutgoingMail, ReturnPath, Token, display_address,
    },
    components::{Field, button, field, moment, notice, plan_title},
    page::{NavItem, Page, View},
    pages::pricing::chosen_plan,
};

/// The form that requests a link.
pub(super) struct LinkRequestPage<'a> {
    pub(super) flow: AuthFlow,
    pub(super) email: String,
    pub(super) name: String,
    pub(super) next: ReturnPath,
    pub(super) problem: Option<String>,
    pub(super) sends_mail: bool,
    /// Settings that say who may create an account.
    pub(super) settings: &'a AccountSettings,
    pub(super) plans: &'a [PlanOffer],
}

impl LinkRequestPage<'_> {
    /// Returns what was chosen on the page of prices, in a sentence.
    fn chosen(&self) -> Option<String> {
        let (plan, period) = chosen_plan(self.next.as_str())?;
        let offer = self.plans.iter().find(|offer| offer.plan == plan)?;
        Some(format!(
            "You chose {}, {}. After signing in you continue with it.",
            plan_title(plan),
            offer.price_of(period)
        ))
    }

    pub(super) fn page(&self) -> Page {
        let title = if self.flow == AuthFlow::SignIn { "Sign in" } else { "Sign up" };
        Page::new(title, NavItem::SignIn, self)
    }

    /// Returns the address of the other form with the same destination.
    fn other_form(&self, path: &str) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("next", self.next.as_str())
            .finish();
        format!("{path}?{query}")
    }
}

impl View for LinkRequestPage<'_> {
    fn render(&self) -> Markup {
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
        let sign_up = self.flow == AuthFlow::SignUp;
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
                @if let Some(chosen) = self.chosen() { (notice("info", &chosen)) }
                form.stack method="post" action=(if sign_up { "/auth/signup" } else { "/auth/login" }) data-once {
                    (field(&email))
                    @if sign_up { (field(&name)) }
                    input type="hidden" name="next" value=(self.next.as_str());
                    (button("Send me a link", "primary"))
                }
                @if sign_up {
                    p { "Already have an account? " a href=(self.other_form("/auth/login")) { "Sign in" } }
                } @else if self.settings.sign_up != SignUp::Invited {
                    p { "New here? " a href=(self.other_form("/auth/signup")) { "Sign up" } }
                }
            }
        }
    }
}

/// The page after a link was requested, the same for every address.
pub(super) struct LinkSentPage {
    pub(super) email: String,
    /// Whether there is a dev mailbox.
    pub(super) mailbox: bool,
    /// The outcome of the first attempt to send it.
    pub(super) delivery: Delivery,
}

impl LinkSentPage {
    pub(super) fn title(&self) -> &'static str {
        match self.delivery {
            Delivery::Failed => "The email could not be sent",
            Delivery::Accepted | Delivery::Delayed => "Check your email",
        }
    }
}

impl View for LinkSentPage {
    fn render(&self) -> Markup {
        html! {
            div.narrow {
                h1 { (self.title()) }
                @match self.delivery {
                    Delivery::Accepted => {
                        p.lead { "We sent a link to " strong { (self.email) } ". It can be used once, within 15 minutes." }
                        p { "Nothing there? Check your spam folder, wait a minute, or " a href="/auth/login" { "request another link" } "." }
                    },
                    Delivery::Delayed => {
                        (notice("bad", "The email with your link could not be sent yet. We keep trying for the next few minutes."))
                        p.lead { "It will be sent to " strong { (self.email) } ". You can close this page." }
                        p { "If nothing arrives within 20 minutes, " a href="/auth/login" { "request another link" } "." }
                    },
                    Delivery::Failed => {
                        (notice("bad", &format!("The email with your link could not be sent to {}.", self.email)))
                        p { "Check the address and " a href="/auth/login" { "try again" } ", or contact us." }
                    },
                }
                @if self.mailbox { p { a href="/dev/mailbox" { "Open the dev mailbox" } } }
            }
        }
    }
}

/// The effect of a link, and the button that applies it.
pub(super) struct ConfirmPage {
    pub(super) heading: String,
    pub(super) sentence: String,
    pub(super) action: &'static str,
    pub(super) token: Token,
    pub(super) verb: &'static str,
    /// API keys that can be revoked at the same time.
    pub(super) active_keys: u64,
}

impl View for ConfirmPage {
    fn render(&self) -> Markup {
        html! {
            div.narrow {
                h1 { (self.heading) }
                p.lead { (self.sentence) }
                form.stack method="post" action=(self.action) data-once {
                    input type="hidden" name="token" value=(self.token.reveal());
                    @if self.active_keys > 0 {
                        label.check {
                            input type="checkbox" name="revoke_keys" value="true" checked;
                            " Revoke my " (materia::humanize::plural(usize::try_from(self.active_keys).unwrap_or(usize::MAX), "API key"))
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

/// A link that no longer works.
pub(super) struct InvalidLinkPage {
    /// Whether the requested address belongs to another account.
    pub(super) taken: bool,
    /// The use of the link, if still known.
    pub(super) spent: Option<LinkInfo>,
}

impl View for InvalidLinkPage {
    fn render(&self) -> Markup {
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
    fn render(&self) -> Markup {
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

/// Emails that were not sent.
pub(super) struct MailboxPage {
    pub(super) mails: Vec<OutgoingMail>,
}

impl View for MailboxPage {
    fn render(&self) -> Markup {
        html! {
            h1 { "Dev mailbox" }
            p.lead { "Emails that would have been sent if SMTP_URL were set. Only with DEBUG=true." }
            @if self.mails.is_empty() { p { "None yet." } }
            @for mail in &self.mails {
                article.sheet {
                    h2 { (mail.subject) }
                    p.hint { "to " (mail.to) ", " (moment(mail.at)) }
                    pre { @for piece in split_links(&mail.text) {
                        @if piece.starts_with("http") { a href=(piece) { (piece) } } @else { (piece) }
                    } }
                }
            }
        }
    }
}

/// Splits a text at the beginnings and ends of addresses.
fn split_links(text: &str) -> Vec<&str> {
    let mut rest = text;
    let mut split_links = Vec::new();
    while let Some(at) = ["http://", "https://"].iter().filter_map(|scheme| rest.find(scheme)).min()
    {
        let (before, address) = rest.split_at(at);
        let end = address.find(char::is_whitespace).unwrap_or(address.len());
        split_links.extend([before, &address[..end]]);
        rest = &address[end..];
    }
    split_links.push(rest);
    split_links
}
