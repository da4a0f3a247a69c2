//! `materia postgres`.

mod connections;
mod supervise;

use std::{net::SocketAddr, process::ExitCode, sync::Arc};

use futures_util::future::BoxFuture;
use materia_postgres::{self as postgres, AuthError, Authenticator, CrashRecord, Identity};
use materia_web::{self as web, Accounts, Clock, SqlClient, SqlKeyError};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::{Context, Failure, PathArgs};

/// Serve SQL to PostgreSQL's clients
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
psql, Metabase, Superset, Grafana, DBeaver and every driver for PostgreSQL read what is served, while it is replaced. Read-only. The password is an API key with the scope sql \
(the settings page, or materia users key EMAIL --sql); the user is anything.

Without [postgres] cert and key, only this machine is served: a loopback address, and a Unix socket. Stops at Ctrl-C or SIGTERM.

The engine runs in a process of its own, which is restarted if it crashes.")]
pub(super) struct Args {
    /// Where to listen [env: MATERIA_POSTGRES_LISTEN] [default: 127.0.0.1:5433]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Serve in this process, which a supervisor started
    #[arg(long, hide = true)]
    supervised: bool,
    #[command(subcommand)]
    verb: Option<PostgresVerb>,
}

#[derive(Debug, clap::Subcommand)]
enum PostgresVerb {
    /// List who is connected, and what runs
    List(connections::ConnectionListArgs),
    /// Stop the statement of a connection
    Cancel(connections::CancelArgs),
}

pub(super) fn run(
    mut context: Context,
    files: &PathArgs,
    args: &Args,
) -> Result<ExitCode, Failure> {
    match &args.verb {
        Some(PostgresVerb::List(args)) => return connections::list(&context, args),
        Some(PostgresVerb::Cancel(args)) => return connections::cancel(&context, args),
        None => {}
    }
    let settings = &mut context.settings;
    settings.postgres.listen = args.listen.unwrap_or(settings.postgres.listen);
    web::log::init_tracing(settings.web.log, super::web::is_journal());
    if !args.supervised {
        return supervise::run(files, args.listen);
    }
    raise_file_limit();
    let record = CrashRecord::inherited()?;
    let supervisor = rustix::process::getppid();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let stop = stop_signal(supervisor)?;
        let accounts = Accounts::open(settings, &Clock::System).await?;
        let keys = Arc::new(Keys(accounts.clone()));
        let served = postgres::run(settings, keys, Some(record), stop).await;
        accounts.close().await;
        served.map_err(Failure::from)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Allows as many open files as the system does: each connection is one.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Completes at a signal, and when the supervisor is gone.
fn stop_signal(
    supervisor: Option<rustix::process::Pid>,
) -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    const INTERVAL: std::time::Duration = std::time::Duration::from_millis(250);
    let mut interrupt = signal(SignalKind::from_raw(SIGINT))?;
    let mut terminate = signal(SignalKind::from_raw(SIGTERM))?;
    Ok(async move {
        let orphaned = async {
            while rustix::process::getppid() == supervisor {
                tokio::time::sleep(INTERVAL).await;
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = orphaned => {}
        }
    })
}

/// The keys of the site's accounts.
struct Keys(Accounts);

impl Authenticator for Keys {
    fn authenticate(&self, password: String) -> BoxFuture<'_, Result<Identity, AuthError>> {
        Box::pin(async move { identity(self.0.authenticate_for_sql(&password).await) })
    }

    fn check(&self, key: String) -> BoxFuture<'_, Result<Identity, AuthError>> {
        Box::pin(async move { identity(self.0.check_sql_key(&key).await) })
    }

    fn note_use(&self, key: String) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.0.note_sql_use(&key).await })
    }
}

fn identity(client: Result<SqlClient, SqlKeyError>) -> Result<Identity, AuthError> {
    match client {
        Ok(SqlClient { account, email, key, plan, operator, tables }) => {
            Ok(Identity { account, email, key, plan, operator, tables })
        }
        Err(SqlKeyError::Refused(reason)) => Err(AuthError::Refused(reason)),
        Err(SqlKeyError::Unavailable(_)) => Err(AuthError::Unavailable),
    }
}
