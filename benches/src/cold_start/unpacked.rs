//! The tree already on the local disk: what no one who has to fetch anything can beat.

use std::time::{Duration, Instant};

use super::contender::Start;
use super::process::{Account, Speaker};
use super::scene::Scene;
use crate::link::Traffic;

/// What the kernel has of the tree.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PageCache {
    Cold,
    Warm,
}

pub(super) fn start(scene: &Scene<'_>, cache: PageCache, limit: Duration) -> anyhow::Result<Start> {
    let tree = scene.unpacked()?;
    if cache == PageCache::Warm {
        let cell = scene.cell()?;
        Speaker::start(&mut scene.launch(&tree, cell.path())?)?.hear(scene.workload.line, limit)?;
    } else {
        scene.cold(&[])?;
    }
    let cell = scene.cell()?;
    let started = Instant::now();
    let speaker = Speaker::start(&mut scene.launch(&tree, cell.path())?)?;
    let line = speaker.hear(scene.workload.line, limit)? - started;
    Ok(Start { mounted: Duration::ZERO, line, traffic: Traffic::default(), agent: Account::default() })
}
