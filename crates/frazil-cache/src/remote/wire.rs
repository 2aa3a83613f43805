//! A byte stream to a node, in the clear or under TLS.

use std::io;
use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::NodeAddress;
#[cfg(feature = "tls")]
use super::Tls;

/// How many bytes a node may send before any of them is read. The window that the kernel begins with is smaller than
/// a shard, and whoever reads the one that fits may not be heard of before the next question: until then, the rest of
/// the shard waits. The kernel gives less where `net.core.rmem_max` says so.
const RECEIVE_BUFFER_LEN: usize = 1 << 20;

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
        let stream = TcpStream::connect(self.address.authority()).await?;
        stream.set_nodelay(true)?;
        set_socket_recv_buffer_size(&stream, RECEIVE_BUFFER_LEN)?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return Ok(Box::new(tls.connect(self.address.server_name(), stream).await?));
        }
        Ok(Box::new(stream))
    }
}
