//! Requests that may have to wait for their answer.
//!
//! They begin on the FUSE thread, as far as they go without waiting; they wait on the runtime, so that a fetch that
//! hangs holds up nobody else. The wait ends with the answer, with the reader's deadline, or when the process that
//! asked gives up.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use fuser::Errno;
use futures::FutureExt;
use tokio::runtime::Handle;

use super::requester::gives_up;
use crate::{ReadError, lent};

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
        let mut answering = Box::pin(async move {
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
        // A question is on its way, or a chunk that is here is opened, before another thread would have woken.
        let _entered = self.0.enter();
        let begun = AssertUnwindSafe(|| lent::to_reader(|| answering.as_mut().now_or_never()));
        match catch_unwind(begun) {
            Ok(Some(())) => {}
            Ok(None) => drop(self.0.spawn(answering)),
            // As in a task: it costs the request, which is answered with EIO when it is dropped, and not the session.
            Err(_) => tracing::error!("a request panicked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn what_is_known_is_answered_by_the_thread_that_asks_and_what_is_not_by_the_runtime() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let later = Later::new(runtime.handle().clone());
        let (answer, answers) = mpsc::channel();
        let answer_with = || {
            let answer = answer.clone();
            move |outcome: Result<i32, Errno>| {
                answer.send((outcome.unwrap(), std::thread::current().id())).unwrap()
            }
        };
        let pid = std::process::id();
        later.answer(pid, async { Ok(1) }, answer_with(), |_| ());
        assert_eq!(answers.try_recv().unwrap(), (1, std::thread::current().id()));

        let (tell, told) = oneshot::channel();
        later.answer(pid, async { told.await.map_err(|_| ReadError::Stopped) }, answer_with(), |_| ());
        assert!(answers.try_recv().is_err(), "it waits");
        tell.send(2).unwrap();
        let (outcome, thread) = answers.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(outcome, 2);
        assert_ne!(thread, std::thread::current().id());
    }
}
