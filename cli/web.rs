//! `materia web`.

use std::{
    env,
    net::SocketAddr,
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, ExitCode, ExitStatus},
};

use listenfd::ListenFd;
use materia_web as web;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use signal_hook::{
    consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use super::{Context, Failure};

/// Set in the environment of the serving process if systemd passed sockets on.
const WORKER: &str = "MATERIA_WEB_WORKER";

/// Serve the customers' site
#[derive(Debug, clap::Args)]
#[command(after_help = "\
From the environment, as secrets do not belong in materia.toml: BASE_URL (how customers reach the site), DATABASE_URL (the accounts: a SQLite file, or PostgreSQL for several servers), \
SMTP_URL and MAIL_FROM (how sign-in links are sent), ADMIN_EMAILS (who gets the role admin).

Stops at Ctrl-C or SIGTERM when the requests in flight have finished, after [web] drain at the latest. With sockets of a systemd socket unit, a restart \
loses no request: connections wait in the sockets, and the former process goes on with its downloads on its own. Debug mode (DEBUG=true: sign-in without mail, cookies without TLS) is \
refused on an address that others reach, unless DEBUG_ANYWHERE=true says so again.")]
pub(super) struct Args {
    /// Where to listen [env: MATERIA_LISTEN] [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Check settings, dashboards, accounts, mail and ports, and exit
    ///
    /// Changes nothing and starts nothing. Fails where the site would not start; what only
    /// customers would notice, such as a mail server that does not respond, is a warning.
    #[arg(long)]
    check: bool,
    /// With --check: only what keeps the site from starting, for ExecStartPre=
    ///
    /// Not the served data and the mail server, and not the ports, which systemd holds and passes to
    /// ExecStart= alone.
    #[arg(long, requires = "check")]
    before_start: bool,
}

pub(super) fn run(mut context: Context, args: &Args) -> Result<ExitCode, Failure> {
    let settings = &mut context.settings;
    settings.web.listen = args.listen.unwrap_or(settings.web.listen);
    let is_worker = env::var_os(WORKER).is_some();
    if !args.check && !is_worker && env::var_os("LISTEN_FDS").is_some() {
        return supervise();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if args.check {
        return check(&runtime, &context, args.before_start);
    }
    web::log::init_tracing(settings.web.log, is_journal());
    let activation = web::Activation { sockets: passed_sockets()?, is_worker };
    if is_worker {
        // Otherwise a worker whose parent was killed would serve alongside the next one.
        set_parent_process_death_signal(Some(Signal::TERM)).map_err(std::io::Error::from)?;
    }
    runtime.block_on(web::run(context.settings, activation))?;
    Ok(ExitCode::SUCCESS)
}

fn check(
    runtime: &tokio::runtime::Runtime,
    context: &Context,
    before_start: bool,
) -> Result<ExitCode, Failure> {
    let scope = if before_start { web::CheckScope::BeforeStart } else { web::CheckScope::All };
    let report = runtime.block_on(web::check(&context.settings, scope));
    super::print(&report.to_string())?;
    if report.is_ok() {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(Failure::usage("the site would not start; see above"))
    }
}

/// Returns whether standard error is connected to systemd's journal, which then has set
/// `JOURNAL_STREAM` to its device and inode.
pub(super) fn is_journal() -> bool {
    let Some(stream) = env::var("JOURNAL_STREAM").ok() else { return false };
    let Ok(stat) = rustix::fs::fstat(std::io::stderr()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

fn passed_sockets() -> std::io::Result<Vec<std::net::TcpListener>> {
    let mut passed = ListenFd::from_env();
    let sockets = (0..passed.len()).map(|at| passed.take_tcp_listener(at));
    Ok(sockets.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// Serves in a child process, so that a restart does not wait for downloads: this process, the one
/// that systemd watches, ends with the first signal, and the child drains on its own.
fn supervise() -> Result<ExitCode, Failure> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGCHLD])?;
    let mut worker = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(WORKER, "1")
        // They name this process; the child inherits the sockets and the watchdog.
        .env_remove("LISTEN_PID")
        .env_remove("WATCHDOG_PID")
        .spawn()?;
    for signal in &mut signals {
        match signal {
            SIGCHLD => {
                if let Some(status) = worker.try_wait()? {
                    return Ok(exit_code(status));
                }
            }
            SIGHUP => forward(&worker, Signal::HUP),
            _ => {
                forward(&worker, Signal::TERM);
                break;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn forward(worker: &Child, signal: Signal) {
    // Fails only if the child has just ended, which SIGCHLD reports.
    let _ = kill_process(Pid::from_child(worker), signal);
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
