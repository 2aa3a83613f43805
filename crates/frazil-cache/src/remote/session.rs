//! One connection from its first question to its end: the two directions, and the clock.
//!
//! The invariant: a question is in the queue of those under way before its first byte is sent, and leaves it with
//! its answer; so the oldest in the queue is the one that the next answer is for.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::answers::{AnswerReader, not_an_answer};
use super::connection::{Answer, Limits, Question, Verb};
use super::landing::Landing;
use super::protocol::{Line, NotAnAnswer, put_get, put_set};
use super::vitals::{InFlight, Vitals};
use super::wire::Wire;

/// How many questions may be sent and not yet answered.
const MAX_UNDER_WAY: usize = 64;

/// A question that was sent.
struct UnderWay {
    token: u32,
    sent: Instant,
    reply: oneshot::Sender<Answer>,
    /// Where to read the value to; none if a value is to be stored.
    landing: Option<Landing>,
    _in_flight: InFlight,
    _place: OwnedSemaphorePermit,
}

/// One connection from its first question to its end.
pub(super) struct Session {
    limits: Limits,
    vitals: Arc<Vitals>,
    under_way: Mutex<VecDeque<UnderWay>>,
    places: Arc<Semaphore>,
}

impl Session {
    pub(super) fn new(limits: Limits, vitals: Arc<Vitals>) -> Self {
        let places = Arc::new(Semaphore::new(MAX_UNDER_WAY));
        Self { limits, vitals, under_way: Mutex::default(), places }
    }

    /// Runs until the connection breaks, and says how many questions failed with it. `None` when nobody will
    /// ask any more.
    pub(super) async fn run(
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
        wire: impl AsyncWrite + Unpin,
        first: Question,
        queue: &mut mpsc::Receiver<Question>,
    ) -> io::Result<()> {
        let mut outbox = Outbox { wire, buffer: BytesMut::new() };
        let mut next = Some(first);
        let mut token = 0u32;
        while let Some(question) = next {
            // Whoever asked may have gone before the question was sent; then it does not wait here for the next one.
            if question.reply.is_closed() {
                drop(question);
            } else {
                token = token.wrapping_add(1);
                self.send(question, token, &mut outbox).await?;
            }
            next = match queue.try_recv() {
                Ok(question) => Some(question),
                Err(_) => {
                    outbox.flush().await?;
                    queue.recv().await
                }
            };
        }
        Ok(())
    }

    /// Sends one question, or leaves it in the outbox, once there is a place for it.
    async fn send<W: AsyncWrite + Unpin>(
        &self,
        question: Question,
        token: u32,
        outbox: &mut Outbox<W>,
    ) -> io::Result<()> {
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                outbox.flush().await?;
                Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?
            }
        };
        let Question { key, verb, reply, in_flight } = question;
        let landing = match &verb {
            Verb::Get(landing) => Some(landing.clone()),
            Verb::Set(_) => None,
        };
        // Before its bytes: the answer must find it.
        self.under_way().push_back(UnderWay {
            token,
            sent: Instant::now(),
            reply,
            landing,
            _in_flight: in_flight,
            _place: place,
        });
        match verb {
            Verb::Get(_) => put_get(&mut outbox.buffer, &key, token),
            Verb::Set(value) => {
                self.vitals.wrote(value.len());
                put_set(&mut outbox.buffer, &key, value.len(), token);
                outbox.send(value).await?;
            }
        }
        Ok(())
    }

    /// Reads answers until the node hangs up.
    async fn read(&self, wire: impl AsyncRead + Unpin) -> io::Result<()> {
        let mut reader = AnswerReader::new(wire);
        while let Some(line) = reader.line().await? {
            let line = Line::parse(&line).map_err(not_an_answer)?;
            let (landing, is_wanted) = {
                let under_way = self.under_way();
                let oldest = under_way.front().filter(|oldest| line.answers(oldest.token));
                let oldest = oldest.ok_or_else(|| not_an_answer(NotAnAnswer))?;
                (oldest.landing.clone(), !oldest.reply.is_closed())
            };
            let answer = match (line, landing) {
                (Line::Value { len, .. }, Some(landing)) if len <= self.limits.value_len => {
                    self.vitals.read(len);
                    if is_wanted {
                        Answer::Hit(reader.item(len, &landing).await?)
                    } else {
                        reader.skip(len).await?;
                        Answer::Refused
                    }
                }
                (Line::Miss { .. }, Some(_)) => Answer::Miss,
                (Line::Stored { .. }, None) => Answer::Stored,
                (Line::NotStored, _) => Answer::Refused,
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
        let tick = self.limits.deadline / 4;
        loop {
            let due = Instant::now() + tick;
            sleep_until(due).await;
            // A task that oversleeps was not running, and may have the answer in the socket: no reason to
            // blame the node.
            let overslept = due.elapsed() > tick;
            let oldest = self.under_way().front().map(|oldest| oldest.sent);
            if !overslept && oldest.is_some_and(|sent| sent.elapsed() > self.limits.deadline) {
                return;
            }
        }
    }

    fn under_way(&self) -> MutexGuard<'_, VecDeque<UnderWay>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes on their way to the node: questions are gathered, values are not copied.
struct Outbox<W> {
    wire: W,
    buffer: BytesMut,
}

impl<W: AsyncWrite + Unpin> Outbox<W> {
    async fn flush(&mut self) -> io::Result<()> {
        self.wire.write_all_buf(&mut self.buffer).await?;
        self.wire.flush().await
    }

    async fn send(&mut self, mut value: Bytes) -> io::Result<()> {
        self.wire.write_all_buf(&mut self.buffer).await?;
        self.wire.write_all_buf(&mut value).await?;
        self.buffer.put_slice(b"\r\n");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_question_whose_asker_has_gone_is_let_go_before_the_next_one_comes() {
        let vitals = Arc::<Vitals>::default();
        let (near, _far) = tokio::io::duplex(1024);
        let (_asking, mut queue) = mpsc::channel(1);
        let (reply, asker) = oneshot::channel();
        drop(asker);
        let verb = Verb::Set(Bytes::new());
        let first = Question { key: "key".to_owned(), verb, reply, in_flight: InFlight::of(&vitals) };
        let limits = Limits { deadline: Duration::from_secs(60), value_len: 1 };

        let mut run = pin!(Session::new(limits, Arc::clone(&vitals)).run(Box::new(near), first, &mut queue));
        assert!(futures::poll!(&mut run).is_pending());
        assert_eq!(vitals.in_flight(), 0);
    }
}
