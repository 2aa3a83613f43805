//! Answers on their way to one agent.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

/// One answer, and what it takes from the limits until it is written.
pub(super) struct Outgoing {
    pub(super) head: Bytes,
    pub(super) body: Bytes,
    pub(super) _bytes: Option<[OwnedSemaphorePermit; 2]>,
}

/// Writes answers as they come, until nobody can send any more.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] when the agent does not take an answer in time; else what the socket says.
pub(super) async fn write(
    mut answers: mpsc::Receiver<Outgoing>,
    mut socket: OwnedWriteHalf,
    patience: Duration,
) -> io::Result<()> {
    while let Some(outgoing) = answers.recv().await {
        // Both parts in one writev: the sealed bytes are not copied on the way.
        let mut parts = outgoing.head.chain(outgoing.body);
        timeout(patience, socket.write_all_buf(&mut parts)).await??;
    }
    Ok(())
}
