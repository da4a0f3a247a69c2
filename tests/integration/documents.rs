//! The command accepts everything that the documentation suggests.
//!
//! Every line of a block marked `sh` is run, in order, in a folder with a demo. Blocks marked `sh
//! example` and lines with `# example` are not run, since they require something that tests do not
//! have, such as systemd. Commands in running text are parsed by the command's own parser; files
//! and units mentioned there must exist.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    http_receiver::Receiver,
    support::{Ran, Site},
};

const ROOT: &str = env!("REPOSITORY");

/// Every document, by its path in the repository.
fn documents() -> Vec<(String, String)> {
    let mut names = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "python/README.md"]
        .map(str::to_owned)
        .to_vec();
    for folder in ["docs", "docs/recipes"] {
        let docs = crate::support::names(&Path::new(ROOT).join(folder));
        names.extend(
            docs.into_iter()
                .filter(|name| Path::new(name).extension().is_some_and(|end| end == "md"))
                .map(|name| format!("{folder}/{name}")),
        );
    }
    assert!(names.len() >= 25, "{names:?}");
    names
        .into_iter()
        .map(|name| (name.clone(), fs::read_to_string(Path::new(ROOT).join(name)).unwrap()))
        .collect()
}

/// Returns the lines of every block with this mark.
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

/// Creates a site with a served demo, accounts, and a lakehouse at the README's `path/to`.
fn demo() -> Site {
    let site = Site::empty();
    site.ok(&["demo", "."]);
    site.ok(&["export", "-q"]);
    site.ok(&["users", "seed"]);
    fs::create_dir_all(site.path("path/to")).unwrap();
    fs::copy(site.lakehouse(), site.path("path/to/lakehouse.duckdb")).unwrap();
    site
}

/// Runs a line verbatim, with the built command on the path.
fn run(site: &Site, line: &str, receiver: &Receiver) -> Ran {
    let built = Path::new(env!("CARGO_BIN_EXE_materia")).parent().unwrap().to_path_buf();
    let paths: Vec<PathBuf> =
        [built].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap())).collect();
    let clean = site.command(&[]);
    let mut command = Command::new("bash");
    for (name, value) in clean.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.args(["-euo", "pipefail", "-c", line]).current_dir(site.folder());
    Ran::of(
        &command
            .env("PATH", env::join_paths(paths).unwrap())
            .env("ALERT_WEBHOOK_URL", receiver.url())
            .output()
            .unwrap(),
    )
}

#[test]
fn every_command_of_the_documents_runs_or_is_marked_as_an_example() {
    let (receiver, mut done) = (Receiver::answering(200), 0);
    for (name, text) in documents() {
        let mut lines = blocks(&text, "sh").concat();
        lines.retain(|line| {
            !line.trim().is_empty() && !line.starts_with('#') && !line.contains("# example")
        });
        if lines.is_empty() {
            continue;
        }
        let site = demo();
        for line in lines {
            let command = line.split(" #").next().unwrap().trim();
            // For commands that run until they are stopped, only the flags are checked.
            let lasting = ["materia postgres", "materia tui", "materia web"]
                .iter()
                .any(|verb| command.starts_with(verb));
            let ran = run(
                &site,
                &if lasting { format!("{command} --help") } else { command.to_owned() },
                &receiver,
            );
            assert_eq!(ran.code, 0, "{name}: {command}: {ran:#?}");
            done += 1;
        }
    }
    assert!(done >= 8, "{done}");
}

#[test]
fn commands_and_files_named_in_a_sentence_are_there() {
    let site = Site::empty();
    // Replaces placeholders with examples.
    let meant = |span: &str| {
        span.replace(['[', ']'], "").replace("...", "").replace("SHELL", "bash").replace(" N", " 3")
    };
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
                    let known = span
                        .split_whitespace()
                        .nth(1)
                        .is_none_or(|verb| verbs.contains(&format!("\n    {verb}) ")));
                    assert!(known, "{name}: `{span}`");
                } else if line.starts_with("| `materia ")
                    && line.split(" | ").next().unwrap().contains(&format!("`{span}`"))
                {
                    // In the list of commands, everything after the first is abbreviated.
                    assert!(
                        understands(&format!("materia {span}"))
                            || understands(&format!("materia {verb} {span}")),
                        "{name}: `{span}`"
                    );
                    read += 1;
                }
                for word in span.split_whitespace() {
                    let top = word.split_once('/').map(|(top, _)| top);
                    if top.is_some_and(|top| {
                        [
                            "infra",
                            "tests",
                            "docs",
                            "src",
                            "web",
                            "tui",
                            "snapshots",
                            "packaging",
                            "python",
                        ]
                        .contains(&top)
                    }) && !word.contains('*')
                    {
                        assert!(
                            Path::new(ROOT).join(word).exists(),
                            "{name}: `{span}`: {word} is not there"
                        );
                    }
                    if matches!(first, "systemctl" | "journalctl") && word.starts_with("materia-") {
                        let unit = if word.contains('.') {
                            word.to_owned()
                        } else {
                            format!("{word}.service")
                        };
                        let is_unit =
                            |folder: &str| Path::new(ROOT).join(folder).join(&unit).exists();
                        assert!(
                            ["infra/supervisor", "infra/web", "packaging/systemd"]
                                .into_iter()
                                .any(is_unit),
                            "{name}: {unit} is no unit of ours"
                        );
                    }
                }
            }
        }
    }
    assert!(read > 60, "{read}");
}

#[test]
fn the_settings_in_the_documents_are_understood() {
    let mut understood = 0;
    for (name, text) in documents() {
        // Dashboard files are TOML, too; other tests parse them.
        if name == "docs/dashboards.md" {
            continue;
        }
        for lines in blocks(&text, "toml") {
            let site = Site::empty();
            site.settings(&lines.join("\n"));
            let ran = site.run(&["pipeline", "list"]);
            assert_eq!(ran.code, 0, "{name}: {ran:#?}");
            understood += 1;
        }
    }
    assert!(understood >= 6, "{understood}");
}

/// Returns the anchor of a heading, as mdBook and GitHub generate it.
fn anchor(heading: &str) -> String {
    let text: String = heading
        .to_lowercase()
        .chars()
        .filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'))
        .collect();
    text.replace(' ', "-")
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    let documents = documents();
    let anchors = |path: &Path| -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        let prose: String = text.split("```").step_by(2).collect();
        prose
            .lines()
            .filter_map(|line| line.strip_prefix('#'))
            .map(|line| anchor(line.trim_start_matches('#').trim()))
            .collect()
    };
    let (mut broken, mut followed) = (Vec::new(), 0);
    for (name, text) in &documents {
        let here = Path::new(ROOT).join(name);
        let prose: String = text.split("```").step_by(2).collect();
        for link in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, section) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if path.is_empty() { here.clone() } else { here.with_file_name("").join(path) };
            let leads = target.exists()
                && (section.is_empty() || anchors(&target).iter().any(|known| known == section));
            if !leads {
                broken.push(format!("{name}: {link}"));
            }
            followed += 1;
        }
    }
    assert!(broken.is_empty() && followed > 60, "{followed} links; broken: {broken:#?}");
}

#[test]
fn the_summary_lists_every_document_once_and_the_readme_is_short() {
    let summary = fs::read_to_string(Path::new(ROOT).join("docs/SUMMARY.md")).unwrap();
    for (name, _) in documents() {
        let Some(path) = name.strip_prefix("docs/").filter(|path| *path != "SUMMARY.md") else {
            continue;
        };
        assert_eq!(summary.matches(&format!("({path})")).count(), 1, "{name} in docs/SUMMARY.md");
    }
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    assert!(readme.lines().count() < 200, "{} lines", readme.lines().count());
}

/// Returns the values of every `href` and `src` of a page.
fn references(page: &str) -> impl Iterator<Item = &str> {
    ["href=\"", "src=\""].into_iter().flat_map(move |attribute| {
        page.split(attribute).skip(1).filter_map(|rest| rest.split('"').next())
    })
}

#[test]
fn the_book_is_built_and_every_link_in_it_leads_somewhere() {
    let Some(mdbook) = env::var_os("MATERIA_TEST_MDBOOK") else {
        println!("skipped: MATERIA_TEST_MDBOOK does not name mdBook's command");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let build = |repository: &str| {
        let mut command = Command::new(&mdbook);
        command.arg("build").arg(format!("{ROOT}/docs")).arg("--dest-dir").arg(folder.path());
        let ran = Ran::of(&command.env("MATERIA_REPOSITORY", repository).output().unwrap());
        assert_eq!(ran.code, 0, "{ran:#?}");
        assert!(!ran.stderr.contains("WARN") && !ran.stderr.contains("ERROR"), "{ran:#?}");
    };
    build("");
    let (mut pages, mut followed, mut broken) = (0, 0, Vec::new());
    for folder in [folder.path().to_path_buf(), folder.path().join("recipes")] {
        for name in crate::support::names(&folder) {
            // The page for printing repeats all others, and 404.html is shown at any address.
            let is_page = Path::new(&name).extension().is_some_and(|end| end == "html");
            if !is_page || name == "print.html" || name == "404.html" {
                continue;
            }
            pages += 1;
            let page = fs::read_to_string(folder.join(&name)).unwrap();
            for link in references(&page) {
                if link.contains("://") || link.starts_with("mailto:") {
                    continue;
                }
                followed += 1;
                let (path, section) = link.split_once('#').unwrap_or((link, ""));
                let target = folder.join(if path.is_empty() { &name } else { path });
                let leads = target.exists()
                    && (section.is_empty()
                        || fs::read_to_string(&target)
                            .unwrap()
                            .contains(&format!("id=\"{section}\"")));
                if !leads {
                    broken.push(format!("{name}: {link}"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(pages > 25 && followed > 500, "{pages} pages, {followed} links");
    // What is not in the book is in the repository.
    build("https://example.com/materia/blob/main");
    let page = fs::read_to_string(folder.path().join("building.html")).unwrap();
    let dockerfile = "https://example.com/materia/blob/main/packaging/Dockerfile";
    assert!(references(&page).any(|link| link == dockerfile), "{page}");
}
