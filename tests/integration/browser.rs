//! The site in a real browser. Requires Node, Chromium and `npm ci` in `tests/browser`; prints what
//! is missing and skips without them.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::support::Site;

/// Returns whether a command can be run.
fn runs(command: &str) -> bool {
    Command::new(command)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs a script in `tests/browser`, or prints what is missing.
fn run_script(script: &str, arguments: &[&Path]) {
    let folder = Path::new(env!("REPOSITORY")).join("tests/browser");
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    let missing = [
        (!runs("node")).then_some("node"),
        (!Path::new(&chromium).exists()).then_some("chromium"),
        (!folder.join("node_modules").exists()).then_some("`npm ci` in tests/browser"),
    ];
    let missing: Vec<_> = missing.into_iter().flatten().collect();
    if !missing.is_empty() {
        println!("skipped: missing {}", missing.join(", "));
        return;
    }
    let ran = Command::new("node")
        .arg(script)
        .arg(env!("CARGO_BIN_EXE_materia"))
        .args(arguments)
        .current_dir(&folder)
        .env("CHROMIUM", chromium)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&ran.stdout);
    println!("{printed}");
    assert!(ran.status.success(), "{printed}\n{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn customers_do_in_a_real_browser_what_the_site_promises() {
    run_script("site.mjs", &[]);
}

#[test]
fn charts_say_what_their_tables_say_and_can_be_read_at_every_width() {
    let demo = Site::empty();
    demo.ok(&["demo", "."]);
    demo.ok(&["export", "--quiet"]);
    let odd = Site::with(include_str!("../browser/cases/tables.sql"));
    odd.settings("[dashboards]\ndir = 'boards'");
    std::fs::create_dir(odd.path("boards")).unwrap();
    for (name, text) in [
        ("odd", include_str!("../browser/cases/odd.toml")),
        ("odd_more", include_str!("../browser/cases/odd_more.toml")),
        ("odd_maps", include_str!("../browser/cases/odd_maps.toml")),
    ] {
        std::fs::write(odd.path(&format!("boards/{name}.toml")), text).unwrap();
    }
    odd.ok(&["export", "--quiet"]);
    let examples = Site::with(include_str!("../../examples/dashboards/data.sql"));
    let boards = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/dashboards/dashboards");
    examples.settings(&format!("[dashboards]\ndir = '{boards}'"));
    examples.ok(&["export", "--quiet"]);
    run_script("charts.mjs", &[demo.folder(), odd.folder(), examples.folder()]);
}
