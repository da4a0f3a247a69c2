//! `materia completions`.

use std::process::ExitCode;

use clap::{CommandFactory, ValueEnum, builder::PossibleValue};
use clap_complete::Shell;

use super::{Cli, Failure};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: materia completions bash > ~/.local/share/bash-completion/completions/materia"
)]
pub(super) struct Args {
    /// The shell
    shell: Name,
}

/// [`Shell`] as an argument.
#[derive(Debug, Clone, Copy)]
struct Name(Shell);

impl ValueEnum for Name {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self(Shell::Bash),
            Self(Shell::Zsh),
            Self(Shell::Fish),
            Self(Shell::Elvish),
            Self(Shell::PowerShell),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        self.0.to_possible_value()
    }
}

/// What the generated scripts cannot know: the values that an argument has here and now.
const BASH: &str = r#"
_materia_values() {
    local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" kind=''
    case "$prev" in
        --plan) kind=plans ;;
        --allow-lost|--allow-change|--allow-revision|--max-drop) kind=tables ;;
    esac
    if [[ -z $kind && $cur != -* ]]; then
        case "${COMP_WORDS[1]} ${COMP_WORDS[2]}" in
            rollback\ *|pin\ *|unpin\ *|diff\ *) kind=generations ;;
            "pipeline run") kind=pipelines ;;
            "dashboards show") kind=dashboards ;;
            "users set-plan") if [[ $COMP_CWORD -gt 3 ]]; then kind=plans; fi ;;
        esac
    fi
    if [[ -n $kind && $COMP_CWORD -gt 1 ]]; then
        COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" complete "$kind" 2>/dev/null)" -- "$cur"))
        if [[ ${#COMPREPLY[@]} -gt 0 ]]; then return 0; fi
    fi
    _materia "$@"
}
complete -F _materia_values -o bashdefault -o default materia
"#;

/// Replaces the generated function, which is renamed and called from here.
const ZSH: &str = r#"
_materia() {
    local kind='' prev="${words[CURRENT-1]}"
    case "$prev" in
        --plan) kind=plans ;;
        --allow-lost|--allow-change|--allow-revision|--max-drop) kind=tables ;;
    esac
    if [[ -z $kind && ${words[CURRENT]} != -* && $CURRENT -gt 2 ]]; then
        case "${words[2]} ${words[3]}" in
            rollback\ *|pin\ *|unpin\ *|diff\ *) kind=generations ;;
            "pipeline run") kind=pipelines ;;
            "dashboards show") kind=dashboards ;;
            "users set-plan") [[ $CURRENT -gt 4 ]] && kind=plans ;;
        esac
    fi
    if [[ -n $kind ]]; then
        local -a values
        values=(${(f)"$(${words[1]} complete $kind 2>/dev/null)"})
        (( ${#values} )) && compadd -a values && return 0
    fi
    _materia_static "$@"
}

"#;

const FISH: &str = r#"
complete -c materia -n "__fish_materia_using_subcommand rollback; or __fish_materia_using_subcommand pin; or __fish_materia_using_subcommand unpin; or __fish_materia_using_subcommand diff" -f -k -a "(materia complete generations 2>/dev/null)"
complete -c materia -n "__fish_materia_using_subcommand pipeline; and __fish_seen_subcommand_from run" -f -a "(materia complete pipelines 2>/dev/null)"
complete -c materia -n "__fish_materia_using_subcommand dashboards; and __fish_seen_subcommand_from show" -f -a "(materia complete dashboards 2>/dev/null)"
complete -c materia -n "__fish_materia_using_subcommand users; and __fish_seen_subcommand_from set-plan" -f -a "(materia complete plans 2>/dev/null)"
complete -c materia -n "__fish_materia_using_subcommand dashboards" -l plan -x -a "(materia complete plans 2>/dev/null)"
complete -c materia -n "__fish_materia_using_subcommand export" -l allow-lost -l allow-change -l allow-revision -l max-drop -x -a "(materia complete tables 2>/dev/null)"
"#;

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell.0, &mut Cli::command(), "materia", &mut script);
    let script = String::from_utf8_lossy(&script);
    let script = match args.shell.0 {
        Shell::Bash => format!("{script}{BASH}"),
        Shell::Fish => format!("{script}{FISH}"),
        Shell::Zsh => {
            let script = script.replacen("\n_materia() {", "\n_materia_static() {", 1);
            match script.rfind("\nif [ \"$funcstack") {
                Some(at) => format!("{}{ZSH}{}", &script[..at], &script[at + 1..]),
                None => script,
            }
        }
        _ => script.into_owned(),
    };
    super::print_raw(&script).map(|()| ExitCode::SUCCESS)
}
