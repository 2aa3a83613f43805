//! Whether a host cache is there, asked without a runtime: before a process makes threads.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::host::protocol::{HELLO_LEN, Hello, Verdict};

/// How long a host cache may take to say hello; one that is busy starting up says it as soon as it can.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often one that is not there is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Whether a host cache serves this socket, and this user. One that has too much to do counts as serving.
pub fn is_served(path: &Path) -> bool {
    is_served_within(path, Duration::ZERO)
}

/// As [`is_served`], for a host cache that may be about to come back: while it is not there, it is looked for
/// until `patience` is over.
pub fn is_served_within(path: &Path, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        match hello(path) {
            Ok(hello) => {
                let verdict = Hello::decode(&hello);
                return matches!(verdict, Ok(Hello(Verdict::Welcome { .. } | Verdict::Busy { .. })));
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return false,
            Err(_) if Instant::now() >= deadline => return false,
            Err(_) => std::thread::sleep(LOOK_EVERY),
        }
    }
}

/// What whoever listens at this socket says first.
fn hello(path: &Path) -> io::Result<[u8; HELLO_LEN]> {
    let mut socket = UnixStream::connect(path)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut hello = [0; HELLO_LEN];
    socket.read_exact(&mut hello)?;
    Ok(hello)
}
