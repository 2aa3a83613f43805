//! Many starts at the same moment, each in a thread of its own.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use crate::cold_start::process::Speaker;
use crate::cold_start::scene::Scene;
use crate::link::Traffic;

/// What a storm took.
pub(super) struct Herd {
    /// From the first name to the last line.
    pub(super) last: Duration,
    /// The longest of all starts.
    pub(super) slowest: Duration,
    pub(super) traffic: Traffic,
}

impl Herd {
    /// Calls `start` that often at once, with numbers from 0 on, and waits for all lines; what `start` gives beside
    /// the process lives until all lines have come.
    pub(super) fn start<Held: Send>(
        starts: usize,
        scene: &Scene<'_>,
        limit: Duration,
        start: impl Fn(usize) -> anyhow::Result<(Speaker, Held)> + Sync,
    ) -> anyhow::Result<Self> {
        let (gate, before) = (Barrier::new(starts), scene.servers.traffic());
        let (gate, start) = (&gate, &start);
        let results: Vec<anyhow::Result<(Instant, Instant, Held)>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..starts)
                .map(|number| {
                    scope.spawn(move || {
                        gate.wait();
                        let began = Instant::now();
                        let (speaker, held) = start(number)?;
                        Ok((began, speaker.hear(scene.workload.line, limit)?, held))
                    })
                })
                .collect();
            let panicked = |_| Err(anyhow!("a start panicked"));
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
        });
        let traffic = scene.servers.traffic() - before;
        let ended = results.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        let first = ended.iter().map(|(began, _, _)| *began).min().unwrap_or_else(Instant::now);
        let last = ended.iter().map(|(_, line, _)| *line).max().unwrap_or(first) - first;
        let slowest = ended.iter().map(|(began, line, _)| *line - *began).max().unwrap_or_default();
        Ok(Self { last, slowest, traffic })
    }
}
