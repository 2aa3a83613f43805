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
    #[cfg(feature = "otlp")]
    let filter = match crate::spans::tracer() {
        Some(tracer) => return start_with_spans(filter, tracer),
        None => filter,
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

/// As [`start`], and with spans of the house for a collector, whatever the log shows.
#[cfg(feature = "otlp")]
fn start_with_spans(filter: EnvFilter, tracer: opentelemetry_sdk::trace::SdkTracer) {
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    let log = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let spans = tracing_opentelemetry::layer().with_tracer(tracer);
    let of_the_house = EnvFilter::new(house("off,frazil=debug", "debug"));
    tracing_subscriber::registry().with(log.with_filter(filter)).with(spans.with_filter(of_the_house)).init();
}

/// The filter with every crate of the house at the binary's level: targets match by whole module names.
fn house(filter: &str, level: &str) -> String {
    let crates = ["erofs", "format", "store", "cache", "convert", "mount"];
    crates.iter().fold(filter.to_owned(), |filter, name| format!("{filter},frazil_{name}={level}"))
}
