//! `frazil`: arguments, configuration, wiring, exit codes. What it does is in the crates below it.

mod age;
mod cli;
mod commands;
mod counters;
mod exit;
mod failure;
mod hints;
mod host_cache;
mod inherited;
mod logging;
mod metrics;
mod mount_record;
mod output;
mod places;
mod progress;
mod run;
mod sandbox;
mod service;
mod similar;
mod size;
mod tiers;
mod via;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;

fn main() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    logging::start(global.verbose, global.quiet);
    command.execute(&global).unwrap_or_else(|error| failure::report(&error)).into()
}
