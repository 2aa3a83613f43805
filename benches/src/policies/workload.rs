//! Requests for chunks: real cold starts, and the scans of cron jobs.
//!
//! An image is a base that many images share and a part of its own. The share of its own follows the published
//! upload stream (80 % of uploads bring nothing new to their application's image; the others a median of 2.5 %),
//! and a start touches 6.4 % of the base (Slacker) and all of its own part.

use std::collections::HashMap;

use anyhow::Context;

/// Idle minutes after which a sandbox is gone (README of the trace).
const KEEP_ALIVE_MINUTES: usize = 10;
/// How many base images there are; the popular ones are shared by most functions.
const BASES: u64 = 24;
/// What a start touches of its base, in thousandths.
const TOUCHED_PER_MILLE: u64 = 64;
/// Share of unique chunks by quantile of the uploads that bring any, in percent and per mille.
const UNIQUE: [(u64, u64); 8] =
    [(25, 24), (50, 25), (75, 29), (85, 31), (90, 68), (95, 124), (98, 226), (100, 320)];

/// One chunk that is read.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    /// Which one.
    pub(crate) chunk: u64,
    /// Its sealed length in bytes.
    pub(crate) bytes: u64,
    /// The day, from 0.
    pub(crate) day: u32,
    /// Whether a cron job reads it, not a cold start.
    pub(crate) scan: bool,
}

/// The chunks that one start of an image reads, in order.
struct Image {
    chunks: Vec<u64>,
}

/// A trace to replay.
pub(crate) struct Workload {
    functions: Vec<Image>,
    scanned: Vec<Image>,
    /// The functions that start, minute by minute.
    starts: Vec<usize>,
    days: u32,
    /// All bytes that are ever read, each chunk once.
    pub(crate) bytes: u64,
    /// How many chunks these are.
    pub(crate) chunks: u64,
}

impl Workload {
    /// The workload of a trace: its day repeated, and as many scanned images each night.
    pub(crate) fn new(invocations: &str, days: u32, scanned_images: u32, seed: u64) -> anyhow::Result<Self> {
        let functions = functions(invocations)?;
        let starts = starts(&functions);
        let mut random = Random(seed);
        let mut makers = ImageMaker::new(&mut random);
        let images =
            functions.iter().map(|function| makers.image(Some(function.app.clone()), &mut random)).collect();
        let scanned = (0..scanned_images).map(|_| makers.image(None, &mut random)).collect();
        let mut workload = Self { functions: images, scanned, starts, days, bytes: 0, chunks: 0 };
        let mut unique: Vec<u64> = workload.images().flat_map(|image| image.chunks.iter().copied()).collect();
        unique.sort_unstable();
        unique.dedup();
        workload.bytes = unique.iter().copied().map(bytes_of).sum();
        workload.chunks = unique.len() as u64;
        Ok(workload)
    }

    fn images(&self) -> impl Iterator<Item = &Image> {
        self.functions.iter().chain(&self.scanned)
    }

    /// What is replayed, in a sentence.
    pub(crate) fn summary(&self) -> String {
        format!(
            "{} functions, {} cold starts a day, {} scanned images a night, {} days; {} chunks of {:.1} GiB, {} requests.",
            self.functions.len(),
            self.starts.len(),
            self.scanned.len(),
            self.days,
            self.chunks,
            self.bytes as f64 / (1u64 << 30) as f64,
            self.requests().count(),
        )
    }

    /// All requests: each day its cold starts, each night the scan.
    pub(crate) fn requests(&self) -> impl Iterator<Item = Request> + '_ {
        (0..self.days).flat_map(move |day| {
            let starts =
                self.starts.iter().filter_map(|&at| self.functions.get(at)).map(|image| (image, false));
            let scans = self.scanned.iter().map(|image| (image, true));
            starts.chain(scans).flat_map(move |(image, scan)| {
                image.chunks.iter().map(move |&chunk| Request { chunk, bytes: bytes_of(chunk), day, scan })
            })
        })
    }
}

struct Function {
    app: String,
    counts: Vec<u32>,
}

fn functions(invocations: &str) -> anyhow::Result<Vec<Function>> {
    invocations
        .lines()
        .skip(1)
        .map(|line| {
            let mut fields = line.split(',');
            let app = fields.nth(1).context("a line has an application")?.to_owned();
            let counts = fields.skip(2).map(|count| count.trim().parse().unwrap_or(0)).collect();
            Ok(Function { app, counts })
        })
        .collect()
}

/// Who starts cold, in the order of time.
fn starts(functions: &[Function]) -> Vec<usize> {
    let mut starts = Vec::new();
    for (index, function) in functions.iter().enumerate() {
        let mut last = None;
        for (minute, _) in function.counts.iter().enumerate().filter(|&(_, &count)| count > 0) {
            if last.is_none_or(|last| minute - last > KEEP_ALIVE_MINUTES) {
                starts.push((minute, index));
            }
            last = Some(minute);
        }
    }
    starts.sort_unstable();
    starts.into_iter().map(|(_, index)| index).collect()
}

/// Hands out chunks to images.
struct ImageMaker {
    next_chunk: u64,
    bases: Vec<Vec<u64>>,
    apps: HashMap<String, (u64, Vec<u64>)>,
}

impl ImageMaker {
    fn new(random: &mut Random) -> Self {
        let mut maker = Self { next_chunk: 0, bases: Vec::new(), apps: HashMap::new() };
        // 64 MiB to 2 GiB of base in chunks of 512 KiB, small ones as frequent as large ones.
        maker.bases = (0..BASES)
            .map(|_| maker.fresh((128u64 << random.below(5)) * TOUCHED_PER_MILLE / 1000 * 2))
            .collect();
        maker
    }

    fn fresh(&mut self, count: u64) -> Vec<u64> {
        let first = self.next_chunk;
        self.next_chunk += count.max(1);
        (first..self.next_chunk).collect()
    }

    /// An image of this application, or one that has nothing but a base in common with others.
    fn image(&mut self, app: Option<String>, random: &mut Random) -> Image {
        // The square makes low numbers popular: half of all images use six of the bases.
        let known = app.as_ref().and_then(|app| self.apps.get(app)).cloned();
        let (base, shared) = known.unwrap_or_else(|| {
            let base = random.below(BASES) * random.below(BASES) / BASES;
            let dependencies = self.own_part(base, 4, random);
            (base, dependencies)
        });
        if let Some(app) = app {
            self.apps.insert(app, (base, shared.clone()));
        }
        let mut chunks = self.bases.get(base as usize).cloned().unwrap_or_default();
        chunks.extend(shared);
        if random.below(100) >= 80 {
            chunks.extend(self.own_part(base, 1, random));
        }
        Image { chunks }
    }

    /// Fresh chunks: a published share of the whole base image, times `weight`.
    fn own_part(&mut self, base: u64, weight: u64, random: &mut Random) -> Vec<u64> {
        let touched = self.bases.get(base as usize).map_or(0, Vec::len) as u64;
        let whole = touched * 1000 / TOUCHED_PER_MILLE / 2;
        let quantile = random.below(100);
        let per_mille = UNIQUE.iter().find(|(upto, _)| quantile < *upto).map_or(25, |&(_, share)| share);
        self.fresh(whole * per_mille * weight / 1000)
    }
}

/// The sealed length of a chunk: 512 KiB, compressed 1.4 to 7 times; always the same for the same chunk.
fn bytes_of(chunk: u64) -> u64 {
    (72 << 10) + Random(chunk ^ 0x5eed).below(300 << 10)
}

/// SplitMix64: small, seeded, good enough to draw sizes.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}
