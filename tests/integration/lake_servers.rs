//! Three `materia web` servers on one PostgreSQL and one lake, with continuous exports, while the
//! servers are killed one after the other.
//!
//! `MATERIA_TEST_LAKE_EXPORTS` is the number of exports, which is small by default.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Mutex, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use crate::{
    lake_deployment::Deployment,
    servers::{Answer, Server},
    support::eventually,
    web::free_address,
};

/// How long all servers run before the next one is killed.
const BETWEEN_KILLS: Duration = Duration::from_secs(3);
/// Delay between a client's requests.
const PAUSE: Duration = Duration::from_millis(50);
/// Number of clients.
const CLIENTS: usize = 6;
/// Number of exports after which clients switch accounts: the API limits an account's calls per
/// day, and a killed server loses the part of the quota that it had leased.
const EXPORTS_OF_ONE: usize = 25;

fn exports() -> i64 {
    std::env::var("MATERIA_TEST_LAKE_EXPORTS").map_or(12, |text| text.parse().unwrap())
}

/// The address of a server, which may be running, or just being killed and restarted.
struct Place {
    address: SocketAddr,
    server: RwLock<Server>,
    /// Even while the server runs; odd from before it is killed until it runs again.
    turn: AtomicU64,
    /// The newest generation that was seen in this run of the server.
    newest: Mutex<(u64, String)>,
}

/// The observations of clients.
#[derive(Default)]
struct Seen {
    /// The run of each generation.
    runs: Mutex<BTreeMap<String, i64>>,
    answers: AtomicUsize,
    /// Responses that were cut off because the server was killed.
    cut: AtomicUsize,
    pages: AtomicUsize,
}

impl Place {
    fn begin(deployment: &Deployment) -> Self {
        let address = free_address();
        Self {
            address,
            server: RwLock::new(deployment.server(address)),
            turn: AtomicU64::new(0),
            newest: Mutex::default(),
        }
    }

    fn kill_and_start(&self, deployment: &Deployment) {
        let mut server = self.server.write().unwrap();
        server.kill();
        *server = deployment.server(self.address);
        self.turn.fetch_add(1, Ordering::SeqCst);
    }

    fn stays(&self) -> Option<u64> {
        Some(self.turn.load(Ordering::SeqCst)).filter(|turn| turn % 2 == 0)
    }

    /// Sends a request, unless the server is being killed, and validates the response.
    fn ask(&self, path: &str, credentials: &str, seen: &Seen) {
        let Some(turn) = self.stays() else { return };
        let before = self.newest.lock().unwrap().clone();
        let answer = request(self.address, path, credentials);
        if self.stays() != Some(turn) {
            seen.cut.fetch_add(1, Ordering::SeqCst);
            return;
        }
        let answer =
            answer.unwrap_or_else(|| panic!("{path}: a server that stays dropped its answer"));
        assert!(answer.status == 200 && answer.is_whole(), "{path}: {answer:?}");
        seen.answers.fetch_add(1, Ordering::SeqCst);
        let Some((generation, run)) = read(path, &answer) else { return };
        seen.pages.fetch_add(1, Ordering::SeqCst);
        let known = *seen.runs.lock().unwrap().entry(generation.clone()).or_insert(run);
        assert_eq!(known, run, "{path}: generation {generation} is of two runs");
        if before.0 == turn {
            assert!(generation >= before.1, "{path}: back from {} to {generation}", before.1);
        }
        let mut newest = self.newest.lock().unwrap();
        if newest.0 != turn || newest.1 < generation {
            *newest = (turn, generation);
        }
    }
}

fn request(address: SocketAddr, path: &str, credentials: &str) -> Option<Answer> {
    let text = crate::web::ask(
        address,
        &format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAccept: text/html, application/json\r\n{credentials}\r\n\r\n"
        ),
    )?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// Returns the generation of a response and its run, which must be the same in all its values.
fn read(path: &str, answer: &Answer) -> Option<(String, i64)> {
    let between = |start: &str, end: &str| -> Vec<String> {
        answer
            .body
            .split(start)
            .skip(1)
            .map(|rest| rest.split(end).next().unwrap().to_owned())
            .collect()
    };
    let (generation, figures) = if path.starts_with("/api/") {
        let runs = if path.contains("dashboards") {
            between("\"value\":", ".")
        } else {
            between("\"run\":", "}")
        };
        (answer.header("x-materia-generation").unwrap().to_owned(), runs)
    } else if path == "/methodology" {
        return None;
    } else {
        (between("data-generation=\"", "\"").pop().unwrap(), between("<span class=\"value\">", "<"))
    };
    assert!(figures.len() >= 3, "{path}: {answer:?}");
    let runs: Vec<i64> = figures
        .iter()
        .map(|figure| figure.parse().unwrap_or_else(|_| panic!("{path}: {figures:?}")))
        .collect();
    assert!(
        runs.iter().all(|run| *run == runs[0]),
        "{path}: mixed: {runs:?} in generation {generation}"
    );
    Some((generation, runs[0]))
}

/// An API call that queries the lake.
const CALL: &str = "/api/v1/tables/orders/rows?select=run&limit=3";

/// Returns the requests of anonymous visitors, customers and programs.
fn requests(cookie: &str, key: &str) -> Vec<(&'static str, String)> {
    let as_program = |path| (path, key.to_owned());
    vec![
        ("/", "Accept-Language: en".to_owned()),
        ("/dashboard/runs", cookie.to_owned()),
        as_program(CALL),
        ("/dashboard/runs?visit={}", cookie.to_owned()),
        ("/methodology", cookie.to_owned()),
        as_program("/api/v1/dashboards/runs?visit={}"),
    ]
}

#[test]
fn while_servers_are_killed_during_exports_the_others_answer_correctly() {
    let Some(deployment) = Deployment::start() else { return };
    let places = [(); 3].map(|()| Place::begin(&deployment));
    let customer = |number: usize| {
        let email = format!("customer{number}@example.test");
        let cookie = places[0].server.read().unwrap().sign_in(&email);
        let promoted = deployment.run(&["users", "set-plan", &email, "pro"]);
        assert_eq!(promoted.code, 0, "{promoted:?}");
        let key = places[1].server.read().unwrap().make_key(&cookie);
        requests(&cookie, &key)
    };
    let turns = 1 + usize::try_from(exports()).unwrap() / EXPORTS_OF_ONE;
    let customers: Vec<_> = (0..CLIENTS * turns).map(customer).collect();
    let exported = AtomicUsize::new(0);
    let (over, seen, kills) = (AtomicBool::new(false), Seen::default(), AtomicUsize::new(0));
    // The published generations with their runs, and how soon each surviving server had them.
    let (mut published, mut waits) = (Vec::new(), Vec::new());
    scope(|scope| {
        let _end = End(&over);
        for number in 0..CLIENTS {
            let (places, seen, over, customers, exported) =
                (&places, &seen, &over, &customers, &exported);
            scope.spawn(move || {
                let _end = End(over);
                for turn in number.. {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    let requests = &customers
                        [number + CLIENTS * (exported.load(Ordering::SeqCst) / EXPORTS_OF_ONE)];
                    let (path, credentials) = &requests[turn % requests.len()];
                    // A first request takes longest: a new generation may be published meanwhile.
                    let path = path.replace("{}", &format!("{number}-{turn}"));
                    places[turn / requests.len() % places.len()].ask(&path, credentials, seen);
                    sleep(PAUSE);
                }
            });
        }
        let (deployment, places, over, kills) = (&deployment, &places, &over, &kills);
        scope.spawn(move || {
            let _end = End(over);
            for turn in 0.. {
                let since = Instant::now();
                while since.elapsed() < BETWEEN_KILLS {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    sleep(PAUSE);
                }
                let place = &places[turn % places.len()];
                place.turn.fetch_add(1, Ordering::SeqCst);
                place.kill_and_start(deployment);
                kills.fetch_add(1, Ordering::SeqCst);
            }
        });
        for run in 2..2 + exports() {
            if over.load(Ordering::SeqCst) {
                break;
            }
            deployment.site.begin_run(run);
            let ran = deployment.run(&["export", "--json"]);
            assert_eq!(ran.code, 0, "{ran:#?}");
            let generation = generation(&ran.stdout);
            let since = Instant::now();
            for place in places {
                let Some(turn) = place.stays() else { continue };
                let has_it = || {
                    place.stays() != Some(turn)
                        || request(place.address, "/ready", "")
                            .is_none_or(|response| response.body.contains(&generation))
                };
                eventually("a server that stays follows", has_it);
                if place.stays() == Some(turn) {
                    waits.push(since.elapsed());
                }
            }
            published.push((generation, run));
            exported.fetch_add(1, Ordering::SeqCst);
        }
        eventually("each was killed", || {
            over.load(Ordering::SeqCst) || kills.load(Ordering::SeqCst) >= 3
        });
        over.store(true, Ordering::SeqCst);
    });
    let runs = seen.runs.lock().unwrap().clone();
    for (generation, run) in &published {
        assert!(
            runs.get(generation).is_none_or(|seen| seen == run),
            "generation {generation} is run {run}, and was shown as {runs:?}"
        );
    }
    waits.sort();
    println!(
        "{} exports, {} kills; {} answers, {} of them with figures, of {} generations; {} were under way when their server was killed; all others right. \
         A server that stayed had a new generation {:?} (median) to {:?} after the export's end",
        published.len(),
        kills.load(Ordering::SeqCst),
        seen.answers.load(Ordering::SeqCst),
        seen.pages.load(Ordering::SeqCst),
        runs.len(),
        seen.cut.load(Ordering::SeqCst),
        waits[waits.len() / 2],
        waits[waits.len() - 1],
    );
    assert!(
        runs.len() > published.len() / 2,
        "the load looked at {} of {} generations",
        runs.len(),
        published.len()
    );
}

/// Ends all clients when one of them fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

fn generation(events: &str) -> String {
    let last: serde_json::Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
    let found =
        [&last["generation"], &last["record"]["generation"]].into_iter().find_map(|id| id.as_str());
    found.unwrap_or_else(|| panic!("{events}")).to_owned()
}

#[test]
fn sessions_and_keys_made_at_one_server_are_good_at_all_and_their_end_is_seen_by_all_within_a_second()
 {
    let Some(deployment) = Deployment::start() else { return };
    let servers = [(); 3].map(|()| deployment.server(free_address()));
    for (at, server) in servers.iter().enumerate() {
        let cookie = server.sign_in("pro@example.test");
        let key = servers[(at + 1) % 3].make_key(&cookie);
        for other in &servers {
            let page = other.get("/dashboard/runs", &cookie);
            assert!(page.status == 200 && page.body.contains("Customers"), "{page:?}");
            let call = request(other.address, CALL, &key).unwrap();
            assert_eq!(call.status, 200, "{call:?}");
        }
        let settings = servers[(at + 2) % 3].get("/settings", &cookie).body;
        let revoke = settings.split("/settings/keys/").find_map(|rest| {
            rest.split_once("/revoke\"").map(|(id, _)| id).filter(|id| !id.contains('<'))
        });
        let revoked = servers[(at + 2) % 3].post(
            &format!("/settings/keys/{}/revoke", revoke.unwrap()),
            &cookie,
            "",
        );
        assert_eq!(revoked.status, 303, "{revoked:?}");
        assert_eq!(servers[(at + 1) % 3].post("/auth/logout", &cookie, "").status, 303);
        sleep(Duration::from_secs(1));
        for other in &servers {
            assert_eq!(request(other.address, CALL, &key).unwrap().status, 401);
            assert_eq!(other.get("/settings", &cookie).status, 303);
        }
    }
}
