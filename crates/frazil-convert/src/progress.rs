//! What a conversion tells while it runs. The crate knows no terminal: a display implements [`Progress`].

use frazil_format::DiffId;

/// A layer as a progress display needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerProgress {
    /// Its position in the image, from 0 at the bottom.
    pub index: usize,
    /// The layer.
    pub diff_id: DiffId,
    /// Its blob's size in bytes, if the source tells.
    pub blob_bytes: Option<u64>,
}

/// What happens after the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The layers are merged into one tree.
    Flatten,
    /// The metadata area is written, cut and sealed.
    Metadata,
    /// Everything is made durable, and becomes visible.
    Publish,
}

/// Is told how a conversion goes; from several threads, and often.
pub trait Progress: Send + Sync {
    /// The image has these layers.
    fn layers(&self, layers: &[LayerProgress]) {
        let _ = layers;
    }
    /// The store knows the layer, or it is the same as one below.
    fn layer_reused(&self, index: usize) {
        let _ = index;
    }
    /// This many more bytes of the layer's blob were read.
    fn layer_read(&self, index: usize, bytes: u64) {
        let _ = (index, bytes);
    }
    /// The layer is in the store.
    fn layer_done(&self, index: usize) {
        let _ = index;
    }
    /// The layers are done, and this phase has begun.
    fn phase(&self, phase: Phase) {
        let _ = phase;
    }
}

/// For when nobody is looking.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {}
