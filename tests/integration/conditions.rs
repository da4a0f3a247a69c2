//! Problems besides the export, with components that are really broken: `materia status` and
//! `materia alert` report each condition, which ends when the component works again.

use std::{
    fs::{self, File},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    support::{Ran, Site, eventually},
    web::{Web, ask, free_address},
};

/// Creates a healthy site that serves data.
fn healthy(settings: &str) -> Site {
    let site = Site::small();
    site.settings(settings);
    site.ok(&["export", "-q"]);
    site
}

fn run(site: &Site, args: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = site.command(args);
    Ran::of(&command.envs(variables.iter().copied()).output().unwrap())
}

/// Returns the current problems according to `materia alert`.
fn findings(site: &Site, variables: &[(&str, &str)]) -> Vec<(String, String)> {
    let ran = run(site, &["alert", "--json"], variables);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| {
            let word = |key: &str| finding[key].as_str().unwrap().to_owned();
            (word("condition"), word("text"))
        })
        .collect()
}

/// Returns the current problems, which `materia status` and `materia alert` must agree on.
fn wrong(site: &Site, variables: &[(&str, &str)]) -> Vec<(String, String)> {
    let findings = findings(site, variables);
    let status = run(site, &["status"], variables);
    assert_eq!(status.code, i32::from(!findings.is_empty()), "{status:#?}");
    for (condition, _) in &findings {
        let known = condition.split(':').next().unwrap();
        assert!(materia::status::Condition::ALL.contains(&known), "{known}");
    }
    findings
}

/// Returns the only current problem.
fn only(site: &Site, variables: &[(&str, &str)], condition: &str, text: &str) {
    let found = wrong(site, variables);
    assert!(
        matches!(found.as_slice(), [(only, message)] if only == condition && message.contains(text)),
        "{condition}, {text}: {found:?}"
    );
}

#[test]
fn a_pipeline_that_hangs_is_noticed_while_it_does() {
    let site =
        healthy("[alerts]\npipeline_running = '1s'\n[pipelines.stuck]\ncommand = ['sleep', '600']");
    let mut hanging = site
        .command(&["pipeline", "run", "stuck"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("it is noticed", || !findings(&site, &[]).is_empty());
    only(&site, &[], "pipeline_hung:stuck", &format!("(pid {}); its log: ", hanging.id()));
    kill_process(Pid::from_child(&hanging), Signal::TERM).unwrap();
    hanging.wait().unwrap();
    assert_eq!(wrong(&site, &[]), []);
}

fn back_up(site: &Site, folder: &str) -> Ran {
    let script = concat!(env!("REPOSITORY"), "/infra/web/backup.sh");
    let mut command = Command::new(script);
    command.arg(site.path(folder)).current_dir(site.folder());
    command
        .env("MATERIA", env!("CARGO_BIN_EXE_materia"))
        .env("DATABASE_URL", "sqlite://accounts.db");
    Ran::of(&command.output().unwrap())
}

#[test]
fn a_failed_or_missing_nightly_backup_is_noticed() {
    let site = healthy("[alerts]\nbackups = 'backups'");
    only(&site, &[], "backup", "backups failed: it cannot be read");
    // There are no accounts.
    assert_eq!(back_up(&site, "backups").code, 1);
    only(&site, &[], "backup", "failed: materia: there are no accounts in accounts.db");
    site.ok(&["users", "seed"]);
    assert_eq!(back_up(&site, "backups").code, 0);
    assert_eq!(wrong(&site, &[]), []);
    let copy = fs::read_dir(site.path("backups")).unwrap().next().unwrap().unwrap().path();
    let days_ago = SystemTime::now() - Duration::from_hours(49);
    File::options().write(true).open(copy).unwrap().set_modified(days_ago).unwrap();
    only(&site, &[], "backup", "the newest is 2 d 1 h old, at most 1 d 6 h is allowed");
}

#[test]
fn a_site_that_does_not_answer_is_noticed() {
    let site = healthy("");
    let url = format!("http://{}", free_address());
    only(&site, &[("MATERIA_SITE", &url)], "site_down", "the site does not respond: ");
    let mut web = Web::start(&site, &[]);
    let url = format!("http://{}/", web.address);
    assert_eq!(wrong(&site, &[("MATERIA_SITE", &url)]), []);
    // The site exists and does not respond.
    kill_process(Pid::from_child(&web.process), Signal::STOP).unwrap();
    only(&site, &[("MATERIA_SITE", &url)], "site_down", "it did not answer within 5 s");
    kill_process(Pid::from_child(&web.process), Signal::KILL).unwrap();
    web.process.wait().unwrap();
    only(&site, &[("MATERIA_SITE", &url)], "site_down", "the site does not respond: ");
}

#[test]
fn mail_that_cannot_be_sent_is_noticed_by_the_site_its_metrics_and_alerts() {
    let site = healthy("[alerts]\nmail_delayed = '1s'");
    let (metrics, mail) = (free_address(), format!("smtp://{}", free_address()));
    let web = Web::start(&site, &[("SMTP_URL", &mail), ("MATERIA_METRICS", &metrics.to_string())]);
    let url = format!("http://{}", web.address);
    assert_eq!(wrong(&site, &[("MATERIA_SITE", &url)]), []);
    let form = "Sec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    web.send("POST", "/auth/login", form, "email=ada%40example.com");
    eventually("the site says so", || web.get("/ready", "").contains("\"mail_failing\""));
    only(&site, &[("MATERIA_SITE", &url)], "mail_failing", "1 email waiting, the oldest for ");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {metrics}\r\nConnection: close\r\n\r\n");
    let page = ask(metrics, &request).unwrap();
    for line in [
        "materia_condition{condition=\"mail_failing\"} 1",
        "materia_condition{condition=\"stale\"} 0",
    ] {
        assert!(page.lines().any(|known| known == line), "{line}: {page}");
    }
    assert!(web.get("/ready", "").starts_with("HTTP/1.1 200"), "data is served all the same");
}
