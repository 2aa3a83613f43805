//! What is fetched into files and handed on while it comes: once, however many ask.
//!
//! ```text
//! file    the content | BLAKE3 of it, 32 bytes
//! ```
//!
//! A reader of the content can tell whether it is right, but cannot mend it: so a file that is not whole
//! counts as no file, and is fetched again.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use frazil_store::ErrorClass;
use futures::stream::{StreamExt, TryStreamExt, try_unfold};
use tokio::sync::watch;

use super::files::{Files, Outcome};
use crate::host::{BundleBytes, HostError};

const HASH_LEN: usize = blake3::OUT_LEN;

/// Streams that are under way, and what came of the latest.
#[derive(Debug)]
pub(in crate::host) struct Streams {
    files: Option<Files>,
    /// The most bytes of one stream.
    max_len: u64,
    table: Arc<Table>,
}

#[derive(Debug)]
struct Table {
    /// Bytes that stay in memory when their stream has ended.
    memory_bytes: u64,
    state: Mutex<State>,
}

#[derive(Default, Debug)]
struct State {
    by_file: HashMap<String, watch::Sender<Progress>>,
    /// Those that have ended and stay for now, the oldest first, with their lengths.
    ended: VecDeque<(String, u64)>,
    ended_bytes: u64,
}

/// What came so far, and how it ended.
#[derive(Default, Debug)]
struct Progress {
    pieces: Vec<Bytes>,
    end: Option<Result<(), HostError>>,
}

#[derive(PartialEq, Eq)]
enum CameFrom {
    File,
    Fetch,
}

impl Streams {
    /// Streams of at most `max_len` bytes, kept in files if there are any, and the latest in `memory_bytes`
    /// of memory.
    pub(in crate::host) fn new(files: Option<Files>, max_len: u64, memory_bytes: u64) -> Self {
        let table = Table { memory_bytes, state: Mutex::default() };
        Self { files, max_len, table: Arc::new(table) }
    }

    /// A part of this file's content, which is fetched if the file is not there. The fetch goes on to its end
    /// even if nobody waits for it any more.
    pub(in crate::host) fn join(
        &self,
        file: String,
        part: Range<u64>,
        fetch: impl Future<Output = Result<BundleBytes, HostError>> + Send + 'static,
    ) -> BundleBytes {
        let mut state = self.table.lock();
        if let Some(coming) = state.by_file.get(&file) {
            return handed_on(coming.subscribe(), part);
        }
        let (coming, progress) = watch::channel(Progress::default());
        state.by_file.insert(file.clone(), coming.clone());
        let (files, max_len) = (self.files.clone(), self.max_len);
        let entry = Entry { table: Arc::clone(&self.table), file, len: None };
        // A runtime that is shutting down drops what it is given at once, and the entry locks the table.
        drop(state);
        tokio::spawn(bring(entry, files, max_len, fetch, coming));
        handed_on(progress, part)
    }
}

async fn bring(
    mut entry: Entry,
    files: Option<Files>,
    max_len: u64,
    fetch: impl Future<Output = Result<BundleBytes, HostError>>,
    coming: watch::Sender<Progress>,
) {
    let brought = read_or_fetch(files.as_ref(), &entry.file, max_len, fetch, &coming).await;
    entry.len = brought.is_ok().then(|| coming.borrow().pieces.iter().map(|piece| piece.len() as u64).sum());
    let is_new = brought.as_ref().is_ok_and(|from| *from == CameFrom::Fetch);
    coming.send_modify(|progress| progress.end = Some(brought.map(|_| ())));
    if let Some(files) = files.filter(|_| is_new) {
        // Until it is kept, whoever asks finds it under way.
        let pieces = coming.borrow().pieces.clone();
        files.write_parts(&entry.file, move || with_hash(pieces)).await;
    }
}

async fn read_or_fetch(
    files: Option<&Files>,
    file: &str,
    max_len: u64,
    fetch: impl Future<Output = Result<BundleBytes, HostError>>,
    coming: &watch::Sender<Progress>,
) -> Result<CameFrom, HostError> {
    let hand_on = |piece| coming.send_modify(|progress: &mut Progress| progress.pieces.push(piece));
    if let Some(files) = files
        && let Outcome::Found(bytes) = files.read(file, max_len.saturating_add(HASH_LEN as u64)).await
        && let Some(content) = without_hash(bytes)
    {
        hand_on(content);
        return Ok(CameFrom::File);
    }
    let (mut pieces, mut came) = (fetch.await?, 0_u64);
    while let Some(piece) = pieces.try_next().await? {
        came = came.saturating_add(piece.len() as u64);
        if came > max_len {
            return Err(broken_off("more came than was asked for"));
        }
        hand_on(piece);
    }
    if came == 0 {
        return Err(broken_off("nothing came"));
    }
    Ok(CameFrom::Fetch)
}

fn with_hash(mut pieces: Vec<Bytes>) -> Vec<Bytes> {
    let mut hasher = blake3::Hasher::new();
    for piece in &pieces {
        hasher.update(piece);
    }
    pieces.push(Bytes::copy_from_slice(hasher.finalize().as_bytes()));
    pieces
}

fn without_hash(mut bytes: Bytes) -> Option<Bytes> {
    let hash = bytes.split_off(bytes.len().checked_sub(HASH_LEN)?);
    (blake3::hash(&bytes).as_bytes().as_slice() == hash).then_some(bytes)
}

/// A part of what came, and of what comes.
fn handed_on(progress: watch::Receiver<Progress>, part: Range<u64>) -> BundleBytes {
    // Where the next piece starts, and which it is.
    try_unfold((progress, 0_u64, 0_usize), move |(mut progress, mut start, mut next)| {
        let part = part.clone();
        async move {
            while start < part.end {
                let piece = {
                    let now = progress.borrow_and_update();
                    match (now.pieces.get(next), &now.end) {
                        (Some(piece), _) => Some(piece.clone()),
                        (None, Some(Ok(()))) => return Err(broken_off("it is shorter than that")),
                        (None, Some(Err(error))) => return Err(error.clone()),
                        (None, None) => None,
                    }
                };
                let Some(piece) = piece else {
                    if progress.changed().await.is_err() {
                        return Err(broken_off("the fetch ended without an answer"));
                    }
                    continue;
                };
                let wanted = within(&piece, start, &part);
                (start, next) = (start.saturating_add(piece.len() as u64), next + 1);
                if !wanted.is_empty() {
                    return Ok(Some((wanted, (progress, start, next))));
                }
            }
            Ok(None)
        }
    })
    .boxed()
}

/// The bytes of a piece, which starts at `start`, that belong to the part.
fn within(piece: &Bytes, start: u64, part: &Range<u64>) -> Bytes {
    let len = piece.len() as u64;
    let [from, to] = [part.start, part.end].map(|edge| edge.saturating_sub(start).min(len) as usize);
    piece.slice(from..to.max(from))
}

pub(in crate::host) fn broken_off(why: &'static str) -> HostError {
    HostError::remark("what is beside a manifest".to_owned(), ErrorClass::Transient, why)
}

/// A place in the table, which a stream leaves when it ends, however it ends; what came whole may stay for a while.
struct Entry {
    table: Arc<Table>,
    file: String,
    len: Option<u64>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = self.table.lock();
        let file = std::mem::take(&mut self.file);
        match self.len.filter(|len| *len <= self.table.memory_bytes) {
            None => drop(state.by_file.remove(&file)),
            Some(len) => {
                state.ended.push_back((file, len));
                state.ended_bytes = state.ended_bytes.saturating_add(len);
            }
        }
        while state.ended_bytes > self.table.memory_bytes
            && let Some((oldest, len)) = state.ended.pop_front()
        {
            state.by_file.remove(&oldest);
            state.ended_bytes = state.ended_bytes.saturating_sub(len);
        }
    }
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use std::path::Path;

    use futures::{FutureExt, stream};
    use tokio::sync::mpsc;

    use super::*;
    use crate::ending::in_a_runtime_that_ends;

    const MAX_LEN: u64 = 100;

    fn streams(directory: &Path) -> Streams {
        Streams::new(Some(Files::new(directory.join("kept"), 1 << 20)), MAX_LEN, 0)
    }

    fn once(bytes: &'static [u8]) -> impl Future<Output = Result<BundleBytes, HostError>> {
        std::future::ready(Ok(stream::iter([Ok(Bytes::from_static(bytes))]).boxed()))
    }

    async fn never() -> Result<BundleBytes, HostError> {
        unreachable!("it is there, or under way")
    }

    async fn all(bytes: BundleBytes) -> Result<Vec<u8>, HostError> {
        Ok(bytes.try_collect::<Vec<_>>().await?.concat())
    }

    /// Waits until nothing is under way: what came is written behind its last reader.
    async fn settled(streams: &Streams) {
        while !streams.table.lock().by_file.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_came_is_there_for_all_before_the_rest_comes() {
        let directory = tempfile::tempdir().unwrap();
        let streams = streams(directory.path());
        let (send, mut coming) = mpsc::channel(1);
        let fetch = async move { Ok(stream::poll_fn(move |context| coming.poll_recv(context)).boxed()) };
        let mut first = streams.join("a".to_owned(), 0..6, fetch);
        send.send(Ok(Bytes::from_static(b"abc"))).await.unwrap();
        assert_eq!(first.try_next().await.unwrap().unwrap(), b"abc".as_slice());
        let mut second = streams.join("a".to_owned(), 1..5, never());
        assert_eq!(second.try_next().await.unwrap().unwrap(), b"bc".as_slice());
        send.send(Ok(Bytes::from_static(b"def"))).await.unwrap();
        drop(send);
        assert_eq!(all(first).await.unwrap(), b"def");
        assert_eq!(all(second).await.unwrap(), b"de");
    }

    #[tokio::test]
    async fn what_came_whole_is_kept_and_what_is_damaged_is_fetched_again() {
        let directory = tempfile::tempdir().unwrap();
        let streams = streams(directory.path());
        let read = async |part, fetch| {
            let came = all(streams.join("a".to_owned(), part, fetch)).await;
            settled(&streams).await;
            came
        };
        assert_eq!(read(0..3, once(b"abcdef")).await.unwrap(), b"abc");
        let file = directory.path().join("kept/a");
        let kept = std::fs::read(&file).unwrap();
        assert_eq!(all(streams.join("a".to_owned(), 4..6, never())).await.unwrap(), b"ef");
        settled(&streams).await;
        assert!(read(4..7, once(b"")).await.is_err(), "it is shorter");
        for damaged in [&kept[..kept.len() - 1], &[0; 38], b""] {
            std::fs::write(&file, damaged).unwrap();
            assert_eq!(read(0..6, once(b"abcdef")).await.unwrap(), b"abcdef");
            assert_eq!(std::fs::read(&file).unwrap(), kept);
        }
    }

    #[tokio::test]
    async fn an_error_reaches_all_who_wait_and_the_next_one_tries_again() {
        let directory = tempfile::tempdir().unwrap();
        let streams = streams(directory.path());
        let (send, fail) = tokio::sync::oneshot::channel::<HostError>();
        let mut first = streams.join("a".to_owned(), 0..3, async { Err(fail.await.unwrap()) });
        let second = streams.join("a".to_owned(), 0..3, never());
        send.send(broken_off("the link is cut")).unwrap();
        assert!(first.try_next().await.is_err());
        assert!(all(second).await.is_err());
        settled(&streams).await;
        let too_long =
            all(streams.join("a".to_owned(), 0..MAX_LEN + 1, once(&[7; MAX_LEN as usize + 1]))).await;
        assert!(too_long.is_err());
        settled(&streams).await;
        assert!(!directory.path().join("kept/a").exists(), "neither is kept");
        assert_eq!(all(streams.join("a".to_owned(), 0..3, once(b"abc"))).await.unwrap(), b"abc");
    }

    #[test]
    fn a_stream_that_begins_while_its_runtime_ends_is_lost_and_hangs_nobody() {
        let lost = in_a_runtime_that_ends(|| {
            let streams = Streams::new(None, MAX_LEN, 0);
            let lost = all(streams.join("a".to_owned(), 0..3, std::future::pending())).now_or_never();
            assert!(streams.table.lock().by_file.is_empty());
            lost
        });
        assert!(matches!(lost, Some(Err(_))), "{lost:?}");
    }

    #[tokio::test]
    async fn without_files_the_latest_stay_in_memory() {
        let streams = Streams::new(None, MAX_LEN, 8);
        for (file, content) in [("a", b"aaaa"), ("b", b"bbbb"), ("c", b"cccc")] {
            assert_eq!(all(streams.join(file.to_owned(), 0..4, once(content))).await.unwrap(), content);
            while streams.table.lock().ended.back().is_none_or(|(ended, _)| ended != file) {
                tokio::task::yield_now().await;
            }
        }
        for (file, content) in [("b", b"bbbb"), ("c", b"cccc")] {
            assert_eq!(all(streams.join(file.to_owned(), 0..4, never())).await.unwrap(), content);
        }
        assert_eq!(
            all(streams.join("a".to_owned(), 0..4, once(b"AAAA"))).await.unwrap(),
            b"AAAA",
            "it had to go"
        );
    }
}
