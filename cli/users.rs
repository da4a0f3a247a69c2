//! `materia users`: accounts, for operators. A running site sees changes within a second.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use materia::{humanize, plan::Plan};

use super::{Context, Failure, print};
use materia_web::{
    Account, Accounts, Actor, Clock, Email, Role, TransferReport, backup, copy_backup, restore,
    transfer,
};

/// List customers' accounts, change plans and roles, suspend
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Accounts are stored where DATABASE_URL says [default: accounts.db next to materia.toml]. Every change is recorded in the audit log (/admin/audit). \
Only the addresses in ADMIN_EMAILS can have the role admin: they get it when they sign in.")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List every account
    List(ListArgs),
    /// Create an account and email its owner a sign-in link
    ///
    /// The link works once, within 7 days. An existing account only gets the email. Prints the link
    /// if no email can be sent.
    Invite(InviteArgs),
    /// Print a sign-in link, for a user who does not receive email
    ///
    /// It works once, within 15 minutes, for anyone who opens it: send it privately. The address must
    /// have an account or be in ADMIN_EMAILS.
    Link(LinkArgs),
    /// Change an account's plan
    SetPlan(PlanArgs),
    /// Change an account's role
    SetRole(RoleArgs),
    /// Suspend an account, immediately and everywhere
    Suspend(SuspendArgs),
    /// Make an API key for an account, and print it
    ///
    /// The key is printed once and stored nowhere. Its owner sees it in the list on the settings
    /// page, and can revoke it there.
    Key(KeyArgs),
    /// Copy the accounts into a new file while the site runs, and check the copy
    ///
    /// The copy is consistent, is verified before it gets its name, and is readable by its owner only.
    /// "materia users restore" restores it. For accounts in PostgreSQL, use pg_dump.
    Backup(BackupArgs),
    /// Replace the accounts by a backup
    ///
    /// Stop the site first. A backup in a bucket is named by its address, s3://BUCKET/FOLDER/NAME. The backup is verified before it replaces the accounts; the previous
    /// accounts are kept next to it under another name.
    Restore(RestoreArgs),
    /// Copy all account data into an empty database
    ///
    /// From SQLite to PostgreSQL, so that several servers can share it, or back. Stop the sites first:
    /// later writes are not in the copy. Accounts, sessions, links, keys, limits, emails and the
    /// audit log are read from one snapshot, written in one transaction, read back and compared.
    /// Then set the new DATABASE_URL on every server. The old database is not changed.
    Copy(CopyArgs),
    /// Create four accounts for development
    ///
    /// admin@, free@, starter@ and pro@example.test. Running it again resets them. With DEBUG=true,
    /// sign in as one of them at /auth/dev-login?email=pro@example.test. The admin's address must be
    /// in ADMIN_EMAILS.
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
    /// The address to invite
    #[arg(value_name = "EMAIL")]
    email: String,
    /// free, starter or pro [default: unchanged; free for a new account]
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
    /// The reason, for the email to its owner and for the audit log
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
    /// The reason, for the email to its owner and for the audit log
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, clap::Args)]
struct SuspendArgs {
    /// The account's address
    #[arg(value_name = "EMAIL")]
    email: String,
    /// Restore a suspended account
    #[arg(long)]
    lift: bool,
    /// The reason, for the email to its owner and for the audit log
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, clap::Args)]
struct KeyArgs {
    /// The account's address
    #[arg(value_name = "EMAIL")]
    email: String,
    /// What it is for
    #[arg(long, default_value = "command line", value_name = "NAME")]
    name: String,
    /// Let it be the password of `materia postgres`, too
    #[arg(long)]
    sql: bool,
    /// Restrict it to this table; repeat for several [default: all that the plan includes]
    #[arg(long = "table", value_name = "TABLE")]
    tables: Vec<String>,
    /// When it expires, in days [default: never]
    #[arg(long, value_name = "DAYS")]
    days: Option<u16>,
}

#[derive(Debug, clap::Args)]
struct BackupArgs {
    /// The new file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
struct RestoreArgs {
    /// The backup, a file or its address in a bucket
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
        // These commands do not open the accounts in the way the site does.
        let output = match &args.command {
            Command::Backup(args) => Some(back_up(context, args).await?),
            Command::Restore(args) => Some(restore_backup(context, args).await?),
            Command::Copy(args) => Some(describe_transfer(
                &transfer(context.settings.accounts.database_url.reveal(), &args.url).await?,
            )),
            _ => None,
        };
        if let Some(output) = output {
            return print(&output).map(|()| ExitCode::SUCCESS);
        }
        check_there_are_accounts(context, &args.command)?;
        let accounts = Accounts::open(&context.settings, &Clock::System).await?;
        let output = perform(&accounts, &args.command).await;
        accounts.close().await;
        print(&output?).map(|()| ExitCode::SUCCESS)
    })
}

/// Refuses commands that read or change accounts if there is no database file: the folder or
/// `DATABASE_URL` is wrong, and an empty file must not be created.
fn check_there_are_accounts(context: &Context, command: &Command) -> Result<(), Failure> {
    let url = context.settings.accounts.database_url.reveal();
    let file = url
        .strip_prefix("sqlite://")
        .or_else(|| url.strip_prefix("sqlite:"))
        .map(|rest| rest.split('?').next().unwrap_or(rest));
    let needs_accounts = matches!(
        command,
        Command::List(_)
            | Command::SetPlan(_)
            | Command::SetRole(_)
            | Command::Suspend(_)
            | Command::Key(_)
    );
    match file.filter(|file| {
        needs_accounts && !file.contains(":memory:") && !std::path::Path::new(file).exists()
    }) {
        Some(file) => Err(Failure::usage(format!(
            "there are no accounts: {} does not exist. `materia web` makes it; run this in the site's folder, or set DATABASE_URL",
            humanize::printable(file)
        ))),
        None => Ok(()),
    }
}

/// Backs up the accounts without applying migrations.
async fn back_up(context: &Context, args: &BackupArgs) -> Result<String, Failure> {
    let backup = backup(context.settings.accounts.database_url.reveal(), &args.file).await?;
    let noun = if backup.accounts == 1 { "account" } else { "accounts" };
    let mut text = format!(
        "{}: {} {noun}, {}, checked\n",
        args.file.display(),
        humanize::count(backup.accounts),
        humanize::bytes(backup.bytes)
    );
    if let Some(target) = &context.settings.accounts.backup_to {
        let storage = &context.settings.credentials.storage;
        let copy = copy_backup(&args.file, target, storage).map_err(|error| {
            anyhow::anyhow!("the backup is in {}, but {error}", args.file.display())
        })?;
        let _ = writeln!(text, "{copy}: the same");
    }
    Ok(text)
}

async fn restore_backup(context: &Context, args: &RestoreArgs) -> Result<String, Failure> {
    let url = context.settings.accounts.database_url.reveal();
    let restored = restore(url, &args.file, &context.settings.credentials.storage).await?;
    let accounts =
        humanize::plural(usize::try_from(restored.accounts).unwrap_or(usize::MAX), "account");
    let former = restored
        .former
        .map_or_else(String::new, |former| format!("; what was there is {}", former.display()));
    Ok(format!("restored {accounts} from {}{former}. Start the site\n", args.file.display()))
}

fn describe_transfer(describe_transfer: &TransferReport) -> String {
    let mut text = "copied and compared, value for value:\n".to_owned();
    for (table, rows) in &describe_transfer.tables {
        let _ = writeln!(text, "  {table:<14} {:>9}", humanize::count(*rows as u64));
    }
    text + "Give every server the new DATABASE_URL before it starts again.\n"
}

/// Runs a command and returns its output.
async fn perform(accounts: &Accounts, command: &Command) -> Result<String, Failure> {
    let operator = Actor::command_line();
    match command {
        Command::List(args) => Ok(format_accounts(&accounts.all().await?, args.json)?),
        Command::Seed(args) => {
            let seeded = accounts.seed().await?;
            let mut output = format_accounts(&seeded, args.json)?;
            for account in seeded.iter().filter(|account| {
                account.role == Role::Admin && !accounts.is_admin_address(&account.email)
            }) {
                if !args.json {
                    let _ = writeln!(
                        output,
                        "{0} is no admin until ADMIN_EMAILS names it: ADMIN_EMAILS={0}",
                        account.email
                    );
                }
            }
            Ok(output)
        }
        // Handled before the accounts were opened.
        Command::Backup(_) | Command::Restore(_) | Command::Copy(_) => Ok(String::new()),
        Command::Invite(args) => {
            let invitation =
                accounts.invite(&operator, &parse_email(&args.email)?, args.plan).await?;
            let (account, created) =
                (&invitation.account, if invitation.is_new { "created" } else { "exists already" });
            let sent = if accounts.sends_mail() && accounts.mailbox().is_empty() {
                "the invitation was sent by email\n".to_owned()
            } else {
                format!(
                    "no email was sent; hand this link over, it works once within 7 days:\n{}\n",
                    invitation.link
                )
            };
            Ok(format!("{} {created}, with the plan {}; {sent}", account.email, account.plan))
        }
        Command::Link(args) => {
            Ok(format!("{}\n", accounts.create_link(&operator, &parse_email(&args.email)?).await?))
        }
        Command::SetPlan(args) => {
            let account = find_account(accounts, &args.email).await?;
            let account =
                accounts.set_plan(&operator, &account.id, args.plan, &args.reason).await?;
            Ok(format!("{} has the plan {}\n", account.email, account.plan))
        }
        Command::SetRole(args) => {
            let account = find_account(accounts, &args.email).await?;
            let account =
                accounts.set_role(&operator, &account.id, args.role, &args.reason).await?;
            let again = if args.role == Role::Customer && accounts.is_admin_address(&account.email)
            {
                "; it is admin again at its next sign-in, unless it is taken out of ADMIN_EMAILS"
            } else {
                ""
            };
            Ok(format!("{} has the role {}{again}\n", account.email, account.role.name()))
        }
        Command::Key(args) => {
            let account = find_account(accounts, &args.email).await?;
            let tables = (!args.tables.is_empty()).then(|| args.tables.clone());
            let key = accounts
                .create_api_key(&account, &args.name, (args.sql, tables), args.days)
                .await?;
            Ok(format!("{key}\n"))
        }
        Command::Suspend(args) => {
            let account = find_account(accounts, &args.email).await?;
            let account =
                accounts.suspend(&operator, &account.id, !args.lift, &args.reason).await?;
            Ok(format!(
                "{} is {}\n",
                account.email,
                if args.lift { "restored" } else { "suspended" }
            ))
        }
    }
}

fn parse_email(email: &str) -> Result<Email, Failure> {
    email.parse().map_err(|error| Failure::usage(format!("{email:?}: {error}")))
}

async fn find_account(accounts: &Accounts, email: &str) -> Result<Account, Failure> {
    let parsed = parse_email(email)?;
    let account = accounts.account_of(&parsed).await?;
    account.ok_or_else(|| {
        anyhow::anyhow!("there is no account {parsed}; `materia users list` shows all").into()
    })
}

/// The JSON form of an account.
#[derive(serde::Serialize)]
struct AccountLine<'a> {
    email: &'a str,
    name: &'a str,
    plan: Plan,
    role: &'static str,
    suspended: bool,
    created_at: jiff::Timestamp,
    signed_in_at: Option<jiff::Timestamp>,
}

fn format_accounts(accounts: &[Account], json: bool) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    for account in accounts {
        let line = AccountLine {
            email: &account.email,
            name: &account.name,
            plan: account.plan,
            role: account.role.name(),
            suspended: account.suspended_at.is_some(),
            created_at: account.created_at,
            signed_in_at: account.signed_in_at,
        };
        let _ = if json {
            writeln!(text, "{}", super::json_line(&line)?)
        } else {
            writeln!(text, "{}", row(&line))
        };
    }
    if !json {
        let _ = writeln!(text, "{}", humanize::plural(accounts.len(), "account"));
    }
    Ok(text)
}

fn row(line: &AccountLine) -> String {
    let signed_in = line.signed_in_at.map_or_else(
        || "never signed in".to_owned(),
        |at| at.strftime("signed in %Y-%m-%d").to_string(),
    );
    let suspended = if line.suspended { "  suspended" } else { "" };
    format!("  {:<32} {:<8} {:<9} {signed_in}{suspended}", line.email, line.plan.name(), line.role)
}
