//! Several `materia web` on one PostgreSQL: a session is valid at all of them, any may be killed,
//! and PostgreSQL may become unavailable.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use crate::{
    postgres_server::{PASSWORD, Postgres},
    support::{Ran, Site, at_best_within, eventually},
    web::{ask, free_address},
};

/// One server.
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) address: SocketAddr,
}

/// A response of a server.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Server {
    fn start(site: &Site, url: &str) -> Self {
        let server = Self::begin(site, url);
        server.answers();
        server
    }

    /// Does not wait until it responds.
    fn begin(site: &Site, url: &str) -> Self {
        let mut command = with_store(site.command(&["web"]), url);
        command.env("RUST_LOG", "debug");
        Self::of(command, free_address(), &site.path("web.log"))
    }

    /// Runs `materia web` with these settings at this address, and does not wait until it responds.
    pub(crate) fn of(mut command: Command, address: SocketAddr, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        command.env("MATERIA_LISTEN", address.to_string()).env("MATERIA_REQUESTS_PER_MINUTE", "0");
        let process =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Self { process, address }
    }

    /// Waits until it responds.
    pub(crate) fn answers(&self) {
        eventually("the server answers", || self.try_ask("GET", "/health", "", "").is_some());
    }

    /// Returns `None` if the connection breaks.
    pub(crate) fn try_ask(
        &self,
        method: &str,
        path: &str,
        cookie: &str,
        form: &str,
    ) -> Option<Answer> {
        let cookie = if cookie.is_empty() { String::new() } else { format!("{cookie}\r\n") };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAccept: text/html\r\nSec-Fetch-Site: same-origin\r\n{cookie}\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            self.address,
            form.len()
        );
        let text = ask(self.address, &request)?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
    }

    pub(crate) fn get(&self, path: &str, cookie: &str) -> Answer {
        self.try_ask("GET", path, cookie, "").unwrap()
    }

    pub(crate) fn post(&self, path: &str, cookie: &str, form: &str) -> Answer {
        self.try_ask("POST", path, cookie, form).unwrap()
    }

    /// Signs in without an email; returns the cookie header of the session.
    pub(crate) fn sign_in(&self, email: &str) -> String {
        self.get(&format!("/auth/dev-login?email={email}"), "").cookie()
    }

    /// Creates an API key; returns the authorization header.
    pub(crate) fn make_key(&self, cookie: &str) -> String {
        let made = self.post("/settings/keys", cookie, "key-name=x&days=30");
        let keys = made
            .body
            .split("materia_")
            .map(|rest| rest.chars().take_while(char::is_ascii_hexdigit).collect::<String>());
        let key = keys.skip(1).find(|key| key.len() == 64).unwrap_or_else(|| panic!("{made:?}"));
        format!("Authorization: Bearer materia_{key}")
    }

    /// Kills it without a chance to clean up.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Answer {
    /// Returns whether the response is complete.
    pub(crate) fn is_whole(&self) -> bool {
        match self.header("content-length") {
            Some(length) => length.parse() == Ok(self.body.len()),
            None => self.body.ends_with("\r\n0\r\n\r\n"),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    fn cookie(&self) -> String {
        let line = self
            .head
            .lines()
            .find_map(|line| line.strip_prefix("set-cookie: "))
            .unwrap_or_else(|| panic!("{self:?}"));
        format!("Cookie: {}", line.split(';').next().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn with_store(mut command: Command, url: &str) -> Command {
    command.env("DATABASE_URL", url).env("DEBUG", "true").env("ADMIN_EMAILS", "admin@example.test");
    command
}

/// Returns a served file, a PostgreSQL with the four accounts, and its URL.
fn deployment() -> Option<(Site, Postgres, String)> {
    let postgres = Postgres::start()?;
    let url = postgres.url(&postgres.database());
    let site = Site::small();
    site.ok(&["export"]);
    let seeded = with_store(site.command(&["users", "seed"]), &url).output().unwrap();
    assert!(seeded.status.success(), "{}", String::from_utf8_lossy(&seeded.stderr));
    Some((site, postgres, url))
}

#[test]
fn a_session_of_one_server_is_valid_on_all_and_ends_on_all_within_a_second() {
    let Some((site, _postgres, url)) = deployment() else { return };
    let servers = [(); 3].map(|()| Server::start(&site, &url));
    let cookie = servers[0].sign_in("pro@example.test");
    for server in &servers {
        let page = server.get("/settings", &cookie);
        assert!(page.status == 200 && page.body.contains("pro@example.test"), "{page:?}");
    }
    assert_eq!(servers[1].post("/auth/logout", &cookie, "").status, 303);
    let since = Instant::now();
    assert_ne!(servers[1].get("/settings", &cookie).status, 200);
    eventually("every server knows", || {
        servers.iter().all(|server| server.get("/settings", &cookie).status == 303)
    });
    println!("all knew after {:?}", since.elapsed());
    // Immediate at all servers: every later request is refused.
    let cookie = servers[2].sign_in("starter@example.test");
    assert_eq!(servers[0].get("/settings", &cookie).status, 200);
    assert_eq!(servers[2].post("/auth/logout", &cookie, "").status, 303);
    sleep(Duration::from_secs(1));
    assert_eq!(servers[0].get("/settings", &cookie).status, 303);
}

#[test]
fn of_servers_that_race_for_one_link_one_lets_in() {
    let Some((site, _postgres, url)) = deployment() else { return };
    let servers = [(); 3].map(|()| Server::start(&site, &url));
    // Invalid credentials count as a guess, at all servers together: a few rounds stay below the
    // limit of a network.
    for round in 0..2 {
        let email = format!("bo{round}@example.com");
        let asking = &servers[round % 3];
        assert_eq!(asking.post("/auth/login", "", &format!("email={email}")).status, 200);
        let letters = asking.get("/dev/mailbox", "").body;
        let token: String = letters
            .split("token=")
            .nth(1)
            .unwrap()
            .chars()
            .take_while(char::is_ascii_hexdigit)
            .collect();
        let (together, entered) = (Barrier::new(9), AtomicU32::new(0));
        scope(|scope| {
            for number in 0..9 {
                let (server, token, together, entered) =
                    (&servers[number % 3], &token, &together, &entered);
                scope.spawn(move || {
                    together.wait();
                    let answer = server.post("/auth/verify", "", &format!("token={token}"));
                    assert!(matches!(answer.status, 303 | 410), "{answer:?}");
                    entered.fetch_add(u32::from(answer.status == 303), Ordering::SeqCst);
                });
            }
        });
        assert_eq!(entered.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn one_of_three_servers_is_killed_under_load_and_no_answer_of_the_others_fails() {
    let Some((site, _postgres, url)) = deployment() else { return };
    let mut servers = [(); 3].map(|()| Server::start(&site, &url));
    let cookie = servers[0].sign_in("pro@example.test");
    let (over, answered) = (AtomicBool::new(false), AtomicU32::new(0));
    let [killed, survivors @ ..] = &mut servers;
    for _ in 0..3 {
        over.store(false, Ordering::SeqCst);
        scope(|scope| {
            for number in 0..6 {
                let (server, cookie, over, answered) =
                    (&survivors[number % 2], &cookie, &over, &answered);
                scope.spawn(move || {
                    while !over.load(Ordering::SeqCst) {
                        // Pages that read, and a form that takes the write lock.
                        let responses =
                            [server.get("/settings", cookie), server.get("/tables/names", cookie)];
                        let key = server.post("/settings/keys", cookie, "key-name=x&days=30");
                        assert!(
                            responses.iter().all(|response| response.status == 200),
                            "{responses:?}"
                        );
                        assert!(key.status < 500, "{key:?}");
                        answered.fetch_add(3, Ordering::SeqCst);
                    }
                });
            }
            let killed = &*killed;
            scope.spawn(|| {
                while killed
                    .try_ask("POST", "/settings/keys", &cookie, "key-name=x&days=30")
                    .is_some()
                {}
            });
            let begun = answered.load(Ordering::SeqCst);
            eventually("there is load", || answered.load(Ordering::SeqCst) > begun + 60);
            assert!(
                Command::new("kill")
                    .arg("-KILL")
                    .arg(killed.process.id().to_string())
                    .status()
                    .unwrap()
                    .success()
            );
            let died = answered.load(Ordering::SeqCst);
            eventually("the others go on", || answered.load(Ordering::SeqCst) > died + 60);
            over.store(true, Ordering::SeqCst);
        });
        killed.kill();
        *killed = Server::start(&site, &url);
        assert_eq!(
            killed.get("/settings", &cookie).status,
            200,
            "signed in at the one that came back"
        );
    }
    println!("{} answers", answered.load(Ordering::SeqCst));
}

#[test]
fn postgresql_may_stand_still_or_stop_and_everything_recovers_by_itself() {
    let Some((site, mut postgres, url)) = deployment() else { return };
    let servers = [(); 2].map(|()| Server::start(&site, &url));
    let cookie = servers[0].sign_in("pro@example.test");
    let key = servers[1].make_key(&cookie);
    let all_is_well = || {
        servers.iter().all(|server| {
            let answers = [
                server.get("/settings", &cookie),
                server.get("/api/v1/tables", &key),
                server.get("/ready", ""),
            ];
            answers.iter().all(|answer| answer.status == 200)
        })
    };
    assert!(all_is_well());
    let told_by = |server: &Server| {
        // Pages that need no account work promptly.
        at_best_within(Duration::from_secs(1), || {
            let begun = Instant::now();
            assert!(["/", "/auth/login"].iter().all(|path| server.get(path, "").status == 200));
            begun.elapsed()
        });
        let begun = Instant::now();
        assert_eq!(server.get("/", &cookie).status, 200, "also for who is signed in");
        let page = server.get("/tables", &cookie);
        assert!(
            page.status == 503 && page.body.contains("Accounts are unavailable right now"),
            "{page:?}"
        );
        assert!(
            page.head.contains("retry-after: 5") && begun.elapsed() < Duration::from_secs(20),
            "{page:?} after {:?}",
            begun.elapsed()
        );
        assert_eq!(
            server.post("/auth/logout", &cookie, "").status,
            503,
            "nobody is told that a session ended that did not"
        );
        let response = server.post("/auth/login", "", "email=new@example.com");
        assert!(
            response.status == 503 && response.body.contains("Accounts are unavailable"),
            "{response:?}"
        );
        let call = server.get("/api/v1/tables", &key);
        assert!(call.status == 503 && call.body.contains("unavailable"), "{call:?}");
        let ready = server.get("/ready", "");
        assert!(ready.status == 503 && ready.body.contains("\"store\":false"), "{ready:?}");
    };
    let everybody_is_told = || {
        scope(|scope| {
            for server in &servers {
                scope.spawn(|| told_by(server));
            }
        });
    };

    postgres.signal("STOP");
    // Sessions are cached for a second.
    sleep(Duration::from_secs(1));
    everybody_is_told();
    postgres.signal("CONT");
    let since = Instant::now();
    eventually("after it stood still", all_is_well);
    println!("well again {:?} after it went on", since.elapsed());

    postgres.end();
    sleep(Duration::from_secs(1));
    everybody_is_told();
    // A server that starts meanwhile waits.
    let late = Server::begin(&site, &url);
    let log = || fs::read_to_string(site.path("web.log")).unwrap();
    eventually("it says that it waits", || log().contains("waiting for the accounts"));
    assert!(late.try_ask("GET", "/health", "", "").is_none());
    postgres.begin();
    let since = Instant::now();
    eventually("after it was stopped", all_is_well);
    println!("well again {:?} after it was started", since.elapsed());
    eventually("the one that waited", || {
        late.try_ask("GET", "/settings", &cookie, "").is_some_and(|answer| answer.status == 200)
    });
    assert!(!log().contains(PASSWORD), "the password is in the log");
}

#[test]
fn a_server_that_postgresql_does_not_let_in_says_so_at_once() {
    let Some((site, postgres, url)) = deployment() else { return };
    let begun = Instant::now();
    let wrong = url.replace(PASSWORD, "hunter2");
    let mut refused = with_store(site.command(&["web"]), &wrong);
    let refused = refused.env("MATERIA_LISTEN", "127.0.0.1:0").output().unwrap();
    let printed = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && begun.elapsed() < Duration::from_mins(1), "{printed}");
    assert!(
        printed.contains(&format!("at 127.0.0.1:{}, database", postgres.port()))
            && printed.contains("password authentication failed"),
        "{printed}"
    );
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[test]
fn the_suggested_backup_commands_restore_the_accounts() {
    let Some((site, postgres, url)) = deployment() else { return };
    let run =
        |args: &[&str], url: &str| Ran::of(&with_store(site.command(args), url).output().unwrap());
    let ran = run(&["users", "backup", "copy.dump"], &url);
    assert!(ran.code == 1 && !ran.stderr.contains(PASSWORD), "{ran:?}");
    let command =
        &ran.stderr[ran.stderr.find("pg_dump").unwrap()..ran.stderr.find(" (and").unwrap()];
    let path = format!("{}:/usr/bin:/bin", postgres.program("").display());
    let shell = |command: &str, url: &str| {
        let ran = Command::new("sh")
            .args(["-c", command])
            .current_dir(site.folder())
            .env("DATABASE_URL", url)
            .env("PATH", &path)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
    };
    shell(command, &url);
    let again = postgres.url(&postgres.database());
    let go_back = "pg_restore --clean --if-exists --dbname=\"$DATABASE_URL\" copy.dump";
    shell(go_back, &again);
    run(&["users", "set-plan", "free@example.test", "pro"], &again);
    shell(go_back, &again);
    let listed = run(&["users", "list"], &again).stdout;
    assert!(
        listed.contains("4 accounts") && listed == run(&["users", "list"], &url).stdout,
        "{listed}"
    );
}
