//! Everything that is logged while a test runs.

use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// The warnings and errors of this process; nextest gives each test a process of its own.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Starts to listen.
    pub(crate) fn listen() -> Self {
        let log = Self::default();
        // Another test of this process listens already: then the lines go there, and this log stays empty.
        let _ = tracing::subscriber::set_global_default(log.clone());
        log
    }

    /// The lines that contain all of `words`.
    pub(crate) fn lines(&self, words: &[&str]) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        lines.iter().filter(|line| words.iter().all(|word| line.contains(word))).cloned().collect()
    }

    /// Waits for a line with all of `words`.
    pub(crate) fn wait_for(&self, words: &[&str]) -> String {
        let start = Instant::now();
        loop {
            if let Some(line) = self.lines(words).pop() {
                return line;
            }
            let all = self.0.lock().unwrap().join("\n");
            assert!(start.elapsed() < Duration::from_secs(30), "no line with {words:?} in\n{all}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN && metadata.target().starts_with("frazil")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}
