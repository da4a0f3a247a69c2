//! The site's log: enough to trace a request, and nothing that identifies its sender.

use crate::{support::Site, web::Web};

const CLIENTS: [&str; 2] = ["203.0.113.77", "2001:db8:77:1:2:3:4:5"];

fn between<'a>(text: &'a str, before: &str, after: char) -> &'a str {
    text.split_once(before)
        .unwrap_or_else(|| panic!("{before} is not in {text}"))
        .1
        .split(after)
        .next()
        .unwrap()
}

#[test]
fn the_log_identifies_requests_by_id_and_has_no_secrets_or_addresses() {
    let site = Site::small();
    site.ok(&["export", "-q"]);
    site.ok(&["users", "seed"]);
    let web = Web::start(
        &site,
        &[
            ("MATERIA_TRUSTED_PROXIES", "127.0.0.1"),
            ("RUST_LOG", "debug"),
            ("ADMIN_EMAILS", "admin@example.test,ada.secret@example.test"),
        ],
    );
    let [v4, v6] = CLIENTS.map(|client| format!("X-Forwarded-For: {client}\r\n"));
    let form = |head: &str| {
        format!(
            "{head}Sec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        )
    };
    let expect = |answer: String, status: &str| {
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        answer
    };
    // An email, its link, and the resulting session.
    expect(web.send("POST", "/auth/login", &form(&v6), "email=ada.secret%40example.test"), "200");
    let mailbox = web.get("/dev/mailbox", &v4);
    let token = between(&mailbox, "/auth/verify?token=", '"').split('&').next().unwrap().to_owned();
    assert!(token.len() >= 43, "{token}");
    expect(web.get(&format!("/auth/verify?token={token}"), &v4), "200");
    let signed_in =
        expect(web.send("POST", "/auth/verify", &form(&v4), &format!("token={token}")), "303");
    let cookie = between(&signed_in, "set-cookie: ", ';').to_owned();
    let session = cookie.split_once('=').unwrap().1.to_owned();
    // An API key and a call; a download; refusals and a missing page.
    let own = format!("{v6}Cookie: {cookie}\r\n");
    let made = expect(web.get("/auth/dev-login?email=pro@example.test", &v6), "303");
    let pro = between(&made, "set-cookie: ", ';').to_owned();
    let made = expect(
        web.send(
            "POST",
            "/settings/keys",
            &form(&format!("{v6}Cookie: {pro}\r\n")),
            "key-name=Excel",
        ),
        "201",
    );
    let key = format!("materia_{}", between(&made, "materia_", '<'));
    expect(web.get("/api/v1/tables", &format!("{v4}Authorization: Bearer {key}\r\n")), "200");
    expect(web.get("/api/v1/tables", &format!("{v4}Authorization: Bearer {key}x\r\n")), "401");
    expect(
        web.get("/tables/numbers/download?format=csv", &format!("{v4}Cookie: {pro}\r\n")),
        "200",
    );
    expect(web.get("/tables/numbers?id=gt.none&email=ada.secret@example.test", &own), "4");
    let missing = expect(web.get("/nowhere/at-all", &own), "404");
    let id = between(&missing, "x-request-id: ", '\r');

    let log = web.log();
    let hidden = [
        token.as_str(),
        &session,
        pro.split_once('=').unwrap().1,
        &key,
        &key[..24],
        "ada.secret",
        "example.test",
        "Excel",
    ];
    for secret in hidden.into_iter().chain(CLIENTS).chain(["203.0.113", "2001:db8:77"]) {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} is in the log: {line:?}");
    }
    assert!(!log.contains('@'), "{:?}", log.lines().find(|line| line.contains('@')));
    let mut responses = 0;
    for line in log.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        if line["message"] == "answered" {
            responses += 1;
            assert_eq!(line["span"]["id"].as_str().map(str::len), Some(16), "{line}");
        }
    }
    assert!(responses > 10 && log.contains(&format!("\"id\":\"{id}\"")), "{log}");
}

#[test]
fn dashboards_reload_on_sighup_and_the_log_names_mistakes() {
    let site = Site::small();
    site.ok(&["export", "-q"]);
    let dashboard = |title: &str, kind: &str| {
        let text = format!(
            "title = '{title}'\n[[panel]]\nkind = '{kind}'\ntitle = 'Rows'\nsql = 'SELECT count(*) AS n FROM numbers'\ny = 'n'\n"
        );
        std::fs::write(site.path("boards/mine.toml"), text).unwrap();
    };
    std::fs::create_dir(site.path("boards")).unwrap();
    dashboard("First", "stat");
    // As in production: nothing is reloaded automatically.
    let web = Web::start(&site, &[("MATERIA_DASHBOARDS", "boards"), ("DEBUG", "false")]);
    let reload_until_logged = |what: &str| {
        let process = rustix::process::Pid::from_child(&web.process);
        rustix::process::kill_process(process, rustix::process::Signal::HUP).unwrap();
        crate::support::eventually(what, || web.log().contains(what));
    };
    dashboard("Second", "stat");
    reload_until_logged("reloaded the dashboards");
    dashboard("Third", "pie");
    reload_until_logged("mine.toml:3");
    assert!(web.get("/health", "").starts_with("HTTP/1.1 200"), "it goes on");
}
