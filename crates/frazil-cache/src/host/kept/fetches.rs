//! Manifests on their way from the origin: fetched once, handed on while they come, and kept when all of one is here.
//!
//! Invariant: what is kept, or given as a whole, is the manifest that the id names. What is handed on before is not
//! verified: whoever reads it verifies it section by section.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use frazil_format::{ManifestId, RootId};
use frazil_store::{ErrorClass, MAX_MANIFEST_BYTES};
use futures::stream::{StreamExt, TryStreamExt, try_unfold};
use tokio::sync::watch;

use super::files::{Files, Outcome};
use crate::host::catalog::{about, verified};
use crate::host::{Catalog, HostError, ManifestBytes};

type Key = (RootId, ManifestId);

/// The manifests that are under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Fetches(Arc<Mutex<HashMap<Key, watch::Receiver<Progress>>>>);

/// One of them. Dropping it ends nothing: a manifest that was begun is kept.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    id: ManifestId,
    progress: watch::Receiver<Progress>,
}

/// What came so far, and how it ended.
#[derive(Default, Debug)]
struct Progress {
    /// The length of the whole, in bytes, when it is known.
    len: Option<u64>,
    pieces: Vec<Bytes>,
    end: Option<Result<Bytes, HostError>>,
}

impl Fetches {
    /// The fetch of this manifest that is under way.
    pub(super) fn under_way(&self, root: RootId, id: &ManifestId) -> Option<Fetch> {
        let progress = self.lock().get(&(root, *id))?.clone();
        Some(Fetch { id: *id, progress })
    }

    /// The fetch of this manifest, which is begun if none is under way: from this file if it is there by now, or from
    /// below, which is then `asked`, and into the file. It goes on to its end even if nobody waits for it any more.
    pub(super) fn join(
        &self,
        root: RootId,
        id: &ManifestId,
        below: Arc<dyn Catalog>,
        kept: (Files, String),
        asked: impl FnOnce() + Send + 'static,
    ) -> Fetch {
        let mut under_way = self.lock();
        if let Some(progress) = under_way.get(&(root, *id)) {
            return Fetch { id: *id, progress: progress.clone() };
        }
        let (told, progress) = watch::channel(Progress::default());
        under_way.insert((root, *id), progress.clone());
        let end = End { fetches: self.clone(), key: (root, *id) };
        // A runtime that is shutting down drops what it is given at once, and the end locks the table.
        drop(under_way);
        tokio::spawn(fetch(below, kept, asked, told, end));
        Fetch { id: *id, progress }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, watch::Receiver<Progress>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn fetch(
    below: Arc<dyn Catalog>,
    (files, file): (Files, String),
    asked: impl FnOnce(),
    told: watch::Sender<Progress>,
    end: End,
) {
    // Whoever asks now may have looked just before an earlier fetch ended.
    let whole = match files.read(&file, MAX_MANIFEST_BYTES).await {
        Outcome::Found(bytes) if verified(&end.key.1, bytes.clone()).is_ok() => {
            told.send_modify(|progress| {
                (progress.len, progress.pieces) = (Some(bytes.len() as u64), vec![bytes.clone()]);
            });
            Ok(bytes)
        }
        Outcome::Found(_) | Outcome::Absent => {
            asked();
            let whole = bring(below.as_ref(), end.key, &told).await;
            if let Ok(whole) = &whole {
                // Until it is kept, whoever asks finds it under way.
                files.write(&file, whole.clone()).await;
            }
            whole
        }
    };
    drop(end);
    told.send_modify(|progress| progress.end = Some(whole));
}

async fn bring(
    below: &dyn Catalog,
    (root, id): Key,
    told: &watch::Sender<Progress>,
) -> Result<Bytes, HostError> {
    let ManifestBytes { len, mut bytes } = below.manifest_from(root, &id, 0).await?;
    told.send_modify(|progress| progress.len = Some(len));
    let mut came = 0_u64;
    while let Some(piece) = bytes.try_next().await? {
        came = came.saturating_add(piece.len() as u64);
        if came > len.min(MAX_MANIFEST_BYTES) {
            return Err(HostError::remark(about(&id), ErrorClass::Corrupt, "more came than it is long"));
        }
        told.send_modify(|progress| progress.pieces.push(piece));
    }
    let whole = told.borrow().pieces.concat();
    verified(&id, whole.into())
}

impl Fetch {
    /// All of it, when it has come.
    pub(super) async fn whole(mut self) -> Result<Bytes, HostError> {
        let ended = self.progress.wait_for(|progress| progress.end.is_some()).await;
        ended.ok().and_then(|progress| progress.end.clone()).unwrap_or_else(|| Err(lost(&self.id)))
    }

    /// What comes of it from this byte on, as much at a time as there is.
    pub(super) async fn from(mut self, from: u64) -> Result<ManifestBytes, HostError> {
        let begun = self.progress.wait_for(|progress| progress.len.is_some() || progress.end.is_some()).await;
        let len = match begun.as_deref() {
            Ok(Progress { len: Some(len), .. }) => *len,
            Ok(Progress { end: Some(Err(error)), .. }) => return Err(error.clone()),
            Ok(_) | Err(_) => return Err(lost(&self.id)),
        };
        drop(begun);
        // Where the next piece starts, and which it is.
        let pieces = try_unfold((self, 0_u64, 0_usize), move |(mut fetch, mut start, mut next)| async move {
            while start < len {
                let news = fetch.news(next).await?;
                if news.is_empty() {
                    break;
                }
                next += news.len();
                let news = Bytes::from(news.concat());
                let wanted = news.slice(from.saturating_sub(start).min(news.len() as u64) as usize..);
                start = start.saturating_add(news.len() as u64);
                if !wanted.is_empty() {
                    return Ok(Some((wanted, (fetch, start, next))));
                }
            }
            // Its reader verifies that all of it came.
            Ok(None)
        });
        Ok(ManifestBytes { len, bytes: pieces.boxed() })
    }

    /// The pieces from this one on, at least one; none at the end.
    async fn news(&mut self, next: usize) -> Result<Vec<Bytes>, HostError> {
        let lost = lost(&self.id);
        let there = |progress: &Progress| progress.pieces.len() > next || progress.end.is_some();
        let progress = self.progress.wait_for(|progress| there(progress)).await.map_err(|_| lost)?;
        match (progress.pieces.get(next..), &progress.end) {
            (Some(news), _) if !news.is_empty() => Ok(news.to_vec()),
            (_, Some(Err(error))) => Err(error.clone()),
            _ => Ok(Vec::new()),
        }
    }
}

fn lost(id: &ManifestId) -> HostError {
    HostError::remark(about(id), ErrorClass::Transient, "the fetch ended without an answer")
}

/// Takes a fetch off the table when it ends, however it ends.
struct End {
    fetches: Fetches,
    key: Key,
}

impl Drop for End {
    fn drop(&mut self) {
        self.fetches.lock().remove(&self.key);
    }
}
