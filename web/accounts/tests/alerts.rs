//! Alerts on figures: once per crossing, to whoever asked, on whatever server.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::mpsc,
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, HeaderName, StatusCode};
use materia::{
    export::{self, ExportJob, NoProgress},
    plan::Plan,
    settings::Secret,
    store::AttemptOutcome,
};
use tempfile::TempDir;

use super::{
    Rig,
    browser::{Browser, Site, snapshots},
};
use crate::{
    accounts::{Actor, Scheme, billing::SigningSecrets},
    alerts, digests,
};

on_both_stores! {
    an_alert_is_sent_once_when_its_figure_crosses_the_threshold,
    a_digest_is_sent_when_it_is_due_with_pictures_and_plain_text,
    followers_of_a_dashboard_get_a_message_when_its_tables_change,
    an_alert_on_a_table_names_the_rows_and_a_webhook_gets_them_signed,
    alerts_pause_when_the_plan_ends_and_operators_see_all_of_them,
    a_webhook_that_does_not_answer_is_tried_again_and_its_owner_sees_why,
    an_alert_that_cannot_work_is_refused_with_what_to_do,
}

const DASHBOARD: &str = "
title = 'Warehouse'

[[filter]]
name = 'place'
label = 'Place'
kind = 'choice'
sql = \"SELECT DISTINCT place FROM stock ORDER BY place\"

[[panel]]
title = 'Bags in stock'
kind = 'stat'
sql = 'SELECT sum(bags) AS bags FROM stock WHERE place = $place'
y = 'bags'
unit = 'bags'
format = 'integer'

[[panel]]
title = 'Bags'
kind = 'bar'
sql = 'SELECT country, bags FROM stock ORDER BY country'
x = 'country'
y = 'bags'

[[panel]]
title = 'By country'
kind = 'table'
sql = 'SELECT country, bags, origin FROM stock ORDER BY country'
plan = 'starter'
";

/// A site with a small lakehouse of its own.
struct Warehouse {
    site: Site,
    _dashboards: TempDir,
}

impl Warehouse {
    async fn new() -> Self {
        let dashboards = tempfile::tempdir().unwrap();
        std::fs::write(dashboards.path().join("warehouse.toml"), DASHBOARD).unwrap();
        let folder = dashboards.path().display().to_string();
        let variables = [
            ("ADMIN_EMAILS", "admin@example.test"),
            ("DEBUG", "true"),
            ("MATERIA_DASHBOARDS", folder.as_str()),
        ];
        let rig = Rig::with(&variables).await;
        rig.accounts.seed().await.unwrap();
        let site = Site::over(rig);
        let warehouse = Self { site, _dashboards: dashboards };
        warehouse.publish(&[("Brazil", 90), ("Vietnam", 40)]);
        warehouse
    }

    /// Publishes these stocks, and waits until they are served.
    fn publish(&self, stocks: &[(&str, i64)]) {
        let rig = &self.site.rig;
        let rows: Vec<String> = stocks
            .iter()
            .map(|(country, bags)| format!("('{country}', {bags}, 'coffee', 'Antwerp')"))
            .collect();
        let lakehouse =
            duckdb::Connection::open(rig.folder.path().join("lakehouse.duckdb")).unwrap();
        lakehouse
            .execute_batch(&format!(
                "CREATE SCHEMA IF NOT EXISTS serving;
                 CREATE OR REPLACE TABLE serving.stock AS SELECT * FROM (VALUES {}) AS rows (country, bags, origin, place);",
                rows.join(", ")
            ))
            .unwrap();
        let before = self.site.app.reader.state().generation.map_or(0, |info| info.sequence);
        // No dashboard reads it, and it makes every generation a new one.
        lakehouse
            .execute_batch(&format!(
                "CREATE OR REPLACE TABLE serving.runs AS SELECT {before} AS run"
            ))
            .unwrap();
        drop(lakehouse);
        let mut job = ExportJob::new(&rig.settings).unwrap();
        job.force = true;
        let finished = export::export(&job, &mut NoProgress);
        assert_eq!(finished.record.outcome, AttemptOutcome::Published, "{:?}", finished.error);
        let deadline = Instant::now() + Duration::from_mins(1);
        while self.site.app.reader.state().generation.is_none_or(|info| info.sequence <= before) {
            assert!(Instant::now() < deadline, "the reader does not follow");
            let _ = self.site.app.reader.pin();
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Publishes, evaluates as after each generation, and returns the emails that were sent.
    async fn update(&self, stocks: &[(&str, i64)]) -> Vec<(String, String)> {
        let before = self.site.rig.accounts.mailbox().len();
        self.publish(stocks);
        alerts::evaluate_due(&self.site.app).await.unwrap();
        let mails = self.site.rig.accounts.mailbox();
        let sent = mails.len() - before;
        mails.into_iter().take(sent).map(|mail| (mail.subject, mail.text)).collect()
    }

    async fn create(
        &self,
        browser: &mut Browser,
        fields: &[(&str, &str)],
    ) -> super::browser::Answer {
        let page = ("page", "/dashboard/warehouse?place=Antwerp");
        browser.post("/home/alerts", &[&[page], fields].concat()).await
    }
}

const STAT: (&str, &str) = ("figure", "bags-in-stock|");
const COLUMN: (&str, &str) = ("figure", "by-country|bags");
const MAIL: (&str, &str) = ("mail", "yes");

async fn an_alert_is_sent_once_when_its_figure_crosses_the_threshold() {
    let warehouse = Warehouse::new().await;
    let mut browser = warehouse.site.signed_in("starter@example.test").await;
    let form = browser.get("/home/save?page=/dashboard/warehouse").await.main();
    for choice in ["bags-in-stock|", "by-country|bags"] {
        assert!(form.contains(&format!("value=\"{choice}\"")), "{choice}: {form}");
    }
    assert!(!form.contains("by-country|origin"), "a text is no figure: {form}");
    let below = [STAT, ("condition", "below"), ("threshold", "100"), MAIL];
    let created = warehouse.create(&mut browser, &below).await;
    assert_eq!(created.location(), "/home?done=alert", "{}", created.body);
    assert!(warehouse.update(&[("Brazil", 80), ("Vietnam", 40)]).await.is_empty(), "120 bags");
    let sent = warehouse.update(&[("Brazil", 50), ("Vietnam", 40)]).await;
    assert_eq!(sent.len(), 1, "{sent:?}");
    snapshots()
        .bind(|| insta::assert_snapshot!("mail_alert", format!("{}\n\n{}", sent[0].0, sent[0].1)));
    // Another server, and the same server again, have nothing to add.
    alerts::evaluate_due(&warehouse.site.app).await.unwrap();
    assert!(
        warehouse.update(&[("Brazil", 51), ("Vietnam", 40)]).await.is_empty(),
        "it is below still"
    );
    assert!(warehouse.update(&[("Brazil", 70), ("Vietnam", 40)]).await.is_empty());
    assert_eq!(warehouse.update(&[("Brazil", 10), ("Vietnam", 40)]).await.len(), 1, "and again");
    let home = browser.get("/home").await.main();
    assert!(home.contains("Bags in stock is below 100") && home.contains("last sent"), "{home}");
    let id = home.split("/home/alerts/").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let mut other = warehouse.site.signed_in("pro@example.test").await;
    for action in ["pause", "delete"] {
        let answer = other.post(&format!("/home/alerts/{id}/{action}"), &[("on", "yes")]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{action}: it is another customer's");
    }
    browser.post(&format!("/home/alerts/{id}/pause"), &[("on", "yes")]).await;
    assert!(warehouse.update(&[("Brazil", 99), ("Vietnam", 40)]).await.is_empty());
    assert!(warehouse.update(&[("Brazil", 1), ("Vietnam", 40)]).await.is_empty(), "it is paused");
    browser.post(&format!("/home/alerts/{id}/pause"), &[("on", "no")]).await;
    let mail = warehouse.site.rig.accounts.mailbox().remove(0);
    let address = mail.rich.unwrap().unsubscribe.unwrap();
    assert!(mail.text.contains(&address), "{}", mail.text);
    let token = address.split_once("/unsubscribe/alert/").unwrap().1.to_owned();
    assert!(token.starts_with(&id), "not the alert's address: {address}");
    // The webhook and the operators know the id, which is not enough; nor is the address of an
    // alert one of a digest.
    let off = "SELECT count(*) FROM alerts WHERE by_mail = 0 AND is_paused = 1";
    for forged in [
        format!("/unsubscribe/alert/{id}"),
        format!("/unsubscribe/alert/{id}.{}", "0".repeat(32)),
        format!("/unsubscribe/digest/{token}"),
    ] {
        let mut anybody = warehouse.site.browser();
        assert_eq!(anybody.get(&forged).await.status, StatusCode::NOT_FOUND, "{forged}");
        assert_eq!(anybody.post(&forged, &[]).await.status, StatusCode::NOT_FOUND, "{forged}");
    }
    assert_eq!(warehouse.site.rig.rows(off).await, 0);
    let path = format!("/unsubscribe/alert/{token}");
    assert_eq!(warehouse.site.browser().post(&path, &[]).await.status, StatusCode::OK);
    assert_eq!(warehouse.site.rig.rows(off).await, 1, "it is not sent any more");
    browser.post(&format!("/home/alerts/{id}/delete"), &[]).await;
    assert_eq!(warehouse.site.rig.rows("SELECT count(*) FROM alerts").await, 0);
}

async fn a_digest_is_sent_when_it_is_due_with_pictures_and_plain_text() {
    let warehouse = Warehouse::new().await;
    let rig = &warehouse.site.rig;
    let mut browser = warehouse.site.signed_in("starter@example.test").await;
    let form = [("page", "/dashboard/warehouse?place=Antwerp"), ("cadence", "weekly")];
    for _ in 0..2 {
        let subscribed = browser.post("/home/digests", &form).await;
        assert_eq!(subscribed.location(), "/home?done=digest#digests", "{}", subscribed.body);
    }
    assert_eq!(rig.rows("SELECT count(*) FROM digests").await, 1, "the same one once");
    let home = browser.get("/home").await.main();
    assert!(home.contains("March 2, 2026"), "the next Monday: {home}");
    let sent = rig.accounts.mailbox().len();
    // From Sunday at noon to a second before Monday, 06:00.
    rig.later(18 * 3_600 - 1);
    digests::send_due(&warehouse.site.app).await.unwrap();
    assert_eq!(rig.accounts.mailbox().len(), sent, "it is not due");
    rig.later(1);
    for _ in 0..2 {
        digests::send_due(&warehouse.site.app).await.unwrap();
    }
    assert_eq!(rig.accounts.mailbox().len(), sent + 1, "it is sent once");
    let mail = rig.accounts.mailbox().remove(0);
    assert_eq!(mail.to.as_str(), "starter@example.test");
    let rich = mail.rich.unwrap();
    let html = rich.html.clone().unwrap();
    let mut settings = snapshots();
    // The data is as old as the test.
    settings.add_filter(r"(January|February|March|April|May|June|July|August|September|October|November|December) \d+, \d+", "<day>");
    settings.bind(|| {
        insta::assert_snapshot!("mail_digest", format!("{}\n\n{}", mail.subject, mail.text));
        insta::assert_snapshot!("mail_digest_html", html.replace("><", ">\n<"));
    });
    assert_eq!(rich.images.len(), 1);
    let (name, png) = &rich.images[0];
    assert!(html.contains(&format!("src=\"cid:{name}\"")), "{html}");
    assert!(png.starts_with(b"\x89PNG"));
    let account =
        rig.accounts.account_of(&"starter@example.test".parse().unwrap()).await.unwrap().unwrap();
    rig.accounts.set_plan(&Actor::command_line(), &account.id, Plan::Free, "").await.unwrap();
    let sent = rig.accounts.mailbox().len();
    rig.later(7 * 86_400);
    digests::send_due(&warehouse.site.app).await.unwrap();
    assert_eq!(rig.accounts.mailbox().len(), sent, "the plan has ended");
    let digest = rig.accounts.digests(&account.id).await.unwrap().remove(0);
    assert!(digest.problem.contains("plan"), "{}", digest.problem);
    let mut other = warehouse.site.signed_in("pro@example.test").await;
    let ended = other.post(&format!("/home/digests/{}/delete", digest.id), &[]).await;
    assert_eq!(ended.status, StatusCode::NOT_FOUND, "it is another customer's");
    // The address in the email ends it, for a browser that is not signed in; opening it does not.
    let address = rich.unsubscribe.unwrap();
    let path =
        address.split_once("/unsubscribe").map(|(_, rest)| format!("/unsubscribe{rest}")).unwrap();
    assert!(mail.text.contains(&address) && html.contains(&address), "{}", mail.text);
    let mut anybody = warehouse.site.browser();
    let page = anybody.get(&path).await.main();
    assert!(page.contains(&format!("action=\"{path}\"")), "{page}");
    assert_eq!(rig.rows("SELECT count(*) FROM digests").await, 1);
    for _ in 0..2 {
        assert_eq!(anybody.post(&path, &[]).await.status, StatusCode::OK);
    }
    assert_eq!(rig.rows("SELECT count(*) FROM digests").await, 0);
}

async fn followers_of_a_dashboard_get_a_message_when_its_tables_change() {
    let warehouse = Warehouse::new().await;
    let mut browser = warehouse.site.signed_in("starter@example.test").await;
    let updated = [("figure", "|"), ("condition", "updated"), MAIL];
    let created = warehouse.create(&mut browser, &updated).await;
    assert_eq!(created.location(), "/home?done=alert", "{}", created.body);
    let same = [("Brazil", 90), ("Vietnam", 40)];
    assert!(warehouse.update(&same).await.is_empty(), "a new generation with the same data");
    let sent = warehouse.update(&[("Brazil", 90), ("Vietnam", 41)]).await;
    assert_eq!(sent.len(), 1, "{sent:?}");
    snapshots().bind(|| {
        insta::assert_snapshot!("mail_alert_update", format!("{}\n\n{}", sent[0].0, sent[0].1));
    });
}

/// Accepts one request, responds with this status, and returns its headers and body.
fn receiver(status: u16) -> (String, mpsc::Receiver<(HeaderMap, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, received) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut headers, mut line) = (HeaderMap::new(), String::new());
        reader.read_line(&mut line).unwrap();
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim().split_once(": ") else { break };
            headers.insert(HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        }
        let length = headers["content-length"].to_str().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        write!(stream, "HTTP/1.1 {status} Done\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .unwrap();
        sender.send((headers, String::from_utf8(body).unwrap())).unwrap();
    });
    (url, received)
}

async fn an_alert_on_a_table_names_the_rows_and_a_webhook_gets_them_signed() {
    let warehouse = Warehouse::new().await;
    let mut browser = warehouse.site.signed_in("starter@example.test").await;
    let (url, received) = receiver(204);
    let changes = [COLUMN, ("condition", "changes"), ("threshold", "10%"), MAIL, ("webhook", &url)];
    let created = warehouse.create(&mut browser, &changes).await;
    assert_eq!(created.location(), "/home?done=alert", "{}", created.body);
    let new_rows = [COLUMN, ("condition", "new_rows"), MAIL];
    assert_eq!(warehouse.create(&mut browser, &new_rows).await.location(), "/home?done=alert");
    let sent = warehouse.update(&[("Brazil", 120), ("Peru", 5), ("Vietnam", 41)]).await;
    let mut texts: Vec<String> =
        sent.iter().map(|(subject, text)| format!("{subject}\n\n{text}")).collect();
    texts.sort();
    snapshots().bind(|| insta::assert_snapshot!("mail_alert_table", texts.join("\n----\n")));
    alerts::deliver_due(&warehouse.site.app).await.unwrap();
    let (headers, body) = received.recv_timeout(Duration::from_mins(1)).unwrap();
    let secret = browser.get("/home").await.main();
    let secret = secret.split("whsec_").nth(1).unwrap().split('<').next().unwrap();
    let secrets =
        SigningSecrets { standard: Some(Secret::new(format!("whsec_{secret}"))), stripe: None };
    let now = warehouse.site.rig.accounts.now();
    let verified = secrets.verify(&headers, body.as_bytes(), now).unwrap();
    assert_eq!(verified.scheme, Scheme::Standard);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["type"], "alert.fired");
    let rows =
        serde_json::json!([{ "row": "Brazil", "value": 120.0, "shown": "120", "before": 90.0 }]);
    assert_eq!(body["data"]["rows"], rows, "{body}");
    assert_eq!(body["data"]["filters"], "Place: Antwerp");
    assert_eq!(warehouse.site.rig.rows("SELECT count(*) FROM deliveries").await, 0);
}

async fn alerts_pause_when_the_plan_ends_and_operators_see_all_of_them() {
    let warehouse = Warehouse::new().await;
    let rig = &warehouse.site.rig;
    let mut browser = warehouse.site.signed_in("starter@example.test").await;
    let above = [STAT, ("condition", "above"), ("threshold", "200"), MAIL];
    warehouse.create(&mut browser, &above).await;
    let id = rig
        .accounts
        .account_of(&"starter@example.test".parse().unwrap())
        .await
        .unwrap()
        .unwrap()
        .id;
    let actor = Actor::command_line();
    rig.accounts.set_plan(&actor, &id, Plan::Free, "").await.unwrap();
    assert!(warehouse.update(&[("Brazil", 300)]).await.is_empty(), "the plan has ended");
    let mut browser = warehouse.site.signed_in("starter@example.test").await;
    let home = browser.get("/home").await.main();
    assert!(home.contains("Paused: the plan no longer includes it"), "{home}");
    let mut admin = warehouse.site.signed_in("admin@example.test").await;
    let list = admin.get("/admin/alerts").await.main();
    for text in
        ["starter@example.test", "Bags in stock is above 200", "the plan no longer includes it"]
    {
        assert!(list.contains(text), "{text}: {list}");
    }
    rig.accounts.set_plan(&actor, &id, Plan::Starter, "").await.unwrap();
    let sent = warehouse.update(&[("Brazil", 301)]).await;
    assert_eq!(sent.len(), 1, "it resumes with the plan: {sent:?}");
    rig.accounts.suspend(&actor, &id, true, "").await.unwrap();
    warehouse.update(&[("Brazil", 10)]).await;
    assert!(warehouse.update(&[("Brazil", 302)]).await.is_empty(), "the account is suspended");
}

async fn a_webhook_that_does_not_answer_is_tried_again_and_its_owner_sees_why() {
    let warehouse = Warehouse::new().await;
    let rig = &warehouse.site.rig;
    let mut browser = warehouse.site.signed_in("pro@example.test").await;
    let (url, _received) = receiver(500);
    let hook = [STAT, ("condition", "above"), ("threshold", "200"), ("webhook", url.as_str())];
    let created = warehouse.create(&mut browser, &hook).await;
    assert_eq!(created.location(), "/home?done=alert", "{}", created.body);
    assert!(warehouse.update(&[("Brazil", 300)]).await.is_empty(), "no email was wanted");
    alerts::deliver_due(&warehouse.site.app).await.unwrap();
    let home = browser.get("/home").await.main();
    assert!(home.contains("tried again: it responded with status 500"), "{home}");
    // The receiver is gone. One attempt is made per delay, and after the last one it is given up.
    for delay in [60, 600, 3_600, 6 * 3_600, 24 * 3_600] {
        rig.later(delay - 1);
        alerts::deliver_due(&warehouse.site.app).await.unwrap();
        assert_eq!(rig.rows("SELECT count(*) FROM deliveries").await, 1, "before {delay} s");
        rig.later(1);
        alerts::deliver_due(&warehouse.site.app).await.unwrap();
    }
    assert_eq!(rig.rows("SELECT count(*) FROM deliveries").await, 0);
    let account =
        rig.accounts.account_of(&"pro@example.test".parse().unwrap()).await.unwrap().unwrap();
    let alert = rig.accounts.alerts(&account.id).await.unwrap().remove(0).alert;
    assert!(alert.problem.contains("given up"), "{}", alert.problem);
}

async fn an_alert_that_cannot_work_is_refused_with_what_to_do() {
    let warehouse = Warehouse::new().await;
    let mut browser = warehouse.site.signed_in("starter@example.test").await;
    let refusals: [(&[(&str, &str)], &str); 7] = [
        (&[STAT, ("condition", "above"), ("threshold", "many"), MAIL], "as a number"),
        (&[STAT, ("condition", "above"), ("threshold", "5%"), MAIL], "is for"),
        (&[STAT, ("condition", "changes"), ("threshold", "0"), MAIL], "larger than 0"),
        (&[STAT, ("condition", "new_rows"), MAIL], "has no rows"),
        (&[STAT, ("condition", "above"), ("threshold", "5")], "Choose email, a webhook, or both"),
        (&[STAT, ("condition", "above"), ("threshold", "5"), ("webhook", "ftp://x")], "https://"),
        (
            &[("figure", "nothing|"), ("condition", "above"), ("threshold", "5"), MAIL],
            "Choose a figure",
        ),
    ];
    for (fields, words) in refusals {
        let answer = warehouse.create(&mut browser, fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{fields:?}");
        assert!(answer.body.contains(words), "{words}: {}", answer.main());
    }
    let mut free = warehouse.site.signed_in("free@example.test").await;
    let above = [STAT, ("condition", "above"), ("threshold", "5"), MAIL];
    let answer = warehouse.create(&mut free, &above).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer.body.contains("See plans"), "{}", answer.main());
    assert_eq!(warehouse.site.rig.rows("SELECT count(*) FROM alerts").await, 0);
}
