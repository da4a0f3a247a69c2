//! Roles with the permissions that `materia lake grants` prints: readers can read, exporters can
//! publish, and neither can do more.

use crate::{
    lake_targets::{Kind, Place},
    postgres_server::PASSWORD,
};

/// The same target with another role.
fn with_role(place: &Place, role: &str) -> Place {
    let mut other = place.other_host();
    let address = place.address().replace("user=materia", &format!("user={role}"));
    other.tell("SERVING_DUCKDB_PATH", &address);
    other
}

/// Creates the roles that `materia lake grants` prints.
fn grant(place: &Place, exporter: &str, reader: &str) {
    let sql = place.ok(&["lake", "grants", "--exporter", exporter, "--reader", reader]).stdout;
    // It can be repeated.
    for _ in 0..2 {
        place.postgres(&sql);
    }
    for role in [exporter, reader] {
        place.postgres(&format!("ALTER ROLE {role} PASSWORD '{PASSWORD}'"));
    }
}

#[test]
fn a_reader_serves_but_cannot_write_and_an_exporter_creates_and_fills_a_lake() {
    let Some(place) = Place::new(Kind::PostgresS3) else { return };
    let (exporter, reader) = ("only_exports", "only_reads");
    // Before there is a lake.
    grant(&place, exporter, reader);
    place.postgres("CREATE TABLE accounts AS SELECT 'secret' AS mail");
    let exporter = with_role(&place, exporter);
    exporter.ok(&["export"]);
    exporter.site.change("INSERT INTO serving.names VALUES (4, 'd')");
    exporter.ok(&["export", "--keep", "1"]);
    assert_eq!(exporter.target().write_problem(), None);

    let reader = with_role(&place, reader);
    reader.ok(&["status"]);
    reader.ok(&["diff"]);
    assert_eq!(reader.kept(), exporter.kept());
    let why = reader.target().write_problem().unwrap();
    assert!(why.contains("the PostgreSQL role only_reads may not write the catalog"), "{why}");
    let ran = reader.run(&["rollback"]);
    assert!(
        ran.code == 1
            && ran.stderr.contains("may not write the catalog; use the exporter's settings"),
        "{ran:#?}"
    );
    assert!(ran.stderr.len() < 1_000, "{ran:#?}");
    exporter.ok(&["rollback"]);
    for role in ["only_exports", "only_reads"] {
        let allowed = format!("SELECT has_table_privilege('{role}', 'accounts', 'SELECT')");
        assert_eq!(place.postgres(&allowed).trim(), "f", "{role}");
    }
    // A lake that exists already, whose tables belong to another role.
    let existing = Place::new(Kind::PostgresS3).unwrap();
    existing.ok(&["export"]);
    grant(&existing, "also_exports", "also_reads");
    let exporter = with_role(&existing, "also_exports");
    exporter.ok(&["export", "--take-over"]);
    with_role(&existing, "also_reads").ok(&["status"]);
}

#[test]
fn the_policies_for_the_storage_name_the_bucket_and_what_is_allowed() {
    let Some(place) = Place::new(Kind::PostgresS3) else { return };
    let ran = place.ok(&["lake", "grants", "--policy", "reader"]);
    let reader: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(reader["Statement"][1]["Action"], serde_json::json!(["s3:GetObject"]));
    assert_eq!(reader["Statement"][0]["Resource"][0], "arn:aws:s3:::lake");
    let Some(file) = Place::new(Kind::Sqlite) else { return };
    let ran = file.run(&["lake", "grants"]);
    assert!(ran.code == 2 && ran.stderr.contains("is a file, which has no roles"), "{ran:#?}");
    let ran = file.run(&["lake", "grants", "--policy", "exporter"]);
    assert!(ran.code == 1 && ran.stderr.contains("is in the folder"), "{ran:#?}");
}
