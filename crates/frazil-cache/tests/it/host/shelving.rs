//! Profiles and bundles of agents that reach nothing but the host cache.

use std::sync::Arc;

use bytes::Bytes;
use frazil_cache::host::{
    BundleBytes, BundleHead, HostError, KeptBundles, KeptBundlesOptions, OrLocal, Peer, Peers, ProfileShelf,
    ServerOptions, TenantPolicy,
};
use frazil_cache::{ErrorClass, Memory};
use frazil_format::bounds::MAX_PROFILES_LEN;
use frazil_format::{BundleId, bundle_len};
use frazil_store::{Reference, Store, StoreLocation, StoreOptions};
use futures::{StreamExt, TryStreamExt, stream};

use super::catalog::OneImage;
use super::stand::Stand;
use crate::stages::{Scratch, below, chunks, scratch};

/// Sixteen chunks of 4113 sealed bytes: a bundle of 1 MiB.
const CHUNKS: usize = 16;

struct Scene {
    stand: Stand,
    store: Store,
    directory: Scratch,
    image: Arc<OneImage>,
}

impl Scene {
    async fn with(peers: Peers) -> Self {
        let directory = scratch();
        let location = StoreLocation::directory(directory.path().join("store")).unwrap();
        let store = Store::open_or_create(&location, &StoreOptions::default()).await.unwrap();
        let image = OneImage::new(CHUNKS);
        let kept = KeptBundles::new(
            Arc::new(store.clone()),
            KeptBundlesOptions {
                directory: Some((directory.path().join("bundles"), 64 << 20)),
                head_starts: true,
                ..KeptBundlesOptions::default()
            },
        );
        let options = ServerOptions { peers, profiles: Some(Arc::new(kept)), ..ServerOptions::default() };
        let memory = Arc::new(Memory::new(below(&chunks(0..1, 1000)), 1 << 20));
        let stand = Stand::new(memory, Arc::clone(&image) as _, options);
        Self { stand, store, directory, image }
    }

    fn of(&self) -> Reference {
        self.image.reference()
    }

    async fn bundles(&self) -> Vec<BundleId> {
        self.store.bundles(self.of().root, &self.of().manifest).await.unwrap()
    }
}

fn noise(len: usize) -> Bytes {
    (0..len).map(|at| (at * 31 % 251) as u8).collect::<Vec<_>>().into()
}

fn pieces(bytes: &Bytes) -> BundleBytes {
    let pieces: Vec<_> = bytes.chunks(256 << 10).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces).boxed()
}

async fn read(
    shelf: &dyn ProfileShelf,
    of: &Reference,
    id: &BundleId,
    len: usize,
) -> Result<Vec<u8>, HostError> {
    let parts: Vec<Bytes> = shelf.bundle(of, id, 0..len as u64).await?.try_collect().await?;
    Ok(parts.concat())
}

#[tokio::test]
async fn an_agent_without_a_store_keeps_profiles_and_a_bundle_through_the_host_cache() {
    let scene = Scene::with(Peers::default()).await;
    let (agent, of, id) = (scene.stand.agent(), scene.of(), BundleId::from_bytes([7; 32]));
    assert_eq!(ProfileShelf::profiles(&agent, &of).await.unwrap(), None);
    for len in [4096, MAX_PROFILES_LEN as usize] {
        agent.put_profiles(&of, noise(len)).await.unwrap();
        assert_eq!(ProfileShelf::profiles(&agent, &of).await.unwrap(), Some(noise(len)));
    }
    let bundle = noise(bundle_len(4113 * CHUNKS as u64) as usize);
    agent.put_bundle(&of, &id, pieces(&bundle)).await.unwrap();
    assert_eq!(scene.bundles().await, [id]);
    assert_eq!(read(&agent, &of, &id, bundle.len()).await.unwrap(), bundle);
    agent.delete_bundle(&of, &id).await.unwrap();
    assert!(scene.bundles().await.is_empty());
}

#[tokio::test]
async fn fifty_agents_read_one_bundle_from_the_store_once() {
    let scene = Scene::with(Peers::default()).await;
    let (of, id, bundle) = (scene.of(), BundleId::from_bytes([7; 32]), noise(1 << 20));
    ProfileShelf::put_bundle(&scene.store, &of, &id, pieces(&bundle)).await.unwrap();
    let before = scene.store.requests().gets;
    let agents: Vec<_> = (0..50).map(|_| scene.stand.agent()).collect();
    let reads = agents.iter().map(|agent| read(agent, &of, &id, bundle.len()));
    for read in futures::future::join_all(reads).await {
        assert_eq!(read.unwrap(), bundle);
    }
    assert_eq!(scene.store.requests().gets - before, 1);
}

#[tokio::test]
async fn whoever_looks_first_has_the_bundle_begin_along_with_its_profiles() {
    let scene = Scene::with(Peers::default()).await;
    let (of, id, bundle) = (scene.of(), BundleId::from_bytes([7; 32]), noise(3 << 20));
    let asked = async |agent: &dyn ProfileShelf, what: &str| {
        let before = scene.store.requests().gets;
        assert_eq!(agent.head_start(&of).await.unwrap().profiles, Some(noise(4096)), "{what}");
        let looked = scene.store.requests().gets - before;
        assert_eq!(read(agent, &of, &id, bundle.len()).await.unwrap(), bundle, "{what}");
        (looked, scene.store.requests().gets - before - looked)
    };
    ProfileShelf::put_bundle(&scene.store, &of, &id, pieces(&bundle)).await.unwrap();
    ProfileShelf::put_profiles(&scene.store, &of, noise(4096)).await.unwrap();
    let agent = scene.stand.agent();
    assert_eq!(asked(&agent, "the first").await, (1, 1), "what is behind the head is asked for");
    assert_eq!(asked(&agent, "the second").await, (1, 0), "the bundle is here");
}

#[tokio::test]
async fn a_head_that_is_another_bundles_or_breaks_off_is_made_up_for() {
    let bundle = noise(5 << 20);
    let others: Bytes = bundle.iter().map(|byte| !byte).collect::<Vec<_>>().into();
    // Whether the first block is what was put, by the head alone.
    for (what, bytes, is_kept) in [
        ("sound", pieces(&bundle.slice(..1 << 20)), true),
        ("another's", pieces(&others.slice(..1 << 20)), true),
        ("nothing", stream::empty().boxed(), false),
        ("cut off", pieces(&bundle.slice(..300_000)), false),
        ("too long", pieces(&bundle.slice(..2 << 20)), false),
        (
            "broken",
            pieces(&bundle.slice(..256 << 10)).chain(stream::once(async { Err(refused()) })).boxed(),
            false,
        ),
    ] {
        let directory = scratch();
        let location = StoreLocation::directory(directory.path().join("store")).unwrap();
        let store = Store::open_or_create(&location, &StoreOptions::default()).await.unwrap();
        let of = OneImage::new(CHUNKS).reference();
        let [id, other] = [7, 8].map(|byte| BundleId::from_bytes([byte; 32]));
        ProfileShelf::put_bundle(&store, &of, &id, pieces(&bundle)).await.unwrap();
        let options = KeptBundlesOptions { memory_bytes: 16 << 20, ..KeptBundlesOptions::default() };
        let kept = KeptBundles::new(Arc::new(store.clone()), options);
        let head_of = if what == "another's" { other } else { id };
        kept.expect(&of, BundleHead { id: head_of, bundle_len: bundle.len() as u64, bytes });
        for _ in 0..2 {
            assert_eq!(read(&kept, &of, &id, bundle.len()).await.unwrap(), bundle, "{what}");
        }
        // Two blocks; and the first again if it was not kept.
        let gets = store.requests().gets;
        assert_eq!(gets > 3, !is_kept, "{what}: {gets} requests");
    }
}

#[tokio::test]
async fn a_damaged_head_fails_its_first_reader_and_is_not_kept() {
    let scene = Scene::with(Peers::default()).await;
    let (of, id, bundle) = (scene.of(), BundleId::from_bytes([7; 32]), noise(3 << 20));
    ProfileShelf::put_bundle(&scene.store, &of, &id, pieces(&bundle)).await.unwrap();
    ProfileShelf::put_profiles(&scene.store, &of, noise(4096)).await.unwrap();
    let path = format!("store/roots/{}/profiles/{}/head", of.root, of.manifest);
    let path = scene.directory.path().join(path);
    let mut damaged = std::fs::read(&path).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&path, damaged).unwrap();
    let agent = scene.stand.agent();
    assert_eq!(agent.head_start(&of).await.unwrap().profiles, Some(noise(4096)));
    let refused = read(&agent, &of, &id, bundle.len()).await.unwrap_err();
    assert_eq!(refused.class(), ErrorClass::Corrupt, "{refused}");
    assert_eq!(read(&agent, &of, &id, bundle.len()).await.unwrap(), bundle);
}

#[tokio::test]
async fn what_a_manifest_cannot_need_is_not_taken() {
    let scene = Scene::with(Peers::default()).await;
    let (agent, of, id) = (scene.stand.agent(), scene.of(), BundleId::from_bytes([7; 32]));
    let error = agent.put_bundle(&of, &id, pieces(&noise(5 << 20))).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Denied, "{error:?}");
    let error = agent.put_profiles(&of, noise(MAX_PROFILES_LEN as usize + 1)).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Denied, "{error:?}");
    let broken = stream::iter([Ok(noise(1000)), Err(HostError::NotASocket { path: "x".into() })]);
    assert!(agent.put_bundle(&of, &id, broken.boxed()).await.is_err());
    drop(agent);
    assert!(scene.bundles().await.is_empty(), "what is given up leaves nothing");
    let nobody = Reference { manifest: [9; 32].map(|_| "09").concat().parse().unwrap(), ..of };
    assert!(
        scene.stand.agent().put_profiles(&nobody, noise(4096)).await.is_err(),
        "there is no such manifest"
    );
}

/// Nobody may ask for the tenant that the image is of.
#[derive(Debug)]
struct OnlyRed;

impl TenantPolicy for OnlyRed {
    fn may_ask(&self, _: &Peer, tenant: &str) -> bool {
        tenant == "red"
    }
}

#[tokio::test]
async fn a_tenant_neither_reads_nor_replaces_what_is_beside_anothers_manifest() {
    let scene = Scene::with(Peers { tenants: Arc::new(OnlyRed), ..Peers::default() }).await;
    let (agent, of, id) = (scene.stand.agent(), scene.of(), BundleId::from_bytes([7; 32]));
    let denied = |error: HostError| assert_eq!(error.class(), ErrorClass::Denied, "{error:?}");
    denied(ProfileShelf::profiles(&agent, &of).await.unwrap_err());
    denied(agent.put_profiles(&of, noise(4096)).await.unwrap_err());
    denied(agent.put_bundle(&of, &id, pieces(&noise(1 << 20))).await.unwrap_err());
    denied(agent.delete_bundle(&of, &id).await.unwrap_err());
    denied(read(&agent, &of, &id, 1000).await.unwrap_err());
}

#[tokio::test]
async fn where_a_store_takes_no_writes_profiles_stay_on_the_host() {
    let scene = Scene::with(Peers::default()).await;
    let (of, id) = (scene.of(), BundleId::from_bytes([7; 32]));
    let published = noise(4096);
    ProfileShelf::put_profiles(&scene.store, &of, published.clone()).await.unwrap();
    let shelf = OrLocal::new(Arc::new(ReadOnly(scene.store.clone())), scene.directory.path().join("local"));
    assert_eq!(shelf.profiles(&of).await.unwrap(), Some(published.clone()));
    let learnt = noise(8192);
    shelf.put_profiles(&of, learnt.clone()).await.unwrap();
    assert_eq!(shelf.profiles(&of).await.unwrap(), Some(learnt));
    assert_eq!(ProfileShelf::profiles(&scene.store, &of).await.unwrap(), Some(published));
    assert!(shelf.put_bundle(&of, &id, pieces(&noise(1 << 20))).await.is_err());
}

/// A store that is published.
#[derive(Debug)]
struct ReadOnly(Store);

impl std::fmt::Display for ReadOnly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "read_only({})", self.0)
    }
}

fn refused() -> HostError {
    let source = Arc::new(std::io::Error::other("read-only"));
    HostError::LookUp { what: "it".to_owned(), class: ErrorClass::Denied, source }
}

#[async_trait::async_trait]
impl ProfileShelf for ReadOnly {
    async fn profiles(&self, of: &Reference) -> Result<Option<Bytes>, HostError> {
        ProfileShelf::profiles(&self.0, of).await
    }

    async fn put_profiles(&self, _: &Reference, _: Bytes) -> Result<(), HostError> {
        Err(refused())
    }

    async fn bundle(
        &self,
        of: &Reference,
        id: &BundleId,
        range: std::ops::Range<u64>,
    ) -> Result<BundleBytes, HostError> {
        ProfileShelf::bundle(&self.0, of, id, range).await
    }

    async fn put_bundle(&self, _: &Reference, _: &BundleId, _: BundleBytes) -> Result<(), HostError> {
        Err(refused())
    }

    async fn delete_bundle(&self, _: &Reference, _: &BundleId) -> Result<(), HostError> {
        Err(refused())
    }
}
