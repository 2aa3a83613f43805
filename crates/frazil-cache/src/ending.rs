//! What is asked of a runtime that is shutting down: it drops what it is given before `spawn` has returned.

use std::sync::mpsc;
use std::time::Duration;

/// More than any ending takes.
const HANGS_AFTER: Duration = Duration::from_secs(30);

/// What `ask` says when it is called by a task that its ending runtime drops. Panics if it says nothing.
pub(crate) fn in_a_runtime_that_ends<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> T {
    let (told, said) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let last = Last(Some(move || drop(told.send(ask()))));
        runtime.spawn(async move {
            let _last = last;
            std::future::pending::<()>().await;
        });
        runtime.block_on(tokio::task::yield_now());
    });
    said.recv_timeout(HANGS_AFTER).expect("who asks does not hang")
}

/// Does something when it is dropped.
struct Last<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for Last<F> {
    fn drop(&mut self) {
        if let Some(last) = self.0.take() {
            last();
        }
    }
}
