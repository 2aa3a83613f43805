//! The signals that ask a process which serves others to end.

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that ask for nothing here; each would end the process on the spot, and leave a dead mount behind.
const MEANINGLESS: [fn() -> SignalKind; 4] =
    [SignalKind::user_defined1, SignalKind::user_defined2, SignalKind::alarm, SignalKind::io];

/// The signals, listened for: none of them ends the process any more.
pub(crate) struct End {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    /// The terminal of a process in the foreground is gone.
    hang_up: Signal,
}

impl End {
    /// Listens from now on.
    pub(crate) fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        for kind in MEANINGLESS {
            // A signal that was once listened for never ends the process, even when nobody listens any more.
            drop(listen(kind())?);
        }
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            quit: listen(SignalKind::quit())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Waits until the process is asked to end.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.quit.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
