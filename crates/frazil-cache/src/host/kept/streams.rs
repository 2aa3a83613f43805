//! What is fetched into files and handed on while it comes: once, however many ask.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use frazil_store::ErrorClass;
use futures::stream::{StreamExt, TryStreamExt, try_unfold};
use tokio::sync::watch;

use super::files::{Files, Outcome};
use crate::host::{BundleBytes, HostError};

/// The streams that are under way, by the name of the file that keeps what comes.
#[derive(Debug)]
pub(in crate::host) struct Streams {
    files: Option<Files>,
    under_way: Arc<UnderWay>,
}

type UnderWay = Mutex<HashMap<String, watch::Sender<Progress>>>;

/// What came so far, and how it ended.
#[derive(Default, Debug)]
struct Progress {
    pieces: Vec<Bytes>,
    end: Option<Result<(), HostError>>,
}

/// Where it came from.
#[derive(PartialEq, Eq)]
enum Origin {
    File,
    Fetch,
}

impl Streams {
    /// What comes goes into these files; without them, only what is under way is shared.
    pub(in crate::host) fn into(files: Option<Files>) -> Self {
        Self { files, under_way: Arc::default() }
    }

    /// The content of this file, which has `len` bytes; if it is not there, what is fetched for it. A fetch of
    /// another length fails. It runs to its end even if nobody waits for it any more.
    pub(in crate::host) fn join(
        &self,
        file: String,
        len: u64,
        fetch: impl Future<Output = Result<BundleBytes, HostError>> + Send + 'static,
    ) -> BundleBytes {
        let mut under_way = lock(&self.under_way);
        if let Some(coming) = under_way.get(&file) {
            return handed_on(coming.subscribe());
        }
        let (coming, progress) = watch::channel(Progress::default());
        under_way.insert(file.clone(), coming.clone());
        let (files, end) = (self.files.clone(), End { under_way: Arc::clone(&self.under_way), file });
        tokio::spawn(async move {
            let brought = bring(files.as_ref(), &end.file, len, fetch, &coming).await;
            let is_new = brought.as_ref().is_ok_and(|from| *from == Origin::Fetch);
            coming.send_modify(|progress| progress.end = Some(brought.map(|_| ())));
            if let Some(files) = files.filter(|_| is_new) {
                // Until it is kept, whoever asks finds it under way.
                let whole = coming.borrow().pieces.concat();
                files.write(&end.file, whole.into()).await;
            }
        });
        handed_on(progress)
    }
}

async fn bring(
    files: Option<&Files>,
    file: &str,
    len: u64,
    fetch: impl Future<Output = Result<BundleBytes, HostError>>,
    coming: &watch::Sender<Progress>,
) -> Result<Origin, HostError> {
    let hand_on = |piece| coming.send_modify(|progress: &mut Progress| progress.pieces.push(piece));
    if let Some(files) = files
        && let Outcome::Found(bytes) = files.read(file, len).await
        && bytes.len() as u64 == len
    {
        hand_on(bytes);
        return Ok(Origin::File);
    }
    let (mut pieces, mut came) = (fetch.await?, 0_u64);
    while let Some(piece) = pieces.try_next().await? {
        came = came.saturating_add(piece.len() as u64);
        if came > len {
            break;
        }
        hand_on(piece);
    }
    if came != len {
        return Err(broken_off("another number of bytes came than was asked for"));
    }
    Ok(Origin::Fetch)
}

/// What came, and what comes.
fn handed_on(progress: watch::Receiver<Progress>) -> BundleBytes {
    try_unfold((progress, 0), |(mut progress, at)| async move {
        loop {
            {
                let now = progress.borrow_and_update();
                match (now.pieces.get(at), &now.end) {
                    (Some(piece), _) => {
                        let piece = piece.clone();
                        drop(now);
                        return Ok(Some((piece, (progress, at + 1))));
                    }
                    (None, Some(Ok(()))) => return Ok(None),
                    (None, Some(Err(error))) => return Err(error.clone()),
                    (None, None) => {}
                }
            }
            if progress.changed().await.is_err() {
                return Err(broken_off("the fetch ended without an answer"));
            }
        }
    })
    .boxed()
}

fn broken_off(why: &'static str) -> HostError {
    HostError::remark("what is beside a manifest".to_owned(), ErrorClass::Transient, why)
}

/// Takes a stream off the table when it ends, however it ends.
struct End {
    under_way: Arc<UnderWay>,
    file: String,
}

impl Drop for End {
    fn drop(&mut self) {
        lock(&self.under_way).remove(&self.file);
    }
}

fn lock(under_way: &UnderWay) -> MutexGuard<'_, HashMap<String, watch::Sender<Progress>>> {
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use futures::stream;
    use tokio::sync::mpsc;

    use super::*;

    fn streams() -> (tempfile::TempDir, Streams) {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::new(directory.path().join("kept"), 1 << 20);
        (directory, Streams::into(Some(files)))
    }

    fn once(bytes: &'static [u8]) -> impl Future<Output = Result<BundleBytes, HostError>> {
        std::future::ready(Ok(stream::iter([Ok(Bytes::from_static(bytes))]).boxed()))
    }

    async fn all(bytes: BundleBytes) -> Result<Vec<u8>, HostError> {
        Ok(bytes.try_collect::<Vec<_>>().await?.concat())
    }

    #[tokio::test]
    async fn what_came_is_there_for_all_before_the_rest_comes() {
        let (_directory, streams) = streams();
        let (send, mut coming) = mpsc::channel(1);
        let fetches = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&fetches);
        let mut first = streams.join("a".to_owned(), 6, async move {
            counted.fetch_add(1, Relaxed);
            Ok(stream::poll_fn(move |context| coming.poll_recv(context)).boxed())
        });
        send.send(Ok(Bytes::from_static(b"abc"))).await.unwrap();
        assert_eq!(first.try_next().await.unwrap().unwrap(), b"abc".as_slice());
        let mut second = streams.join("a".to_owned(), 6, async { unreachable!("it is under way") });
        assert_eq!(second.try_next().await.unwrap().unwrap(), b"abc".as_slice());
        send.send(Ok(Bytes::from_static(b"def"))).await.unwrap();
        drop(send);
        assert_eq!(all(first).await.unwrap(), b"def");
        assert_eq!(all(second).await.unwrap(), b"def");
        assert_eq!(fetches.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn what_came_once_is_kept_and_what_has_another_length_is_not() {
        let (directory, streams) = streams();
        assert_eq!(all(streams.join("a".to_owned(), 3, once(b"abc"))).await.unwrap(), b"abc");
        // The write comes after the last reader.
        while !directory.path().join("kept/a").exists() {
            tokio::task::yield_now().await;
        }
        assert_eq!(all(streams.join("a".to_owned(), 3, once(b"xyz"))).await.unwrap(), b"abc");
        for (len, bytes) in [(4, b"abc".as_slice()), (2, b"abc")] {
            let error = all(streams.join(format!("b{len}"), len, once(bytes))).await.unwrap_err();
            assert_eq!(error.class(), ErrorClass::Transient);
            assert!(!directory.path().join(format!("kept/b{len}")).exists());
        }
    }

    #[tokio::test]
    async fn an_error_reaches_all_who_wait_and_the_next_one_tries_again() {
        let (_directory, streams) = streams();
        let (send, fail) = tokio::sync::oneshot::channel::<HostError>();
        let mut failing = streams.join("b".to_owned(), 3, async { Err(fail.await.unwrap()) });
        let other = streams.join("b".to_owned(), 3, async { unreachable!("it is under way") });
        send.send(broken_off("the link is cut")).unwrap();
        assert!(failing.try_next().await.is_err());
        assert!(all(other).await.is_err());
        while lock(&streams.under_way).contains_key("b") {
            tokio::task::yield_now().await;
        }
        assert_eq!(all(streams.join("b".to_owned(), 3, once(b"abc"))).await.unwrap(), b"abc");
    }
}
