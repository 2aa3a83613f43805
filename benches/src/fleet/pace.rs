//! Questions at random times at a steady mean rate, however long the answers take: a slow answer does not keep the
//! next question from being asked, so it cannot hide how many would have waited.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use frazil_cache::Wanted;
use frazil_format::SealedChunk;
use tokio::runtime::Runtime;

/// How many questions are asked before those that count.
const WARM_UP: usize = 50;

/// How many questions, and how many MB of answers in a second.
pub(super) struct Pace {
    pub(super) reads: usize,
    pub(super) mb_per_s: u64,
}

impl Pace {
    /// The latencies of those that were answered.
    pub(super) fn run<F>(
        &self,
        runtime: &Runtime,
        chunks: &[(Wanted, SealedChunk)],
        ask: impl Fn(Wanted) -> F,
    ) -> Vec<Duration>
    where
        F: Future<Output = bool> + Send + 'static,
    {
        let len = chunks.first().map_or(1, |(wanted, _)| u64::from(wanted.sealed_len));
        let mean = Duration::from_secs_f64(len as f64 / (self.mb_per_s as f64 * 1e6));
        let (sender, answers) = mpsc::channel();
        let mut due = Instant::now();
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for (number, (wanted, _)) in chunks.iter().cycle().take(WARM_UP + self.reads).enumerate() {
            due += exponential(mean, &mut random);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let (answer, sender) = (ask(*wanted), sender.clone());
            let asked = Instant::now();
            runtime.spawn(async move {
                let is_right = answer.await;
                if is_right && number >= WARM_UP {
                    let _ = sender.send(asked.elapsed());
                }
            });
        }
        drop(sender);
        answers.into_iter().collect()
    }
}

fn exponential(mean: Duration, random: &mut u64) -> Duration {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    let unit = ((*random >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
    mean.mul_f64(-unit.ln())
}
