//! Whether what is in force fits together, and fits the machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use rustix::fs::statvfs;
use rustix::system::sysinfo;

use super::{Config, Key, Span, keys};
use crate::output::bytes;
use crate::places;

/// Deadlines from the outside in: each has to be longer than the next, or an error arrives without its reason.
const DEADLINES: [(&Key<Span>, &Key<Span>); 4] = [
    (&keys::READ_DEADLINE, &keys::PATIENCE),
    (&keys::PATIENCE, &keys::REQUEST_DEADLINE),
    (&keys::ORIGIN_DEADLINE, &keys::ORIGIN_ATTEMPT_DEADLINE),
    (&keys::REMOTE_DEADLINE, &keys::REMOTE_HEDGE),
];

/// What does not fit, in words; nothing if everything does.
pub(crate) fn misfits(config: &Config) -> Result<Vec<String>> {
    let mut misfits = Vec::new();
    for (outer, inner) in DEADLINES {
        let (outer_span, inner_span) = (config.value(outer)?.0, config.value(inner)?.0);
        if outer_span <= inner_span {
            misfits.push(shorter(outer, outer_span, inner, inner_span));
        }
    }
    let (request, origin) =
        (config.value(&keys::REQUEST_DEADLINE)?.0, config.value(&keys::ORIGIN_DEADLINE)?.0);
    if request < origin {
        misfits.push(shorter(&keys::REQUEST_DEADLINE, request, &keys::ORIGIN_DEADLINE, origin));
    }
    misfits.extend(memory(config)?);
    misfits.extend(disk(config)?);
    if let Err(error) = crate::plan::tls(config) {
        misfits.push(crate::failure::chain(&error));
    }
    Ok(misfits)
}

fn shorter(outer: &Key<Span>, outer_span: Duration, inner: &Key<Span>, inner_span: Duration) -> String {
    use super::Entry;
    format!(
        "{} ({outer_span:?}) is not longer than {} ({inner_span:?}): who waits is told of the time and not of the reason",
        outer.about().path,
        inner.about().path
    )
}

/// What a host cache holds in memory at the most, against what there is.
fn memory(config: &Config) -> Result<Option<String>> {
    let info = sysinfo();
    let total = info.totalram.saturating_mul(u64::from(info.mem_unit));
    let (budget, answers) = (config.value(&keys::MEMORY_BUDGET)?.0, config.value(&keys::ANSWER_BYTES)?.0);
    let needed = budget.saturating_add(answers);
    Ok((needed > total).then(|| {
        format!(
            "memory.budget ({}) and cached.answer_bytes ({}) are more than the machine's memory ({})",
            bytes(budget),
            bytes(answers),
            bytes(total)
        )
    }))
}

/// The quotas and the free floor, against the file systems they are on.
fn disk(config: &Config) -> Result<Vec<String>> {
    let floor = config.value(&keys::DISK_FREE_FLOOR)?.0;
    let host = config.get(&keys::DISK_DIRECTORY)?.or_else(places::cache);
    let own = || places::cache().map(|cache| cache.join("embedded"));
    let own = config.get(&keys::EMBEDDED_DIRECTORY)?.or_else(own);
    let quotas = [
        ("disk.quota", host, config.value(&keys::DISK_QUOTA)?.0),
        ("embedded.disk_quota", own, config.get(&keys::EMBEDDED_QUOTA)?.map_or(0, |size| size.0)),
    ];
    let mut misfits = Vec::new();
    for (name, directory, quota) in quotas {
        let Some((place, total)) = directory.as_deref().and_then(size_of) else { continue };
        if quota > 0 && quota.saturating_add(floor) > total {
            misfits.push(format!(
                "{name} ({}) and disk.free_floor ({}) are more than the file system of {} holds ({})",
                bytes(quota),
                bytes(floor),
                place.display(),
                bytes(total)
            ));
        }
    }
    Ok(misfits)
}

/// The file system of a directory, which need not be there yet: the nearest that is, and its size in bytes.
fn size_of(directory: &Path) -> Option<(PathBuf, u64)> {
    let place = directory.ancestors().find(|place| place.exists())?;
    let stat = statvfs(place).ok()?;
    Some((place.to_owned(), stat.f_blocks.saturating_mul(stat.f_frsize)))
}
