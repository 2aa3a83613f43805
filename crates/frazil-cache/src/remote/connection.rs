//! One connection to a node: many questions under way, answered in order.
//!
//! A task owns the connection. Whoever asks holds nothing but the end of a channel: dropping it gives up the
//! answer, which is then read and forgotten, so a reader that goes away never leaves half an answer in the
//! stream. The connection is closed, and every question on it fails, as soon as the oldest one is overdue or an
//! answer makes no sense. The queue and the questions under way are bounded; what finds no room fails at once.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::breaker::jittered;
use super::protocol::{Line, MAX_LINE_LEN, NotAnAnswer, put_get, put_set};
use super::vitals::{InFlight, Vitals};
use super::wire::{Dialer, Wire};

/// How many questions may wait to be sent.
const MAX_QUEUED: usize = 64;

/// How many questions may be sent and not yet answered.
const MAX_UNDER_WAY: usize = 64;

/// How many bytes are read ahead of what is known to come.
const READ_AHEAD: usize = 16 << 10;

/// How long a lost connection stays lost at first; every failure doubles it.
const FIRST_BACKOFF: Duration = Duration::from_millis(10);

/// The longest that a lost connection stays lost.
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// What can be asked of a node.
#[derive(Debug)]
pub(super) enum Verb {
    /// The value of the key.
    Get,
    /// To keep the value under the key.
    Set(Bytes),
}

/// What a node can answer.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// The value.
    Hit(Bytes),
    /// No value.
    Miss,
    /// The value is kept.
    Stored,
    /// The value is not kept, or not to be had.
    Refused,
}

/// A question on its way.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) key: String,
    pub(super) verb: Verb,
    pub(super) reply: oneshot::Sender<Answer>,
    pub(super) in_flight: InFlight,
}

/// What a connection may take and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How long a question may stay unanswered.
    pub(super) deadline: Duration,
    /// The longest value, in bytes.
    pub(super) value_len: usize,
}

/// The way to a connection's task, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Connection(mpsc::Sender<Question>);

impl Connection {
    /// A connection that is made when it is first needed.
    pub(super) fn start(dialer: Dialer, limits: Limits, vitals: Arc<Vitals>) -> Self {
        let (sender, queue) = mpsc::channel(MAX_QUEUED);
        tokio::spawn(Keeper { dialer, limits, vitals, queue }.keep());
        Self(sender)
    }

    /// Sends the question on its way, unless there is no room for it.
    pub(super) fn ask(&self, question: Question) -> bool {
        self.0.try_send(question).is_ok()
    }

    /// How many more questions find room.
    pub(super) fn room(&self) -> usize {
        self.0.capacity()
    }
}

/// What keeps a connection alive.
struct Keeper {
    dialer: Dialer,
    limits: Limits,
    vitals: Arc<Vitals>,
    queue: mpsc::Receiver<Question>,
}

impl Keeper {
    async fn keep(mut self) {
        let mut backoff = FIRST_BACKOFF;
        while let Some(first) = self.queue.recv().await {
            let answered_before = self.vitals.answers();
            match self.dialer.dial().await {
                Ok(wire) => {
                    let session = Session::new(self.limits, Arc::clone(&self.vitals));
                    let Some(failed) = session.run(wire, first, &mut self.queue).await else { return };
                    if failed == 0 {
                        continue;
                    }
                    self.vitals.failed(failed);
                }
                Err(error) => {
                    tracing::debug!(node = %self.dialer.address, %error, "no connection");
                    drop(first);
                    self.vitals.failed(1);
                }
            }
            backoff = if self.vitals.answers() == answered_before { backoff } else { FIRST_BACKOFF };
            self.refuse_for(jittered(backoff)).await;
            backoff = backoff.saturating_mul(2).min(MAX_BACKOFF);
        }
    }

    /// Fails every question for a while: those who ask have better things to do than to wait.
    async fn refuse_for(&mut self, pause: Duration) {
        let pause = sleep(pause);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return,
                question = self.queue.recv() => if question.is_none() { return },
            }
        }
    }
}

/// A question that was sent.
struct UnderWay {
    token: u32,
    sent: Instant,
    reply: oneshot::Sender<Answer>,
    is_get: bool,
    _in_flight: InFlight,
    _place: OwnedSemaphorePermit,
}

/// One connection from its first question to its end.
struct Session {
    limits: Limits,
    vitals: Arc<Vitals>,
    under_way: Mutex<VecDeque<UnderWay>>,
    places: Arc<Semaphore>,
}

impl Session {
    fn new(limits: Limits, vitals: Arc<Vitals>) -> Self {
        let places = Arc::new(Semaphore::new(MAX_UNDER_WAY));
        Self { limits, vitals, under_way: Mutex::default(), places }
    }

    /// Runs until the connection breaks: how many questions failed by it. `None` when nobody will ask any more.
    async fn run(
        self,
        wire: Box<dyn Wire>,
        first: Question,
        queue: &mut mpsc::Receiver<Question>,
    ) -> Option<u32> {
        let (answers, questions) = tokio::io::split(wire);
        let end = tokio::select! {
            // Writing first: a question that is on its way counts, should the other side hang up at once.
            biased;
            end = self.write(questions, first, queue) => match end { Ok(()) => return None, error => error },
            end = self.read(answers) => end,
            () = self.overdue() => Err(io::ErrorKind::TimedOut.into()),
        };
        let failed = self.under_way().len();
        if let Err(error) = end
            && failed > 0
        {
            tracing::debug!(%error, failed, "a connection of the fleet broke");
            if error.kind() == io::ErrorKind::TimedOut {
                self.vitals.timed_out(failed);
            }
        }
        Some(u32::try_from(failed).unwrap_or(u32::MAX))
    }

    /// Sends questions, as many at once as there are.
    async fn write(
        &self,
        mut wire: impl AsyncWrite + Unpin,
        first: Question,
        queue: &mut mpsc::Receiver<Question>,
    ) -> io::Result<()> {
        let mut buffer = BytesMut::new();
        let mut next = Some(first);
        let mut token = 0u32;
        loop {
            let question = match next.take() {
                Some(question) => question,
                None => match queue.try_recv() {
                    Ok(question) => question,
                    Err(_) => {
                        wire.write_all_buf(&mut buffer).await?;
                        wire.flush().await?;
                        match queue.recv().await {
                            Some(question) => question,
                            None => return Ok(()),
                        }
                    }
                },
            };
            if question.reply.is_closed() {
                continue;
            }
            let place = match Arc::clone(&self.places).try_acquire_owned() {
                Ok(place) => place,
                Err(_) => {
                    wire.write_all_buf(&mut buffer).await?;
                    wire.flush().await?;
                    let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return Ok(()) };
                    place
                }
            };
            token = token.wrapping_add(1);
            let Question { key, verb, reply, in_flight } = question;
            self.under_way().push_back(UnderWay {
                token,
                sent: Instant::now(),
                reply,
                is_get: matches!(verb, Verb::Get),
                _in_flight: in_flight,
                _place: place,
            });
            match verb {
                Verb::Get => put_get(&mut buffer, &key, token),
                Verb::Set(mut value) => {
                    put_set(&mut buffer, &key, value.len(), token);
                    self.vitals.wrote(value.len());
                    wire.write_all_buf(&mut buffer).await?;
                    wire.write_all_buf(&mut value).await?;
                    buffer.put_slice(b"\r\n");
                }
            }
        }
    }

    /// Reads answers until the node hangs up.
    async fn read(&self, wire: impl AsyncRead + Unpin) -> io::Result<()> {
        let mut reader = AnswerReader { wire, ahead: BytesMut::with_capacity(READ_AHEAD) };
        while let Some(line) = reader.line().await? {
            let line = Line::parse(&line).map_err(not_an_answer)?;
            let (is_get, is_wanted) = {
                let under_way = self.under_way();
                let oldest = under_way.front().filter(|oldest| line.answers(oldest.token));
                let oldest = oldest.ok_or_else(|| not_an_answer(NotAnAnswer))?;
                (oldest.is_get, !oldest.reply.is_closed())
            };
            let answer = match line {
                Line::Value { len, .. } if is_get && len <= self.limits.value_len => {
                    self.vitals.read(len);
                    if is_wanted {
                        Answer::Hit(reader.value(len).await?)
                    } else {
                        reader.skip(len).await?;
                        Answer::Refused
                    }
                }
                Line::Miss { .. } if is_get => Answer::Miss,
                Line::Stored { .. } if !is_get => Answer::Stored,
                Line::NotStored => Answer::Refused,
                _ => return Err(not_an_answer(NotAnAnswer)),
            };
            self.vitals.answered();
            let Some(oldest) = self.under_way().pop_front() else { return Ok(()) };
            // Whoever asked may have gone.
            let _ = oldest.reply.send(answer);
        }
        Ok(())
    }

    /// Waits until the oldest question is overdue.
    async fn overdue(&self) {
        loop {
            sleep(self.limits.deadline / 4).await;
            let oldest = self.under_way().front().map(|oldest| oldest.sent);
            if oldest.is_some_and(|sent| sent.elapsed() > self.limits.deadline) {
                return;
            }
        }
    }

    fn under_way(&self) -> MutexGuard<'_, VecDeque<UnderWay>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_an_answer(_: NotAnAnswer) -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// Reads lines and values from a node, and not a byte more into a value than belongs to it.
struct AnswerReader<R> {
    wire: R,
    ahead: BytesMut,
}

impl<R: AsyncRead + Unpin> AnswerReader<R> {
    /// The next line without its end; `None` if the node hung up between two answers.
    async fn line(&mut self) -> io::Result<Option<BytesMut>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.ahead[searched..].iter().position(|&byte| byte == b'\n') {
                let mut line = self.ahead.split_to(searched + at + 1);
                line.truncate(line.len() - 1);
                if line.ends_with(b"\r") {
                    line.truncate(line.len() - 1);
                }
                return Ok(Some(line));
            }
            searched = self.ahead.len();
            if searched > MAX_LINE_LEN {
                return Err(not_an_answer(NotAnAnswer));
            }
            self.ahead.reserve(READ_AHEAD);
            let mut room = (&mut self.ahead).limit(READ_AHEAD);
            if self.wire.read_buf(&mut room).await? == 0 {
                return if searched == 0 { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// A value of so many bytes, and the line's end behind it.
    async fn value(&mut self, len: usize) -> io::Result<Bytes> {
        let whole = len + 2;
        let mut value = BytesMut::with_capacity(whole);
        value.put(self.ahead.split_to(whole.min(self.ahead.len())));
        while value.len() < whole {
            let missing = whole - value.len();
            if self.wire.read_buf(&mut (&mut value).limit(missing)).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if !value.ends_with(b"\r\n") {
            return Err(not_an_answer(NotAnAnswer));
        }
        value.truncate(len);
        Ok(value.freeze())
    }

    /// Reads a value that nobody wants.
    async fn skip(&mut self, len: usize) -> io::Result<()> {
        let mut missing = len + 2;
        loop {
            let here = missing.min(self.ahead.len());
            self.ahead.advance(here);
            missing -= here;
            if missing == 0 {
                return Ok(());
            }
            self.ahead.clear();
            self.ahead.reserve(READ_AHEAD);
            if self.wire.read_buf(&mut (&mut self.ahead).limit(missing.min(READ_AHEAD))).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &[u8]) -> AnswerReader<&[u8]> {
        AnswerReader { wire: bytes, ahead: BytesMut::new() }
    }

    #[tokio::test]
    async fn values_hold_any_byte_and_lines_end_where_they_end() {
        let mut reader = reader(b"VA 4 O1\r\n\r\nEN\r\nEN\r\nVA 3 O2\r\nabc\r\nHD\r\n");
        assert_eq!(reader.line().await.unwrap().unwrap(), "VA 4 O1");
        assert_eq!(reader.value(4).await.unwrap(), "\r\nEN");
        assert_eq!(reader.line().await.unwrap().unwrap(), "EN");
        assert_eq!(reader.line().await.unwrap().unwrap(), "VA 3 O2");
        reader.skip(3).await.unwrap();
        assert_eq!(reader.line().await.unwrap().unwrap(), "HD");
        assert!(reader.line().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn answers_without_an_end_are_errors() {
        let endless = vec![b'x'; 4 * READ_AHEAD];
        assert_eq!(reader(&endless).line().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(reader(b"VA").line().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(reader(b"ab").value(3).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(reader(b"abcxx").value(3).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(reader(b"ab").skip(3).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
