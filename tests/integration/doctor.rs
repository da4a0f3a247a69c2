//! `materia doctor`, on healthy and on broken deployments.

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    process::Command,
};

use crate::{
    child::Actor,
    http_receiver::Receiver,
    support::{Ran, Site},
    web::free_address,
};

/// Returns every check as `(subject, state, detail, remedy)`, and the exit code.
fn doctor(site: &Site, variables: &[(&str, &str)]) -> (Vec<[String; 4]>, i32) {
    let mut command = site.command(&["doctor", "--json"]);
    let ran = Ran::of(&command.envs(variables.iter().copied()).output().unwrap());
    let report: serde_json::Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:#?}"));
    assert_eq!(report["version"], 1);
    assert_eq!(report["healthy"], ran.code == 0, "{ran:#?}");
    let checks = report["checks"].as_array().unwrap();
    let word =
        |check: &serde_json::Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    let checks: Vec<_> = checks
        .iter()
        .map(|check| ["subject", "state", "detail", "do"].map(|key| word(check, key)))
        .collect();
    for [subject, state, detail, remedy] in &checks {
        assert_eq!(state == "ok", remedy.is_empty(), "{subject}: {detail}: {remedy}");
    }
    (checks, ran.code)
}

fn has(checks: &[[String; 4]], subject: &str, state: &str, part: &str) {
    let found = checks
        .iter()
        .any(|check| check[0] == subject && check[1] == state && check[2].contains(part));
    assert!(found, "{subject} {state} {part}: {checks:#?}");
}

#[test]
fn a_deployment_that_is_well_has_no_error_and_nothing_is_changed() {
    let (site, receiver) = (Site::small(), Receiver::answering(200));
    site.settings("[export]\nkeep = 4");
    site.ok(&["export", "-q"]);
    let before = site.listing();
    let url = receiver.url();
    let (checks, code) = doctor(&site, &[("ALERT_WEBHOOK_URL", &url), ("HEARTBEAT_URL", &url)]);
    assert_eq!(code, 0, "{checks:#?}");
    assert_eq!(site.listing(), before);
    let subjects: BTreeSet<_> = checks.iter().map(|check| check[0].as_str()).collect();
    for subject in [
        "settings",
        "engine",
        "lakehouse",
        "serving",
        "snapshot",
        "clock",
        "locks",
        "status",
        "site",
        "webhook",
        "heartbeat",
    ] {
        assert!(subjects.contains(subject), "{subject}: {subjects:?}");
    }
    has(&checks, "settings", "ok", "from materia.toml: export.keep");
    has(&checks, "settings", "ok", "from the environment: ALERT_WEBHOOK_URL, HEARTBEAT_URL");
    has(&checks, "status", "ok", "all is well");
    has(&checks, "webhook", "ok", "127.0.0.1 accepts connections");
    assert!(receiver.bodies().is_empty(), "it was sent something");
    let text = site.ok(&["doctor"]).stdout;
    assert!(text.ends_with("\n0 errors, 2 warnings\n"), "{text}");
}

#[test]
fn a_setting_that_overrides_another_is_named_and_no_secret_is_shown() {
    let site = Site::small();
    site.settings("serving = 'other.duckdb'\n[export]\nkeep = 4");
    fs::write(site.path(".env"), "SMTP_URL=smtps://u:hunter2@mail.example\nMATERIA_KEEP=6\n")
        .unwrap();
    fs::set_permissions(site.path(".env"), Permissions::from_mode(0o600)).unwrap();
    let variables = [
        ("SERVING_DUCKDB_PATH", "analytics.duckdb"),
        ("SMTP_URL", "smtps://u:hunter3@mail.example"),
    ];
    let (checks, _) = doctor(&site, &variables);
    has(
        &checks,
        "settings",
        "warning",
        "serving is taken from SERVING_DUCKDB_PATH, which overrides \"other.duckdb\" from materia.toml",
    );
    has(
        &checks,
        "settings",
        "warning",
        "export.keep is taken from MATERIA_KEEP in .env, which overrides another value from materia.toml",
    );
    has(
        &checks,
        "settings",
        "warning",
        "SMTP_URL is taken from SMTP_URL, which overrides another value from SMTP_URL in .env",
    );
    has(&checks, "settings", "ok", "from .env: MATERIA_KEEP");
    assert!(!format!("{checks:?}").contains("hunter"), "{checks:#?}");
}

#[test]
fn files_that_are_missing_held_or_open_to_everybody_are_named_with_what_to_do() {
    let site = Site::small();
    site.ok(&["export", "-q"]);
    fs::write(site.path(".env"), "MAIL_FROM=a@example.com\n").unwrap();
    fs::set_permissions(site.path(".env"), Permissions::from_mode(0o644)).unwrap();
    let (checks, code) = doctor(&site, &[]);
    has(&checks, "secrets", "warning", ".env can be read by everybody (owner ");
    assert_eq!(code, 0, "{checks:#?}");
    let writer = Actor::start("writer", &site.lakehouse());
    let (checks, _) = doctor(&site, &[]);
    has(&checks, "lakehouse", "warning", "is held by ");
    writer.end();
    fs::write(site.lakehouse(), "not a database").unwrap();
    let (checks, code) = doctor(&site, &[]);
    has(&checks, "lakehouse", "error", "lakehouse.duckdb ");
    assert_eq!(code, 1, "{checks:#?}");
    fs::remove_file(site.lakehouse()).unwrap();
    let (checks, code) = doctor(&site, &[]);
    has(&checks, "lakehouse", "error", "does not exist");
    assert_eq!(code, 1, "{checks:#?}");
    fs::remove_dir_all(site.path("analytics.generations")).unwrap();
    fs::remove_file(site.served()).unwrap();
    let (checks, _) = doctor(&site, &[]);
    has(&checks, "serving", "error", "analytics.duckdb does not exist: nothing is served");
    has(&checks, "status", "error", "nothing is served");
}

#[test]
fn what_cannot_be_reached_and_what_would_keep_the_site_from_starting_is_named() {
    let site = Site::small();
    site.ok(&["export", "-q"]);
    site.settings("[dashboards]\ndir = 'dashboards'");
    fs::create_dir(site.path("dashboards")).unwrap();
    fs::write(site.path("dashboards/a.toml"), "title = 3\n").unwrap();
    let dead = format!("http://{}/hook", free_address());
    let mail = format!("smtp://{}", free_address());
    let (checks, code) = doctor(
        &site,
        &[("ALERT_WEBHOOK_URL", &dead), ("SMTP_URL", &mail), ("BASE_URL", "https://example.com")],
    );
    assert_eq!(code, 1, "{checks:#?}");
    has(&checks, "webhook", "error", "ALERT_WEBHOOK_URL: 127.0.0.1 cannot be reached");
    has(&checks, "heartbeat", "warning", "HEARTBEAT_URL is not set");
    has(&checks, "site", "error", "dashboards: ");
    has(&checks, "site", "warning", "mail: ");
    assert!(!format!("{checks:?}").contains("/hook"), "{checks:#?}");
}

#[test]
fn doctor_says_what_snapshot_auto_will_do_on_this_file_system() {
    let site = Site::runs();
    let folder = site.path("small");
    fs::create_dir(&folder).unwrap();
    let is_mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
        .arg(&folder)
        .status()
        .is_ok_and(|status| status.success());
    if !is_mounted {
        println!("skipped: cannot mount a filesystem here");
        return;
    }
    let served = folder.join("analytics.duckdb");
    let variables = [("SERVING_DUCKDB_PATH", served.to_str().unwrap())];
    let export = || {
        let mut command = site.command(&["export", "--json", "--full"]);
        let ran = Ran::of(&command.envs(variables).output().unwrap());
        assert_eq!(ran.code, 0, "{ran:#?}");
        ran.stdout.contains("\"snapshot\":\"none\"")
    };
    let (diagnose, ballast) = (|| doctor(&site, &variables).0, folder.join("ballast"));
    let before = diagnose();
    let was_in_place = export();
    let full = {
        let available = materia::files::available_space(&folder).unwrap();
        let bytes = fs::metadata(site.lakehouse()).unwrap().len();
        let file = fs::File::create(&ballast).unwrap();
        // Enough for the export, but not for a copy as well.
        let length = available - bytes * 3 / 2;
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, length).unwrap();
        diagnose()
    };
    let is_in_place = export();
    let _ = Command::new("umount").arg("--lazy").arg(&folder).status();
    has(&before, "snapshot", "ok", "--snapshot auto copies the lakehouse to ");
    has(&before, "snapshot", "ok", "(tmpfs, ");
    has(&before, "snapshot", "ok", "the lakehouse is on another file system");
    has(&full, "snapshot", "warning", "--snapshot auto reads the lakehouse in place");
    assert!(!was_in_place && is_in_place, "the exports did something else");
}
