//! The allocator of a process that serves an image: what is let go of leaves the process.
//!
//! Invariant: what is freed is used again or leaves. Budgets count the bytes of chunks, and they bound the
//! memory of the process only if this holds. Left to itself, glibc takes every freed buffer for a sign that
//! more of that length follow, serves them from heaps of which each thread has its own, and keeps what is
//! free at the end of a heap for ever: an agent that had read an image kept up to twice its budgets, and
//! `malloc_trim` gave little of that back.

/// From this length on, in bytes, an allocation has pages of its own, which go when it does. Opened chunks are mostly
/// shorter: fresh pages cost a chunk half as long again as it takes to open. With a quarter of this an agent that has
/// read an image keeps 2 to 6 MiB less, and has almost twice the page faults. `frazil-bench tiers` shows the memory.
#[cfg(target_env = "gnu")]
const OWN_PAGES_FROM: libc::c_int = 1 << 20;

/// The heaps that shorter allocations come from: few are made for a chunk, so threads share them.
#[cfg(target_env = "gnu")]
const HEAPS_MAX: libc::c_int = 2;

/// Lets what is freed leave the process from now on. Before there are threads: each takes a heap as it starts.
#[cfg(target_env = "gnu")]
pub(crate) fn let_go_at_once() {
    for (option, value) in [(libc::M_MMAP_THRESHOLD, OWN_PAGES_FROM), (libc::M_ARENA_MAX, HEAPS_MAX)] {
        // SAFETY: it sets a number of the allocator's under the allocator's own lock.
        if unsafe { libc::mallopt(option, value) } == 0 {
            tracing::debug!(option, value, "the allocator does not take an option");
        }
    }
}

/// Returns what the allocator keeps of shorter allocations.
#[cfg(target_env = "gnu")]
pub(crate) fn give_back() {
    // SAFETY: it takes the allocator's own locks, and touches nothing that is in use.
    let given = unsafe { libc::malloc_trim(0) };
    tracing::debug!(given, "nobody reads: memory is given back");
}

/// Other allocators have their own ways.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn let_go_at_once() {}

/// Other allocators give it back by themselves.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn give_back() {}
