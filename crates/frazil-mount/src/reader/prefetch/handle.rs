//! A prefetch in the hands of whoever asked for it.

use std::sync::Arc;

use super::run::{Run, RunCounts};

/// A list of chunks that is being prefetched. Dropping it ends that: nothing more is begun, and what has come stays.
#[must_use = "dropping it ends the prefetch"]
pub struct PrefetchHandle {
    run: Arc<Run>,
    ends: Ends,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    WithTheHandle,
    WithTheList,
}

impl PrefetchHandle {
    pub(super) fn new(run: Arc<Run>) -> Self {
        Self { run, ends: Ends::WithTheHandle }
    }

    /// What came of it so far.
    pub fn counts(&self) -> RunCounts {
        self.run.counts()
    }

    /// Waits until every chunk has come, or could not be had, or was cancelled.
    pub async fn finished(&self) {
        self.run.finished().await;
    }

    /// Lets it go on by itself.
    pub fn detach(mut self) {
        self.ends = Ends::WithTheList;
    }
}

impl Drop for PrefetchHandle {
    fn drop(&mut self) {
        if self.ends == Ends::WithTheHandle {
            self.run.cancel();
        }
    }
}

impl std::fmt::Debug for PrefetchHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrefetchHandle").field("counts", &self.counts()).finish_non_exhaustive()
    }
}
