//! Invalid input results in a clear error and the documented exit code, and the served data stays
//! unchanged.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, symlink},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use duckdb::Connection;

use crate::support::{Ran, Site, number, reading};

const BLOCK: usize = 256 * 1024;
const HEADERS: usize = 12 * 1024;

/// Several blocks of incompressible data, and a view of it.
const LARGE: &str = "CREATE SCHEMA serving;
    CREATE TABLE serving.numbers AS SELECT i AS id, hash(i) AS value FROM range(100000) t(i);
    CREATE TABLE serving.names AS SELECT 1 AS id;
    CREATE VIEW serving.few AS SELECT * FROM serving.numbers WHERE id < 10;";

/// Creates a site that already serves a good generation.
fn published() -> Site {
    let site = Site::small();
    site.ok(&["export"]);
    site
}

/// Returns the error for a lakehouse with this content.
fn complaint(content: &[u8]) -> String {
    let site = published();
    fs::write(site.lakehouse(), content).unwrap();
    site.fails(&["export"], 1).stderr
}

fn large() -> Vec<u8> {
    let site = Site::with(LARGE);
    fs::read(site.lakehouse()).unwrap()
}

fn assert_says(ran: &Ran, parts: &[&str]) {
    for part in parts {
        assert!(ran.stderr.contains(part), "{part:?} is not in {}", ran.stderr);
    }
}

#[test]
fn a_missing_lakehouse_is_named_with_the_ways_to_name_another() {
    let site = published();
    fs::remove_file(site.lakehouse()).unwrap();
    let ran = site.fails(&["export"], 1);
    assert_says(
        &ran,
        &["lakehouse.duckdb does not exist", "--lakehouse", "DUCKDB_PATH", "materia.toml"],
    );
    // If the folder does not exist, the default served path is missing as well: the error must name
    // the lakehouse.
    let ran = site.run(&["export", "--lakehouse", "nowhere/lakehouse.duckdb"]);
    assert_eq!((ran.code, ran.stderr.lines().count()), (2, 1), "{ran:#?}");
    assert_says(&ran, &["nowhere/lakehouse.duckdb does not exist"]);
}

#[test]
fn an_empty_lakehouse_is_called_empty() {
    assert!(
        complaint(b"").contains("lakehouse.duckdb is empty (0 bytes); has the pipeline ever run?")
    );
}

#[test]
fn a_folder_is_not_a_lakehouse() {
    let site = published();
    fs::remove_file(site.lakehouse()).unwrap();
    fs::create_dir(site.lakehouse()).unwrap();
    assert_says(
        &site.fails(&["export"], 1),
        &["lakehouse.duckdb is a folder; name the file in it"],
    );
}

#[test]
fn another_kind_of_file_is_not_a_lakehouse() {
    for content in
        [b"hello".as_slice(), &[b'x'; 10_000], b"SQLite format 3\0 and so on, for quite a while"]
    {
        assert!(complaint(content).contains("lakehouse.duckdb is not a DuckDB database"));
    }
}

#[test]
fn a_truncated_lakehouse_is_never_published_and_is_called_truncated() {
    let whole = large();
    for length in [100, 5_000, whole.len() / 2, whole.len() - BLOCK, whole.len() - 1] {
        let text = complaint(&whole[..length]);
        assert!(
            text.contains("lakehouse.duckdb cannot be read, it is probably truncated or damaged"),
            "{length} bytes: {text}"
        );
    }
}

#[test]
fn a_lakehouse_with_one_damaged_byte_is_never_published_wherever_the_byte_is() {
    let whole = large();
    let blocks = (whole.len() - HEADERS) / BLOCK;
    assert!(blocks >= 4, "the sample is too small to be damaged in its data");
    let in_blocks = (0..blocks)
        .flat_map(|block| [HEADERS + block * BLOCK + 3, HEADERS + block * BLOCK + 5_000]);
    // The headers: checksum and flags of the main one, and the active database header.
    for at in in_blocks.chain([3, 30, 4_096 + 20]) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        let text = complaint(&damaged);
        assert!(
            text.contains("lakehouse.duckdb cannot be read, it is probably truncated or damaged"),
            "byte {at}: {text}"
        );
    }
}

#[test]
fn damage_in_a_full_private_copy_is_the_lakehouses_and_is_said_of_it() {
    let mut damaged = large();
    let at = HEADERS + 2 * BLOCK + 77;
    damaged[at] ^= 1;
    let site = published();
    fs::write(site.lakehouse(), &damaged).unwrap();
    assert_says(
        &site.fails(&["export", "--snapshot", "copy", "-q"], 1),
        &["materia: lakehouse.duckdb cannot be read"],
    );
}

#[test]
fn a_lakehouse_of_a_newer_duckdb_asks_for_a_newer_materia() {
    let whole = large();
    let word = |content: &mut [u8], at: usize, value: u64| {
        content[at..at + 8].copy_from_slice(&value.to_le_bytes());
    };
    let mut newer = whole.clone();
    word(&mut newer, 12, 71);
    assert!(complaint(&newer).contains("was written by a newer DuckDB (storage version 71, this one reads up to 69); update materia"));
    // From version 69 on, the main header refers to the database headers.
    word(&mut newer, 12, 999);
    word(&mut newer, 4_096 + 56, 70);
    assert!(complaint(&newer).contains("storage version 70, this one"));
}

#[test]
fn a_lakehouse_that_duckdb_2_made_with_its_own_defaults_is_exported() {
    let site = Site::empty();
    let connection = Connection::open(site.lakehouse()).unwrap();
    connection
        .execute_batch("CREATE SCHEMA serving; CREATE TABLE serving.t AS SELECT 42 AS a")
        .unwrap();
    drop(connection);
    site.ok(&["export"]);
    assert_eq!(site.number("SELECT a FROM serving.t"), 42);
}

#[test]
fn an_encrypted_lakehouse_is_called_encrypted() {
    for version in crate::support::writable(vec!["v1.4.0", "v2.0.0"]) {
        let site = published();
        fs::remove_file(site.lakehouse()).unwrap();
        let connection = Connection::open_in_memory().unwrap();
        let attach = format!(
            "ATTACH '{}' AS l (ENCRYPTION_KEY 'key', STORAGE_VERSION '{version}')",
            site.lakehouse().display()
        );
        connection.execute_batch(&format!("SET force_mbedtls_unsafe = 'true'; {attach}")).unwrap();
        connection
            .execute_batch(
                "CREATE SCHEMA l.serving; CREATE TABLE l.serving.t AS SELECT 1 AS a; DETACH l",
            )
            .unwrap();
        assert_says(
            &site.fails(&["export"], 1),
            &["lakehouse.duckdb is encrypted; materia cannot read encrypted lakehouses"],
        );
    }
}

#[test]
fn without_the_serving_schema_the_schemas_there_are_are_listed() {
    let site = published();
    site.replace("CREATE SCHEMA marts; CREATE SCHEMA raw; CREATE TABLE marts.t AS SELECT 1 AS a");
    let ran = site.fails(&["export"], 1);
    assert_says(
        &ran,
        &[
            "lakehouse.duckdb has no schema \"serving\"; it has",
            "main, 0 tables",
            "marts, 1 table: t",
            "materia export --schema marts",
        ],
    );
}

#[test]
fn an_empty_serving_schema_asks_whether_the_pipeline_has_run() {
    let site = published();
    site.replace("CREATE SCHEMA serving; CREATE TABLE t AS SELECT 1 AS a");
    assert_says(
        &site.fails(&["export"], 1),
        &["lakehouse.duckdb has nothing in its schema \"serving\"; has the pipeline run?"],
    );
}

#[test]
fn one_view_that_does_not_bind_any_more_refuses_the_whole_export() {
    let site = published();
    site.change("CREATE TABLE base AS SELECT 1 AS a; CREATE VIEW serving.odd AS SELECT a FROM base; ALTER TABLE base RENAME a TO b");
    let ran = site.fails(&["export"], 1);
    assert_says(
        &ran,
        &[
            "serving.odd cannot be read, so nothing is exported",
            "Referenced column \"a\" not found",
            "\"b\"",
        ],
    );
    assert!(
        !ran.stderr.contains("LINE 1"),
        "the excerpt is of our statement, not of the user's: {}",
        ran.stderr
    );
}

#[test]
fn a_view_that_fails_while_it_is_read_names_itself_and_the_reason() {
    let site = published();
    site.change("CREATE VIEW serving.odd AS SELECT CAST(name AS INTEGER) AS n FROM serving.names");
    let ran = site.fails(&["export"], 1);
    assert_says(
        &ran,
        &[
            "DuckDB could not copy serving.odd: Conversion Error: Could not convert string 'ä' to INT32",
        ],
    );
    assert!(!ran.stderr.contains("INSERT"), "{}", ran.stderr);
}

#[test]
fn names_that_duckdb_keeps_for_itself_are_refused_with_that_reason() {
    for name in ["memory", "system", "temp", "TEMP"] {
        let site = published();
        fs::rename(site.lakehouse(), site.path(&format!("{name}.duckdb"))).unwrap();
        let ran = site.fails(&["export", "--lakehouse", &format!("{name}.duckdb")], 1);
        assert_says(
            &ran,
            &[
                &format!("{name}.duckdb cannot be attached: DuckDB reserves the name {name:?}"),
                "rename",
            ],
        );
    }
}

#[test]
fn a_lakehouse_called_serving_is_exported_however_its_views_name_their_tables() {
    let site = Site::empty();
    let path = site.path("serving.duckdb");
    Site::make(
        &path,
        "CREATE SCHEMA serving; CREATE TABLE main.base AS SELECT 7 AS a; CREATE TABLE \"serving\".\"serving\".own AS SELECT 8 AS a;
         CREATE VIEW serving.serving.three_parts AS SELECT * FROM serving.main.base;",
    );
    site.ok(&["export", "--lakehouse", "serving.duckdb"]);
    assert_eq!(site.number("SELECT a FROM analytics.serving.three_parts"), 7);

    // Two-part names are ambiguous under that name: such views were created when the file had
    // another name.
    let other = site.path("other.duckdb");
    Site::make(
        &other,
        "CREATE SCHEMA serving; CREATE TABLE serving.own AS SELECT 9 AS a; CREATE VIEW serving.two AS FROM serving.own",
    );
    fs::rename(&other, &path).unwrap();
    site.ok(&["export", "--lakehouse", "serving.duckdb", "--to", "second.duckdb"]);
    assert_eq!(number(&site.path("second.duckdb"), "SELECT a FROM second.serving.two"), 9);
}

#[test]
fn a_catalog_name_ends_at_the_files_first_dot_as_in_duckdb() {
    for (file, catalog) in [
        ("lake.house.duckdb", "lake"),
        (".hidden.duckdb", "hidden"),
        ("plain", "plain"),
        ("1.db", "1"),
    ] {
        let site = Site::empty();
        let connection = Connection::open(site.path(file)).unwrap();
        let sql = format!(
            "CREATE SCHEMA serving; CREATE TABLE t AS SELECT 3 AS a; CREATE VIEW serving.v AS FROM \"{catalog}\".main.t"
        );
        connection.execute_batch(&sql).unwrap();
        drop(connection);
        site.ok(&["export", "--lakehouse", file]);
        assert_eq!(site.number("SELECT a FROM serving.v"), 3, "{file}");
    }
}

#[test]
fn a_link_to_the_lakehouse_leads_to_its_name_its_views_and_its_log() {
    for snapshot in ["none", "copy"] {
        let site = Site::empty();
        fs::create_dir(site.path("pipeline")).unwrap();
        let real = site.path("pipeline/real.duckdb");
        let connection = Connection::open(&real).unwrap();
        let sql = "CREATE SCHEMA serving; CREATE TABLE t AS SELECT 1 AS a; CREATE VIEW serving.v AS FROM real.main.t; CHECKPOINT;
            SET checkpoint_threshold = '1TB'; INSERT INTO t VALUES (2);";
        connection.execute_batch(sql).unwrap();
        // The state that a killed pipeline leaves: the last row is only in the log.
        let (main, log) =
            (fs::read(&real).unwrap(), fs::read(site.path("pipeline/real.duckdb.wal")).unwrap());
        drop(connection);
        fs::write(&real, main).unwrap();
        fs::write(site.path("pipeline/real.duckdb.wal"), log).unwrap();
        symlink("pipeline/real.duckdb", site.lakehouse()).unwrap();
        site.ok(&["export", "--snapshot", snapshot]);
        assert_eq!(site.number("SELECT sum(a)::BIGINT FROM serving.v"), 3, "--snapshot {snapshot}");
        assert!(site.path("pipeline/real.duckdb.wal").exists(), "the pipeline's log was touched");
    }
}

/// The command from a copy of the binary and its libraries in the site's folder, since another user
/// may not read the build folder.
fn portable(site: &Site, args: &[&str]) -> Command {
    let built = Path::new(env!("CARGO_BIN_EXE_materia"));
    for entry in fs::read_dir(built.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()) {
        if entry == built || entry.extension().is_some_and(|end| end == "so" || end == "dylib") {
            fs::copy(&entry, site.path(entry.file_name().unwrap().to_str().unwrap())).unwrap();
        }
    }
    let mut command = Command::new(site.path("materia"));
    command.args(args).current_dir(site.folder());
    command
}

#[test]
fn a_lakehouse_in_a_folder_that_may_not_be_written_is_exported() {
    const NOBODY: u32 = 65_534;
    let site = Site::empty();
    for folder in ["pipeline", "served"] {
        fs::create_dir(site.path(folder)).unwrap();
    }
    let lakehouse = site.path("pipeline/lakehouse.duckdb");
    Site::make(&lakehouse, LARGE);
    let may =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    may(&lakehouse, 0o444);
    may(&site.path("pipeline"), 0o555);
    may(&site.path("served"), 0o777);
    may(site.folder(), 0o755);
    let mut command = portable(
        &site,
        &["export", "--lakehouse", "pipeline/lakehouse.duckdb", "--to", "served/analytics.duckdb"],
    );
    if fs::write(site.path("pipeline/probe"), "").is_ok() {
        // Permissions do not restrict this user, so run as one that they do restrict.
        fs::remove_file(site.path("pipeline/probe")).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
    let ran = Ran::of(&command.output().unwrap());
    may(&site.path("pipeline"), 0o755);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(
        number(&site.path("served/analytics.duckdb"), "SELECT count(*) FROM serving.numbers"),
        100_000
    );
}

#[test]
fn spaces_quotes_and_other_alphabets_in_paths_are_just_names() {
    for folder in ["two words", "it's", "say \"so\"", "Größe ☕", "semi;colon", "50%"] {
        let site = Site::empty();
        let lakehouse = format!("{folder}/lake house's.duckdb");
        fs::create_dir(site.path(folder)).unwrap();
        fs::create_dir(site.path("out")).unwrap();
        let connection = Connection::open(site.path(&lakehouse)).unwrap();
        let sql = "CREATE SCHEMA serving; CREATE TABLE t AS SELECT 5 AS a; CREATE VIEW serving.v AS FROM \"lake house's\".main.t";
        connection.execute_batch(sql).unwrap();
        drop(connection);
        let served = format!("out/{folder}.duckdb");
        site.ok(&["export", "--lakehouse", &lakehouse, "--to", &served]);
        assert_eq!(number(&site.path(&served), "SELECT a FROM serving.v"), 5, "{folder}");
        site.ok(&["export", "--full", "--lakehouse", &lakehouse, "--to", &served]);
        site.ok(&["rollback", "--to", &served]);
    }
}

#[test]
fn a_lakehouse_may_be_called_as_the_staged_file_is_in_another_folder() {
    let site = Site::empty();
    fs::create_dir(site.path("pipeline")).unwrap();
    let sql = "CREATE SCHEMA serving; CREATE TABLE t AS SELECT 6 AS a; CREATE VIEW serving.v AS FROM _export.main.t";
    Site::make(&site.path("pipeline/_export.duckdb"), sql);
    site.ok(&["export", "--lakehouse", "pipeline/_export.duckdb", "--to", "analytics.duckdb"]);
    assert_eq!(site.number("SELECT a FROM serving.v"), 6);
}

#[test]
fn a_lakehouse_is_never_deleted_as_a_leftover_of_an_export() {
    for name in ["_export.duckdb", "_rollback.duckdb", "analytics.refused.duckdb"] {
        let site = published();
        fs::rename(site.lakehouse(), site.path(name)).unwrap();
        symlink(name, site.path("link.duckdb")).unwrap();
        for lakehouse in [name, "link.duckdb"] {
            let ran = site.fails(&["export", "--lakehouse", lakehouse, "--keep-refused"], 1);
            assert_says(
                &ran,
                &[
                    &format!("{lakehouse} is where materia keeps its own files"),
                    "serve from another folder",
                ],
            );
        }
        let whole = reading(&site.path(name)).query_row(
            "SELECT count(*) FROM serving.numbers",
            [],
            |row| row.get::<_, i64>(0),
        );
        assert_eq!(whole.unwrap(), 1_000, "{name}");
    }
}

#[test]
fn a_served_path_that_is_the_lakehouse_itself_is_refused() {
    let site = published();
    let ran = site.run(&["export", "--to", "lakehouse.duckdb"]);
    assert_eq!(ran.code, 1);
    assert_says(
        &ran,
        &["cannot publish to lakehouse.duckdb: it is the lakehouse itself; name another file"],
    );
    assert_eq!(number(&site.lakehouse(), "SELECT count(*) FROM serving.numbers"), 1_000);
}

#[test]
fn a_served_file_named_like_its_schema_is_refused() {
    let site = Site::small();
    let ran = site.run(&["export", "--to", "serving.duckdb"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert_says(&ran, &["cannot publish to serving.duckdb", "choose another name"]);
    assert!(!site.path("serving.duckdb").exists());
}

#[test]
fn a_log_left_by_a_killed_writer_is_reported() {
    let site = Site::small();
    let connection = Connection::open(site.lakehouse()).unwrap();
    connection
        .execute_batch(
            "PRAGMA disable_checkpoint_on_shutdown; INSERT INTO serving.numbers VALUES (1000, 1)",
        )
        .unwrap();
    drop(connection);
    let ran = site.ok(&["export"]);
    assert_says(&ran, &["lakehouse.duckdb.wal", "ended without a checkpoint"]);
    assert_eq!(site.number("SELECT count(*) FROM serving.numbers"), 1_001);
}
