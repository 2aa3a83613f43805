//! One whole copy of each chunk, on one node of five: what a fleet without stripes does.
//!
//! As good a client as can be without stripes: connections are pooled, no question waits behind another, bytes are
//! verified. A node that does not answer in time is a failure.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use frazil_format::{ChunkId, SealedChunk};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// As long as the striped client waits.
const DEADLINE: Duration = Duration::from_millis(100);

type Connection = BufReader<TcpStream>;

pub(crate) struct Copies(Vec<(SocketAddr, Mutex<Vec<Connection>>)>);

impl Copies {
    pub(crate) fn new(nodes: Vec<SocketAddr>) -> Self {
        Self(nodes.into_iter().map(|node| (node, Mutex::default())).collect())
    }

    pub(crate) async fn set(&self, id: &ChunkId, value: &Bytes) -> anyhow::Result<()> {
        let mut connection = self.connection(id).await?;
        connection.write_all(format!("ms {id} {}\r\n", value.len()).as_bytes()).await?;
        connection.write_all(value).await?;
        connection.write_all(b"\r\n").await?;
        let mut line = String::new();
        connection.read_line(&mut line).await?;
        anyhow::ensure!(line == "HD\r\n", "memcached says {line}");
        self.give_back(id, connection)
    }

    pub(crate) async fn get(&self, id: &ChunkId) -> anyhow::Result<SealedChunk> {
        timeout(DEADLINE, async {
            let mut connection = self.connection(id).await?;
            connection.write_all(format!("mg {id} v\r\n").as_bytes()).await?;
            let mut line = String::new();
            connection.read_line(&mut line).await?;
            let len: usize = line.trim_end().strip_prefix("VA ").context("a miss")?.parse()?;
            let mut value = vec![0; len + 2];
            connection.read_exact(&mut value).await?;
            value.truncate(len);
            self.give_back(id, connection)?;
            Ok(SealedChunk::verify(id, value.into())?)
        })
        .await?
    }

    fn home(&self, id: &ChunkId) -> anyhow::Result<&(SocketAddr, Mutex<Vec<Connection>>)> {
        let [first, ..] = *id.as_bytes();
        self.0.get(usize::from(first) % self.0.len()).context("a fleet has nodes")
    }

    async fn connection(&self, id: &ChunkId) -> anyhow::Result<Connection> {
        let (address, pool) = self.home(id)?;
        let pooled = pool.lock().ok().and_then(|mut pool| pool.pop());
        match pooled {
            Some(connection) => Ok(connection),
            None => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(BufReader::with_capacity(16 << 10, stream))
            }
        }
    }

    fn give_back(&self, id: &ChunkId, connection: Connection) -> anyhow::Result<()> {
        if let Ok(mut pool) = self.home(id)?.1.lock() {
            pool.push(connection);
        }
        Ok(())
    }
}
