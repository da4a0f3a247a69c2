//! The walls between the rooms that the compiler does not keep, read from the sources.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file of the repository: its path in it, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Lines of code, numbered from 1: without comments and without what stands in a file's own tests.
    fn code(&self) -> Vec<(usize, &str)> {
        let product = if self.path.starts_with("tests/") { &self.text } else { self.text.split("\n#[cfg(test)]").next().unwrap() };
        product.lines().enumerate().map(|(index, line)| (index + 1, line.split("//").next().unwrap())).collect()
    }

    /// Where one of `words` is named.
    fn naming(&self, words: &[&str]) -> Vec<String> {
        let named = |line: &str| words.iter().any(|word| has_word(line, word));
        self.code().into_iter().filter(|(_, line)| named(line)).map(|(at, line)| format!("{}:{at}: {}", self.path, line.trim())).collect()
    }

    fn is_under(&self, folders: &[&str]) -> bool {
        folders.iter().any(|folder| self.path.starts_with(folder))
    }
}

/// `word` with nothing around it that would make it another name.
fn has_word(line: &str, word: &str) -> bool {
    let of_name = |char: char| char.is_alphanumeric() || char == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(of_name);
        let after = word.ends_with(of_name) && line[at + word.len()..].chars().next().is_some_and(of_name);
        !before && !after
    })
}

/// Every text file that belongs to the repository; a room that does not exist yet holds none.
fn repository() -> Vec<Source> {
    const NOT_OURS: [&str; 3] = [".git", "target", "node_modules"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
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
    sources.retain(|source| Path::new(&source.path).extension().is_some_and(|extension| extension == "rs"));
    sources
}

/// The library: `src` without the binary's own parts.
fn library() -> Vec<Source> {
    let mut sources = rust();
    sources.retain(|source| source.is_under(&["src/"]) && !source.is_under(&["src/cli/", "src/main.rs"]));
    assert!(sources.len() > 15);
    sources
}

fn assert_none(found: &[String], wall: &str) {
    assert!(found.is_empty(), "{wall}:\n{}", found.join("\n"));
}

#[test]
fn the_library_knows_no_terminal_no_html_and_no_process_environment() {
    // `env!` is answered by the compiler; whoever asks the process names `env::` or imports it from `std::env`.
    let words = ["ratatui", "crossterm", "axum", "maud", "stdout", "print!", "println!", "eprintln!", "std::env", "env::", "process::exit"];
    let mut library = library();
    for source in &mut library {
        // A child's, not ours: where what a pipeline prints goes.
        source.text = source.text.replace(".stdout(writer", ".(writer");
    }
    assert_none(&library.iter().flat_map(|source| source.naming(&words)).collect::<Vec<_>>(), "src/ without src/cli/ and src/main.rs");
}

#[test]
fn the_terminal_and_the_site_do_not_know_one_another() {
    let of = |room: &str, other: &[&str]| -> Vec<String> {
        rust().iter().filter(|source| source.is_under(&[room])).flat_map(|source| source.naming(other)).collect()
    };
    assert_none(&of("tui/", &["crate::web", "super::web", "web::", "axum", "maud"]), "tui/ names the site");
    assert_none(&of("web/", &["crate::tui", "super::tui", "tui::", "ratatui", "crossterm"]), "web/ names the terminal");
}

#[test]
fn only_the_export_and_the_sample_lakehouse_write_duckdb_files() {
    // The catalog of a lake is a database too, and a reader's frozen one a file that is made for it alone.
    let rooms = ["src/export/", "src/demo/", "src/lake/"];
    let mut found = Vec::new();
    for source in rust().iter().filter(|source| source.is_under(&["src/", "tui/", "web/"]) && !source.is_under(&rooms)) {
        let text = source.code().iter().map(|(_, line)| *line).collect::<Vec<_>>().join("\n");
        let reads_only = text.contains("AccessMode::ReadOnly");
        found.extend(source.naming(&["Connection::open"]));
        // An open with flags is for reading if the file that makes it asks for that.
        found.extend(if reads_only { Vec::new() } else { source.naming(&["open_with_flags"]) });
        let attaches = source.naming(&["ATTACH"]).into_iter();
        found.extend(attaches.filter(|line| !line.contains("READ_ONLY")));
    }
    assert_none(&found, "opens or attaches a DuckDB file otherwise than for reading");
}

#[test]
fn there_is_no_code_beyond_the_compilers_guard() {
    // In two parts, so that this line does not hold what it looks for.
    let word = ["un", "safe"].concat();
    assert_none(&rust().iter().flat_map(|source| source.naming(&[&word])).collect::<Vec<_>>(), "code that the compiler does not check");
}

#[test]
fn no_file_names_a_folder_of_somebodys_machine() {
    // In two parts, so that this file does not hold what it looks for.
    let homes = [["/ho", "me/"].concat(), ["/ro", "ot/"].concat(), ["/Us", "ers/"].concat(), ["C:", "\\Users"].concat()];
    let mut found = Vec::new();
    for source in repository() {
        for (index, line) in source.text.lines().enumerate() {
            if homes.iter().any(|home| line.contains(home)) {
                found.push(format!("{}:{}: {}", source.path, index + 1, line.trim()));
            }
        }
    }
    assert_none(&found, "absolute paths of one machine");
}

#[test]
fn no_source_file_is_longer_than_one_can_read_at_once() {
    const MOST: usize = 420;
    let long = rust()
        .iter()
        .map(|source| (source.text.lines().count(), &source.path))
        .filter(|(lines, _)| *lines > MOST)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect::<Vec<_>>();
    assert_none(&long, "longer than 420 lines");
}

#[test]
fn every_snapshot_is_made_by_a_test_that_still_exists() {
    let mut orphans = Vec::new();
    let (repository, rust) = (repository(), rust());
    for snapshot in repository.iter().filter(|source| source.path.starts_with("snapshots/")) {
        let made_by = snapshot.text.lines().find_map(|line| line.strip_prefix("source: ")).unwrap_or_default();
        let name = Path::new(&snapshot.path).file_stem().unwrap().to_str().unwrap();
        // Named in the test as text, or after the test's function, with a number where there are several.
        let name = name.rsplit("__").next().unwrap();
        let function = name.rsplit_once('-').filter(|(_, number)| number.parse::<u32>().is_ok()).map_or(name, |(name, _)| name);
        // In the same room as the line that makes it, which may be what several tests call.
        let room = |path: &str| path.split('/').next().map(str::to_owned);
        let mut tests = rust.iter().filter(|source| room(&source.path) == room(made_by));
        let named = tests.any(|test| test.text.contains(&format!("\"{name}\"")) || test.text.contains(&format!("fn {function}(")));
        if Path::new(&snapshot.path).extension().is_none_or(|extension| extension != "snap") || !named {
            orphans.push(format!("{} (made by {made_by:?})", snapshot.path));
        }
    }
    assert_none(&orphans, "no test makes these any more; remove them");
}
