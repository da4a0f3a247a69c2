//! What the documents tell people to type is what the command understands.
//!
//! Every line of a block marked `sh` is run, in order, in a folder with a demo. A block marked `sh example`, or a line that says `# example`, is not: it
//! needs what no test has, such as systemd. Commands within a sentence are read by the command's own parser; files and units named there must exist.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    receiver::Receiver,
    support::{Ran, Site},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Every document, by its path in the repository.
fn documents() -> Vec<(String, String)> {
    let mut names = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    let docs = crate::support::names(&Path::new(ROOT).join("docs"));
    names.extend(
        docs.into_iter().filter(|name| Path::new(name).extension().is_some_and(|end| end == "md")).map(|name| format!("docs/{name}")),
    );
    assert!(names.len() >= 7, "{names:?}");
    names.into_iter().map(|name| (name.clone(), fs::read_to_string(Path::new(ROOT).join(name)).unwrap())).collect()
}

/// The lines of every block with this mark.
fn blocks<'a>(text: &'a str, mark: &str) -> Vec<Vec<&'a str>> {
    let (mut found, mut lines) = (Vec::new(), text.lines());
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        if info == mark {
            found.push(block);
        }
    }
    found
}

/// A folder with a demo that is served, accounts, and a lakehouse where the README says `path/to`.
fn demo() -> Site {
    let site = Site::empty();
    site.ok(&["demo", "."]);
    site.ok(&["export", "-q"]);
    site.ok(&["users", "seed"]);
    fs::create_dir_all(site.path("path/to")).unwrap();
    fs::copy(site.lakehouse(), site.path("path/to/lakehouse.duckdb")).unwrap();
    site
}

/// Runs a line as it stands, with the command that was built on the path.
fn run(site: &Site, line: &str, receiver: &Receiver) -> Ran {
    let built = Path::new(env!("CARGO_BIN_EXE_materia")).parent().unwrap().to_path_buf();
    let paths: Vec<PathBuf> = [built].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap())).collect();
    let clean = site.command(&[]);
    let mut command = Command::new("bash");
    for (name, value) in clean.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.args(["-euo", "pipefail", "-c", line]).current_dir(site.folder());
    Ran::of(&command.env("PATH", env::join_paths(paths).unwrap()).env("ALERT_WEBHOOK_URL", receiver.url()).output().unwrap())
}

#[test]
fn every_command_of_the_documents_runs_or_is_marked_as_an_example() {
    let (receiver, mut done) = (Receiver::answering(200), 0);
    for (name, text) in documents() {
        let site = demo();
        for line in blocks(&text, "sh").concat() {
            if line.trim().is_empty() || line.starts_with('#') || line.contains("# example") {
                continue;
            }
            let command = line.split(" #").next().unwrap().trim();
            // What does not end by itself is only asked whether it knows its flags.
            let lasting = ["materia tui", "materia web"].iter().any(|verb| command.starts_with(verb));
            let ran = run(&site, &if lasting { format!("{command} --help") } else { command.to_owned() }, &receiver);
            assert_eq!(ran.code, 0, "{name}: {command}: {ran:#?}");
            done += 1;
        }
    }
    assert!(done >= 8, "{done}");
}

#[test]
fn commands_and_files_named_in_a_sentence_are_there() {
    let site = Site::empty();
    // Words that stand for something: read as an example of it.
    let meant = |span: &str| span.replace(['[', ']'], "").replace("...", "").replace("SHELL", "bash").replace(" N", " 3");
    let understands = |words: &str| {
        let words = meant(words);
        site.run(&words.split_whitespace().skip(1).chain(["--help"]).collect::<Vec<_>>()).code == 0
    };
    let verbs = fs::read_to_string(Path::new(ROOT).join("dev_run.sh")).unwrap();
    let mut read = 0;
    for (name, text) in documents() {
        let prose: String = text.split("```").step_by(2).collect();
        for line in prose.lines() {
            let mut verb = "";
            for span in line.split('`').skip(1).step_by(2) {
                let first = span.split_whitespace().next().unwrap_or_default();
                if first == "materia" {
                    verb = span.split_whitespace().nth(1).unwrap_or_default();
                    assert!(understands(span), "{name}: `{span}`");
                    read += 1;
                } else if first == "./dev_run.sh" {
                    let known = span.split_whitespace().nth(1).is_none_or(|verb| verbs.contains(&format!("\n    {verb}) ")));
                    assert!(known, "{name}: `{span}`");
                } else if line.starts_with("| `materia ") && line.split(" | ").next().unwrap().contains(&format!("`{span}`")) {
                    // In the list of commands what follows the first is said shortly.
                    assert!(understands(&format!("materia {span}")) || understands(&format!("materia {verb} {span}")), "{name}: `{span}`");
                    read += 1;
                }
                for word in span.split_whitespace() {
                    let top = word.split_once('/').map(|(top, _)| top);
                    if top.is_some_and(|top| ["infra", "tests", "docs", "src", "web", "tui", "snapshots"].contains(&top))
                        && !word.contains('*')
                    {
                        assert!(Path::new(ROOT).join(word).exists(), "{name}: `{span}`: {word} is not there");
                    }
                    if matches!(first, "systemctl" | "journalctl") && word.starts_with("materia-") {
                        let unit = if word.contains('.') { word.to_owned() } else { format!("{word}.service") };
                        let is_unit = |room: &str| Path::new(ROOT).join("infra").join(room).join(&unit).exists();
                        assert!(is_unit("supervisor") || is_unit("web"), "{name}: {unit} is no unit of ours");
                    }
                }
            }
        }
    }
    assert!(read > 60, "{read}");
}

#[test]
fn the_settings_in_the_readme_are_understood() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let settings = blocks(&readme, "toml");
    assert!(settings.len() >= 3);
    for lines in settings {
        let site = Site::empty();
        site.settings(&lines.join("\n"));
        let ran = site.run(&["pipeline", "list"]);
        assert_eq!(ran.code, 0, "{ran:#?}");
    }
}
