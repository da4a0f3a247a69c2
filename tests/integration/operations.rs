//! Operation: the supervisor with real pipelines, and units and scripts with their own checkers.

use std::{
    fs,
    net::SocketAddr,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    http_receiver::Receiver,
    servers::Server,
    support::{Ran, Site, eventually},
    web::Web,
};

const INFRA: &str = concat!(env!("REPOSITORY"), "/infra");

/// Returns whether a program is installed; prints a reason for skipping if not.
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

/// Returns every file below `infra` with this suffix.
fn below_infra(ending: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![PathBuf::from(INFRA)]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The supervisor in a site's folder, with short intervals; its output is in `supervisor.log`.
struct Supervisor {
    process: Child,
    log: PathBuf,
}

impl Supervisor {
    fn command(site: &Site) -> Command {
        let command = site.command(&[]);
        let mut supervisor = Command::new(format!("{INFRA}/supervisor/supervisor.sh"));
        supervisor.current_dir(site.folder()).env("MATERIA", command.get_program());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => supervisor.env(name, value),
                None => supervisor.env_remove(name),
            };
        }
        supervisor
            .env("SUPERVISOR_INTERVAL", "1")
            .env("SUPERVISOR_JITTER", "0")
            .env("SUPERVISOR_BACKOFF", "1")
            .env_remove("NOTIFY_SOCKET");
        supervisor.env("SUPERVISOR_BACKOFF_MOST", "2").stdin(Stdio::null()).stdout(Stdio::null());
        supervisor
    }

    fn start(site: &Site, command: &mut Command) -> Self {
        let log = site.path("supervisor.log");
        let process = command.stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
        Self { process, log }
    }

    fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn says(&self, what: &str) {
        eventually(what, || self.printed().contains(what));
    }

    /// Stops it with a signal and returns its exit code.
    fn stop(mut self) -> i32 {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        self.process.wait().unwrap().code().unwrap()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = self.process.kill();
    }
}

/// Configures a slow pipeline, one that fails while `broken` exists, and one that hangs while
/// `stuck` exists.
fn settings(site: &Site) {
    site.settings(
        "[pipelines.slow]\ncommand = ['sleep', '0.3']
         [pipelines.failing]\ncommand = ['sh', '-c', 'if [ -e broken ]; then echo out of order >&2; exit 7; fi']
         [pipelines.hanging]\ncommand = ['sh', '-c', 'if [ -e stuck ]; then sleep 600; fi']\ntimeout = '300ms'\ngrace = '100ms'",
    );
}

#[test]
fn the_supervisor_goes_on_through_failures_backs_off_alerts_once_recovers_and_exports() {
    let (site, receiver) = (Site::small(), Receiver::answering(200));
    settings(&site);
    fs::write(site.path("broken"), "").unwrap();
    fs::write(site.path("stuck"), "").unwrap();
    let supervisor = Supervisor::start(
        &site,
        Supervisor::command(&site).env("ALERT_WEBHOOK_URL", receiver.url()),
    );
    // It fails repeatedly, with growing delays up to a limit.
    supervisor.says("failed with code 7, 1 in a row; next round in 1 s");
    supervisor.says("failed with code 7, 2 in a row; next round in 2 s");
    assert!(!site.served().exists(), "the export comes after the others");
    fs::remove_file(site.path("broken")).unwrap();
    supervisor.says("failed with code 124");
    fs::remove_file(site.path("stuck")).unwrap();
    supervisor.says("round succeeded; next round in 1 s");
    eventually("another round succeeds", || {
        supervisor.printed().matches("round succeeded").count() > 1
    });
    assert_eq!(site.number("SELECT count(*) FROM serving.numbers"), 1000);
    assert!(supervisor.printed().contains("hanging: timed out"), "{}", supervisor.printed());
    assert_eq!(supervisor.stop(), 0);
    let mut messages: Vec<_> = receiver
        .bodies()
        .iter()
        .map(|body| format!("{} {}", body["status"], body["condition"]).replace('"', ""))
        .collect();
    messages.sort();
    let conditions = ["not_served", "pipeline_failed:failing", "pipeline_failed:hanging"];
    let edges = ["firing", "resolved"]
        .map(|edge| conditions.map(|condition| format!("{edge} {condition}")));
    assert_eq!(messages, edges.concat(), "each once when it begins, once when it is over");
}

#[test]
fn there_is_one_supervisor_and_it_stops_at_once_with_what_it_runs() {
    let site = Site::empty();
    site.settings("[pipelines.long]\ncommand = ['sh', '-c', 'echo $$ > pid; exec sleep 600']");
    let supervisor = Supervisor::start(&site, &mut Supervisor::command(&site));
    eventually("it runs", || {
        fs::read_to_string(site.path("pid")).is_ok_and(|pid| pid.ends_with('\n'))
    });
    let second = Ran::of(&Supervisor::command(&site).stderr(Stdio::piped()).output().unwrap());
    assert!(
        second.code == 2 && second.stderr.contains("another supervisor holds .supervisor.lock"),
        "{second:#?}"
    );
    let pid = fs::read_to_string(site.path("pid")).unwrap();
    assert_eq!(supervisor.stop(), 0);
    eventually("its pipeline is over", || !Path::new(&format!("/proc/{}", pid.trim())).exists());
    // A killed supervisor leaves no lock behind, although its child process continues.
    fs::remove_file(site.path("pid")).unwrap();
    let mut supervisor = Supervisor::start(&site, &mut Supervisor::command(&site));
    eventually("it runs", || {
        fs::read_to_string(site.path("pid")).is_ok_and(|pid| pid.ends_with('\n'))
    });
    supervisor.process.kill().unwrap();
    supervisor.process.wait().unwrap();
    let pid = Pid::from_raw(fs::read_to_string(site.path("pid")).unwrap().trim().parse().unwrap())
        .unwrap();
    let third = Supervisor::start(&site, &mut Supervisor::command(&site));
    third.says("supervising --all");
    third.says("failed with code 4");
    assert_eq!(third.stop(), 0);
    kill_process(pid, Signal::KILL).unwrap();
}

#[test]
fn a_supervisor_that_was_killed_is_noticed_and_one_that_works_is_not() {
    let site = Site::small();
    site.settings("[alerts]\nsupervisor = '.supervisor.lock'\nsupervisor_silent = '3s'");
    site.ok(&["export", "-q"]);
    let status = || site.run(&["status"]);
    assert!(
        status().stdout.contains("the supervisor does not run: .supervisor.lock does not exist"),
        "{:#?}",
        status()
    );
    let mut supervisor = Supervisor::start(&site, &mut Supervisor::command(&site));
    eventually("it is seen", || status().code == 0);
    supervisor.process.kill().unwrap();
    supervisor.process.wait().unwrap();
    eventually("its silence is noticed", || {
        status().stdout.contains("the supervisor has shown no sign of life for ")
    });
    let third = Supervisor::start(&site, &mut Supervisor::command(&site));
    eventually("the next one is seen", || status().code == 0);
    assert_eq!(third.stop(), 0);
}

#[test]
fn systemd_hears_that_the_supervisor_is_ready_and_alive() {
    if !is_there("systemd-notify") {
        return;
    }
    let site = Site::small();
    let socket = UnixDatagram::bind(site.path("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let supervisor = Supervisor::start(
        &site,
        Supervisor::command(&site).env("NOTIFY_SOCKET", site.path("notify")),
    );
    let mut heard = String::new();
    let mut until = |words: &[&str]| {
        while !words.iter().all(|word| heard.contains(word)) {
            let mut message = [0; 1024];
            let length = socket.recv(&mut message).unwrap();
            heard += std::str::from_utf8(&message[..length]).unwrap();
        }
    };
    until(&["READY=1", "WATCHDOG=1", "0 failed rounds in a row"]);
    assert_eq!(supervisor.stop(), 0);
    until(&["STOPPING=1"]);
}

#[test]
fn wrong_settings_of_the_supervisor_are_named() {
    let site = Site::empty();
    let error_with = |name: &str, value: &str| {
        let ran = Ran::of(
            &Supervisor::command(&site).env(name, value).stderr(Stdio::piped()).output().unwrap(),
        );
        assert_eq!(ran.code, 2, "{ran:#?}");
        ran.stderr
    };
    assert!(
        error_with("SUPERVISOR_INTERVAL", "15m")
            .contains("SUPERVISOR_INTERVAL is '15m', which is not a number of seconds")
    );
    assert!(
        error_with("MATERIA", "no-such-command")
            .contains("no-such-command does not exist; set MATERIA")
    );
}

#[test]
fn an_update_that_fails_stops_nothing() {
    let site = Site::small();
    let mut command = Supervisor::command(&site);
    let supervisor =
        Supervisor::start(&site, command.env("SUPERVISOR_UPDATE", site.path("no-checkout")));
    supervisor.says("could not be updated; continuing with the current version");
    supervisor.says("round succeeded");
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn units_are_understood_by_systemd_and_expose_little() {
    if !is_there("systemd-analyze") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut units = below_infra("service");
    units.extend(below_infra("timer"));
    units.extend(below_infra("socket"));
    assert_eq!(units.len(), 7, "{units:?}");
    let mut copies = Vec::new();
    for unit in &units {
        // The commands they start are at other paths here; systemd checks that they exist.
        let text = fs::read_to_string(unit).unwrap();
        let text = text
            .replace("/usr/local/bin/materia", env!("CARGO_BIN_EXE_materia"))
            .replace("/opt/materia/infra", INFRA)
            .replace("/srv/materia/infra", INFRA);
        let copy = folder.path().join(unit.file_name().unwrap());
        fs::write(&copy, text).unwrap();
        copies.push(copy);
    }
    let verified = Ran::of(
        &Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .args(&copies)
            .output()
            .unwrap(),
    );
    assert!(verified.code == 0 && verified.stderr.is_empty(), "{verified:#?}");
    for unit in copies
        .iter()
        .filter(|unit| unit.extension().is_some_and(|extension| extension == "service"))
    {
        let rated = Ran::of(
            &Command::new("systemd-analyze")
                .args(["security", "--offline=true", "--threshold=20"])
                .arg(unit)
                .output()
                .unwrap(),
        );
        let score = rated
            .stdout
            .lines()
            .find(|line| line.contains("Overall exposure level"))
            .unwrap_or_default()
            .to_owned();
        println!("{score}");
        assert_eq!(rated.code, 0, "more than 2.0: {score}\n{}", rated.stderr);
    }
    for unit in units.iter().filter(|unit| {
        ["materia-supervisor.service", "materia-web.service"]
            .iter()
            .any(|name| unit.ends_with(name))
    }) {
        let text = fs::read_to_string(unit).unwrap();
        for line in [
            "Type=notify",
            "Environment=MATERIA_DATA_DIR=/data/materia",
            "WatchdogSec=",
            "Restart=always",
            "MemoryMax=",
        ] {
            assert!(text.contains(line), "{}: {line}", unit.display());
        }
        // They would override the paths of materia.toml.
        for variable in ["SERVING_DUCKDB_PATH", "DUCKDB_PATH", "MATERIA_EXTENSIONS"] {
            let line = format!("Environment={variable}=");
            assert!(!text.contains(&line), "{}: {variable}", unit.display());
        }
    }
}

#[test]
fn the_environment_template_has_every_variable_and_works_unedited() {
    let root = Path::new(INFRA).parent().unwrap();
    let template = fs::read_to_string(root.join("web/.env.example")).unwrap();
    let documented: Vec<_> = template
        .lines()
        .filter_map(|line| line.trim_start_matches("# ").split_once('='))
        .map(|(name, _)| name)
        .collect();
    let mut read = 0;
    for file in fs::read_dir(root.join("src/settings")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let is_name = |word: &&str| {
            word.len() > 4 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        };
        for name in text.split('"').filter(is_name) {
            read += 1;
            assert!(documented.contains(&name), "{name} is not in web/.env.example");
        }
    }
    assert!(read > 20, "{read}");
    let site = Site::small();
    fs::write(site.path(".env"), &template).unwrap();
    site.ok(&["export", "--quiet"]);
    site.ok(&["status"]);
}

#[test]
fn the_compose_file_and_the_image_keep_to_what_the_site_needs() {
    let web = Path::new(INFRA).parent().unwrap().join("web");
    let image = fs::read_to_string(web.join("Dockerfile")).unwrap();
    let user = image.lines().position(|line| line == "USER 10001:10001");
    assert!(
        image.lines().position(|line| line.starts_with("ENTRYPOINT")) > user && user.is_some(),
        "{image}"
    );
    for word in
        [" AS build\n", "HEALTHCHECK ", "VOLUME /data/materia\n", "MATERIA_DATA_DIR=/data/materia"]
    {
        assert!(image.contains(word), "{word}");
    }
    // They would override the paths of materia.toml.
    let compose = fs::read_to_string(web.join("docker-compose.yml")).unwrap();
    let package = fs::read_to_string(web.join("../packaging/Dockerfile")).unwrap();
    for variable in ["DUCKDB_PATH", "MATERIA_EXTENSIONS"] {
        for image in [&image, &package] {
            assert!(!image.contains(&format!("{variable}=/")), "{variable}");
        }
        let set = compose.lines().filter(|line| line.contains(&format!("{variable}:")));
        assert!(set.clone().all(|line| line.ends_with(": \"\"")), "{variable}");
    }
    assert!(!compose.contains("SERVING_DUCKDB_PATH:"));
    let copied = image
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|line| !line.starts_with("--from"));
    for path in copied.filter_map(|line| line.split(' ').next()) {
        assert!(web.join("..").join(path).exists(), "{path}");
    }
    if !is_there("docker-compose") {
        return;
    }
    // Its .env is a copy of the template next to it.
    let folder = tempfile::tempdir().unwrap();
    fs::copy(web.join("docker-compose.yml"), folder.path().join("docker-compose.yml")).unwrap();
    fs::copy(web.join(".env.example"), folder.path().join(".env")).unwrap();
    let ran = Ran::of(
        &Command::new("docker-compose").arg("config").current_dir(folder.path()).output().unwrap(),
    );
    assert_eq!(ran.code, 0, "{ran:#?}");
    let understood = ran.stdout.replace(":rw", "");
    for line in [
        "read_only: true",
        "no-new-privileges:true",
        "cap_drop:",
        "/data/materia:/data/materia\n",
        "condition: service_healthy",
    ] {
        assert!(understood.contains(line), "{line}: {understood}");
    }
    assert!(
        understood.matches("read_only: true").count() == 3
            && !understood.contains("analytics.duckdb:/"),
        "{understood}"
    );
}

/// Caddy with its configuration of this repository, in front of a site's address; ended on drop.
struct Caddy {
    process: Child,
    address: SocketAddr,
}

impl Caddy {
    fn file() -> PathBuf {
        Path::new(INFRA).parent().unwrap().join("web/Caddyfile")
    }

    fn command(verb: &str, folder: &Path, address: SocketAddr, upstream: SocketAddr) -> Command {
        let mut caddy = Command::new("caddy");
        caddy.args([verb, "--adapter", "caddyfile", "--config"]).arg(Self::file());
        caddy.env("HOME", folder).env_remove("XDG_CONFIG_HOME").env("XDG_DATA_HOME", folder);
        caddy.env("SITE", format!("http://{address}"));
        caddy.env("MATERIA_UPSTREAM", upstream.to_string()).stdin(Stdio::null());
        caddy
    }

    fn start(folder: &Path, upstream: SocketAddr) -> Self {
        let address = crate::web::free_address();
        let mut command = Self::command("run", folder, address, upstream);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let caddy = Self { process, address };
        eventually("Caddy passes requests on", || {
            caddy.get("/ready").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
        });
        caddy
    }

    fn get(&self, path: &str) -> Option<String> {
        let address = self.address;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        crate::web::ask(address, &request)
    }
}

impl Drop for Caddy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn caddy_accepts_its_configuration_and_proxies_the_site() {
    if !is_there("caddy") {
        return;
    }
    let site = Site::small();
    site.ok(&["export", "-q"]);
    let web = Web::start(&site, &[("MATERIA_TRUSTED_PROXIES", "127.0.0.1")]);
    let mut validate =
        Caddy::command("validate", site.folder(), crate::web::free_address(), web.address);
    let valid = Ran::of(&validate.output().unwrap());
    assert!(
        valid.code == 0
            && format!("{}{}", valid.stdout, valid.stderr).contains("Valid configuration"),
        "{valid:#?}"
    );
    let formatted = Command::new("caddy").arg("fmt").arg(Caddy::file()).output().unwrap();
    let text = fs::read_to_string(Caddy::file()).unwrap();
    assert_eq!(String::from_utf8_lossy(&formatted.stdout), text);
    let page = Caddy::start(site.folder(), web.address).get("/").unwrap_or_default();
    assert!(page.contains("<html"), "{page}");
}

#[test]
fn caddy_delays_requests_while_a_site_without_socket_activation_restarts() {
    if !is_there("caddy") {
        return;
    }
    // As with containers: the former process has ended before the next one is started.
    let site = Site::small();
    site.ok(&["export", "-q"]);
    let address = crate::web::free_address();
    let start = || {
        let mut command = site.command(&["web"]);
        command.env("DATABASE_URL", "sqlite://accounts.db").env("DEBUG", "true");
        command.env("MATERIA_TRUSTED_PROXIES", "127.0.0.1");
        Server::of(command, address, &site.path("web.log"))
    };
    let mut server = start();
    server.answers();
    let caddy = Caddy::start(site.folder(), address);
    let (over, longest) = (AtomicBool::new(false), AtomicU64::new(0));
    let (caddy, over, longest) = (&caddy, &over, &longest);
    let responses = std::thread::scope(|scope| {
        let probing = scope.spawn(move || {
            let mut responses = Vec::new();
            while !over.load(Ordering::SeqCst) {
                responses.push(scope.spawn(move || {
                    let began = Instant::now();
                    let answer = caddy.get("/").unwrap_or_default();
                    let took = u64::try_from(began.elapsed().as_millis()).unwrap();
                    longest.fetch_max(took, Ordering::SeqCst);
                    answer.lines().next().unwrap_or_default().to_owned()
                }));
                std::thread::sleep(Duration::from_millis(20));
            }
            responses.into_iter().map(|probe| probe.join().unwrap()).collect::<Vec<_>>()
        });
        kill_process(Pid::from_child(&server.process), Signal::TERM).unwrap();
        server.process.wait().unwrap();
        server = start();
        server.answers();
        over.store(true, Ordering::SeqCst);
        probing.join().unwrap()
    });
    println!("{} requests, longest {} ms", responses.len(), longest.load(Ordering::SeqCst));
    assert!(
        !responses.is_empty() && responses.iter().all(|line| line == "HTTP/1.1 200 OK"),
        "{responses:?}"
    );
}

#[test]
fn the_images_health_check_fails_for_a_site_that_does_not_answer() {
    let site = Site::small();
    let web = Web::start(&site, &[]);
    let check = |listen: &str, path: &str| {
        let mut command = Command::new(format!("{INFRA}/web/healthy.sh"));
        command
            .arg(path)
            .env("MATERIA_LISTEN", listen)
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    };
    let here = web.address.to_string();
    assert!(check(&here, "/health") && check(&here.replace("127.0.0.1", "0.0.0.0"), "/health"));
    assert!(!check(&here, "/ready"), "nothing is served");
    assert!(!check(&crate::web::free_address().to_string(), "/health"), "nobody listens");
}

#[test]
fn scripts_pass_shellcheck() {
    if !is_there("shellcheck") {
        return;
    }
    let scripts = below_infra("sh");
    assert!(scripts.len() >= 5, "{scripts:?}");
    let ran = Ran::of(&Command::new("shellcheck").args(&scripts).output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.stdout);
}

#[test]
fn the_nightly_script_makes_backups_and_removes_only_old_ones() {
    let site = Site::empty();
    site.ok(&["users", "seed"]);
    fs::create_dir(site.path("backups")).unwrap();
    for day in 10..20 {
        let old = site.path("backups").join(format!("accounts-202601{day}T000000Z.db"));
        fs::write(&old, "").unwrap();
        let time = std::time::SystemTime::now() - Duration::from_hours(24 * 40);
        fs::File::options().write(true).open(&old).unwrap().set_modified(time).unwrap();
    }
    let mut command = Command::new(format!("{INFRA}/web/backup.sh"));
    let backup = command
        .arg("backups")
        .current_dir(site.folder())
        .env("MATERIA", env!("CARGO_BIN_EXE_materia"))
        .env_remove("DATABASE_URL");
    let ran = Ran::of(&backup.output().unwrap());
    assert!(ran.code == 0 && ran.stdout.contains(": 4 accounts, "), "{ran:#?}");
    let kept = crate::support::names(&site.path("backups"));
    assert_eq!(kept.len(), 7, "{kept:?}");
    assert!(kept[0].starts_with("accounts-20260114T"), "the newest seven stay: {kept:?}");
}
