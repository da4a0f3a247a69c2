//! `materia pipeline`, with real processes that are slow, fail, hang or ignore signals, and their
//! children.

use std::{
    fs,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::{
    normalized_output::{self, Screen},
    support::{Ran, Site, eventually},
};

fn assert_shows(name: &str, site: &Site, args: &[&str]) -> Ran {
    let ran = site.run(args);
    normalized_output::settings()
        .bind(|| insta::assert_snapshot!(name, Screen::of(site).show(args, &ran)));
    ran
}

/// Returns `[pipelines.NAME]` that runs a line of shell.
fn shell(name: &str, script: &str, more: &str) -> String {
    format!("[pipelines.{name}]\ncommand = ['sh', '-c', '''{script}''']\n{more}\n")
}

fn start(site: &Site, args: &[&str]) -> Child {
    site.command(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Returns the process whose id a script wrote to a file.
fn written_pid(site: &Site, name: &str) -> Pid {
    eventually("a process tells its number", || {
        fs::read_to_string(site.path(name)).is_ok_and(|text| text.ends_with('\n'))
    });
    Pid::from_raw(fs::read_to_string(site.path(name)).unwrap().trim().parse().unwrap()).unwrap()
}

fn is_alive(pid: Pid) -> bool {
    // A zombie that has not been reaped is not alive.
    let stat =
        fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    test_kill_process(pid).is_ok()
        && stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Returns the text of a pipeline's newest log.
fn log(site: &Site, pipeline: &str) -> String {
    let names = crate::support::names(&site.path("analytics.logs"));
    let newest = names.iter().rfind(|name| name.ends_with(&format!(".{pipeline}.log"))).unwrap();
    fs::read_to_string(site.path("analytics.logs").join(newest)).unwrap()
}

fn listed(site: &Site, pipeline: &str) -> serde_json::Value {
    let lines = site.ok(&["pipeline", "list", "--json"]).stdout;
    let mut lines =
        lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.find(|line| line["name"] == pipeline).unwrap()["last_run"].take()
}

#[test]
fn pipelines_run_in_order_and_their_output_is_shown_and_logged() {
    let site = Site::small();
    site.settings(
        &[
            shell(
                "transform",
                "echo transformed >> order; echo said; echo complained >&2",
                "after = ['extract']",
            ),
            shell("extract", "echo $WHAT >> order", "env = { WHAT = 'extracted' }"),
        ]
        .concat(),
    );
    assert_shows("pipeline_list_never", &site, &["pipeline", "list"]);
    assert_shows("pipeline_run", &site, &["pipeline", "run", "transform", "extract"]);
    assert_eq!(fs::read_to_string(site.path("order")).unwrap(), "extracted\ntransformed\n");
    let kept = log(&site, "transform");
    assert!(
        kept.contains("\nsaid\ncomplained\n") && kept.contains("transform: succeeded"),
        "{kept}"
    );
    assert_shows("pipeline_list", &site, &["pipeline", "list"]);
}

#[test]
fn the_built_in_export_equals_the_verb_and_comes_last() {
    let site = Site::small();
    site.settings(&shell("fill", "echo filled", ""));
    let ran = site.ok(&["pipeline", "run", "--all"]);
    assert!(ran.stdout.starts_with("filled\n") && ran.stdout.contains("published"), "{ran:#?}");
    assert_eq!(site.number("SELECT count(*) FROM serving.numbers"), 1000);
    assert_eq!(site.history().len(), 1);
    site.change("DROP TABLE serving.names");
    let refused = site.run(&["pipeline", "run", "export_serving"]);
    assert_eq!(refused.code, 3, "an export's exit code is passed on: {refused:#?}");
    let elsewhere = site.ok(&["--to", "elsewhere.duckdb", "pipeline", "run", "export_serving"]);
    assert!(site.path("elsewhere.duckdb").exists(), "{elsewhere:#?}");
}

#[test]
fn a_failed_pipeline_passes_its_code_on_and_those_after_it_are_skipped() {
    let site = Site::empty();
    site.settings(
        &[
            shell("a_extract", "echo 'curl: (22) 404' >&2; exit 22", ""),
            shell("b_other", "touch other", ""),
            shell("c_transform", "touch transformed", "after = ['a_extract']"),
            shell("d_export", "touch exported", "after = ['c_transform']"),
        ]
        .concat(),
    );
    let ran = assert_shows(
        "pipeline_failed",
        &site,
        &["pipeline", "run", "d_export", "c_transform", "b_other", "a_extract"],
    );
    assert_eq!(ran.code, 22);
    assert!(
        site.path("other").exists()
            && !site.path("transformed").exists()
            && !site.path("exported").exists()
    );
    assert_eq!(listed(&site, "a_extract")["why"], "exit code 22: curl: (22) 404");
}

#[test]
fn a_pipeline_is_tried_again_as_often_as_it_may_be_with_growing_waits() {
    let site = Site::empty();
    let script = "echo x >> tries; test $(wc -l < tries) -ge 3";
    site.settings(&shell("flaky", script, "retries = 3\nretry_wait = '50ms'"));
    let begun = Instant::now();
    let ran = site.ok(&["pipeline", "run", "flaky"]);
    assert!(begun.elapsed() >= Duration::from_millis(150), "50 ms, then 100 ms");
    assert!(
        ran.stderr.contains("exit code 1; tried again in 50 ms")
            && ran.stderr.contains("attempt 3 of 4 begins"),
        "{ran:#?}"
    );
    assert_eq!(listed(&site, "flaky")["attempts"], 3);
    fs::remove_file(site.path("tries")).unwrap();
    site.settings(&shell("flaky", script, "retries = 1\nretry_wait = '1ms'"));
    assert_eq!(site.run(&["pipeline", "run", "flaky"]).code, 1);
    assert_eq!(fs::read_to_string(site.path("tries")).unwrap().lines().count(), 2);
}

#[test]
fn what_hangs_is_ended_with_its_children_even_where_they_ignore_it() {
    let site = Site::empty();
    // The grandchild runs in the background, prints nothing, and ignores all signals that can be
    // ignored.
    let script = "trap '' TERM INT; sh -c \"trap '' TERM INT; while :; do sleep 1; done\" >/dev/null 2>&1 & echo $! > grandchild; wait; wait";
    site.settings(&shell("hangs", script, "timeout = '300ms'\ngrace = '200ms'"));
    let begun = Instant::now();
    let ran = site.run(&["pipeline", "run", "hangs"]);
    assert_eq!(ran.code, 124, "as timeout(1) has it: {ran:#?}");
    assert!(begun.elapsed() < Duration::from_mins(1));
    let grandchild = written_pid(&site, "grandchild");
    eventually("the grandchild is dead", || !is_alive(grandchild));
    assert_eq!(listed(&site, "hangs")["outcome"], "timed_out");
    assert!(listed(&site, "hangs")["why"].as_str().unwrap().starts_with("not done within 300 ms"));
}

#[test]
fn what_a_pipeline_leaves_behind_does_not_go_on_behind_our_back() {
    let site = Site::empty();
    site.settings(&shell("leaves", "sleep 600 & echo $! > left; echo done", "grace = '200ms'"));
    let begun = Instant::now();
    let ran = site.ok(&["pipeline", "run", "leaves"]);
    assert!(ran.stdout.contains("done") && begun.elapsed() < Duration::from_mins(1), "{ran:#?}");
    let left = written_pid(&site, "left");
    eventually("what was left is dead", || !is_alive(left));
}

#[test]
fn signals_are_passed_on_to_the_whole_group_and_a_second_one_kills() {
    let site = Site::empty();
    let polite = "trap 'echo cleaned up; exit 0' TERM INT; sleep 600 & echo $! > polite; wait";
    let stubborn =
        "trap '' TERM INT; (while :; do sleep 600; done) & echo $! > stubborn; wait; wait; wait";
    site.settings(
        &[
            shell("polite", polite, ""),
            shell("stubborn", stubborn, "grace = '10m'"),
            shell("zlast", "touch never", ""),
        ]
        .concat(),
    );
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let _ = fs::remove_file(site.path("polite"));
        let running = start(&site, &["pipeline", "run", "polite", "zlast"]);
        let child = written_pid(&site, "polite");
        kill_process(Pid::from_child(&running), signal).unwrap();
        let ran = Ran::of(&running.wait_with_output().unwrap());
        assert_eq!(ran.code, code, "{ran:#?}");
        assert!(signal == Signal::HUP || ran.stdout.contains("cleaned up"), "{ran:#?}");
        eventually("its child is dead", || !is_alive(child));
    }
    assert!(!site.path("never").exists(), "nothing is begun after a signal");
    let running = start(&site, &["pipeline", "run", "stubborn"]);
    let child = written_pid(&site, "stubborn");
    let me = Pid::from_child(&running);
    kill_process(me, Signal::TERM).unwrap();
    assert!(is_alive(me) && is_alive(child), "it has ten minutes");
    eventually("it is over after another signal", || {
        let _ = kill_process(me, Signal::TERM);
        !is_alive(me)
    });
    assert_eq!(Ran::of(&running.wait_with_output().unwrap()).code, 143);
    eventually("its child is dead", || !is_alive(child));
    assert_eq!(listed(&site, "stubborn")["outcome"], "interrupted");
}

#[test]
fn a_pipeline_runs_once_at_a_time_and_a_killed_run_is_reported() {
    let site = Site::empty();
    site.settings(&shell("slow", "echo $$ > slow; exec sleep 600", ""));
    let mut running = start(&site, &["pipeline", "run", "slow"]);
    let child = written_pid(&site, "slow");
    assert_eq!(listed(&site, "slow")["outcome"], "running");
    let second = site.run(&["pipeline", "run", "slow"]);
    assert_eq!(second.code, 4);
    assert!(
        second.stderr.contains(&format!("(pid {}", running.id()))
            && second.stderr.contains("it is being run by"),
        "{second:#?}"
    );
    running.kill().unwrap();
    running.wait().unwrap();
    let slow = listed(&site, "slow");
    assert_eq!(
        (&slow["outcome"], slow["why"].as_str().unwrap().ends_with("was killed while it ran")),
        (&"interrupted".into(), true)
    );
    kill_process(child, Signal::KILL).unwrap();
}

#[test]
fn a_pipeline_that_cannot_run_is_reported_with_the_reason() {
    let site = Site::empty();
    site.settings(
        &[
            shell("extract", "true", ""),
            "[pipelines.ghost]\ncommand = ['no-such-program']\n".to_owned(),
        ]
        .concat(),
    );
    assert_eq!(assert_shows("pipeline_unknown", &site, &["pipeline", "run", "extrct"]).code, 2);
    assert_eq!(
        assert_shows("pipeline_not_started", &site, &["pipeline", "run", "ghost"]).code,
        127
    );
    assert_eq!(assert_shows("pipeline_none", &site, &["pipeline", "run"]).code, 2);
    site.settings(
        &[shell("a", "true", "after = ['b']"), shell("b", "true", "after = ['a']")].concat(),
    );
    assert_eq!(assert_shows("pipeline_circle", &site, &["pipeline", "run", "a"]).code, 2);
    site.settings(&shell("nowhere", "true", "cwd = 'missing'"));
    let ran = site.run(&["pipeline", "run", "nowhere"]);
    assert!(ran.code == 127 && ran.stderr.contains("missing does not exist"), "{ran:#?}");
}

#[test]
fn only_the_newest_logs_are_kept_and_where_the_settings_say() {
    let site = Site::empty();
    site.settings(&format!("logs = 'kept'\n{}", shell("often", "echo said", "")));
    for _ in 0..32 {
        site.ok(&["pipeline", "run", "often", "--quiet"]);
    }
    let names = crate::support::names(&site.path("kept"));
    let ending = |ending: &str| names.iter().filter(|name| name.ends_with(ending)).count();
    assert_eq!((ending(".log"), ending(".json")), (30, 30), "{names:?}");
    assert!(!site.path("analytics.logs").exists());
}

#[test]
fn long_output_arrives_whole_and_in_order() {
    let site = Site::empty();
    site.settings(&shell(
        "chatty",
        "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done",
        "",
    ));
    let ran = site.ok(&["pipeline", "run", "chatty"]);
    let expected: String = (0..20_000)
        .flat_map(|line| ["line ".to_owned(), line.to_string(), "\n".to_owned()])
        .collect();
    assert!(ran.stdout == expected, "{} bytes", ran.stdout.len());
    assert!(log(&site, "chatty").contains(&expected));
}
