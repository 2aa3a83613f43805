//! One connection over a link: two directions, each a thread that takes the bandwidth and one that keeps the way's
//! time.
//!
//! Where a question begins, its fate is decided, which both directions of the connection carry out.
//!
//! A direction reads no further piece before the last one has left, so that a connection never holds more than one
//! turn of the shared bandwidth, and a receiver that does not read holds its sender back.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::Shape;
use super::bandwidth::Bandwidth;
use super::trouble::Fate;

/// The largest piece, in bytes: one turn of the shared bandwidth, half a millisecond at 1 Gbit/s.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces on their way at once: 6 MiB and more, what TCP's own windows grow to.
const PIECES_UNDER_WAY: usize = 96;
/// Threads hold no more than a piece and a few frames.
const STACK_BYTES: usize = 256 << 10;

/// Bytes and when they arrive.
struct Piece {
    bytes: Vec<u8>,
    arrives: Instant,
}

/// What a server says that cannot answer.
const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

/// What both directions of a connection know.
struct Connection {
    shape: Arc<Shape>,
    opened: Instant,
    /// The client's next word starts an exchange.
    is_clients_turn: AtomicBool,
    /// Bytes of the answer that may still pass.
    may_pass: AtomicU64,
}

/// Relays a connection until both ends have closed it.
pub(super) fn start(client: TcpStream, server: SocketAddr, shape: &Arc<Shape>) -> io::Result<()> {
    let opened = Instant::now() + shape.spec.round_trip;
    shape.meter.connections.fetch_add(1, Ordering::Relaxed);
    let server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let connection = Arc::new(Connection {
        shape: Arc::clone(shape),
        opened,
        is_clients_turn: AtomicBool::new(true),
        may_pass: AtomicU64::new(u64::MAX),
    });
    let (questions, answers) = (Arc::clone(&connection), connection);
    let (asks, answered) = (client.try_clone()?, server.try_clone()?);
    direction(server, move |send| questions.ask(asks, send))?;
    direction(client, move |send| answers.answer(answered, send))
}

/// One direction: a thread that takes in, and one that gives out.
fn direction(to: TcpStream, take_in: impl FnOnce(&SyncSender<Piece>) + Send + 'static) -> io::Result<()> {
    let (send, receive) = sync_channel(PIECES_UNDER_WAY);
    let thread = || std::thread::Builder::new().stack_size(STACK_BYTES);
    thread().spawn(move || {
        wake_precisely();
        take_in(&send);
    })?;
    thread().spawn(move || give_out(&receive, to))?;
    Ok(())
}

impl Connection {
    /// From the client to the server.
    fn ask(&self, mut client: TcpStream, send: &SyncSender<Piece>) {
        let meter = &self.shape.meter;
        let mut buffer = vec![0; PIECE_BYTES];
        let mut fate = Fate::Pass;
        while let Some(bytes) = read(&mut client, &mut buffer) {
            meter.up_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            if self.is_clients_turn.swap(false, Ordering::AcqRel) {
                meter.exchanges.fetch_add(1, Ordering::Relaxed);
                fate = self.shape.fate(&bytes);
                let may_pass = if let Fate::CutAfter(bytes) = fate { bytes } else { u64::MAX };
                self.may_pass.store(may_pass, Ordering::Release);
            }
            let arrives = self.leaves(&self.shape.up, bytes.len()) + self.shape.spec.round_trip / 2;
            let sent = match fate {
                Fate::Lost => continue,
                Fate::Unavailable => self.refuse(&mut client, arrives).is_ok(),
                // A server that thinks for so long answers as much later.
                Fate::Late(late) => send.send(Piece { bytes, arrives: arrives + late }).is_ok(),
                Fate::Pass | Fate::CutAfter(_) => send.send(Piece { bytes, arrives }).is_ok(),
            };
            if !sent {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Read);
    }

    /// From the server to the client.
    fn answer(&self, mut server: TcpStream, send: &SyncSender<Piece>) {
        let mut buffer = vec![0; PIECE_BYTES];
        while let Some(mut bytes) = read(&mut server, &mut buffer) {
            self.is_clients_turn.store(true, Ordering::Release);
            let may_pass = self.may_pass.load(Ordering::Acquire);
            bytes.truncate(usize::try_from(may_pass).unwrap_or(usize::MAX));
            if bytes.is_empty() {
                // Lost on its way: the client waits for what the server has said.
                continue;
            }
            let len = bytes.len() as u64;
            if may_pass != u64::MAX {
                self.may_pass.store(may_pass - len, Ordering::Release);
            }
            self.shape.meter.down_bytes.fetch_add(len, Ordering::Relaxed);
            let arrives = self.leaves(&self.shape.down, bytes.len()) + self.shape.spec.round_trip / 2;
            if send.send(Piece { bytes, arrives }).is_err() {
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Read);
    }

    /// Waits until so many bytes have left, after those who came earlier; when that was.
    fn leaves(&self, direction: &Bandwidth, len: usize) -> Instant {
        sleep_until(self.opened);
        // Bandwidth that was not used may be made up for, but nothing travels before it was there.
        let here = Instant::now();
        let left = direction.take(len).max(here);
        sleep_until(left);
        left
    }

    /// Answers in the server's name, which hears nothing of it: nothing else is on its way to the client.
    fn refuse(&self, client: &mut TcpStream, arrived: Instant) -> io::Result<()> {
        self.shape.meter.down_bytes.fetch_add(UNAVAILABLE.len() as u64, Ordering::Relaxed);
        sleep_until(arrived + self.shape.spec.round_trip / 2);
        self.is_clients_turn.store(true, Ordering::Release);
        client.write_all(UNAVAILABLE)
    }
}

/// The next piece. An error ends a direction as the sender's end of file does: its receiver sees a closed connection.
fn read(from: &mut TcpStream, buffer: &mut [u8]) -> Option<Vec<u8>> {
    let len = from.read(buffer).ok().filter(|len| *len > 0)?;
    buffer.get(..len).map(<[u8]>::to_vec)
}

fn give_out(receive: &Receiver<Piece>, mut to: TcpStream) {
    wake_precisely();
    for piece in receive {
        sleep_until(piece.arrives);
        if to.write_all(&piece.bytes).is_err() {
            // Whoever sends learns of it too.
            let _ = to.shutdown(Shutdown::Both);
            return;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn sleep_until(when: Instant) {
    let rest = when.saturating_duration_since(Instant::now());
    if rest > Duration::from_micros(20) {
        std::thread::sleep(rest);
    }
}

/// Lets this thread's timers be as exact as the kernel's clock, not within the usual 50 µs.
fn wake_precisely() {
    // SAFETY: this request takes a number and touches no memory.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}
