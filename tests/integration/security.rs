//! Every test that the threat model names exists.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{support::Site, web::Web};

const ROOT: &str = env!("REPOSITORY");

/// Returns the texts of every Rust file in these folders and below.
fn sources(folders: &[&str]) -> Vec<String> {
    let mut texts = Vec::new();
    let mut folders: Vec<_> = folders.iter().map(|folder| Path::new(ROOT).join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                texts.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    texts
}

/// Returns the names of all tests: functions with an attribute that ends in `test`, and those from
/// which a macro creates tests for every store.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for text in sources(&["src", "cli", "tui", "web", "tests/integration"]) {
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if let Some((_, name)) = line.split_once("fn ").filter(|_| is_test) {
                names.insert(name.split('(').next().unwrap().to_owned());
                is_test = false;
            }
        }
        for block in text.split("on_both_stores! {").skip(1) {
            let listed =
                block.split('}').next().unwrap().split(',').map(|name| name.trim().to_owned());
            names.extend(listed.filter(|name| text.contains(&format!("fn {name}("))));
        }
    }
    names
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let document = fs::read_to_string(Path::new(ROOT).join("docs/security.md")).unwrap();
    let tests = tests();
    assert!(tests.len() > 500, "{}", tests.len());
    // The name of a test is a sentence of at least four words.
    let is_sentence = |span: &&str| {
        span.matches('_').count() >= 3
            && span
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let named: BTreeSet<_> = document.split('`').skip(1).step_by(2).filter(is_sentence).collect();
    assert!(named.len() > 100, "{}", named.len());
    let missing: Vec<_> = named.into_iter().filter(|name| !tests.contains(*name)).collect();
    assert!(missing.is_empty(), "docs/security.md names tests that do not exist: {missing:#?}");
}

/// Splits an identifier before its last number: `V6.2.12` is 12 of `V6.2`.
fn parts(id: &str) -> (&str, u32) {
    let (section, number) = id.rsplit_once('.').unwrap_or_else(|| panic!("{id}"));
    (section, number.parse().unwrap_or_else(|_| panic!("{id}")))
}

#[test]
fn every_requirement_has_one_line_with_a_test_or_a_reason() {
    let document = fs::read_to_string(Path::new(ROOT).join("docs/security.md")).unwrap();
    let checklist = document.split_once("## ASVS 5.0, level 2").unwrap().1;
    let (mut seen, mut chapters) = (BTreeSet::new(), BTreeSet::new());
    for line in checklist.lines().filter(|line| line.starts_with("| V")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [ids, reason] = cells[..] else { panic!("{line}") };
        assert!(reason.len() > 10, "{line}");
        let (first, last) = ids.split_once('-').unwrap_or((ids, ids));
        chapters.insert(first.split('.').next().unwrap().to_owned());
        assert!(seen.insert(first) && (last == first || seen.insert(last)), "{line}: twice");
        assert!(
            parts(first) <= parts(last) || parts(first).0 != parts(last).0,
            "{line}: the wrong way round"
        );
    }
    assert!(seen.len() > 150, "{}", seen.len());
    assert_eq!(chapters.len(), 17, "{chapters:?}");
}

#[test]
fn outside_debug_every_answer_has_the_headers_that_the_checklist_names() {
    let site = Site::small();
    site.ok(&["export", "-q"]);
    let web = Web::start(
        &site,
        &[
            ("DEBUG", "false"),
            ("BASE_URL", "https://www.example.com"),
            ("SMTP_URL", "smtp://127.0.0.1:1"),
            ("MAIL_FROM", "a@example.com"),
        ],
    );
    for path in ["/", "/auth/login", "/nowhere", "/health", "/api/v1/tables", "/tables"] {
        let answer = web.get(path, "").to_lowercase();
        let head = answer.split("\r\n\r\n").next().unwrap();
        for expected in [
            "strict-transport-security: max-age=63072000; includesubdomains",
            "content-security-policy: default-src 'none';",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "referrer-policy: same-origin",
            "x-content-type-options: nosniff",
        ] {
            assert!(head.contains(expected), "{path}: {expected} is not in {head}");
        }
        let of_text = head.contains("content-type: text/") && head.contains("; charset=utf-8");
        let has_type = of_text || head.contains("json") || head.contains("content-length: 0");
        assert!(has_type, "{path}: {head}");
    }
    let traced =
        web.send("TRACE", "/", "Sec-Fetch-Site: same-origin\r\nCookie: session=secret\r\n", "");
    assert!(traced.starts_with("HTTP/1.1 405") && !traced.contains("session=secret"), "{traced}");
}
