//! An independent reader: Python with the DuckDB that SQLMesh installs. `MATERIA_TEST_PYTHON` names
//! it; `dev_run.sh test` sets it.

use std::{env, process::Command};

use crate::support::{Ran, Site};

const COMPARE: &str = r#"
import duckdb, json
assert duckdb.__version__ == "1.5.6", duckdb.__version__
reader = duckdb.connect("analytics.duckdb", read_only=True)
reader.execute("ATTACH 'lakehouse.duckdb' AS lakehouse (READ_ONLY)")
found = {}
for name, comment in reader.execute("SELECT table_name, comment FROM duckdb_tables() WHERE database_name = 'analytics'").fetchall():
    ours, theirs = f'analytics.serving."{name}"', f'lakehouse.serving."{name}"'
    assert comment, name
    assert reader.execute(f"DESCRIBE {ours}").fetchall() == reader.execute(f"DESCRIBE {theirs}").fetchall(), name
    for one, other in [(ours, theirs), (theirs, ours)]:
        assert reader.execute(f"SELECT count(*) FROM (FROM {one} EXCEPT ALL FROM {other})").fetchone() == (0,), name
    found[name] = reader.execute(f"SELECT count(*) FROM {ours}").fetchone()[0]
print(json.dumps(found, sort_keys=True))
"#;

#[test]
fn the_duckdb_that_wrote_the_lakehouse_reads_the_export_and_finds_the_same_in_it() {
    let Some(python) = env::var_os("MATERIA_TEST_PYTHON") else {
        println!("skipped: MATERIA_TEST_PYTHON does not name a Python with duckdb 1.5.6");
        return;
    };
    let Some(site) = Site::sqlmesh() else { return };
    site.ok(&["export"]);
    let ran = Ran::of(
        &Command::new(python).args(["-c", COMPARE]).current_dir(site.folder()).output().unwrap(),
    );
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(
        ran.stdout.trim(),
        r#"{"coffee_prices": 784, "commodity_metrics": 4103, "cot_positioning": 1046, "global_balance": 64, "rainfall": 9720, "us_imports": 2948}"#
    );
}
