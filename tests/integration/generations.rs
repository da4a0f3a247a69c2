//! Every generation that was served can be served again, whatever has happened to the served file
//! and to the clock since.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    time::{Duration, SystemTime},
};

use crate::{
    child::Actor,
    support::{Site, names, whole_run},
};

const TIDY: [&str; 4] =
    ["analytics.duckdb", "analytics.generations", "analytics.history.jsonl", "lakehouse.duckdb"];

/// Creates a site that has exported this many runs and retains all of them.
fn exported(runs: i64) -> Site {
    let site = Site::runs();
    for run in 1..=runs {
        site.begin_run(run);
        site.ok(&["export", "--keep", "20"]);
    }
    site
}

/// Puts a database that materia did not publish, with one run, at the served path.
fn replace_served(site: &Site, run: i64) {
    let _ = fs::remove_file(site.served());
    site.begin_run(run);
    let stray = site.path("stray.duckdb");
    Site::make(
        &stray,
        &format!(
            "ATTACH '{}' AS lakehouse (READ_ONLY);
             CREATE SCHEMA serving;
             CREATE TABLE serving.customers AS FROM lakehouse.serving.customers;
             CREATE TABLE serving.orders AS FROM lakehouse.serving.orders;
             CREATE TABLE serving.totals AS FROM lakehouse.serving.totals;
             DETACH lakehouse;",
            site.lakehouse().display()
        ),
    );
    fs::rename(stray, site.served()).unwrap();
}

fn last_outcome(site: &Site) -> String {
    site.history().last().unwrap()["outcome"].as_str().unwrap().to_owned()
}

#[test]
fn any_kept_generation_can_be_restored_by_a_prefix_of_its_id() {
    let site = exported(4);
    let kept = site.kept();
    site.ok(&["rollback"]);
    assert_eq!(whole_run(&site.served()), 3);
    site.ok(&["rollback"]);
    assert_eq!(whole_run(&site.served()), 2, "a second rollback goes one further");
    site.ok(&["rollback", &kept[3]]);
    assert_eq!(whole_run(&site.served()), 4);
    let beginning = (1..19)
        .map(|length| &kept[0][..length])
        .find(|beginning| !kept[1].starts_with(beginning))
        .unwrap();
    site.ok(&["rollback", beginning]);
    assert_eq!(whole_run(&site.served()), 1);

    for requested in [&beginning[..beginning.len() - 1], "19990101T000000000Z"] {
        let ran = site.run(&["rollback", requested]);
        assert_eq!(ran.code, 2, "{requested:?}: {ran:#?}");
        assert!(kept.iter().all(|id| ran.stderr.contains(id)), "what is kept is named: {ran:#?}");
    }
    let ran = site.run(&["rollback"]);
    assert_eq!(ran.code, 1, "there is none before the first: {ran:#?}");
    let ran = site.run(&["rollback", &kept[0]]);
    assert!(ran.code == 1 && ran.stderr.contains("it is the one being served"), "{ran:#?}");
    assert_eq!(whole_run(&site.served()), 1);
    assert_eq!(site.kept(), kept);
    assert_eq!(site.names(), TIDY);
}

#[test]
fn retention_counts_neither_pinned_nor_served_generations() {
    let site = exported(5);
    let kept = site.kept();
    site.ok(&["pin", &kept[0]]);
    site.ok(&["rollback", &kept[1]]);
    site.ok(&["release"]);
    site.ok(&["export", "--keep", "2"]);
    let left = site.kept();
    assert_eq!(left.len(), 4);
    assert_eq!(
        left[..3],
        [kept[0].clone(), kept[3].clone(), kept[4].clone()],
        "pinned, the last with another content, and the newest two"
    );
    assert!(site.path("analytics.generations").join(format!("{}.pinned", kept[0])).exists());
    site.ok(&["rollback", &kept[0]]);
    assert_eq!(whole_run(&site.served()), 1);
    site.ok(&["unpin", &kept[0]]);
    site.ok(&["release"]);
    site.ok(&["export", "--keep", "1"]);
    assert_eq!(site.kept()[..1], kept[3..4], "the last with another content");
    assert_eq!(site.kept().len(), 2);
    assert_eq!(names(&site.path("analytics.generations")).len(), 4);
    assert_eq!(whole_run(&site.served()), 5);
    let none = site.command(&["export", "--quiet"]).env("MATERIA_KEEP", "0").output().unwrap();
    assert_eq!(none.status.code(), Some(2), "the served generation is always kept");
    assert_eq!(site.kept().len(), 2);
}

#[test]
fn a_served_file_that_was_deleted_comes_back() {
    let site = exported(2);
    fs::remove_file(site.served()).unwrap();
    site.ok(&["rollback"]);
    assert_eq!(whole_run(&site.served()), 2, "the newest one is what was served");
    fs::remove_file(site.served()).unwrap();
    site.ok(&["rollback", &site.kept()[0]]);
    assert_eq!(whole_run(&site.served()), 1);
    fs::remove_file(site.served()).unwrap();
    site.ok(&["export"]);
    assert_eq!(whole_run(&site.served()), 2);
    assert_eq!(site.names(), TIDY);
}

/// A kind of damage to a generation.
type Damage = fn(&Site, &str);

/// A change of a file's content.
type Change = fn(Vec<u8>) -> Vec<u8>;

#[test]
fn a_damaged_generation_is_refused_and_what_is_served_stays() {
    let damages: [(&str, Damage); 6] = [
        ("with one wrong byte in each block", |site, id| {
            let mut content = fs::read(site.generation(id)).unwrap();
            content.iter_mut().skip(12_288 + 1000).step_by(256 * 1024).for_each(|byte| *byte ^= 1);
            fs::write(site.generation(id), content).unwrap();
        }),
        ("truncated", |site, id| {
            File::options()
                .write(true)
                .open(site.generation(id))
                .unwrap()
                .set_len(300_000)
                .unwrap();
        }),
        ("emptied", |site, id| {
            File::options().write(true).open(site.generation(id)).unwrap().set_len(0).unwrap();
        }),
        ("overwritten", |site, id| fs::write(site.generation(id), vec![7; 600_000]).unwrap()),
        ("another's", |site, id| {
            assert!(fs::copy(site.path("other.duckdb"), site.generation(id)).is_ok());
        }),
        ("without a manifest", |site, id| {
            fs::remove_file(site.generation(id).with_extension("json")).unwrap();
        }),
    ];
    for (damage, inflict) in damages {
        let site = exported(2);
        Site::make(
            &site.path("other.duckdb"),
            "CREATE SCHEMA serving; CREATE TABLE serving.orders AS SELECT 1 AS id",
        );
        let id = &site.kept()[0];
        fs::set_permissions(site.generation(id), Permissions::from_mode(0o644)).unwrap();
        inflict(&site, id);
        let ran = site.run(&["rollback"]);
        assert_eq!(ran.code, 1, "{damage}: {ran:#?}");
        assert!(
            ran.stderr.contains(&format!("generation {id} cannot be brought back")),
            "{damage}: {ran:#?}"
        );
        assert_eq!(whole_run(&site.served()), 2, "{damage}");
        assert_eq!(last_outcome(&site), "failed");
        site.ok(&["export"]);
        assert!(!site.path("_rollback.duckdb").exists() && !site.path("_export.lock").exists());
    }
}

#[test]
fn a_wal_left_next_to_the_served_file_is_not_applied_to_the_next_one() {
    let site = exported(2);
    for args in [&["export"][..], &["rollback"]] {
        fs::write(site.path("analytics.duckdb.wal"), fs::read(site.served()).unwrap()).unwrap();
        site.ok(args);
        assert!(!site.path("analytics.duckdb.wal").exists());
        whole_run(&site.served());
        assert_eq!(site.names(), TIDY);
    }
}

#[test]
fn a_served_file_that_somebody_writes_is_left_alone_and_the_writer_is_named() {
    let site = exported(2);
    fs::set_permissions(site.served(), Permissions::from_mode(0o644)).unwrap();
    let before = site.kept();
    let writer = Actor::start("writer", &site.served());
    for args in [&["export"][..], &["rollback"]] {
        let ran = site.run(args);
        assert_eq!(ran.code, 1, "{ran:#?}");
        assert!(
            ran.stderr.contains("is open for writing by")
                && ran.stderr.contains(&format!("(pid {}", writer.process.id())),
            "{ran:#?}"
        );
        assert_eq!(last_outcome(&site), "failed");
    }
    writer.end();
    assert_eq!(site.kept(), before);
    assert_eq!(whole_run(&site.served()), 2);
    site.ok(&["export"]);
    assert_eq!(site.names(), TIDY);
}

#[test]
fn a_served_file_that_materia_did_not_make_is_kept_and_can_be_brought_back() {
    let site = Site::runs();
    replace_served(&site, 7);
    site.begin_run(8);
    site.ok(&["export"]);
    assert_eq!(whole_run(&site.served()), 8);
    site.ok(&["rollback"]);
    assert_eq!(whole_run(&site.served()), 7);
    assert_eq!(site.names(), TIDY);
}

#[test]
fn a_foreign_served_file_is_kept_however_old_it_is() {
    let site = exported(3);
    replace_served(&site, 7);
    let long_ago = SystemTime::now() - Duration::from_hours(9600);
    File::options().write(true).open(site.served()).unwrap().set_modified(long_ago).unwrap();
    site.begin_run(8);
    site.ok(&["export", "--keep", "3"]);
    site.ok(&["rollback"]);
    assert_eq!(
        whole_run(&site.served()),
        7,
        "what was served before the export is what comes back"
    );
}

#[test]
fn a_served_generation_that_lost_its_manifest_gets_one_and_can_be_brought_back() {
    let site = exported(2);
    fs::remove_file(site.generation(&site.kept()[1]).with_extension("json")).unwrap();
    site.begin_run(3);
    site.ok(&["export"]);
    site.ok(&["rollback"]);
    assert_eq!(whole_run(&site.served()), 2);
}

#[test]
fn what_belongs_to_a_generation_goes_with_it_even_if_its_removal_was_cut_short() {
    let site = exported(1);
    let folder = site.path("analytics.generations");
    let kept = names(&folder);
    for ending in ["json", "json.new", "duckdb.new", "pinned", "stale-wal"] {
        fs::write(folder.join(format!("20260101T000000000Z.{ending}")), "half of it").unwrap();
    }
    fs::write(site.path("_rollback.duckdb.new"), "half of it").unwrap();
    site.ok(&["export", "--full"]);
    assert_eq!(names(&folder)[..2], kept);
    assert_eq!(names(&folder).len(), 4);
    assert_eq!(site.names(), TIDY);
}

#[test]
fn a_served_file_that_was_damaged_is_replaced_by_the_next_export() {
    let served = |site: &Site| fs::read(site.served()).unwrap();
    let damages: [(&str, Change); 4] = [
        ("text", |_| b"this is no database at all\n".to_vec()),
        ("nothing", |_| Vec::new()),
        ("half of it", |content| content[..content.len() / 2].to_vec()),
        ("its header and noise", |content| [&content[..4096], &vec![9; 500_000]].concat()),
    ];
    for (damage, inflict) in damages {
        let site = exported(2);
        let content = inflict(served(&site));
        fs::remove_file(site.served()).unwrap();
        fs::write(site.served(), content).unwrap();
        let ran = site.ok(&["export"]);
        assert!(ran.stderr.contains("will be replaced"), "{damage}: {ran:#?}");
        assert_eq!(whole_run(&site.served()), 2, "{damage}");
        assert_eq!(site.kept().len(), 3, "{damage}");
        site.ok(&["rollback"]);
        assert_eq!(whole_run(&site.served()), 2, "{damage}");
        assert_eq!(site.names(), TIDY);
    }
}

#[test]
fn a_file_that_materia_did_not_write_is_never_replaced() {
    let site = Site::runs();
    fs::write(site.served(), "my notes about analytics\n").unwrap();
    let ran = site.run(&["export"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(
        ran.stderr.contains("is not a DuckDB database and was not written by materia"),
        "{ran:#?}"
    );
    assert_eq!(fs::read_to_string(site.served()).unwrap(), "my notes about analytics\n");
    assert_eq!(site.names(), ["analytics.duckdb", "analytics.history.jsonl", "lakehouse.duckdb"]);
}

#[test]
fn generations_follow_one_another_when_the_clock_goes_backwards() {
    let site = exported(1);
    site.plant_generation("29991231T235959000Z");
    for run in 2..=4 {
        site.begin_run(run);
        site.ok(&["export"]);
        assert_eq!(whole_run(&site.served()), run);
        assert_eq!(
            whole_run(&site.generation(site.kept().last().unwrap())),
            run,
            "the newest id is the newest content"
        );
    }
    // There is room for a foreign file in between as well.
    replace_served(&site, 7);
    site.begin_run(8);
    site.ok(&["export"]);
    site.ok(&["rollback"]);
    assert_eq!(whole_run(&site.served()), 7);
    site.ok(&["rollback"]);
    assert_eq!(whole_run(&site.served()), 4);
}

#[test]
fn a_torn_last_line_of_the_history_costs_nothing_but_itself() {
    let site = exported(2);
    let path = site.path("analytics.history.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    for torn in ["{", "{\"id\":\"2026", "\0\0\0\0\0\0", &whole[..whole.len() / 4]] {
        fs::write(&path, format!("{whole}{torn}")).unwrap();
        let listed = site.ok(&["history"]);
        assert_eq!(listed.stdout.lines().count(), 2, "{torn:?}: {listed:#?}");
        site.ok(&["status"]);
        site.ok(&["export"]);
        assert_eq!(site.history().len(), 3, "{torn:?}");
        assert!(fs::read_to_string(&path).unwrap().starts_with(&whole), "{torn:?}");
    }
}

#[test]
fn a_folder_copied_without_its_links_and_times_is_recognised_by_its_content() {
    let site = exported(2);
    let copy = Site::empty();
    fs::create_dir(copy.path("analytics.generations")).unwrap();
    for name in ["analytics.duckdb", "analytics.history.jsonl", "lakehouse.duckdb"] {
        fs::write(copy.path(name), fs::read(site.path(name)).unwrap()).unwrap();
    }
    for name in names(&site.path("analytics.generations")) {
        let name = format!("analytics.generations/{name}");
        fs::write(copy.path(&name), fs::read(site.path(&name)).unwrap()).unwrap();
    }
    // Files copied within one tick of the kernel's clock have the same modification time: here the
    // served file and a generation that differs from it.
    let copied = std::time::SystemTime::now();
    let next_tick = copied + std::time::Duration::from_millis(10);
    for (id, modified) in site.kept().iter().zip([copied, next_tick]) {
        fs::File::open(copy.generation(id)).unwrap().set_modified(modified).unwrap();
    }
    fs::File::open(copy.served()).unwrap().set_modified(copied).unwrap();
    let ran = copy.ok(&["status"]);
    assert!(ran.stdout.contains(&format!("generation {}", site.kept()[1])), "{ran:#?}");
    let ran = copy.ok(&["export"]);
    assert!(ran.stdout.starts_with("unchanged"), "{ran:#?}");
    assert_eq!(copy.kept(), site.kept());
    copy.ok(&["rollback"]);
    assert_eq!(whole_run(&copy.served()), 1);
    // One byte more or less is a different file.
    let mut served = fs::read(site.served()).unwrap();
    let last = served.len() - 100_000;
    served[last] ^= 1;
    fs::remove_file(site.served()).unwrap();
    fs::write(site.served(), served).unwrap();
    let ran = site.run(&["status"]);
    assert!(
        ran.code == 1 && ran.stdout.contains("was not published by materia, or was changed since"),
        "{ran:#?}"
    );
}
