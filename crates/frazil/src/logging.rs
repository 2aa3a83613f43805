//! What goes to stderr as a log, and how much of it.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Sends tracing events to stderr: `$FRAZIL_LOG` says which, else the count of `-v` and `-q`.
pub(crate) fn start(verbose: u8, quiet: u8) {
    let level = match i16::from(verbose) - i16::from(quiet) {
        ..=-2 => "off",
        -1 => "error",
        0 => "warn",
        1 => "info",
        2 => "debug",
        3.. => "trace",
    };
    // Other crates' chatter is for those who ask by name.
    let default = if verbose > 2 { level.to_owned() } else { format!("error,frazil={level}") };
    // An answer that comes after its question was taken back, by an unmount or a signal, is no error.
    let default = house(&default, level) + ",fuser::reply=off";
    let filter = EnvFilter::try_from_env("FRAZIL_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

/// The filter with every crate of the house at the binary's level: targets match by whole module names.
fn house(filter: &str, level: &str) -> String {
    let crates = ["erofs", "format", "store", "cache", "convert", "mount"];
    crates.iter().fold(filter.to_owned(), |filter, name| format!("{filter},frazil_{name}={level}"))
}
