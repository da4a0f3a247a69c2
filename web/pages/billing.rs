//! `POST /webhooks/billing`: what the payment provider reports about subscriptions. It is trusted
//! for its signature alone.

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use materia::plan::Plan;
use serde_json::json;

use crate::{
    accounts::{self, ChangeError, Parsed, Scheme, WebhookOutcome},
    app::AppState,
    error::WebError,
};

/// A form that does not come from a page of this site.
pub(crate) const PATH: &str = "/webhooks/billing";

/// `POST /webhooks/billing`
pub(crate) async fn webhook(
    State(app): State<AppState>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, WebError> {
    let secrets = &app.accounts.settings().billing;
    if secrets.standard.is_none() && secrets.stripe.is_none() {
        return Err(WebError::NotFound);
    }
    let verified = match secrets.verify(&headers, &body, app.accounts.now()) {
        Ok(verified) => verified,
        Err(error) => {
            tracing::warn!(%error, "a webhook of the payment provider was refused");
            return Ok(answer(StatusCode::UNAUTHORIZED, "refused", &error.to_string()));
        }
    };
    let parsed = match verified.scheme {
        Scheme::Standard => {
            accounts::parse_standard(verified.id.as_deref().unwrap_or_default(), &body)
        }
        Scheme::Stripe => accounts::parse_stripe(&body, |price| plan_of(&app, price)),
    };
    let event = match parsed {
        Ok(Parsed::Event(event)) => event,
        Ok(Parsed::Ignored(reason)) => return Ok(answer(StatusCode::OK, "ignored", &reason)),
        Err(problem) => {
            tracing::error!(problem, "a message of the payment provider is not understood");
            return Ok(answer(StatusCode::UNPROCESSABLE_ENTITY, "not understood", &problem));
        }
    };
    let outcome = match app.accounts.apply_billing(&event).await {
        Ok(outcome) => outcome,
        Err(ChangeError::Store(error)) => return Err(error.into()),
        Err(error) => return Err(WebError::internal(error)),
    };
    tracing::info!(
        event = event.id,
        subscription = event.subscription,
        ?outcome,
        "a message of the payment provider"
    );
    Ok(match outcome {
        WebhookOutcome::Applied => answer(StatusCode::OK, "applied", ""),
        WebhookOutcome::Repeated => answer(StatusCode::OK, "repeated", "it was applied before"),
        WebhookOutcome::Outdated => {
            answer(StatusCode::OK, "outdated", "something later is known already")
        }
        WebhookOutcome::Waiting => {
            answer(StatusCode::OK, "waiting", "no event has named the account yet")
        }
        WebhookOutcome::NoAccount(_) => {
            tracing::error!(
                subscription = event.subscription,
                "a payment names an account that does not exist"
            );
            let problem = "there is no such account";
            answer(StatusCode::UNPROCESSABLE_ENTITY, "no account", problem)
        }
    })
}

/// Returns the plan that is sold at a price of the provider.
fn plan_of(app: &AppState, price: &str) -> Option<Plan> {
    let offers = app.settings.brand.plans.iter();
    let mut sold = offers.filter(|offer| offer.prices.iter().any(|known| known == price));
    sold.next().map(|offer| offer.plan)
}

fn answer(status: StatusCode, outcome: &str, detail: &str) -> Response {
    let body = json!({ "outcome": outcome, "detail": detail }).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
