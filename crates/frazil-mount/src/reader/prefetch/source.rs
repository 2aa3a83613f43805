//! Who knew that a chunk would be read.

/// Why a chunk is prefetched. The earlier ones go first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Source {
    /// A file is read from front to back. Kept decoded: the reader is close behind.
    ReadAhead,
    /// The tree cannot be shown without it. Kept sealed.
    Metadata,
    /// It was read at this point when the image was started before. Kept sealed.
    Profile,
    /// The image is to be completed. Kept by the tiers below, not here.
    Hydrate,
}

/// How many sources there are.
pub(super) const SOURCES: usize = 4;

/// Where a chunk waits for its reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keep {
    /// Ready to be copied out.
    Decoded,
    /// At the cost of its compressed bytes.
    Sealed,
    /// In a tier below.
    Below,
}

impl Source {
    pub(super) const ALL: [Self; SOURCES] = [Self::ReadAhead, Self::Metadata, Self::Profile, Self::Hydrate];

    pub(super) fn rank(self) -> usize {
        self as usize
    }

    pub(super) fn keep(self) -> Keep {
        match self {
            Self::ReadAhead => Keep::Decoded,
            Self::Metadata | Self::Profile => Keep::Sealed,
            Self::Hydrate => Keep::Below,
        }
    }
}
