//! `frazil`: arguments, configuration, wiring, exit codes. What it does is in the crates below it.

mod allocator;
mod cli;
mod commands;
mod config;
mod control;
mod counters;
mod end;
mod exit;
mod failure;
mod fork;
mod hints;
mod host_cache;
mod inherited;
mod logging;
mod metrics;
mod mount_record;
mod open_files;
mod output;
mod places;
mod plan;
mod progress;
mod refusals;
mod rest;
mod run;
mod sandbox;
mod service;
mod sharing;
mod similar;
mod size;
#[cfg(feature = "otlp")]
mod spans;
mod supply;
mod tiers;
mod usage;
mod via;
mod wiring;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::cli::Cli;
use crate::config::Flags;
use crate::failure::Advise;

fn main() -> ExitCode {
    let matches = Cli::command().try_get_matches().unwrap_or_else(|error| usage::refuse(&error));
    let Cli { mut global, command } = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    global.flags = Flags::of(&matches);
    logging::start(global.verbose, global.quiet);
    let outcome = open_files::suffice().exit(command.not_begun()).and_then(|()| command.execute(&global));
    let exit = outcome.unwrap_or_else(|error| failure::report(&error));
    #[cfg(feature = "otlp")]
    spans::end();
    exit.into()
}
