//! A lake whose PostgreSQL or storage becomes unavailable: it refuses connections, or accepts them
//! and never responds.
//!
//! `MATERIA_TEST_LAKE_AWAY` is the duration in seconds, which is short by default.

use std::{
    net::SocketAddr,
    process::Command,
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use crate::{
    lake_deployment::Deployment,
    postgres_server::PASSWORD,
    s3::SECRET,
    servers::{Answer, Server},
    support::{Ran, eventually},
    tcp_proxy::Wire,
    web::free_address,
};

/// Maximum time for pages that need nothing unavailable.
const PROMPT_TIMEOUT: Duration = Duration::from_secs(20);
/// Maximum time for any response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum time until an export fails.
const LONGEST_EXPORT: Duration = Duration::from_secs(90);

fn away() -> Duration {
    Duration::from_secs(
        std::env::var("MATERIA_TEST_LAKE_AWAY").map_or(4, |text| text.parse().unwrap()),
    )
}

type Cut = fn(&mut Wire);

/// The ways in which a server becomes unavailable.
const WAYS: [(&str, Cut); 2] = [("refuses", Wire::refuse), ("hangs", Wire::hang)];

fn get(server: &Server, path: &str, credentials: &str) -> (Answer, Duration) {
    let begun = Instant::now();
    let lines = if credentials.is_empty() { String::new() } else { format!("{credentials}\r\n") };
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {0}\r\nConnection: close\r\nAccept: */*\r\n{lines}\r\n",
        server.address
    );
    let text =
        crate::web::ask(server.address, &head).unwrap_or_else(|| panic!("{path}: no answer"));
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {text:?}"));
    let answer = Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    };
    assert!(answer.is_whole(), "{path}: {answer:?}");
    (answer, begun.elapsed())
}

/// A client of a server whose current generation has not been queried yet.
struct Visitor {
    server: Server,
    cookie: String,
    key: String,
}

impl Visitor {
    fn come(deployment: &Deployment) -> Self {
        let server = deployment.server(free_address());
        let cookie = server.sign_in("pro@example.test");
        let key = server.make_key(&cookie);
        Self { server, cookie, key }
    }

    fn page(&self, path: &str) -> (Answer, Duration) {
        get(&self.server, path, &self.cookie)
    }

    fn call(&self, path: &str) -> (Answer, Duration) {
        get(&self.server, path, &self.key)
    }

    /// Expects a prompt and correct response.
    fn has(&self, path: &str) {
        let (answer, took) =
            if path.starts_with("/api/") { self.call(path) } else { self.page(path) };
        assert!(answer.status == 200 && took < PROMPT_TIMEOUT, "{path} after {took:?}: {answer:?}");
    }

    /// Publishes run `run`, and waits until the server serves it.
    fn follows(&self, deployment: &Deployment, run: i64) {
        deployment.site.begin_run(run);
        let ran = deployment.run(&["export"]);
        assert_eq!(ran.code, 0, "{ran:#?}");
        let generation = serde_json::from_str::<serde_json::Value>(
            &deployment.run(&["status", "--json"]).stdout,
        )
        .unwrap();
        let generation = generation["generation"].as_str().unwrap().to_owned();
        eventually("the server follows", || {
            get(&self.server, "/ready", "").0.body.contains(&generation)
        });
    }
}

/// Checks that a text contains no secrets, since messages with reasons are public.
fn keeps_secrets(text: &str) {
    assert!(!text.contains(PASSWORD) && !text.contains(SECRET), "a secret: {text}");
}

/// Checks that customers see the kind of problem but no internal addresses.
fn keeps_addresses(deployment: &Deployment, answer: &Answer) {
    let ports = [&deployment.to_catalog, &deployment.to_accounts, &deployment.to_storage]
        .map(|wire| wire.port().to_string());
    assert!(
        !ports.iter().any(|port| answer.body.contains(port)) && !answer.body.contains("s3://"),
        "{answer:?}"
    );
}

fn fails_and_names(deployment: &Deployment, what: &[&str]) -> Ran {
    let begun = Instant::now();
    let ran = deployment.run(&["export"]);
    println!("  the export took {:?}: {}", begun.elapsed(), ran.stderr.trim());
    assert!(
        ran.code == 1 && begun.elapsed() < LONGEST_EXPORT,
        "after {:?}: {ran:#?}",
        begun.elapsed()
    );
    assert!(what.iter().any(|what| ran.stderr.contains(what)), "{ran:#?}");
    keeps_secrets(&ran.stderr);
    ran
}

#[test]
fn during_a_catalog_outage_the_pinned_generation_is_served_and_recovery_is_noticed() {
    let Some(mut deployment) = Deployment::start() else { return };
    let visitor = Visitor::come(&deployment);
    for (run, (how, cut)) in (2..).zip(WAYS) {
        println!("{how}");
        visitor.follows(&deployment, run);
        cut(&mut deployment.to_catalog);
        let since = Instant::now();
        for number in 0.. {
            visitor.has("/");
            visitor.has("/dashboard/runs");
            // Not queried before, so it is read from the storage with the frozen catalog.
            visitor.has(&format!("/api/v1/tables/orders/rows?limit=3&offset={number}"));
            sleep(Duration::from_millis(100));
            if since.elapsed() > away() {
                break;
            }
        }
        eventually("operators are told", || {
            let (ready, _) = get(&visitor.server, "/ready", "");
            ready.status == 200 && ready.body.contains("cannot be reached")
        });
        let status = deployment.run(&["status"]);
        println!("  status: {} {}", status.stdout, status.stderr);
        let message = format!("{}{}", status.stdout, status.stderr);
        assert!(status.code == 1 && message.contains("cannot be reached"), "{status:#?}");
        keeps_secrets(&message);
        deployment.site.begin_run(run + 100);
        fails_and_names(&deployment, &[&format!("port={}", deployment.to_catalog.port())]);
        assert_eq!(
            visitor
                .page("/dashboard/runs")
                .0
                .body
                .matches(&format!("<span class=\"value\">{run}<"))
                .count(),
            3
        );

        deployment.to_catalog.restore();
        let since = Instant::now();
        eventually("it is well again", || {
            get(&visitor.server, "/ready", "").0.body.contains("\"problem\":null")
        });
        println!("  well again after {:?}", since.elapsed());
        visitor.follows(&deployment, run + 200);
        assert_eq!(
            visitor
                .page("/dashboard/runs")
                .0
                .body
                .matches(&format!("<span class=\"value\">{}<", run + 200))
                .count(),
            3
        );
    }
    keeps_secrets(&deployment.log());
}

#[test]
fn during_a_storage_outage_cached_results_are_served_and_other_requests_fail_in_time_with_the_reason()
 {
    let Some(mut deployment) = Deployment::start() else { return };
    for (run, (how, cut)) in (2..).zip(WAYS) {
        println!("{how}");
        // A server of its own: one renders what was requested before ahead of an update.
        let visitor = Visitor::come(&deployment);
        visitor.follows(&deployment, run);
        let before = ["/tables/customers", "/api/v1/tables/customers/rows?limit=3", "/methodology"];
        let has_those = || {
            for path in before {
                visitor.has(path);
            }
        };
        has_those();
        cut(&mut deployment.to_storage);
        let since = Instant::now();
        scope(|scope| {
            for number in 0..12 {
                let (visitor, deployment) = (&visitor, &deployment);
                scope.spawn(move || {
                    while since.elapsed() < away() {
                        let offset = format!("/api/v1/tables/orders/rows?limit=3&offset={number}");
                        let (answer, took) = match number % 3 {
                            0 => visitor.page("/dashboard/runs"),
                            1 => visitor.page("/tables/orders"),
                            _ => visitor.call(&offset),
                        };
                        assert!(
                            answer.status == 503 && took < RESPONSE_TIMEOUT,
                            "after {took:?}: {answer:?}"
                        );
                        assert!(answer.header("retry-after").is_some(), "{answer:?}");
                        assert!(answer.body.contains("Its storage does not respond"), "{answer:?}");
                        let kind = if number % 3 == 2 {
                            "application/problem+json"
                        } else {
                            "text/html; charset=utf-8"
                        };
                        assert_eq!(answer.header("content-type"), Some(kind));
                        keeps_addresses(deployment, &answer);
                    }
                });
            }
            scope.spawn(|| {
                while since.elapsed() < away() {
                    has_those();
                    sleep(Duration::from_millis(100));
                }
            });
        });
        let (front, _) = get(&visitor.server, "/", "");
        // With the figures that are available.
        assert!(
            front.status == 200 && front.body.matches("class=\"value\"").count() < 3,
            "{front:?}"
        );
        deployment.site.begin_run(run + 100);
        let ran = fails_and_names(
            &deployment,
            &["s3://lake/data/", &format!("127.0.0.1:{}", deployment.to_storage.port())],
        );
        let history = deployment.run(&["history", "--json"]);
        let last: serde_json::Value =
            serde_json::from_str(history.stdout.lines().next().unwrap_or_default())
                .unwrap_or_else(|_| panic!("{history:#?}"));
        println!("  {last}");
        assert_eq!(last["outcome"], "failed", "{ran:#?} {history:#?}");
        keeps_secrets(&history.stdout);

        deployment.to_storage.restore();
        let since = Instant::now();
        eventually("it is well again", || visitor.page("/dashboard/runs").0.status == 200);
        println!("  well again after {:?}", since.elapsed());
        let (front, _) = get(&visitor.server, "/", "");
        assert_eq!(
            front.body.matches("class=\"value\"").count(),
            3,
            "the front page has its figures again: {front:?}"
        );
        visitor.has("/tables/orders");
        visitor.follows(&deployment, run + 200);
        assert_eq!(
            visitor
                .page("/dashboard/runs")
                .0
                .body
                .matches(&format!("<span class=\"value\">{}<", run + 200))
                .count(),
            3
        );
    }
    keeps_secrets(&deployment.log());
}

#[test]
fn a_server_stops_on_request_while_postgresql_and_the_storage_hang() {
    let Some(mut deployment) = Deployment::start() else { return };
    let mut visitor = Visitor::come(&deployment);
    deployment.to_catalog.hang();
    deployment.to_storage.hang();
    let (address, key) = (visitor.server.address, visitor.key.clone());
    scope(|scope| {
        for number in 0..8 {
            let key = &key;
            scope.spawn(move || {
                ask_and_go(
                    address,
                    &format!("/api/v1/tables/orders/rows?select=value&offset={number}"),
                    key,
                );
            });
        }
        // Queries wait for the storage, and the follower for the catalog.
        sleep(Duration::from_secs(2));
        deployment.to_accounts.hang();
        let signaled = Command::new("kill")
            .arg("-TERM")
            .arg(visitor.server.process.id().to_string())
            .status()
            .unwrap();
        assert!(signaled.success());
        let since = Instant::now();
        let ended = loop {
            match visitor.server.process.try_wait().unwrap() {
                Some(ended) => break ended,
                None => assert!(since.elapsed() < Duration::from_mins(1), "it does not end"),
            }
            sleep(Duration::from_millis(20));
        };
        println!("ended after {:?}: {ended}", since.elapsed());
        assert!(!deployment.log().contains("stopped without answering"), "{}", deployment.log());
        assert!(ended.success(), "{ended}: {}", deployment.log());
    });
}

fn ask_and_go(address: SocketAddr, path: &str, key: &str) {
    let _ = crate::web::ask(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{key}\r\n\r\n"),
    );
}
