//! Who starts the images, in the order of the tables.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::process::Account;
use super::scene::Scene;
use super::{containerd, erofs, frazil, nydus, unpacked};
use crate::link::Traffic;

/// One way of starting an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    UnpackedCold,
    UnpackedWarm,
    Containerd,
    Erofs,
    NydusPlain,
    NydusAll,
    NydusTraced,
    FrazilFirst,
    FrazilEager,
    FrazilProfile,
    FrazilRemote,
    FrazilDisk,
    FrazilMemory,
}

impl Contender {
    pub(crate) const ALL: [Self; 13] = [
        Self::UnpackedCold,
        Self::UnpackedWarm,
        Self::Containerd,
        Self::Erofs,
        Self::NydusPlain,
        Self::NydusAll,
        Self::NydusTraced,
        Self::FrazilFirst,
        Self::FrazilEager,
        Self::FrazilProfile,
        Self::FrazilRemote,
        Self::FrazilDisk,
        Self::FrazilMemory,
    ];

    /// In a table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::UnpackedCold => "already unpacked on the local disk, cold page cache",
            Self::UnpackedWarm => "already unpacked on the local disk, warm",
            Self::Containerd => "containerd pull, unpack, run",
            Self::Erofs => "EROFS image downloaded whole, mounted",
            Self::NydusPlain => "Nydus 2.2, FUSE, no prefetch",
            Self::NydusAll => "Nydus 2.2, prefetch_all",
            Self::NydusTraced => "Nydus 2.2, traced list of files",
            Self::FrazilFirst => "Frazil, first ever",
            Self::FrazilEager => "Frazil, --eager",
            Self::FrazilProfile => "Frazil, with a profile",
            Self::FrazilRemote => "Frazil, only the remote tier warm",
            Self::FrazilDisk => "Frazil, warm host disk tier",
            Self::FrazilMemory => "Frazil, warm host memory tier",
        }
    }

    /// In a file's name.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::UnpackedCold => "unpacked-cold",
            Self::UnpackedWarm => "unpacked-warm",
            Self::Containerd => "containerd",
            Self::Erofs => "erofs",
            Self::NydusPlain => "nydus-plain",
            Self::NydusAll => "nydus-all",
            Self::NydusTraced => "nydus-traced",
            Self::FrazilFirst => "frazil-first",
            Self::FrazilEager => "frazil-eager",
            Self::FrazilProfile => "frazil-profile",
            Self::FrazilRemote => "frazil-remote",
            Self::FrazilDisk => "frazil-disk",
            Self::FrazilMemory => "frazil-memory",
        }
    }

    /// Whether it fetches over the link and fetches no more than what is touched.
    pub(crate) fn is_lazy(self) -> bool {
        matches!(self, Self::NydusPlain | Self::NydusTraced | Self::FrazilFirst | Self::FrazilProfile)
    }

    pub(crate) fn is_frazil(self) -> bool {
        self.word().starts_with("frazil")
    }

    /// Starts the image once, all caches on this side empty but for those that the contender's name says.
    pub(crate) fn start(self, scene: &Scene<'_>, limit: Duration) -> anyhow::Result<Start> {
        match self {
            Self::UnpackedCold => unpacked::start(scene, unpacked::PageCache::Cold, limit),
            Self::UnpackedWarm => unpacked::start(scene, unpacked::PageCache::Warm, limit),
            Self::Containerd => containerd::start(scene, limit),
            Self::Erofs => erofs::start(scene, limit),
            Self::NydusPlain => nydus::start(scene, nydus::Prefetch::None, limit),
            Self::NydusAll => nydus::start(scene, nydus::Prefetch::All, limit),
            Self::NydusTraced => nydus::start(scene, nydus::Prefetch::Traced, limit),
            Self::FrazilFirst => frazil::first(scene, limit),
            Self::FrazilEager => frazil::eager(scene, limit),
            Self::FrazilProfile => frazil::with_profile(scene, limit),
            Self::FrazilRemote => frazil::with_remote(scene, limit),
            Self::FrazilDisk => frazil::with_disk(scene, limit),
            Self::FrazilMemory => frazil::with_memory(scene, limit),
        }
    }
}

/// What one start took.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    /// From knowing the name to a readable tree.
    pub(crate) mounted: Duration,
    /// From knowing the name to the awaited line.
    pub(crate) line: Duration,
    /// What crossed the link until the command had ended.
    pub(crate) traffic: Traffic,
    /// The agent's or daemon's cost.
    pub(crate) agent: Account,
}
