//! One connection to a node: many questions under way, answered in order.
//!
//! A task owns the connection. Whoever asks holds nothing but the end of a channel: dropping it gives up the
//! answer, which is then read and forgotten, so a reader that goes away never leaves half an answer in the
//! stream. The connection is closed, and every question on it fails, as soon as the oldest one is overdue or an
//! answer makes no sense. The queue and the questions under way are bounded; what finds no room fails at once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::landing::Landing;
use super::session::Session;
use super::shard::Item;
use super::vitals::{InFlight, Vitals};
use super::wire::Dialer;
use crate::jitter::spread;

/// How many questions may wait to be sent.
const MAX_QUEUED: usize = 64;

/// How long a lost connection stays lost at first; every failure doubles it.
const FIRST_BACKOFF: Duration = Duration::from_millis(10);

/// The longest that a lost connection stays lost.
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// What can be asked of a node.
#[derive(Debug)]
pub(super) enum Verb {
    /// The value of the key, a shard, and where to read it to.
    Get(Landing),
    /// To keep the value under the key.
    Set(Bytes),
}

/// What a node can answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// The value.
    Hit(Item),
    /// No value.
    Miss,
    /// The value is kept.
    Stored,
    /// The value is not kept, or not to be had.
    Refused,
}

/// A question on its way.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) key: String,
    pub(super) verb: Verb,
    pub(super) reply: oneshot::Sender<Answer>,
    pub(super) in_flight: InFlight,
}

/// What a connection may take and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How long a question may stay unanswered.
    pub(super) deadline: Duration,
    /// The longest value, in bytes.
    pub(super) value_len: usize,
}

/// The way to a connection's task, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Connection(mpsc::Sender<Question>);

impl Connection {
    /// A connection that is made when it is first needed.
    pub(super) fn start(dialer: Dialer, limits: Limits, vitals: Arc<Vitals>) -> Self {
        let (sender, queue) = mpsc::channel(MAX_QUEUED);
        tokio::spawn(Keeper { dialer, limits, vitals, queue }.keep());
        Self(sender)
    }

    /// Sends the question on its way, unless there is no room for it.
    pub(super) fn ask(&self, question: Question) -> bool {
        self.0.try_send(question).is_ok()
    }

    /// How many more questions find room.
    pub(super) fn room(&self) -> usize {
        self.0.capacity()
    }
}

/// What keeps a connection alive.
struct Keeper {
    dialer: Dialer,
    limits: Limits,
    vitals: Arc<Vitals>,
    queue: mpsc::Receiver<Question>,
}

impl Keeper {
    async fn keep(mut self) {
        let mut backoff = FIRST_BACKOFF;
        while let Some(first) = self.queue.recv().await {
            let answered_before = self.vitals.answers();
            match self.dialer.dial().await {
                Ok(wire) => {
                    let session = Session::new(self.limits, Arc::clone(&self.vitals));
                    let Some(failed) = session.run(wire, first, &mut self.queue).await else { return };
                    if failed == 0 {
                        continue;
                    }
                    self.vitals.failed(failed);
                }
                Err(error) => {
                    tracing::debug!(node = %self.dialer.address, %error, "no connection");
                    drop(first);
                    self.vitals.failed(1);
                }
            }
            backoff = if self.vitals.answers() == answered_before { backoff } else { FIRST_BACKOFF };
            self.refuse_for(spread(backoff)).await;
            backoff = backoff.saturating_mul(2).min(MAX_BACKOFF);
        }
    }

    /// Fails every question for a while: those who ask have better things to do than to wait.
    async fn refuse_for(&mut self, pause: Duration) {
        let pause = sleep(pause);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return,
                question = self.queue.recv() => if question.is_none() { return },
            }
        }
    }
}
