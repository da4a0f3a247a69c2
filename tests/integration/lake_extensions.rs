//! DuckDB's extensions in their folder: a missing, damaged or mismatched one is reported, and a
//! good one is never lost.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use materia::extensions::Extension;

use crate::{
    lake,
    support::{Ran, Site, duckdb_version as version, names},
};

/// Returns the default path of an installed extension.
fn installed(site: &Site, extension: Extension) -> PathBuf {
    site.path("extensions").join(version()).join(format!("{}.duckdb_extension", extension.name()))
}

/// Creates a folder like that of the unpacked wheels, with links to the real files.
fn wheels(site: &Site, name: &str, extensions: &Path) -> PathBuf {
    let folder = site.path(name);
    for extension in Extension::ALL {
        let inner =
            folder.join(format!("duckdb_extension_{}/extensions/{}", extension.name(), version()));
        fs::create_dir_all(&inner).unwrap();
        let file = format!("{}.duckdb_extension", extension.name());
        std::os::unix::fs::symlink(extensions.join(version()).join(&file), inner.join(&file))
            .unwrap();
    }
    folder
}

/// Returns the state of each extension in `extensions list --json`, and why it does not load.
fn states(site: &Site) -> Vec<(String, String)> {
    let ran = site.run(&["extensions", "list", "--json"]);
    let read = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        (
            line["state"].as_str().unwrap().to_owned(),
            line["why"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let states: Vec<_> = ran.stdout.lines().map(read).collect();
    assert_eq!(states.len(), 4, "{ran:#?}");
    assert_eq!(ran.code, i32::from(states.iter().any(|(state, _)| state != "present")), "{ran:#?}");
    states
}

#[test]
fn without_extensions_each_is_listed_as_missing_with_what_it_is_for_and_the_command() {
    let site = Site::empty();
    assert!(states(&site).iter().all(|(state, _)| state == "missing"));
    let ran = site.run(&["extensions", "list"]);
    assert_eq!(
        ran.stdout,
        format!(
            "extensions/{}\n\
             \x20 ducklake          missing        for a DuckLake as the target\n\
             \x20 postgres_scanner  missing        for a catalog in PostgreSQL\n\
             \x20 sqlite_scanner    missing        for a catalog in SQLite\n\
             \x20 httpfs            missing        for data on S3\n\
             install what is missing or does not load with: materia extensions install\n",
            version()
        )
    );
    assert_eq!(site.names(), [""; 0], "listing makes nothing");
}

#[test]
fn a_missing_folder_or_extension_is_reported_and_leaves_no_files() {
    let site = Site::empty();
    fs::create_dir(site.path("given")).unwrap();
    let ran = site.run(&["extensions", "install", "--from", "given"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert_eq!(
        ran.stderr,
        "materia: given holds no file ducklake.duckdb_extension, nor does any folder in it; nothing was installed\n"
    );
    let ran = site.run(&["extensions", "install", "--from", "elsewhere"]);
    assert_eq!(
        ran.stderr,
        "materia: cannot read elsewhere: No such file or directory (os error 2)\n"
    );
    assert_eq!(site.listing(), ["given"]);
}

#[test]
fn a_file_that_is_no_extension_is_listed_with_what_is_wrong_and_never_installed() {
    let site = Site::empty();
    fs::create_dir_all(site.path("given")).unwrap();
    for extension in Extension::ALL {
        let file = site.path("given").join(format!("{}.duckdb_extension", extension.name()));
        fs::write(file, "half of a download ".repeat(100)).unwrap();
    }
    let ran = site.run(&["extensions", "install", "--from", "given"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    let why = format!(
        "materia: the extension ducklake was not installed, nor any other; what was there before is still there. DuckDB {} cannot load \
         given/ducklake.duckdb_extension: The file is not a DuckDB extension. The metadata at the end of the file is invalid\n",
        version()
    );
    assert_eq!(ran.stderr, why);
    assert!(states(&site).iter().all(|(state, _)| state == "missing"));

    // A failed installation leaves no folder behind.
    let unusable = installed(&site, Extension::Httpfs);
    assert!(!unusable.parent().unwrap().exists());
    fs::create_dir_all(unusable.parent().unwrap()).unwrap();
    fs::copy(site.path("given/httpfs.duckdb_extension"), unusable).unwrap();
    let httpfs = (
        "unusable".to_owned(),
        "The file is not a DuckDB extension. The metadata at the end of the file is invalid"
            .to_owned(),
    );
    assert_eq!(states(&site)[3], httpfs);
    let ran = site.run(&["extensions", "list"]);
    assert!(
        ran.stdout
            .contains("  httpfs            does not load  for data on S3\n    The file is not"),
        "{ran:#?}"
    );
}

#[test]
fn the_wheels_are_installed_as_they_are_unpacked_and_a_bad_one_replaces_no_good_one() {
    let Some(extensions) = lake::extensions() else { return };
    let site = Site::empty();
    wheels(&site, "wheels", &extensions);
    site.ok(&["extensions", "install", "--from", "wheels"]);
    assert!(states(&site).iter().all(|(state, _)| state == "present"));
    let place = site.path("extensions").join(version());
    let files = crate::support::names(&place);
    assert_eq!(
        files,
        ["ducklake", "httpfs", "postgres_scanner", "sqlite_scanner"]
            .map(|name| format!("{name}.duckdb_extension"))
    );

    // The last file to be examined is truncated.
    let bad = wheels(&site, "bad", &extensions);
    let cut = bad
        .join(format!("duckdb_extension_httpfs/extensions/{}/httpfs.duckdb_extension", version()));
    let whole = fs::read(&cut).unwrap();
    fs::remove_file(&cut).unwrap();
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let before = lake::stamps(&place);
    let ran = site.run(&["extensions", "install", "--from", "bad"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(
        ran.stderr.contains("the extension httpfs was not installed, nor any other")
            && ran.stderr.contains("bad/"),
        "{ran:#?}"
    );
    assert_eq!(lake::stamps(&place), before);
    assert!(states(&site).iter().all(|(state, _)| state == "present"));

    // One byte differs from the signed original.
    let mut changed = whole;
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    fs::write(&cut, &changed).unwrap();
    let ran = site.run(&["extensions", "install", "--from", "bad"]);
    assert!(ran.stderr.contains("its signature is not DuckDB's"), "{ran:#?}");
    assert_eq!(lake::stamps(&place), before);

    // A valid file is preferred over the others, and the leftovers of a killed installation are
    // removed.
    fs::create_dir_all(place.join(".new/downloaded")).unwrap();
    wheels(&site, "bad/whole", &extensions);
    site.ok(&["extensions", "install", "--from", "bad"]);
    assert_eq!(crate::support::names(&place), files);
    assert_ne!(lake::stamps(&place), before);
}

#[test]
fn an_extension_of_another_version_is_reported_as_such() {
    let Some(other) = std::env::var_os("MATERIA_TEST_EXTENSIONS").map(PathBuf::from) else {
        println!("skipped: MATERIA_TEST_EXTENSIONS does not name a folder of extensions");
        return;
    };
    let theirs = crate::support::names(&other).into_iter().find(|name| {
        name.starts_with('v')
            && *name != version()
            && other.join(name).join("ducklake.duckdb_extension").is_file()
    });
    let Some(theirs) = theirs else {
        println!("skipped: {} has only the extensions of {}", other.display(), version());
        return;
    };
    let site = Site::empty();
    let ran = site.run(&["extensions", "install", "--from", other.join(&theirs).to_str().unwrap()]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    let why = format!(
        "The file was built specifically for DuckDB version '{theirs}' and can only be loaded with that version of DuckDB"
    );
    assert!(ran.stderr.contains(&why), "{ran:#?}");
}

#[test]
fn one_variable_selects_a_duckdb_that_is_installed_next_to_the_linked_one() {
    let Some(extensions) = lake::extensions() else { return };
    let version = version();
    let path = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path);
    let Some(library) = folders.find(|folder| folder.join("libduckdb.so").exists()) else {
        println!("skipped: LD_LIBRARY_PATH has no libduckdb.so");
        return;
    };
    let site = Site::empty();
    let (bin, lib) = (site.path("prefix/bin"), site.path("prefix/lib/materia"));
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(&lib).unwrap();
    let built = Path::new(env!("CARGO_BIN_EXE_materia"));
    let materia = bin.join("materia");
    fs::hard_link(built, &materia).or_else(|_| fs::copy(built, &materia).map(drop)).unwrap();
    for entry in fs::read_dir(built.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.extension().is_some_and(|end| end == "so") {
            symlink(&entry, bin.join(entry.file_name().unwrap())).unwrap();
        }
    }
    let packaged = lib.join(format!("duckdb-{}", version.trim_start_matches('v')));
    fs::create_dir(&packaged).unwrap();
    for name in names(&library).iter().filter(|name| name.starts_with("lib")) {
        symlink(library.join(name), packaged.join(name)).unwrap();
    }
    symlink(extensions, packaged.join("extensions")).unwrap();
    let engine = |wanted: &str| {
        let mut command = std::process::Command::new(&materia);
        command.args(["--version", "--verbose"]).env_remove("LD_LIBRARY_PATH");
        Ran::of(&command.env("MATERIA_DUCKDB", wanted).output().unwrap())
    };
    let minor = version.trim_start_matches('v').rsplit_once('.').unwrap().0;
    for wanted in [minor, version.trim_start_matches('v')] {
        let ran = engine(wanted);
        assert!(ran.code == 0 && ran.stdout.contains(&format!("DuckDB {version} ")), "{ran:#?}");
    }
    // Also from .env, and the extensions come from the engine's package.
    fs::write(site.path(".env"), format!("MATERIA_DUCKDB={minor}\n")).unwrap();
    let command = site.command(&[]);
    let mut install = std::process::Command::new(&materia);
    install.args(["extensions", "install"]).current_dir(site.folder());
    for (name, value) in command.get_envs().map(|(name, value)| (name.to_owned(), value)) {
        match value {
            Some(value) => install.env(name, value),
            None => install.env_remove(name),
        };
    }
    let ran = Ran::of(&install.env_remove("LD_LIBRARY_PATH").output().unwrap());
    assert!(ran.code == 0 && ran.stdout.contains(&format!("extensions/{version}")), "{ran:#?}");
    fs::remove_file(site.path(".env")).unwrap();
    let linked = engine("");
    assert!(linked.code == 0 && linked.stdout.contains("engine:   DuckDB v"), "{linked:#?}");
    let missing = engine("0.1");
    assert!(
        missing.code == 2 && missing.stderr.contains("MATERIA_DUCKDB=0.1: there is no duckdb-0.1*"),
        "{missing:#?}"
    );
}
