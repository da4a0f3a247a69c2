//! `materia users`, as operators type it.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    time::{Duration, SystemTime},
};

use crate::{
    normalized_output::{self, Screen},
    s3::{KEY_ID, S3, SECRET},
    support::{Ran, Site},
};

fn assert_shows(name: &str, site: &Site, args: &[&str]) -> Ran {
    let ran = site.run(args);
    normalized_output::settings()
        .bind(|| insta::assert_snapshot!(name, Screen::of(site).show(args, &ran)));
    ran
}

#[test]
fn accounts_are_seeded_listed_and_changed() {
    let site = Site::empty();
    assert_shows("users_none", &site, &["users", "list"]);
    assert_shows("users_seed", &site, &["users", "seed"]);
    assert_shows("users_set_plan", &site, &["users", "set-plan", "Free@Example.test", "starter"]);
    assert_shows("users_suspend", &site, &["users", "suspend", "pro@example.test"]);
    assert_shows("users_list", &site, &["users", "list"]);
    assert_shows("users_lift", &site, &["users", "suspend", "--lift", "pro@example.test"]);
    let before: Vec<_> =
        site.ok(&["users", "list", "--json"]).stdout.lines().map(str::to_owned).collect();
    site.ok(&["users", "seed"]);
    let after = site.ok(&["users", "list", "--json"]).stdout;
    assert_eq!(after.lines().count(), 4);
    // Only the changed plan is restored.
    assert_eq!(
        after.lines().filter(|line| !before.iter().any(|was| was == line)).count(),
        1,
        "{after}"
    );
}

#[test]
fn only_listed_emails_can_become_admins_on_the_command_line() {
    let site = Site::empty();
    site.ok(&["users", "seed"]);
    assert_eq!(
        assert_shows(
            "users_set_role_refused",
            &site,
            &["users", "set-role", "free@example.test", "admin"]
        )
        .code,
        1
    );
    let listed = |args: &[&str]| {
        Ran::of(&site.command(args).env("ADMIN_EMAILS", "free@example.test").output().unwrap())
    };
    assert_eq!(
        listed(&["users", "set-role", "free@example.test", "admin"]).stdout,
        "free@example.test has the role admin\n"
    );
    let taken = listed(&["users", "set-role", "free@example.test", "customer"]).stdout;
    assert!(taken.contains("it is admin again at its next sign-in"), "{taken}");
}

#[test]
fn a_wrong_address_plan_or_role_is_named() {
    let site = Site::empty();
    site.ok(&["users", "seed"]);
    assert_eq!(
        assert_shows("users_unknown", &site, &["users", "set-plan", "nobody@example.test", "pro"])
            .code,
        1
    );
    assert_eq!(assert_shows("users_no_address", &site, &["users", "suspend", "nobody"]).code, 2);
    assert_eq!(
        assert_shows(
            "users_wrong_plan",
            &site,
            &["users", "set-plan", "free@example.test", "startr"]
        )
        .code,
        2
    );
    assert_eq!(
        assert_shows(
            "users_wrong_role",
            &site,
            &["users", "set-role", "free@example.test", "root"]
        )
        .code,
        2
    );
}

#[test]
fn store_errors_are_reported_without_the_password() {
    let site = Site::empty();
    let error_of = |args: &[&str], url: &str| {
        let ran = Ran::of(&site.command(args).env("DATABASE_URL", url).output().unwrap());
        assert!(ran.code == 1 && !format!("{ran:?}").contains("hunter2"), "{ran:#?}");
        ran.stderr
    };
    let wrong = error_of(&["users", "list"], "mysql://user:hunter2@db/materia");
    assert!(
        wrong.contains("DATABASE_URL: it begins neither with sqlite: nor with postgres:"),
        "{wrong}"
    );
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = error_of(&["users", "list"], &format!("postgres://user:hunter2@{nobody}/materia"));
    assert!(
        away.contains(&format!(
            "cannot open the accounts in PostgreSQL at {nobody}, database materia"
        )),
        "{away}"
    );
    site.ok(&["users", "seed"]);
    let to = |url: &str| error_of(&["users", "copy", url], "sqlite://accounts.db");
    assert!(
        to("mysql://user:hunter2@db/materia")
            .contains("the new database: it begins neither with sqlite: nor with postgres:")
    );
    let away = to(&format!("postgres://user:hunter2@{nobody}/materia"));
    assert!(
        away.contains(&format!(
            "the new database: cannot open the accounts in PostgreSQL at {nobody}"
        )) && !away.contains("DATABASE_URL"),
        "{away}"
    );
    let backup = error_of(&["users", "backup", "copy.dump"], "postgres://user:hunter2@db/materia");
    assert!(
        backup.contains("pg_dump --format=custom --file='copy.dump' --dbname=\"$DATABASE_URL\""),
        "{backup}"
    );
}

#[test]
fn a_backup_is_whole_while_others_write_and_can_be_gone_back_to() {
    use std::{fs, os::unix::fs::PermissionsExt as _, process::Stdio};
    let site = Site::empty();
    assert_shows("users_backup_nothing", &site, &["users", "backup", "copy.db"]);
    site.ok(&["users", "seed"]);
    let change = |plan: &str| {
        site.command(&["users", "set-plan", "free@example.test", plan])
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut writers: Vec<_> =
        ["starter", "pro", "free", "starter"].into_iter().map(change).collect();
    for name in ["one.db", "two.db", "three.db"] {
        assert!(
            site.ok(&["users", "backup", name])
                .stdout
                .starts_with(&format!("{name}: 4 accounts, "))
        );
    }
    for writer in &mut writers {
        assert!(writer.wait().unwrap().success());
    }
    site.ok(&["users", "backup", "copy.db"]);
    assert_eq!(fs::metadata(site.path("copy.db")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(assert_shows("users_backup_exists", &site, &["users", "backup", "copy.db"]).code, 1);
    let listed = |url: &str| {
        Ran::of(&site.command(&["users", "list"]).env("DATABASE_URL", url).output().unwrap()).stdout
    };
    assert_eq!(listed("sqlite://copy.db"), listed("sqlite://accounts.db"));
    assert!(!site.names().iter().any(|name| name.contains(".part")), "{:?}", site.names());
}

#[test]
fn accounts_are_copied_into_an_empty_database_and_into_no_other() {
    let site = Site::empty();
    assert_eq!(
        assert_shows("users_copy_nothing", &site, &["users", "copy", "sqlite://other.db"]).code,
        1
    );
    site.ok(&["users", "seed"]);
    assert_shows("users_copy", &site, &["users", "copy", "sqlite://other.db"]);
    let listed = |url: &str| {
        Ran::of(
            &site.command(&["users", "list", "--json"]).env("DATABASE_URL", url).output().unwrap(),
        )
        .stdout
    };
    assert_eq!(listed("sqlite://other.db"), listed("sqlite://accounts.db"));
    assert_eq!(
        assert_shows("users_copy_in_use", &site, &["users", "copy", "sqlite://other.db"]).code,
        1
    );
}

#[test]
fn a_damaged_store_is_not_taken_for_a_backup() {
    use std::{fs, os::unix::fs::FileExt as _};
    let site = Site::empty();
    site.ok(&["users", "seed"]);
    let file = fs::OpenOptions::new().write(true).open(site.path("accounts.db")).unwrap();
    let pages = file.metadata().unwrap().len() / 4096;
    for page in 1..pages {
        file.write_all_at(&[0x55; 1024], page * 4096 + 8).unwrap();
    }
    let ran = site.run(&["users", "backup", "copy.db"]);
    assert!(ran.code == 1 && ran.stderr.contains("accounts.db"), "{ran:#?}");
    assert!(!site.names().iter().any(|name| name.starts_with("copy")), "{:?}", site.names());
}

#[test]
fn a_backup_is_restored_while_the_site_is_stopped_and_refused_while_it_runs() {
    let site = Site::small();
    site.ok(&["users", "seed"]);
    site.ok(&["users", "backup", "copy.db"]);
    site.ok(&["users", "set-plan", "free@example.test", "pro"]);
    let plan = || {
        let listed = site.ok(&["users", "list", "--json"]).stdout;
        let free = listed.lines().find(|line| line.contains("free@example.test")).unwrap();
        let free: serde_json::Value = serde_json::from_str(free).unwrap();
        free["plan"].as_str().unwrap().to_owned()
    };
    let web = crate::web::Web::start(&site, &[]);
    let refused = site.run(&["users", "restore", "copy.db"]);
    assert!(
        refused.code == 1
            && refused
                .stderr
                .contains("copy.db was not restored: the accounts are in use; stop the site first")
            && refused.stderr.contains("The accounts are as they were"),
        "{refused:#?}"
    );
    drop(web);
    assert_eq!(plan(), "pro");
    let whole = fs::read(site.path("copy.db")).unwrap();
    fs::write(site.path("torn.db"), &whole[..whole.len() / 2]).unwrap();
    let refused = site.run(&["users", "restore", "torn.db"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("torn.db was not restored: "),
        "{refused:#?}"
    );
    assert_eq!(plan(), "pro");
    let restored = site.ok(&["users", "restore", "copy.db"]);
    assert!(
        restored.stdout.starts_with("restored 4 accounts from copy.db; what was there is "),
        "{restored:#?}"
    );
    assert_eq!(plan(), "free");
    let former: Vec<_> =
        site.names().into_iter().filter(|name| name.starts_with("accounts.db.before-")).collect();
    assert_eq!(former.len(), 1, "{former:?}");
    // The previous accounts can be restored, and a machine without accounts can get them.
    fs::remove_file(site.path("accounts.db")).unwrap();
    let _ = (
        fs::remove_file(site.path("accounts.db-wal")),
        fs::remove_file(site.path("accounts.db-shm")),
    );
    site.ok(&["users", "restore", &former[0]]);
    assert_eq!(plan(), "pro");
    let mode = fs::metadata(site.path("accounts.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn every_backup_is_copied_to_another_folder_and_one_that_is_not_there_is_named() {
    let site = Site::small();
    site.settings("[accounts]\nbackup_to = 'elsewhere'");
    site.ok(&["export", "-q"]);
    site.ok(&["users", "seed"]);
    let failed = site.run(&["users", "backup", "accounts-20261129T020000Z.db"]);
    assert!(
        failed.code == 1
            && failed.stderr.contains(
                "the backup is in accounts-20261129T020000Z.db, but cannot write elsewhere/"
            ),
        "{failed:#?}"
    );
    fs::create_dir(site.path("elsewhere")).unwrap();
    let long_ago = SystemTime::now() - Duration::from_hours(31 * 24);
    for day in 10..19 {
        let old = site.path(&format!("elsewhere/accounts-202601{day}T020000Z.db"));
        fs::write(&old, "").unwrap();
        File::options().write(true).open(old).unwrap().set_modified(long_ago).unwrap();
    }
    let name = "accounts-20261130T020000Z.db";
    site.ok(&["users", "backup", name]);
    let copy = fs::read(site.path("elsewhere").join(name)).unwrap();
    assert!(!copy.is_empty() && copy == fs::read(site.path(name)).unwrap());
    assert_eq!(crate::support::names(&site.path("elsewhere")).len(), 7);
    let status = site.ok(&["status"]).stdout;
    assert!(
        status.contains("\nbackups       the newest is ")
            && status.contains(" old, in elsewhere\n"),
        "{status}"
    );
}

#[test]
fn every_backup_is_copied_to_a_bucket_its_age_is_watched_there_and_accounts_are_restored_from_it() {
    let Some(mut storage) = S3::start() else { return };
    let site = Site::small();
    site.settings("[accounts]\nbackup_to = 's3://lake/copies/'");
    site.ok(&["export", "-q"]);
    let endpoint = format!("http://127.0.0.1:{}", storage.port());
    let run = |args: &[&str]| {
        let mut command = site.command(args);
        command.env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET);
        let ran = Ran::of(&command.env("AWS_ENDPOINT_URL", &endpoint).output().unwrap());
        assert!(!format!("{ran:?}").contains(SECRET), "{ran:#?}");
        ran
    };
    site.ok(&["users", "seed"]);
    let unnamed = site.run(&["users", "backup", "accounts-20261128T020000Z.db"]);
    assert!(
        unnamed.code == 1
            && unnamed.stderr.contains(
                "the backup is in accounts-20261128T020000Z.db, but AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set"
            ),
        "{unnamed:#?}"
    );
    let status = run(&["status"]);
    assert!(
        status.code == 1 && status.stdout.contains("in s3://lake/copies there is none"),
        "{status:#?}"
    );
    let name = "accounts-20261129T020000Z.db";
    let made = run(&["users", "backup", name]);
    assert!(
        made.code == 0 && made.stdout.ends_with(&format!("s3://lake/copies/{name}: the same\n")),
        "{made:#?}"
    );
    let stored = storage.bucket().join("copies").join(name);
    assert_eq!(fs::read(&stored).unwrap(), fs::read(site.path(name)).unwrap());
    let status = run(&["status"]);
    assert!(
        status.code == 0 && status.stdout.contains(" old, in s3://lake/copies\n"),
        "{status:#?}"
    );

    // Old copies go, except for the newest seven; other objects stay.
    let long_ago = SystemTime::now() - Duration::from_hours(31 * 24);
    let old = |name: &str| {
        let path = storage.bucket().join("copies").join(name);
        fs::write(&path, "").unwrap();
        File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
    };
    (10..19).for_each(|day| old(&format!("accounts-202601{day}T020000Z.db")));
    old("notes.txt");
    run(&["users", "backup", "accounts-20261130T020000Z.db"]);
    let mut left = storage.objects();
    left.retain(|name| name.split_once("accounts-").is_some());
    assert_eq!(left.len(), 7, "{left:?}");
    assert_eq!(left[0], "copies/accounts-20260114T020000Z.db");
    assert!(storage.objects().contains(&"copies/notes.txt".to_owned()));

    // A machine without accounts gets them from there.
    for file in ["accounts.db", "accounts.db-wal", "accounts.db-shm"] {
        let _ = fs::remove_file(site.path(file));
    }
    for wrong in ["s3://lake/copies/accounts-20200101T000000Z.db", "s3://lake/copies"] {
        let refused = run(&["users", "restore", wrong]);
        assert!(
            refused.code == 1
                && refused
                    .stderr
                    .contains("the newest is s3://lake/copies/accounts-20261130T020000Z.db"),
            "{refused:#?}"
        );
    }
    let restored = run(&["users", "restore", &format!("s3://lake/copies/{name}")]);
    assert!(
        restored
            .stdout
            .starts_with(&format!("restored 4 accounts from s3://lake/copies/{name}. Start")),
        "{restored:#?}"
    );
    assert!(site.ok(&["users", "list"]).stdout.contains("4 accounts"));
    assert!(!site.names().iter().any(|name| name.contains(".restore")), "{:?}", site.names());

    // A damaged copy and a server that is not there change nothing.
    fs::write(&stored, &fs::read(&stored).unwrap()[..5000]).unwrap();
    let refused = run(&["users", "restore", &format!("s3://lake/copies/{name}")]);
    assert!(refused.code == 1 && refused.stderr.contains("was not restored"), "{refused:#?}");
    storage.end();
    let status = run(&["status"]);
    assert!(
        status.code == 1
            && status.stdout.contains("in s3://lake/copies failed: it cannot be listed: "),
        "{status:#?}"
    );
    let failed = run(&["users", "backup", "accounts-20261201T020000Z.db"]);
    assert!(failed.code == 1 && failed.stderr.contains("did not respond"), "{failed:#?}");
    assert!(site.ok(&["users", "list"]).stdout.contains("4 accounts"));
}
