//! A TCP proxy on the loopback that breaks connections on request.
//!
//! It runs on a thread and a runtime of its own, so that it serves tests with and without a runtime and is not
//! slowed by what it tests. It ends, with every connection through it, when it is dropped.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};

use super::Fault;
use super::pump::{Fate, pump_answers, pump_questions};

/// The most connections that are carried at once; others wait to be accepted.
const MAX_CONNECTIONS: usize = 1024;

/// A proxy in front of one upstream, with a switch for faults.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    faults: watch::Sender<Switch>,
    counters: Arc<Counters>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
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

/// The switch for faults. The number of the setting tells one fault from the same, set again.
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
        let address = listener.local_addr()?;
        let (faults, told) = watch::channel(Switch { setting: 0, fault: Fault::Pass });
        let (stop, stopped) = oneshot::channel();
        let counters = Arc::new(Counters::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let counted = Arc::clone(&counters);
        let thread = std::thread::Builder::new().name("fault-proxy".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    _ = accept(listener, upstream, told, counted) => {}
                }
            });
        })?;
        Ok(Self { address, faults, counters, stop: Some(stop), thread: Some(thread) })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does this to every connection from now on, those that are open included.
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
    }
}

async fn accept(
    listener: std::net::TcpListener,
    upstream: SocketAddr,
    faults: watch::Receiver<Switch>,
    counters: Arc<Counters>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return Ok(()) };
        let (client, _) = listener.accept().await?;
        counters.connections.fetch_add(1, Relaxed);
        let (faults, counters) = (faults.clone(), Arc::clone(&counters));
        tokio::spawn(async move {
            // A broken connection is what this is about.
            let _ = carry(client, upstream, faults, &counters).await;
            drop(place);
        });
    }
}

/// Carries one connection until it ends or a fault ends it.
async fn carry(
    client: TcpStream,
    upstream: SocketAddr,
    faults: watch::Receiver<Switch>,
    counters: &Counters,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let upstream = TcpStream::connect(upstream).await;
    // An upstream that is down still lets the proxy answer in its name.
    let upstream = match upstream {
        Ok(stream) => stream,
        Err(_) if matches!(faults.borrow().fault, Fault::Answer { .. }) => {
            return super::pump::answer_alone(client, &faults).await;
        }
        Err(error) => return Err(error),
    };
    upstream.set_nodelay(true)?;
    let (mut questions, mut answers) = client.into_split();
    let (upstream_answers, upstream_questions) = upstream.into_split();
    let fate = tokio::select! {
        fate = pump_questions(&mut questions, upstream_questions, faults.clone(), counters) => fate?,
        fate = pump_answers(upstream_answers, &mut answers, faults.clone(), counters) => fate?,
    };
    match fate {
        Fate::Closed => {}
        Fate::Reset => {
            answers.as_ref().set_zero_linger()?;
            // Or dropping this half would say goodbye before the reset.
            answers.forget();
        }
        Fate::Answered => super::pump::answer(&mut questions, &mut answers, &faults).await?,
    }
    Ok(())
}
