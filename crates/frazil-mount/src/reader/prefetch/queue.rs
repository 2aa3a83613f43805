//! Runs that wait for their turn: by source, and in turns within one.

use std::collections::VecDeque;
use std::sync::Arc;

use super::run::{Next, Run};
use super::source::SOURCES;
use crate::reader::ChunkIndex;

/// Runs of one source; the oldest is ended for one more.
const RUNS_MAX: usize = 64;

/// Chunks that are passed over in one turn, because they are there already.
const PASSED_OVER_MAX: usize = 1024;

/// All runs that have something left.
#[derive(Default)]
pub(super) struct Queue([VecDeque<Arc<Run>>; SOURCES]);

impl Queue {
    pub(super) fn add(&mut self, run: Arc<Run>) {
        let runs = &mut self.0[run.source.rank()];
        if runs.len() >= RUNS_MAX
            && let Some(oldest) = runs.pop_front()
        {
            oldest.cancel();
        }
        runs.push_back(run);
    }

    /// Ends every run.
    pub(super) fn cancel(&mut self) {
        self.0.iter_mut().flat_map(|runs| runs.drain(..)).for_each(|run| run.cancel());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(VecDeque::is_empty)
    }

    /// The next chunk that `is_wanted`, and the run that it is of: from the first source that has such a
    /// chunk and `may_go`. The run goes to the end of its line.
    pub(super) fn next(
        &mut self,
        is_wanted: impl Fn(&Run, ChunkIndex) -> bool,
        may_go: impl Fn(&Run, ChunkIndex) -> bool,
    ) -> Option<(Arc<Run>, ChunkIndex)> {
        for runs in &mut self.0 {
            for _ in 0..runs.len() {
                let run = runs.pop_front()?;
                match run.peek(PASSED_OVER_MAX, |index| is_wanted(&run, index)) {
                    Next::End => {}
                    Next::Later => runs.push_back(run),
                    Next::Chunk(index) if may_go(&run, index) => {
                        runs.push_back(Arc::clone(&run));
                        return Some((run, index));
                    }
                    Next::Chunk(_) => runs.push_back(run),
                }
            }
        }
        None
    }
}
