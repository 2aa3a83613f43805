//! What a server counts of its own.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use frazil_store::ErrorClass;

use crate::host::protocol::{Answer, Question};
use crate::host::stats;

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) connections: Connections,
    pub(super) requests: Requests,
    pub(super) errors: Errors,
}

#[derive(Debug, Default)]
pub(super) struct Connections {
    pub(super) open: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) busy: AtomicU64,
    pub(super) garbled: AtomicU64,
    pub(super) stuck: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct Requests {
    chunks: AtomicU64,
    references: AtomicU64,
    manifests: AtomicU64,
    profiles: AtomicU64,
    pub(super) in_flight: AtomicU64,
    pub(super) forgotten: AtomicU64,
    pub(super) hurried: AtomicU64,
    chunk_bytes: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct Errors {
    not_found: AtomicU64,
    corrupt: AtomicU64,
    transient: AtomicU64,
    denied: AtomicU64,
    busy: AtomicU64,
}

impl Tally {
    pub(super) fn asked(&self, question: &Question) {
        let counter = match question {
            Question::Chunk { .. } => &self.requests.chunks,
            Question::Reference { .. } => &self.requests.references,
            Question::Manifest { .. } => &self.requests.manifests,
            Question::Shelved { .. } | Question::Shelve { .. } | Question::Clear(_) | Question::Near(_) => {
                &self.requests.profiles
            }
            Question::Stats | Question::Ping | Question::InUse { .. } => return,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn answered(&self, answer: &Answer) {
        let counter = match answer {
            Answer::Chunk { sealed, .. } => {
                self.requests.chunk_bytes.fetch_add(sealed.len() as u64, Relaxed);
                return;
            }
            Answer::Error { class, .. } => match class {
                ErrorClass::NotFound => &self.errors.not_found,
                ErrorClass::Corrupt => &self.errors.corrupt,
                ErrorClass::Transient | ErrorClass::Full => &self.errors.transient,
                ErrorClass::Denied => &self.errors.denied,
            },
            Answer::Busy { .. } => &self.errors.busy,
            Answer::Reference(_)
            | Answer::Manifest { .. }
            | Answer::Stats(_)
            | Answer::Pong
            | Answer::Shelved(_)
            | Answer::Done => return,
        };
        counter.fetch_add(1, Relaxed);
    }
}

impl Connections {
    pub(super) fn read(&self) -> stats::Connections {
        stats::Connections {
            open: self.open.load(Relaxed),
            accepted: self.accepted.load(Relaxed),
            refused: self.refused.load(Relaxed),
            busy: self.busy.load(Relaxed),
            garbled: self.garbled.load(Relaxed),
            stuck: self.stuck.load(Relaxed),
        }
    }
}

impl Requests {
    pub(super) fn read(&self) -> stats::Requests {
        stats::Requests {
            chunks: self.chunks.load(Relaxed),
            references: self.references.load(Relaxed),
            manifests: self.manifests.load(Relaxed),
            profiles: self.profiles.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            forgotten: self.forgotten.load(Relaxed),
            hurried: self.hurried.load(Relaxed),
            chunk_bytes: self.chunk_bytes.load(Relaxed),
        }
    }
}

impl Errors {
    pub(super) fn read(&self) -> stats::Errors {
        stats::Errors {
            not_found: self.not_found.load(Relaxed),
            corrupt: self.corrupt.load(Relaxed),
            transient: self.transient.load(Relaxed),
            denied: self.denied.load(Relaxed),
            busy: self.busy.load(Relaxed),
        }
    }
}

/// Counts one up as long as it lives.
#[derive(Debug)]
pub(super) struct Counted<'a>(&'a AtomicU64);

impl<'a> Counted<'a> {
    pub(super) fn up(counter: &'a AtomicU64) -> Self {
        counter.fetch_add(1, Relaxed);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
