//! Names and manifests through the host cache, with the origin there, slow, away, and back.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use frazil_cache::host::{
    Catalog, Freshness, Guarded, HostError, KeptCatalog, KeptOptions, LazyStore, Named, Opened, Peers,
    ServerOptions, TenantsOf,
};
use frazil_cache::resilience::{Admission, AdmissionOptions, Health, Slots};
use frazil_cache::{ErrorClass, Memory, Origin, Tier};
use frazil_format::{
    Chunk, ChunkKey, DataKey, Geometry, Manifest, ManifestId, RootId, ScopeId, SealedManifest, WrappedKey,
};
use frazil_store::{ImageName, Reference, Store, StoreLocation, StoreOptions};
use futures::FutureExt;
use futures::future::join_all;

use super::stand::{NoCatalog, Stand, until};
use crate::stages::{below, chunks, read_all, scratch};

/// A manifest of so many chunks, which nobody has.
pub(super) fn manifest(chunk_count: usize) -> (ManifestId, Bytes) {
    let chunks: Vec<Chunk> = (0..chunk_count)
        .map(|number| Chunk {
            offset: 4096 * number as u64,
            len: 4096,
            sealed_len: 4113,
            id: frazil_format::ChunkId::of(&number.to_le_bytes()),
        })
        .collect();
    let image_len = 4096 * chunk_count as u64;
    let keys = vec![ChunkKey::from_bytes([1; 32]); chunk_count];
    let geometry = Geometry {
        root: RootId::FIRST,
        tenant: "default".into(),
        name: "image".into(),
        created_seconds: 1,
        metadata_len: image_len,
        metadata_scope: ScopeId::from_bytes([2; 16]),
        image_len,
        layers: Vec::new(),
    };
    let wrapped = WrappedKey { provider: "none".into(), key_id: "none".into(), bytes: vec![0; 40] };
    let manifest = Manifest { geometry, chunks, keys, config: b"{}".to_vec() };
    let (id, bytes) = manifest.seal(&DataKey::from_bytes([3; 32]), wrapped).unwrap();
    (id, bytes.into())
}

fn name() -> ImageName {
    "docker.io/library/image:1".parse().unwrap()
}

/// A catalog of one image, whose name can be moved and whose connection can be cut.
#[derive(Debug)]
pub(super) struct OneImage {
    id: ManifestId,
    bytes: Bytes,
    mood: std::sync::Mutex<Mood>,
    asked: AtomicU64,
    mounts: AtomicU64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Mood {
    There,
    Nobodys,
    Away,
    Silent,
}

impl OneImage {
    pub(super) fn new(chunk_count: usize) -> Arc<Self> {
        let (id, bytes) = manifest(chunk_count);
        let mood = std::sync::Mutex::new(Mood::There);
        Arc::new(Self { id, bytes, mood, asked: AtomicU64::new(0), mounts: AtomicU64::new(0) })
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(super) fn reference(&self) -> Reference {
        Reference { root: RootId::FIRST, manifest: self.id }
    }

    async fn meet(&self) -> Result<bool, HostError> {
        self.asked.fetch_add(1, SeqCst);
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::There => Ok(true),
            Mood::Nobodys => Ok(false),
            Mood::Silent => std::future::pending().await,
            Mood::Away => {
                let source = Arc::new(std::io::Error::other("no route to host"));
                let (what, class) = ("the name".to_owned(), ErrorClass::Transient);
                Err(HostError::LookUp { what, class, source })
            }
        }
    }
}

#[async_trait]
impl Catalog for OneImage {
    async fn reference(&self, _: &str, _: &ImageName) -> Result<Option<Named>, HostError> {
        let named = Named { reference: OneImage::reference(self), freshness: Freshness::Fresh };
        Ok(self.meet().await?.then_some(named))
    }

    async fn manifest(&self, _: RootId, _: &ManifestId) -> Result<Bytes, HostError> {
        self.meet().await?;
        Ok(self.bytes.clone())
    }

    async fn in_use(&self, _: RootId, id: &ManifestId) {
        assert_eq!(*id, self.id);
        self.mounts.fetch_add(1, SeqCst);
    }
}

impl fmt::Display for OneImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one image")
    }
}

fn kept(below: &Arc<OneImage>, directory: &Path) -> Arc<KeptCatalog> {
    let options = KeptOptions { patience: Duration::from_millis(50), ..KeptOptions::new(directory) };
    Arc::new(KeptCatalog::new(Arc::clone(below) as Arc<dyn Catalog>, &options))
}

fn stand(catalog: Arc<dyn Catalog>) -> Stand {
    Stand::new(Arc::new(Memory::new(below(&[]), 0)), catalog, ServerOptions::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_gets_name_and_manifest_through_the_host_cache_alone() {
    let image = OneImage::new(3);
    let stand = stand(Arc::clone(&image) as Arc<dyn Catalog>);
    let agent = stand.agent();
    let named = agent.reference("default", &name()).await.unwrap().unwrap();
    assert_eq!(named, Named { reference: image.reference(), freshness: Freshness::Fresh });
    let bytes = agent.manifest(named.reference.root, &named.reference.manifest).await.unwrap();
    assert_eq!(SealedManifest::parse(bytes).unwrap().chunks().len(), 3);
    image.is(Mood::Nobodys);
    assert_eq!(agent.reference("default", &name()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_word_that_an_image_is_mounted_reaches_the_catalog_and_reads_no_manifest() {
    let (directory, image) = (scratch(), OneImage::new(3));
    let kept = kept(&image, directory.path());
    let stand = stand(Arc::clone(&kept) as Arc<dyn Catalog>);
    let agent = stand.agent();
    // Whoever asks for a manifest is about to mount it, and says so by that.
    agent.manifest(RootId::FIRST, &image.id).await.unwrap();
    until(|| image.mounts.load(SeqCst) == 1).await;
    let (before, requests) = (kept.stats(), stand.server().stats().requests);
    agent.in_use(RootId::FIRST, &image.id).await;
    until(|| image.mounts.load(SeqCst) == 2).await;
    assert_eq!((kept.stats(), image.asked.load(SeqCst)), (before, 1));
    assert_eq!(stand.server().stats().requests.manifests, requests.manifests);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_of_many_pieces_arrives_whole() {
    let image = OneImage::new(250_000);
    assert!(image.bytes.len() > 2 * (8 << 20), "{} bytes", image.bytes.len());
    let stand = stand(Arc::clone(&image) as Arc<dyn Catalog>);
    let bytes = stand.agent().manifest(RootId::FIRST, &image.id).await.unwrap();
    assert!(bytes == image.bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_catalog_keep_their_class_and_their_words() {
    let agent_stand = stand(Arc::new(NoCatalog));
    let (id, _) = manifest(1);
    let error = agent_stand.agent().manifest(RootId::FIRST, &id).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("there is none"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_is_another_is_refused_by_the_agent() {
    let image = OneImage::new(3);
    let stand = stand(Arc::clone(&image) as Arc<dyn Catalog>);
    let (other, _) = manifest(2);
    let error = stand.agent().manifest(RootId::FIRST, &other).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Corrupt);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_agents_fetch_one_manifest_once() {
    let (directory, image) = (scratch(), OneImage::new(100));
    let stand = stand(kept(&image, directory.path()));
    let agents = (0..100).map(|_| {
        let (agent, id) = (stand.agent(), image.id);
        tokio::spawn(async move { agent.manifest(RootId::FIRST, &id).await.unwrap() })
    });
    for bytes in join_all(agents).await {
        assert!(bytes.unwrap() == image.bytes);
    }
    assert_eq!(image.asked.load(SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_known_last_is_the_answer_while_the_origin_is_away_and_says_so() {
    let (directory, image) = (scratch(), OneImage::new(3));
    let first = kept(&image, directory.path());
    assert_eq!(first.reference("default", &name()).await.unwrap().unwrap().freshness, Freshness::Fresh);
    first.manifest(RootId::FIRST, &image.id).await.unwrap();
    drop(first);
    // Another process, later; first the origin refuses connections, then it says nothing at all.
    for mood in [Mood::Away, Mood::Silent] {
        image.is(mood);
        let later = kept(&image, directory.path());
        let stand = stand(Arc::clone(&later) as Arc<dyn Catalog>);
        let agent = stand.agent();
        let named = agent.reference("default", &name()).await.unwrap().unwrap();
        assert_eq!(named, Named { reference: image.reference(), freshness: Freshness::LastKnown });
        assert!(agent.manifest(RootId::FIRST, &image.id).await.unwrap() == image.bytes);
        let stats = later.stats();
        assert_eq!((stats.last_known_references, stats.manifest_hits, stats.manifest_fetches), (1, 1, 0));
    }
    // A name that was taken away stays away, also when the origin is gone again.
    image.is(Mood::Nobodys);
    let later = kept(&image, directory.path());
    assert_eq!(later.reference("default", &name()).await.unwrap(), None);
    image.is(Mood::Away);
    assert_eq!(later.reference("default", &name()).await.unwrap_err().class(), ErrorClass::Transient);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_kept_file_is_fetched_again_and_never_served() {
    let (directory, image) = (scratch(), OneImage::new(3));
    let catalog = kept(&image, directory.path());
    catalog.manifest(RootId::FIRST, &image.id).await.unwrap();
    catalog.reference("default", &name()).await.unwrap();
    let file = directory.path().join(format!("manifests/{}/{}", RootId::FIRST, image.id));
    for damaged in [&image.bytes[..100], b"", &[&image.bytes[..], b"x"].concat()] {
        std::fs::write(&file, damaged).unwrap();
        assert!(catalog.manifest(RootId::FIRST, &image.id).await.unwrap() == image.bytes);
        assert_eq!(std::fs::read(&file).unwrap(), image.bytes, "healed");
    }
    assert_eq!((catalog.stats().damaged, catalog.stats().manifest_fetches), (3, 4));
    let references = std::fs::read_dir(directory.path().join("references")).unwrap();
    for file in references {
        std::fs::write(file.unwrap().path(), b"{\"tenant\":\"default\"").unwrap();
    }
    image.is(Mood::Away);
    assert!(catalog.reference("default", &name()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_are_kept_within_their_budget() {
    let (directory, image) = (scratch(), OneImage::new(3));
    let options = KeptOptions {
        manifest_bytes: image.bytes.len() as u64 * 5 / 2,
        ..KeptOptions::new(directory.path())
    };
    let catalog = KeptCatalog::new(Arc::clone(&image) as Arc<dyn Catalog>, &options);
    for root in 1..=5 {
        catalog.manifest(RootId::from_number(root), &image.id).await.unwrap();
    }
    let files = (1..=5)
        .map(|root| format!("manifests/{}/{}", RootId::from_number(root), image.id))
        .filter(|file| directory.path().join(file).exists());
    assert_eq!(files.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_written_keeps_nothing_and_breaks_nothing() {
    let image = OneImage::new(3);
    let catalog = kept(&image, Path::new("/proc/frazil"));
    assert!(catalog.reference("default", &name()).await.unwrap().is_some());
    assert!(catalog.manifest(RootId::FIRST, &image.id).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_asks_for_the_names_of_its_tenants_only() {
    let image = OneImage::new(1);
    let own = rustix::process::geteuid().as_raw();
    let policy = TenantsOf([(own.wrapping_add(1), ["red".to_owned()].into())].into());
    let peers = Peers { tenants: Arc::new(policy), ..Peers::default() };
    let options = ServerOptions { peers, ..ServerOptions::default() };
    let stand = Stand::new(Arc::new(Memory::new(below(&[]), 0)), image, options);
    // The server's own user asks for all of them; others are told apart where the policy is.
    assert!(stand.agent().reference("blue", &name()).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_not_there_yet_is_opened_when_it_is() {
    let directory = scratch();
    let location = StoreLocation::directory(directory.path().join("store")).unwrap();
    let attempts = Arc::new(AtomicU64::new(0));
    let lazy = {
        let (location, attempts) = (location.clone(), Arc::clone(&attempts));
        LazyStore::new("origin", move || {
            let location = location.clone();
            attempts.fetch_add(1, SeqCst);
            async move {
                let store = Store::open(&location, &StoreOptions::default()).await?;
                let (tier, catalog) = (Arc::new(Origin::new(store.clone())), Arc::new(store.clone()));
                Ok(Opened { tier, catalog, profiles: Arc::new(store) })
            }
            .boxed()
        })
    };
    assert_eq!(attempts.load(SeqCst), 0, "nothing is opened before it is needed");
    let image = chunks(0..2, 5000);
    let lazy = Arc::new(lazy);
    // The socket answers at once; what is not cached may be there later.
    let memory = Arc::new(Memory::new(Arc::clone(&lazy) as Arc<dyn Tier>, 1 << 20));
    let stand = Stand::new(memory, Arc::clone(&lazy) as Arc<dyn Catalog>, ServerOptions::default());
    let agent = stand.agent();
    agent.ping().await.unwrap();
    assert_eq!(agent.get(&image[0].wanted).await.unwrap_err().class(), ErrorClass::Transient);
    assert_eq!(agent.reference("default", &name()).await.unwrap_err().class(), ErrorClass::Transient);
    let store = Store::open_or_create(&location, &StoreOptions::default()).await.unwrap();
    for sample in &image {
        store.put_chunk(sample.wanted.root, &sample.wanted.id, &sample.chunk).await.unwrap();
    }
    let before = attempts.load(SeqCst);
    read_all(&agent, &image).await;
    assert_eq!(agent.reference("default", &name()).await.unwrap(), None);
    assert_eq!(attempts.load(SeqCst), before + 1, "one store for all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_mount_is_told_to_come_back_while_the_origin_is_overloaded() {
    let image = OneImage::new(3);
    let options = AdmissionOptions {
        // Nobody waits, and that is too many.
        most_waiting: 0,
        most_failed: 0.5,
        enough_requests: 10,
        retry_after: Duration::from_secs(7),
    };
    let admission = Admission::new(Slots::new(1, 1), Arc::new(Health::new()), options);
    let guarded = {
        let admission = admission.clone();
        Guarded::new(Arc::clone(&image) as Arc<dyn Catalog>, Arc::new(move || Some(admission.clone())))
    };
    let stand = stand(Arc::new(guarded));
    let error = stand.agent().reference("default", &name()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient);
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("try again in 7 s"), "{why}");
    assert_eq!((admission.refusals(), image.asked.load(SeqCst)), (1, 0));
    // Who is mounted already goes on.
    assert!(stand.agent().manifest(RootId::FIRST, &image.id).await.is_ok());
}
