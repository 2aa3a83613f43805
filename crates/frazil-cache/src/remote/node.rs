//! One memcached node: a few connections for reads, one for fills, so that no read waits behind an upload.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::connection::{Answer, Connection, Limits, Question, Verb};
use super::landing::Landing;
use super::placement::Seed;
use super::vitals::{InFlight, NodeCounts, Vitals};
use super::wire::Dialer;
use super::{NodeAddress, RemoteOptions};

/// A node of the fleet.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) address: NodeAddress,
    pub(super) seed: Seed,
    pub(super) vitals: Arc<Vitals>,
    reads: Vec<Connection>,
    fills: Connection,
    fill_deadline: std::time::Duration,
}

impl Node {
    /// A node that is connected to when it is first asked.
    pub(super) fn start(address: NodeAddress, options: &RemoteOptions) -> Self {
        let vitals = Arc::new(Vitals::default());
        let dialer = Dialer {
            address: address.clone(),
            timeout: options.deadline,
            #[cfg(feature = "tls")]
            tls: options.tls.clone(),
        };
        let connect = |deadline| {
            let limits = Limits { deadline, value_len: options.max_item_bytes };
            Connection::start(dialer.clone(), limits, Arc::clone(&vitals))
        };
        Self {
            seed: Seed::of(address.authority()),
            reads: (0..options.connections_per_node.max(1)).map(|_| connect(options.deadline)).collect(),
            fills: connect(options.fill_deadline),
            fill_deadline: options.fill_deadline,
            address,
            vitals,
        }
    }

    /// Asks for a value. The question is on its way when this returns; `None` is a failure.
    pub(super) fn get(
        &self,
        key: String,
        landing: Landing,
    ) -> impl Future<Output = Option<Answer>> + Send + use<> {
        let freest = self.reads.iter().max_by_key(|connection| connection.room());
        let asked = freest.and_then(|connection| self.ask(connection, key, Verb::Get(landing)));
        let vitals = Arc::clone(&self.vitals);
        async move {
            let answer = asked?.await.ok()?;
            match answer {
                Answer::Hit(_) => vitals.hits.fetch_add(1, Relaxed),
                Answer::Miss => vitals.misses.fetch_add(1, Relaxed),
                Answer::Stored | Answer::Refused => 0,
            };
            Some(answer)
        }
    }

    /// Asks the node to keep a value; says whether it does.
    pub(super) async fn set(&self, key: String, value: Bytes) -> bool {
        let asked = self.ask(&self.fills, key, Verb::Set(value));
        let stored = match asked {
            Some(answer) => tokio::time::timeout(self.fill_deadline, answer).await,
            None => Ok(Ok(Answer::Refused)),
        };
        let is_stored = matches!(stored, Ok(Ok(Answer::Stored)));
        let counter = if is_stored { &self.vitals.fills } else { &self.vitals.fill_drops };
        counter.fetch_add(1, Relaxed);
        is_stored
    }

    /// What the node did so far.
    pub(super) fn counts(&self) -> NodeCounts {
        self.vitals.counts(self.address.to_string())
    }

    fn ask(&self, connection: &Connection, key: String, verb: Verb) -> Option<oneshot::Receiver<Answer>> {
        let (reply, answer) = oneshot::channel();
        let in_flight = InFlight::of(&self.vitals);
        connection.ask(Question { key, verb, reply, in_flight }).then_some(answer)
    }
}
