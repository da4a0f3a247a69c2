//! Restarts the serving process of `materia postgres` when its engine crashes.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, ExitCode, ExitStatus},
    thread,
    time::{Duration, Instant, SystemTime},
};

use materia_postgres::{CrashHistory, CrashRecord, RefusedStatement, RunningStatement};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::{
    consts::{SIGCHLD, SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{Failure, PathArgs};

/// How long a statement is refused after a crash.
const REFUSAL: Duration = Duration::from_hours(1);
/// Statements that are refused at the same time.
const MAX_REFUSED: usize = 256;
/// A process that served for this long is restarted at once.
const SETTLED: Duration = Duration::from_secs(10);
/// The pauses before processes that crash sooner are restarted.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// Runs the serving process until it ends by itself or this one is stopped.
pub(super) fn run(files: &PathArgs, listen: Option<SocketAddr>) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGCHLD])?;
    let record = CrashRecord::create()?;
    let mut suspects = Suspects::default();
    let mut pause = PAUSES[0];
    loop {
        let begun = Instant::now();
        // A restarted process listens where the clients know it.
        let mut child = start(files, record.address().or(listen), &record)?;
        let Some(status) = wait(&mut child, &mut signals)? else { return Ok(ExitCode::SUCCESS) };
        let Some(signal) = status.signal() else {
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            return Ok(ExitCode::from(code.unwrap_or(Failure::FAILED)));
        };
        let running = record.take_running()?;
        let names: Vec<_> = running.iter().map(|one| one.hash.as_str()).collect();
        let accounts: BTreeSet<_> = running.iter().map(|one| one.account.as_str()).collect();
        tracing::error!(
            signal,
            statements = names.join(", "),
            accounts = accounts.into_iter().collect::<Vec<_>>().join(", "),
            "the engine crashed; it is restarted"
        );
        let history = suspects.after_crash(&running, SystemTime::now());
        for refused in &history.refused {
            tracing::warn!(statement = refused.hash, "refused after the crash");
        }
        record.set_history(&history)?;
        pause = if begun.elapsed() >= SETTLED { PAUSES[0] } else { (pause * 2).min(PAUSES[1]) };
        thread::sleep(pause);
        if signals.pending().any(|signal| signal != SIGCHLD) {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn start(
    files: &PathArgs,
    listen: Option<SocketAddr>,
    record: &CrashRecord,
) -> Result<Child, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    for (flag, path) in
        [("--config", &files.config), ("--lakehouse", &files.lakehouse), ("--to", &files.to)]
    {
        if let Some(path) = path {
            command.arg(flag).arg(path);
        }
    }
    command.args(["postgres", "--supervised"]);
    if let Some(address) = listen {
        command.arg("--listen").arg(address.to_string());
    }
    Ok(command.stdin(record.to_stdio()?).spawn()?)
}

/// Waits for the process. Returns nothing if it ended because this one was stopped.
fn wait(child: &mut Child, signals: &mut Signals) -> std::io::Result<Option<ExitStatus>> {
    let mut is_stopping = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((!is_stopping).then_some(status));
        }
        for signal in signals.wait() {
            if signal == SIGCHLD {
                continue;
            }
            is_stopping = true;
            // Ctrl-C reaches both; a second signal harms nothing.
            if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::TERM);
            }
        }
    }
}

/// Decides which statements crash the engine.
#[derive(Debug, Default)]
struct Suspects {
    history: CrashHistory,
    /// The statements that were running at the crash before.
    before: BTreeSet<String>,
}

impl Suspects {
    /// Refuses the only statement that was running, or those that also ran at the crash before.
    fn after_crash(&mut self, running: &[RunningStatement], now: SystemTime) -> CrashHistory {
        let hashes: BTreeSet<String> = running.iter().map(|one| one.hash.clone()).collect();
        let is_certain = hashes.len() == 1;
        let guilty = hashes.iter().filter(|hash| is_certain || self.before.contains(*hash));
        let refused = &mut self.history.refused;
        refused.retain(|refused| refused.until > now && !hashes.contains(&refused.hash));
        refused.extend(
            guilty.map(|hash| RefusedStatement { hash: hash.clone(), until: now + REFUSAL }),
        );
        let excess = refused.len().saturating_sub(MAX_REFUSED);
        refused.drain(..excess);
        self.history.crashes += 1;
        self.before = hashes;
        self.history.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_that_crashes_the_engine_is_found_and_refused_for_a_while() {
        let running = |hashes: &[&str]| -> Vec<RunningStatement> {
            hashes
                .iter()
                .map(|hash| RunningStatement { hash: (*hash).to_owned(), account: "a".to_owned() })
                .collect()
        };
        let refused = |history: &CrashHistory| -> Vec<String> {
            history.refused.iter().map(|refused| refused.hash.clone()).collect()
        };
        let now = SystemTime::now();
        let mut suspects = Suspects::default();
        assert_eq!(suspects.after_crash(&[], now).refused, []);
        let among_others = suspects.after_crash(&running(&["good", "bad", "other"]), now);
        assert!(among_others.refused.is_empty(), "any of them may have been it");
        let again = suspects.after_crash(&running(&["bad", "third"]), now);
        assert_eq!(refused(&again), ["bad"]);
        let alone = suspects.after_crash(&running(&["worse"]), now);
        assert_eq!(refused(&alone), ["bad", "worse"]);
        assert_eq!(alone.crashes, 4);
        let later = suspects.after_crash(&[], now + REFUSAL + Duration::from_secs(1));
        assert_eq!(later.refused, []);
    }
}
