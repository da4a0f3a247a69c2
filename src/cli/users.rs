//! `materia users`: accounts, for operators. The site learns of changes within a second.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use materia::{plan::Plan, words};

use super::{Context, Failure, print};
use crate::web::{Account, Accounts, Actor, Clock, Copied, Email, Role, backup, copy};

/// List customers' accounts, change plans and roles, suspend
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Accounts are kept where DATABASE_URL says [default: accounts.db beside materia.toml]. Every change stands in the audit log (/admin/audit). \
The role admin is for the addresses in ADMIN_EMAILS only: they get it when they sign in.")]
pub(super) struct Args {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, clap::Subcommand)]
enum Deed {
    /// List every account
    List(ListArgs),
    /// Create an account and email its owner a sign-in link
    ///
    /// The link works once, within 7 days. An account that exists already only gets the email. Prints the link where no email can be sent.
    Invite(InviteArgs),
    /// Print a sign-in link, for somebody who gets no email
    ///
    /// It works once, within 15 minutes, for whoever opens it: hand it over in private. The address must have an account or be in ADMIN_EMAILS.
    Link(LinkArgs),
    /// Give an account another plan
    SetPlan(PlanArgs),
    /// Give an account another role
    SetRole(RoleArgs),
    /// Lock an account out, at once and everywhere
    Suspend(SuspendArgs),
    /// Copy the accounts into a new file while the site runs, and check the copy
    ///
    /// The copy is the accounts as they are at one moment. It is read through before it gets its name, and readable to its owner only. To go back to it: stop
    /// the site, put it in the place of the accounts, remove the -wal and -shm files beside them, start the site. Accounts in PostgreSQL are copied by
    /// pg_dump.
    Backup(BackupArgs),
    /// Copy all that is kept about accounts into an empty database
    ///
    /// From SQLite to PostgreSQL, when several servers are to share them, or back. Stop the sites first: what they write afterwards is not in the copy.
    /// Accounts, sessions, links, keys, limits, mails and the audit log are read at one moment, written in one transaction, read back and compared. Then give
    /// every server the new DATABASE_URL. The old database stays as it is.
    Copy(CopyArgs),
    /// Make four accounts to develop with
    ///
    /// admin@, free@, starter@ and pro@example.test. Run again, they are again what they were: no account is made twice. With DEBUG=true, sign in as
    /// one of them by /auth/dev-login?email=pro@example.test. The admin's address must be in ADMIN_EMAILS to be one.
    Seed(SeedArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Print as JSON lines
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct InviteArgs {
    /// Who is invited
    #[arg(value_name = "EMAIL")]
    email: String,
    /// free, starter or pro [default: as it is; free for a new account]
    #[arg(long, value_name = "PLAN")]
    plan: Option<Plan>,
}

#[derive(Debug, clap::Args)]
struct LinkArgs {
    /// The account's address
    #[arg(value_name = "EMAIL")]
    email: String,
}

#[derive(Debug, clap::Args)]
struct PlanArgs {
    /// The account's address
    #[arg(value_name = "EMAIL")]
    email: String,
    /// free, starter or pro
    #[arg(value_name = "PLAN")]
    plan: Plan,
    /// Why, for the email to its owner and for the audit log
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, clap::Args)]
struct RoleArgs {
    /// The account's address
    #[arg(value_name = "EMAIL")]
    email: String,
    /// customer or admin
    #[arg(value_name = "ROLE")]
    role: Role,
    /// Why, for the email to its owner and for the audit log
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, clap::Args)]
struct SuspendArgs {
    /// The account's address
    #[arg(value_name = "EMAIL")]
    email: String,
    /// Let it in again
    #[arg(long)]
    lift: bool,
    /// Why, for the email to its owner and for the audit log
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, clap::Args)]
struct BackupArgs {
    /// The new file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
struct CopyArgs {
    /// The other database, as DATABASE_URL names it; its password may be in PGPASSWORD or ~/.pgpass
    #[arg(value_name = "URL")]
    url: String,
}

#[derive(Debug, clap::Args)]
struct SeedArgs {
    /// Print as JSON lines
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Without the accounts of this site being opened as the site does.
        let told = match &args.deed {
            Deed::Backup(args) => Some(backed_up(context, args).await?),
            Deed::Copy(args) => Some(copied(&copy(context.settings.accounts.database_url.reveal(), &args.url).await?)),
            _ => None,
        };
        if let Some(told) = told {
            return print(&told).map(|()| ExitCode::SUCCESS);
        }
        check_there_are_accounts(context, &args.deed)?;
        let accounts = Accounts::open(&context.settings, &Clock::System).await?;
        let told = perform(&accounts, &args.deed).await;
        accounts.close().await;
        print(&told?).map(|()| ExitCode::SUCCESS)
    })
}

/// Where there is no file of accounts, what reads or changes one has the wrong folder or DATABASE_URL; it must not make an empty one.
fn check_there_are_accounts(context: &Context, deed: &Deed) -> Result<(), Failure> {
    let url = context.settings.accounts.database_url.reveal();
    let file = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")).map(|rest| rest.split('?').next().unwrap_or(rest));
    let needs_accounts = matches!(deed, Deed::List(_) | Deed::SetPlan(_) | Deed::SetRole(_) | Deed::Suspend(_));
    match file.filter(|file| needs_accounts && !file.contains(":memory:") && !std::path::Path::new(file).exists()) {
        Some(file) => Err(Failure::usage(format!(
            "there are no accounts: {} does not exist. `materia web` makes it; run this in the site's folder, or set DATABASE_URL",
            words::printable(file)
        ))),
        None => Ok(()),
    }
}

/// Copies the accounts as they are: nothing is made or brought up to date.
async fn backed_up(context: &Context, args: &BackupArgs) -> Result<String, Failure> {
    let made = backup(context.settings.accounts.database_url.reveal(), &args.file).await?;
    let noun = if made.accounts == 1 { "account" } else { "accounts" };
    Ok(format!("{}: {} {noun}, {}, checked\n", args.file.display(), words::count(made.accounts), words::bytes(made.bytes)))
}

fn copied(copied: &Copied) -> String {
    let mut text = "copied and compared, value for value:\n".to_owned();
    for (table, rows) in &copied.tables {
        let _ = writeln!(text, "  {table:<14} {:>9}", words::count(*rows as u64));
    }
    text + "Give every server the new DATABASE_URL before it starts again.\n"
}

/// Does what is asked for, and returns what there is to tell.
async fn perform(accounts: &Accounts, deed: &Deed) -> Result<String, Failure> {
    let operator = Actor::command_line();
    match deed {
        Deed::List(args) => Ok(listed(&accounts.all().await?, args.json)?),
        Deed::Seed(args) => {
            let seeded = accounts.seed().await?;
            let mut told = listed(&seeded, args.json)?;
            for account in seeded.iter().filter(|account| account.role == Role::Admin && !accounts.is_admin_address(&account.email)) {
                if !args.json {
                    let _ = writeln!(told, "{0} is no admin until ADMIN_EMAILS names it: ADMIN_EMAILS={0}", account.email);
                }
            }
            Ok(told)
        }
        // Done before the accounts were opened.
        Deed::Backup(_) | Deed::Copy(_) => Ok(String::new()),
        Deed::Invite(args) => {
            let invitation = accounts.invite(&operator, &parsed(&args.email)?, args.plan).await?;
            let (account, created) = (&invitation.account, if invitation.is_new { "created" } else { "exists already" });
            let sent = if accounts.sends_mail() && accounts.mailbox().is_empty() {
                "the invitation was sent by email\n".to_owned()
            } else {
                format!("no email was sent; hand this link over, it works once within 7 days:\n{}\n", invitation.link)
            };
            Ok(format!("{} {created}, with the plan {}; {sent}", account.email, account.plan))
        }
        Deed::Link(args) => Ok(format!("{}\n", accounts.create_link(&operator, &parsed(&args.email)?).await?)),
        Deed::SetPlan(args) => {
            let account = found(accounts, &args.email).await?;
            let account = accounts.set_plan(&operator, &account.id, args.plan, &args.reason).await?;
            Ok(format!("{} has the plan {}\n", account.email, account.plan))
        }
        Deed::SetRole(args) => {
            let account = found(accounts, &args.email).await?;
            let account = accounts.set_role(&operator, &account.id, args.role, &args.reason).await?;
            let again = if args.role == Role::Customer && accounts.is_admin_address(&account.email) {
                "; it is admin again at its next sign-in, unless it is taken out of ADMIN_EMAILS"
            } else {
                ""
            };
            Ok(format!("{} has the role {}{again}\n", account.email, account.role.name()))
        }
        Deed::Suspend(args) => {
            let account = found(accounts, &args.email).await?;
            let account = accounts.suspend(&operator, &account.id, !args.lift, &args.reason).await?;
            Ok(format!("{} is {}\n", account.email, if args.lift { "let in again" } else { "suspended" }))
        }
    }
}

fn parsed(email: &str) -> Result<Email, Failure> {
    email.parse().map_err(|error| Failure::usage(format!("{email:?}: {error}")))
}

async fn found(accounts: &Accounts, email: &str) -> Result<Account, Failure> {
    let parsed = parsed(email)?;
    let account = accounts.account_of(&parsed).await?;
    account.ok_or_else(|| anyhow::anyhow!("there is no account {parsed}; `materia users list` shows all").into())
}

/// One account as machines read it.
#[derive(serde::Serialize)]
struct Line<'a> {
    email: &'a str,
    name: &'a str,
    plan: Plan,
    role: &'static str,
    suspended: bool,
    created_at: jiff::Timestamp,
    signed_in_at: Option<jiff::Timestamp>,
}

fn listed(accounts: &[Account], json: bool) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    for account in accounts {
        let line = Line {
            email: &account.email,
            name: &account.name,
            plan: account.plan,
            role: account.role.name(),
            suspended: account.suspended_at.is_some(),
            created_at: account.created_at,
            signed_in_at: account.signed_in_at,
        };
        let _ = if json { writeln!(text, "{}", super::json_line(&line)?) } else { writeln!(text, "{}", row(&line)) };
    }
    if !json {
        let _ = writeln!(text, "{}", words::plural(accounts.len(), "account"));
    }
    Ok(text)
}

fn row(line: &Line) -> String {
    let signed_in = line.signed_in_at.map_or_else(|| "never signed in".to_owned(), |at| at.strftime("signed in %Y-%m-%d").to_string());
    let suspended = if line.suspended { "  suspended" } else { "" };
    format!("  {:<32} {:<8} {:<9} {signed_in}{suspended}", line.email, line.plan.name(), line.role)
}
