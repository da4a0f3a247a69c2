//! Plans and prices.

use materia::{
    plan::Plan,
    settings::{BillingPeriod, PlanOffer},
};
use maud::{Markup, html};

/// Returns a plan's display name.
pub(crate) fn plan_title(plan: Plan) -> &'static str {
    match plan {
        Plan::Free => "Free",
        Plan::Starter => "Starter",
        Plan::Pro => "Pro",
    }
}

/// Renders the plans on offer, each with what `action` returns for it.
pub(crate) fn plans(
    offers: &[PlanOffer],
    period: BillingPeriod,
    action: impl Fn(&PlanOffer) -> Markup,
) -> Markup {
    html! {
        ul.plans {
            @for offer in offers {
                li.plan data-plan=(offer.plan) {
                    h3 { (plan_title(offer.plan)) }
                    p.price { (offer.price_of(period)) }
                    @if let Some(days) = offer.trial_days { p.plan-trial { (days) " days free" } }
                    @if !offer.about.is_empty() { p.plan-about { (offer.about) } }
                    ul.ticks-list { @for line in &offer.includes { li { (line) } } }
                    div.plan-action { (action(offer)) }
                }
            }
        }
    }
}
