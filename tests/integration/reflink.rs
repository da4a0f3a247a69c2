//! A filesystem that shares blocks between files. Opt-in, because it creates a filesystem of 3 GB:
//! `MATERIA_TEST_XFS=1`.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{Site, number};

#[test]
fn a_reflink_keeps_the_pipeline_of_a_large_lakehouse_out_for_milliseconds_only() {
    let Some(mount) = Mount::xfs() else { return };
    let lakehouse = mount.path.join("lakehouse.duckdb");
    Site::make(
        &lakehouse,
        "CREATE SCHEMA serving; CREATE SCHEMA raw;
         CREATE TABLE serving.numbers AS SELECT i FROM range(1000) t(i);
         CREATE TABLE raw.large AS SELECT hash(i) AS a, hash(i, 1) AS b FROM range(62500000) t(i);",
    );
    let bytes = lakehouse.metadata().unwrap().len();
    assert!(bytes > 950_000_000, "the lakehouse has only {bytes} bytes");
    for how in ["reflink", "auto"] {
        let ran = mount.site.ok(&[
            "export",
            "--json",
            "--snapshot",
            how,
            "--lakehouse",
            lakehouse.to_str().unwrap(),
        ]);
        let last: serde_json::Value =
            serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
        let record = &last["record"];
        assert_eq!(record["snapshot"], "reflink", "{record}");
        let blocked = record["blocked_ms"].as_u64().unwrap();
        println!("blocked for {blocked} ms, {bytes} bytes");
        assert!(blocked < 50, "{record}");
    }
    assert_eq!(
        number(&mount.path.join("analytics.duckdb"), "SELECT count(*) FROM serving.numbers"),
        1000
    );
}

/// A filesystem in a file, unmounted on drop.
struct Mount {
    site: Site,
    path: PathBuf,
}

impl Mount {
    fn xfs() -> Option<Self> {
        if env::var_os("MATERIA_TEST_XFS").is_none() {
            println!(
                "skipped: set MATERIA_TEST_XFS=1 to make an XFS filesystem of 3 GB and run this"
            );
            return None;
        }
        let site = Site::empty();
        let (image, path) = (site.path("image"), site.path("mount"));
        std::fs::File::create(&image).unwrap().set_len(3 << 30).unwrap();
        std::fs::create_dir(&path).unwrap();
        let made = tried(Command::new("mkfs.xfs").arg("-q").arg(&image))
            && tried(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&path));
        if !made {
            println!("skipped: an XFS filesystem cannot be made and mounted here");
            return None;
        }
        Some(Self { site, path })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        unmount(&self.path);
    }
}

fn unmount(path: &Path) {
    let _ = Command::new("umount").arg(path).status();
}

fn tried(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}
