//! Plans and prices.

use materia::{plan::Plan, settings::PlanOffer};
use maud::{Markup, html};

/// A plan's name as people read it.
pub(crate) fn plan_title(plan: Plan) -> &'static str {
    match plan {
        Plan::Free => "Free",
        Plan::Starter => "Starter",
        Plan::Pro => "Pro",
    }
}

/// Every plan that is offered, beside one another. `link` is where it is begun, and what that is called.
pub(crate) fn plans(offers: &[PlanOffer], link: (&str, &str)) -> Markup {
    html! {
        ul.plans {
            @for offer in offers {
                li.plan data-plan=(offer.plan) {
                    h3 { (plan_title(offer.plan)) }
                    p.price { (offer.price) }
                    @if !offer.about.is_empty() { p.plan-about { (offer.about) } }
                    ul.ticks-list { @for line in &offer.includes { li { (line) } } }
                    a.button data-kind=(if offer.plan == Plan::Starter { "primary" } else { "plain" }) href=(link.0) { (link.1) span.unseen { " with " (plan_title(offer.plan)) } }
                }
            }
        }
    }
}
