//! A link between this machine and itself, with a round trip and a bandwidth: what netem would do, where the kernel
//! has none.
//!
//! TCP connections to an address of the loopback are relayed to a server behind the link. Opening a connection costs
//! a round trip, every byte half of one, and all connections share the bandwidth of each direction in turns of one
//! piece. Bytes, connections and exchanges are counted. What is not modelled: loss, jitter, TLS and slow start, so
//! that whoever opens one connection or a hundred finds the whole bandwidth at once. The servers behind it may be made
//! to be in trouble: [`trouble`] says in which.

mod bandwidth;
mod relay;
mod spec;
pub(crate) mod standalone;
mod traffic;
mod trouble;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;

use bandwidth::Bandwidth;
use traffic::Meter;
use trouble::{Fate, Troubled};

pub(crate) use spec::LinkSpec;
pub(crate) use traffic::Traffic;
pub(crate) use trouble::Trouble;

/// A link, open for as long as this value lives.
pub(crate) struct Link {
    shape: Arc<Shape>,
    doors: Vec<Door>,
}

/// What all connections share.
struct Shape {
    spec: LinkSpec,
    up: Bandwidth,
    down: Bandwidth,
    meter: Meter,
    trouble: Mutex<Option<Arc<Troubled>>>,
    closed: AtomicBool,
}

impl Shape {
    /// What becomes of the exchange that this question begins.
    fn fate(&self, question: &[u8]) -> Fate {
        let troubled = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        troubled.map_or(Fate::Pass, |troubled| troubled.fate(question))
    }
}

/// An address on this side of the link.
struct Door {
    address: SocketAddr,
    doorman: Option<std::thread::JoinHandle<()>>,
}

impl Link {
    /// A link that leads nowhere yet.
    pub(crate) fn new(spec: LinkSpec) -> Self {
        let bandwidth = || Bandwidth::new(spec.bits_per_second);
        let shape = Shape {
            spec,
            up: bandwidth(),
            down: bandwidth(),
            meter: Meter::default(),
            trouble: Mutex::default(),
            closed: AtomicBool::new(false),
        };
        Self { shape: Arc::new(shape), doors: Vec::new() }
    }

    /// Opens an address of the loopback through which `server` is reached over the link.
    pub(crate) fn open(&mut self, server: SocketAddr) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen on the loopback")?;
        let address = listener.local_addr()?;
        let shape = Arc::clone(&self.shape);
        let doorman = std::thread::Builder::new().spawn(move || admit(&listener, server, &shape))?;
        self.doors.push(Door { address, doorman: Some(doorman) });
        Ok(address)
    }

    /// From now on the servers are in this trouble, or in none; the seed says whom chance meets.
    pub(crate) fn suffer(&self, trouble: Option<Trouble>, seed: u64) {
        let width = match trouble {
            Some(Trouble::Narrow(bits_per_second)) => bits_per_second,
            _ => self.shape.spec.bits_per_second,
        };
        self.shape.up.change(width);
        self.shape.down.change(width);
        let troubled = trouble.map(|trouble| Arc::new(Troubled::new(trouble, seed)));
        *self.shape.trouble.lock().unwrap_or_else(PoisonError::into_inner) = troubled;
    }

    /// What has crossed the link so far.
    pub(crate) fn traffic(&self) -> Traffic {
        self.shape.meter.read()
    }
}

/// Relays whoever comes, each connection in threads of its own.
fn admit(listener: &TcpListener, server: SocketAddr, shape: &Arc<Shape>) {
    for client in listener.incoming() {
        if shape.closed.load(Ordering::Acquire) {
            return;
        }
        let relayed = client.and_then(|client| relay::start(client, server, shape));
        if let Err(error) = relayed {
            eprintln!("the link drops a connection: {error}");
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shape.closed.store(true, Ordering::Release);
        for door in &mut self.doors {
            // The doorman waits for somebody to come.
            let _ = TcpStream::connect(door.address);
            if let Some(doorman) = door.doorman.take() {
                let _ = doorman.join();
            }
        }
    }
}
