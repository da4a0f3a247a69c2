//! `materia completions`.

use std::process::ExitCode;

use clap::{CommandFactory, ValueEnum, builder::PossibleValue};
use clap_complete::Shell;

use super::{Cli, Failure};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: materia completions bash > ~/.local/share/bash-completion/completions/materia")]
pub(super) struct Args {
    /// The shell
    shell: Name,
}

/// [`Shell`] as an argument.
#[derive(Debug, Clone, Copy)]
struct Name(Shell);

impl ValueEnum for Name {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self(Shell::Bash), Self(Shell::Zsh), Self(Shell::Fish), Self(Shell::Elvish), Self(Shell::PowerShell)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        self.0.to_possible_value()
    }
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell.0, &mut Cli::command(), "materia", &mut script);
    super::print_raw(&String::from_utf8_lossy(&script)).map(|()| ExitCode::SUCCESS)
}
