//! A bar per layer where a person looks, nothing where nobody does.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use frazil_convert::{LayerProgress, Phase, Progress};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a bar moves while nothing happens.
const TICK: Duration = Duration::from_millis(120);

/// The most bars at once: a terminal's height.
const MAX_BARS: usize = 24;

/// The bars of one conversion.
pub(crate) struct Bars {
    bars: MultiProgress,
    layers: Mutex<Vec<ProgressBar>>,
    phase: Mutex<Option<ProgressBar>>,
}

impl Bars {
    /// Bars on stderr; indicatif draws none unless it is a terminal.
    pub(crate) fn on_stderr(quiet: u8) -> Self {
        let target = if quiet > 0 { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bars = MultiProgress::with_draw_target(target);
        Self { bars, layers: Mutex::default(), phase: Mutex::default() }
    }

    /// Takes the bars away, for what is said next.
    pub(crate) fn clear(&self) {
        if let Some(phase) = self.phase.lock().unwrap_or_else(PoisonError::into_inner).take() {
            phase.finish_and_clear();
        }
        for bar in self.layers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            bar.finish_and_clear();
        }
        // A terminal that is gone needs no clearing.
        let _ = self.bars.clear();
    }

    fn bar(&self, index: usize) -> Option<ProgressBar> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner).get(index).cloned()
    }

    fn layer_bar(&self, layer: &LayerProgress) -> ProgressBar {
        let bar = match layer.blob_bytes {
            Some(len) => {
                ProgressBar::new(len).with_style(style("{prefix} [{bar:30}] {bytes}/{total_bytes} {msg}"))
            }
            None => ProgressBar::no_length().with_style(style("{prefix} {spinner} {bytes} {msg}")),
        };
        let name: String = layer.diff_id.to_string().chars().take(12).collect();
        self.bars.add(bar.with_prefix(format!("layer {:>3} {name}", layer.index)))
    }
}

/// How much of something is there.
pub(crate) struct Share(ProgressBar);

impl Share {
    /// A bar on stderr for this many bytes.
    pub(crate) fn on_stderr(quiet: u8, bytes: u64) -> Self {
        let target = if quiet > 0 { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(bytes), target);
        Self(bar.with_style(style("[{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}")))
    }

    /// This many bytes are there.
    pub(crate) fn reached(&self, bytes: u64) {
        self.0.set_position(bytes);
    }

    /// Takes the bar away, for what is said next.
    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    // If a template of ours were wrong, it would show another bar, and not end a conversion.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

impl Progress for Bars {
    fn layers(&self, layers: &[LayerProgress]) {
        let bars = layers.iter().take(MAX_BARS).map(|layer| self.layer_bar(layer)).collect();
        *self.layers.lock().unwrap_or_else(PoisonError::into_inner) = bars;
    }

    fn layer_reused(&self, index: usize) {
        if let Some(bar) = self.bar(index) {
            bar.finish_with_message("reused");
        }
    }

    fn layer_read(&self, index: usize, bytes: u64) {
        if let Some(bar) = self.bar(index) {
            bar.inc(bytes);
        }
    }

    fn layer_done(&self, index: usize) {
        if let Some(bar) = self.bar(index) {
            bar.finish_with_message("done");
        }
    }

    fn phase(&self, phase: Phase) {
        let word = match phase {
            Phase::Flatten => "merging the layers",
            Phase::Metadata => "writing the metadata",
            Phase::Publish => "making it durable",
        };
        let mut current = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = current.get_or_insert_with(|| {
            let bar = ProgressBar::new_spinner().with_style(style("{spinner} {msg}"));
            self.bars.add(bar)
        });
        bar.enable_steady_tick(TICK);
        bar.set_message(word);
    }
}
