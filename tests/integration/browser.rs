//! The site in a real browser. Wants Node, Chromium and `npm ci` in `tests/browser`; says what is missing and skips where they are absent.

use std::{
    path::Path,
    process::{Command, Stdio},
};

/// Whether a command can be run.
fn runs(command: &str) -> bool {
    Command::new(command).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[test]
fn customers_do_in_a_real_browser_what_the_site_promises() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
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
        .arg("site.mjs")
        .arg(env!("CARGO_BIN_EXE_materia"))
        .current_dir(&folder)
        .env("CHROMIUM", chromium)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&ran.stdout);
    println!("{printed}");
    assert!(ran.status.success(), "{printed}\n{}", String::from_utf8_lossy(&ran.stderr));
}
