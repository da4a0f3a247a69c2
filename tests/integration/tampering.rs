//! Data that another program writes to published paths is never served: neither a modified staged
//! file, nor a log next to a generation.

use std::{
    fs::{self, OpenOptions, Permissions},
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
};

use duckdb::arrow::array::Float64Array;
use materia::{
    export::{self, ExportError, ExportEvent, ExportJob, Progress},
    reader::{Query, QueryLimits, Reader, ReaderConfig},
    settings::Settings,
    store::ExportStep,
};

use crate::support::{Site, reading, whole_run};

fn job(site: &Site) -> ExportJob {
    let places = [("DUCKDB_PATH", site.lakehouse()), ("SERVING_DUCKDB_PATH", site.served())];
    let lookup = |name: &str| {
        places
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, path)| path.to_str().unwrap().to_owned())
    };
    ExportJob::new(&Settings::load(None, &lookup).unwrap()).unwrap()
}

/// Modifies the staged file when a step begins.
struct TamperedAt {
    step: ExportStep,
    staged: PathBuf,
    tamper: fn(&Path),
}

impl Progress for TamperedAt {
    fn event(&mut self, event: &ExportEvent<'_>) {
        if *event == (ExportEvent::Step { step: self.step }) {
            (self.tamper)(&self.staged);
        }
    }
}

/// Changes one byte in the middle, without changing the size and the visible modification time.
fn change_a_byte(staged: &Path) {
    let before = fs::metadata(staged).unwrap();
    fs::set_permissions(staged, Permissions::from_mode(0o600)).unwrap();
    let file = OpenOptions::new().read(true).write(true).open(staged).unwrap();
    let (mut byte, at) = ([0], before.len() / 2);
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
    fs::set_permissions(staged, before.permissions()).unwrap();
}

/// Simulates a COPY onto the file.
fn overwrite(staged: &Path) {
    fs::set_permissions(staged, Permissions::from_mode(0o600)).unwrap();
    fs::write(staged, "1\n1\n\n\n").unwrap();
}

/// Replaces it with another complete file of the same content, which was never audited.
fn replace(staged: &Path) {
    let other = staged.with_extension("other");
    fs::copy(staged, &other).unwrap();
    fs::rename(other, staged).unwrap();
}

fn lay_a_log(staged: &Path) {
    fs::write(staged.with_extension("duckdb.wal"), "forged").unwrap();
}

#[test]
fn a_staged_file_that_was_changed_after_it_was_closed_is_never_served() {
    type Case = (ExportStep, &'static str, fn(&Path));
    let cases: [Case; 9] = [
        (ExportStep::Audit, "audited", change_a_byte),
        (ExportStep::Audit, "audited", overwrite),
        (ExportStep::Audit, "took its place", replace),
        (ExportStep::Sync, "other content", change_a_byte),
        (ExportStep::Manifest, "has 6 bytes", overwrite),
        (ExportStep::Rename, "other content", change_a_byte),
        (ExportStep::Rename, "has 6 bytes", overwrite),
        (ExportStep::Link, "_export.duckdb.wal", lay_a_log),
        (ExportStep::Rename, "_export.duckdb.wal", lay_a_log),
    ];
    let site = Site::runs();
    site.ok(&["export"]);
    let kept = site.kept();
    for (step, why, tamper) in cases {
        site.begin_run(2);
        let finished = export::export(
            &job(&site),
            &mut TamperedAt { step, staged: site.path("_export.work/_export.duckdb"), tamper },
        );
        let error = finished.error.unwrap();
        assert!(matches!(&error, ExportError::Changed { .. }), "{step:?}: {error}");
        let text = error.to_string();
        assert!(text.contains(why) && text.contains("nothing was published"), "{step:?}: {text}");
        assert_eq!(whole_run(&site.served()), 1, "{step:?}");
        assert_eq!(site.kept(), kept, "{step:?}: what was refused is kept as a generation");
        assert!(!site.path("_export.work").exists(), "{step:?}");
        assert_eq!(site.history().last().unwrap()["outcome"], "failed");
    }
    site.ok(&["export"]);
    assert_eq!(whole_run(&site.served()), 2);
}

/// Leaves the log of a program that changes a published file and is killed; the file is writable
/// for that moment only.
fn forge_a_log(file: &Path) {
    let mode = fs::metadata(file).unwrap().permissions();
    let (scratch, log) =
        (file.with_extension("scratch"), |path: &Path| path.with_extension("duckdb.wal"));
    fs::copy(file, &scratch).unwrap();
    fs::set_permissions(&scratch, Permissions::from_mode(0o600)).unwrap();
    let connection = duckdb::Connection::open(&scratch).unwrap();
    connection
        .execute_batch("SET checkpoint_threshold = '1TB'; PRAGMA disable_checkpoint_on_shutdown; UPDATE serving.numbers SET value = -1")
        .unwrap();
    drop(connection);
    fs::rename(scratch.with_extension("scratch.wal"), log(file)).unwrap();
    fs::remove_file(&scratch).unwrap();
    fs::set_permissions(file, mode).unwrap();
}

#[test]
fn a_wal_next_to_a_published_file_is_never_applied_and_an_export_moves_it() {
    let site = Site::small();
    site.ok(&["export"]);
    let generation = site.path(&format!(
        "analytics.generations/{}.duckdb",
        site.history()[0]["id"].as_str().unwrap()
    ));
    let forged = |file: &Path| {
        reading(file)
            .query_row("SELECT min(value) FROM serving.numbers", [], |row| row.get::<_, f64>(0))
            .unwrap()
    };
    for file in [generation, site.served()] {
        forge_a_log(&file);
        assert!(forged(&file) < 0.0, "DuckDB does not apply the log: nothing is tried here");
        let status = site.run(&["status"]);
        assert_eq!(status.code, 1, "{status:#?}");
        assert!(status.stdout.contains(".duckdb.wal is next to a published file"), "{status:#?}");
        let status: serde_json::Value =
            serde_json::from_str(&site.run(&["status", "--json"]).stdout).unwrap();
        assert_eq!(status["healthy"], false, "{status:#?}");
        // A reader that starts now shows none of it: it opens the audited file, or none.
        let query = "SELECT min(value)::DOUBLE AS least FROM numbers";
        let result = Reader::open_file(&site.served(), "serving", ReaderConfig::small())
            .unwrap()
            .pin()
            .and_then(|pin| pin.query_blocking(Query::new(query), QueryLimits::for_page()));
        if let Ok(answer) = &result {
            let values =
                answer.batches[0].column(0).as_any().downcast_ref::<Float64Array>().unwrap();
            assert!(values.value(0) >= 0.0, "what was never audited is shown");
        }
        // Nothing has changed in the lakehouse, but the log is removed nevertheless.
        let exported = site.ok(&["export"]);
        assert!(exported.stderr.contains("was moved away"), "{exported:#?}");
        assert!(forged(&file) >= 0.0 && forged(&site.served()) >= 0.0);
        let healthy = site.run(&["status"]);
        assert_eq!(healthy.code, 0, "{healthy:#?}");
    }
}

/// Records the permissions of the staging folder.
fn note_modes(staged: &Path) {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    fs::write(
        staged.parent().unwrap().with_extension("modes"),
        format!("{:o}", mode(staged.parent().unwrap())),
    )
    .unwrap();
}

#[test]
fn until_it_is_published_a_file_can_be_read_by_its_owner_alone() {
    let site = Site::small();
    let staged = site.path("_export.work/_export.duckdb");
    for step in [ExportStep::Checkpoint, ExportStep::Audit, ExportStep::Sync] {
        site.change(&format!("UPDATE serving.numbers SET value = value + {}", step as u8));
        let finished = export::export(
            &job(&site),
            &mut TamperedAt { step, staged: staged.clone(), tamper: note_modes },
        );
        assert!(finished.error.is_none(), "{:?}", finished.error);
        assert_eq!(fs::read_to_string(site.path("_export.modes")).unwrap(), "700", "{step:?}");
        fs::remove_file(site.path("_export.modes")).unwrap();
    }
    site.change("DELETE FROM serving.numbers");
    let refused = site.run(&["export", "--keep-refused"]);
    assert_eq!(refused.code, 3, "{refused:#?}");
    let mode =
        fs::metadata(site.path("analytics.refused.duckdb")).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        mode, 0o600,
        "the refused file, which nobody audited, is readable to others: {mode:o}"
    );
}

#[test]
fn a_kept_generation_whose_values_were_changed_is_never_rolled_back_to() {
    let site = Site::small();
    site.ok(&["export"]);
    let oldest = site.path(&format!(
        "analytics.generations/{}.duckdb",
        site.history()[0]["id"].as_str().unwrap()
    ));
    site.change("INSERT INTO serving.numbers VALUES (1000, 0)");
    site.ok(&["export"]);
    let forged = oldest.with_extension("forged");
    fs::copy(&oldest, &forged).unwrap();
    fs::set_permissions(&forged, Permissions::from_mode(0o600)).unwrap();
    duckdb::Connection::open(&forged)
        .unwrap()
        .execute_batch("UPDATE serving.numbers SET value = -1; CHECKPOINT")
        .unwrap();
    fs::rename(&forged, &oldest).unwrap();
    let ran = site.run(&["rollback"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stderr.contains("its bytes are not those that were published"), "{ran:#?}");
    assert_eq!(site.number("SELECT count(*) FROM serving.numbers WHERE value >= 0"), 1001);
}
