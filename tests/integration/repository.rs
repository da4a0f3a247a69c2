//! Checks of the repository that no compiler makes: it must not contain paths of a developer's
//! machine, or snapshots that no test creates.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file of the repository: its path and its text.
struct Source {
    path: String,
    text: String,
}

/// Returns every text file of the repository.
fn repository() -> Vec<Source> {
    const NOT_OURS: [&str; 4] = [".git", "target", "node_modules", ".venv"];
    let root = Path::new(env!("REPOSITORY"));
    let mut sources = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap().map(Result::unwrap) {
            let path = folder.join(entry.file_name());
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !NOT_OURS.iter().any(|name| entry.file_name() == *name) {
                folders.push(path);
            } else if kind.is_file()
                && let Ok(text) = fs::read_to_string(entry.path())
            {
                sources.push(Source { path: path.to_str().unwrap().to_owned(), text });
            }
        }
    }
    assert!(sources.len() > 30, "the repository was not found");
    sources
}

fn rust() -> Vec<Source> {
    let mut sources = repository();
    sources.retain(|source| {
        Path::new(&source.path).extension().is_some_and(|extension| extension == "rs")
    });
    sources
}

fn assert_none(found: &[String], wall: &str) {
    assert!(found.is_empty(), "{wall}:\n{}", found.join("\n"));
}

#[test]
fn no_file_contains_a_path_of_a_developers_machine() {
    // In two parts, so that this file does not contain the searched text.
    let homes = [
        ["/ho", "me/"].concat(),
        ["/ro", "ot/"].concat(),
        ["/Us", "ers/"].concat(),
        ["C:", "\\Users"].concat(),
    ];
    // Addresses of the site's start page, whose folder is called as that of the developers is.
    let addresses = ["save", "views", "alerts", "digests", "favorites"];
    let addresses = addresses.map(|part| [&homes[0], part].concat());
    let mut found = Vec::new();
    for source in repository() {
        for (index, line) in source.text.lines().enumerate() {
            let without =
                addresses.iter().fold(line.to_owned(), |line, part| line.replace(part, ""));
            if homes.iter().any(|home| without.contains(home)) {
                found.push(format!("{}:{}: {}", source.path, index + 1, line.trim()));
            }
        }
    }
    assert_none(&found, "absolute paths of one machine");
}

#[test]
fn every_snapshot_is_made_by_a_test_that_still_exists() {
    let mut orphans = Vec::new();
    let (repository, rust) = (repository(), rust());
    for snapshot in repository.iter().filter(|source| source.path.starts_with("snapshots/")) {
        let made_by = snapshot
            .text
            .lines()
            .find_map(|line| line.strip_prefix("source: "))
            .unwrap_or_default();
        // Integration tests are a target of the package in `cli`.
        let made_by = made_by.strip_prefix("cli/../").unwrap_or(made_by);
        let name = Path::new(&snapshot.path).file_stem().unwrap().to_str().unwrap();
        // Named in the test as text, or after the test's function, with a number if there are
        // several.
        let name = name.rsplit("__").next().unwrap();
        let function = name
            .rsplit_once('-')
            .filter(|(_, number)| number.parse::<u32>().is_ok())
            .map_or(name, |(name, _)| name);
        // In the same package as the line that creates it, which several tests may call.
        let package = |path: &str| path.split('/').next().map(str::to_owned);
        let mut tests = rust.iter().filter(|source| package(&source.path) == package(made_by));
        let named = tests.any(|test| {
            test.text.contains(&format!("\"{name}\""))
                || test.text.contains(&format!("fn {function}("))
        });
        if Path::new(&snapshot.path).extension().is_none_or(|extension| extension != "snap")
            || !named
        {
            orphans.push(format!("{} (made by {made_by:?})", snapshot.path));
        }
    }
    assert_none(&orphans, "no test makes these any more; remove them");
}
