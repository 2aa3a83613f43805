//! The two directions of a proxied connection, and what each fault does to them.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Fault;
use super::proxy::{Counters, Switch};

/// How many bytes are taken at once.
const PIECE_LEN: usize = 64 << 10;

/// How many pieces of an answer may be under way, delayed.
const MAX_DELAYED: usize = 256;

/// How long a client that was answered by the proxy may take to hang up.
const FAREWELL: Duration = Duration::from_secs(1);

/// How a connection ends.
pub(super) enum Fate {
    /// In order.
    Closed,
    /// By a reset.
    Reset,
    /// By an answer of the proxy itself.
    Answered,
}

/// Carries what the client sends, until it hangs up and the upstream has answered all.
pub(super) async fn pump_questions(
    client: &mut (impl AsyncRead + Unpin),
    mut upstream: impl AsyncWrite + Unpin,
    mut faults: watch::Receiver<Switch>,
    counters: &Counters,
) -> io::Result<Fate> {
    let mut piece = vec![0; PIECE_LEN];
    loop {
        let len = client.read(&mut piece).await?;
        counters.question_bytes.fetch_add(len as u64, Relaxed);
        out_of_the_black_hole(&mut faults).await;
        if len == 0 {
            upstream.shutdown().await?;
            // The other direction says when the connection is over.
            std::future::pending::<()>().await;
        }
        if faults.borrow().fault.answers() {
            return Ok(Fate::Answered);
        }
        upstream.write_all(&piece[..len]).await?;
    }
}

/// Carries what the upstream answers, until it hangs up.
pub(super) async fn pump_answers(
    mut upstream: impl AsyncRead + Unpin,
    client: &mut (impl AsyncWrite + Unpin),
    faults: watch::Receiver<Switch>,
    counters: &Counters,
) -> io::Result<Fate> {
    let (delayed, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(MAX_DELAYED);
    let delays = faults.clone();
    let read = async move {
        let mut piece = vec![0; PIECE_LEN];
        loop {
            let len = upstream.read(&mut piece).await?;
            let delay = match delays.borrow().fault {
                Fault::Latency(delay) => delay,
                _ => Duration::ZERO,
            };
            if len == 0 || delayed.send((Instant::now() + delay, piece[..len].to_vec())).await.is_err() {
                return Ok::<_, io::Error>(());
            }
        }
    };
    let write = async {
        let mut damage = Damage { faults, setting: 0, passed: 0 };
        while let Some((at, piece)) = due.recv().await {
            sleep_until(at).await;
            if let Some(fate) = damage.deliver(piece, client, counters).await? {
                return Ok(fate);
            }
        }
        Ok(Fate::Closed)
    };
    // The reader's end closes the channel, and with it the writer, after what is under way.
    let (mut read, mut write) = (std::pin::pin!(read), std::pin::pin!(write));
    let mut is_reading = true;
    loop {
        tokio::select! {
            fate = &mut write => return fate,
            end = &mut read, if is_reading => { end?; is_reading = false; }
        }
    }
}

/// What the fault of the moment does to the answers of one connection.
struct Damage {
    faults: watch::Receiver<Switch>,
    /// The setting that was done last.
    setting: u64,
    /// Bytes since then.
    passed: u64,
}

impl Damage {
    async fn deliver(
        &mut self,
        mut piece: Vec<u8>,
        client: &mut (impl AsyncWrite + Unpin),
        counters: &Counters,
    ) -> io::Result<Option<Fate>> {
        let mut start = 0;
        while start < piece.len() {
            out_of_the_black_hole(&mut self.faults).await;
            let Switch { setting, fault } = self.faults.borrow().clone();
            if setting != self.setting {
                (self.setting, self.passed) = (setting, 0);
            }
            let rest = piece.len() - start;
            let len = match fault {
                Fault::Truncate { after_bytes } | Fault::Reset { after_bytes } => {
                    rest.min(usize::try_from(after_bytes.saturating_sub(self.passed)).unwrap_or(rest))
                }
                Fault::SlowDrip { bytes, .. } => rest.min(bytes.max(1)),
                _ => rest,
            };
            if let Fault::Corrupt { every_bytes } = fault {
                corrupt(&mut piece[start..start + len], self.passed, every_bytes);
            }
            client.write_all(&piece[start..start + len]).await?;
            counters.answer_bytes.fetch_add(len as u64, Relaxed);
            (start, self.passed) = (start + len, self.passed + len as u64);
            match fault {
                Fault::SlowDrip { pause, .. } => sleep(pause).await,
                Fault::Truncate { .. } if len < rest => return Ok(Some(Fate::Closed)),
                Fault::Reset { .. } if len < rest => return Ok(Some(Fate::Reset)),
                _ => {}
            }
        }
        Ok(None)
    }
}

fn corrupt(bytes: &mut [u8], passed: u64, every_bytes: u64) {
    for (byte, position) in bytes.iter_mut().zip(passed + 1..) {
        if position.checked_rem(every_bytes) == Some(0) {
            *byte ^= 0x10;
        }
    }
}

/// Waits while nothing may pass.
async fn out_of_the_black_hole(faults: &mut watch::Receiver<Switch>) {
    // Without the proxy there is no way out, and no connection either.
    if faults.wait_for(|switch| switch.fault != Fault::BlackHole).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Answers in the upstream's name.
pub(super) async fn answer(
    questions: &mut (impl AsyncRead + Unpin),
    answers: &mut (impl AsyncWrite + Unpin),
    faults: &mut watch::Receiver<Switch>,
) -> io::Result<()> {
    let fault = faults.borrow_and_update().fault.clone();
    match fault {
        Fault::Answer { status, retry_after_s } => {
            let retry_after =
                retry_after_s.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
            let head = format!(
                "HTTP/1.1 {status} Fault\r\n{retry_after}content-length: 0\r\nconnection: close\r\n\r\n"
            );
            answers.write_all(head.as_bytes()).await?;
            answers.shutdown().await?;
            // Closing on unread bytes would reset the connection and could take the answer with it.
            let _ = timeout(FAREWELL, tokio::io::copy(questions, &mut tokio::io::sink())).await;
        }
        Fault::Say(words) => {
            let mut piece = vec![0; PIECE_LEN];
            loop {
                answers.write_all(words).await?;
                tokio::select! {
                    read = questions.read(&mut piece) => if read? == 0 { break },
                    _ = faults.changed() => break,
                }
            }
        }
        _ => {}
    }
    Ok(())
}
