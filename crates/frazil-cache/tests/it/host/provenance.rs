//! Who had a chunk: what an answer says, through every tier and over the socket.

use std::sync::Arc;

use frazil_cache::conformance::{Fault, Sample};
use frazil_cache::{Disk, Level, Memory, Remote, Tier};

use super::stand::Stand;
use crate::below::{self as counted, Below};
use crate::remote::{listed, nodes, patient};
use crate::stages::{PATIENCE, below, chunks, options};

async fn levels(tier: &dyn Tier, samples: &[Sample]) -> Vec<Level> {
    let mut levels = Vec::new();
    for sample in samples {
        levels.push(tier.get(&sample.wanted).await.unwrap().by);
    }
    levels
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_learns_which_level_of_its_host_had_a_chunk() {
    let image = chunks(0..4, 20_000);
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk::new(below(&image), options(directory.path(), 1 << 30)));
    let stand = Stand::over(Arc::new(Memory::new(disk.clone(), 64 << 20)));
    assert_eq!(levels(&stand.agent(), &image).await, [Level::Origin; 4]);
    assert_eq!(levels(&stand.agent(), &image).await, [Level::Memory; 4]);
    assert!(disk.settle(PATIENCE).await);
    // Another memory, as after a restart, over the disk that stayed.
    let stand = Stand::over(Arc::new(Memory::new(disk, 64 << 20)));
    assert_eq!(levels(&stand.agent(), &image).await, [Level::Disk; 4]);
    assert_eq!(levels(&stand.agent(), &image).await, [Level::Memory; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_a_fetch_learns_where_it_ended() {
    let image = chunks(0..1, 20_000);
    let origin = below(&image);
    origin.order([Fault::Stuck]);
    let memory = Arc::new(Memory::new(origin.clone(), 64 << 20));
    let first = tokio::spawn({
        let (memory, wanted) = (Arc::clone(&memory), image[0].wanted);
        async move { memory.get(&wanted).await.unwrap().by }
    });
    super::stand::until(|| origin.fetches() == 1).await;
    let mut second = Box::pin(memory.get(&image[0].wanted));
    assert!(futures::poll!(&mut second).is_pending());
    origin.release();
    assert_eq!((first.await.unwrap(), second.await.unwrap().by), (Level::Origin, Level::Origin));
    assert_eq!(memory.get(&image[0].wanted).await.unwrap().by, Level::Memory);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_fleet_had_is_the_fleets() {
    let chunks = counted::chunks(3, 20_000);
    let fleet = nodes(5);
    let remote = Remote::start(Below::with(chunks.clone()), listed(&fleet), patient()).await;
    for expected in [Level::Origin, Level::Remote] {
        for (wanted, chunk) in &chunks {
            let served = remote.get(wanted).await.unwrap();
            assert!(served == *chunk && served.by == expected, "{:?}", served.by);
        }
        remote.settled().await;
    }
}
