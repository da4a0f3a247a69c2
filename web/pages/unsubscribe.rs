//! `/unsubscribe/{kind}/{token}`: ends a digest or the emails of an alert. The page asks first, since
//! programs open the links of emails to check them; mail programs send the form by themselves
//! (RFC 8058).

use axum::extract::{Path, State};
use maud::{Markup, html};

use crate::{
    accounts::MailSubscription,
    app::AppState,
    components::button,
    error::WebError,
    page::{NavItem, Page, View},
};

/// The beginning of the addresses.
pub(crate) const PREFIX: &str = "/unsubscribe/";

struct UnsubscribePage {
    kind: MailSubscription,
    /// What it is about, if it still exists.
    title: Option<String>,
    /// The form's address; `None` once it is done.
    action: Option<String>,
}

/// `GET /unsubscribe/{kind}/{token}`
pub(crate) async fn confirm(
    State(app): State<AppState>,
    Path((kind, token)): Path<(String, String)>,
) -> Result<Page, WebError> {
    let (kind, id) = verified(&app, &kind, &token).await?;
    let title = app.accounts.subscription_title(kind, id).await?;
    let view = UnsubscribePage { kind, title, action: Some(kind.path(&token)) };
    Ok(Page::new("Unsubscribe", NavItem::None, &view).unlisted())
}

/// `POST /unsubscribe/{kind}/{token}`. Whoever has the address may repeat it.
pub(crate) async fn end(
    State(app): State<AppState>,
    Path((kind, token)): Path<(String, String)>,
) -> Result<Page, WebError> {
    let (kind, id) = verified(&app, &kind, &token).await?;
    let title = app.accounts.subscription_title(kind, id).await?;
    app.accounts.end_emails(kind, id).await?;
    let view = UnsubscribePage { kind, title, action: None };
    Ok(Page::new("Unsubscribed", NavItem::None, &view).unlisted())
}

/// Returns what a token ends, if this site signed it.
async fn verified<'t>(
    app: &AppState,
    kind: &str,
    token: &'t str,
) -> Result<(MailSubscription, &'t str), WebError> {
    let kind = MailSubscription::named(kind).ok_or(WebError::NotFound)?;
    let key = app.accounts.unsubscribe_key().await?;
    let id = key.verify(kind, token).ok_or(WebError::NotFound)?;
    Ok((kind, id))
}

impl View for UnsubscribePage {
    fn render(&self) -> Markup {
        let what = html! {
            @match (self.kind, &self.title) {
                (MailSubscription::Digest, Some(title)) => { "the digest of " strong { (title) } },
                (MailSubscription::Digest, None) => "this digest",
                (MailSubscription::Alert, Some(title)) => { "emails of the alert about " strong { (title) } },
                (MailSubscription::Alert, None) => "emails of this alert",
            }
        };
        html! {
            div.narrow {
                @match &self.action {
                    Some(action) => {
                        h1 { "Unsubscribe" }
                        p { "You will no longer receive " (what) "." }
                        form method="post" action=(action) { (button("Unsubscribe", "primary")) }
                    },
                    None => {
                        h1 { "Unsubscribed" }
                        p role="status" { "You will no longer receive " (what) "." }
                        p { a href="/home" { "Your alerts and digests" } }
                    },
                }
            }
        }
    }
}
