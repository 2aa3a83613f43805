//! Latencies of one contender over all rounds.

use std::time::{Duration, Instant};

use crate::report;

/// Latencies of one contender.
#[derive(Default)]
pub(super) struct Latencies(Vec<Duration>);

/// How one contender reads so many chunks, one after the other, starting with this one.
pub(super) type Reading<'a> = Box<dyn FnMut(usize, usize) -> anyhow::Result<Vec<Duration>> + 'a>;

/// One row of a table.
pub(super) struct Contender<'a> {
    pub(super) name: String,
    pub(super) published: &'static str,
    /// The number of the row that cannot be beaten; its own row if that is this one.
    pub(super) ceiling: usize,
    pub(super) reading: Reading<'a>,
}

impl Latencies {
    pub(super) fn extend(&mut self, more: Vec<Duration>) {
        self.0.extend(more);
    }

    pub(super) fn micros(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        let at = (self.0.len() as f64 * share) as usize;
        self.0
            .get(at.min(self.0.len().saturating_sub(1)))
            .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
    }
}

/// The rows of a table while it is made.
#[derive(Default)]
pub(super) struct Rows<'a>(pub(super) Vec<Contender<'a>>);

impl<'a> Rows<'a> {
    /// Adds what cannot be beaten: its number.
    pub(super) fn ceiling(
        &mut self,
        name: &str,
        reading: impl FnMut(usize, usize) -> anyhow::Result<Vec<Duration>> + 'a,
    ) -> usize {
        let ceiling = self.0.len();
        self.0.push(Contender {
            name: format!("ceiling: {name}"),
            published: "",
            ceiling,
            reading: Box::new(reading),
        });
        ceiling
    }

    /// Adds a row beside its ceiling.
    pub(super) fn row(
        &mut self,
        name: &str,
        published: &'static str,
        ceiling: usize,
        reading: impl FnMut(usize, usize) -> anyhow::Result<Vec<Duration>> + 'a,
    ) {
        self.0.push(Contender { name: name.to_owned(), published, ceiling, reading: Box::new(reading) });
    }
}

/// Has the contenders take turns, and makes their table.
pub(super) fn table(
    title: &str,
    contenders: &mut [Contender<'_>],
    (reads, rounds): (usize, usize),
) -> anyhow::Result<String> {
    let mut latencies: Vec<Latencies> = contenders.iter().map(|_| Latencies::default()).collect();
    let each = reads.div_ceil(rounds.max(1));
    for round in 0..rounds.max(1) {
        for (contender, latencies) in contenders.iter_mut().zip(&mut latencies) {
            latencies.extend((contender.reading)(round * each, each)?);
        }
    }
    let medians: Vec<f64> = latencies.iter_mut().map(|latencies| latencies.micros(0.5)).collect();
    let rows: Vec<_> = contenders
        .iter()
        .zip(&mut latencies)
        .map(|(contender, latencies)| {
            let mut cells: Vec<String> =
                [0.5, 0.99, 0.999].map(|share| format!("{:.0} µs", latencies.micros(share))).into();
            let ceiling = medians.get(contender.ceiling).copied().unwrap_or(f64::NAN);
            cells.push(format!("{:.2}", latencies.micros(0.5) / ceiling));
            cells.push(contender.published.to_owned());
            (contender.name.clone(), cells)
        })
        .collect();
    let columns = ["p50", "p99", "p99.9", "p50 ÷ its ceiling's", "published"];
    Ok(report::markdown(title, &columns, &rows))
}

/// How long each of so many calls takes.
pub(super) fn timed(
    from: usize,
    count: usize,
    mut each: impl FnMut(usize) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Duration>> {
    (from..from + count)
        .map(|number| {
            let started = Instant::now();
            each(number)?;
            Ok(started.elapsed())
        })
        .collect()
}
