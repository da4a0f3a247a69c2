//! A client with only DuckDB and the extensions, and no knowledge of materia, reads the published
//! data: `MATERIA_TEST_LAKE_PYTHON` names a Python with the extensions' version of DuckDB;
//! `dev_run.sh test` sets it.

use std::{env, process::Command};

use crate::{
    lake::extensions,
    lake_targets::{Kind, Place, on_every_lake},
    support::Ran,
};

on_every_lake!(a_python_with_duckdb_reads_the_same_tables_comments_and_values_of_every_snapshot);

const READ: &str = r#"
import duckdb, glob, json, sys
folder, secrets, address = sys.argv[1:]
reader = duckdb.connect()
for name in ["ducklake", "sqlite_scanner", "postgres_scanner", "httpfs"]:
    reader.execute(f"LOAD '{folder}/v{duckdb.__version__}/{name}.duckdb_extension'")
if secrets:
    reader.execute(secrets)
reader.execute(f"ATTACH '{address}' AS lake (READ_ONLY)")
reader.execute("ATTACH 'lakehouse.duckdb' AS lakehouse (READ_ONLY)")
found = {}
tables = "SELECT table_name, comment FROM duckdb_tables() WHERE database_name = ? AND schema_name = 'serving' ORDER BY ALL"
assert reader.execute(tables, ["lake"]).fetchall() == reader.execute(tables, ["lakehouse"]).fetchall()
columns = "SELECT table_name, column_name, data_type, is_nullable, comment FROM duckdb_columns() WHERE database_name = ? AND schema_name = 'serving' ORDER BY ALL"
assert reader.execute(columns, ["lake"]).fetchall() == reader.execute(columns, ["lakehouse"]).fetchall()
for name, comment in reader.execute(tables, ["lake"]).fetchall():
    ours, theirs = f'lake.serving."{name}"', f'lakehouse.serving."{name}"'
    for one, other in [(ours, theirs), (theirs, ours)]:
        assert reader.execute(f"SELECT count(*) FROM (FROM {one} EXCEPT ALL FROM {other})").fetchone() == (0,), name
    found[name] = reader.execute(f"SELECT count(*) FROM {ours}").fetchone()[0]
snapshots = reader.execute("SELECT snapshot_id, author, commit_message FROM ducklake_snapshots('lake') WHERE author = 'materia' ORDER BY 1").fetchall()
found["older"] = [reader.execute(f"SELECT count(*) FROM lake.serving.numbers AT (VERSION => {id})").fetchone()[0] for id, _, _ in snapshots]
found["messages"] = [message for _, _, message in snapshots]
found["generation"] = reader.execute("SELECT id FROM lake.materia.generation").fetchone()[0]
print(json.dumps(found))
"#;

fn a_python_with_duckdb_reads_the_same_tables_comments_and_values_of_every_snapshot(
    place: &mut Place,
) {
    let Some(python) = env::var_os("MATERIA_TEST_LAKE_PYTHON") else {
        println!(
            "skipped: MATERIA_TEST_LAKE_PYTHON does not name a Python with the DuckDB of the extensions"
        );
        return;
    };
    place.site.change("COMMENT ON TABLE serving.numbers IS 'Zahlen'; COMMENT ON COLUMN serving.numbers.value IS 'it''s'; CREATE TABLE serving.empty (a INTEGER NOT NULL, b DATE[])");
    place.ok(&["export"]);
    place.site.change("INSERT INTO serving.numbers VALUES (1000, NULL)");
    place.ok(&["export"]);
    let mut kept = place.kept();
    kept.reverse();
    let arguments =
        [extensions().unwrap().to_str().unwrap().to_owned(), place.secrets(), place.address()];
    let ran = Ran::of(
        &Command::new(python)
            .args(["-c", READ])
            .args(arguments)
            .current_dir(place.site.folder())
            .output()
            .unwrap(),
    );
    assert_eq!(ran.code, 0, "{ran:#?}");
    let found: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let expected = serde_json::json!({
        "empty": 0, "names": 3, "numbers": 1001, "older": [1000, 1001], "generation": kept[1],
        "messages": [format!("generation {}", kept[0]), format!("generation {}", kept[1])],
    });
    assert_eq!(found, expected);
    assert_ne!(place.kind, Kind::File);
}
