//! `materia postgres` among clients that ask for too much: crashes, shares, operators.

use std::{
    fs,
    io::Write as _,
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    postgres_endpoint::{Endpoint, Raw, key, site},
    support::{Site, at_best_within, eventually},
};

/// Runs until it is stopped.
const ENDLESS: &str = "SELECT count(*) FROM range(1000000000000) a";

fn list(site: &Site) -> Vec<serde_json::Value> {
    let ran = site.run(&["postgres", "list", "--json"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until a number of statements run, and returns the connections that run them.
fn active(site: &Site, wanted: usize) -> Vec<serde_json::Value> {
    let mut found = Vec::new();
    eventually("the statements run", || {
        let connections = list(site).into_iter();
        // The list itself is a statement of no engine.
        found = connections.filter(|connection| connection["state"] == "active").collect();
        found.len() == wanted
    });
    found
}

fn with_socket(more: &str) -> Site {
    let site = site();
    site.settings(&format!("[postgres]\nlisten = '127.0.0.1:0'\nsocket = '.'\n{more}"));
    site
}

#[test]
fn a_crash_of_the_engine_is_logged_with_the_statement_and_the_endpoint_goes_on_without_it() {
    let site = with_socket("");
    let endpoint = Endpoint::start(&site);
    let pro = key(&site, "pro", &["--sql"]);
    let mut raw = Raw::connect(&endpoint, &pro);
    let mut other = Raw::connect(&endpoint, &pro);
    assert_eq!(other.run("SELECT count(*) FROM psd").unwrap(), ["1000"]);
    raw.send(Some(b'Q'), format!("{ENDLESS}\0").as_bytes());
    let hash = active(&site, 1)[0]["statement"].as_str().unwrap().to_owned();
    let crashed = endpoint.serving().unwrap();
    // As a failed assertion in native code does; Rust's own handler would ignore a first SIGSEGV.
    assert!(Command::new("kill").args(["-ABRT", &crashed.to_string()]).status().unwrap().success());
    eventually("another process serves at the same address", || {
        endpoint.serving().is_some_and(|serving| serving != crashed)
            && TcpStream::connect(endpoint.address).is_ok()
    });
    let [crash] = &endpoint.logged("the engine crashed")[..] else { panic!("one crash") };
    assert_eq!(crash["signal"], 6, "{crash}");
    assert_eq!(crash["statements"], hash, "only what was running: {crash}");
    assert!(!crash.to_string().contains("1000000000000"), "logs contain no statement: {crash}");
    let mut raw = Raw::connect(&endpoint, &pro);
    let refused = raw.run(ENDLESS).unwrap_err();
    assert!(refused.contains("57P02") && refused.contains(&hash), "{refused}");
    assert_eq!(raw.run("SELECT count(*) FROM psd").unwrap(), ["1000"], "others go on");
}

#[test]
fn the_endpoint_ends_with_its_supervisor_however_that_ends() {
    let site = with_socket("");
    for signal in ["-TERM", "-KILL"] {
        let mut endpoint = Endpoint::start(&site);
        let serving = endpoint.serving().unwrap();
        let supervisor = endpoint.process.id().to_string();
        assert!(Command::new("kill").args([signal, &supervisor]).status().unwrap().success());
        let ended = endpoint.process.wait().unwrap();
        assert_eq!(ended.success(), signal == "-TERM", "{ended}");
        eventually("the serving process is gone", || {
            // Nobody waits for an orphan in some containers.
            fs::read_to_string(format!("/proc/{serving}/stat"))
                .map_or(true, |stat| stat.contains(") Z "))
        });
    }
}

#[test]
fn one_account_takes_no_more_than_its_share_however_much_it_asks_for_and_however_slowly_it_reads() {
    let site = with_socket("concurrent = 4\n[postgres.limits.pro]\nconnections = 20\n");
    let endpoint = Endpoint::start(&site);
    site.ok(&["users", "set-plan", "free@example.test", "pro"]);
    let greedy = key(&site, "pro", &["--sql"]);
    let calm = key(&site, "free", &["--sql"]);
    // Half of its statements never end, half have rows that nobody reads; its share is two.
    let mut hogs: Vec<Raw> = (0..6).map(|_| Raw::connect(&endpoint, &greedy)).collect();
    for (at, hog) in hogs.iter_mut().enumerate() {
        let unread = "SELECT i, repeat('x', 1000) FROM range(1000000000) t(i)";
        let sql = if at % 2 == 0 { ENDLESS } else { unread };
        hog.send(Some(b'Q'), format!("{sql}\0").as_bytes());
    }
    active(&site, 2);
    let before = endpoint.memory();
    let mut raw = Raw::connect(&endpoint, &calm);
    for _ in 0..20 {
        assert_eq!(raw.run("SELECT count(*) FROM psd").unwrap(), ["1000"]);
    }
    active(&site, 2);
    let grown = endpoint.memory().saturating_sub(before);
    assert!(grown < 200_000, "{grown} kB");
    // A connection's own cursors count, and the error comes at once: nobody else would close them.
    for statement in [
        "BEGIN",
        "DECLARE a CURSOR FOR SELECT * FROM range(1000000)",
        "DECLARE b CURSOR FOR SELECT * FROM range(1000000)",
    ] {
        raw.run(statement).unwrap();
    }
    let refused = raw.run("DECLARE c CURSOR FOR SELECT 1").unwrap_err();
    assert!(refused.contains("53300") && refused.contains("Close cursors"), "{refused}");
    // A plan has an engine of its own.
    let mut starter = Raw::connect(&endpoint, &key(&site, "starter", &["--sql"]));
    assert_eq!(starter.run("SELECT 1").unwrap(), ["1"]);
}

/// Asks for a statement's name, its text and no types of parameters.
fn parse(name: &str, sql: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0", sql.as_bytes(), b"\0\0\0"].concat()
}

/// Gives a statement without a name one parameter as text.
fn bind(portal: &str, value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(value.len()).unwrap().to_be_bytes();
    [portal.as_bytes(), b"\0\0\0\0\0\x01", &length, value, b"\0\0"].concat()
}

/// Reads up to the end of an exchange. Returns the first error, if any.
fn ready(raw: &mut Raw) -> Option<String> {
    let mut error = None;
    loop {
        match raw.message() {
            (b'E', body) => {
                error.get_or_insert_with(|| String::from_utf8_lossy(&body).into_owned());
            }
            (b'Z', _) => return error,
            _ => {}
        }
    }
}

#[test]
fn what_a_connection_keeps_is_bounded_and_an_error_says_what_does_not_fit() {
    const MEGABYTE: usize = 1_000_000;
    let site = with_socket("connection_memory = '8MB'\n");
    let endpoint = Endpoint::start(&site);
    let pro = key(&site, "pro", &["--sql"]);
    let mut raw = Raw::connect(&endpoint, &pro);
    assert_eq!(raw.run("SELECT count(*) FROM psd").unwrap(), ["1000"]);
    let before = endpoint.memory();

    // Prepared statements, until there is no room for another one.
    let long = format!("SELECT 1 -- {}", "x".repeat(200_000));
    let refused = (0..100).find_map(|number| {
        raw.send(Some(b'P'), &parse(&format!("s{number}"), &long));
        raw.send(Some(b'S'), b"");
        ready(&mut raw).map(|error| (number, error))
    });
    let (number, error) = refused.unwrap();
    assert!(number < 25 && error.contains("53200"), "{number} {error}");
    assert!(error.contains("the prepared statement would exceed the 8.00 MB"), "{error}");
    raw.run("DEALLOCATE ALL").unwrap();

    // The values of portals, in a transaction, which keeps them.
    raw.run("BEGIN").unwrap();
    raw.send(Some(b'P'), &parse("", "SELECT length($1)"));
    for number in 0..8 {
        raw.send(Some(b'B'), &bind(&format!("p{number}"), &vec![b'x'; MEGABYTE * 3 / 2]));
    }
    raw.send(Some(b'S'), b"");
    let error = ready(&mut raw).unwrap();
    assert!(error.contains("53200") && error.contains("the portal would exceed"), "{error}");
    raw.run("ROLLBACK").unwrap();

    // Rows that are larger than everything, alone and in a batch; and rows that only pass.
    for sql in [
        "SELECT repeat('x', 9000000)",
        "SELECT repeat('x', 100000) || i FROM range(200) t(i)",
        "COPY (SELECT repeat('x', 9000000)) TO STDOUT",
    ] {
        let error = raw.run(sql).unwrap_err();
        assert!(error.contains("54000"), "{sql}: {error}");
    }
    let rows = "SELECT i, repeat('x', 1000) FROM range(50000) t(i)";
    assert_eq!(raw.run(rows).unwrap()[0], "49999", "50 MB pass through");

    // Cursors that are read in parts leave rows behind.
    raw.run("BEGIN").unwrap();
    let refused = (0..8).find_map(|number| {
        let sql = format!(
            "DECLARE c{number} CURSOR FOR SELECT repeat('x', 1500) || i FROM range(1000000) t(i)"
        );
        raw.run(&sql).and_then(|_| raw.run(&format!("FETCH 1 FROM c{number}"))).err()
    });
    let error = refused.unwrap();
    assert!(error.contains("53200") && error.contains("are full"), "{error}");
    raw.run("ROLLBACK").unwrap();

    // Settings.
    let error = raw.run(&format!("SET my.setting = '{}'", "x".repeat(10_000))).unwrap_err();
    assert!(error.contains("54000"), "{error}");
    let refused = (0..300).find_map(|number| raw.run(&format!("SET my.s{number} = 'x'")).err());
    assert!(refused.unwrap().contains("53200"));
    raw.run("RESET ALL").unwrap();
    assert_eq!(raw.run("SELECT count(*) FROM psd").unwrap(), ["1000"], "the connection goes on");
    let grown = endpoint.memory().saturating_sub(before);
    println!("{grown} kB more");
    assert!(grown < 150_000, "{grown} kB");

    // A message that is too long is not read at all.
    let mut raw = Raw::connect(&endpoint, &pro);
    let head = [&b"Q"[..], &3_000_000_u32.to_be_bytes()].concat();
    raw.0.write_all(&head).unwrap();
    let (kind, body) = raw.message();
    assert!(kind == b'E' && String::from_utf8_lossy(&body).contains("54000"), "{body:?}");
}

#[test]
fn answers_that_nobody_asks_to_see_are_not_collected() {
    let site = with_socket("");
    let endpoint = Endpoint::start(&site);
    let mut raw = Raw::connect(&endpoint, &key(&site, "pro", &["--sql"]));
    let before = endpoint.memory();
    raw.0.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    // Closing a statement that is not there is answered, too, and takes no time.
    let message = [&b"C"[..], &7_u32.to_be_bytes(), b"Sx\0"].concat();
    let many = message.repeat(10_000);
    // It does not read and never synchronizes: after a while, the server does not take more.
    let mut sent = 0;
    while sent < 2_000 && raw.0.write_all(&many).is_ok() {
        sent += 1;
    }
    let grown = endpoint.memory().saturating_sub(before);
    assert!(sent < 2_000, "it takes messages without end whose answers are not taken");
    assert!(grown < 20_000, "{grown} kB after {sent} times 10,000 messages");
}

/// Returns the 99th percentile of the time of a small statement, over some seconds.
fn p99(raw: &mut Raw) -> Duration {
    let end = Instant::now() + Duration::from_secs(4);
    let mut times = Vec::new();
    while Instant::now() < end {
        let begun = Instant::now();
        raw.run("SELECT count(*), sum(value) FROM psd WHERE year > 2005").unwrap();
        times.push(begun.elapsed());
    }
    times.sort();
    times[times.len() * 99 / 100]
}

#[test]
fn small_statements_are_answered_beside_an_account_that_runs_all_that_it_may() {
    let site = with_socket("");
    let endpoint = Endpoint::start(&site);
    site.ok(&["users", "set-plan", "free@example.test", "pro"]);
    let greedy = key(&site, "pro", &["--sql"]);
    let mut calm = Raw::connect(&endpoint, &key(&site, "free", &["--sql"]));
    let alone = p99(&mut calm);
    let mut hogs: Vec<Raw> = (0..8).map(|_| Raw::connect(&endpoint, &greedy)).collect();
    for hog in &mut hogs {
        hog.send(Some(b'Q'), format!("{ENDLESS}\0").as_bytes());
    }
    active(&site, 8);
    let mut with_hogs = Duration::MAX;
    // Other tests may need the processors, too.
    at_best_within(alone * 8 + Duration::from_millis(50), || {
        with_hogs = p99(&mut calm);
        with_hogs
    });
    println!("p99 {alone:?} alone, {with_hogs:?} next to 8 endless statements");
    // Threads that gave way are replaced: what runs afterwards has its full weight.
    drop(hogs);
    active(&site, 0);
    let serving = endpoint.serving().unwrap();
    eventually("no thread has a low priority", || nice_threads(serving) == 0);
}

/// Returns the number of threads with a low priority.
fn nice_threads(pid: u32) -> usize {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let is_nice = |path: std::path::PathBuf| {
        let stat = fs::read_to_string(path.join("stat")).unwrap_or_default();
        // The fields after the name, which may contain spaces.
        let nice = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(16));
        nice.is_some_and(|nice| nice != "0")
    };
    threads.filter(|thread| is_nice(thread.path())).count()
}

#[test]
fn status_and_alerts_show_the_endpoint_and_tell_when_it_does_not_respond() {
    let site = with_socket("");
    let conditions = || {
        let alert = site.run(&["alert", "--json"]);
        let alert: serde_json::Value = serde_json::from_str(&alert.stdout).unwrap();
        let findings = alert["findings"].as_array().unwrap().clone();
        findings.iter().map(|it| it["condition"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(conditions(), ["postgres_down"]);
    let status = site.run(&["status"]);
    assert!(status.code == 1 && status.stdout.contains("there is no socket"), "{status:#?}");
    let endpoint = Endpoint::start(&site);
    let mut raw = Raw::connect(&endpoint, &key(&site, "pro", &["--sql"]));
    raw.send(Some(b'Q'), format!("{ENDLESS}\0").as_bytes());
    active(&site, 1);
    assert_eq!(conditions(), Vec::<String>::new());
    let status = site.ok(&["status"]).stdout;
    assert!(status.contains("postgres      1 connection, 1 statement running"), "{status}");
    let status: serde_json::Value =
        serde_json::from_str(&site.ok(&["status", "--json"]).stdout).unwrap();
    let expected = serde_json::json!({ "responds": true, "connections": 1, "running": 1 });
    assert_eq!(status["postgres"], expected);
    let healthy = Command::new(concat!(env!("REPOSITORY"), "/infra/web/healthy.sh"))
        .arg("postgres")
        .env("MATERIA_POSTGRES_LISTEN", endpoint.address.to_string())
        .status();
    assert!(healthy.unwrap().success(), "a container's check says the same");
    // It exists and does not respond.
    let serving = endpoint.serving().unwrap().to_string();
    assert!(Command::new("kill").args(["-STOP", &serving]).status().unwrap().success());
    assert_eq!(conditions(), ["postgres_down"]);
    let status = site.run(&["status"]).stdout;
    assert!(status.contains("it did not answer within 5 s"), "{status}");
}

#[test]
fn a_statement_that_needs_more_memory_than_its_plan_has_fails_alone() {
    let site = with_socket("[postgres.limits.starter]\nmemory = '128MB'\n");
    let endpoint = Endpoint::start(&site);
    let mut starter = Raw::connect(&endpoint, &key(&site, "starter", &["--sql"]));
    let mut pro = Raw::connect(&endpoint, &key(&site, "pro", &["--sql"]));
    let large =
        "SELECT count(*) FROM (SELECT DISTINCT i, repeat('x', 100) || i FROM range(1000000) t(i))";
    let refused = starter.run(large).unwrap_err();
    assert!(refused.contains("53200"), "{refused}");
    assert_eq!(starter.run("SELECT 1").unwrap(), ["1"], "the connection goes on");
    assert_eq!(pro.run(large).unwrap(), ["1000000"], "another plan has its own memory");
}

#[test]
fn operators_list_who_is_connected_and_cancel_or_disconnect_them() {
    let site = with_socket("");
    let endpoint = Endpoint::start(&site);
    let mut raw = Raw::connect(&endpoint, &key(&site, "pro", &["--sql"]));
    let mut starter = Raw::connect(&endpoint, &key(&site, "starter", &["--sql"]));
    raw.send(Some(b'Q'), format!("{ENDLESS}\0").as_bytes());
    let [connection] = &active(&site, 1)[..] else { panic!("one statement") };
    assert_eq!(connection["email"], "pro@example.test");
    assert_eq!(connection["query"], ENDLESS);
    let pid = connection["pid"].to_string();
    let shown = site.ok(&["postgres", "list"]).stdout;
    assert!(shown.contains("starter@example.test") && shown.contains(ENDLESS), "{shown}");
    // Customers see and stop their own connections only.
    let own = starter.run("SHOW materia.connections").unwrap();
    assert!(own.len() == 12 && own[2] == "starter@example.test", "{own:?}");
    assert_eq!(starter.run(&format!("SELECT pg_cancel_backend({pid})")).unwrap(), ["f"]);
    assert_eq!(site.ok(&["postgres", "cancel", &pid]).stdout, format!("cancelled {pid}\n"));
    let (kind, body) = raw.after_columns();
    assert!(kind == b'E' && String::from_utf8_lossy(&body).contains("57014"), "{kind} {body:?}");
    assert_eq!(raw.message().0, b'Z');
    assert_eq!(raw.run("SELECT 1").unwrap(), ["1"], "the connection goes on");
    site.ok(&["postgres", "cancel", &pid, "--disconnect"]);
    let (kind, body) = raw.message();
    assert!(kind == b'E' && String::from_utf8_lossy(&body).contains("57P01"), "{kind} {body:?}");
    eventually("it is gone", || {
        list(&site)
            .iter()
            .all(|connection| connection["pid"] != serde_json::json!(pid.parse::<u32>().unwrap()))
    });
    let missing = site.run(&["postgres", "cancel", &pid]);
    assert!(missing.code == 1 && missing.stderr.contains("no connection"), "{missing:#?}");
    // Its own name is nobody's over the network.
    let mut stranger = Raw::open(&endpoint, "operator");
    assert_eq!(stranger.message(), (b'R', 3_u32.to_be_bytes().to_vec()), "a password is asked for");
}

#[test]
fn a_thousand_connections_are_served_and_a_thousand_silent_ones_lock_nobody_out() {
    const MANY: usize = 1_000;
    let limit = Command::new("sh").args(["-c", "ulimit -n"]).output().unwrap();
    let limit = String::from_utf8(limit.stdout).unwrap();
    if limit.trim().parse::<usize>().is_ok_and(|limit| limit < 3 * MANY) {
        println!("skipped: a process may open only {} files (ulimit -n 4096)", limit.trim());
        return;
    }
    let site = with_socket("connections = 1000\n[postgres.limits.pro]\nconnections = 1000\n");
    let endpoint = Endpoint::start(&site);
    let pro = key(&site, "pro", &["--sql"]);
    // They neither say who they are nor end.
    let silent: Vec<_> = (0..MANY).map(|_| TcpStream::connect(endpoint.address).unwrap()).collect();
    let before = endpoint.memory();
    let mut clients: Vec<Raw> = (0..MANY).map(|_| Raw::connect(&endpoint, &pro)).collect();
    for raw in &mut clients {
        assert_eq!(raw.run("SELECT 1").unwrap(), ["1"]);
    }
    let each = endpoint.memory().saturating_sub(before) / 1_000;
    println!("{each} kB for each connection");
    assert!(each < 200, "{each} kB for each connection");
    let refused = Raw::try_connect(&endpoint, &pro).unwrap_err();
    assert!(refused.contains("53300"), "{refused}");
    // Operators still see who it is.
    assert!(list(&site).len() > MANY);
    drop((clients, silent));
    eventually("all are gone", || list(&site).len() == 1);
    Raw::connect(&endpoint, &pro);
}
