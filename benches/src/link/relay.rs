//! One connection over a link: two directions, each a thread that takes the bandwidth and one that keeps the way's
//! time.
//!
//! A direction reads no further piece before the last one has left, so that a connection never holds more than one
//! turn of the shared bandwidth, and a receiver that does not read holds its sender back.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::Shape;
use super::bandwidth::Bandwidth;

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

/// Relays a connection until both ends have closed it.
pub(super) fn start(client: TcpStream, server: SocketAddr, shape: &Arc<Shape>) -> io::Result<()> {
    let opened = Instant::now() + shape.spec.round_trip;
    shape.meter.connections.fetch_add(1, Ordering::Relaxed);
    let server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let turn = Arc::new(AtomicBool::new(true));
    spawn(Direction::Up, &client, &server, opened, &turn, shape)?;
    spawn(Direction::Down, &server, &client, opened, &turn, shape)
}

#[derive(Clone, Copy)]
enum Direction {
    Up,
    Down,
}

impl Direction {
    fn bandwidth(self, shape: &Shape) -> &Bandwidth {
        match self {
            Self::Up => &shape.up,
            Self::Down => &shape.down,
        }
    }

    /// Counts a piece; `turn` is whether the next word of the client starts an exchange.
    fn count(self, len: usize, turn: &AtomicBool, shape: &Shape) {
        let len = len as u64;
        match self {
            Self::Up => {
                shape.meter.up_bytes.fetch_add(len, Ordering::Relaxed);
                let starts = turn.swap(false, Ordering::AcqRel);
                shape.meter.exchanges.fetch_add(u64::from(starts), Ordering::Relaxed);
            }
            Self::Down => {
                shape.meter.down_bytes.fetch_add(len, Ordering::Relaxed);
                turn.store(true, Ordering::Release);
            }
        }
    }
}

fn spawn(
    direction: Direction,
    from: &TcpStream,
    to: &TcpStream,
    opened: Instant,
    turn: &Arc<AtomicBool>,
    shape: &Arc<Shape>,
) -> io::Result<()> {
    let (from, to) = (from.try_clone()?, to.try_clone()?);
    let (turn, shape) = (Arc::clone(turn), Arc::clone(shape));
    let (send, receive) = sync_channel(PIECES_UNDER_WAY);
    let thread = || std::thread::Builder::new().stack_size(STACK_BYTES);
    thread().spawn(move || take_in(direction, from, opened, &turn, &shape, &send))?;
    thread().spawn(move || give_out(&receive, to))?;
    Ok(())
}

fn take_in(
    direction: Direction,
    mut from: TcpStream,
    opened: Instant,
    turn: &AtomicBool,
    shape: &Shape,
    send: &SyncSender<Piece>,
) {
    wake_precisely();
    let mut buffer = vec![0; PIECE_BYTES];
    // An error ends the direction as the sender's end of file does: its receiver sees a closed connection.
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        direction.count(len, turn, shape);
        sleep_until(opened);
        // Bandwidth that was not used may be made up for, but nothing travels before it was there.
        let here = Instant::now();
        let left = direction.bandwidth(shape).take(len).max(here);
        sleep_until(left);
        let bytes = buffer.get(..len).unwrap_or_default().to_vec();
        if send.send(Piece { bytes, arrives: left + shape.spec.round_trip / 2 }).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Read);
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
