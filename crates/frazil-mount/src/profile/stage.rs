//! How far a start is, from its first read to what it taught.
//!
//! Invariant: it only goes forward.

use std::time::Duration;

use tokio::sync::watch;

use super::recorder::Recorder;

/// The longest that a start is recorded.
const AGE_MAX: Duration = Duration::from_secs(30);

/// Once the workload has shown a sign of life, the first pause of this length in first touches ends the recording.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
pub(super) enum Stage {
    Starting,
    /// It has shown a sign of life.
    Alive,
    /// It is ready: nothing more is recorded.
    Ready,
    /// What it taught is written down, or could not be.
    Over,
}

/// The stage, for those who wait for a later one.
pub(super) struct Course(watch::Sender<Stage>);

impl Course {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Stage::Starting))
    }

    pub(super) fn advance(&self, to: Stage) {
        self.0.send_if_modified(|stage| {
            let forward = to > *stage;
            if forward {
                *stage = to;
            }
            forward
        });
    }

    /// Waits for the word, for a pause after a sign of life, or until the recording is old.
    pub(super) async fn is_ready(&self, recorder: &Recorder) {
        let mut stage = self.0.subscribe();
        let ready = async {
            if stage.wait_for(|stage| *stage >= Stage::Alive).await.is_err() {
                return;
            }
            let paused = async {
                while recorder.quiet() < PAUSE {
                    tokio::time::sleep(PAUSE.saturating_sub(recorder.quiet())).await;
                }
            };
            tokio::select! {
                () = paused => {}
                _ = stage.wait_for(|stage| *stage >= Stage::Ready) => {}
            }
        };
        let _ = tokio::time::timeout(AGE_MAX, ready).await;
    }

    /// Waits until what was learnt is written down, or until `patience` is over.
    pub(super) async fn is_over(&self, patience: Duration) {
        let mut stage = self.0.subscribe();
        let over = stage.wait_for(|stage| *stage == Stage::Over);
        // What is not written then is given up when the process ends.
        let _ = tokio::time::timeout(patience, over).await;
    }
}
