//! The floor: what physics leaves to anybody who starts an image over a link.

use super::cell::Cell;
use super::contender::Contender;
use crate::link::LinkSpec;
use crate::report::Series;

/// The floor of an image's start, and what it is made of.
#[derive(Clone, Copy)]
pub(super) struct Floor {
    /// The whole, in seconds.
    pub(super) seconds: f64,
    /// The run on a local unpacked copy with a cold page cache.
    pub(super) local_s: f64,
    /// The bytes really needed, compressed: the fewest that anybody moved who moves what is touched.
    pub(super) needed_bytes: f64,
}

/// The median of one figure of one contender.
pub(super) fn median(cells: &[Cell], image: &str, who: Contender, of: impl Fn(&Cell) -> f64) -> Option<f64> {
    series(cells, image, who, of).median()
}

/// All values of one figure of one contender.
pub(super) fn series(cells: &[Cell], image: &str, who: Contender, of: impl Fn(&Cell) -> f64) -> Series {
    let mut series = Series::default();
    cells
        .iter()
        .filter(|cell| cell.image == image && cell.contender == who)
        .for_each(|cell| series.push(of(cell)));
    series
}

impl Floor {
    /// The larger of the two, plus two round trips: one to connect, one to ask. Unknown without a local copy's run.
    pub(super) fn of(cells: &[Cell], image: &str, link: LinkSpec) -> Option<Self> {
        let local_s = median(cells, image, Contender::UnpackedCold, |cell| cell.line_s)?;
        let needed_bytes = Contender::ALL
            .into_iter()
            .filter(|who| who.is_lazy())
            .filter_map(|who| median(cells, image, who, |cell| cell.down_bytes as f64))
            .fold(f64::INFINITY, f64::min);
        let needed_bytes = if needed_bytes.is_finite() { needed_bytes } else { 0.0 };
        let transfer_s = needed_bytes * 8.0 / link.bits_per_second;
        let seconds = local_s.max(transfer_s) + 2.0 * link.round_trip.as_secs_f64();
        Some(Self { seconds, local_s, needed_bytes })
    }
}
