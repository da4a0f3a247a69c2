//! `materia alert`, with a local receiver.

use std::{fs, time::Duration};

use crate::{
    child::Actor,
    http_receiver::Receiver,
    normalized_output::{self, Screen},
    support::{Ran, Site},
};

/// Runs one check, with alerts sent to `receiver`.
fn look(site: &Site, receiver: &Receiver) -> Ran {
    Ran::of(&site.command(&["alert"]).env("ALERT_WEBHOOK_URL", receiver.url()).output().unwrap())
}

/// Runs one check and returns a summary of the received messages.
fn messages(site: &Site, receiver: &Receiver) -> Vec<String> {
    let ran = look(site, receiver);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let words = |body: &serde_json::Value| {
        format!("{} {}", body["status"].as_str().unwrap(), body["condition"].as_str().unwrap())
    };
    receiver.bodies().iter().map(words).collect()
}

/// Lets the cool-down expire.
fn an_hour_later(site: &Site) {
    let path = site.path("analytics.alerts.json");
    let mut state: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
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

fn fix_it(site: &Site) {
    site.change("CREATE OR REPLACE TABLE serving.numbers AS SELECT i AS id, i * 1.5 AS value FROM range(1000) t(i)");
    site.ok(&["export", "-q"]);
}

#[test]
fn a_receiver_hears_once_of_every_edge_and_nothing_during_the_cool_down() {
    let (site, receiver) = (Site::small(), Receiver::answering(200));
    site.ok(&["export", "-q"]);
    assert!(messages(&site, &receiver).is_empty(), "all is well");
    break_it(&site);
    assert_eq!(messages(&site, &receiver), ["firing export_refused"]);
    assert!(messages(&site, &receiver).is_empty());
    assert_eq!(site.run(&["export", "-q"]).code, 3);
    assert!(messages(&site, &receiver).is_empty(), "refused again is no news");
    fix_it(&site);
    assert_eq!(messages(&site, &receiver), ["resolved export_refused"]);
    break_it(&site);
    assert!(messages(&site, &receiver).is_empty(), "within the cool-down");
    fix_it(&site);
    assert!(messages(&site, &receiver).is_empty(), "what was not sent needs no recovery");
    break_it(&site);
    assert!(messages(&site, &receiver).is_empty(), "within the cool-down");
    an_hour_later(&site);
    assert_eq!(messages(&site, &receiver), ["firing export_refused"]);
    fix_it(&site);
    assert_eq!(messages(&site, &receiver), ["resolved export_refused"]);
}

#[test]
fn what_is_sent_is_read_by_people_and_machines() {
    let (site, receiver) = (Site::small(), Receiver::answering(200));
    site.settings("[brand]\nname = 'BeanFlows'");
    site.ok(&["export", "-q"]);
    break_it(&site);
    look(&site, &receiver);
    fix_it(&site);
    look(&site, &receiver);
    let bodies: Vec<_> = receiver
        .bodies()
        .into_iter()
        .map(|mut body| {
            // The time and id are unique to each message.
            let id = body["id"].take();
            let at: jiff::Timestamp = body["at"].as_str().unwrap().parse().unwrap();
            assert!(id.as_str().unwrap().ends_with(&at.as_millisecond().to_string()), "{id}");
            body["since"] = format!("{}_at", body["since"].as_str().unwrap()).into();
            assert!(body["since"].as_str().unwrap().starts_with("20"));
            body["since"] = "<since>".into();
            Screen::of(&site).veiled(body)
        })
        .collect();
    normalized_output::settings().bind(|| {
        insta::assert_json_snapshot!(
            "json_alerts",
            bodies.iter().map(at_hidden).collect::<Vec<_>>()
        );
    });
    let ran = Ran::of(
        &site
            .command(&["alert", "--test"])
            .env("ALERT_WEBHOOK_URL", receiver.url())
            .output()
            .unwrap(),
    );
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
    assert!(
        ran.code == 1
            && ran.stderr.contains("status 503; 1 message will be retried by the next run"),
        "{ran:#?}"
    );
    let address = refusing.address;
    drop(refusing);
    fix_it(&site);
    let url = format!("http://{address}/hook");
    let ran = Ran::of(&site.command(&["alert"]).env("ALERT_WEBHOOK_URL", &url).output().unwrap());
    assert!(
        ran.code == 1
            && ran.stderr.contains("2 messages will be retried")
            && !ran.stderr.contains("/hook"),
        "{ran:#?}"
    );
    let receiver = Receiver::at(address, 200);
    assert_eq!(messages(&site, &receiver), ["firing export_refused", "resolved export_refused"]);
    assert!(messages(&site, &receiver).is_empty());
}

#[test]
fn many_revised_values_are_alerted_once_and_status_stays_healthy() {
    let (site, receiver) = (Site::small(), Receiver::answering(200));
    site.ok(&["export", "-q"]);
    site.change("UPDATE serving.numbers SET value = value + 1000");
    site.ok(&["export", "-q"]);
    look(&site, &receiver);
    let bodies = receiver.bodies();
    let text = bodies[0]["text"].as_str().unwrap();
    assert!(
        bodies.len() == 1
            && text.contains("numbers has 1,000 of 1,000 rows revised (compared by id)"),
        "{bodies:?}"
    );
    assert!(text.contains("largest: value "), "{text}");
    assert!(messages(&site, &receiver).is_empty());
    site.ok(&["status"]);
    site.change("UPDATE serving.numbers SET value = 7 WHERE id = 1");
    site.ok(&["export", "-q"]);
    assert_eq!(messages(&site, &receiver), ["resolved data_revised"]);
}

#[test]
fn the_heart_beats_only_while_all_is_well() {
    let (site, receiver) = (Site::small(), Receiver::answering(200));
    let beats = |code: i32| {
        let ran = Ran::of(
            &site.command(&["alert"]).env("HEARTBEAT_URL", receiver.url()).output().unwrap(),
        );
        assert_eq!(ran.code, code, "{ran:#?}");
        receiver.beats()
    };
    assert_eq!(beats(0), 0, "nothing is served");
    site.ok(&["export", "-q"]);
    assert_eq!((beats(0), beats(0)), (1, 1));
    break_it(&site);
    assert_eq!(beats(0), 0);
    fix_it(&site);
    drop(receiver);
    let ran = Ran::of(
        &site.command(&["alert"]).env("HEARTBEAT_URL", "http://127.0.0.1:1/").output().unwrap(),
    );
    assert!(ran.code == 1 && ran.stderr.contains("HEARTBEAT_URL cannot be reached"), "{ran:#?}");
}

/// Moves the first failed delivery into the past.
fn minutes_later(site: &Site, minutes: u64) {
    let path = site.path("analytics.alerts.json");
    let mut state: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let since: jiff::Timestamp = state["undelivered"]["since"].as_str().unwrap().parse().unwrap();
    state["undelivered"]["since"] = (since - Duration::from_mins(minutes)).to_string().into();
    fs::write(path, state.to_string()).unwrap();
}

#[test]
fn one_failed_message_does_not_stop_the_heartbeat_but_a_dead_receiver_does() {
    let (site, heart) = (Site::small(), Receiver::answering(200));
    site.ok(&["export", "-q"]);
    let receiver = Receiver::answering(200);
    let url = receiver.url();
    let check = || {
        let mut command = site.command(&["alert"]);
        command.env("ALERT_WEBHOOK_URL", &url).env("HEARTBEAT_URL", heart.url());
        (Ran::of(&command.output().unwrap()), heart.beats())
    };
    break_it(&site);
    assert_eq!((check().0.code, receiver.bodies().len()), (0, 1));
    let address = receiver.address;
    drop(receiver);
    fix_it(&site);
    let (ran, beats) = check();
    assert!(ran.code == 1 && ran.stderr.contains("1 message will be retried"), "{ran:#?}");
    assert_eq!(beats, 1, "one message that waits is no reason");
    site.ok(&["status"]);
    minutes_later(&site, 11);
    let (ran, beats) = check();
    assert_eq!((ran.code, beats), (1, 0), "{ran:#?}");
    let status = site.run(&["status"]);
    assert!(
        status.code == 1
            && status.stdout.contains("alerts have not been delivered for 11 min")
            && status.stdout.contains("2 messages waiting"),
        "{status:#?}"
    );
    let receiver = Receiver::at(address, 200);
    let (ran, _) = check();
    assert_eq!(ran.code, 0, "{ran:#?}");
    let (ran, beats) = check();
    assert_eq!((ran.code, beats), (0, 1), "{ran:#?}");
    let deliveries: Vec<_> = receiver
        .bodies()
        .iter()
        .map(|body| format!("{} {}", body["status"], body["condition"]).replace('"', ""))
        .collect();
    assert_eq!(
        deliveries,
        ["resolved export_refused", "firing webhook_failing", "resolved webhook_failing"]
    );
}

#[test]
fn an_incident_that_ends_within_the_cool_down_is_reported_after_it() {
    let (site, receiver) = (Site::small(), Receiver::answering(200));
    site.ok(&["export", "-q"]);
    break_it(&site);
    assert_eq!(messages(&site, &receiver), ["firing export_refused"]);
    fix_it(&site);
    assert_eq!(messages(&site, &receiver), ["resolved export_refused"]);
    break_it(&site);
    assert!(messages(&site, &receiver).is_empty(), "within the cool-down");
    fix_it(&site);
    assert!(messages(&site, &receiver).is_empty(), "within the cool-down");
    an_hour_later(&site);
    look(&site, &receiver);
    let bodies = receiver.bodies();
    assert!(
        bodies.len() == 1
            && bodies[0]["status"] == "resolved"
            && bodies[0]["message"].as_str().unwrap().ends_with("UTC, within the cool-down)"),
        "{bodies:?}"
    );
    assert!(messages(&site, &receiver).is_empty());
}

#[test]
fn every_condition_is_alerted_and_status_agrees() {
    let (site, receiver) = (Site::small(), Receiver::answering(200));
    let same = |sent: &[String]| {
        let status = site.run(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
        assert_eq!(status["problems"].as_array().unwrap().len(), sent.len(), "{status:#}");
    };
    let first = messages(&site, &receiver);
    assert_eq!(first, ["firing not_served"]);
    same(&first);
    site.ok(&["export", "-q"]);
    assert_eq!(messages(&site, &receiver), ["resolved not_served"]);

    site.settings(
        "[status]\nmax_age = '0s'\n[alerts]\nlakehouse_held = '0s'\n[pipelines.extract]\ncommand = ['false']\n[pipelines.fine]\ncommand = ['true']",
    );
    assert_eq!(site.run(&["pipeline", "run", "extract", "fine"]).code, 1);
    // Reports that less space is available than the next export would need.
    let history = fs::read_to_string(site.path("analytics.history.jsonl")).unwrap();
    let bytes = site.history()[0]["bytes"].as_u64().unwrap();
    let full = history
        .replace(&format!("\"bytes\":{bytes},\"tables\""), "\"bytes\":9000000000000000,\"tables\"");
    assert_ne!(history, full);
    fs::write(site.path("analytics.history.jsonl"), full).unwrap();
    let writer = Actor::start("writer", &site.lakehouse());
    let ran = site.run(&["export", "-q", "--wait", "0s"]);
    assert_eq!(ran.code, 4, "{ran:#?}");
    // The holder must be observed once before it can have held the lakehouse for too long.
    let mut all = messages(&site, &receiver);
    all.extend(messages(&site, &receiver));
    all.sort();
    let conditions =
        ["disk_nearly_full", "export_failed", "lakehouse_held", "pipeline_failed:extract", "stale"];
    assert_eq!(all, conditions.map(|condition| format!("firing {condition}")));
    same(&all);
    writer.end();
    fs::write(site.path("analytics.history.jsonl"), history).unwrap();
    site.settings("[pipelines.extract]\ncommand = ['true']");
    site.ok(&["pipeline", "run", "--all", "-q"]);
    let mut over = messages(&site, &receiver);
    over.sort();
    assert_eq!(over, conditions.map(|condition| format!("resolved {condition}")));
}

#[test]
fn without_a_receiver_news_are_printed_once() {
    let site = Site::small();
    let shows = |name: &str, args: &[&str]| {
        let ran = site.run(args);
        normalized_output::settings()
            .bind(|| insta::assert_snapshot!(name, Screen::of(&site).show(args, &ran)));
    };
    shows("alert_new", &["alert"]);
    shows("alert_known", &["alert"]);
    site.ok(&["export", "-q"]);
    shows("alert_well", &["alert"]);
    shows("alert_nobody", &["alert", "--test"]);
}
