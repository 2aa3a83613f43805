//! A prefetch of an agent is a prefetch at the origin's queue, until somebody waits for it.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use frazil_cache::conformance::Sample;
use frazil_cache::resilience::stack::{self, OriginOptions};
use frazil_cache::resilience::{Priority, Urgency};
use frazil_cache::{Disk, Memory, Served, Tier, TierError, Wanted};
use tokio::sync::Semaphore;

use super::stand::{Stand, until};
use crate::stages::{chunks, options};

/// An origin that answers when it is let, and notes in which order it is asked.
#[derive(Debug)]
struct Gate {
    samples: Vec<Sample>,
    order: Mutex<Vec<Wanted>>,
    open: Semaphore,
}

#[async_trait]
impl Tier for Gate {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        self.order.lock().unwrap().push(*wanted);
        self.open.acquire().await.unwrap().forget();
        let sample = self.samples.iter().find(|sample| sample.wanted == *wanted).unwrap();
        Ok(Served::by_origin(sample.chunk.clone()))
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("gate")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefetch_of_an_agent_waits_behind_readers_at_the_origin_until_a_reader_joins_it() {
    let image = chunks(0..6, 1000);
    let gate = Arc::new(Gate { samples: image.clone(), order: Mutex::default(), open: Semaphore::new(0) });
    let origin = stack::over(gate.clone(), &OriginOptions::with_concurrency(1));
    let directory = tempfile::tempdir().unwrap();
    // Two tiers whose fetches are tasks of their own: the urgency goes through both.
    let disk = Disk::new(origin.clone(), options(directory.path(), 1 << 30));
    let stand = Stand::over(Arc::new(Memory::new(Arc::new(disk), 64 << 20)));
    // An agent whose own flights let a reader join a prefetch.
    let agent = Arc::new(Memory::new(Arc::new(stand.agent()), 64 << 20));
    let ask = |number: usize, priority: Priority| {
        let (agent, wanted) = (Arc::clone(&agent), image[number].wanted);
        tokio::spawn(Urgency::new(priority).scope(async move { agent.get(&wanted).await.unwrap() }))
    };
    let waiting = || origin.counts().slots.waiting;
    let mut asked = vec![ask(0, Priority::Demand)];
    until(|| gate.order.lock().unwrap().len() == 1).await;
    for number in 1..5 {
        asked.push(ask(number, Priority::Prefetch));
        until(|| waiting() == number).await;
    }
    asked.push(ask(5, Priority::Demand));
    until(|| waiting() == 5).await;
    asked.push(ask(4, Priority::Demand));
    until(|| stand.server().stats().requests.hurried == 1).await;
    gate.open.add_permits(6);
    for served in asked {
        served.await.unwrap();
    }
    let place = |wanted: &Wanted| image.iter().position(|sample| sample.wanted == *wanted).unwrap();
    let order: Vec<usize> = gate.order.lock().unwrap().iter().map(place).collect();
    assert_eq!(order, [0, 4, 5, 1, 2, 3], "the one that is joined came before the other reader");
}
