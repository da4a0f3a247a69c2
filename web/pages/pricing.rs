//! `/pricing`: what plans cost and include; `/plans/{plan}`: buying one, or asking for it.

use axum::{
    Form,
    extract::{Path, Query, State},
    response::{IntoResponse, Redirect, Response},
};
use materia::{
    plan::Plan,
    settings::{BillingPeriod, PlanOffer},
};
use maud::{Markup, html};
use serde::Deserialize;
use url::form_urlencoded;

use crate::{
    accounts::{Account, RequestError},
    app::AppState,
    components::{self, button, notice, plan_title},
    error::WebError,
    page::{NavItem, Page, View},
    viewer::{SignedIn, Viewer},
};

#[derive(Debug, Default, Deserialize)]
pub(crate) struct PeriodQuery {
    period: Option<String>,
    done: Option<String>,
}

impl PeriodQuery {
    fn period(&self) -> BillingPeriod {
        if self.period.as_deref() == Some("year") {
            BillingPeriod::Year
        } else {
            BillingPeriod::Month
        }
    }
}

/// Returns the address at which a plan is bought, for signed-in customers.
fn plan_path(plan: Plan, period: BillingPeriod) -> String {
    let query = if period == BillingPeriod::Year { "?period=year" } else { "" };
    format!("/plans/{}{query}", plan.name())
}

/// Returns the address that a plan's button leads to: visitors create an account first, and come
/// back to the plan they chose.
pub(crate) fn choose_address(plan: Plan, period: BillingPeriod, is_signed_in: bool) -> String {
    match (plan, is_signed_in) {
        (Plan::Free, false) => "/auth/signup".to_owned(),
        (_, true) => plan_path(plan, period),
        (_, false) => {
            let next = plan_path(plan, period);
            let query =
                form_urlencoded::Serializer::new(String::new()).append_pair("next", &next).finish();
            format!("/auth/signup?{query}")
        }
    }
}

/// Returns the plan and the period that a page to return to encodes.
pub(crate) fn chosen_plan(next: &str) -> Option<(Plan, BillingPeriod)> {
    let (path, query) = next.split_once('?').unwrap_or((next, ""));
    let plan = path.strip_prefix("/plans/")?.parse().ok()?;
    let period = if query == "period=year" { BillingPeriod::Year } else { BillingPeriod::Month };
    Some((plan, period))
}

/// The prices of all plans.
pub(crate) struct PricingPage {
    pub(crate) offers: Vec<PlanOffer>,
    pub(crate) period: BillingPeriod,
    /// The viewer's plan, if signed in.
    pub(crate) current: Option<Plan>,
    pub(crate) contact: Option<String>,
}

/// `GET /pricing`
pub(crate) async fn page(
    State(app): State<AppState>,
    viewer: Viewer,
    query: Query<PeriodQuery>,
) -> Response {
    let brand = &app.settings.brand;
    if brand.plans.is_empty() {
        // What a plan includes is there too.
        return Redirect::to("/settings#plan").into_response();
    }
    let view = PricingPage {
        offers: brand.plans.clone(),
        period: query.period(),
        current: viewer.signed_in().map(|account| account.plan),
        contact: brand.contact.clone(),
    };
    let offers = brand.plans.iter().map(|offer| {
        format!("{} {}", plan_title(offer.plan), offer.price_of(BillingPeriod::Month))
    });
    let prices = offers.collect::<Vec<_>>().join(", ");
    Page::new("Pricing", NavItem::Pricing, &view)
        .with_description(format!("Plans and prices of {}: {prices}.", brand.name))
        .into_response()
}

impl View for PricingPage {
    fn render(&self) -> Markup {
        let has_yearly = self.offers.iter().any(|offer| offer.yearly.is_some());
        let current = |period: BillingPeriod| (period == self.period).then_some("page");
        html! {
            div.title-row {
                h1 { "Pricing" }
                p.lead { "Start free, upgrade when you need more, cancel at any time." }
            }
            @if has_yearly {
                nav.switch aria-label="Billing period" {
                    a href="/pricing" aria-current=[current(BillingPeriod::Month)] { "Monthly" }
                    a href="/pricing?period=year" aria-current=[current(BillingPeriod::Year)] { "Yearly" }
                }
            }
            h2.unseen { "Plans" }
            (components::plans(&self.offers, self.period, |offer| self.action(offer)))
            @if let Some(contact) = &self.contact {
                p.pricing-note { "Questions about a plan, an invoice or a team? " a href={ "mailto:" (contact) } { (contact) } }
            }
        }
    }
}

impl PricingPage {
    fn action(&self, offer: &PlanOffer) -> Markup {
        let title = plan_title(offer.plan);
        if self.current == Some(offer.plan) {
            return html! { p.plan-current { "Your plan" } };
        }
        if offer.plan == Plan::Free && self.current.is_some() {
            return html! {};
        }
        let label = if offer.plan == Plan::Free {
            "Start free".to_owned()
        } else {
            format!("Choose {title}")
        };
        let kind = if offer.plan == Plan::Starter { "primary" } else { "plain" };
        let href = choose_address(offer.plan, self.period, self.current.is_some());
        html! { a.button data-kind=(kind) href=(href) { (label) } }
    }
}

/// One plan, about to be bought or asked for.
pub(crate) struct PlanPage {
    pub(crate) offer: PlanOffer,
    pub(crate) period: BillingPeriod,
    pub(crate) account_plan: Plan,
    pub(crate) email: String,
    /// The payment provider's page, with the account's id and address.
    pub(crate) checkout: Option<String>,
    /// Whether the account asked for this plan and nobody answered yet.
    pub(crate) is_requested: bool,
    pub(crate) is_done: bool,
}

fn find_offer(app: &AppState, plan: &str) -> Result<PlanOffer, WebError> {
    let plan: Plan = plan.parse().map_err(|_| WebError::NotFound)?;
    let offer = app.settings.brand.plans.iter().find(|offer| offer.plan == plan);
    offer.cloned().ok_or(WebError::NotFound)
}

async fn load_account(app: &AppState, user: &SignedIn) -> Result<Account, WebError> {
    app.accounts.account(&user.0.id).await?.ok_or(WebError::NotFound)
}

/// `GET /plans/{plan}`
pub(crate) async fn plan(
    State(app): State<AppState>,
    user: SignedIn,
    Path(plan): Path<String>,
    query: Query<PeriodQuery>,
) -> Result<Response, WebError> {
    let offer = find_offer(&app, &plan)?;
    let account = load_account(&app, &user).await?;
    if offer.plan == Plan::Free {
        return Ok(Redirect::to("/settings#plan").into_response());
    }
    let request = app.accounts.plan_request_of(&account.id).await?;
    let period = query.period();
    let view = PlanPage {
        checkout: offer.checkout_address(period, &account.id, &account.email),
        is_requested: request.is_some_and(|request| request.plan == offer.plan),
        is_done: query.done.as_deref() == Some("requested"),
        account_plan: account.plan,
        email: account.email,
        period,
        offer,
    };
    let title = format!("{} plan", plan_title(view.offer.plan));
    Ok(Page::new(title, NavItem::Pricing, &view).into_response())
}

impl View for PlanPage {
    fn render(&self) -> Markup {
        let title = plan_title(self.offer.plan);
        let path = plan_path(self.offer.plan, BillingPeriod::Month);
        html! {
            div.narrow {
                h1 { (title) " plan" }
                @if self.is_done { (notice("good", "We received your request and will answer by email.")) }
                p.price { (self.offer.price_of(self.period)) }
                @if let Some(days) = self.offer.trial_days { p { (days) " days free, then " (self.offer.price_of(self.period)) "." } }
                @if !self.offer.about.is_empty() { p.lead { (self.offer.about) } }
                ul.ticks-list { @for line in &self.offer.includes { li { (line) } } }
                @if self.account_plan >= self.offer.plan {
                    (notice("info", &if self.account_plan == self.offer.plan { format!("Your account has the {title} plan.") } else { format!("Your account has the {} plan, which includes {title}.", plan_title(self.account_plan)) }))
                    p.actions { a.button data-kind="plain" href="/settings#plan" { "Go to settings" } }
                } @else if let Some(checkout) = &self.checkout {
                    p.actions { a.button data-kind="primary" href=(checkout) rel="noreferrer" { "Continue to payment" } }
                    p { "You pay on the page of our payment provider, as " strong { (self.email) } ". We never see your card. The plan is active as soon as the payment is confirmed, usually within a minute." }
                } @else if self.is_requested {
                    @if !self.is_done { (notice("info", "You asked for this plan. We will answer by email.")) }
                    p.actions { a.button data-kind="plain" href="/dashboard/" { "Go to dashboards" } }
                } @else {
                    form.stack method="post" action={ (path) "/request" } data-once {
                        input type="hidden" name="period" value=(self.period.name());
                        (button(&format!("Request {title}"), "primary"))
                    }
                    p { "We answer by email at " strong { (self.email) } ", usually within a working day. Nothing is charged before you agree." }
                }
                p { a href=(if self.period == BillingPeriod::Year { "/pricing?period=year" } else { "/pricing" }) { "Compare plans" } }
            }
        }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct PlanForm {
    #[serde(default)]
    period: String,
}

/// `POST /plans/{plan}/request`
pub(crate) async fn request(
    State(app): State<AppState>,
    user: SignedIn,
    Path(plan): Path<String>,
    form: Form<PlanForm>,
) -> Result<Redirect, WebError> {
    let offer = find_offer(&app, &plan)?;
    let account = load_account(&app, &user).await?;
    let period = if form.period == BillingPeriod::Year.name() {
        BillingPeriod::Year
    } else {
        BillingPeriod::Month
    };
    match app.accounts.request_plan(&account, offer.plan, period == BillingPeriod::Year).await {
        Ok(()) => {}
        Err(RequestError::HasPlan) => return Ok(Redirect::to("/settings#plan")),
        Err(RequestError::Store(error)) => return Err(error.into()),
    }
    let path = plan_path(offer.plan, period);
    let joint = if path.contains('?') { '&' } else { '?' };
    Ok(Redirect::to(&format!("{path}{joint}done=requested")))
}
