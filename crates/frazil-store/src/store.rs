//! A store: opening and making one, its roots, and the barrier.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use frazil_format::RootId;

use crate::head_start::LatelyMade;
use crate::objects::{Objects, Put};
use crate::observed::Record;
use crate::record::{self, Marker, RootRecord};
use crate::requests::Requests;
use crate::roots::watch::RootWatch;
use crate::starter::LatelyNamed;
use crate::unchecked::Unchecked;
use crate::{
    Beside, ImageName, Published, RequestCounts, RootState, StoreError, StoreId, StoreLocation, backend,
    layout,
};

/// How often the roots are looked at until one is active: a look takes a while, and a root that was made after it began
/// may have taken the place of the one that it found.
const ACTIVE_ROOT_LOOKS: usize = 3;

/// How to open a store.
#[derive(Clone, Default, Debug)]
pub struct StoreOptions {
    /// A file to append one JSON line per request to; none by default.
    pub access_log: Option<PathBuf>,
    /// Whether a published store may be read over plain `http://`; refused by default. Buckets have their providers'
    /// own switches, such as `AWS_ALLOW_HTTP`.
    pub plain_http: PlainHttp,
}

/// Whether the network may read, and change, what a store answers. Chunks and manifests are verified against their
/// ids in any case; the reference of a name, where those ids come from, is not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum PlainHttp {
    /// No.
    #[default]
    Refused,
    /// Yes: it is a trusted network.
    Allowed,
}

/// A store: roots, their chunks, layer indexes and manifests, and the names of images.
///
/// Cheap to clone; clones share their counters and their barrier.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    location: StoreLocation,
    id: StoreId,
    objects: Arc<Objects>,
    requests: Arc<Requests>,
    watch: Arc<RootWatch>,
    lately_made: LatelyMade,
    lately_named: Arc<LatelyNamed>,
}

impl Store {
    pub(crate) fn of(
        location: StoreLocation,
        id: StoreId,
        objects: Arc<Objects>,
        requests: Arc<Requests>,
        watch: Arc<RootWatch>,
        lately_named: Arc<LatelyNamed>,
    ) -> Self {
        let lately_made = LatelyMade::default();
        Self(Arc::new(Inner { location, id, objects, requests, watch, lately_made, lately_named }))
    }

    /// Opens the store at the location.
    pub async fn open(location: &StoreLocation, options: &StoreOptions) -> Result<Self, StoreError> {
        let unchecked = Unchecked::open(location, options)?;
        let id = unchecked.id().await?;
        Ok(unchecked.checked(id))
    }

    /// Opens the store at the location and, at the same time, reads what a name there stands for, its
    /// manifest, and what is wanted beside that. This takes one round trip, or two where the name has no
    /// starter; one after the other would take four. `None` if nobody has the name.
    ///
    /// # Errors
    /// Those of [`Store::open`]; what goes wrong with the name or the manifest is the outcome beside the store.
    pub async fn open_with(
        location: &StoreLocation,
        options: &StoreOptions,
        tenant: &str,
        name: &ImageName,
        beside: Beside,
    ) -> Result<(Self, Result<Option<Published>, StoreError>), StoreError> {
        let unchecked = Unchecked::open(location, options)?;
        // Until it is known that this is a store, nothing that comes from it is looked at.
        let early = unchecked.clone().checked(StoreId::not_yet_known());
        let (id, published) = futures::join!(unchecked.id(), early.published(tenant, name, beside));
        Ok((unchecked.checked(id?), published))
    }

    /// Makes a store at the location, with one active root, and opens it. When there is one already, or when
    /// several processes make it at once, all of them open the same store.
    pub async fn open_or_create(
        location: &StoreLocation,
        options: &StoreOptions,
    ) -> Result<Self, StoreError> {
        match Self::open(location, options).await {
            Err(StoreError::NotAStore { .. }) => {}
            opened => return opened,
        }
        backend::prepare(location)?;
        let unobserved = Record { requests: Arc::default(), log: None };
        create(&backend::open(location, options, &unobserved)?).await?;
        Self::open(location, options).await
    }

    /// The bundles that this process has written.
    pub(crate) fn lately_made(&self) -> &LatelyMade {
        &self.0.lately_made
    }

    /// The names that images were found by.
    pub(crate) fn lately_named(&self) -> &LatelyNamed {
        &self.0.lately_named
    }

    /// The store's own name.
    pub fn id(&self) -> &StoreId {
        &self.0.id
    }

    /// Where the store is.
    pub fn location(&self) -> &StoreLocation {
        &self.0.location
    }

    /// Whether it is a store that nothing can be written to.
    pub fn is_read_only(&self) -> bool {
        match self.location() {
            StoreLocation::Directory(_) => false,
            #[cfg(feature = "cloud")]
            StoreLocation::Bucket(_) => false,
            #[cfg(feature = "cloud")]
            StoreLocation::Published(_) => true,
        }
    }

    /// How often the store was asked since it was opened.
    pub fn requests(&self) -> RequestCounts {
        self.0.requests.counts()
    }

    /// Every root and its state, in the order of their numbers.
    pub async fn roots(&self) -> Result<Vec<(RootId, RootState)>, StoreError> {
        let statuses = self.root_statuses().await?;
        Ok(statuses.into_iter().map(|status| (status.root, status.state)).collect())
    }

    /// The state of a root.
    pub async fn root_state(&self, root: RootId) -> Result<RootState, StoreError> {
        let record: RootRecord = record::read(self.objects(), &layout::root_state(root)).await?;
        Ok(record.state)
    }

    /// The root that takes new images: the youngest of the active ones.
    pub async fn active_root(&self) -> Result<RootId, StoreError> {
        for _ in 0..ACTIVE_ROOT_LOOKS {
            let roots = self.roots().await?;
            if let Some((root, _)) = roots.into_iter().rfind(|(_, state)| *state == RootState::Active) {
                return Ok(root);
            }
        }
        Err(StoreError::NoActiveRoot { location: self.to_string() })
    }

    /// The durability barrier: when it returns, everything that was put or found before it survives a power cut.
    ///
    /// Layer indexes, manifests and names pass it by themselves, before they refer to anything.
    pub async fn sync(&self) -> Result<(), StoreError> {
        self.objects().barrier.pass().await
    }

    pub(crate) fn objects(&self) -> &Arc<Objects> {
        &self.0.objects
    }

    pub(crate) fn watch(&self) -> &RootWatch {
        &self.0.watch
    }

    /// A store in this object store, with a first root.
    #[cfg(test)]
    pub(crate) async fn over(inner: Arc<dyn object_store::ObjectStore>) -> Result<Self, StoreError> {
        let requests = Arc::<Requests>::default();
        let record = Record { requests: Arc::clone(&requests), log: None };
        let observed = || -> Arc<dyn object_store::ObjectStore> {
            Arc::new(crate::observed::Observed::new(Arc::clone(&inner), record.clone()))
        };
        let objects = Objects {
            plain: observed(),
            durable: observed(),
            once: observed(),
            stall: None,
            barrier: crate::barrier::Barrier::not_needed(),
            leftovers: None,
            exclusion: None,
        };
        let location = StoreLocation::directory("/simulated")?;
        if objects.len(&layout::marker()).await?.is_none() {
            create(&objects).await?;
        }
        let id = record::read::<Marker>(&objects, &layout::marker()).await?.store_id;
        Ok(Self::of(location, id, Arc::new(objects), requests, Arc::default(), Arc::default()))
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.location.fmt(f)
    }
}

/// Writes what makes a store, the marker last: until it is there, nothing is.
async fn create(objects: &Objects) -> Result<(), StoreError> {
    let state = layout::root_state(RootId::FIRST);
    let record = record::encode(&state, RootRecord { state: RootState::Active, revision: 0 })?;
    objects.create(&state, record).await?;
    objects.barrier.pass().await?;
    let marker = layout::marker();
    let record = record::encode(&marker, Marker { store_id: StoreId::generate()? })?;
    if objects.create(&marker, record).await? == Put::New {
        tracing::info!(store = %objects.plain, "made a store");
    }
    objects.barrier.pass().await
}
