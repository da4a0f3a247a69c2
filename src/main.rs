//! The door: everything the command does is in `cli`.

mod cli;
#[path = "../tui/mod.rs"]
mod tui;
#[path = "../web/mod.rs"]
mod web;

fn main() -> std::process::ExitCode {
    cli::run(std::env::args_os())
}
