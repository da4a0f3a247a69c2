//! Plans that are paid for, and plans that are asked for.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use materia::plan::Plan;
use tower::ServiceExt;

use super::{
    BEGINNING, Rig,
    browser::{Answer, Site},
};
use crate::{
    accounts::{
        Account, Actor, Parsed, WebhookOutcome,
        billing::{GRACE, signing},
        parse_standard, parse_stripe,
    },
    router,
};

on_both_stores! {
    a_subscription_sets_the_plan_until_it_ends,
    stripes_events_lead_to_the_same_in_whatever_order_and_how_often_they_arrive,
    a_failed_payment_keeps_the_plan_for_a_week_and_says_so,
    a_plan_that_operators_granted_outlives_a_smaller_subscription,
    a_webhook_without_a_right_signature_changes_nothing_and_a_repeated_one_nothing_more,
    whoever_asks_for_a_plan_gets_it_by_one_click_of_an_operator,
    the_plan_that_was_chosen_is_carried_through_sign_up_to_the_payment,
}

const PLANS: &str = "
[[brand.plans]]
plan = 'free'
price = '0'
[[brand.plans]]
plan = 'starter'
price = '49 a month'
yearly = '490 a year'
checkout = 'https://pay.example/month'
checkout_yearly = 'https://pay.example/year'
prices = ['price_starter_month']
[[brand.plans]]
plan = 'pro'
price = '199 a month'
prices = ['price_pro_month']
";

async fn rig() -> Rig {
    let variables = [
        ("ADMIN_EMAILS", "admin@example.test"),
        ("DEBUG", "true"),
        ("BILLING_WEBHOOK_SECRET", signing::STANDARD_SECRET),
        ("STRIPE_WEBHOOK_SECRET", signing::STRIPE_SECRET),
    ];
    Rig::with_file(PLANS, &variables).await
}

impl Rig {
    async fn plan_of(&self, id: &str) -> Plan {
        self.accounts.account(id).await.unwrap().unwrap().plan
    }

    /// Applies a message of Standard Webhooks, `minute` minutes after the beginning.
    async fn report(&self, id: &str, minute: i64, kind: &str, data: &str) -> WebhookOutcome {
        let at = jiff::Timestamp::from_second(BEGINNING + minute * 60).unwrap();
        let body = format!("{{\"type\":\"{kind}\",\"timestamp\":\"{at}\",\"data\":{{{data}}}}}");
        match parse_standard(id, body.as_bytes()).unwrap() {
            Parsed::Event(event) => self.accounts.apply_billing(&event).await.unwrap(),
            Parsed::Ignored(reason) => panic!("{reason}"),
        }
    }

    async fn report_stripe(&self, text: &str) -> WebhookOutcome {
        let plan_of = |price: &str| (price == "price_starter_month").then_some(Plan::Starter);
        match parse_stripe(text.as_bytes(), plan_of).unwrap() {
            Parsed::Event(event) => self.accounts.apply_billing(&event).await.unwrap(),
            Parsed::Ignored(reason) => panic!("{reason}"),
        }
    }

    fn subjects(&self, to: &str) -> Vec<String> {
        let mails = self.accounts.mailbox();
        let mut subjects: Vec<String> = mails
            .into_iter()
            .filter(|mail| mail.to.as_str() == to)
            .map(|mail| mail.subject)
            .collect();
        subjects.reverse();
        subjects.retain(|subject| !subject.starts_with("Sign in"));
        subjects
    }
}

async fn customer(rig: &Rig, email: &str) -> Account {
    rig.sign_in(email).await.account
}

fn active(account: &str, plan: &str) -> String {
    format!(
        "\"subscription\":\"s1\",\"account\":\"{account}\",\"plan\":\"{plan}\",\"period_ends_at\":\"2026-04-01T12:00:00Z\""
    )
}

async fn a_subscription_sets_the_plan_until_it_ends() {
    let rig = rig().await;
    let bo = customer(&rig, "bo@example.com").await;
    let data = active(&bo.id, "starter");
    assert_eq!(rig.report("m1", 0, "subscription.active", &data).await, WebhookOutcome::Applied);
    assert_eq!(rig.plan_of(&bo.id).await, Plan::Starter);
    assert_eq!(rig.report("m1", 0, "subscription.active", &data).await, WebhookOutcome::Repeated);
    // A larger plan, and a cancellation that leaves it until the end of the period.
    let pro = active(&bo.id, "pro");
    rig.report("m2", 1, "subscription.active", &pro).await;
    assert_eq!(rig.plan_of(&bo.id).await, Plan::Pro);
    let cancelled = format!("{pro},\"cancels_at_period_end\":true");
    rig.report("m3", 2, "subscription.active", &cancelled).await;
    assert_eq!(rig.plan_of(&bo.id).await, Plan::Pro);
    // What happened earlier and arrives late changes nothing.
    let late = rig.report("m0", 1, "subscription.active", &data).await;
    assert_eq!((late, rig.plan_of(&bo.id).await), (WebhookOutcome::Outdated, Plan::Pro));
    rig.report("m4", 3, "subscription.ended", "\"subscription\":\"s1\"").await;
    assert_eq!(rig.plan_of(&bo.id).await, Plan::Free);
    assert_eq!(
        rig.subjects("bo@example.com"),
        [
            "Your Starter plan at Beans is active",
            "Your Pro plan at Beans is active",
            "Your Pro plan at Beans was cancelled",
            "Your Pro plan at Beans has ended",
        ]
    );
    let log = rig.accounts.audit_log_of(&bo.id).await.unwrap();
    assert!(log.iter().all(|row| row.actor == "billing (standard)"), "{log:?}");
    assert!(log.iter().any(|row| row.detail.starts_with("free to starter")), "{log:?}");
    // Somebody pays whose account is gone: the provider is told, and can send it again later.
    let nobody = active("0123456789abcdef01234567", "pro").replace("s1", "s2");
    let refused = rig.report("m5", 4, "subscription.active", &nobody).await;
    assert!(matches!(refused, WebhookOutcome::NoAccount(_)), "{refused:?}");
    assert_eq!(rig.rows("SELECT count(*) FROM subscriptions").await, 1);
}

async fn stripes_events_lead_to_the_same_in_whatever_order_and_how_often_they_arrive() {
    let checkout = include_str!("../billing/tests/checkout.session.completed.json");
    let updated = include_str!("../billing/tests/customer.subscription.updated.json");
    let paid = include_str!("../billing/tests/invoice.paid.json");
    let deleted = include_str!("../billing/tests/customer.subscription.deleted.json");
    let rig = rig().await;
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (number, order) in orders.into_iter().enumerate() {
        let bo = customer(&rig, &format!("bo{number}@example.com")).await;
        let named = |text: &str| {
            text.replace("a1b2c3d4e5f6a7b8c9d0e1f2", &bo.id)
                .replace("evt_1Q", &format!("evt_{number}"))
                .replace("sub_1Q", &format!("sub_{number}"))
        };
        let events = [named(checkout), named(updated), named(paid)];
        for at in order {
            rig.report_stripe(&events[at]).await;
            assert_eq!(rig.report_stripe(&events[at]).await, WebhookOutcome::Repeated);
        }
        assert_eq!(rig.plan_of(&bo.id).await, Plan::Starter, "{order:?}");
        let known = rig.accounts.subscriptions(&bo.id).await.unwrap().remove(0);
        assert!(known.is_cancelled && known.customer == "cus_R1", "{known:?}");
        assert_eq!(known.invoice_url, "https://invoice.stripe.com/i/acct_1/test_0", "{order:?}");
        rig.report_stripe(&named(deleted)).await;
        assert_eq!(rig.plan_of(&bo.id).await, Plan::Free, "{order:?}");
    }
}

async fn a_failed_payment_keeps_the_plan_for_a_week_and_says_so() {
    let rig = rig().await;
    let bo = customer(&rig, "bo@example.com").await;
    rig.report("m1", 0, "subscription.active", &active(&bo.id, "starter")).await;
    let month = 31 * 24 * 60;
    let failed = "\"subscription\":\"s1\",\"invoice_url\":\"https://pay.example/invoice\"";
    rig.later(month * 60);
    rig.report("m2", month, "subscription.past_due", failed).await;
    let mail = rig.accounts.mailbox().remove(0);
    assert_eq!(mail.subject, "A payment for Beans failed");
    assert!(
        mail.text.contains("April 8, 2026") && mail.text.contains("https://pay.example/invoice"),
        "{}",
        mail.text
    );
    assert_eq!(rig.accounts.end_lapsed_subscriptions().await.unwrap(), 0);
    assert_eq!(rig.plan_of(&bo.id).await, Plan::Starter);
    rig.later(GRACE.as_secs() + 1);
    assert_eq!(rig.accounts.end_lapsed_subscriptions().await.unwrap(), 1);
    assert_eq!(rig.plan_of(&bo.id).await, Plan::Free);
    assert_eq!(rig.accounts.end_lapsed_subscriptions().await.unwrap(), 0);
    // A payment that arrives after all brings it back.
    let again = active(&bo.id, "starter").replace("2026-04-01", "2026-05-01");
    rig.report("m3", month + 11_000, "subscription.active", &again).await;
    assert_eq!(rig.plan_of(&bo.id).await, Plan::Starter);
}

async fn a_plan_that_operators_granted_outlives_a_smaller_subscription() {
    let rig = rig().await;
    let bo = customer(&rig, "bo@example.com").await;
    rig.accounts.set_plan(&Actor::command_line(), &bo.id, Plan::Pro, "").await.unwrap();
    rig.report("m1", 0, "subscription.active", &active(&bo.id, "starter")).await;
    assert_eq!(rig.plan_of(&bo.id).await, Plan::Pro);
    rig.report("m2", 1, "subscription.ended", "\"subscription\":\"s1\"").await;
    assert_eq!(rig.plan_of(&bo.id).await, Plan::Pro);
}

impl Site {
    async fn webhook(&self, body: &str, headers: &[(&str, String)]) -> Answer {
        let mut request = Request::builder().method(Method::POST).uri("/webhooks/billing");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = router::site(&self.app).oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: head.status, headers: head.headers, body }
    }
}

async fn a_webhook_without_a_right_signature_changes_nothing_and_a_repeated_one_nothing_more() {
    let site = Site::over(rig().await);
    let bo = customer(&site.rig, "bo@example.com").await;
    let body = format!(
        "{{\"type\":\"subscription.active\",\"timestamp\":\"2026-03-01T12:00:00Z\",\"data\":{{{}}}}}",
        active(&bo.id, "starter")
    );
    let key = signing::standard_key_of_tests();
    let signed = |id: &str, at: i64| {
        vec![
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", at.to_string()),
            ("webhook-signature", signing::sign_as_sender(&key, id, at, body.as_bytes())),
        ]
    };
    let wrong = [
        vec![],
        signed("m1", BEGINNING - 301),
        signed("m1", BEGINNING).into_iter().take(2).collect(),
        vec![(
            "stripe-signature",
            signing::stripe_header("whsec_other", BEGINNING, body.as_bytes()),
        )],
    ];
    for headers in wrong {
        let answer = site.webhook(&body, &headers).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{headers:?}");
    }
    let other = body.replace("starter", "pro");
    let answer = site.webhook(&other, &signed("m1", BEGINNING)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "a changed body");
    assert_eq!(site.rig.plan_of(&bo.id).await, Plan::Free);
    let answer = site.webhook(&body, &signed("m1", BEGINNING)).await;
    assert_eq!((answer.status, answer.body.contains("\"applied\"")), (StatusCode::OK, true));
    assert_eq!(site.rig.plan_of(&bo.id).await, Plan::Starter);
    let answer = site.webhook(&body, &signed("m1", BEGINNING)).await;
    assert_eq!((answer.status, answer.body.contains("\"repeated\"")), (StatusCode::OK, true));
    // Stripe's event, with Stripe's signature, and the price of the settings.
    let event = include_str!("../billing/tests/customer.subscription.created.json");
    let header = signing::stripe_header(signing::STRIPE_SECRET, BEGINNING, event.as_bytes());
    let answer = site.webhook(event, &[("stripe-signature", header)]).await;
    assert_eq!((answer.status, answer.body.contains("\"waiting\"")), (StatusCode::OK, true));
    let unknown = event.replace("price_pro_month", "price_other");
    let header = signing::stripe_header(signing::STRIPE_SECRET, BEGINNING, unknown.as_bytes());
    let answer = site.webhook(&unknown, &[("stripe-signature", header)]).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer.body.contains("price_other"), "{}", answer.body);
    // Without a secret there is no such address.
    let closed = Site::new().await;
    let answer = closed.webhook(&body, &signed("m1", BEGINNING)).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

async fn whoever_asks_for_a_plan_gets_it_by_one_click_of_an_operator() {
    let site = Site::over(rig().await);
    let mut admin = site.signed_in("admin@example.test").await;
    let mut bo = site.signed_in("bo@example.com").await;
    let page = bo.get("/plans/pro").await;
    assert!(page.main().contains("Request Pro"), "{}", page.main());
    let answer = bo.post("/plans/pro/request", &[("period", "month")]).await;
    assert_eq!(answer.location(), "/plans/pro?done=requested");
    assert!(bo.get(answer.location()).await.main().contains("We received your request"));
    let subject = "bo@example.com asks for Pro";
    assert_eq!(site.rig.subjects("admin@example.test"), [subject]);
    // Asking again writes to nobody.
    bo.post("/plans/pro/request", &[("period", "month")]).await;
    assert_eq!(site.rig.subjects("admin@example.test"), [subject]);
    assert!(bo.get("/settings").await.main().contains("You asked for the"));
    let list = admin.get("/admin/requests").await.main();
    assert!(list.contains("bo@example.com") && list.contains("Grant"), "{list}");
    let account =
        site.rig.accounts.account_of(&"bo@example.com".parse().unwrap()).await.unwrap().unwrap();
    let grant = format!("/admin/requests/{}/grant", account.id);
    assert_eq!(admin.post(&grant, &[]).await.location(), "/admin/requests?done=granted");
    assert_eq!(site.rig.plan_of(&account.id).await, Plan::Pro);
    assert_eq!(site.rig.subjects("bo@example.com"), ["Your plan at Beans has changed"]);
    assert_eq!(admin.post(&grant, &[]).await.status, StatusCode::NOT_FOUND);
    assert!(admin.get("/admin/requests").await.main().contains("No open requests"));
    // Declined, with the operator's words.
    site.rig.accounts.set_plan(&Actor::command_line(), &account.id, Plan::Free, "").await.unwrap();
    bo.post("/plans/pro/request", &[("period", "month")]).await;
    let decline = format!("/admin/requests/{}/decline", account.id);
    admin.post(&decline, &[("reason", "Starter has what you need")]).await;
    assert_eq!(site.rig.plan_of(&account.id).await, Plan::Free);
    let mail = site.rig.accounts.mailbox().remove(0);
    assert!(mail.text.contains("Reason: Starter has what you need"), "{}", mail.text);
}

async fn the_plan_that_was_chosen_is_carried_through_sign_up_to_the_payment() {
    let site = Site::over(rig().await);
    let mut browser = site.browser();
    let pricing = browser.get("/pricing?period=year").await.main();
    let link = "/auth/signup?next=%2Fplans%2Fstarter%3Fperiod%3Dyear";
    assert!(pricing.contains("490 a year") && pricing.contains(link), "{pricing}");
    let form = browser.get(link).await.main();
    assert!(form.contains("You chose Starter, 490 a year."), "{form}");
    let next = ("next", "/plans/starter?period=year");
    browser.post("/auth/signup", &[("email", "bo@example.com"), next]).await;
    let token = site.rig.newest_token("bo@example.com");
    let answer = browser.post("/auth/verify", &[("token", token.reveal())]).await;
    assert_eq!(answer.location(), "/plans/starter?period=year");
    let page = browser.get(answer.location()).await.main();
    let account =
        site.rig.accounts.account_of(&"bo@example.com".parse().unwrap()).await.unwrap().unwrap();
    let checkout = format!(
        "https://pay.example/year?client_reference_id={}&amp;prefilled_email=bo%40example.com",
        account.id
    );
    assert!(page.contains(&checkout), "{page}");
    // Paid: the plan is named, and nothing is sold twice.
    site.rig.report("m1", 0, "subscription.active", &active(&account.id, "starter")).await;
    let page = browser.get("/plans/starter").await.main();
    assert!(page.contains("Your account has the Starter plan."), "{page}");
    let settings = browser.get("/settings").await.main();
    assert!(settings.contains("renews on") && settings.contains("April 1, 2026"), "{settings}");
}
