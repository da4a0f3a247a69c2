//! `materia diff`, on generations whose differences are known.

use crate::support::{Ran, Site};

fn json(site: &Site, args: &[&str]) -> serde_json::Value {
    let ran = site.ok(&[&["diff", "--json"], args].concat());
    serde_json::from_str(&ran.stdout).unwrap()
}

fn table<'a>(diff: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let tables = diff["tables"].as_array().unwrap();
    tables.iter().find(|table| table["table"] == name).unwrap_or_else(|| panic!("{name}: {diff:#}"))
}

/// Returns the numbers of revised, added and removed rows.
fn counts(revision: &serde_json::Value) -> [u64; 3] {
    ["revised", "added", "removed"].map(|key| revision[key].as_u64().unwrap())
}

/// One table each that is revised, gains and loses rows, has other columns, is new, is removed, has
/// no key, and is unchanged; the last ones are rebuilt.
fn site() -> Site {
    let site = Site::with(
        "CREATE SCHEMA serving;
         CREATE TABLE serving.prices AS SELECT i AS id, i * 1.5 AS price, 'a' AS grade FROM range(1000) t(i);
         CREATE TABLE serving.shape AS SELECT i AS id, i::INTEGER AS n, 'x' AS old FROM range(10) t(i);
         CREATE TABLE serving.gone AS SELECT 1 AS id;
         CREATE TABLE serving.keyless AS SELECT 1 AS a FROM range(10);
         CREATE TABLE serving.same AS SELECT i AS id FROM range(10) t(i);",
    );
    site.ok(&["export", "-q"]);
    site.change(
        "UPDATE serving.prices SET price = 1000 WHERE id = 7;
         DELETE FROM serving.prices WHERE id IN (3, 4);
         INSERT INTO serving.prices VALUES (2000, 1, 'b'), (2001, 2, 'b'), (2002, 3, 'b');
         ALTER TABLE serving.shape ALTER n TYPE BIGINT;
         ALTER TABLE serving.shape DROP old;
         ALTER TABLE serving.shape ADD COLUMN region VARCHAR;
         DROP TABLE serving.gone;
         CREATE TABLE serving.fresh AS SELECT i AS id FROM range(5) t(i);
         UPDATE serving.keyless SET a = 2 WHERE rowid = 0;
         CREATE OR REPLACE TABLE serving.same AS SELECT i AS id FROM range(10) t(i);",
    );
    site.ok(&["export", "-q", "--force"]);
    site
}

#[test]
fn every_kind_of_change_is_listed_by_table_and_value() {
    let site = site();
    let diff = json(&site, &[]);
    assert_eq!(diff["version"], 1);
    let kept = site.kept();
    assert_eq!(diff["before"], kept[0]);
    assert_eq!(diff["now"], kept[1]);
    let prices = table(&diff, "prices");
    assert_eq!(prices["change"], "changed");
    assert_eq!(prices["rows_before"], 1000);
    assert_eq!(prices["rows"], 1001);
    let revision = &prices["revision"];
    assert_eq!(revision["key"], serde_json::json!(["id"]));
    assert_eq!(counts(revision), [1, 3, 2]);
    assert_eq!(revision["common"], 998);
    assert_eq!(
        revision["largest"],
        serde_json::json!([{ "key": "7", "column": "price", "before": "10.5", "now": "1000" }])
    );
    assert_eq!(prices["added_keys"], serde_json::json!(["2000", "2001", "2002"]));
    assert_eq!(prices["removed_keys"], serde_json::json!(["3", "4"]));
    let shape = table(&diff, "shape");
    assert_eq!(shape["columns_added"], serde_json::json!(["region VARCHAR"]));
    assert_eq!(shape["columns_removed"], serde_json::json!(["old"]));
    assert_eq!(shape["columns_retyped"], serde_json::json!(["n: INTEGER -> BIGINT"]));
    assert_eq!(table(&diff, "gone")["change"], "removed");
    assert_eq!(table(&diff, "fresh")["change"], "added");
    assert_eq!(table(&diff, "fresh")["rows"], 5);
    assert_eq!(counts(&table(&diff, "keyless")["revision"]), [0, 1, 1]);
    assert_eq!(table(&diff, "same")["change"], "unchanged");
    // In the other direction, additions are removals.
    let back = json(&site, &[&kept[1], &kept[0]]);
    assert_eq!(table(&back, "prices")["removed_keys"], prices["added_keys"]);
    assert_eq!(table(&back, "fresh")["change"], "removed");
    let same = json(&site, &[&kept[1], &kept[1]]);
    assert!(same["tables"].as_array().unwrap().iter().all(|table| table["change"] == "unchanged"));
}

#[test]
fn text_and_markdown_say_the_same_and_generations_that_are_not_there_are_named() {
    let site = site();
    let text = site.ok(&["diff"]).stdout;
    for line in [
        "prices  1 of 998 rows revised, 3 rows added, 2 rows removed",
        "  price: 1 of 997 values revised",
        "  price 7: 10.5 -> 1000",
        "  new keys: 2000, 2001, 2002",
        "  removed keys: 3, 4",
        "  new columns: region VARCHAR",
        "fresh  new table, 5 rows",
        "gone  removed table, 1 row",
        "1 table unchanged",
    ] {
        assert!(text.lines().any(|known| known.starts_with(line)), "{line}: {text}");
    }
    let markdown = site.ok(&["diff", "--markdown"]).stdout;
    for line in [
        "| prices | 1,000 | 1,001 | 1 of 998 rows revised, 3 rows added, 2 rows removed |",
        "| fresh |  | 5 | new table, 5 rows |",
        "## prices",
        "- price 7: 10.5 -> 1000",
    ] {
        assert!(markdown.lines().any(|known| known == line), "{line}: {markdown}");
    }
    let wrong = site.run(&["diff", "1999"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("1999"), "{wrong:#?}");
    let empty = Site::small();
    let nothing = empty.run(&["diff"]);
    assert!(nothing.code == 1 && nothing.stderr.contains("run materia export"), "{nothing:#?}");
    empty.ok(&["export", "-q"]);
    let first = empty.run(&["diff"]);
    assert!(
        first.code == 1 && first.stderr.contains("compare after the next export"),
        "{first:#?}"
    );
}

#[test]
fn generations_of_a_large_table_are_compared_within_little_memory() {
    let site = Site::with(
        "CREATE SCHEMA serving;
         CREATE TABLE serving.large AS SELECT i AS id, hash(i) AS a, md5(i::VARCHAR) AS b, md5((i + 1)::VARCHAR) AS c FROM range(3000000) t(i);",
    );
    site.ok(&["export", "-q"]);
    site.change(
        "UPDATE serving.large SET a = 0 WHERE id = 1234567; DELETE FROM serving.large WHERE id = 5",
    );
    site.ok(&["export", "-q"]);
    let mut command = site.command(&["diff", "--json"]);
    // The table alone exceeds 200 MB.
    command.env("MATERIA_MEMORY_LIMIT", "150MB").env("MATERIA_THREADS", "2");
    let ran = Ran::of(&command.output().unwrap());
    assert_eq!(ran.code, 0, "{ran:#?}");
    let diff: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let revision = &table(&diff, "large")["revision"];
    assert_eq!(counts(revision), [1, 0, 1]);
    assert_eq!(revision["largest"][0]["key"], "1234567");
    assert_eq!(table(&diff, "large")["removed_keys"], serde_json::json!(["5"]));
}
