//! Whether a host cache is there, asked without a runtime: before a process makes threads.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::host::protocol::{HELLO_LEN, Hello, Verdict};

/// How long a host cache may take to say hello; one that is busy starting up says it as soon as it can.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether a host cache serves this socket, and this user. One that has too much to do does.
pub fn is_served(path: &Path) -> bool {
    let verdict = hello(path).ok().and_then(|hello| Hello::decode(&hello).ok());
    matches!(verdict, Some(Hello(Verdict::Welcome { .. } | Verdict::Busy { .. })))
}

/// What whoever listens at this socket says first.
fn hello(path: &Path) -> io::Result<[u8; HELLO_LEN]> {
    let mut socket = UnixStream::connect(path)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut hello = [0; HELLO_LEN];
    socket.read_exact(&mut hello)?;
    Ok(hello)
}
