//! `materia alert`, with a receiver on this machine.

use std::{fs, time::Duration};

use crate::{
    child::Actor,
    receiver::Receiver,
    screen::{self, Screen},
    support::{Ran, Site},
};

/// Looks once, with alerts sent to `receiver`.
fn look(site: &Site, receiver: &Receiver) -> Ran {
    Ran::of(&site.command(&["alert"]).env("ALERT_WEBHOOK_URL", receiver.url()).output().unwrap())
}

/// Looks once and returns what arrived, in a few words each.
fn told(site: &Site, receiver: &Receiver) -> Vec<String> {
    let ran = look(site, receiver);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let words = |body: &serde_json::Value| format!("{} {}", body["status"].as_str().unwrap(), body["condition"].as_str().unwrap());
    receiver.bodies().iter().map(words).collect()
}

/// Lets the cool-down pass.
fn an_hour_later(site: &Site) {
    let path = site.path("analytics.alerts.json");
    let mut state: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    for at in state["alerted"].as_object_mut().unwrap().values_mut() {
        let before: jiff::Timestamp = at.as_str().unwrap().parse().unwrap();
        *at = (before - Duration::from_hours(1)).to_string().into();
    }
    fs::write(path, state.to_string()).unwrap();
}

fn break_it(site: &Site) {
    site.change("CREATE OR REPLACE TABLE serving.numbers AS SELECT i AS id, i * 1.5 AS value FROM range(10) t(i)");
    assert_eq!(site.run(&["export", "-q"]).code, 3);
}

fn mend_it(site: &Site) {
    site.change("CREATE OR REPLACE TABLE serving.numbers AS SELECT i AS id, i * 1.5 AS value FROM range(1000) t(i)");
    site.ok(&["export", "-q"]);
}

#[test]
fn a_receiver_hears_once_of_every_edge_and_nothing_during_the_cool_down() {
    let (site, receiver) = (Site::small(), Receiver::answering(200));
    site.ok(&["export", "-q"]);
    assert!(told(&site, &receiver).is_empty(), "all is well");
    break_it(&site);
    assert_eq!(told(&site, &receiver), ["firing export_refused"]);
    assert!(told(&site, &receiver).is_empty());
    assert_eq!(site.run(&["export", "-q"]).code, 3);
    assert!(told(&site, &receiver).is_empty(), "refused again is no news");
    mend_it(&site);
    assert_eq!(told(&site, &receiver), ["resolved export_refused"]);
    break_it(&site);
    assert!(told(&site, &receiver).is_empty(), "within the cool-down");
    mend_it(&site);
    assert!(told(&site, &receiver).is_empty(), "what was not told needs no recovery");
    break_it(&site);
    assert!(told(&site, &receiver).is_empty(), "within the cool-down");
    an_hour_later(&site);
    assert_eq!(told(&site, &receiver), ["firing export_refused"]);
    mend_it(&site);
    assert_eq!(told(&site, &receiver), ["resolved export_refused"]);
}

#[test]
fn what_is_sent_is_read_by_people_and_machines() {
    let (site, receiver) = (Site::small(), Receiver::answering(200));
    site.settings("[brand]\nname = 'BeanFlows'");
    site.ok(&["export", "-q"]);
    break_it(&site);
    look(&site, &receiver);
    mend_it(&site);
    look(&site, &receiver);
    let bodies: Vec<_> = receiver
        .bodies()
        .into_iter()
        .map(|mut body| {
            // Its own time, which no other message has.
            let id = body["id"].take();
            let at: jiff::Timestamp = body["at"].as_str().unwrap().parse().unwrap();
            assert!(id.as_str().unwrap().ends_with(&at.as_millisecond().to_string()), "{id}");
            body["since"] = format!("{}_at", body["since"].as_str().unwrap()).into();
            assert!(body["since"].as_str().unwrap().starts_with("20"));
            body["since"] = "<since>".into();
            Screen::of(&site).veiled(body)
        })
        .collect();
    screen::settings().bind(|| insta::assert_json_snapshot!("json_alerts", bodies.iter().map(at_hidden).collect::<Vec<_>>()));
    let ran = Ran::of(&site.command(&["alert", "--test"]).env("ALERT_WEBHOOK_URL", receiver.url()).output().unwrap());
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "sent\n"));
    assert_eq!(receiver.bodies()[0]["text"], "[TEST] BeanFlows: test: alerts arrive here");
}

fn at_hidden(body: &serde_json::Value) -> serde_json::Value {
    let mut body = body.clone();
    body["at"] = "<at>".into();
    body
}

#[test]
fn a_receiver_that_is_down_misses_nothing_and_the_address_is_not_shown() {
    let site = Site::small();
    site.ok(&["export", "-q"]);
    let refusing = Receiver::answering(503);
    break_it(&site);
    let ran = look(&site, &refusing);
    assert!(ran.code == 1 && ran.stderr.contains("status 503; 1 message kept for the next time"), "{ran:#?}");
    let address = refusing.address;
    drop(refusing);
    mend_it(&site);
    let url = format!("http://{address}/hook");
    let ran = Ran::of(&site.command(&["alert"]).env("ALERT_WEBHOOK_URL", &url).output().unwrap());
    assert!(ran.code == 1 && ran.stderr.contains("2 messages kept") && !ran.stderr.contains("/hook"), "{ran:#?}");
    let receiver = Receiver::at(address, 200);
    assert_eq!(told(&site, &receiver), ["firing export_refused", "resolved export_refused"]);
    assert!(told(&site, &receiver).is_empty());
}

#[test]
fn values_that_were_much_revised_are_told_once_and_status_stays_healthy() {
    let (site, receiver) = (Site::small(), Receiver::answering(200));
    site.ok(&["export", "-q"]);
    site.change("UPDATE serving.numbers SET value = value + 1000");
    site.ok(&["export", "-q"]);
    look(&site, &receiver);
    let bodies = receiver.bodies();
    let text = bodies[0]["text"].as_str().unwrap();
    assert!(bodies.len() == 1 && text.contains("numbers has 1,000 of 1,000 rows revised (compared by id)"), "{bodies:?}");
    assert!(text.contains("largest: value "), "{text}");
    assert!(told(&site, &receiver).is_empty());
    site.ok(&["status"]);
    site.change("UPDATE serving.numbers SET value = 7 WHERE id = 1");
    site.ok(&["export", "-q"]);
    assert_eq!(told(&site, &receiver), ["resolved data_revised"]);
}

#[test]
fn the_heart_beats_only_while_all_is_well() {
    let (site, receiver) = (Site::small(), Receiver::answering(200));
    let beats = |code: i32| {
        let ran = Ran::of(&site.command(&["alert"]).env("HEARTBEAT_URL", receiver.url()).output().unwrap());
        assert_eq!(ran.code, code, "{ran:#?}");
        receiver.beats()
    };
    assert_eq!(beats(0), 0, "nothing is served");
    site.ok(&["export", "-q"]);
    assert_eq!((beats(0), beats(0)), (1, 1));
    break_it(&site);
    assert_eq!(beats(0), 0);
    mend_it(&site);
    drop(receiver);
    let ran = Ran::of(&site.command(&["alert"]).env("HEARTBEAT_URL", "http://127.0.0.1:1/").output().unwrap());
    assert!(ran.code == 1 && ran.stderr.contains("HEARTBEAT_URL cannot be reached"), "{ran:#?}");
}

#[test]
fn everything_that_can_be_wrong_is_alerted_and_status_tells_the_same() {
    let (site, receiver) = (Site::small(), Receiver::answering(200));
    let same = |told: &[String]| {
        let status = site.run(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
        assert_eq!(status["problems"].as_array().unwrap().len(), told.len(), "{status:#}");
    };
    let first = told(&site, &receiver);
    assert_eq!(first, ["firing not_served"]);
    same(&first);
    site.ok(&["export", "-q"]);
    assert_eq!(told(&site, &receiver), ["resolved not_served"]);

    site.settings(
        "[status]\nmax_age = '0s'\n[alerts]\nlakehouse_held = '0s'\n[pipelines.extract]\ncommand = ['false']\n[pipelines.fine]\ncommand = ['true']",
    );
    assert_eq!(site.run(&["pipeline", "run", "extract", "fine"]).code, 1);
    // As much as the next export would need is not there.
    let history = fs::read_to_string(site.path("analytics.history.jsonl")).unwrap();
    let bytes = site.history()[0]["bytes"].as_u64().unwrap();
    let full = history.replace(&format!("\"bytes\":{bytes},\"tables\""), "\"bytes\":9000000000000000,\"tables\"");
    assert_ne!(history, full);
    fs::write(site.path("analytics.history.jsonl"), full).unwrap();
    let writer = Actor::start("writer", &site.lakehouse());
    let ran = site.run(&["export", "-q", "--wait", "0s"]);
    assert_eq!(ran.code, 4, "{ran:#?}");
    // That it is held is seen once before it can have been for too long.
    let mut all = told(&site, &receiver);
    all.extend(told(&site, &receiver));
    all.sort();
    let conditions = ["disk_nearly_full", "export_failed", "lakehouse_held", "pipeline_failed:extract", "stale"];
    assert_eq!(all, conditions.map(|condition| format!("firing {condition}")));
    same(&all);
    writer.end();
    fs::write(site.path("analytics.history.jsonl"), history).unwrap();
    site.settings("[pipelines.extract]\ncommand = ['true']");
    site.ok(&["pipeline", "run", "--all", "-q"]);
    let mut over = told(&site, &receiver);
    over.sort();
    assert_eq!(over, conditions.map(|condition| format!("resolved {condition}")));
}

#[test]
fn without_a_receiver_news_are_printed_once() {
    let site = Site::small();
    let shows = |name: &str, args: &[&str]| {
        let ran = site.run(args);
        screen::settings().bind(|| insta::assert_snapshot!(name, Screen::of(&site).show(args, &ran)));
    };
    shows("alert_new", &["alert"]);
    shows("alert_known", &["alert"]);
    site.ok(&["export", "-q"]);
    shows("alert_well", &["alert"]);
    shows("alert_nobody", &["alert", "--test"]);
}
