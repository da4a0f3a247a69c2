//! The exporter's metrics, as parsed by Prometheus.

#![allow(clippy::float_cmp, reason = "what was written is what is read")]

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use jiff::Timestamp;

use crate::{
    postgres_endpoint::Endpoint,
    support::{Ran, Site},
    web::{Web, ask, free_address},
};

/// Parses Prometheus' text format into samples by name and labels. Anything else in the text is an
/// error.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
        let plain = name.split('{').next().unwrap();
        assert!(plain.chars().all(|char| char.is_ascii_lowercase() || char == '_'), "{line}");
        assert!(text.contains(&format!("# TYPE {plain} ")), "{line}");
        assert!(samples.insert(name.to_owned(), value.parse().unwrap()).is_none(), "twice: {line}");
    }
    samples
}

/// Checks the text with Prometheus' own tool, if it is installed.
fn assert_promtool_accepts(text: &str) {
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = started else {
        println!("promtool is not there: only what this test reads by itself is checked");
        return;
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let ran = Ran::of(&promtool.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""));
}

#[test]
fn every_attempt_leaves_metrics_that_prometheus_reads_and_a_failed_one_tells_what_is_still_served()
{
    let site = Site::small();
    site.settings("[export]\nmetrics_file = 'materia_export.prom'");
    let read = || {
        let text = fs::read_to_string(site.path("materia_export.prom")).unwrap();
        assert_promtool_accepts(&text);
        samples(&text)
    };
    let now = |value: f64| {
        assert!(
            (Timestamp::now().as_millisecond() as f64 / 1000.0 - value).abs() < 600.0,
            "{value}"
        );
    };
    site.ok(&["export", "-q"]);
    let first = read();
    let outcome = |samples: &BTreeMap<String, f64>| {
        let of = |key: &str| {
            samples[&format!("materia_export_last_attempt_outcome{{outcome=\"{key}\"}}")]
        };
        let all = ["published", "unchanged", "refused", "failed", "interrupted", "rolled_back"];
        let on: Vec<_> = all.into_iter().filter(|key| of(key) > 0.0).collect();
        on.join(" ")
    };
    assert_eq!(outcome(&first), "published");
    assert_eq!(first["materia_export_table_rows{table=\"numbers\"}"], 1000.0);
    assert_eq!(
        first["materia_export_served_bytes"],
        fs::metadata(site.served()).unwrap().len() as f64
    );
    assert!(first["materia_export_space_left_bytes"] > 0.0);
    for name in ["last_attempt", "last_success", "served_data"] {
        now(first[&format!("materia_export_{name}_timestamp_seconds")]);
    }
    let record = &site.history()[0];
    for step in ["wait", "blocked", "stage", "audit", "publish", "total"] {
        let took =
            first[&format!("materia_export_last_attempt_duration_seconds{{step=\"{step}\"}}")];
        assert_eq!(took, record[format!("{step}_ms")].as_u64().unwrap() as f64 / 1000.0, "{step}");
    }
    let generation = format!(
        "materia_export_served_info{{generation=\"{}\"}}",
        record["generation"].as_str().unwrap()
    );
    assert_eq!(first[&generation], 1.0);

    site.change("DROP TABLE serving.names");
    assert_eq!(site.run(&["export", "-q"]).code, 3);
    let second = read();
    assert_eq!(outcome(&second), "refused");
    assert_eq!(second["materia_export_table_rows{table=\"names\"}"], 3.0, "it is still served");
    assert_eq!(
        second["materia_export_last_success_timestamp_seconds"],
        first["materia_export_last_success_timestamp_seconds"]
    );
    assert!(
        second["materia_export_last_attempt_timestamp_seconds"]
            > first["materia_export_last_attempt_timestamp_seconds"]
    );
    assert_eq!(second["materia_export_last_attempt_audits_failed"], 1.0);
    assert_eq!(second["materia_export_history_attempts{outcome=\"refused\"}"], 1.0);

    site.ok(&["export", "-q", "--force"]);
    site.ok(&["rollback"]);
    assert_eq!(outcome(&read()), "rolled_back");
    let mode = fs::metadata(site.path("materia_export.prom")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "the node exporter is another user");
    assert!(!site.path("materia_export.prom.new").exists());
}

#[test]
fn metrics_that_cannot_be_written_keep_nobody_from_what_is_published() {
    let site = Site::small();
    let ran = Ran::of(
        &site
            .command(&["export", "-q"])
            .env("MATERIA_METRICS_FILE", "missing/x.prom")
            .output()
            .unwrap(),
    );
    assert!(
        ran.code == 0 && ran.stderr.contains("the metrics file missing/x.prom cannot be written"),
        "{ran:#?}"
    );
    assert_eq!(site.number("SELECT count(*) FROM serving.names"), 3);
}

const MONITORING: &str = concat!(env!("REPOSITORY"), "/infra/monitoring");

/// Returns every metric's name in a text.
fn named(text: &str) -> std::collections::BTreeSet<String> {
    let word = |rest: &str| {
        rest.chars()
            .take_while(|char| char.is_ascii_lowercase() || *char == '_')
            .collect::<String>()
    };
    text.match_indices("materia_").map(|(at, _)| word(&text[at..])).collect()
}

#[test]
fn rules_and_the_dashboard_ask_for_metrics_that_there_are() {
    let site = Site::small();
    let endpoint_metrics = free_address();
    site.settings(&format!("[postgres]\nlisten = '127.0.0.1:0'\nmetrics = '{endpoint_metrics}'\n"));
    let ran = Ran::of(
        &site.command(&["export", "-q"]).env("MATERIA_METRICS_FILE", "x.prom").output().unwrap(),
    );
    assert_eq!(ran.code, 0, "{ran:#?}");
    let mut known = named(&fs::read_to_string(site.path("x.prom")).unwrap());
    let operators = free_address();
    let web = Web::start(&site, &[("MATERIA_METRICS", &operators.to_string())]);
    assert!(web.get("/", "").starts_with("HTTP/1.1 200"));
    let _endpoint = Endpoint::start(&site);
    let endpoint = ask(endpoint_metrics, "GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let page = ask(operators, "GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    assert!(page.ends_with("# EOF\n") && endpoint.ends_with("# EOF\n"), "{page}{endpoint}");
    let page = page + &endpoint;
    // Only samples, since a metric with just a description cannot be queried.
    known.extend(page.lines().filter(|line| line.starts_with("materia_")).flat_map(named));
    for file in ["materia.rules.yml", "materia.rules.test.yml", "grafana.json"] {
        let text = fs::read_to_string(format!("{MONITORING}/{file}")).unwrap();
        let strange: Vec<_> = named(&text).difference(&known).cloned().collect();
        assert!(strange.is_empty(), "{file}: nobody exports {strange:?}");
    }
    let dashboard = fs::read_to_string(format!("{MONITORING}/grafana.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    assert!(
        dashboard["panels"]
            .as_array()
            .unwrap()
            .iter()
            .all(|panel| panel["targets"][0]["expr"].is_string())
    );
}

#[test]
fn prometheus_takes_the_rules_and_they_fire_when_they_should() {
    for args in
        [["check", "rules", "materia.rules.yml"], ["test", "rules", "materia.rules.test.yml"]]
    {
        let Ok(output) = Command::new("promtool").args(args).current_dir(MONITORING).output()
        else {
            println!("skipped: promtool is not there");
            return;
        };
        let ran = Ran::of(&output);
        assert_eq!(ran.code, 0, "{ran:#?}");
    }
}

#[test]
fn every_alert_has_its_place_in_the_runbook() {
    let runbook = fs::read_to_string(concat!(env!("REPOSITORY"), "/docs/operations.md")).unwrap();
    let headings: Vec<_> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .map(|heading| heading.replace(' ', "-").to_lowercase())
        .collect();
    let rules = fs::read_to_string(format!("{MONITORING}/materia.rules.yml")).unwrap();
    let anchors: Vec<_> = rules
        .lines()
        .filter_map(|line| line.split_once("docs/operations.md#"))
        .map(|(_, anchor)| anchor.to_owned())
        .collect();
    assert_eq!(anchors.len(), rules.matches("- alert:").count());
    let conditions = materia::status::Condition::ALL.map(str::to_owned);
    for anchor in anchors.iter().chain(&conditions) {
        assert!(headings.contains(anchor), "docs/operations.md has no ### {anchor}");
    }
}
