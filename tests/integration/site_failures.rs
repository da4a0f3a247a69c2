//! The site with a full disk, without a mail server, and across restarts.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    http_receiver::Receiver,
    support::{Ran, Site, eventually},
    web::{Web, ask, free_address},
};

const FORM: &str =
    "Sec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n";

fn sign_in(web: &Web, email: &str) -> String {
    web.send("POST", "/auth/login", FORM, &format!("email={}", email.replace('@', "%40")))
}

fn status(response: &str) -> &str {
    response.split(' ').nth(1).unwrap_or_default()
}

/// A small in-memory filesystem, unmounted on drop.
struct Disk(PathBuf);

impl Disk {
    fn mount(path: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir(&path).unwrap();
        let options = format!("size={size}");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&path)
            .output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Self(path));
        }
        println!("skipped: cannot mount a filesystem here");
        None
    }

    /// Writes a file until the filesystem is full.
    fn fill(&self) {
        let mut ballast = fs::File::create(self.ballast()).unwrap();
        while ballast.write_all(&[0; 4_096]).is_ok() {}
        while ballast.write_all(&[0]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_stops_sign_ins_until_there_is_room_again_and_readiness_says_so() {
    let site = Site::small();
    site.ok(&["export", "-q"]);
    let Some(disk) = Disk::mount(site.path("disk"), "1m") else { return };
    let metrics = free_address();
    let web = Web::start(
        &site,
        &[("DATABASE_URL", "sqlite://disk/accounts.db"), ("MATERIA_METRICS", &metrics.to_string())],
    );
    let metric = |line: &str| {
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: {metrics}\r\nConnection: close\r\n\r\n");
        ask(metrics, &request).unwrap_or_default().lines().any(|known| known == line)
    };
    assert_eq!(status(&sign_in(&web, "ada@example.com")), "200");
    let signed_in = web.get("/auth/dev-login?email=bo@example.com", "");
    let cookie = signed_in.split("set-cookie: ").nth(1).unwrap().split(';').next().unwrap();
    eventually("the site is ready", || status(&web.get("/ready", "")) == "200");
    assert!(metric("materia_store_up 1"));

    disk.fill();
    // SQLite's log may have space left: several requests use it up.
    let mut refused = 0;
    for number in 0..40 {
        let answer = sign_in(&web, &format!("ada{number}@example.com"));
        refused += u32::from(status(&answer) == "503");
        assert!(matches!(status(&answer), "200" | "429" | "503"), "{answer}");
    }
    assert!(refused >= 3, "the disk is not full");
    eventually("the site is not ready", || status(&web.get("/ready", "")) == "503");
    eventually("the metric says so", || metric("materia_store_up 0"));
    let mut command = site.command(&["status"]);
    command.env("MATERIA_SITE", format!("http://{}", web.address));
    let ran = Ran::of(&command.output().unwrap());
    assert!(
        ran.code == 1 && ran.stdout.contains("the site cannot read or write its accounts"),
        "{ran:#?}"
    );
    let page = web.get("/settings", &format!("Cookie: {cookie}\r\n"));
    assert_eq!(status(&page), "200", "who is signed in stays so: {page}");

    disk.free();
    eventually("the site is ready again", || status(&web.get("/ready", "")) == "200");
    assert!(metric("materia_store_up 1"));
    for number in 0..8 {
        let answer = web.get(&format!("/auth/dev-login?email=later{number}@example.com"), "");
        assert_eq!(status(&answer), "303", "each connection to the store works again: {answer}");
    }
}

/// A mail server that stores all mail.
struct MailServer {
    mails: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    address: SocketAddr,
}

impl MailServer {
    /// Responds to each recipient with `recipient`.
    fn start(address: SocketAddr, recipient: &'static str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let (mails, stop) =
            (Arc::<Mutex<Vec<String>>>::default(), Arc::new(AtomicBool::new(false)));
        let (kept, stopped) = (mails.clone(), stop.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                if let Ok(stream) = stream {
                    Self::converse(stream, recipient, &kept);
                }
            }
        });
        Self { mails, stop, address }
    }

    fn converse(mut stream: TcpStream, recipient: &str, mails: &Mutex<Vec<String>>) {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let _ = stream.write_all(b"220 test\r\n");
        while let Some(Ok(line)) = lines.next() {
            let reply = match line.split([' ', ':']).next().unwrap_or_default() {
                "EHLO" => "250 test",
                "RCPT" => recipient,
                "DATA" => {
                    let _ = stream.write_all(b"354 go on\r\n");
                    let mut mail = String::new();
                    while let Some(Ok(line)) = lines.next() {
                        if line == "." {
                            break;
                        }
                        mail += &(line + "\n");
                    }
                    mails.lock().unwrap().push(mail);
                    "250 accepted"
                }
                "QUIT" => "221 bye",
                _ => "250 ok",
            };
            if stream.write_all(format!("{reply}\r\n").as_bytes()).is_err() {
                return;
            }
        }
    }

    fn mails(&self) -> Vec<String> {
        self.mails.lock().unwrap().clone()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
    }
}

/// Returns the contents of all files of the accounts.
fn stored(site: &Site) -> String {
    let files = fs::read_dir(site.folder()).unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|path| path.to_string_lossy().contains("accounts.db"));
    files.map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()).collect()
}

/// Returns the token of the link in a mail, after decoding `=` and line breaks.
fn token(mail: &str) -> String {
    let text = mail.replace("=\n", "").replace("=3D", "=");
    let (_, rest) = text.split_once("/auth/verify?token=").unwrap_or_else(|| panic!("{text}"));
    rest.chars().take_while(char::is_ascii_hexdigit).collect()
}

#[test]
fn mail_that_waits_for_its_server_survives_a_kill_and_its_link_works_afterwards() {
    let site = Site::small();
    let server = free_address();
    let url = format!("smtp://{server}");
    let variables = [("SMTP_URL", url.as_str())];
    let web = Web::start(&site, &variables);
    let page = sign_in(&web, "ada@example.com");
    assert!(status(&page) == "200" && page.contains("could not be sent yet"), "{page}");
    // Killed rather than stopped.
    drop(web);
    let queued = stored(&site);
    assert!(queued.contains("/auth/verify?token={token}"), "the text is not in the queue");

    let web = Web::start(&site, &variables);
    let mail_server = MailServer::start(server, "250 ok");
    eventually("the mail is sent", || mail_server.mails().len() == 1);
    let mail = mail_server.mails().remove(0);
    assert!(mail.contains("ada@example.com"), "{mail}");
    let token = token(&mail);
    assert!(token.len() == 64 && !stored(&site).contains(&token), "the token is in the store");
    let link = format!("/auth/verify?token={token}");
    assert_eq!(status(&web.get(&link, "")), "200", "{}", web.log());
    let entered = web.send("POST", "/auth/verify", FORM, &format!("token={token}"));
    assert_eq!(status(&entered), "303", "{entered}");
    assert_eq!(mail_server.mails().len(), 1, "it is sent once");
    let page = sign_in(&web, "bo@example.com");
    assert!(page.contains("We sent a link to"), "{page}");
    eventually("the next mail is sent", || mail_server.mails().len() == 2);
}

#[test]
fn the_page_says_that_a_link_could_not_be_sent() {
    let site = Site::small();
    let mail_server = MailServer::start(free_address(), "550 no such mailbox");
    let url = format!("smtp://{}", mail_server.address);
    let web = Web::start(&site, &[("SMTP_URL", &url)]);
    let page = sign_in(&web, "ada@example.com");
    assert!(
        status(&page) == "502" && page.contains("could not be sent to ada@example.com"),
        "{page}"
    );
}

/// The site with a listening socket that outlives it, as with systemd.
struct Activated<'a> {
    site: &'a Site,
    socket: TcpListener,
    starts: usize,
}

impl Activated<'_> {
    fn start(&mut self) -> Child {
        self.starts += 1;
        // The shell passes the socket at systemd's descriptor.
        let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" web";
        let mut command = self.site.command(&["web"]);
        let settings: Vec<_> = command
            .get_envs()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| name.to_owned())
            .collect();
        command = Command::new("sh");
        for name in settings {
            command.env_remove(name);
        }
        let log = self.site.path(&format!("web.{}.log", self.starts));
        command
            .args(["-c", script, env!("CARGO_BIN_EXE_materia")])
            .current_dir(self.site.folder())
            .env("MATERIA_LISTEN", self.address().to_string())
            .env("MATERIA_DRAIN", "60s")
            .env("MATERIA_REQUESTS_PER_MINUTE", "0")
            .env("DATABASE_URL", "sqlite://accounts.db")
            .env("DEBUG", "true")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::from(OwnedFd::from(self.socket.try_clone().unwrap())))
            .stderr(fs::File::create(log).unwrap());
        command.spawn().unwrap()
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }
}

fn stop(process: &mut Child) {
    kill_process(Pid::from_child(process), Signal::TERM).unwrap();
    assert!(process.wait().unwrap().success());
}

/// Requests a download without reading its content.
fn request_download(address: SocketAddr, cookie: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "GET /tables/wide/download?format=csv HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// Reads a download slowly until its end; returns its bytes, and counts them in `read_so_far`.
fn read_slowly(mut stream: TcpStream, go_on: &AtomicBool, read_so_far: &AtomicUsize) -> usize {
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = stream.read(&mut buffer).unwrap();
        let before = read_so_far.fetch_add(read, Ordering::AcqRel);
        if read == 0 {
            return before;
        }
        if !go_on.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn a_restart_refuses_no_connection_and_a_download_goes_on_without_holding_it_up() {
    let site = Site::with(
        "CREATE SCHEMA serving;
         CREATE TABLE serving.wide AS SELECT i AS id, repeat(md5(i::VARCHAR), 20) AS text FROM range(150000) t(i);",
    );
    site.ok(&["export", "-q"]);
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut activated = Activated { site: &site, socket, starts: 0 };
    let address = activated.address();
    let get = move |path: &str| {
        ask(
            address,
            &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"),
        )
    };
    let first = activated.start();
    let signed_in = get("/auth/dev-login?email=ada@example.com").unwrap();
    let cookie =
        signed_in.split("set-cookie: ").nth(1).unwrap().split(';').next().unwrap().to_owned();
    site.ok(&["users", "set-plan", "ada@example.com", "pro"]);
    eventually("the plan allows a download", || {
        let mut head = [0; 12];
        request_download(address, &cookie).read_exact(&mut head).is_ok() && &head == b"HTTP/1.1 200"
    });

    let (go_on, stopped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (downloaded, probe_count) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let downloading = std::thread::spawn({
        let (go_on, downloaded) = (go_on.clone(), downloaded.clone());
        move || read_slowly(request_download(address, &cookie), &go_on, &downloaded)
    });
    let probing = std::thread::spawn({
        let (stopped, probe_count) = (stopped.clone(), probe_count.clone());
        move || {
            let (mut probes, mut failures, mut longest) = (0, Vec::new(), Duration::ZERO);
            while !stopped.load(Ordering::Acquire) {
                let begun = Instant::now();
                let answer = get("/health").unwrap_or_default();
                longest = longest.max(begun.elapsed());
                probes += 1;
                probe_count.store(probes, Ordering::Release);
                if !answer.starts_with("HTTP/1.1 200") {
                    failures.push(answer);
                }
                std::thread::sleep(Duration::from_millis(20).saturating_sub(begun.elapsed()));
            }
            (probes, failures, longest)
        }
    });
    eventually("the download is under way", || downloaded.load(Ordering::Acquire) > 0);
    let mut running = first;
    for _ in 0..3 {
        stop(&mut running);
        assert!(!downloading.is_finished(), "the download holds the restart up");
        running = activated.start();
        let before = probe_count.load(Ordering::Acquire);
        eventually("the next process is probe_count", || {
            probe_count.load(Ordering::Acquire) > before + 20
        });
    }
    go_on.store(true, Ordering::Release);
    let bytes = downloading.join().unwrap();
    stopped.store(true, Ordering::Release);
    let (probes, failures, longest) = probing.join().unwrap();
    println!("{probes} probes during 3 restarts, longest {longest:?}, download of {bytes} bytes");
    stop(&mut running);
    assert!(probes > 50 && failures.is_empty(), "{failures:?}");
    assert!(bytes > 90_000_000, "the download is not whole: {bytes} bytes");
    let logs = |number: usize| fs::read_to_string(site.path(&format!("web.{number}.log"))).unwrap();
    eventually("the former processes end", || {
        (1..=4).all(|number| logs(number).contains("stopped"))
    });
}

#[test]
fn a_check_names_what_would_keep_the_site_from_starting_and_changes_nothing() {
    let site = Site::small();
    let check_with = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = site.command(args);
        command.env("DATABASE_URL", "sqlite://accounts.db").env("DEBUG", "true");
        command.env("MATERIA_LISTEN", free_address().to_string()).envs(variables.iter().copied());
        crate::support::Ran::of(&command.output().unwrap())
    };
    let check = |variables: &[(&str, &str)]| check_with(&["web", "--check"], variables);
    let fresh = check(&[]);
    assert_eq!(fresh.code, 0, "{fresh:#?}");
    assert!(
        fresh.stdout.contains("warning  data: ") && fresh.stdout.contains("will be created"),
        "{fresh:#?}"
    );
    assert!(!site.path("accounts.db").exists(), "a check makes no file");
    site.ok(&["export", "-q"]);
    site.ok(&["users", "seed"]);
    let good = check(&[]);
    assert!(
        good.code == 0 && !good.stdout.contains("warning") && !good.stdout.contains("error"),
        "{good:#?}"
    );

    let listening = TcpListener::bind("127.0.0.1:0").unwrap();
    let held = listening.local_addr().unwrap().to_string();
    fs::create_dir(site.path("boards")).unwrap();
    fs::write(site.path("boards/bad.toml"), "title = 'x'\n[[panel]]\nkind = 'pie'\n").unwrap();
    // As a socket unit holds it while the site is stopped.
    let waiting = check(&[("MATERIA_LISTEN", held.as_str())]);
    assert!(waiting.code == 0 && waiting.stdout.contains("warning  port: "), "{waiting:#?}");
    let before_start = check_with(
        &["web", "--check", "--before-start"],
        &[("MATERIA_LISTEN", held.as_str()), ("SMTP_URL", &format!("smtp://{held}"))],
    );
    assert!(
        before_start.code == 0
            && ["port:", "data:", "mail:"]
                .iter()
                .all(|subject| !before_start.stdout.contains(subject)),
        "{before_start:#?}"
    );
    let other = Receiver::answering(200);
    let other = other.address.to_string();
    for (variables, expected) in [
        (("MATERIA_LISTEN", other.as_str()), "error    port: "),
        (("DATABASE_URL", "sqlite://missing/accounts.db"), "error    accounts: "),
        (("DATABASE_URL", "mysql://x"), "error    accounts: "),
        (("MATERIA_DASHBOARDS", "nowhere"), "error    dashboards: "),
        (("MATERIA_DASHBOARDS", "boards"), "error    dashboards: "),
        (("ADMIN_EMAILS", "nobody"), "error    settings: "),
    ] {
        let ran = check(&[variables]);
        assert!(ran.code != 0 && ran.stdout.contains(expected), "{variables:?}: {ran:#?}");
    }
    let url = format!("smtp://{}", free_address());
    let without_mail = check(&[("SMTP_URL", &url)]);
    assert!(
        without_mail.code == 0 && without_mail.stdout.contains("warning  mail: "),
        "{without_mail:#?}"
    );
    let web = Web::start(&site, &[]);
    let running = check(&[("MATERIA_LISTEN", &web.address.to_string())]);
    assert!(
        running.code == 0 && running.stdout.contains("in use by a running site"),
        "{running:#?}"
    );
}

/// Returns the processor time that a process has used, to a hundredth of a second.
fn processor_time(pid: u32) -> Duration {
    const TICKS_PER_SECOND: u32 = 100;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u32 = fields[11..=12].iter().map(|field| field.parse::<u32>().unwrap()).sum();
    Duration::from_secs(1) * ticks / TICKS_PER_SECOND
}

#[test]
fn a_site_whose_data_is_gone_rests() {
    const WATCHED: Duration = Duration::from_secs(5);
    for target in ["analytics.duckdb", "ducklake:lake.ducklake"] {
        let site = Site::small();
        site.ok(&["export", "-q"]);
        let web = Web::start(&site, &[("SERVING_DUCKDB_PATH", target)]);
        // The tests' own folder, with everything in it, was removed under a running site.
        for entry in fs::read_dir(site.folder()).unwrap() {
            let path = entry.unwrap().path();
            let is_folder = path.is_dir();
            let removed =
                if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.unwrap();
        }
        // At first it reports what is missing, and looks for it at shorter intervals.
        let mut used = Duration::MAX;
        eventually(&format!("{target}: the site rests"), || {
            let before = processor_time(web.process.id());
            std::thread::sleep(WATCHED);
            used = processor_time(web.process.id()).saturating_sub(before);
            used < WATCHED / 20
        });
        println!("{target}: {used:?} of {WATCHED:?}");
    }
}
