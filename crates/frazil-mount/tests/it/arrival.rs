//! Images that are read while their manifest is still on its way: what has come is right at once, what has not is
//! waited for, and what never comes, or comes damaged, fails what needs it and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use frazil_cache::host::{Catalog, HostError, ManifestBytes, Named};
use frazil_cache::{ErrorClass, ImageName, Reference};
use frazil_format::{
    Chunk, Compression, DataKey, FormatError, Geometry, LayerExtent, Manifest, ManifestId, Payload, RootId,
    ScopeSecret, Sealer, WrappedKey,
};
use frazil_mount::{Arrival, ArrivalError, Image, ImageOptions, ReadError, SealedArrival, Source};
use futures::stream::{StreamExt, try_unfold};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::support::sample::{Built, noise};
use crate::support::tier::TestTier;

const CHUNKS: usize = 2500;
const CHUNK_LEN: usize = 4096;

/// Where the second page has not begun, and the first is here: in bytes of the manifest.
const FIRST_PAGE: usize = 90 << 10;

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn data_key() -> DataKey {
    DataKey::from_bytes([5; 32])
}

/// Three pages of small chunks, the last of them behind a hole.
fn built() -> Built {
    let sealer = Sealer::new(&ScopeSecret::from_bytes([3; 32]), RootId::FIRST);
    let mut plain = noise(9, CHUNKS * CHUNK_LEN);
    plain.truncate((CHUNKS - 1) * CHUNK_LEN);
    plain.resize(CHUNKS * CHUNK_LEN, 0);
    plain.extend(noise(10, CHUNK_LEN));
    let (mut chunks, mut keys, mut sealed) = (Vec::new(), Vec::new(), HashMap::new());
    for (number, bytes) in plain.chunks(CHUNK_LEN).enumerate().filter(|(number, _)| number + 1 != CHUNKS) {
        let one = sealer.seal(&Payload::compress(bytes, Compression::None)).unwrap();
        let (offset, len, sealed_len) =
            ((number * CHUNK_LEN) as u64, bytes.len() as u32, one.chunk.len() as u32);
        chunks.push(Chunk { offset, len, sealed_len, id: one.id });
        keys.push(one.key);
        sealed.insert(one.id, one.chunk.into_bytes());
    }
    let (scope, image_len, metadata_len) =
        (ScopeSecret::from_bytes([3; 32]).id(), plain.len() as u64, 10 * CHUNK_LEN as u64);
    let layer = LayerExtent {
        diff_id: frazil_format::DiffId::from_bytes([1; 32]),
        scope,
        offset: metadata_len,
        len: image_len - metadata_len,
    };
    let geometry = Geometry {
        root: RootId::FIRST,
        tenant: "tests".into(),
        name: "sample".into(),
        created_seconds: 0,
        metadata_len,
        metadata_scope: scope,
        image_len,
        layers: vec![layer],
    };
    let manifest = Manifest { geometry, chunks, keys, config: b"{}".to_vec() };
    Built { manifest, sealed, plain, data_at: BTreeMap::new() }
}

/// A catalog of one manifest, of which as much comes as it is told.
#[derive(Debug)]
struct Held {
    id: ManifestId,
    bytes: Mutex<Vec<u8>>,
    /// Up to which byte it comes.
    open_to: watch::Sender<usize>,
    /// Whether what comes next is an error, once.
    is_cut: Arc<AtomicBool>,
    /// Up to which byte it was taken last.
    taken_to: Arc<AtomicU64>,
    asked_from: Mutex<Vec<u64>>,
    pieces: AtomicU64,
}

impl Held {
    fn new(built: &Built, open_to: usize) -> Arc<Self> {
        let wrapped = WrappedKey { provider: "none".into(), key_id: "none".into(), bytes: vec![0; 40] };
        let (id, bytes) = built.manifest.seal(&data_key(), wrapped).unwrap();
        assert!(bytes.len() > 2 * FIRST_PAGE);
        let (open_to, bytes) = (watch::Sender::new(open_to), Mutex::new(bytes));
        let (is_cut, taken_to, asked_from) = (Arc::default(), Arc::default(), Mutex::default());
        Arc::new(Self { id, bytes, open_to, is_cut, taken_to, asked_from, pieces: AtomicU64::new(0) })
    }

    fn open_to(&self, to: usize) {
        self.open_to.send_replace(to);
    }

    /// Flips a bit of the byte at this place, counted from the end.
    fn flip(&self, from_end: usize) {
        let mut bytes = self.bytes.lock().unwrap();
        let at = bytes.len() - from_end;
        bytes[at] ^= 1;
    }

    fn reference(&self) -> Reference {
        Reference { root: RootId::FIRST, manifest: self.id }
    }

    fn asked_from(&self) -> Vec<u64> {
        self.asked_from.lock().unwrap().clone()
    }
}

#[async_trait]
impl Catalog for Held {
    async fn reference(&self, _: &str, _: &ImageName) -> Result<Option<Named>, HostError> {
        Ok(None)
    }

    async fn manifest(&self, _: RootId, _: &ManifestId) -> Result<Bytes, HostError> {
        unreachable!("it is asked for as it comes")
    }

    async fn manifest_from(&self, _: RootId, _: &ManifestId, from: u64) -> Result<ManifestBytes, HostError> {
        self.asked_from.lock().unwrap().push(from);
        let bytes = Bytes::from(self.bytes.lock().unwrap().clone());
        let len = bytes.len() as u64;
        let (open_to, is_cut) = (self.open_to.subscribe(), Arc::clone(&self.is_cut));
        let taken_to = Arc::clone(&self.taken_to);
        let pieces = try_unfold((open_to, from as usize), move |(mut open_to, at)| {
            let (bytes, is_cut, taken_to) = (bytes.clone(), Arc::clone(&is_cut), Arc::clone(&taken_to));
            async move {
                if at == bytes.len() {
                    return Ok(None);
                }
                let to = open_to.wait_for(|to| *to > at).await.map_err(|_| broken())?;
                let end = (*to).min(bytes.len()).min(at + 10_000);
                drop(to);
                if is_cut.swap(false, SeqCst) {
                    return Err(broken());
                }
                taken_to.store(end as u64, SeqCst);
                Ok(Some((bytes.slice(at..end), (open_to, end))))
            }
        });
        self.pieces.fetch_add(1, SeqCst);
        Ok(ManifestBytes { len, bytes: pieces.boxed() })
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a held manifest")
    }
}

fn broken() -> HostError {
    let source = Arc::new(std::io::Error::other("the link is cut"));
    HostError::LookUp { what: "a manifest".to_owned(), class: ErrorClass::Transient, source }
}

async fn begin(held: &Arc<Held>, deadline: Duration) -> Result<SealedArrival, ArrivalError> {
    let coming = held.manifest_from(RootId::FIRST, &held.id, 0).await.unwrap();
    SealedArrival::begin(Arc::clone(held) as Arc<dyn Catalog>, held.reference(), coming, deadline).await
}

/// An image over what has come.
async fn image(held: &Arc<Held>, built: &Built, deadline: Duration) -> Arc<Image> {
    opened(begin(held, deadline).await.unwrap(), built, deadline).await
}

async fn opened(sealed: SealedArrival, built: &Built, deadline: Duration) -> Arc<Image> {
    let Arrival { table, config } = sealed.open(data_key()).await.unwrap();
    assert_eq!(config, b"{}");
    Image::over(
        table,
        TestTier::of(built),
        Handle::current(),
        ImageOptions { deadline, ..ImageOptions::default() },
    )
}

/// Reads this chunk.
async fn read(image: &Arc<Image>, built: &Built, chunk: usize) -> Result<(), ReadError> {
    let bytes = image.read((chunk * CHUNK_LEN) as u64, CHUNK_LEN).await?;
    assert_eq!(bytes, built.plain[chunk * CHUNK_LEN..][..CHUNK_LEN]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_beyond_what_has_come_wait_and_are_right_when_it_comes() {
    let built = built();
    let held = Held::new(&built, FIRST_PAGE);
    let image = image(&held, &built, PATIENCE).await;
    assert_eq!(image.counters().chunks_total, CHUNKS as u64, "all of them are counted");
    read(&image, &built, 3).await.unwrap();
    read(&image, &built, 1023).await.unwrap();
    let beyond = (1024 * CHUNK_LEN) as u64;
    assert!(image.try_with(beyond, 1, |_| ()).is_none());
    // Over the edge, in the last page, in the hole, and behind it.
    let all = [1024, 2000, CHUNKS - 1, CHUNKS];
    let waiting = all.map(|chunk| {
        let (image, built) = (Arc::clone(&image), built.clone());
        tokio::spawn(async move { read(&image, &built, chunk).await })
    });
    let whole = tokio::spawn({
        let image = Arc::clone(&image);
        async move { image.complete_table().await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(waiting.iter().all(|reader| !reader.is_finished()) && !whole.is_finished());
    held.open_to(usize::MAX);
    for reader in waiting {
        reader.await.unwrap().unwrap();
    }
    whole.await.unwrap().unwrap();
    let edge = image.read(beyond - 100, 200).await.unwrap();
    assert_eq!(edge, built.plain[beyond as usize - 100..][..200]);
    assert_eq!(image.sealed_bytes(), built.sealed.values().map(|sealed| sealed.len() as u64).sum::<u64>());
    assert_eq!(held.asked_from(), [0], "one request brings it all");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_never_come_fail_only_what_needs_them_and_are_asked_for_again() {
    let built = built();
    let held = Held::new(&built, FIRST_PAGE);
    let image = image(&held, &built, Duration::from_millis(300)).await;
    let failed = read(&image, &built, 2000).await.unwrap_err();
    assert!(
        matches!(failed, ReadError::Page { page: 1, manifest, .. } | ReadError::PageDeadline { page: 1, manifest, .. } if manifest == held.id),
        "{failed:?}"
    );
    assert_eq!(failed.errno(), libc::EIO);
    read(&image, &built, 7).await.unwrap();
    held.open_to(usize::MAX);
    // Whoever comes just when it is given up shares the failure; the next one does not.
    if read(&image, &built, 2000).await.is_err() {
        read(&image, &built, 2000).await.unwrap();
    }
    read(&image, &built, 1500).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_comes_damaged_is_never_used_and_comes_again() {
    let built = built();
    // In the key page, and in the page of records.
    for from_end in [3, (CHUNKS % 1024) * 32 + 100] {
        let held = Held::new(&built, FIRST_PAGE);
        let image = image(&held, &built, PATIENCE).await;
        held.flip(from_end);
        while held.taken_to.load(SeqCst) < FIRST_PAGE as u64 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // What is under way is what it was: the damage is in what is asked for next.
        held.is_cut.store(true, SeqCst);
        held.open_to(usize::MAX);
        read(&image, &built, 2000).await.unwrap();
        let last = tokio::spawn({
            let (image, built) = (Arc::clone(&image), built.clone());
            async move { read(&image, &built, CHUNKS).await }
        });
        while held.asked_from().len() < 4 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(!last.is_finished());
        held.flip(from_end);
        last.await.unwrap().unwrap();
        let asked = held.asked_from();
        assert!(asked[1] >= FIRST_PAGE as u64, "what came is not asked for again: {asked:?}");
        assert!(asked[2] > asked[1] && asked[2] == asked[3], "the damaged section is: {asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_stays_damaged_fails_its_readers_in_time_with_its_name() {
    let built = built();
    let held = Held::new(&built, FIRST_PAGE);
    let image = image(&held, &built, Duration::from_millis(300)).await;
    held.flip(3);
    held.is_cut.store(true, SeqCst);
    held.open_to(usize::MAX);
    let failed = loop {
        match read(&image, &built, CHUNKS).await.unwrap_err() {
            ReadError::Page { page, source, .. } => break (page, source),
            ReadError::PageDeadline { page: 2, .. } => {}
            other => panic!("{other}"),
        }
    };
    let (2, source) = failed else { panic!("{failed:?}") };
    assert!(
        matches!(&*source, ArrivalError::Format(FormatError::Damaged { what: "key page", number: 2 })),
        "{source}"
    );
    read(&image, &built, 2000).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_that_came_damaged_comes_once_more() {
    let built = built();
    for (at, is_of) in [(100, "header"), (60_000, "first page")] {
        let held = Held::new(&built, usize::MAX);
        let from_end = held.bytes.lock().unwrap().len() - at;
        held.flip(from_end);
        let coming = held.manifest_from(RootId::FIRST, &held.id, 0).await.unwrap();
        held.flip(from_end);
        let catalog = Arc::clone(&held) as Arc<dyn Catalog>;
        let sealed = SealedArrival::begin(catalog, held.reference(), coming, PATIENCE).await.unwrap();
        let image = opened(sealed, &built, PATIENCE).await;
        read(&image, &built, 0).await.unwrap();
        read(&image, &built, CHUNKS).await.unwrap();
        assert_eq!(held.asked_from().len(), 2, "{is_of}: {:?}", held.asked_from());
    }
    // Cut off where somebody says that there is no more.
    for cut in [0, 1, 100, 60_000] {
        let held = Held::new(&built, usize::MAX);
        let begin = Bytes::copy_from_slice(&held.bytes.lock().unwrap()[..cut]);
        let bytes = futures::stream::once(std::future::ready(Ok(begin))).boxed();
        let coming = ManifestBytes { len: cut as u64, bytes };
        let catalog = Arc::clone(&held) as Arc<dyn Catalog>;
        let sealed = SealedArrival::begin(catalog, held.reference(), coming, PATIENCE).await.unwrap();
        read(&opened(sealed, &built, PATIENCE).await, &built, CHUNKS).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_and_a_damaged_front_open_nothing() {
    let built = built();
    let held = Held::new(&built, usize::MAX);
    let sealed = begin(&held, PATIENCE).await.unwrap();
    let refused = sealed.open(DataKey::from_bytes([6; 32])).await.unwrap_err();
    assert!(matches!(refused, ArrivalError::Format(FormatError::WrongDataKey { .. })), "{refused}");
    let header_byte = held.bytes.lock().unwrap().len() - 100;
    held.flip(header_byte);
    let refused = begin(&held, PATIENCE).await.unwrap_err();
    assert!(matches!(refused, ArrivalError::Format(_)), "{refused}");
    held.flip(header_byte);
    // The header is here, the geometry is not.
    let short = Held::new(&built, 700);
    let sealed = begin(&short, Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(sealed, ArrivalError::Stalled(_)), "{sealed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefetch_of_what_has_not_come_goes_on_when_it_has() {
    let built = built();
    let held = Held::new(&built, FIRST_PAGE);
    let image = image(&held, &built, PATIENCE).await;
    let run = image.prefetch([1500, 2400].map(|chunk| image.chunk_index(chunk).unwrap()), Source::Hydrate);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!((run.counts().fetched_chunks, run.counts().skipped_chunks), (0, 0));
    held.open_to(usize::MAX);
    run.finished().await;
    assert_eq!(run.counts().fetched_chunks, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_brought_for_an_image_that_is_gone() {
    let built = built();
    let held = Held::new(&built, FIRST_PAGE);
    let image = image(&held, &built, PATIENCE).await;
    drop(image);
    held.open_to(usize::MAX);
    while Arc::strong_count(&held) > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
