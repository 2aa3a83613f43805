//! Many agents, one fetch.

use std::sync::Arc;

use frazil_cache::Memory;
use frazil_cache::host::{Meter, Metered, ServerOptions};
use futures::future::join_all;

use super::stand::{NoCatalog, Stand};
use crate::stages::{below, chunks, read_all};

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_agents_of_one_image_fetch_each_chunk_once() {
    let image = chunks(0..64, 20_000);
    let origin = below(&image);
    let stand = Stand::over(Arc::new(Memory::new(origin.clone(), 64 << 20)));
    let agents = (0..100).map(|_| {
        let (agent, image) = (stand.agent(), image.clone());
        tokio::spawn(async move {
            read_all(&agent, &image).await;
            agent.counts()
        })
    });
    for counts in join_all(agents).await {
        let counts = counts.unwrap();
        assert_eq!((counts.connections, counts.corrupt), (1, 0));
    }
    assert_eq!(origin.fetches(), 64);
    let stats = stand.server().stats();
    assert_eq!((stats.connections.accepted, stats.requests.chunks), (100, 6400));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_memory_agents_that_ask_at_once_still_share_a_fetch() {
    let image = chunks(0..1, 20_000);
    let origin = below(&image);
    origin.order([frazil_cache::conformance::Fault::Stuck]);
    let stand = Stand::over(Arc::new(Memory::new(origin.clone(), 0)));
    let agents: Vec<_> = (0..20)
        .map(|_| {
            let (agent, image) = (stand.agent(), image.clone());
            tokio::spawn(async move { read_all(&agent, &image).await })
        })
        .collect();
    super::stand::until(|| stand.server().stats().requests.in_flight == 20).await;
    origin.release();
    for agent in agents {
        agent.await.unwrap();
    }
    assert_eq!(origin.fetches(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_image_finds_the_base_of_the_first() {
    let (base, first, second) = (chunks(0..20, 50_000), chunks(100..105, 50_000), chunks(200..207, 50_000));
    let all = [&base[..], &first, &second].concat();
    let origin = below(&all);
    let (above, under) = (Arc::<Meter>::default(), Arc::<Meter>::default());
    let memory = Arc::new(Memory::new(Arc::new(Metered::new(origin.clone(), under.clone())), 64 << 20));
    let options = ServerOptions {
        meters: vec![("memory".into(), above.clone()), ("origin".into(), under)],
        ..ServerOptions::default()
    };
    let stand = Stand::new(Arc::new(Metered::new(memory, above)), Arc::new(NoCatalog), options);
    read_all(&stand.agent(), &[&base[..], &first].concat()).await;
    assert_eq!(origin.fetches(), 25);
    let agent = stand.agent();
    read_all(&agent, &[&base[..], &second].concat()).await;
    assert_eq!(origin.fetches(), 25 + 7, "the base is fetched no second time");
    // What the memory tier was asked and did not ask below are its hits; over the socket they read the same.
    let stats = agent.stats().await.unwrap();
    let asked: Vec<_> = stats.tiers.iter().map(|(name, counts)| (name.as_str(), counts.answers)).collect();
    assert_eq!(asked, [("memory", 52), ("origin", 32)]);
    assert!(stats.stack.starts_with("memory(64 MiB)"), "{}", stats.stack);
}
