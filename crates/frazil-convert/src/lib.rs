//! An OCI image in, a published image out.
//!
//! [`convert`] is the whole path, step by step. It reads from a [`source::Source`] and writes to a store; nothing is
//! visible under the image's name before all of it is durable. The crate knows no terminal and no configuration.

mod archive;
mod convert;
mod cut;
mod error;
mod flatten;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod ingest;
mod inherit;
mod keys;
mod known;
mod metadata;
mod options;
mod progress;
mod publish;
pub mod source;
mod standing;
mod summary;
pub mod verify;

pub use archive::ArchiveError;
pub use convert::convert;
pub use cut::{Cut, CutParameters, Cutter, MIN_ZERO_RUN};
pub use error::ConvertError;
pub use flatten::{FlattenError, Misfit};
pub use keys::{Keys, Standing};
pub use options::{ConvertOptions, DEFAULT_MAX_IMAGE_BYTES};
pub use progress::{LayerProgress, NoProgress, Phase, Progress};
pub use summary::{Conversion, Warnings};
