//! Access of each kind of visitor, and the responses where it is denied.

use axum::{
    body::to_bytes,
    http::{Method, StatusCode},
};
use tower::ServiceExt;

use super::{Site, request};
use crate::router;

/// Rows: routes. Columns: anonymous, free, starter, pro, admin. `in`: redirected to sign-in.
const MATRIX: [(&str, [&str; 5]); 41] = [
    ("/", ["200", "200", "200", "200", "200"]),
    ("/methodology", ["200", "200", "200", "200", "200"]),
    ("/legal/terms", ["200", "200", "200", "200", "200"]),
    ("/legal/none", ["404", "404", "404", "404", "404"]),
    ("/health", ["200", "200", "200", "200", "200"]),
    ("/ready", ["200", "200", "200", "200", "200"]),
    ("/metrics", ["404", "404", "404", "404", "404"]),
    ("/nowhere", ["404", "404", "404", "404", "404"]),
    ("/dashboard/pulse", ["in", "200", "200", "200", "200"]),
    ("/dashboard/positioning", ["in", "200", "200", "200", "200"]),
    ("/dashboard/none", ["in", "404", "404", "404", "404"]),
    ("/dashboard/pulse/panel/spread.csv", ["in", "200", "200", "200", "200"]),
    ("/dashboard/pulse/panel/spread.svg", ["in", "200", "200", "200", "200"]),
    ("/dashboard/origins/panel/production.csv", ["in", "403", "200", "200", "200"]),
    ("/dashboard/origins/panel/none.csv", ["in", "404", "404", "404", "404"]),
    ("/dashboard/pulse/report.pdf", ["in", "404", "404", "404", "404"]),
    ("/tables/coffee_prices/row", ["in", "200", "200", "200", "200"]),
    ("/tables/commodity_metrics/columns/country_name", ["in", "403", "200", "200", "200"]),
    ("/unsubscribe/digest/none", ["404", "404", "404", "404", "404"]),
    ("/embed/pulse/arabica", ["200", "200", "200", "200", "200"]),
    ("/embed/pulse/arabica.json", ["200", "200", "200", "200", "200"]),
    ("/embed/origins/production", ["404", "404", "404", "404", "404"]),
    ("/feed.atom", ["200", "200", "200", "200", "200"]),
    ("/robots.txt", ["200", "200", "200", "200", "200"]),
    ("/sitemap.xml", ["200", "200", "200", "200", "200"]),
    ("/favicon.ico", ["200", "200", "200", "200", "200"]),
    ("/apple-touch-icon.png", ["200", "200", "200", "200", "200"]),
    ("/pricing", ["200", "200", "200", "200", "200"]),
    ("/plans/starter", ["in", "200", "200", "200", "200"]),
    ("/plans/gold", ["in", "404", "404", "404", "404"]),
    ("/webhooks/billing", ["405", "405", "405", "405", "405"]),
    ("/home", ["in", "200", "200", "200", "200"]),
    ("/home/save?page=/dashboard/pulse", ["in", "200", "200", "200", "200"]),
    ("/home/save?page=/dashboard/none", ["in", "404", "404", "404", "404"]),
    ("/search?q=price", ["in", "200", "200", "200", "200"]),
    ("/settings", ["in", "200", "200", "200", "200"]),
    ("/admin/", ["in", "403", "403", "403", "200"]),
    ("/admin/accounts", ["in", "403", "403", "403", "200"]),
    ("/admin/exports", ["in", "403", "403", "403", "200"]),
    ("/admin/login", ["404", "404", "404", "404", "404"]),
    ("/admin/dev-login", ["404", "404", "404", "404", "404"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_route_lets_in_whom_it_should_and_nobody_else() {
    let site = Site::serving().await;
    let mut cookies = vec![None];
    for user in ["free", "starter", "pro", "admin"] {
        cookies.push(Some(site.sign_in(&format!("{user}@example.test")).await));
    }
    for (path, expected) in MATRIX {
        for (at, cookie) in cookies.iter().enumerate() {
            let answered = site.get(path, cookie.as_deref()).await;
            let got = match answered.status {
                StatusCode::SEE_OTHER if answered.header("location").starts_with("/auth/login") => {
                    "in".to_owned()
                }
                status => status.as_u16().to_string(),
            };
            assert_eq!(got, expected[at], "{path} for visitor {at}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_signs_in_comes_back_to_the_page_asked_for() {
    let site = Site::preparing().await;
    let answered = site.get("/dashboard/pulse?years_from=2020&x=%22", None).await;
    assert_eq!(
        answered.header("location"),
        "/auth/login?next=/dashboard/pulse%3Fyears_from%3D2020%26x%3D%2522"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_export_data_pages_say_so_and_all_others_work() {
    let site = Site::preparing().await;
    let cookie = site.sign_in("pro@example.test").await;
    let answered = site.get("/dashboard/pulse", Some(&cookie)).await;
    assert_eq!(answered.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answered.header("retry-after"), "10");
    assert!(answered.body.contains("being prepared"));
    for path in ["/", "/methodology", "/auth/login", "/legal/terms", "/health"] {
        assert_eq!(site.get(path, None).await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(site.get("/settings", Some(&cookie)).await.status, StatusCode::OK);
    assert_eq!(site.get("/ready", None).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_sees_locked_what_it_does_not_include_and_a_larger_plan_sees_it() {
    let site = Site::serving().await;
    let free =
        site.get("/dashboard/positioning", Some(&site.sign_in("free@example.test").await)).await;
    let pro =
        site.get("/dashboard/positioning", Some(&site.sign_in("pro@example.test").await)).await;
    assert!(free.body.contains("data-kind=\"locked\""), "nothing is locked for the free plan");
    assert!(
        !pro.body.contains("data-kind=\"locked\"") && pro.body.contains("<svg"),
        "something is locked for the pro plan"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_forbids_what_the_site_does_not_need() {
    let site = Site::preparing().await;
    for path in ["/", "/nowhere", "/health", "/dashboard/pulse"] {
        let answered = site.get(path, None).await;
        assert!(
            answered.header("content-security-policy").starts_with("default-src 'none';"),
            "{path}"
        );
        assert_eq!(answered.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answered.header("x-frame-options"), "DENY", "{path}");
        assert!(!answered.header("x-request-id").is_empty(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_another_site_sends_changes_nothing() {
    let site = Site::preparing().await;
    let cookie = site.sign_in("free@example.test").await;
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let mut forged = request(&Method::POST, "/auth/logout", Some(&cookie), "");
        forged.headers_mut().remove("sec-fetch-site");
        forged.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!(site.send(forged).await.status, StatusCode::FORBIDDEN, "{name}: {value}");
    }
    let mut silent = request(&Method::POST, "/auth/logout", Some(&cookie), "");
    silent.headers_mut().remove("sec-fetch-site");
    assert_eq!(
        site.send(silent).await.status,
        StatusCode::FORBIDDEN,
        "a form that does not say from where"
    );
    assert_eq!(
        site.get("/settings", Some(&cookie)).await.status,
        StatusCode::OK,
        "still signed in"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_larger_than_any_form_is_refused() {
    let site = Site::preparing().await;
    let answered = site.post("/auth/login", None, &format!("email={}", "a".repeat(100_000))).await;
    assert_eq!(answered.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answered.body.contains("<h1>"), "{}", answered.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_show_requests_latencies_and_signed_in_users() {
    let site = Site::preparing().await;
    let pro = site.sign_in("pro@example.test").await;
    site.sign_in("pro@example.test").await;
    site.sign_in("admin@example.test").await;
    site.get("/dashboard/pulse", Some(&pro)).await;
    let metrics = || async {
        let response = router::metrics_router(&site.app)
            .oneshot(request(&Method::GET, "/metrics", None, ""))
            .await
            .unwrap();
        String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec())
            .unwrap()
    };
    let page = metrics().await;
    let has_line = |line: &str| page.lines().any(|known| known.starts_with(line));
    assert!(has_line("materia_signed_in_users 2"), "two accounts, one of them twice: {page}");
    assert!(
        has_line(
            "materia_http_requests_total{route=\"/dashboard/{slug}\",method=\"GET\",status=\"503\"} 1"
        ),
        "{page}"
    );
    assert!(
        has_line(
            "materia_http_request_duration_seconds_bucket{le=\"+Inf\",route=\"/dashboard/{slug}\"} 1"
        ),
        "{page}"
    );
    for line in [
        "materia_http_in_flight 0",
        "materia_generation_age_seconds -1",
        "materia_reader_pins 0",
        "materia_store_up 1",
        "materia_store_answer_seconds 0.",
    ] {
        assert!(has_line(line), "{line}: {page}");
    }
    site.export();
    for _ in 0..2 {
        assert_eq!(site.get("/dashboard/pulse", Some(&pro)).await.status, StatusCode::OK);
    }
    let page = metrics().await;
    let value = |name: &str| -> f64 {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is not in {page}")).parse().unwrap()
    };
    assert!(
        (0.0..60.0).contains(&value("materia_generation_age_seconds"))
            && value("materia_generation_bytes") > 100_000.0,
        "{page}"
    );
    assert!(
        value("materia_pages_hits_total") >= 1.0
            && value("materia_pages_misses_total") >= 1.0
            && value("materia_pages_kept") >= 1.0
    );
    assert!(
        value("materia_reader_misses_total") > 5.0
            && value("materia_reader_answers_bytes") > 1_000.0,
        "{page}"
    );
    assert!(
        value("materia_reader_waiting{lane=\"short\"}") < 1.0
            && value("materia_reader_problem") < 1.0,
        "{page}"
    );
    let held = site.app.reader.pin().unwrap();
    assert!(metrics().await.contains("materia_reader_pins 1\n"), "{}", metrics().await);
    site.export();
    assert!(
        metrics().await.contains("materia_reader_former_generations 1\n"),
        "{}",
        metrics().await
    );
    drop(held);
    site.post("/auth/logout", Some(&pro), "").await;
    assert!(metrics().await.contains("materia_signed_in_users 2"), "signed in elsewhere");
    site.app.accounts.clone().close().await;
    let page = metrics().await;
    assert!(
        page.contains("materia_signed_in_users -1") && page.contains("materia_store_up 0"),
        "the accounts cannot be read"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_what_needs_attention_and_it_is_what_the_metrics_say() {
    let site = Site::preparing().await;
    let cookie = site.sign_in("admin@example.test").await;
    let page = site.get("/admin/", Some(&cookie)).await;
    assert!(
        page.body.contains("Needs attention") && page.body.contains("nothing is served: "),
        "{}",
        page.body
    );
    let ready = site.get("/ready", None).await;
    assert!(ready.body.contains("\"conditions\":[\"not_served\"]"), "{}", ready.body);
    let response = router::metrics_router(&site.app)
        .oneshot(request(&Method::GET, "/metrics", None, ""))
        .await
        .unwrap();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let metrics = String::from_utf8(bytes.to_vec()).unwrap();
    for condition in materia::status::Condition::ALL {
        let holds = u8::from(condition == "not_served");
        let line = format!("materia_condition{{condition=\"{condition}\"}} {holds}");
        assert!(metrics.lines().any(|known| known == line), "{line}: {metrics}");
    }
}
