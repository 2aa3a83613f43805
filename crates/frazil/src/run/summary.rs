//! What a run cost, for people on stderr and for scripts in a file.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use frazil_mount::profile::Profiling;
use frazil_mount::{Counters, Image, Source};
use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::output::{bytes, duration, note, percent};

/// The figures of one run. Field names are stable.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Summary {
    /// The image's name.
    pub(crate) image: String,
    /// `tree` or `erofs`.
    pub(crate) face: String,
    /// What the command ended with.
    pub(crate) exit_code: i32,
    /// From the start of the process to a readable tree, in milliseconds; conversion included.
    pub(crate) mounted_ms: f64,
    /// From the start of the process to the command's end, in milliseconds.
    pub(crate) exited_ms: f64,
    /// Sealed chunks asked of the store.
    pub(crate) requests: u64,
    /// Bytes of sealed chunks that were fetched.
    pub(crate) fetched_bytes: u64,
    /// Bytes of all sealed chunks of the image.
    pub(crate) image_sealed_bytes: u64,
    /// Different chunks that were needed.
    pub(crate) chunks_touched: u64,
    /// Chunks of the image.
    pub(crate) chunks_total: u64,
    /// Chunks that could not be had.
    pub(crate) errors: u64,
    /// What a profile caused to be fetched ahead; none if nothing was recorded or played.
    pub(crate) profile: Option<ProfileSummary>,
}

/// What a profile was good for.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct ProfileSummary {
    /// Chunks that came ahead of their readers, or while these waited.
    pub(crate) prefetched_chunks: u64,
    /// Their sealed bytes.
    pub(crate) prefetched_bytes: u64,
    /// Of those, the chunks that were read.
    pub(crate) used_chunks: u64,
    /// Their sealed bytes.
    pub(crate) used_bytes: u64,
    /// Sealed bytes that nobody read.
    pub(crate) unused_bytes: u64,
    /// Requests for parts of a bundle.
    pub(crate) bundle_requests: u64,
    /// Bytes of the bundle that were fetched.
    pub(crate) bundle_bytes: u64,
}

/// When things happened, since the start of the process.
#[derive(Serialize, Deserialize, Clone, Copy, Debug)]
pub(crate) struct Times {
    /// The tree was readable.
    pub(crate) mounted: Duration,
    /// The command had ended.
    pub(crate) exited: Duration,
}

impl Summary {
    /// The figures of a run that ended.
    pub(crate) fn new(
        image: &str,
        face: String,
        exit: Exit,
        times: Times,
        sealed_bytes: u64,
        counters: &Counters,
    ) -> Self {
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
        Self {
            image: image.to_owned(),
            face,
            exit_code: exit.code(),
            mounted_ms: milliseconds(times.mounted),
            exited_ms: milliseconds(times.exited),
            requests: counters.requests,
            fetched_bytes: counters.sealed_bytes,
            image_sealed_bytes: sealed_bytes,
            chunks_touched: counters.chunks_touched,
            chunks_total: counters.chunks_total,
            errors: counters.errors,
            profile: None,
        }
    }

    /// Adds what a profile caused to be fetched ahead.
    pub(crate) fn with_profile(mut self, profiling: Option<&Profiling>, image: &Image) -> Self {
        let Some(counts) = profiling.map(Profiling::counts) else { return self };
        let ahead = image.prefetch_counts(Source::Profile);
        // Chunks out of a bundle were asked of this process, and not of the store.
        self.requests = self.requests.saturating_sub(counts.handed_chunks) + counts.bundle_requests;
        self.fetched_bytes = self.fetched_bytes.saturating_sub(counts.handed_bytes) + counts.bundle_bytes;
        self.profile = Some(ProfileSummary {
            prefetched_chunks: ahead.fetched_chunks + counts.handed_chunks,
            prefetched_bytes: ahead.fetched_bytes + counts.handed_bytes,
            used_chunks: ahead.used_chunks + counts.handed_chunks,
            used_bytes: ahead.used_bytes + counts.handed_bytes,
            unused_bytes: ahead.unused_bytes(),
            bundle_requests: counts.bundle_requests,
            bundle_bytes: counts.bundle_bytes,
        });
        self
    }

    /// Says it to the person who watches.
    pub(crate) fn tell(&self, times: Times) {
        let Self { image, face, requests, fetched_bytes, image_sealed_bytes, .. } = self;
        note(format!("-- {image} through {face}: exit {}", self.exit_code));
        note(format!("   mounted after  {}", duration(times.mounted)));
        note(format!("   exited after   {}", duration(times.exited)));
        let share = percent(*fetched_bytes, *image_sealed_bytes);
        let (fetched, whole) = (bytes(*fetched_bytes), bytes(*image_sealed_bytes));
        note(format!("   fetched        {fetched} of {whole} ({share}) in {requests} requests"));
        note(format!("   touched        {} of {} chunks", self.chunks_touched, self.chunks_total));
        if let Some(profile) = self.profile.as_ref().filter(|profile| profile.prefetched_chunks > 0) {
            let used = percent(profile.used_bytes, profile.prefetched_bytes);
            let ahead = bytes(profile.prefetched_bytes);
            note(format!("   profile        {ahead} fetched ahead, {used} of it used"));
        }
        if self.errors > 0 {
            note(format!("   failed         {} chunks could not be had", self.errors));
        }
    }

    /// Writes it as JSON.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }
}
