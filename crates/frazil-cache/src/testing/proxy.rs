//! A proxy that breaks connections on request: over TCP on the loopback, or before a Unix socket.
//!
//! It runs on a thread and a runtime of its own, so that it serves tests with and without a runtime and is not
//! slowed by what it tests. It ends, with every connection through it, when it is dropped.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::Fault;
use super::carrier::Carrier;
use super::pump::{Fate, pump_answers, pump_questions};

/// The most connections that are carried at once; others wait to be accepted.
const MAX_CONNECTIONS: usize = 1024;

/// A proxy in front of one upstream, with a switch for faults.
#[derive(Debug)]
pub struct FaultProxy {
    place: Place,
    faults: watch::Sender<Switch>,
    counters: Arc<Counters>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Where a proxy listens.
#[derive(Debug)]
enum Place {
    Loopback(SocketAddr),
    Socket(PathBuf),
}

/// What went through a proxy since it was started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProxyCounts {
    /// Connections that were accepted.
    pub connections: u64,
    /// Bytes that clients sent.
    pub question_bytes: u64,
    /// Bytes that clients were sent.
    pub answer_bytes: u64,
}

/// The switch for faults. The number of the setting tells a fault from the same fault set again.
#[derive(Clone, Debug)]
pub(super) struct Switch {
    pub(super) setting: u64,
    pub(super) fault: Fault,
}

#[derive(Default, Debug)]
pub(super) struct Counters {
    connections: AtomicU64,
    pub(super) question_bytes: AtomicU64,
    pub(super) answer_bytes: AtomicU64,
}

impl FaultProxy {
    /// Starts a proxy on a free port of the loopback, without a fault.
    ///
    /// # Errors
    /// When there is no port or no thread to be had.
    pub fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let place = Place::Loopback(listener.local_addr()?);
        Self::run(place, async move |door| {
            let listener = TcpListener::from_std(listener)?;
            door.carry_all(
                async || Ok(listener.accept().await?.0),
                async || TcpStream::connect(upstream).await,
            )
            .await
        })
    }

    /// Starts a proxy at a Unix socket, which must not be there yet, before the one at `upstream`.
    ///
    /// # Errors
    /// When the socket cannot be made or there is no thread to be had.
    pub fn start_at(socket: &Path, upstream: &Path) -> io::Result<Self> {
        let listener = std::os::unix::net::UnixListener::bind(socket)?;
        listener.set_nonblocking(true)?;
        let upstream = upstream.to_owned();
        Self::run(Place::Socket(socket.to_owned()), async move |door| {
            let listener = UnixListener::from_std(listener)?;
            door.carry_all(
                async || Ok(listener.accept().await?.0),
                async || UnixStream::connect(&upstream).await,
            )
            .await
        })
    }

    fn run<F>(place: Place, serve: impl FnOnce(Door) -> F + Send + 'static) -> io::Result<Self>
    where
        F: Future<Output = io::Result<()>>,
    {
        let (faults, told) = watch::channel(Switch { setting: 0, fault: Fault::Pass });
        let (stop, stopped) = oneshot::channel();
        let counters = Arc::new(Counters::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let door = Door { faults: told, counters: Arc::clone(&counters) };
        let thread = std::thread::Builder::new().name("fault-proxy".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    _ = serve(door) => {}
                }
            });
        })?;
        Ok(Self { place, faults, counters, stop: Some(stop), thread: Some(thread) })
    }

    /// Where clients connect to over TCP.
    ///
    /// # Panics
    /// If the proxy listens at a Unix socket.
    pub fn address(&self) -> SocketAddr {
        match &self.place {
            Place::Loopback(address) => *address,
            Place::Socket(path) => panic!("{} is no address", path.display()),
        }
    }

    /// Does this fault to every connection from now on, those that are open included.
    pub fn set(&self, fault: Fault) {
        self.faults.send_modify(|switch| *switch = Switch { setting: switch.setting + 1, fault });
    }

    /// What went through so far.
    pub fn counts(&self) -> ProxyCounts {
        ProxyCounts {
            connections: self.counters.connections.load(Relaxed),
            question_bytes: self.counters.question_bytes.load(Relaxed),
            answer_bytes: self.counters.answer_bytes.load(Relaxed),
        }
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Place::Socket(path) = &self.place {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Where connections come in, and what is done to them.
struct Door {
    faults: watch::Receiver<Switch>,
    counters: Arc<Counters>,
}

impl Door {
    /// Carries every connection that comes in, to one of its own.
    async fn carry_all<C: Carrier>(
        self,
        accept: impl AsyncFn() -> io::Result<C>,
        connect: impl AsyncFn() -> io::Result<C>,
    ) -> io::Result<()> {
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { return Ok(()) };
            let client = accept().await?;
            self.counters.connections.fetch_add(1, Relaxed);
            let upstream = connect().await;
            let (faults, counters) = (self.faults.clone(), Arc::clone(&self.counters));
            tokio::spawn(carry(client, upstream, faults, counters, place));
        }
    }
}

/// Carries one connection until it ends or a fault ends it.
async fn carry<C: Carrier>(
    client: C,
    upstream: io::Result<C>,
    mut faults: watch::Receiver<Switch>,
    counters: Arc<Counters>,
    _place: OwnedSemaphorePermit,
) -> io::Result<()> {
    let (mut questions, mut answers) = client.part()?;
    // An upstream that is down still lets the proxy answer in its name.
    let fate = match upstream {
        Ok(upstream) => {
            let (upstream_answers, upstream_questions) = upstream.part()?;
            tokio::select! {
                fate = pump_questions(&mut questions, upstream_questions, faults.clone(), &counters) => fate?,
                fate = pump_answers(upstream_answers, &mut answers, faults.clone(), &counters) => fate?,
            }
        }
        Err(_) if faults.borrow().fault.answers() => {
            questions.read_u8().await?;
            Fate::Answered
        }
        Err(error) => return Err(error),
    };
    match fate {
        Fate::Closed => {}
        Fate::Reset => C::reset(answers)?,
        Fate::Answered => super::pump::answer(&mut questions, &mut answers, &mut faults).await?,
    }
    Ok(())
}
