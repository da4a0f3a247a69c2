//! `materia postgres list` and `cancel`: over the endpoint's Unix socket, as its owner.

use std::process::ExitCode;

use materia::endpoint::{self, Connection, EndpointError};

use crate::{Context, Failure, print, print_json};

#[derive(Debug, clap::Args)]
pub(super) struct ConnectionListArgs {
    /// Print as JSON lines
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct CancelArgs {
    /// The connection's number, as listed
    pid: i32,
    /// End the connection, too
    #[arg(long)]
    disconnect: bool,
}

pub(super) fn list(context: &Context, args: &ConnectionListArgs) -> Result<ExitCode, Failure> {
    let connections =
        endpoint::connections(&context.settings.postgres).map_err(|error| failure(&error))?;
    if args.json {
        for connection in &connections {
            print_json(connection)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    print(&table(&connections))?;
    Ok(ExitCode::SUCCESS)
}

/// Lays out the columns that people look for; `--json` has all.
fn table(connections: &[Connection]) -> String {
    const SHOWN: [&str; 8] =
        ["pid", "email", "plan", "application", "address", "statements", "running_since", "query"];
    const WIDEST: usize = 60;
    let places: Vec<_> = SHOWN
        .iter()
        .filter_map(|name| Connection::COLUMNS.iter().position(|column| column == name))
        .collect();
    let cell = |text: &str| -> String {
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.chars().count() > WIDEST {
            line.chars().take(WIDEST - 1).chain(['…']).collect()
        } else {
            line
        }
    };
    let mut lines = vec![SHOWN.map(|name| name.replace('_', " ")).to_vec()];
    let rows = connections.iter().map(Connection::to_row);
    lines.extend(rows.map(|row| places.iter().map(|at| cell(&row[*at])).collect()));
    let width = |column: usize| {
        lines.iter().map(|line| unicode_width::UnicodeWidthStr::width(line[column].as_str())).max()
    };
    let widths: Vec<_> = (0..SHOWN.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<_> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| {
                let own = unicode_width::UnicodeWidthStr::width(cell.as_str());
                format!("{cell}{}", " ".repeat(width - own))
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

pub(super) fn cancel(context: &Context, args: &CancelArgs) -> Result<ExitCode, Failure> {
    let CancelArgs { pid, disconnect } = *args;
    let done = endpoint::stop(&context.settings.postgres, pid, disconnect)
        .map_err(|error| failure(&error))?;
    if !done {
        return Err(Failure {
            message: format!("no connection {pid}; list them with: materia postgres list"),
            code: Failure::FAILED,
        });
    }
    print(&format!("{} {pid}\n", if disconnect { "disconnected" } else { "cancelled" }))?;
    Ok(ExitCode::SUCCESS)
}

fn failure(error: &EndpointError) -> Failure {
    match error {
        EndpointError::NoSocket => Failure::usage(error.to_string()),
        _ => Failure { message: error.to_string(), code: Failure::FAILED },
    }
}
