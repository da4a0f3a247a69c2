//! Limits of the site, tested with its own process: headers, bodies, excessive clients, and values
//! that could forge log lines.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::{
    support::{Site, eventually},
    web::{Web, ask},
};

fn served() -> Site {
    let site = Site::small();
    site.ok(&["export", "-q"]);
    site
}

fn status(answer: &str) -> &str {
    answer.split_whitespace().nth(1).unwrap_or_default()
}

#[test]
fn visitors_behind_a_proxy_that_writes_ports_are_limited_one_by_one() {
    let site = served();
    let web = Web::start(
        &site,
        &[("MATERIA_TRUSTED_PROXIES", "127.0.0.1"), ("MATERIA_REQUESTS_PER_MINUTE", "20")],
    );
    for client in 0..12 {
        let heads = [
            format!("X-Forwarded-For: 192.0.2.{client}:{}\r\n", 4_000 + client),
            format!("X-Forwarded-For: [2001:db8:{client}::1]:{}\r\n", 4_000 + client),
            format!("Forwarded: for=\"[2001:db8:f:{client}::1]:4711\";proto=https\r\n"),
        ];
        for head in heads {
            assert_eq!(status(&web.get("/", &head)), "200", "{head}");
        }
    }
    let unreadable: Vec<_> = (0..12)
        .map(|client| web.get("/", &format!("X-Forwarded-For: client-{client}.secret\r\n")))
        .collect();
    assert!(unreadable.iter().any(|answer| status(answer) == "429"), "they are limited together");
    let log = web.log();
    assert_eq!(log.matches("a form that is not understood").count(), 1, "{log}");
    assert!(!log.contains("secret"), "{log}");
}

#[test]
fn a_head_beyond_32_kb_is_refused_and_the_client_learns_why() {
    let site = served();
    let web = Web::start(&site, &[]);
    for (bytes, expected) in
        [(30_000, "200"), (33_000, "431"), (40_000, "431"), (60_000, "431"), (300_000, "431")]
    {
        for pieces in [1, 3] {
            let head = format!("X-Long: {}\r\n", "a".repeat(bytes / pieces)).repeat(pieces);
            assert_eq!(
                status(&web.get("/health", &head)),
                expected,
                "{bytes} bytes in {pieces} lines"
            );
        }
    }
}

#[test]
fn a_body_that_arrives_slowly_is_no_fault_of_the_accounts() {
    let site = served();
    let web = Web::start(&site, &[]);
    for path in ["/auth/login", "/auth/logout"] {
        let begun = Instant::now();
        let head = "Sec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n";
        let answer = ask(
            web.address,
            &format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\nemail="),
        )
        .unwrap();
        assert_eq!(status(&answer), "408", "{path}: {answer}");
        assert!(answer.contains("arrived too slowly"), "{answer}");
        assert!(begun.elapsed() < Duration::from_mins(1), "{path}");
    }
    assert!(!web.log().contains("accounts"), "{}", web.log());
}

#[test]
fn pages_that_wait_for_news_have_a_bounded_number_of_places_for_each_client() {
    let site = served();
    let web = Web::start(&site, &[("MATERIA_REQUESTS_PER_MINUTE", "0")]);
    let mut open = Vec::new();
    let refused = (0..200).any(|_| {
        let mut stream = TcpStream::connect(web.address).unwrap();
        stream.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        open.push(stream);
        head.ends_with(b"429")
    });
    assert!(refused, "one client has {} places", open.len());
    open.clear();
    eventually("the places are given back", || {
        let mut stream = TcpStream::connect(web.address).unwrap();
        stream.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        head.ends_with(b"200")
    });
}

#[test]
fn nothing_in_a_request_forges_or_appears_in_a_log_line() {
    let site = served();
    std::fs::create_dir(site.path("boards")).unwrap();
    let dashboard = "title = 'Mine'\n[[filter]]\nname = 'find'\nlabel = 'Find'\nkind = 'search'\ndefault = '1'\n\
                     [[panel]]\nkind = 'table'\ntitle = 'Rows'\nsql = 'SELECT CAST($find AS INTEGER) AS n'\n";
    std::fs::write(site.path("boards/mine.toml"), dashboard).unwrap();
    site.ok(&["users", "seed"]);
    for format in ["plain", "json"] {
        let web =
            Web::start(&site, &[("MATERIA_DASHBOARDS", "boards"), ("MATERIA_LOG_FORMAT", format)]);
        let signed_in = web.get("/auth/dev-login?email=pro@example.test", "");
        let cookie =
            signed_in.split_once("set-cookie: ").unwrap().1.split(';').next().unwrap().to_owned();
        let cookie = format!("Cookie: {cookie}\r\n");
        let forged = "x%27%0A2026-11-29T00:00:00Z%20%20INFO%20all%20is%20well%20ada%40secret.test";
        let answer = web.get(&format!("/dashboard/mine?find={forged}"), &cookie);
        assert_eq!(status(&answer), "200", "{answer}");
        eventually("the failed panel is in the log", || web.log().contains("a panel failed"));
        let log = web.log();
        assert!(!log.contains("all is well") && !log.contains("secret.test"), "{log}");
        for line in log.lines() {
            match format {
                "plain" => assert!(line.starts_with("20"), "a line of its own: {line}"),
                _ => {
                    assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
                    assert!(
                        line.matches("\"span\":").count() <= 1 && !line.contains("\"spans\":"),
                        "{line}"
                    );
                }
            }
        }
    }
}
