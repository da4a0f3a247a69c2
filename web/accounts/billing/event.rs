//! What a payment provider reports, in one form: parsed from the neutral JSON that `docs/billing.md`
//! describes, or from Stripe's events.

use jiff::Timestamp;
use materia::plan::Plan;
use serde::Deserialize;
use serde_json::Value;

/// Something that happened to a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BillingEvent {
    /// Unique; a second message with the same id changes nothing.
    pub(crate) id: String,
    /// When it happened. What happened earlier than something already known changes nothing.
    pub(crate) at: Timestamp,
    /// `standard` or `stripe`.
    pub(crate) provider: &'static str,
    pub(crate) subscription: String,
    pub(crate) change: SubscriptionChange,
}

/// What is known about a subscription after an event; `None` leaves what was known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SubscriptionChange {
    /// The account's id, or the address it signs in with.
    pub(crate) account: Option<String>,
    pub(crate) customer: Option<String>,
    pub(crate) plan: Option<Plan>,
    pub(crate) state: Option<SubscriptionState>,
    pub(crate) period_ends_at: Option<Timestamp>,
    /// Whether it ends with the period instead of being renewed.
    pub(crate) is_cancelled: Option<bool>,
    /// A page with the latest invoice.
    pub(crate) invoice_url: Option<String>,
}

/// Whether a subscription is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SubscriptionState {
    Active,
    /// A payment failed; the plan goes on for a while.
    PastDue,
    Ended,
}

impl SubscriptionState {
    pub(crate) const ALL: [Self; 3] = [Self::Active, Self::PastDue, Self::Ended];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::PastDue => "past_due",
            Self::Ended => "ended",
        }
    }
}

impl std::str::FromStr for SubscriptionState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|state| state.name() == text);
        found.ok_or_else(|| format!("{text:?} is not the state of a subscription"))
    }
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parsed {
    Event(Box<BillingEvent>),
    /// It is none of our business; the reason is for the log.
    Ignored(String),
}

/// The neutral form.
#[derive(Debug, Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    timestamp: Timestamp,
    #[serde(default)]
    data: Value,
}

#[derive(Debug, Deserialize)]
#[allow(clippy::struct_field_names, reason = "the names in the event")]
struct SubscriptionData {
    subscription: String,
    account: Option<String>,
    email: Option<String>,
    customer: Option<String>,
    plan: Option<Plan>,
    period_ends_at: Option<Timestamp>,
    #[serde(default)]
    cancels_at_period_end: Option<bool>,
    invoice_url: Option<String>,
}

/// Parses a message of Standard Webhooks.
///
/// # Errors
/// What is missing or wrong, in one sentence.
pub(crate) fn parse_standard(id: &str, body: &[u8]) -> Result<Parsed, String> {
    let message: Message = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let state = match message.kind.as_str() {
        "subscription.active" => SubscriptionState::Active,
        "subscription.past_due" => SubscriptionState::PastDue,
        "subscription.ended" => SubscriptionState::Ended,
        other => return Ok(Parsed::Ignored(format!("the type {other:?} is not known"))),
    };
    let data: SubscriptionData =
        serde_json::from_value(message.data).map_err(|error| format!("data: {error}"))?;
    if state == SubscriptionState::Active && data.plan.is_none() {
        return Err("data: plan is missing".to_owned());
    }
    if data.subscription.is_empty() {
        return Err("data: subscription is empty".to_owned());
    }
    let change = SubscriptionChange {
        account: data.account.or(data.email),
        customer: data.customer,
        plan: data.plan,
        state: Some(state),
        period_ends_at: data.period_ends_at,
        is_cancelled: data.cancels_at_period_end,
        invoice_url: data.invoice_url.filter(|url| is_web(url)),
    };
    Ok(Parsed::Event(Box::new(BillingEvent {
        id: id.to_owned(),
        at: message.timestamp,
        provider: "standard",
        subscription: data.subscription,
        change,
    })))
}

fn is_web(url: &str) -> bool {
    url.starts_with("https://")
}

/// Parses an event of Stripe. `plan_of` knows the plans by their price's id.
///
/// # Errors
/// What is missing or wrong, in one sentence.
pub(crate) fn parse_stripe(
    body: &[u8],
    plan_of: impl Fn(&str) -> Option<Plan>,
) -> Result<Parsed, String> {
    let event: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    // References are ids, or whole objects where they were expanded.
    let id_of = |value: &Value| text(value).or_else(|| text(&value["id"]));
    let moment = |value: &Value| value.as_i64().and_then(|at| Timestamp::from_second(at).ok());
    let id = text(&event["id"]).ok_or("id is missing")?;
    let at = moment(&event["created"]).ok_or("created is missing")?;
    let kind = text(&event["type"]).ok_or("type is missing")?;
    let object = &event["data"]["object"];
    let mut change = SubscriptionChange {
        customer: id_of(&object["customer"]),
        ..SubscriptionChange::default()
    };
    let subscription = match kind.as_str() {
        "checkout.session.completed" => {
            if object["mode"] != "subscription" {
                return Ok(Parsed::Ignored("a checkout without a subscription".to_owned()));
            }
            change.account = text(&object["client_reference_id"])
                .or_else(|| text(&object["customer_details"]["email"]))
                .or_else(|| text(&object["customer_email"]));
            id_of(&object["subscription"])
        }
        "customer.subscription.created"
        | "customer.subscription.updated"
        | "customer.subscription.deleted" => {
            subscription_change(object, &kind, &mut change, plan_of)?;
            id_of(object)
        }
        "invoice.paid" | "invoice.payment_failed" => {
            change.state = (kind == "invoice.payment_failed").then_some(SubscriptionState::PastDue);
            change.invoice_url = text(&object["hosted_invoice_url"]).filter(|url| is_web(url));
            // Since 2025-03-31 the subscription is below `parent`.
            id_of(&object["subscription"])
                .or_else(|| id_of(&object["parent"]["subscription_details"]["subscription"]))
        }
        other => return Ok(Parsed::Ignored(format!("the type {other:?} is not known"))),
    };
    let Some(subscription) = subscription else {
        return Ok(Parsed::Ignored(format!("{kind} without a subscription")));
    };
    let event = BillingEvent { id, at, provider: "stripe", subscription, change };
    Ok(Parsed::Event(Box::new(event)))
}

fn subscription_change(
    object: &Value,
    kind: &str,
    change: &mut SubscriptionChange,
    plan_of: impl Fn(&str) -> Option<Plan>,
) -> Result<(), String> {
    let moment = |value: &Value| value.as_i64().and_then(|at| Timestamp::from_second(at).ok());
    let status = object["status"].as_str().unwrap_or_default();
    change.state = match status {
        _ if kind == "customer.subscription.deleted" => Some(SubscriptionState::Ended),
        "active" | "trialing" => Some(SubscriptionState::Active),
        "past_due" => Some(SubscriptionState::PastDue),
        "canceled" | "unpaid" | "incomplete_expired" | "paused" => Some(SubscriptionState::Ended),
        // The first payment is not made yet.
        "incomplete" => None,
        other => return Err(format!("the status {other:?} of a subscription is not known")),
    };
    let items = object["items"]["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    let prices: Vec<&str> = items.iter().filter_map(|item| item["price"]["id"].as_str()).collect();
    change.plan = prices.iter().filter_map(|price| plan_of(price)).max();
    if change.plan.is_none() && change.state != Some(SubscriptionState::Ended) {
        return Err(format!(
            "no plan has the price {}; name it in `prices` of one of [[brand.plans]]",
            prices.join(", ")
        ));
    }
    // Since 2025-03-31 the period is that of each item.
    change.period_ends_at = moment(&object["current_period_end"])
        .or_else(|| items.iter().filter_map(|item| moment(&item["current_period_end"])).max());
    let ends = object["cancel_at_period_end"].as_bool().unwrap_or_default();
    change.is_cancelled = Some(ends || object["cancel_at"].is_i64());
    change.account =
        object["metadata"]["account"].as_str().filter(|id| !id.is_empty()).map(str::to_owned);
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn plan_of(price: &str) -> Option<Plan> {
        match price {
            "price_starter_month" | "price_starter_year" => Some(Plan::Starter),
            "price_pro_month" => Some(Plan::Pro),
            _ => None,
        }
    }

    fn stripe(text: &str) -> BillingEvent {
        match parse_stripe(text.as_bytes(), plan_of) {
            Ok(Parsed::Event(event)) => *event,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn stripes_events_are_understood_as_they_are() {
        let checkout = stripe(include_str!("tests/checkout.session.completed.json"));
        assert_eq!(checkout.id, "evt_1QCheckout");
        assert_eq!(checkout.subscription, "sub_1QAbC");
        assert_eq!(checkout.change.account.as_deref(), Some("a1b2c3d4e5f6a7b8c9d0e1f2"));
        assert_eq!(checkout.change.customer.as_deref(), Some("cus_R1"));
        assert_eq!((checkout.change.plan, checkout.change.state), (None, None));

        let updated = stripe(include_str!("tests/customer.subscription.updated.json"));
        assert_eq!(updated.subscription, "sub_1QAbC");
        assert_eq!(updated.change.plan, Some(Plan::Starter));
        assert_eq!(updated.change.state, Some(SubscriptionState::Active));
        assert_eq!(updated.change.is_cancelled, Some(true));
        assert_eq!(updated.change.period_ends_at.unwrap().as_second(), 1_775_044_800);

        // The form before 2025-03-31.
        let older = stripe(include_str!("tests/customer.subscription.created.json"));
        assert_eq!(older.change.plan, Some(Plan::Pro));
        assert_eq!(older.change.is_cancelled, Some(false));
        assert_eq!(older.change.period_ends_at.unwrap().as_second(), 1_775_044_800);

        let deleted = stripe(include_str!("tests/customer.subscription.deleted.json"));
        assert_eq!(deleted.change.state, Some(SubscriptionState::Ended));

        let failed = stripe(include_str!("tests/invoice.payment_failed.json"));
        assert_eq!(failed.subscription, "sub_1QAbC");
        assert_eq!(failed.change.state, Some(SubscriptionState::PastDue));
        assert_eq!(
            failed.change.invoice_url.as_deref(),
            Some("https://invoice.stripe.com/i/acct_1/test_1")
        );
        let paid = stripe(include_str!("tests/invoice.paid.json"));
        assert_eq!((paid.subscription.as_str(), paid.change.state), ("sub_1QAbC", None));
    }

    #[test]
    fn an_event_of_stripe_that_means_nothing_here_is_no_error_and_an_unknown_price_is_one() {
        let other = br#"{"id":"evt_1","created":1,"type":"customer.created","data":{"object":{"id":"cus_1"}}}"#;
        assert!(matches!(parse_stripe(other, plan_of), Ok(Parsed::Ignored(_))));
        let once = br#"{"id":"evt_1","created":1,"type":"checkout.session.completed","data":{"object":{"mode":"payment"}}}"#;
        assert!(matches!(parse_stripe(once, plan_of), Ok(Parsed::Ignored(_))));
        let text = include_str!("tests/customer.subscription.updated.json")
            .replace("price_starter_month", "price_of_something");
        let error = parse_stripe(text.as_bytes(), plan_of).unwrap_err();
        assert!(error.contains("price_of_something"), "{error}");
    }

    #[test]
    fn the_neutral_form_says_what_is_missing() {
        let parse = |body: &str| parse_standard("msg_1", body.as_bytes());
        let body = r#"{"type":"subscription.active","timestamp":"2026-03-01T12:00:00Z","data":{"subscription":"s1","account":"abc","plan":"pro","period_ends_at":"2026-04-01T00:00:00Z"}}"#;
        let Ok(Parsed::Event(event)) = parse(body) else { panic!("{:?}", parse(body)) };
        assert_eq!((event.id.as_str(), event.change.plan), ("msg_1", Some(Plan::Pro)));
        assert_eq!(event.change.state, Some(SubscriptionState::Active));
        let no_plan = body.replace(r#""plan":"pro","#, "");
        assert_eq!(parse(&no_plan).unwrap_err(), "data: plan is missing");
        let wrong_plan = body.replace(r#""pro""#, r#""gold""#);
        assert!(parse(&wrong_plan).unwrap_err().contains("gold"));
        let no_subscription = body.replace(r#""subscription":"s1","#, "");
        assert!(parse(&no_subscription).unwrap_err().contains("subscription"));
        assert!(parse("{}").unwrap_err().contains("type"));
        let unknown = body.replace("subscription.active", "invoice.printed");
        assert!(matches!(parse(&unknown), Ok(Parsed::Ignored(_))));
        let script = body.replace(r#""plan""#, r#""invoice_url":"javascript:alert(1)","plan""#);
        let Ok(Parsed::Event(event)) = parse(&script) else { panic!("{script}") };
        assert_eq!(event.change.invoice_url, None);
    }
}
