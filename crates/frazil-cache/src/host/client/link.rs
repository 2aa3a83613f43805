//! One connection to a host cache: questions out, answers in, in any order.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::pending::{Pending, Waiter};
use crate::host::protocol::{Answer, HEADER_LEN, Header, MAX_ANSWER_BODY, ProtocolError, Question, Request};
use crate::resilience::{Priority, Urgency};

/// A header, and the first part of its body; the rest of a chunk goes straight to where it stays.
const READ_BUFFER_LEN: usize = 8 << 10;

/// A connection, until it breaks.
#[derive(Debug)]
pub(super) struct Link {
    requests: mpsc::Sender<Bytes>,
    pending: Arc<Pending>,
    /// What the host cache takes at once; whoever wants more waits here.
    places: Arc<Semaphore>,
    task: JoinHandle<()>,
}

impl Link {
    /// Asks and answers over this connection, on which `in_flight` questions may be under way.
    pub(super) fn start(stream: UnixStream, in_flight: u32) -> Self {
        let in_flight = (in_flight as usize).min(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(in_flight));
        // Room for every question, for its becoming urgent, and for its being forgotten.
        let (requests, outgoing) = mpsc::channel(in_flight.saturating_mul(3).min(Semaphore::MAX_PERMITS));
        let pending = Arc::<Pending>::default();
        let (reader, writer) = stream.into_split();
        let broken = Broken { pending: Arc::clone(&pending), places: Arc::clone(&places) };
        let waiters = Arc::clone(&pending);
        let task = tokio::spawn(async move {
            let _broken = broken;
            let ended = tokio::select! {
                written = write(writer, outgoing) => written,
                read = read(reader, &waiters) => read,
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "the connection to the host cache broke");
            }
        });
        Self { requests, pending, places, task }
    }

    pub(super) fn is_open(&self) -> bool {
        !self.pending.is_broken()
    }

    /// The answer; none if the connection broke. A caller that stops waiting lets the host cache know.
    pub(super) async fn ask(&self, question: Question) -> Option<Answer> {
        let _place = self.places.acquire().await.ok()?;
        let (told, answer) = oneshot::channel();
        let id = self.pending.add(Waiter { answer: told, body_limit: question.answer_limit() })?;
        let waiting = Waits { link: self, id };
        let urgency = prefetch_of(&question);
        self.requests.send(Request::Ask(question).encode(id)).await.ok()?;
        let answer = match urgency {
            None => answer.await.ok(),
            Some(urgency) => self.hurried(id, answer, &urgency).await,
        };
        drop(waiting);
        answer
    }

    /// The answer to a request that nobody waited for when it was made. As soon as somebody does, the host cache
    /// hears of it.
    async fn hurried(
        &self,
        id: u64,
        mut answer: oneshot::Receiver<Answer>,
        urgency: &Urgency,
    ) -> Option<Answer> {
        tokio::select! {
            biased;
            answer = &mut answer => return answer.ok(),
            () = urgency.raised() => {}
        }
        self.requests.send(Request::Hurry.encode(id)).await.ok()?;
        answer.await.ok()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The urgency of a prefetch, which may still rise.
fn prefetch_of(question: &Question) -> Option<Urgency> {
    match question {
        Question::Chunk { priority: Priority::Prefetch, .. } => Some(Urgency::current()),
        _ => None,
    }
}

/// A question that is waited for.
struct Waits<'a> {
    link: &'a Link,
    id: u64,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        // An answer that came, or that is being read just now, took the waiter away.
        if self.link.pending.take(self.id).is_some() {
            let _ = self.link.requests.try_send(Request::Forget.encode(self.id));
        }
    }
}

/// Tells every waiter when the connection ends, however it ends.
struct Broken {
    pending: Arc<Pending>,
    places: Arc<Semaphore>,
}

impl Drop for Broken {
    fn drop(&mut self) {
        self.pending.break_off();
        self.places.close();
    }
}

async fn write(mut socket: OwnedWriteHalf, mut requests: mpsc::Receiver<Bytes>) -> io::Result<()> {
    while let Some(request) = requests.recv().await {
        socket.write_all(&request).await?;
    }
    Ok(())
}

async fn read(socket: OwnedReadHalf, pending: &Pending) -> io::Result<()> {
    let mut socket = BufReader::with_capacity(READ_BUFFER_LEN, socket);
    loop {
        let mut header = [0; HEADER_LEN];
        socket.read_exact(&mut header).await?;
        let header = Header::decode(&header, MAX_ANSWER_BODY).map_err(garbled)?;
        let Some(limit) = pending.body_limit(header.id) else {
            skip(&mut socket, header.body_len).await?;
            continue;
        };
        header.within(limit).map_err(garbled)?;
        let body = body(&mut socket, header.body_len as usize).await?;
        let answer = Answer::decode(&header, body).map_err(garbled)?;
        if let Some(waiter) = pending.take(header.id) {
            // The waiter may have stopped waiting just now.
            let _ = waiter.answer.send(answer);
        }
    }
}

/// A body, read to where it stays, without writing zeros first.
async fn body(socket: &mut (impl AsyncRead + Unpin), len: usize) -> io::Result<Bytes> {
    let mut bytes = BytesMut::with_capacity(len);
    let mut part = socket.take(len as u64);
    while bytes.len() < len {
        if part.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(bytes.freeze())
}

/// An answer that nobody waits for any more.
async fn skip(socket: &mut (impl AsyncBufRead + Unpin), len: u32) -> io::Result<()> {
    let skipped = tokio::io::copy_buf(&mut socket.take(u64::from(len)), &mut tokio::io::sink()).await?;
    if skipped == u64::from(len) { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn garbled(error: ProtocolError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
