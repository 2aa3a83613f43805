//! Whether a host cache is there, asked without a runtime: before a process makes threads.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::host::HostError;
use crate::host::protocol::{HELLO_LEN, Hello, Verdict};

/// How long a host cache may take to say hello; one that is busy starting up says it as soon as it can.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether a host cache serves this socket, and this user. One that has too much to do does.
pub fn is_served(path: &Path) -> bool {
    knock(path).is_ok()
}

/// The same, with the reason.
///
/// # Errors
/// [`HostError::Socket`] if nobody answers there, [`HostError::Protocol`] if somebody else does or a host cache of
/// another age, [`HostError::PeerRefused`] if it does not serve this user.
pub fn knock(path: &Path) -> Result<(), HostError> {
    let hello = || {
        let mut socket = UnixStream::connect(path)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut hello = [0; HELLO_LEN];
        socket.read_exact(&mut hello)?;
        Ok::<_, std::io::Error>(hello)
    };
    let path = path.to_owned();
    let hello = match hello() {
        Ok(hello) => hello,
        Err(source) => {
            return Err(HostError::Socket { action: "connect to", path, source: Arc::new(source) });
        }
    };
    match Hello::decode(&hello) {
        Ok(Hello(Verdict::Welcome { .. } | Verdict::Busy { .. })) => Ok(()),
        Ok(Hello(Verdict::Refused)) => Err(HostError::PeerRefused { path }),
        Err(source) => Err(HostError::Protocol { path, source }),
    }
}
