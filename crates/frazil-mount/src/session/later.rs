//! Requests that cannot be answered at once.
//!
//! They wait on the runtime, not on a FUSE thread, so that a fetch that hangs holds up nobody else. The wait
//! ends with the answer, with the reader's deadline, or when the process that asked gives up.

use std::future::Future;

use fuser::Errno;
use tokio::runtime::Handle;

use super::requester::gives_up;
use crate::ReadError;

/// Answers requests on a runtime.
#[derive(Clone, Debug)]
pub(crate) struct Later(Handle);

impl Later {
    pub(crate) fn new(runtime: Handle) -> Self {
        Self(runtime)
    }

    /// Runs `work` for the process `pid` and gives `answer` its outcome. `complain` hears of an error
    /// afterwards.
    pub(crate) fn answer<T: Send + 'static>(
        &self,
        pid: u32,
        work: impl Future<Output = Result<T, ReadError>> + Send + 'static,
        answer: impl FnOnce(Result<T, Errno>) + Send + 'static,
        complain: impl FnOnce(ReadError) + Send + 'static,
    ) {
        self.0.spawn(async move {
            tokio::select! {
                biased;
                outcome = work => match outcome {
                    Ok(value) => answer(Ok(value)),
                    Err(error) => {
                        answer(Err(Errno::from_i32(error.errno())));
                        complain(error);
                    }
                },
                () = gives_up(pid) => answer(Err(Errno::EINTR)),
            }
        });
    }
}
