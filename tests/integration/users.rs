//! `materia users`, as operators type it.

use crate::{
    screen::{self, Screen},
    support::{Ran, Site},
};

fn assert_shows(name: &str, site: &Site, args: &[&str]) -> Ran {
    let ran = site.run(args);
    screen::settings().bind(|| insta::assert_snapshot!(name, Screen::of(site).show(args, &ran)));
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
    let before: Vec<_> = site.ok(&["users", "list", "--json"]).stdout.lines().map(str::to_owned).collect();
    site.ok(&["users", "seed"]);
    let after = site.ok(&["users", "list", "--json"]).stdout;
    assert_eq!(after.lines().count(), 4);
    // Only the plan that was changed is what it was again.
    assert_eq!(after.lines().filter(|line| !before.iter().any(|was| was == line)).count(), 1, "{after}");
}

#[test]
fn nobody_is_made_an_admin_from_the_command_line_who_is_not_in_the_list() {
    let site = Site::empty();
    site.ok(&["users", "seed"]);
    assert_eq!(assert_shows("users_set_role_refused", &site, &["users", "set-role", "free@example.test", "admin"]).code, 1);
    let listed = |args: &[&str]| Ran::of(&site.command(args).env("ADMIN_EMAILS", "free@example.test").output().unwrap());
    assert_eq!(listed(&["users", "set-role", "free@example.test", "admin"]).stdout, "free@example.test has the role admin\n");
    let taken = listed(&["users", "set-role", "free@example.test", "customer"]).stdout;
    assert!(taken.contains("it is admin again at its next sign-in"), "{taken}");
}

#[test]
fn a_wrong_address_plan_or_role_is_named() {
    let site = Site::empty();
    site.ok(&["users", "seed"]);
    assert_eq!(assert_shows("users_unknown", &site, &["users", "set-plan", "nobody@example.test", "pro"]).code, 1);
    assert_eq!(assert_shows("users_no_address", &site, &["users", "suspend", "nobody"]).code, 2);
    assert_eq!(assert_shows("users_wrong_plan", &site, &["users", "set-plan", "free@example.test", "startr"]).code, 2);
    assert_eq!(assert_shows("users_wrong_role", &site, &["users", "set-role", "free@example.test", "root"]).code, 2);
}

#[test]
fn what_is_wrong_with_the_store_is_told_without_its_password() {
    let site = Site::empty();
    let told = |args: &[&str], url: &str| {
        let ran = Ran::of(&site.command(args).env("DATABASE_URL", url).output().unwrap());
        assert!(ran.code == 1 && !format!("{ran:?}").contains("hunter2"), "{ran:#?}");
        ran.stderr
    };
    let wrong = told(&["users", "list"], "mysql://user:hunter2@db/materia");
    assert!(wrong.contains("DATABASE_URL: it begins neither with sqlite: nor with postgres:"), "{wrong}");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = told(&["users", "list"], &format!("postgres://user:hunter2@{nobody}/materia"));
    assert!(away.contains(&format!("cannot open the accounts in PostgreSQL at {nobody}, database materia")), "{away}");
    site.ok(&["users", "seed"]);
    let to = |url: &str| told(&["users", "copy", url], "sqlite://accounts.db");
    assert!(to("mysql://user:hunter2@db/materia").contains("the new database: it begins neither with sqlite: nor with postgres:"));
    let away = to(&format!("postgres://user:hunter2@{nobody}/materia"));
    assert!(
        away.contains(&format!("the new database: cannot open the accounts in PostgreSQL at {nobody}")) && !away.contains("DATABASE_URL"),
        "{away}"
    );
    let backup = told(&["users", "backup", "copy.dump"], "postgres://user:hunter2@db/materia");
    assert!(backup.contains("pg_dump --format=custom --file='copy.dump' --dbname=\"$DATABASE_URL\""), "{backup}");
}

#[test]
fn a_backup_is_whole_while_others_write_and_can_be_gone_back_to() {
    use std::{fs, os::unix::fs::PermissionsExt as _, process::Stdio};
    let site = Site::empty();
    assert_shows("users_backup_nothing", &site, &["users", "backup", "copy.db"]);
    site.ok(&["users", "seed"]);
    let change = |plan: &str| site.command(&["users", "set-plan", "free@example.test", plan]).stdout(Stdio::null()).spawn().unwrap();
    let mut writers: Vec<_> = ["starter", "pro", "free", "starter"].into_iter().map(change).collect();
    for name in ["one.db", "two.db", "three.db"] {
        assert!(site.ok(&["users", "backup", name]).stdout.starts_with(&format!("{name}: 4 accounts, ")));
    }
    for writer in &mut writers {
        assert!(writer.wait().unwrap().success());
    }
    site.ok(&["users", "backup", "copy.db"]);
    assert_eq!(fs::metadata(site.path("copy.db")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(assert_shows("users_backup_exists", &site, &["users", "backup", "copy.db"]).code, 1);
    let listed = |url: &str| Ran::of(&site.command(&["users", "list"]).env("DATABASE_URL", url).output().unwrap()).stdout;
    assert_eq!(listed("sqlite://copy.db"), listed("sqlite://accounts.db"));
    assert!(!site.names().iter().any(|name| name.contains(".part")), "{:?}", site.names());
}

#[test]
fn accounts_are_copied_into_an_empty_database_and_into_no_other() {
    let site = Site::empty();
    assert_eq!(assert_shows("users_copy_nothing", &site, &["users", "copy", "sqlite://other.db"]).code, 1);
    site.ok(&["users", "seed"]);
    assert_shows("users_copy", &site, &["users", "copy", "sqlite://other.db"]);
    let listed = |url: &str| Ran::of(&site.command(&["users", "list", "--json"]).env("DATABASE_URL", url).output().unwrap()).stdout;
    assert_eq!(listed("sqlite://other.db"), listed("sqlite://accounts.db"));
    assert_eq!(assert_shows("users_copy_in_use", &site, &["users", "copy", "sqlite://other.db"]).code, 1);
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
