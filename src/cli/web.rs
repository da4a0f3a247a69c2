//! `materia web`.

use std::{net::SocketAddr, process::ExitCode};

use super::{Context, Failure};
use crate::web;

/// Serve the customers' site
#[derive(Debug, clap::Args)]
#[command(after_help = "\
From the environment, as no secret belongs into materia.toml: BASE_URL (how customers reach the site), DATABASE_URL (the accounts: a SQLite file, or PostgreSQL for several servers), \
SMTP_URL and MAIL_FROM (how sign-in links are sent), ADMIN_EMAILS (who gets the role admin).

Stops at Ctrl-C or SIGTERM when the requests in flight are answered. Debug mode (DEBUG=true: sign-in without mail, cookies without TLS) is \
refused on an address that others reach, unless DEBUG_ANYWHERE=true says so again.")]
pub(super) struct Args {
    /// Where to listen [env: MATERIA_LISTEN] [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

pub(super) fn run(mut context: Context, args: &Args) -> Result<ExitCode, Failure> {
    let settings = &mut context.settings;
    settings.web.listen = args.listen.unwrap_or(settings.web.listen);
    web::log::start(settings.web.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(web::run(context.settings))?;
    Ok(ExitCode::SUCCESS)
}
