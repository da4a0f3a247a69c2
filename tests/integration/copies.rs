//! A deployment that was copied elsewhere by the usual tools: it serves, exports only what has
//! changed, and rolls back.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{Ran, Site, number};

/// How to copy one folder to another that does not exist, and whether hard links stay.
const TOOLS: [(&str, &str, bool); 5] = [
    ("cp -a", "cp -a \"$1\" \"$2\"", true),
    ("cp -r", "cp -r \"$1\" \"$2\"", false),
    ("rsync -a", "rsync -a \"$1/\" \"$2\"", false),
    ("rsync -aH", "rsync -aH \"$1/\" \"$2\"", true),
    ("tar", "mkdir \"$2\" && tar -C \"$1\" -cf - . | tar -C \"$2\" -xf -", true),
];

fn is_there(tool: &str) -> bool {
    let program = tool.split(' ').next().unwrap();
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        println!("skipped: {program} is not there");
    }
    found
}

fn materia(site: &Site, folder: &Path, args: &[&str]) -> Ran {
    let ran = Ran::of(&site.command(args).current_dir(folder).output().unwrap());
    assert_eq!(ran.code, 0, "materia {args:?}: {ran:#?}");
    ran
}

#[test]
fn a_copy_by_any_tool_serves_exports_incrementally_and_rolls_back() {
    for (tool, script, keeps_links) in TOOLS.into_iter().filter(|(tool, ..)| is_there(tool)) {
        // Most of it does not change, so that it is worth reusing.
        let site = Site::with(
            "CREATE SCHEMA serving;
             CREATE TABLE serving.names AS SELECT i AS id, md5(i::VARCHAR) AS name FROM range(100000) t(i);
             CREATE TABLE serving.numbers AS SELECT i AS id, i * 1.5 AS value FROM range(1000) t(i);",
        );
        site.ok(&["export", "-q"]);
        site.change("UPDATE serving.numbers SET value = 0 WHERE id = 1");
        site.ok(&["export", "-q"]);
        let elsewhere = tempfile::tempdir().unwrap();
        let copy: PathBuf = elsewhere.path().join("copy");
        let copied = Command::new("sh")
            .args(["-c", script, "sh"])
            .args([site.folder(), copy.as_path()])
            .output()
            .unwrap();
        assert!(copied.status.success(), "{tool}: {copied:?}");
        let served = copy.join("analytics.duckdb");
        assert_eq!(fs::metadata(&served).unwrap().nlink() > 1, keeps_links, "{tool}");

        let status: serde_json::Value =
            serde_json::from_str(&materia(&site, &copy, &["status", "--json"]).stdout).unwrap();
        assert_eq!(status["generation"], *site.kept().last().unwrap(), "{tool}");
        assert_eq!(status["healthy"], true, "{tool}");
        let unchanged = materia(&site, &copy, &["export", "--json"]).stdout;
        assert!(unchanged.contains("\"outcome\":\"unchanged\""), "{tool}: {unchanged}");

        Site::make(
            &copy.join("lakehouse.duckdb"),
            "UPDATE serving.numbers SET value = 5 WHERE id = 2",
        );
        let exported = materia(&site, &copy, &["export", "--json"]).stdout;
        let last: serde_json::Value =
            serde_json::from_str(exported.lines().last().unwrap()).unwrap();
        assert_eq!(last["record"]["outcome"], "published", "{tool}: {last}");
        let tables = last["record"]["tables"].as_array().unwrap();
        let names = tables.iter().find(|table| table["name"] == "names").unwrap();
        assert_eq!(names["reused"], true, "{tool}: {last}");
        let value = "SELECT value::BIGINT FROM serving.numbers WHERE id = 2";
        assert_eq!(number(&served, value), 5, "{tool}");
        materia(&site, &copy, &["rollback"]);
        assert_eq!(number(&served, value), 3, "{tool}");
        materia(&site, &copy, &["rollback"]);
        let first = "SELECT (value * 10)::BIGINT FROM serving.numbers WHERE id = 1";
        assert_eq!(number(&served, first), 15, "{tool}");
        // The original is as it was.
        assert_eq!(number(&site.served(), first), 0, "{tool}");
    }
}
