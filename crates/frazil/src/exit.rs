//! Exit codes: the whole table, in one place. `docs/SEMANTICS.md` and the man page tell the same.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed; stderr says why |
//! | 2 | the command line makes no sense, of any command but `run` |
//! | 125 | `run`: frazil itself failed or its command line makes no sense, the image's command was not started |
//! | 126 | `run`: the image's command was found but cannot be executed |
//! | 127 | `run`: the image's command was not found |
//! | 128+N | `run`: the image's command died of signal N; any other code is the command's own |

use std::process::ExitCode;

use serde::{Deserialize, Serialize};

/// How this process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Exit(u8);

impl Exit {
    /// Done.
    pub(crate) const SUCCESS: Self = Self(0);
    /// Failed.
    pub(crate) const FAILURE: Self = Self(1);
    /// The container could not be set up.
    pub(crate) const NOT_STARTED: Self = Self(125);
    /// The image's command cannot be executed.
    pub(crate) const NOT_EXECUTABLE: Self = Self(126);
    /// The image's command does not exist.
    pub(crate) const NOT_FOUND: Self = Self(127);

    /// The code of a command of its own.
    pub(crate) fn of_command(code: i32) -> Self {
        // The kernel keeps eight bits of what a process exits with.
        Self(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
    }

    /// The code that shells give to a process that died of `signal`.
    pub(crate) fn of_signal(signal: i32) -> Self {
        Self::of_command(128_i32.saturating_add(signal))
    }

    /// The number, as exit(2) takes it.
    pub(crate) fn code(self) -> i32 {
        i32::from(self.0)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}
