//! A store, keys and a way to look at what was converted, all gone when the test ends.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use frazil_convert::source::{Platform, Source, SourceOptions, SourceSpec, open};
use frazil_convert::verify::AddressSpace;
use frazil_convert::{Conversion, ConvertError, ConvertOptions, Keys, NoProgress, Standing, convert};
use frazil_format::{Compression, Manifest, ScopeSecret, SealedManifest, open_chunk, wrap_context};
use frazil_store::{ImageName, KeyProvider, Keyring, Scope, Store, StoreLocation, StoreOptions};
use tempfile::TempDir;

use crate::images::{Layout, Packing};

pub(crate) const TENANT: &str = "default";

/// The scope secret of all tests: the same everywhere, so that results can be compared.
pub(crate) fn secret() -> ScopeSecret {
    ScopeSecret::from_bytes([7; 32])
}

pub(crate) fn platform() -> Platform {
    "linux/amd64".parse().unwrap()
}

pub(crate) fn options() -> ConvertOptions {
    ConvertOptions { threads: 2, ..ConvertOptions::new(platform()) }
}

pub(crate) fn image_name(name: &str) -> ImageName {
    name.parse().unwrap()
}

/// A store of its own in a directory of its own.
pub(crate) struct Workbench {
    pub(crate) dir: TempDir,
    pub(crate) store: Store,
    pub(crate) keyring: Keyring,
}

impl Workbench {
    pub(crate) async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let store = open_store(&dir.path().join("store")).await;
        let keyring = Keyring::open_or_create(dir.path().join("keys")).unwrap();
        Self { dir, store, keyring }
    }

    /// Writes an OCI layout of one image.
    pub(crate) fn layout(&self, name: &str, layers: &[Vec<u8>], packing: Packing) -> Layout {
        Layout::with_image(&self.dir.path().join(name), "t", layers, packing)
    }

    pub(crate) async fn source(&self, layout: &Layout) -> Box<dyn Source> {
        let spec: SourceSpec = layout.source(Some("t")).parse().unwrap();
        open(&spec, &SourceOptions::default()).await.unwrap()
    }

    pub(crate) async fn convert(&self, layout: &Layout, name: &str) -> Result<Conversion, ConvertError> {
        let source = self.source(layout).await;
        self.convert_with(source.as_ref(), name, &options()).await
    }

    pub(crate) async fn convert_with(
        &self,
        source: &dyn Source,
        name: &str,
        options: &ConvertOptions,
    ) -> Result<Conversion, ConvertError> {
        convert_into(&self.store, &self.keyring, source, name, options).await
    }

    /// Converts layers, gzipped, as the image `t`.
    pub(crate) async fn layers(&self, layers: &[Vec<u8>]) -> Result<Conversion, ConvertError> {
        let layout = self.layout("layout", layers, Packing::Gzip);
        self.convert(&layout, "t").await
    }

    pub(crate) async fn image(&self, name: &str) -> StoredImage {
        StoredImage { manifest: self.manifest(name).await, store: self.store.clone() }
    }

    pub(crate) async fn manifest(&self, name: &str) -> Manifest {
        let reference = self.store.reference(TENANT, &image_name(name)).await.unwrap().expect("is published");
        let bytes = self.store.manifest(reference.root, &reference.manifest).await.unwrap();
        let sealed = SealedManifest::verify(&reference.manifest, bytes).unwrap();
        let context = wrap_context(TENANT, name);
        let key = self.keyring.unwrap(TENANT, sealed.wrapped_key(), &context).await.unwrap();
        sealed.open(&key).unwrap()
    }

    pub(crate) async fn names(&self) -> usize {
        self.store.names(TENANT).await.unwrap().len()
    }
}

pub(crate) async fn open_store(path: &Path) -> Store {
    let location = StoreLocation::directory(path).unwrap();
    Store::open_or_create(&location, &StoreOptions::default()).await.unwrap()
}

pub(crate) async fn convert_into(
    store: &Store,
    keyring: &Keyring,
    source: &dyn Source,
    name: &str,
    options: &ConvertOptions,
) -> Result<Conversion, ConvertError> {
    let own = Scope { secret: secret(), compression: Compression::default() };
    let standing = Standing::ReplaceOwn;
    let keys = Keys { tenant: TENANT, own: &own, provider: keyring, standing };
    convert(source, &image_name(name), store, keys, options, &NoProgress).await
}

/// A published image, read straight from the store.
#[derive(Clone)]
pub(crate) struct StoredImage {
    pub(crate) manifest: Manifest,
    store: Store,
}

#[async_trait]
impl AddressSpace for StoredImage {
    fn len(&self) -> u64 {
        self.manifest.geometry.image_len
    }

    async fn read(&self, offset: u64, len: usize) -> std::io::Result<Bytes> {
        let mut bytes = vec![0; len];
        let end = offset + len as u64;
        let chunks = &self.manifest.chunks;
        let first = chunks.partition_point(|chunk| chunk.offset + u64::from(chunk.len) <= offset);
        for (chunk, key) in chunks[first..].iter().zip(&self.manifest.keys[first..]) {
            if chunk.offset >= end {
                break;
            }
            let root = self.manifest.geometry.root;
            let sealed = self.store.get_chunk(root, &chunk.id).await.map_err(std::io::Error::other)?;
            let plain = open_chunk(&sealed, key, chunk.len).map_err(std::io::Error::other)?;
            let from = offset.max(chunk.offset);
            let until = end.min(chunk.offset + u64::from(chunk.len));
            let part = &plain[(from - chunk.offset) as usize..(until - chunk.offset) as usize];
            bytes[(from - offset) as usize..(until - offset) as usize].copy_from_slice(part);
        }
        Ok(bytes.into())
    }
}

impl StoredImage {
    /// Everything a reader can see, by path.
    pub(crate) async fn tree(&self) -> BTreeMap<Vec<u8>, crate::trees::Seen> {
        let (image, runtime) = (Arc::new(self.clone()), tokio::runtime::Handle::current());
        tokio::task::spawn_blocking(move || crate::trees::in_image(image, runtime)).await.unwrap()
    }

    /// The metadata area.
    pub(crate) async fn metadata(&self) -> Bytes {
        self.read(0, self.manifest.geometry.metadata_len as usize).await.unwrap()
    }
}
