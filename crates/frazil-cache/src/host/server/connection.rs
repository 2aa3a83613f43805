//! One agent's connection: its requests in, its answers out, in any order.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::shelving::Shelving;
use super::tally::Counted;
use super::writer::{Outgoing, write};
use super::{Inner, Peer, at_once, greet};
use crate::ErrorClass;
use crate::host::protocol::{
    Answer, HEADER_LEN, HELLO_LEN, Header, Hello, MAX_REQUEST_BODY, ProtocolError, Question, Request, Verdict,
};
use crate::host::socket_buffers;
use crate::resilience::{Priority, Urgency};

/// When an agent that asked too much should ask again: the time in which a full connection drains.
const RETRY: Duration = Duration::from_millis(10);

/// Requests are short: a page holds dozens.
const READ_BUFFER_LEN: usize = 4096;

/// Why a connection ends before the agent ends it.
#[derive(Debug, thiserror::Error)]
enum Ending {
    #[error("an agent does not keep to the protocol")]
    Garbled(#[from] ProtocolError),
    #[error("the socket failed")]
    Socket(#[from] io::Error),
}

/// What one connection has under way.
struct Connection {
    server: Arc<Inner>,
    peer: Peer,
    answers: mpsc::Sender<Outgoing>,
    waiting: Arc<Waiting>,
    answer_bytes: Arc<Semaphore>,
    shelving: Arc<Shelving>,
}

/// Requests that wait for their answers, by id.
#[derive(Default)]
struct Waiting(Mutex<HashMap<u64, UnderWay>>);

/// A request that waits for its answer.
struct UnderWay {
    task: AbortHandle,
    urgency: Urgency,
}

/// Serves one connection to its end.
pub(super) async fn serve(
    server: Arc<Inner>,
    stream: UnixStream,
    peer: Peer,
    mut stopped: watch::Receiver<bool>,
) {
    let _open = Counted::up(&server.tally.connections.open);
    let limits = server.options.limits;
    socket_buffers::widen(&stream);
    let in_flight = u32::try_from(limits.in_flight_per_connection).unwrap_or(u32::MAX);
    if let Err(error) = greet(&stream, Verdict::Welcome { in_flight }) {
        return told(&server, peer, Err(error.into()));
    }
    let (read_half, write_half) = stream.into_split();
    // A place for every answer that may be under way; beyond that, requests are no longer read.
    let (answers, outgoing) = mpsc::channel(limits.in_flight_per_connection.saturating_add(1));
    let mut writer = tokio::spawn(write(outgoing, write_half, limits.write_timeout));
    let connection = Connection {
        server: Arc::clone(&server),
        peer,
        answers,
        waiting: Arc::default(),
        answer_bytes: Arc::new(Semaphore::new(limits.answer_bytes_per_connection)),
        shelving: Arc::default(),
    };
    let waiting = Arc::clone(&connection.waiting);
    let given_up = GivesUp(&waiting);
    let ending = tokio::select! {
        biased;
        written = &mut writer => return told(&server, peer, written_or(written)),
        _ = stopped.wait_for(|stopped| *stopped) => Ok(()),
        ending = connection.read(read_half) => ending,
    };
    // An agent that has hung up reads no answer; one that broke the rules gets none.
    let agent_is_gone = !*stopped.borrow();
    drop(connection);
    if agent_is_gone {
        drop(given_up);
        writer.abort();
        return told(&server, peer, ending);
    }
    // Every request under way holds a sender; the writer ends after the last.
    let drained = timeout(limits.drain, &mut writer).await;
    if drained.is_err() {
        writer.abort();
    }
}

/// Gives up what is under way when the connection ends, however it ends.
struct GivesUp<'a>(&'a Waiting);

impl Drop for GivesUp<'_> {
    fn drop(&mut self) {
        for (_, request) in self.0.lock().drain() {
            request.task.abort();
        }
    }
}

fn written_or(written: Result<io::Result<()>, tokio::task::JoinError>) -> Result<(), Ending> {
    Ok(written.map_err(io::Error::other)??)
}

/// Counts and tells why a connection ended, if that is worth a word.
fn told(server: &Inner, peer: Peer, ending: Result<(), Ending>) {
    let counted = &server.tally.connections;
    match ending {
        Err(Ending::Garbled(error)) => {
            counted.garbled.fetch_add(1, Relaxed);
            tracing::warn!(pid = peer.pid, uid = peer.uid, %error, "an agent is let go");
        }
        Err(Ending::Socket(error)) if error.kind() == io::ErrorKind::TimedOut => {
            counted.stuck.fetch_add(1, Relaxed);
            tracing::warn!(pid = peer.pid, uid = peer.uid, "an agent does not read its answers: let go");
        }
        // Agents that end or are killed take their sockets with them.
        Err(Ending::Socket(error)) => tracing::debug!(pid = peer.pid, %error, "a connection broke"),
        Ok(()) => {}
    }
}

impl Connection {
    /// Reads requests until the agent hangs up.
    async fn read(&self, socket: OwnedReadHalf) -> Result<(), Ending> {
        let limits = &self.server.options.limits;
        let mut reader = BufReader::with_capacity(READ_BUFFER_LEN, socket);
        let mut hello = [0; HELLO_LEN];
        timeout(limits.frame_timeout, reader.read_exact(&mut hello)).await.map_err(io::Error::from)??;
        Hello::decode(&hello)?;
        // An agent may be silent for days, but not in the middle of a frame.
        while !reader.fill_buf().await?.is_empty() {
            let frame = timeout(limits.frame_timeout, read_frame(&mut reader)).await;
            let (header, request) = frame.map_err(io::Error::from)??;
            match request {
                Ok(Request::Ask(question)) => self.take(header.id, question).await?,
                Ok(Request::Forget) => self.forget(header.id),
                Ok(Request::Hurry) => self.hurry(header.id),
                Err(error @ ProtocolError::UnknownKind(_)) => {
                    let message = error.to_string();
                    self.reply(header.id, Answer::Error { class: ErrorClass::Denied, message }).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Answers a question: at once if the answer is at hand, else in a task of its own.
    async fn take(&self, id: u64, question: Question) -> Result<(), Ending> {
        if self.waiting.lock().contains_key(&id) {
            return Err(ProtocolError::RepeatedId(id).into());
        }
        self.server.tally.asked(&question);
        // A question that changes something is begun only if there is a place for it to go on.
        let place = match question {
            Question::Shelve { .. } => match self.place() {
                None => return self.reply(id, busy()).await,
                place => place,
            },
            _ => None,
        };
        let server = Arc::clone(&self.server);
        let peer = self.peer;
        let urgency = Urgency::new(priority_of(&question));
        let shelving = Arc::clone(&self.shelving);
        let answer = async move { server.answer(peer, &shelving, question).await };
        let mut answer = Box::pin(urgency.clone().scope(answer));
        if let Some(answer) = at_once(&mut answer).await {
            return self.reply(id, answer).await;
        }
        let Some(place) = place.or_else(|| self.place()) else {
            drop(answer);
            return self.reply(id, busy()).await;
        };
        let this = self.handle();
        let mut waiting = self.waiting.lock();
        let request = tokio::spawn(async move {
            let _place = place;
            let _counted = Counted::up(&this.server.tally.requests.in_flight);
            let answer = this.server.answer_in_time(answer).await;
            // A request that is not waited for any more is not there, and has no answer.
            let _ = this.reply(id, answer).await;
            this.waiting.lock().remove(&id);
        });
        // The task cannot have taken itself off the list yet: the list is locked.
        waiting.insert(id, UnderWay { task: request.abort_handle(), urgency });
        Ok(())
    }

    /// Nobody waits for this request any more.
    fn forget(&self, id: u64) {
        if let Some(request) = self.waiting.lock().remove(&id) {
            self.server.tally.requests.forgotten.fetch_add(1, Relaxed);
            request.task.abort();
        }
    }

    /// Somebody waits for this request by now; one that was answered meanwhile needs no hurry.
    fn hurry(&self, id: u64) {
        if let Some(request) = self.waiting.lock().get(&id) {
            request.urgency.join(Priority::Demand);
            self.server.tally.requests.hurried.fetch_add(1, Relaxed);
        }
    }

    /// A place among those that wait, if there is one.
    fn place(&self) -> Option<OwnedSemaphorePermit> {
        let limits = &self.server.options.limits;
        if self.waiting.lock().len() >= limits.in_flight_per_connection {
            return None;
        }
        Arc::clone(&self.server.in_flight).try_acquire_owned().ok()
    }

    /// Sends an answer, if its bytes are within the limits; else when to ask again.
    async fn reply(&self, id: u64, answer: Answer) -> Result<(), Ending> {
        let (answer, bytes) = match self.room_for(&answer) {
            Some(bytes) => (answer, bytes),
            None => (busy(), None),
        };
        self.server.tally.answered(&answer);
        let (head, body) = answer.encode(id);
        self.send(Outgoing { head, body, _bytes: bytes }).await
    }

    /// What the answer takes from the limits of this connection and of all; none if it does not fit.
    fn room_for(&self, answer: &Answer) -> Option<Option<[OwnedSemaphorePermit; 2]>> {
        let len = match answer {
            Answer::Chunk { sealed: bytes, .. }
            | Answer::Manifest { piece: bytes, .. }
            | Answer::Shelved(Some(bytes))
            | Answer::Stats(bytes) => bytes.len(),
            _ => return Some(None),
        };
        let len = u32::try_from(len).ok()?;
        let ours = Arc::clone(&self.answer_bytes).try_acquire_many_owned(len).ok()?;
        let all = Arc::clone(&self.server.answer_bytes).try_acquire_many_owned(len).ok()?;
        Some(Some([ours, all]))
    }

    async fn send(&self, outgoing: Outgoing) -> Result<(), Ending> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        Ok(self.answers.send(outgoing).await.map_err(gone)?)
    }

    fn handle(&self) -> Self {
        Self {
            server: Arc::clone(&self.server),
            peer: self.peer,
            answers: self.answers.clone(),
            waiting: Arc::clone(&self.waiting),
            answer_bytes: Arc::clone(&self.answer_bytes),
            shelving: Arc::clone(&self.shelving),
        }
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, UnderWay>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a request with its header. A bad body does not make the connection bad yet.
async fn read_frame(
    reader: &mut BufReader<OwnedReadHalf>,
) -> Result<(Header, Result<Request, ProtocolError>), Ending> {
    let mut header = [0; HEADER_LEN];
    reader.read_exact(&mut header).await?;
    let header = Header::decode_request(&header)?;
    if header.body_len > MAX_REQUEST_BODY {
        let mut body = vec![0; header.body_len as usize];
        reader.read_exact(&mut body).await?;
        return Ok((header, Request::decode(&header, &body)));
    }
    let mut body = [0; MAX_REQUEST_BODY as usize];
    let body = body.get_mut(..header.body_len as usize).unwrap_or_default();
    reader.read_exact(body).await?;
    Ok((header, Request::decode(&header, body)))
}

/// The priority of a question. Whoever asks for a name or a manifest waits for it.
fn priority_of(question: &Question) -> Priority {
    match question {
        Question::Chunk { priority, .. } => *priority,
        _ => Priority::Demand,
    }
}

fn busy() -> Answer {
    Answer::Busy { retry_after_ms: ms(RETRY) }
}

pub(super) fn ms(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
