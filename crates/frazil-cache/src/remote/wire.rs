//! A byte stream to a node, in the clear or under TLS.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

use super::NodeAddress;
#[cfg(feature = "tls")]
use super::Tls;

/// How many bytes a node may send before any of them is read. The window that the kernel begins with is
/// smaller than a shard, and the node may hear only with the next question that what fits was read: until
/// then, the rest of the shard waits. The kernel gives no more than `net.core.rmem_max`, twice 208 KiB where
/// nobody changed it, and does not tune the buffer any more: half of that is still two shards of a chunk of
/// 512 KiB, and 400 MB/s at a round trip of 0.5 ms.
const RECEIVE_BUFFER_LEN: u32 = 1 << 20;

/// Bytes both ways.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// How to reach one node.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    pub(super) address: NodeAddress,
    pub(super) timeout: Duration,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Tls>,
}

impl Dialer {
    /// Connects, within the timeout, the TLS handshake included.
    pub(super) async fn dial(&self) -> io::Result<Box<dyn Wire>> {
        timeout(self.timeout, self.connect()).await?
    }

    async fn connect(&self) -> io::Result<Box<dyn Wire>> {
        // Names are resolved again at every connection: a node may have moved.
        let stream = connected(self.address.authority()).await?;
        stream.set_nodelay(true)?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return Ok(Box::new(tls.connect(self.address.server_name(), stream).await?));
        }
        Ok(Box::new(stream))
    }
}

/// A connection to the first address of the name that takes one. The buffer's size must be known before: the window
/// scale is agreed on with the first packet.
async fn connected(authority: &str) -> io::Result<TcpStream> {
    let mut outcome = Err(io::ErrorKind::AddrNotAvailable.into());
    for address in lookup_host(authority).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_recv_buffer_size(RECEIVE_BUFFER_LEN)?;
        outcome = socket.connect(address).await;
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}
