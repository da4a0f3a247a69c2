//! Tables, downloads, keys and the API, through the site's own router.

use std::collections::BTreeSet;

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use jiff::SignedDuration;
use materia::download::DownloadFormat;

use super::{Answered, Site, html::assert_valid, noon};
use crate::app::Clock;

impl Site {
    /// Creates a key through the settings page and reads it from the only page that shows it.
    pub(super) async fn key(&self, email: &str, form: &str) -> String {
        let cookie = self.sign_in(email).await;
        let answered = self.post("/settings/keys", Some(&cookie), form).await;
        assert_eq!(answered.status, StatusCode::CREATED, "{}", answered.body);
        assert_eq!(answered.header("cache-control"), "no-store");
        let at = answered.body.find("materia_").unwrap();
        answered.body[at..].split('<').next().unwrap().to_owned()
    }

    pub(super) async fn call(&self, key: &str, path: &str) -> Answered {
        self.call_with(key, path, &[]).await
    }

    async fn call_with(&self, key: &str, path: &str, headers: &[(&str, &str)]) -> Answered {
        let mut request = Request::builder()
            .method(Method::GET)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {key}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }
}

pub(super) const KEY: &str = "key-name=test&days=30";
const ROWS: &str = "/api/v1/tables/coffee_prices/rows";

fn json(answered: &Answered) -> serde_json::Value {
    serde_json::from_str(&answered.body).unwrap_or_else(|error| panic!("{error}: {answered:?}"))
}

/// Checks that a response is a problem document of this status and kind, and returns it.
fn problem(answered: &Answered, status: u16, kind: &str) -> serde_json::Value {
    assert_eq!(answered.status.as_u16(), status, "{answered:?}");
    assert_eq!(answered.header("content-type"), "application/problem+json", "{answered:?}");
    let problem = json(answered);
    assert_eq!(problem["type"], format!("/docs/api#problem-{kind}"), "{problem}");
    assert_eq!(problem["status"], status);
    problem
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_about_tables_is_valid_html_and_locked_by_plan() {
    let site = Site::serving().await;
    let open = [
        "/tables",
        "/tables/coffee_prices",
        "/tables/coffee_prices/columns",
        "/tables/coffee_prices?arabica=gte.2&order=month.desc&select=month,arabica",
        "/docs/api",
    ];
    let starter = [
        "/tables/commodity_metrics",
        "/tables/commodity_metrics/columns",
        "/tables/commodity_metrics/download?format=csv",
    ];
    for (email, status) in
        [("free@example.test", 403), ("starter@example.test", 200), ("admin@example.test", 200)]
    {
        let cookie = site.sign_in(email).await;
        for path in open {
            let answered = site.get(path, Some(&cookie)).await;
            assert_eq!(answered.status, StatusCode::OK, "{path}: {}", answered.body);
            assert_valid(path, &answered.body);
        }
        for path in starter {
            let answered = site.get(path, Some(&cookie)).await;
            assert_eq!(answered.status.as_u16(), status, "{path} for {email}");
            assert!(
                status == 200 || !answered.body.contains("Brazil"),
                "{path} shows rows to {email}"
            );
        }
        for (path, status) in [
            ("/tables/nothing", 404),
            ("/tables/coffee_prices?nothing=eq.1", 400),
            ("/tables/coffee_prices?month=gte.%27", 400),
        ] {
            let answered = site.get(path, Some(&cookie)).await;
            assert_eq!(answered.status.as_u16(), status, "{path}");
            assert_valid(path, &answered.body);
        }
    }
    for path in open.iter().filter(|path| path.starts_with("/tables")).chain(&starter) {
        assert_eq!(site.get(path, None).await.status, StatusCode::SEE_OTHER, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_customer_sees_the_last_years_and_cannot_get_at_the_others_by_any_address() {
    let site = Site::serving().await;
    let (free, pro) =
        (site.sign_in("free@example.test").await, site.sign_in("pro@example.test").await);
    let oldest = |body: &str| body.split(">19").count() - 1 + body.split(">200").count() - 1;
    for path in [
        "/tables/coffee_prices",
        "/tables/coffee_prices?order=month",
        "/tables/coffee_prices?month=lt.2000-01-01",
        "/tables/coffee_prices?month=not.gte.2000-01-01",
        "/tables/coffee_prices/columns",
        "/tables/coffee_prices?arabica=is.null&order=month",
    ] {
        let body = site.get(path, Some(&free)).await.body;
        assert!(body.contains("shows the last 5 years"), "{path}");
        assert_eq!(oldest(&body), 0, "{path} shows what only larger plans see");
    }
    assert!(oldest(&site.get("/tables/coffee_prices?order=month", Some(&pro)).await.body) > 10);
    let answered = site.get("/tables/coffee_prices/download?format=csv", Some(&free)).await;
    assert_eq!(
        answered.status,
        StatusCode::FORBIDDEN,
        "a free customer downloads by guessing the address"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_the_explorer_lead_to_an_address_that_says_what_is_shown() {
    let site = Site::serving().await;
    let cookie = site.sign_in("pro@example.test").await;
    let change = async |query: &str| {
        let answered = site.get(&format!("/tables/rainfall/change?{query}"), Some(&cookie)).await;
        assert_eq!(answered.status, StatusCode::SEE_OTHER, "{answered:?}");
        let location = answered.header("location").to_owned();
        assert_eq!(site.get(&location, Some(&cookie)).await.status, StatusCode::OK, "{location}");
        location
    };
    let filtered = change("what=filter&state=order%3Dmonth.desc%26offset%3D50&column=origin&operator=in&value=brazil,+vietnam").await;
    assert_eq!(filtered, "/tables/rainfall?order=month.desc&origin=in.%28brazil%2Cvietnam%29");
    assert_eq!(
        change("what=filter&state=&column=precipitation_mm&operator=not-null&value=").await,
        "/tables/rainfall?precipitation_mm=not.is.null"
    );
    assert_eq!(
        change("what=columns&state=order%3Dmonth&all=4&column=month&column=origin").await,
        "/tables/rainfall?order=month&select=month%2Corigin"
    );
    let everything =
        change("what=columns&state=select%3Dmonth&all=4&column=origin&column=region&column=month&column=precipitation_mm").await;
    assert_eq!(everything, "/tables/rainfall");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_what_it_was_made_for_and_says_why_when_it_does_not() {
    let site = Site::serving().await;
    let key = site.key("pro@example.test", KEY).await;
    let answered = site.call(&key, "/api/v1/generation").await;
    assert_eq!(answered.status, StatusCode::OK, "{answered:?}");
    assert_eq!(answered.header("x-materia-generation"), json(&answered)["id"].as_str().unwrap());
    assert!(answered.header("ratelimit").starts_with("\"day\";r=19999;t="), "{answered:?}");
    assert_eq!(answered.header("ratelimit-policy"), "\"day\";q=20000;w=86400");

    let none = site.get("/api/v1/tables", None).await;
    assert_eq!(none.header("www-authenticate"), "Bearer realm=\"api\"");
    problem(&none, 401, "key");
    let cookie = site.sign_in("pro@example.test").await;
    problem(&site.get("/api/v1/tables", Some(&cookie)).await, 401, "key");
    problem(&site.get(&format!("/api/v1/tables?key={key}"), None).await, 401, "key");
    let other_end = if key.ends_with('0') { '1' } else { '0' };
    for wrong in [
        "materia_",
        "",
        "x",
        &key[..key.len() - 1],
        &format!("{}{other_end}", &key[..key.len() - 1]),
        key.strip_prefix("materia_").unwrap(),
        &"a".repeat(5_000),
    ] {
        problem(&site.call(wrong, "/api/v1/tables").await, 401, "key");
    }

    let scoped = site.key("pro@example.test", "key-name=prices&days=30&table=coffee_prices").await;
    assert_eq!(site.call(&scoped, ROWS).await.status, StatusCode::OK);
    problem(&site.call(&scoped, "/api/v1/tables/rainfall/rows").await, 403, "scope");
    problem(&site.call(&scoped, "/api/v1/tables/rainfall/download").await, 403, "scope");
    problem(&site.call(&scoped, "/api/v1/tables/rainfall").await, 403, "scope");
    problem(&site.call(&scoped, "/api/v1/dashboards").await, 403, "scope");
    problem(&site.call(&scoped, "/api/v1/dashboards/pulse").await, 403, "scope");
    assert_eq!(json(&site.call(&scoped, "/api/v1/tables").await).as_array().unwrap().len(), 1);

    let page = site.get("/settings", Some(&cookie)).await.body;
    assert!(
        page.contains(&key[..16]) && !page.contains(&key[..20]),
        "the settings show a key's beginning and no more"
    );
    let revoke =
        page.split("/settings/keys/").nth(2).unwrap().split('"').next().unwrap().to_owned();
    let other = site.sign_in("starter@example.test").await;
    assert_eq!(
        site.post(&format!("/settings/keys/{revoke}"), Some(&other), "").await.status,
        StatusCode::NOT_FOUND
    );
    let both = [site.call(&key, ROWS).await.status, site.call(&scoped, ROWS).await.status];
    assert_eq!(both, [StatusCode::OK; 2], "somebody else's hand revokes nothing");
    assert_eq!(
        site.post(&format!("/settings/keys/{revoke}"), Some(&cookie), "").await.status,
        StatusCode::SEE_OTHER
    );
    let mut left: Vec<_> = [site.call(&key, ROWS).await, site.call(&scoped, ROWS).await].into();
    left.sort_by_key(|answered| answered.status);
    assert_eq!(left[0].status, StatusCode::OK);
    assert!(problem(&left[1], 401, "key")["detail"].as_str().unwrap().contains("revoked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_without_the_api_gets_no_key_and_a_key_of_before_opens_nothing() {
    let site = Site::serving().await;
    let cookie = site.sign_in("free@example.test").await;
    assert_eq!(site.post("/settings/keys", Some(&cookie), KEY).await.status, StatusCode::FORBIDDEN);
    let key = site.key("starter@example.test", KEY).await;
    assert_eq!(site.call(&key, ROWS).await.status, StatusCode::OK);
    let account = site
        .app
        .accounts
        .account_of(&"starter@example.test".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    let operator = crate::Actor::command_line();
    site.app
        .accounts
        .set_plan(&operator, &account.id, materia::plan::Plan::Free, "")
        .await
        .unwrap();
    problem(&site.call(&key, ROWS).await, 403, "plan");
    site.app
        .accounts
        .set_plan(&operator, &account.id, materia::plan::Plan::Starter, "")
        .await
        .unwrap();
    site.app.accounts.suspend(&operator, &account.id, true, "").await.unwrap();
    problem(&site.call(&key, ROWS).await, 403, "suspended");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_in_every_format_with_the_generation_and_a_way_to_the_next_rows() {
    let site = Site::serving().await;
    let key = site.key("pro@example.test", KEY).await;
    let first = site.call(&key, &format!("{ROWS}?limit=300&select=month&order=month")).await;
    let (mut months, mut next) =
        (json(&first).as_array().unwrap().clone(), Some(first.header("link").to_owned()));
    while let Some(link) = next.take().filter(|link| !link.is_empty()) {
        let path = link.trim_start_matches('<').split('>').next().unwrap().to_owned();
        let page = site.call(&key, &path).await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        months.extend(json(&page).as_array().unwrap().clone());
        next = Some(page.header("link").to_owned());
    }
    let different: BTreeSet<_> =
        months.iter().map(|row| row["month"].as_str().unwrap().to_owned()).collect();
    assert_eq!(different.len(), months.len(), "a row came twice");
    let table = json(&site.call(&key, "/api/v1/tables/coffee_prices").await);
    assert_eq!(table["rows"], months.len());
    assert_eq!((&table["access"], &table["columns"][0]["type"]), (&"all".into(), &"DATE".into()));

    for format in DownloadFormat::ALL {
        let media = format.media_type();
        for answered in [
            site.call(&key, &format!("{ROWS}?limit=3&format={}", format.name())).await,
            site.call_with(
                &key,
                &format!("{ROWS}?limit=3"),
                &[("accept", media.split(';').next().unwrap())],
            )
            .await,
            site.call(
                &key,
                &format!("/api/v1/tables/coffee_prices/download?format={}", format.name()),
            )
            .await,
        ] {
            assert_eq!((answered.status, answered.header("content-type")), (StatusCode::OK, media));
            assert!(
                !answered.header("x-materia-generation").is_empty()
                    && !answered.header("x-materia-rows").is_empty()
            );
            assert!(
                answered.header("content-disposition").ends_with(&format!(".{}\"", format.name())),
                "{answered:?}"
            );
        }
    }
    problem(&site.call_with(&key, ROWS, &[("accept", "image/png")]).await, 406, "format");
    let whole = site.call(&key, "/api/v1/tables/coffee_prices/download?format=csv").await;
    assert_eq!(whole.header("x-materia-rows"), months.len().to_string());
    assert_eq!(whole.body.lines().count(), months.len() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_csv_button_gives_csv_for_spreadsheets_and_programs_get_plain_csv() {
    let site = Site::serving().await;
    let (cookie, key) =
        (site.sign_in("pro@example.test").await, site.key("pro@example.test", KEY).await);
    let button = "/tables/rainfall/download?format=csv&safe=true";
    let page = site.get("/tables/rainfall", Some(&cookie)).await;
    assert!(
        page.body.contains(&format!("href=\"{}\">CSV</a>", button.replace('&', "&amp;"))),
        "{}",
        page.body
    );
    let pressed = site.get(button, Some(&cookie)).await.body;
    let plain = site.call(&key, "/api/v1/tables/rainfall/download?format=csv").await.body;
    assert_eq!(pressed, format!("\u{feff}{plain}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_download_goes_on_where_it_was_as_long_as_it_is_the_same_file() {
    let site = Site::serving().await;
    let key = site.key("pro@example.test", KEY).await;
    let path = "/api/v1/tables/rainfall/download?format=csv";
    let whole = site.call(&key, path).await;
    let etag = whole.header("etag").to_owned();
    assert_eq!(whole.header("accept-ranges"), "bytes");
    let at = whole.body.len() / 3;
    let rest = site
        .call_with(&key, path, &[("range", &format!("bytes={at}-")), ("if-range", &etag)])
        .await;
    assert_eq!((rest.status, rest.body.as_str()), (StatusCode::PARTIAL_CONTENT, &whole.body[at..]));
    assert_eq!(
        rest.header("content-range"),
        format!("bytes {at}-{}/{}", whole.body.len() - 1, whole.body.len())
    );
    let behind = site
        .call_with(
            &key,
            path,
            &[("range", &format!("bytes={}-", whole.body.len())), ("if-range", &etag)],
        )
        .await;
    assert_eq!(
        (behind.status, behind.header("content-range")),
        (StatusCode::RANGE_NOT_SATISFIABLE, format!("bytes */{}", whole.body.len()).as_str())
    );
    for headers in [
        [("range", "bytes=10-"), ("if-range", "\"another\"")],
        [("range", "bytes=10-"), ("x", "y")],
    ] {
        let answered = site.call_with(&key, path, &headers).await;
        assert_eq!(
            (answered.status, answered.body.len()),
            (StatusCode::OK, whole.body.len()),
            "two files would be mixed"
        );
    }
    site.export();
    let renewed = site
        .call_with(&key, path, &[("range", &format!("bytes={at}-")), ("if-range", &etag)])
        .await;
    assert_eq!(renewed.status, StatusCode::OK, "the data was renewed meanwhile");
    let parquet = site.call(&key, "/api/v1/tables/rainfall/download?format=parquet").await;
    assert_eq!(parquet.header("accept-ranges"), "none");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_response_is_304_until_the_data_changes() {
    let site = Site::serving().await;
    let key = site.key("pro@example.test", KEY).await;
    for path in [
        "/api/v1/tables",
        ROWS,
        "/api/v1/tables/rainfall/download?format=csv",
        "/api/v1/dashboards/pulse",
        "/api/v1/openapi.json",
    ] {
        let first = site.call(&key, path).await;
        assert_eq!(first.status, StatusCode::OK, "{path}: {}", first.body);
        let again = site.call_with(&key, path, &[("if-none-match", first.header("etag"))]).await;
        assert_eq!((again.status, again.body.as_str()), (StatusCode::NOT_MODIFIED, ""), "{path}");
    }
    let first = site.call(&key, &format!("{ROWS}?limit=5")).await;
    let (etag, cursor) =
        (first.header("etag").to_owned(), first.header("x-materia-cursor").to_owned());
    site.export();
    assert_eq!(
        site.call_with(&key, &format!("{ROWS}?limit=5"), &[("if-none-match", &etag)]).await.status,
        StatusCode::OK
    );
    problem(
        &site.call(&key, &format!("{ROWS}?limit=5&cursor={cursor}")).await,
        410,
        "expired-cursor",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dashboard_is_answered_anew_on_another_day_and_a_table_is_not() {
    let clock = Clock::fixed(noon());
    let site = Site::with_clock("", &[], clock.clone()).await;
    site.export();
    let key = site.key("pro@example.test", KEY).await;
    let again = async |path: &str, etag: &str| {
        site.call_with(&key, path, &[("if-none-match", etag)]).await.status
    };
    let dashboard = site.call(&key, "/api/v1/dashboards/pulse").await.header("etag").to_owned();
    let rows = site.call(&key, ROWS).await.header("etag").to_owned();
    clock.set(noon() + SignedDuration::from_hours(11));
    assert_eq!(again("/api/v1/dashboards/pulse", &dashboard).await, StatusCode::NOT_MODIFIED);
    // What is late, and where filters relative to the current day end, has changed.
    clock.set(noon() + SignedDuration::from_hours(12));
    assert_eq!(again("/api/v1/dashboards/pulse", &dashboard).await, StatusCode::OK);
    assert_eq!(again(ROWS, &rows).await, StatusCode::NOT_MODIFIED);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_parameters_get_a_problem_document_and_never_another_table() {
    let site = Site::serving().await;
    let key = site.key("pro@example.test", KEY).await;
    let escaped =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let long = "x".repeat(10_000);
    let list = format!("in.({})", vec!["1"; 1_000].join(","));
    let values = [
        "'",
        "\"",
        "'; DROP TABLE coffee_prices; --",
        "/* */",
        "eq.' OR 1=1 --",
        "\u{202e}eq.1",
        "eq.\u{0}",
        "eq.１",
        "\u{fffd}",
        long.as_str(),
        list.as_str(),
        "eq.1e999",
        "gte.9999999-01-01",
        "in.((((",
        "is.null.null",
    ];
    for parameter in [
        "month", "arabica", "select", "order", "limit", "offset", "cursor", "format", "safe",
        "nothing", "month\"", "rowid", "t.month", "мonth",
    ] {
        for value in values {
            let answered =
                site.call(&key, &format!("{ROWS}?{}={}", escaped(parameter), escaped(value))).await;
            let problem_document = problem(&answered, 400, "parameter");
            assert!(
                !problem_document["parameter"].as_str().unwrap().is_empty()
                    && !problem_document["detail"].as_str().unwrap().is_empty(),
                "{parameter}={value}: {problem_document}"
            );
        }
    }
    for name in [
        "coffee_prices;",
        "Coffee_Prices",
        "coffee_prices--",
        "main.coffee_prices",
        "duckdb_tables",
        "sqlite_master",
        "pg_catalog.pg_tables",
        "\"coffee_prices\"",
        "coffee_prices%00",
        "..%2Frainfall",
        "../rainfall",
        "%F0%9F%92%A9",
    ] {
        for end in ["", "/rows", "/download"] {
            let answered = site.call(&key, &format!("/api/v1/tables/{name}{end}")).await;
            assert_eq!(
                answered.header("content-type"),
                "application/problem+json",
                "{name}: {answered:?}"
            );
            assert!(matches!(answered.status.as_u16(), 400 | 404), "{name}{end}: {answered:?}");
        }
    }
    let many: String = (0..60).map(|_| "&arabica=gte.1").collect();
    problem(&site.call(&key, &format!("{ROWS}?{}", &many[1..])).await, 400, "parameter");
    for path in
        ["?limit=1&limit=2", "?select=month,month", "?limit=1&offset=5&cursor=x", "?format=exe"]
    {
        problem(&site.call(&key, &format!("{ROWS}{path}")).await, 400, "parameter");
    }
    problem(&site.call(&key, "/api/v1/tables?x=1").await, 400, "parameter");
    problem(&site.call(&key, "/api/v1/nothing").await, 404, "not-found");
    problem(&site.call(&key, "/api/v1/dashboards/nothing").await, 404, "not-found");
    let posted =
        Request::builder().method(Method::POST).uri("/api/v1/tables").body(Body::empty()).unwrap();
    problem(&site.send(posted).await, 405, "method");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_names_every_served_table_and_column() {
    let site = Site::serving().await;
    let document = json(&site.get("/api/v1/openapi.json", None).await);
    assert_eq!(document["openapi"], "3.1.0");
    let pin = site.app.reader.pin().unwrap();
    for table in pin.catalog().await.unwrap().tables {
        for end in ["rows", "download"] {
            let parameters = document["paths"][format!("/api/v1/tables/{}/{end}", table.name)]["get"]["parameters"].as_array().unwrap();
            for column in &table.columns {
                assert!(
                    parameters.iter().any(|parameter| parameter["name"] == column.name),
                    "{}.{} in {end}",
                    table.name,
                    column.name
                );
            }
        }
    }
    let (_, routes) = crate::router::routes(&site.app).into_parts();
    let routes = routes.iter().filter_map(|route| route.path.strip_prefix("/api/v1/"));
    for route in routes.filter(|route| *route != "openapi.json") {
        let path = format!("/api/v1/{}", route.replace("{table}/", "rainfall/"));
        assert!(document["paths"].get(&path).is_some(), "{path} is not described");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_of_another_origin_reads_the_api_unless_it_was_named() {
    let site = Site::serving().await;
    let key = site.key("pro@example.test", KEY).await;
    let answered = site.call_with(&key, ROWS, &[("origin", "https://evil.example")]).await;
    assert!(answered.headers.get("access-control-allow-origin").is_none());

    let named = ["https://app.example".to_owned()];
    let router = axum::Router::new()
        .route("/", axum::routing::get(async || "rows"))
        .layer(crate::security::cors(&named));
    let from = async |method: Method, origin: &str| {
        let request = Request::builder()
            .method(method)
            .uri("/")
            .header("origin", origin)
            .header("access-control-request-method", "GET");
        let response =
            tower::ServiceExt::oneshot(router.clone(), request.body(Body::empty()).unwrap())
                .await
                .unwrap();
        let header = |name: &str| {
            response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
        };
        (header("access-control-allow-origin"), header("access-control-allow-credentials"))
    };
    for method in [Method::GET, Method::OPTIONS] {
        assert_eq!(
            from(method.clone(), "https://app.example").await,
            (Some("https://app.example".to_owned()), None)
        );
        assert_eq!(from(method, "https://evil.example").await, (None, None));
    }
}
