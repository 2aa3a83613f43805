//! Beginnings of bundles that came along with profiles, before anybody had asked for the bundle.
//!
//! Invariants: a head that breaks off, or that nobody comes for, costs bytes and nothing else: what is
//! missing is asked for as if there had been no head. A head that is not known to be what was put is still
//! handed on, because readers authenticate it, but it ends with an error, so that it is not kept.

use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use frazil_format::BundleId;
use frazil_store::{BUNDLE_HEAD_LEN, ErrorClass, Reference};
use futures::stream::{StreamExt, TryStreamExt, try_unfold};
use tokio::task::JoinHandle;

use super::kept::streams::broken_off;
use super::{BundleBytes, HostError, ProfileShelf};

/// How long a head waits for whoever wants the bundle: longer than opening a manifest takes.
const KEPT: Duration = Duration::from_secs(5);

/// What follows a head is asked for once this many of its bytes have come: by then what is needed first has
/// had the way to itself, the manifest's connection is free, and at 1 Gbit/s and 5 ms, or 200 Mbit/s and
/// 30 ms, the answer begins as the head ends.
const ASK_FROM: u64 = BUNDLE_HEAD_LEN / 4;

/// How many heads wait: each is a MiB of memory.
const WAITING_MAX: usize = 16;

/// How many manifests are remembered to have been looked at.
const SEEN_MAX: usize = 10_000;

/// How a bundle begins, as a shelf hands it on.
pub type BundleHead = frazil_store::BundleHead<BundleBytes>;

/// The heads that wait, and the manifests whose heads were asked for.
#[derive(Clone, Default)]
pub(super) struct Heads(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The oldest first.
    waiting: VecDeque<(Reference, BundleHead)>,
    seen: HashSet<Reference>,
}

impl Heads {
    /// Whether a manifest is looked at for the first time by this process.
    pub(super) fn is_first_look(&self, of: &Reference) -> bool {
        let mut state = self.lock();
        if state.seen.len() >= SEEN_MAX {
            state.seen.clear();
        }
        state.seen.insert(*of)
    }

    /// Keeps a head for whoever asks for its bundle soon.
    pub(super) fn keep(&self, of: Reference, head: BundleHead) {
        let id = head.id;
        let mut state = self.lock();
        state.waiting.push_back((of, head));
        let too_many = state.waiting.len().saturating_sub(WAITING_MAX);
        state.waiting.drain(..too_many);
        drop(state);
        let heads = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(KEPT).await;
            drop(heads.take(&of, &id));
        });
    }

    /// The head of this bundle.
    pub(super) fn take(&self, of: &Reference, id: &BundleId) -> Option<BundleHead> {
        let mut state = self.lock();
        let at = state.waiting.iter().position(|(whose, head)| whose == of && head.id == *id)?;
        state.waiting.remove(at).map(|(_, head)| head)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first `len` bytes of a bundle: its head, and what follows it from `below`, which is asked while the
/// head comes.
pub(super) fn continued(
    head: BundleHead,
    of: Reference,
    len: u64,
    below: Arc<dyn ProfileShelf>,
) -> BundleBytes {
    let BundleHead { id, bundle_len, bytes } = head;
    let rest = Rest { source: Source { below, of, id }, end: len.min(bundle_len), under_way: None };
    let coming = Coming { came: 0, bytes, rest: Some(rest), is_sound: false };
    try_unfold(coming, |mut coming| async move {
        let piece = coming.next().await?;
        Ok(piece.map(|piece| (piece, coming)))
    })
    .boxed()
}

struct Coming {
    came: u64,
    bytes: BundleBytes,
    /// What follows the head; none once `bytes` is just that.
    rest: Option<Rest>,
    /// Whether the head was what had been put.
    is_sound: bool,
}

impl Coming {
    async fn next(&mut self) -> Result<Option<Bytes>, HostError> {
        if let Some(rest) = &mut self.rest {
            let piece = match self.bytes.try_next().await {
                Err(error) if error.class() == ErrorClass::Corrupt => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, came = self.came, "a head start broke off");
                    None
                }
                Ok(piece) => {
                    self.is_sound = piece.is_none() && self.came == BUNDLE_HEAD_LEN;
                    piece
                }
            };
            let fits = |piece: &Bytes| self.came + piece.len() as u64 <= BUNDLE_HEAD_LEN;
            if let Some(piece) = piece.filter(fits) {
                self.came += piece.len() as u64;
                if self.came >= ASK_FROM {
                    rest.ask();
                }
                return Ok(Some(piece));
            }
        }
        if let Some(rest) = self.rest.take() {
            self.bytes = rest.from(self.came).await?;
        }
        match self.bytes.try_next().await? {
            None if !self.is_sound => Err(broken_off("its head is not known to be right")),
            piece => Ok(piece),
        }
    }
}

/// Where a bundle is read.
#[derive(Clone)]
struct Source {
    below: Arc<dyn ProfileShelf>,
    of: Reference,
    id: BundleId,
}

impl Source {
    async fn bytes(self, range: Range<u64>) -> Result<BundleBytes, HostError> {
        self.below.bundle(&self.of, &self.id, range).await
    }
}

struct Rest {
    source: Source,
    end: u64,
    /// What is behind the head.
    under_way: Option<JoinHandle<Result<BundleBytes, HostError>>>,
}

impl Rest {
    fn ask(&mut self) {
        if self.under_way.is_none() && self.end > BUNDLE_HEAD_LEN {
            let asked = self.source.clone().bytes(BUNDLE_HEAD_LEN..self.end);
            self.under_way = Some(tokio::spawn(asked));
        }
    }

    /// All from this byte on.
    async fn from(self, start: u64) -> Result<BundleBytes, HostError> {
        let Self { source, end, under_way } = self;
        match under_way {
            Some(asked) if start == BUNDLE_HEAD_LEN => {
                asked.await.unwrap_or_else(|_| Err(broken_off("the fetch ended without an answer")))
            }
            _ if start >= end => Ok(nothing()),
            _ => source.bytes(start..end).await,
        }
    }
}

fn nothing() -> BundleBytes {
    futures::stream::empty().boxed()
}
