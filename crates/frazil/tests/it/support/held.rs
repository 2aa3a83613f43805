//! A web server that publishes a store and holds back what its manifests have behind their front, until it is told.
//!
//! It is a thread of the test, which ends with its process; what is held back when it is dropped is let go.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::{fs, thread};

/// What comes of a manifest at once, in bytes: the front that a mount waits for, and a little.
pub(crate) const FRONT: usize = 300 << 10;

/// A running server.
pub(crate) struct Held {
    address: SocketAddr,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Held {
    /// Publishes a directory.
    pub(crate) fn publish(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, gate) = (listener.local_addr().unwrap(), Arc::<Gate>::default());
        let (root, at) = (root.to_owned(), Arc::clone(&gate));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (root, gate) = (root.clone(), Arc::clone(&at));
                // Whoever goes away in the middle is nobody's error.
                thread::spawn(move || drop(serve(stream, &root, &gate)));
            }
        });
        Self { address, gate }
    }

    /// Where the store is published.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets everything through.
    pub(crate) fn release(&self) {
        *self.gate.is_open.lock().unwrap() = true;
        self.gate.opened.notify_all();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release();
    }
}

impl Gate {
    fn pass(&self) {
        let is_open = self.is_open.lock().unwrap();
        drop(self.opened.wait_while(is_open, |is_open| !*is_open).unwrap());
    }
}

/// One request, and its answer.
fn serve(mut stream: TcpStream, root: &Path, gate: &Gate) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let path: PathBuf = request.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').into();
    let Ok(mut file) = fs::File::open(root.join(&path)) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", bytes.len())?;
    if request.starts_with("HEAD") {
        return Ok(());
    }
    let is_manifest = path.components().any(|part| part.as_os_str() == "manifests");
    let (front, rest) = bytes.split_at(if is_manifest { FRONT.min(bytes.len()) } else { bytes.len() });
    stream.write_all(front)?;
    if !rest.is_empty() {
        stream.flush()?;
        gate.pass();
        stream.write_all(rest)?;
    }
    Ok(())
}
