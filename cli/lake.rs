//! `materia lake`.

use std::{fmt::Write as _, process::ExitCode};

use clap::{ValueEnum, builder::NonEmptyStringValueParser};
use materia::{
    cancel::CancellationToken,
    export::{self, CheckDepth, LakeCheck, ResourceLimits},
    humanize,
    store::{
        Store,
        lake::{LakeAccess, LakeRoles},
    },
};

use super::{Context, Failure, export::target, print, print_json, print_raw, signals};

/// Check a DuckLake, and set up access to it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Check that every retained generation can be read
    ///
    /// Compares every data file with its size in the catalog and reads its Parquet footer. Damaged
    /// files of the served generation are rewritten by the next "materia export"; a damaged older
    /// generation cannot be restored by a rollback.
    Check(CheckArgs),
    /// Print the permissions that exporters and readers need
    ///
    /// Prints SQL that creates the two roles of the catalog in PostgreSQL and can be repeated, or
    /// with --policy the policy for a key to the data on S3. Nothing is executed.
    Grants(GrantsArgs),
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 printed, 1 the location of the data is not known, 2 wrong usage or settings."
)]
struct GrantsArgs {
    /// The PostgreSQL role that exports [default: the user in the lake's address]
    #[arg(long, value_name = "ROLE", value_parser = NonEmptyStringValueParser::new())]
    exporter: Option<String>,
    /// The PostgreSQL role of web servers and other readers [default: materia_reader]
    #[arg(long, value_name = "ROLE", value_parser = NonEmptyStringValueParser::new())]
    reader: Option<String>,
    /// Print the S3 policy of exporters or readers instead
    #[arg(long, value_name = "WHOSE", conflicts_with_all = ["exporter", "reader"])]
    policy: Option<Access>,
}

/// [`LakeAccess`] as a flag's value.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Access {
    Exporter,
    Reader,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 everything can be read, 1 something is missing or damaged or the lake is out of reach, 2 wrong usage or settings."
)]
struct CheckArgs {
    /// Read every row too and compare each table with its manifest
    #[arg(long)]
    deep: bool,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let (verb, target) = (&args.action, target(context)?);
    if !target.is_lake() {
        let name = if matches!(verb, Verb::Check(_)) { "check" } else { "grants" };
        return Err(Failure::usage(format!(
            "lake {name}: {} is a file; name a lake with --to ducklake:..., or as SERVING_DUCKDB_PATH or serving in materia.toml",
            target.display_name().display()
        )));
    }
    match verb {
        Verb::Check(args) => check(context, &target, args),
        Verb::Grants(args) => grants(context, args),
    }
}

fn grants(context: &Context, args: &GrantsArgs) -> Result<ExitCode, Failure> {
    let Some(lake) = &context.settings.lake else {
        return Err(Failure::usage("lake grants: there is no lake"));
    };
    match args.policy {
        None => {
            let roles = LakeRoles { exporter: args.exporter.clone(), reader: args.reader.clone() };
            let sql = lake
                .grants(&roles)
                .map_err(|problem| Failure::usage(format!("lake grants: {problem}")))?;
            print_raw(&sql)?;
        }
        Some(whose) => {
            let access = match whose {
                Access::Exporter => LakeAccess::Export,
                Access::Reader => LakeAccess::Read,
            };
            let policy = serde_json::to_string_pretty(&lake.storage_policy(access)?)?;
            print_raw(&(policy + "\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn check(context: &Context, target: &Store, args: &CheckArgs) -> Result<ExitCode, Failure> {
    let depth = if args.deep { CheckDepth::Rows } else { CheckDepth::Footers };
    let settings = &context.settings.export;
    let limits =
        ResourceLimits { memory: settings.memory_limit.clone(), threads: settings.threads };
    let cancel = CancellationToken::default();
    signals::watch(&cancel)?;
    let check = export::check_lake(target, depth, &limits, &cancel)?;
    if args.json {
        print_json(&check)?;
    } else {
        print(&text(&check, depth))?;
    }
    Ok(if check.damage.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(Failure::FAILED) })
}

fn text(check: &LakeCheck, depth: CheckDepth) -> String {
    let mut text = format!(
        "{} of {}, {}",
        humanize::plural(check.files, "data file"),
        humanize::plural(check.generations.len(), "generation"),
        humanize::bytes(check.bytes)
    );
    if depth == CheckDepth::Rows {
        let _ = write!(text, "; every row of {}", humanize::plural(check.tables_read, "table"));
    }
    if check.damage.is_empty() {
        text.push_str(": whole\n");
        return text;
    }
    let _ = writeln!(text, ": {} damaged", humanize::count(check.damage.len() as u64));
    for damage in &check.damage {
        let path = damage.path.as_ref().map(|path| format!("{path} ")).unwrap_or_default();
        let generations: Vec<_> = damage.generations.iter().map(ToString::to_string).collect();
        let _ = writeln!(
            text,
            "  {}: {path}{} (generation {})",
            humanize::printable(&damage.table),
            damage.problem,
            generations.join(", ")
        );
    }
    let served = check.served.as_ref();
    let needs_export =
        check.damage.iter().any(|damage| served.is_some_and(|id| damage.generations.contains(id)));
    text.push_str(if needs_export {
        "run `materia export`: it rewrites what is missing or truncated in the served generation; `materia export --full` rewrites everything\n"
    } else {
        "the served generation is whole; the others named here cannot be restored by a rollback\n"
    });
    text
}
