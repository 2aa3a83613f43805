//! The threads that serve a FUSE session, and the news of its end.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use fuser::{Config, Filesystem, Session, SessionACL};
use tokio::sync::watch;

/// Threads that read requests. Waiting requests hold none of them, so a few suffice.
const THREADS_MIN: usize = 2;
const THREADS_MAX: usize = 8;

/// How a session ended.
type End = Option<Result<(), Arc<io::Error>>>;

/// A session that is being served, until the kernel's side is unmounted.
#[derive(Clone, Debug)]
pub(crate) struct Serving(watch::Receiver<End>);

/// Answers the kernel's greeting on `device` and serves `file_system` in the background.
///
/// # Errors
///
/// From the device, when the kernel's side is gone already or speaks another language.
pub(crate) fn serve(file_system: impl Filesystem, device: OwnedFd) -> io::Result<Serving> {
    let mut config = Config::default();
    let threads = std::thread::available_parallelism().map_or(THREADS_MIN, usize::from);
    config.n_threads = Some(threads.clamp(THREADS_MIN, THREADS_MAX));
    config.clone_fd = OpenOptions::new().read(true).write(true).open("/dev/fuse").is_ok();
    // The kernel decides who may enter (allow_other, default_permissions); asking twice gains nothing.
    let session = Session::from_fd(file_system, device, SessionACL::All, config)?;
    let (ended, serving) = watch::channel(None);
    std::thread::Builder::new().name("frazil-fuse".into()).spawn(move || {
        ended.send_replace(Some(how_it_ended(session.run())));
    })?;
    Ok(Serving(serving))
}

/// An unmount reaches the device as ENODEV, which `fuser` takes for the end, or as ECONNABORTED when it comes while
/// a request is being copied.
fn how_it_ended(outcome: io::Result<()>) -> Result<(), Arc<io::Error>> {
    match outcome {
        Err(error) if error.raw_os_error() == Some(libc::ECONNABORTED) => Ok(()),
        outcome => outcome.map_err(Arc::new),
    }
}

impl Serving {
    /// Whether the session has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.borrow().is_some() || self.0.has_changed().is_err()
    }

    /// Waits for the session's end.
    pub(crate) async fn ended(&mut self) -> Result<(), Arc<io::Error>> {
        match self.0.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(Ok(())),
            // The serving thread is gone without a word: it panicked.
            Err(_) => Err(Arc::new(io::Error::other("the serving thread died"))),
        }
    }
}
