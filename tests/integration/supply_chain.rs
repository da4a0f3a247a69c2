//! Every download is verified against a hash in the repository.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{Ran, names};

const ROOT: &str = env!("REPOSITORY");

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns every shell script with its path in the repository.
fn scripts() -> Vec<String> {
    let mut found = vec!["dev_run.sh".to_owned(), ".ci/run".to_owned()];
    let mut folders = vec!["infra".to_owned(), "packaging".to_owned()];
    while let Some(folder) = folders.pop() {
        for name in names(&Path::new(ROOT).join(&folder)) {
            let path = format!("{folder}/{name}");
            if Path::new(ROOT).join(&path).is_dir() {
                folders.push(path);
            } else if Path::new(&name).extension().is_some_and(|end| end == "sh") {
                found.push(path);
            }
        }
    }
    assert!(found.len() >= 9, "{found:?}");
    found
}

#[test]
fn every_python_package_that_a_script_installs_has_a_version_and_hashes() {
    let mut installs = 0;
    for path in scripts() {
        // A command continued on the next line counts as one line; printed text is not a command.
        let text = read(&path).replace("\\\n", " ");
        let commands = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .map(|line| line.split(" || die ").next().unwrap());
        for line in commands.filter(|line| {
            (line.contains("pip ") || line.contains("/pip\"")) && !line.contains("apt-get")
        }) {
            if line.contains(" install ") || line.contains(" download ") {
                if line.contains("is missing") {
                    continue;
                }
                assert!(line.contains("--require-hashes"), "{path}: {line}");
                installs += 1;
            }
        }
    }
    assert!(installs >= 5, "{installs}");

    let files = names(&Path::new(ROOT).join("infra/requirements"));
    for wanted in files.iter().filter_map(|name| name.strip_suffix(".in")) {
        let (source, compiled) = (
            read(&format!("infra/requirements/{wanted}.in")),
            read(&format!("infra/requirements/{wanted}.txt")),
        );
        for requirement in source.lines() {
            assert!(
                compiled.contains(&format!("{requirement} \\\n")),
                "{wanted}.txt has no {requirement}: run infra/requirements/compile.sh"
            );
        }
        for entry in compiled.replace("\\\n", " ").lines() {
            assert!(
                entry.contains("==") && entry.contains("--hash=sha256:"),
                "{wanted}.txt: {entry}"
            );
        }
    }
    let ending = |end: &str| files.iter().filter(|name| name.strip_suffix(end).is_some()).count();
    assert_eq!(ending(".txt"), ending(".in"));
}

#[test]
fn locks_have_a_checksum_for_everything_that_comes_from_elsewhere() {
    let cargo = read("Cargo.lock");
    for package in cargo.split("[[package]]").filter(|package| package.contains("\nsource = ")) {
        assert!(
            package.contains("registry+https://github.com/rust-lang/crates.io-index")
                && package.contains("\nchecksum = "),
            "{package}"
        );
    }
    let npm: serde_json::Value =
        serde_json::from_str(&read("tests/browser/package-lock.json")).unwrap();
    for (name, package) in
        npm["packages"].as_object().unwrap().iter().filter(|(name, _)| !name.is_empty())
    {
        assert!(
            package["integrity"].as_str().is_some_and(|hash| hash.starts_with("sha512-")),
            "{name}"
        );
    }
    // The pipelines' Python packages; uv refuses a file with another hash.
    let uv = read("infra/beanflows/uv.lock");
    let files = uv.lines().filter(|line| line.contains("{ url = "));
    assert!(
        files.clone().count() > 100 && files.clone().all(|line| line.contains("hash = \"sha256:")),
        "{uv}"
    );
    assert!(
        read("infra/beanflows/materia.toml").contains(r#"command = ["uv", "run", "--locked", "#)
    );
}

#[test]
fn images_are_named_by_digest() {
    let is_pinned =
        |image: &str| image.split_once("@sha256:").is_some_and(|(_, digest)| digest.len() == 64);
    let image = read("web/Dockerfile");
    let bases: Vec<_> =
        image.lines().filter_map(|line| line.strip_prefix("FROM ")?.split(' ').next()).collect();
    assert!(bases.len() == 2 && bases.iter().all(|base| is_pinned(base)), "{bases:?}");
    let compose = read("web/docker-compose.yml");
    let used: Vec<_> =
        compose.lines().filter_map(|line| line.trim().strip_prefix("image: ")).collect();
    // Built here.
    let (own, foreign): (Vec<&str>, Vec<&str>) =
        used.into_iter().partition(|image| *image == "materia");
    assert!(own.len() == 2 && foreign.len() == 1, "{foreign:?}");
    assert!(foreign.iter().all(|image| is_pinned(image)), "{foreign:?}");
}

/// Creates a wheel with a correct name and other content, in a folder that pip uses instead of the
/// index.
fn planted(folder: &Path, package: &str, version: &str) {
    let name = package.replace('-', "_");
    let make = format!(
        "import zipfile; wheel = zipfile.ZipFile('{name}-{version}-py3-none-any.whl', 'w'); info = '{name}-{version}.dist-info/'
wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: {package}\\nVersion: {version}\\n')
wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n'); wheel.writestr(info + 'RECORD', ''); wheel.close()"
    );
    let ran =
        Ran::of(&Command::new("python3").args(["-c", &make]).current_dir(folder).output().unwrap());
    assert_eq!(ran.code, 0, "{ran:#?}");
}

#[test]
fn a_wheel_with_another_content_is_refused_and_leaves_nothing() {
    let has_pip = Command::new("python3")
        .args(["-m", "pip", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !has_pip || !cfg!(target_os = "linux") {
        println!("skipped: no pip, or not Linux");
        return;
    }
    let wheels = tempfile::tempdir().unwrap();
    planted(wheels.path(), "duckdb", "2.0.0");
    for extension in ["ducklake", "postgres-scanner", "sqlite-scanner", "httpfs"] {
        planted(wheels.path(), &format!("duckdb-extension-{extension}"), "1.5.5");
    }
    for (script, version, refused) in [
        ("libduckdb.sh", "2.0.0", "pip could not download duckdb==2.0.0"),
        ("extensions.sh", "1.5.5", "pip could not download the extensions"),
    ] {
        let cache = tempfile::tempdir().unwrap();
        let run = |version: &str| {
            let mut command = Command::new(PathBuf::from(ROOT).join("infra").join(script));
            command
                .arg(version)
                .env("XDG_CACHE_HOME", cache.path())
                .env("PIP_NO_INDEX", "1")
                .env("PIP_FIND_LINKS", wheels.path());
            Ran::of(&command.output().unwrap())
        };
        let ran = run(version);
        assert!(ran.code == 1 && ran.stdout.is_empty(), "{ran:#?}");
        assert!(
            ran.stderr.contains("DO NOT MATCH THE HASHES") && ran.stderr.contains(refused),
            "{ran:#?}"
        );
        assert_eq!(names(&cache.path().join("materia")), Vec::<String>::new());
        let unknown = run("9.9.9");
        assert!(
            unknown.code == 1 && unknown.stderr.contains("there are no hashes"),
            "{unknown:#?}"
        );
    }
}

/// Scripts and benchmarks, and the file that runs each of them in the suite.
#[test]
fn every_script_and_measurement_runs_in_the_suite() {
    let suite = read("dev_run.sh");
    let tests: String = names(&Path::new(ROOT).join("tests/integration"))
        .iter()
        .filter(|name| *name != "supply_chain.rs")
        .map(|name| read(&format!("tests/integration/{name}")))
        .collect();
    for path in scripts().iter().filter(|path| path.starts_with("infra/")) {
        let name = path.rsplit('/').next().unwrap();
        assert!(suite.contains(path) || tests.contains(name), "{path} is run by nothing");
    }
    let short = suite
        .split_once("short_measurements() {")
        .and_then(|(_, rest)| rest.split_once("\n}\n"))
        .unwrap()
        .0;
    for run in
        ["cargo test --locked --bench '*'", "infra/load.sh", "benches/peers/peers.py", "run_scale"]
    {
        assert!(short.contains(run), "{run}");
    }
    assert!(suite.contains("\n    short_measurements\n"));
    let manifest = read("Cargo.toml") + &read("cli/Cargo.toml");
    for bench in
        names(&Path::new(ROOT).join("benches")).iter().filter_map(|name| name.strip_suffix(".rs"))
    {
        assert!(manifest.contains(&format!("[[bench]]\nname = \"{bench}\"\n")), "{bench}");
        assert!(read(&format!("benches/{bench}.rs")).contains("MATERIA_BENCH_SHORT"), "{bench}");
    }
}
