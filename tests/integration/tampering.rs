//! What somebody else writes where materia publishes is not served: neither a staged file that was changed, nor a log beside a generation.

use std::{
    fs::{self, OpenOptions, Permissions},
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
};

use materia::{
    export::{self, Event, ExportError, Job, Step, Watch},
    settings::Settings,
};

use crate::support::{Site, whole_run};

fn job(site: &Site) -> Job {
    let places = [("DUCKDB_PATH", site.lakehouse()), ("SERVING_DUCKDB_PATH", site.served())];
    let lookup = |name: &str| places.iter().find(|(known, _)| *known == name).map(|(_, path)| path.to_str().unwrap().to_owned());
    Job::new(&Settings::load(None, &lookup).unwrap()).unwrap()
}

/// Does something to the staged file when a step begins.
struct TamperedAt {
    step: Step,
    staged: PathBuf,
    tamper: fn(&Path),
}

impl Watch for TamperedAt {
    fn event(&mut self, event: &Event<'_>) {
        if *event == (Event::Step { step: self.step }) {
            (self.tamper)(&self.staged);
        }
    }
}

/// Changes one byte in the middle, and neither the size nor the time of change that programs see.
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

/// What a COPY onto it would leave.
fn overwrite(staged: &Path) {
    fs::set_permissions(staged, Permissions::from_mode(0o600)).unwrap();
    fs::write(staged, "1\n1\n\n\n").unwrap();
}

/// Puts another whole file of the same content in its place, which nobody has audited.
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
    type Case = (Step, &'static str, fn(&Path));
    let cases: [Case; 9] = [
        (Step::Audit, "audited", change_a_byte),
        (Step::Audit, "audited", overwrite),
        (Step::Audit, "took its place", replace),
        (Step::Sync, "other content", change_a_byte),
        (Step::Manifest, "has 6 bytes", overwrite),
        (Step::Rename, "other content", change_a_byte),
        (Step::Rename, "has 6 bytes", overwrite),
        (Step::Link, "_export.duckdb.wal", lay_a_log),
        (Step::Rename, "_export.duckdb.wal", lay_a_log),
    ];
    let site = Site::runs();
    site.ok(&["export"]);
    let kept = site.kept();
    for (step, why, tamper) in cases {
        site.begin_run(2);
        let finished = export::export(&job(&site), &mut TamperedAt { step, staged: site.path("_export.duckdb"), tamper });
        let error = finished.error.unwrap();
        assert!(matches!(&error, ExportError::Changed { .. }), "{step:?}: {error}");
        let said = error.to_string();
        assert!(said.contains(why) && said.contains("nothing was published"), "{step:?}: {said}");
        assert_eq!(whole_run(&site.served()), 1, "{step:?}");
        assert_eq!(site.kept(), kept, "{step:?}: what was refused is kept as a generation");
        assert!(!site.path("_export.duckdb").exists() && !site.path("_export.duckdb.wal").exists(), "{step:?}");
        assert_eq!(site.history().last().unwrap()["outcome"], "failed");
    }
    site.ok(&["export"]);
    assert_eq!(whole_run(&site.served()), 2);
}
