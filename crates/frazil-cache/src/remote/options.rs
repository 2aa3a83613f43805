//! What can be set about the remote tier, and what it is if nobody does.

use std::time::Duration;

#[cfg(feature = "tls")]
use super::Tls;

/// How the remote tier behaves. Every duration is of one chunk's question.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    /// How long the fleet has the question to itself; then the tier below is asked as well, and the first to
    /// answer wins. 5 ms: ten times what a healthy fleet needs for half of its chunks, and a tenth of an
    /// origin's answer.
    pub hedge: Duration,
    /// When a node is late: its answer is not waited for, its connection is closed. 100 ms.
    pub deadline: Duration,
    /// How long a node may take to keep a shard. 1 s.
    pub fill_deadline: Duration,
    /// Connections for reads to each node; one more is for fills. 2.
    pub connections_per_node: usize,
    /// The longest item that the nodes take, in bytes, without its key. Memcached's limit (`-I`, 1 MiB) is for
    /// the item with key and header: 1 MiB less 512 bytes. Chunks with longer shards pass the fleet by.
    pub max_item_bytes: usize,
    /// How many bytes of chunks may wait to be filled; further ones are not. 64 MiB.
    pub fill_queue_bytes: usize,
    /// How many chunks are filled at once. 4.
    pub fill_concurrency: usize,
    /// A node with more questions under way than this percentage of the fleet's mean is passed over for
    /// fills. 200.
    pub load_bound_percent: usize,
    /// Secures the connections; in the clear without.
    #[cfg(feature = "tls")]
    pub tls: Option<Tls>,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self {
            hedge: Duration::from_millis(5),
            deadline: Duration::from_millis(100),
            fill_deadline: Duration::from_secs(1),
            connections_per_node: 2,
            max_item_bytes: (1 << 20) - 512,
            fill_queue_bytes: 64 << 20,
            fill_concurrency: 4,
            load_bound_percent: 200,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}
