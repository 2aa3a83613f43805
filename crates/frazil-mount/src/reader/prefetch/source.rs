//! What knew that a chunk would be read.

/// Why a chunk is prefetched. The earlier ones go first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Source {
    /// A file is read from front to back. Kept decoded: the reader is close behind.
    ReadAhead,
    /// The tree cannot be shown without it. Kept sealed.
    Metadata,
    /// It was read at this point when the image was started before. Kept sealed.
    Profile,
    /// It lies beside one that had to be fetched. Kept sealed, where nothing else needs the room.
    Neighbour,
    /// The image is to be completed. Kept by the tiers below, not here.
    Hydrate,
}

/// How many sources there are.
pub(super) const SOURCES: usize = Source::ALL.len();

/// Where a chunk waits for its reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keep {
    /// Ready to be copied out.
    Decoded,
    /// At the cost of its compressed bytes.
    Sealed,
    /// Sealed as well, but only while nothing else wants the room.
    Spare,
    /// In a tier below.
    Below,
}

impl Source {
    /// All sources, in the order in which they are served.
    pub const ALL: [Self; 5] =
        [Self::ReadAhead, Self::Metadata, Self::Profile, Self::Neighbour, Self::Hydrate];

    /// The word for it, as metrics and `frazil explain` show it.
    pub fn word(self) -> &'static str {
        match self {
            Self::ReadAhead => "read-ahead",
            Self::Metadata => "metadata",
            Self::Profile => "profile",
            Self::Neighbour => "neighbour",
            Self::Hydrate => "hydrate",
        }
    }

    /// Whether a reader is known to come for such a chunk; else it is a guess.
    pub(super) fn is_due(self) -> bool {
        self != Self::Neighbour
    }

    pub(super) fn rank(self) -> usize {
        self as usize
    }

    pub(super) fn keep(self) -> Keep {
        match self {
            Self::ReadAhead => Keep::Decoded,
            Self::Metadata | Self::Profile => Keep::Sealed,
            Self::Neighbour => Keep::Spare,
            Self::Hydrate => Keep::Below,
        }
    }
}
