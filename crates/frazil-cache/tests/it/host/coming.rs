//! Manifests that are handed on while they come: the front before the rest, through restarts, damage and errors.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use frazil_cache::host::{
    Catalog, HostCache, HostError, KeptCatalog, KeptOptions, ManifestBytes, Named, ServerOptions,
};
use frazil_cache::{ErrorClass, Memory};
use frazil_format::{DataKey, ManifestId, RootId, SealedFront};
use frazil_store::{ImageName, MANIFEST_FRONT_LEN};
use futures::stream::{StreamExt, TryStreamExt, iter};
use tokio::sync::Semaphore;

use super::catalog::manifest;
use super::stand::Stand;
use crate::stages::{below, scratch};

/// What the front's readers get at once, in bytes.
const HERE: usize = 300 << 10;

/// A catalog of one long manifest, of which only the beginning comes until the rest is released.
#[derive(Debug)]
struct Held {
    id: ManifestId,
    bytes: Bytes,
    /// One permit lets one stream go on.
    released: Arc<Semaphore>,
    asked: AtomicU64,
}

impl Held {
    fn new() -> Arc<Self> {
        let (id, bytes) = manifest(10_000);
        assert!(bytes.len() > 2 * HERE);
        Arc::new(Self { id, bytes, released: Arc::new(Semaphore::new(0)), asked: AtomicU64::new(0) })
    }

    fn release(&self) {
        self.released.add_permits(1);
    }

    /// The streams that wait, and those that come, end with an error.
    fn break_off(&self) {
        self.released.close();
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
        self.asked.fetch_add(1, SeqCst);
        let here = self.bytes.slice(from as usize..HERE.max(from as usize));
        let rest = self.bytes.slice(HERE.max(from as usize)..);
        let released = Arc::clone(&self.released);
        let rest = async move {
            released.acquire().await.map(|permit| permit.forget()).map_err(|_| broken())?;
            Ok(rest)
        };
        let bytes = iter([Ok(here)]).chain(futures::stream::once(rest)).boxed();
        Ok(ManifestBytes { len: self.bytes.len() as u64, bytes })
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

fn kept(below: &Arc<Held>, directory: &Path) -> Arc<KeptCatalog> {
    Arc::new(KeptCatalog::new(Arc::clone(below) as Arc<dyn Catalog>, &KeptOptions::new(directory)))
}

fn stand(catalog: Arc<dyn Catalog>) -> Stand {
    Stand::new(Arc::new(Memory::new(below(&[]), 0)), catalog, ServerOptions::default())
}

/// The first piece, which begins with all that a mount needs, and what follows it.
async fn front(agent: &HostCache, held: &Held) -> (Bytes, ManifestBytes) {
    let mut coming = agent.manifest_from(RootId::FIRST, &held.id, 0).await.unwrap();
    assert_eq!(coming.len, held.bytes.len() as u64);
    let front = coming.bytes.try_next().await.unwrap().unwrap();
    assert!(front.len() as u64 >= MANIFEST_FRONT_LEN);
    let read = SealedFront::read(&held.id, &front).unwrap().unwrap();
    let mut reader = read.open(DataKey::from_bytes([3; 32])).unwrap();
    reader.push(&front[reader.wanted_from() as usize..]);
    assert!(reader.read().unwrap().is_some() && !reader.has_all_chunks());
    (front, coming)
}

async fn rest(coming: ManifestBytes) -> Result<Vec<u8>, HostError> {
    Ok(coming.bytes.try_collect::<Vec<_>>().await?.concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_front_is_handed_on_before_the_rest_has_come_and_all_of_it_is_kept() {
    let (directory, held) = (scratch(), Held::new());
    let catalog = kept(&held, directory.path());
    let stand = stand(Arc::clone(&catalog) as Arc<dyn Catalog>);
    let (one, other) = (stand.agent(), stand.agent());
    let (first, first_rest) = front(&one, &held).await;
    let (second, second_rest) = front(&other, &held).await;
    held.release();
    assert!([&first[..], &rest(first_rest).await.unwrap()].concat() == held.bytes);
    assert!([&second[..], &rest(second_rest).await.unwrap()].concat() == held.bytes);
    assert!(one.manifest(RootId::FIRST, &held.id).await.unwrap() == held.bytes);
    assert_eq!((held.asked.load(SeqCst), catalog.stats().manifest_fetches), (1, 1));
    // Another process has it on its disk.
    let later = kept(&held, directory.path());
    let (kept_front, kept_rest) = front(&self::stand(later).agent(), &held).await;
    assert!(kept_front == held.bytes[..kept_front.len()]);
    drop(kept_rest);
    assert_eq!(held.asked.load(SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_cache_that_is_killed_between_front_and_rest_fails_nobody() {
    let (directory, held) = (scratch(), Held::new());
    let mut first = stand(kept(&held, directory.path()));
    let agent = first.agent();
    let (came, coming) = front(&agent, &held).await;
    first.kill().await;
    let waiting = tokio::spawn(rest(coming));
    held.release();
    first.start();
    assert!([&came[..], &waiting.await.unwrap().unwrap()].concat() == held.bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rest_that_breaks_off_is_an_error_and_can_be_asked_for_again() {
    let (directory, held) = (scratch(), Held::new());
    let broken = stand(kept(&held, directory.path()));
    let (came, coming) = front(&broken.agent(), &held).await;
    held.break_off();
    assert_eq!(rest(coming).await.unwrap_err().class(), ErrorClass::Transient);
    assert!(!directory.path().join(format!("manifests/{}/{}", RootId::FIRST, held.id)).exists());
    // The origin is back, and so is the host cache: what is asked for is what was missing.
    let back = Held::new();
    let (directory, back) =
        (scratch(), Held { id: held.id, bytes: held.bytes.clone(), ..Arc::into_inner(back).unwrap() });
    let back = Arc::new(back);
    back.release();
    let stand = stand(kept(&back, directory.path()));
    let coming = stand.agent().manifest_from(RootId::FIRST, &held.id, came.len() as u64).await.unwrap();
    assert!([&came[..], &rest(coming).await.unwrap()].concat() == held.bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_manifest_whose_rest_is_damaged_is_mended_from_the_origin() {
    let (directory, held) = (scratch(), Held::new());
    held.release();
    let file = directory.path().join(format!("manifests/{}/{}", RootId::FIRST, held.id));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut damaged = held.bytes.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&file, &damaged).unwrap();
    let catalog = kept(&held, directory.path());
    let stand = stand(Arc::clone(&catalog) as Arc<dyn Catalog>);
    let (came, coming) = front(&stand.agent(), &held).await;
    assert_eq!(held.asked.load(SeqCst), 0, "the front is right");
    assert!([&came[..], &rest(coming).await.unwrap()].concat() == held.bytes);
    assert_eq!((held.asked.load(SeqCst), catalog.stats().damaged), (1, 1));
    // It is written again behind its reader.
    let healed = async {
        while !std::fs::read(&file).is_ok_and(|kept| kept == held.bytes) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), healed).await.expect("healed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_has_only_the_whole_gives_any_part_of_it() {
    let image = super::catalog::OneImage::new(10_000);
    let id = image.reference().manifest;
    let whole = image.manifest(RootId::FIRST, &id).await.unwrap();
    let stand = stand(image);
    for from in [0, 1000, whole.len() as u64 - 1] {
        let coming = stand.agent().manifest_from(RootId::FIRST, &id, from).await.unwrap();
        assert!(rest(coming).await.unwrap() == whole[from as usize..]);
    }
}
