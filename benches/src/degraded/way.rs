//! The ways of starting an image: without prefetching, and with each kind of it.

use serde::{Deserialize, Serialize};

use crate::link::Trouble;

/// One way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Way {
    /// Neither a profile nor read-ahead; the tree's metadata comes first, as ever.
    Without,
    /// What a first start does.
    ReadAhead,
    /// What every later start does, on a host that has nothing.
    Profile,
}

impl Way {
    pub(super) const ALL: [Self; 3] = [Self::Without, Self::ReadAhead, Self::Profile];

    /// In a file's name.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Without => "without",
            Self::ReadAhead => "read-ahead",
            Self::Profile => "profile",
        }
    }

    /// What it adds to the configuration.
    pub(super) fn configuration(self) -> &'static str {
        match self {
            Self::Without => "[agent]\nread_ahead = 0\n",
            Self::ReadAhead | Self::Profile => "",
        }
    }

    /// What it adds to the command.
    pub(super) fn options(self) -> &'static [&'static str] {
        match self {
            Self::Without | Self::ReadAhead => &["--no-profile"],
            Self::Profile => &[],
        }
    }

    /// Whether a trouble makes a difference to it, or to what it is compared with.
    pub(super) fn meets(self, trouble: Option<&Trouble>) -> bool {
        self != Self::ReadAhead || trouble.is_none_or(Trouble::is_anywhere)
    }
}
