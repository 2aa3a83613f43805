//! What a proxied connection is made of: TCP, or a Unix socket.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, tcp, unix};

/// A byte stream whose two directions live and die apart.
pub(super) trait Carrier: Send + 'static {
    /// The direction that is read.
    type Reading: AsyncRead + Unpin + Send;
    /// The direction that is written.
    type Writing: AsyncWrite + Unpin + Send;

    /// Both directions.
    fn part(self) -> io::Result<(Self::Reading, Self::Writing)>;

    /// Ends the connection as what breaks does, and not in order.
    fn reset(writing: Self::Writing) -> io::Result<()>;
}

impl Carrier for TcpStream {
    type Reading = tcp::OwnedReadHalf;
    type Writing = tcp::OwnedWriteHalf;

    fn part(self) -> io::Result<(Self::Reading, Self::Writing)> {
        self.set_nodelay(true)?;
        Ok(self.into_split())
    }

    fn reset(writing: Self::Writing) -> io::Result<()> {
        writing.as_ref().set_zero_linger()?;
        // Or dropping this half would say goodbye before the reset.
        writing.forget();
        Ok(())
    }
}

impl Carrier for UnixStream {
    type Reading = unix::OwnedReadHalf;
    type Writing = unix::OwnedWriteHalf;

    fn part(self) -> io::Result<(Self::Reading, Self::Writing)> {
        Ok(self.into_split())
    }

    fn reset(writing: Self::Writing) -> io::Result<()> {
        // A Unix socket knows no reset but what was not read.
        writing.forget();
        Ok(())
    }
}
