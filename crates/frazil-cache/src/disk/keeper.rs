//! The one thread that writes to the cache directory: it takes the directory, indexes it, fills it, evicts from it.
//!
//! The invariant: the chunks with a name, the quarantine and the chunk that is being written never take more than the
//! quota, and leave the floor free. No fill is written before the index knows every file.

use std::io;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use frazil_format::{MAX_SEALED_LEN, SealedChunk};

use super::directory::{Directory, TMP};
use super::file_name::{FAN_OUT, chunk_file, fan_out_directory, parse};
use super::fills::Work;
use super::state::DiskState;
use super::weight_of;
use crate::policy::residents::Key;

/// How often, at least, the directory, its free space and the retries are looked after.
const TEND_INTERVAL: Duration = Duration::from_millis(500);

/// A file that the directory held when the process took it.
struct Found {
    written: i64,
    key: Key,
    weight: u64,
}

/// Works until the queue is closed.
pub(super) fn run(state: &DiskState) {
    index(state);
    let mut tended = Instant::now();
    loop {
        match state.fills.next(TEND_INTERVAL.min(state.options.retry_after)) {
            Work::End => return state.set_directory(None),
            Work::Tend => tend(state),
            Work::Fill(key, chunk) => {
                if tended.elapsed() >= TEND_INTERVAL {
                    tend(state);
                    tended = Instant::now();
                }
                fill(state, &key, &chunk);
                state.fills.done(&key);
            }
        }
    }
}

/// Takes the directory for this process.
pub(super) fn attach(state: &DiskState) {
    let path = &state.options.directory;
    let taken = Directory::take(path);
    let why_not = taken.as_ref().err().map(ToString::to_string);
    *state.why_not.lock().unwrap_or_else(PoisonError::into_inner) = why_not;
    match taken {
        Ok(directory) => state.set_directory(Some(directory)),
        Err(error) => {
            state.attachments.failed();
            state.attach_warnings.warn(path, "the directory cannot be used", &error);
        }
    }
}

fn detach(state: &DiskState) {
    state.set_directory(None);
    state.index.clear();
    state.quarantine.forget();
    state.indexed.store(false, Ordering::Release);
    state.attachments.failed();
    state.attach_warnings.warn(
        &state.options.directory,
        "the directory is gone",
        &io::Error::from(io::ErrorKind::NotFound),
    );
}

fn tend(state: &DiskState) {
    match state.directory() {
        Some(directory) if directory.is_gone() => detach(state),
        Some(directory) => {
            let allowance = allowance(state, &directory, state.index.occupancy().bytes);
            evict(state, &directory, &state.index.resize(allowance));
        }
        None if state.attachments.is_open() => {
            attach(state);
            index(state);
        }
        None => {}
    }
}

/// What chunks may take, when they take `resident` bytes now.
fn allowance(state: &DiskState, directory: &Directory, resident: u64) -> u64 {
    let quota = state.options.quota_bytes.saturating_sub(state.quarantine.bytes());
    // A disk that does not say how full it is will say so when it is written to.
    let free = directory.free_bytes().unwrap_or(u64::MAX);
    quota.min(resident.saturating_add(free).saturating_sub(state.options.free_floor_bytes))
}

fn evict(state: &DiskState, directory: &Directory, evicted: &[Key]) {
    for key in evicted {
        // What cannot be removed now is found, and counted again, by the next process.
        let _ = directory.remove(&chunk_file(key));
    }
    state.counters.evictions.add(evicted.len() as u64);
}

/// Learns what is in the directory, the oldest first: it is the first to go where the quota shrank.
fn index(state: &DiskState) {
    let Some(directory) = state.directory() else { return };
    if let Err(error) = clean(state, &directory) {
        state.attach_warnings.warn(&state.options.directory, "leftovers cannot be listed", &error);
    }
    let mut found = Vec::new();
    for number in 0..FAN_OUT {
        if state.fills.is_closed() {
            return;
        }
        if let Err(error) = index_fan_out(&directory, number, &mut found) {
            state.attach_warnings.warn(&state.options.directory, "chunks cannot be listed", &error);
        }
    }
    found.sort_unstable_by_key(|file: &Found| file.written);
    let bytes = found.iter().fold(0_u64, |sum, file| sum.saturating_add(file.weight));
    evict(state, &directory, &state.index.resize(allowance(state, &directory, bytes)));
    for Found { key, weight, .. } in found {
        evict(state, &directory, &state.index.restore(key, weight, ()));
        if !state.index.contains(&key) {
            // It alone is more than the allowance.
            evict(state, &directory, &[key]);
        }
    }
    state.indexed.store(true, Ordering::Release);
}

fn clean(state: &DiskState, directory: &Directory) -> io::Result<()> {
    for file in directory.list(TMP)? {
        directory.remove(&format!("{TMP}/{}", file.name))?;
    }
    state.quarantine.recover(directory)
}

fn index_fan_out(directory: &Directory, number: usize, found: &mut Vec<Found>) -> io::Result<()> {
    let name = fan_out_directory(number);
    for file in directory.list(&name)? {
        match parse(number, &file.name) {
            Some(key) if (1..=u64::from(MAX_SEALED_LEN)).contains(&file.len) => {
                found.push(Found { written: file.written, key, weight: weight_of(file.len) });
            }
            // No chunk of ours: in this directory it would only evade the quota.
            _ => drop(directory.remove(&format!("{name}/{}", file.name))),
        }
    }
    Ok(())
}

fn fill(state: &DiskState, key: &Key, chunk: &SealedChunk) {
    let Some(directory) = state.directory().filter(|_| state.writes.is_open()) else {
        return state.counters.bypassed.add(1);
    };
    if state.index.contains(key) {
        return;
    }
    let weight = weight_of(chunk.len() as u64);
    let allowance = allowance(state, &directory, state.index.occupancy().bytes);
    evict(state, &directory, &state.index.resize(allowance));
    let Some(evicted) = state.index.make_room(weight) else {
        return state.counters.bypassed.add(1);
    };
    evict(state, &directory, &evicted);
    match write(&directory, key, chunk) {
        Ok(()) => {
            state.counters.fills.add(1);
            evict(state, &directory, &state.index.insert(*key, weight, ()));
        }
        Err(_) if directory.is_gone() => {
            state.counters.bypassed.add(1);
            detach(state);
        }
        Err(error) => {
            state.counters.bypassed.add(1);
            state.writes.failed();
            state.write_warnings.warn(&state.options.directory, "a chunk cannot be written", &error);
        }
    }
}

/// Writes a chunk; once more if a directory of ours was missing.
fn write(directory: &Directory, key: &Key, chunk: &SealedChunk) -> io::Result<()> {
    let file = chunk_file(key);
    match directory.write(&file, chunk.bytes()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !directory.is_gone() => {
            directory.mend()?;
            directory.write(&file, chunk.bytes())
        }
        written => written,
    }
}
