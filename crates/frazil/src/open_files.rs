//! How many files this process may have open (`RLIMIT_NOFILE`, see getrlimit(2)).
//!
//! Invariant: what is raised is the soft limit of this process, at most to the hard one, and no further than it needs:
//! whatever it runs inherits it.

use anyhow::{Context, Result, anyhow};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::failure::Advise;

/// Enough for every command that serves nobody else.
const LEAST: u64 = 64;

/// Sees to it that a command can do its work at all: what is refused in the middle of it is hard to understand.
///
/// # Errors
/// If the hard limit is below that.
pub(crate) fn suffice() -> Result<()> {
    match raise_to(LEAST)? {
        limit if limit >= LEAST => Ok(()),
        limit => Err(anyhow!("this process may have {limit} files open, and needs {LEAST}"))
            .hint(format!("raise the limit: ulimit -n {LEAST}, or more")),
    }
}

/// As many as the hard limit allows, for a process that serves many others; says how many.
pub(crate) fn as_many_as_allowed() -> Result<u64> {
    raise_to(u64::MAX)
}

/// Raises the limit if it is lower, as far as that is allowed; says what it is then.
fn raise_to(wanted: u64) -> Result<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let (current, maximum) = (current.unwrap_or(u64::MAX), maximum.unwrap_or(u64::MAX));
    let raised = wanted.min(maximum).max(current);
    if raised > current {
        let limit = Rlimit { current: Some(raised), maximum: Some(maximum) };
        setrlimit(Resource::Nofile, limit).context("cannot raise the limit of open files")?;
    }
    Ok(raised)
}
