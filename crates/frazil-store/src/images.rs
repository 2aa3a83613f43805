//! Layer indexes, manifests and names: what refers to chunks, and so is written only behind the barrier.
//!
//! chunks → barrier → layer index; chunks → barrier → manifest → name. Each of these puts passes the barrier
//! itself and is durable when it returns, so no caller can get the order wrong.

use bytes::Bytes;
use frazil_format::{LayerIndexId, ManifestId, RootId};
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use futures::{StreamExt, stream};
use object_store::path::Path;

use crate::head_start::{BundleHead, HeadStart};
use crate::name::PlainName;
use crate::objects::Durability;
use crate::record::NameRecord;
use crate::roots::alarm::Access;
use crate::starter::Starter;
use crate::{
    Coming, ErrorClass, ImageName, MANIFEST_FRONT_LEN, Reference, Store, StoreError, layout, record,
};

/// The longest layer index that is read, in bytes: ten million files of a hundred bytes.
pub const MAX_LAYER_INDEX_BYTES: u64 = 1 << 30;

/// The longest manifest that is read, in bytes: two million chunks of a hundred and thirty bytes.
pub const MAX_MANIFEST_BYTES: u64 = 256 << 20;

/// How much later than its name a starter may begin to come, at least: both are asked for at once. It may in
/// any case take as long as the name took, because whatever would be asked for in its place takes that long
/// too.
const STARTER_BEHIND: Duration = Duration::from_millis(50);

/// How much later than their manifest the profiles may come: both are asked for at once.
pub(crate) const PROFILES_BEHIND: Duration = Duration::from_millis(10);

/// How long after its last byte a connection serves the next request.
const CONNECTION_FREED: Duration = Duration::from_millis(1);

/// How many references are read at once.
const CONCURRENT_READS: usize = 16;

/// What is known of an image by its name.
#[derive(Debug)]
pub struct Published {
    /// What the name stands for.
    pub reference: Reference,
    /// The manifest, as it was put, of which [`MANIFEST_FRONT_LEN`] bytes have come.
    pub manifest: Coming,
    /// Its profiles, as they were put, or that there are none; nothing is known of them if they came too
    /// late.
    pub profiles: Option<Option<Bytes>>,
    /// The beginning of a bundle, which came behind them in a head start.
    pub head: Option<BundleHead>,
}

/// What is read beside a manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beside {
    /// Its profiles: chunks may be here already.
    Profiles,
    /// Its head start: nothing is here.
    HeadStart,
}

impl Store {
    /// Writes a layer index, replacing one that is there: it may be damaged. Its chunks must have been put; they are
    /// durable before it is. The root must be active.
    pub async fn put_layer_index(
        &self,
        root: RootId,
        id: &LayerIndexId,
        bytes: Bytes,
    ) -> Result<(), StoreError> {
        self.require_active(root).await?;
        self.sync().await?;
        self.objects().put(&layout::layer_index(root, id), bytes, Durability::AtOnce).await
    }

    /// A layer index as it was put, not verified; `None` if it is not there.
    pub async fn layer_index(&self, root: RootId, id: &LayerIndexId) -> Result<Option<Bytes>, StoreError> {
        let read = self.objects().read(&layout::layer_index(root, id), MAX_LAYER_INDEX_BYTES).await;
        optional(read)
    }

    /// Writes a manifest. Its chunks must have been put; they are durable before it is.
    pub async fn put_manifest(&self, root: RootId, id: &ManifestId, bytes: Bytes) -> Result<(), StoreError> {
        self.sync().await?;
        self.objects().put(&layout::manifest(root, id), bytes, Durability::AtOnce).await
    }

    /// A manifest as it was put, not verified.
    pub async fn manifest(&self, root: RootId, id: &ManifestId) -> Result<Bytes, StoreError> {
        let path = layout::manifest(root, id);
        self.noticed(root, Access::Manifest, self.objects().read(&path, MAX_MANIFEST_BYTES)).await
    }

    /// Gives a name to a manifest that is in the store, replacing what the name stood for. Atomic, and durable
    /// when it returns: before it, the image is visible to nobody; after it, to everybody, whole.
    ///
    /// # Errors
    /// [`StoreError::RootNotActive`] if the root was retired meanwhile: the image has to be made again.
    pub async fn publish(
        &self,
        tenant: &str,
        name: &ImageName,
        reference: Reference,
    ) -> Result<(), StoreError> {
        let path = layout::name(&PlainName::tenant(tenant)?, name)?;
        let manifest = layout::manifest(reference.root, &reference.manifest);
        if self.objects().len(&manifest).await?.is_none() {
            return Err(StoreError::NotFound { path: manifest.to_string() });
        }
        self.sync().await?;
        self.point(&path, None, reference).await.map(drop)
    }

    /// The tenants that have names, sorted.
    pub async fn tenants(&self) -> Result<Vec<String>, StoreError> {
        let directories = optional(self.objects().directories(&layout::all_names()).await)?;
        let directories = directories.unwrap_or_default();
        let mut tenants: Vec<String> =
            directories.iter().filter_map(|path| path.filename().map(str::to_owned)).collect();
        tenants.sort();
        Ok(tenants)
    }

    /// The objects in a directory; none if it is not there.
    pub(crate) async fn listed(&self, directory: &Path) -> Result<Vec<Path>, StoreError> {
        Ok(optional(self.objects().objects(directory).await)?.unwrap_or_default())
    }

    /// What a name stands for; `None` if it is nobody's.
    pub async fn reference(&self, tenant: &str, name: &ImageName) -> Result<Option<Reference>, StoreError> {
        let path = layout::name(&PlainName::tenant(tenant)?, name)?;
        let reference = self.read_name(&path).await?;
        if let Some(reference) = reference {
            self.lately_named().add(reference, &path);
            self.noticed(reference.root, Access::Name, std::future::ready(())).await;
        }
        Ok(reference)
    }

    /// What a name stands for, its manifest as it was put and as it comes, not verified, and what is wanted
    /// beside it: all at once if the name has a starter, otherwise one after the other. `None` if nobody has
    /// the name. The root is not looked at: whoever reads on calls [`Store::in_use`], which does.
    pub async fn published(
        &self,
        tenant: &str,
        name: &ImageName,
        beside: Beside,
    ) -> Result<Option<Published>, StoreError> {
        let path = layout::name(&PlainName::tenant(tenant)?, name)?;
        let Some((reference, starter)) = self.named(&path, beside).await? else { return Ok(None) };
        self.lately_named().add(reference, &path);
        if let Some(starter) = starter.filter(|starter| starter.reference() == reference) {
            match starter.published(self, beside).await {
                Ok(published) => return Ok(Some(published)),
                Err(error) => tracing::debug!(%name, %error, "its starter is of no use"),
            }
        }
        self.published_by_id(reference, beside).await.map(Some)
    }

    /// What a name stands for, and its starter if that is there and comes in time.
    async fn named(
        &self,
        path: &Path,
        beside: Beside,
    ) -> Result<Option<(Reference, Option<Starter>)>, StoreError> {
        let asked = Instant::now();
        let starter = std::pin::pin!(self.starter(path, beside));
        let (reference, starter) = match select(std::pin::pin!(self.read_name(path)), starter).await {
            Either::Left((reference, starter)) => {
                let Some(reference) = reference? else { return Ok(None) };
                let patience = STARTER_BEHIND.max(asked.elapsed());
                (Some(reference), tokio::time::timeout(patience, starter).await.ok())
            }
            Either::Right((starter, reference)) => (reference.await?, Some(starter)),
        };
        Ok(reference.map(|reference| (reference, starter.and_then(Result::ok).flatten())))
    }

    /// As [`Store::published`], of a reference that is known already.
    async fn published_by_id(&self, reference: Reference, beside: Beside) -> Result<Published, StoreError> {
        let Reference { root, manifest: id } = &reference;
        let path = layout::manifest(*root, id);
        let manifest = std::pin::pin!(async {
            let coming = self.objects().stream_from(&path, 0, MAX_MANIFEST_BYTES).await?;
            coming.gathered(MANIFEST_FRONT_LEN).await
        });
        let profiles = std::pin::pin!(async {
            // Until the connection that brought the name is free: opening a new one takes a round trip or
            // more.
            tokio::time::sleep(CONNECTION_FREED).await;
            Ok::<_, StoreError>(match beside {
                Beside::Profiles => (self.profiles(*root, id).await?, None),
                Beside::HeadStart => match self.head_start(*root, id).await? {
                    Some(HeadStart { profiles, head }) => (Some(profiles), head),
                    None => (None, None),
                },
            })
        });
        let (manifest, profiles) = match select(manifest, profiles).await {
            Either::Left((manifest, profiles)) => {
                (manifest?, tokio::time::timeout(PROFILES_BEHIND, profiles).await.ok())
            }
            Either::Right((profiles, manifest)) => (manifest.await?, Some(profiles)),
        };
        let (profiles, head) = profiles.and_then(Result::ok).unzip();
        Ok(Published { reference, manifest, profiles, head: head.flatten() })
    }

    pub(crate) async fn read_name(&self, path: &Path) -> Result<Option<Reference>, StoreError> {
        match optional(record::read::<NameRecord>(self.objects(), path).await)? {
            Some(record) => record.reference(path),
            None => Ok(None),
        }
    }

    /// A tenant's names and what they stand for, sorted by name.
    ///
    /// # Errors
    /// What the store says, even if it says so of one name only.
    pub async fn names(&self, tenant: &str) -> Result<Vec<(ImageName, Reference)>, StoreError> {
        let names = self.each_name(tenant).await?;
        names.into_iter().map(|(name, reference)| Ok((name, reference?))).collect()
    }

    /// A tenant's names, sorted, and what each stands for or why that cannot be said.
    ///
    /// # Errors
    /// If the store does not list them.
    pub async fn each_name(
        &self,
        tenant: &str,
    ) -> Result<Vec<(ImageName, Result<Reference, StoreError>)>, StoreError> {
        let tenant_names = layout::names(&PlainName::tenant(tenant)?);
        let paths = self.listed(&tenant_names).await?;
        let read = paths.iter().filter_map(|path| Some((layout::name_of(path)?, path))).map(
            |(name, path)| async move {
                // A name that goes away while it is listed is not there.
                self.read_name(path).await.transpose().map(|found| (name, found))
            },
        );
        let found: Vec<_> = stream::iter(read).buffered(CONCURRENT_READS).collect().await;
        let mut names: Vec<_> = found.into_iter().flatten().collect();
        names.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(names)
    }

    /// Takes a name away, and nothing else; says whether it was there.
    pub async fn unpublish(&self, tenant: &str, name: &ImageName) -> Result<bool, StoreError> {
        let path = layout::name(&PlainName::tenant(tenant)?, name)?;
        self.drop_starter(&path).await;
        self.objects().delete_record(&path).await
    }
}

/// `None` for what is not there.
pub(crate) fn optional<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Err(error) if error.class() == ErrorClass::NotFound => Ok(None),
        read => read.map(Some),
    }
}
