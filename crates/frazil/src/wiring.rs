//! The parts put together: runtime, store, keys, and images by their names.
//!
//! Invariant: a process that can see keys cannot be dumped, and is not readable through /proc by its user.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use frazil_cache::host::Catalog;
use frazil_cache::{Disk, Tier};
use frazil_format::{Compression, DataKey, Label, Manifest, SealedFront, SealedManifest, wrap_context};
use frazil_mount::profile::{Fetching, Profiling, ProfilingOptions};
use frazil_mount::{Arrival, Image, ImageOptions, Source};
use frazil_store::{
    ImageName, KeyProvider, Keyring, PlainHttp, ROOT_WATCH_WINDOW, Reference, Scope, Store, StoreError,
    StoreLocation, StoreOptions,
};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tokio::runtime::{Handle, Runtime};

use crate::cli::Global;
use crate::config::{KeyPlace, Switch, keys};
use crate::exit::Exit;
use crate::failure::{Advise, chain};
use crate::output::note;
use crate::plan::Plan;
use crate::supply::{Sources, Supply};
use crate::tiers::{OriginStore, Tiers};
use crate::{allocator, places, plan, rest, similar};

/// How long the end of a process may wait for its disk tier.
const SETTLING: Duration = Duration::from_secs(5);

/// The runtime of the whole process. Makes threads: after it, nothing may fork or enter a user namespace.
pub(crate) fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")
}

/// As [`runtime`], for a process that serves an image for as long as it is mounted.
pub(crate) fn serving_runtime() -> Result<Runtime> {
    allocator::let_go_at_once();
    runtime()
}

/// What to do about a store or a keyring that is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Absent {
    /// Make it.
    Create,
    /// Say so.
    Refuse,
}

/// Where the store is.
pub(crate) fn location(global: &Global) -> Result<StoreLocation> {
    let place = match (global.config()?.get(&keys::STORE)?, places::store()) {
        (Some(text), _) => text.parse()?,
        (None, Some(directory)) => StoreLocation::directory(directory)?,
        (None, None) => {
            return Err(anyhow!("there is no home directory")).hint("say where the store is: --store");
        }
    };
    Ok(place)
}

/// How the store is to be opened.
pub(crate) fn store_options(global: &Global) -> Result<StoreOptions> {
    let config = global.config()?;
    let plain_http = match config.value(&keys::ALLOW_HTTP)? {
        Switch::On => PlainHttp::Allowed,
        Switch::Off => PlainHttp::Refused,
    };
    Ok(StoreOptions { access_log: config.get(&keys::ACCESS_LOG)?, plain_http })
}

/// Opens the store.
pub(crate) async fn store(global: &Global, absent: Absent) -> Result<Store> {
    let (location, options) = (location(global)?, store_options(global)?);
    Ok(match absent {
        Absent::Create => Store::open_or_create(&location, &options).await?,
        Absent::Refuse => Store::open(&location, &options).await?,
    })
}

/// A tenant's keys.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// The tenant that they belong to.
    pub(crate) tenant: String,
    /// The provider that has them.
    pub(crate) provider: Arc<dyn KeyProvider>,
    /// The keyring, if it is one.
    pub(crate) keyring: Option<Keyring>,
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.keyring {
            Some(keyring) => keyring.directory().display().fmt(f),
            None => write!(f, "{:?}", self.provider),
        }
    }
}

/// Opens the keys, and closes this process to its debuggers.
pub(crate) fn keys(global: &Global, absent: Absent) -> Result<Keys> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("cannot forbid memory dumps")?;
    let tenant = global.tenant()?;
    let directory = match (global.config()?.get(&keys::KEYS)?, places::keys()) {
        (Some(KeyPlace::Service(keys)), _) => {
            return Ok(Keys { tenant, provider: key_service(&keys)?, keyring: None });
        }
        (Some(KeyPlace::Directory(directory)), _) | (None, Some(directory)) => directory,
        (None, None) => {
            return Err(anyhow!("there is no home directory")).hint("say where the keys are: --keys");
        }
    };
    let keyring = match absent {
        Absent::Create => Keyring::open_or_create(directory)?,
        Absent::Refuse => Keyring::open(directory)?,
    };
    Ok(Keys { tenant, provider: Arc::new(keyring.clone()), keyring: Some(keyring) })
}

#[cfg(feature = "cloud")]
fn key_service(keys: &str) -> Result<Arc<dyn KeyProvider>> {
    Ok(Arc::new(frazil_store::Kms::open(keys)?))
}

#[cfg(not(feature = "cloud"))]
fn key_service(keys: &str) -> Result<Arc<dyn KeyProvider>> {
    Err(anyhow!("this program was built without key services: {keys}"))
}

/// The tenant's own scope, which is made if the store has none.
pub(crate) async fn own_scope(store: &Store, keys: &Keys) -> Result<Scope> {
    let (name, provider) = (keys.tenant.as_str(), keys.provider.as_ref());
    store.create_scope(name, provider, Compression::default()).await?;
    Ok(store.scope(name, provider).await?)
}

/// What a name stands for in the store, or an error that guesses what was meant.
pub(crate) async fn find(store: &Store, tenant: &str, text: &str) -> Result<(ImageName, Reference)> {
    let name: ImageName = text.parse()?;
    if let Some(reference) = store.reference(tenant, &name).await? {
        return Ok((name, reference));
    }
    // A store that is published over HTTP has no listing: then there is nothing to guess from.
    let names = match store.each_name(tenant).await {
        Err(StoreError::ReadOnly { .. }) => return Err(anyhow!("there is no image {name} in {store}")),
        names => names?,
    };
    let guess = similar::to(text, names.iter().map(|(name, _)| name.as_str()));
    let hint = match guess {
        Some(guess) => format!("did you mean {guess}?"),
        None if names.is_empty() => "the store has no image yet: frazil convert SOURCE".to_owned(),
        None => "frazil images lists the names; a source has its transport in front (docker://, oci:, …)"
            .to_owned(),
    };
    Err(anyhow!("there is no image {name} in {store}")).hint(hint)
}

/// A manifest without its secrets: what anyone with access to the store can read.
pub(crate) async fn sealed_manifest(store: &Store, reference: &Reference) -> Result<SealedManifest> {
    let bytes = store.manifest(reference.root, &reference.manifest).await?;
    SealedManifest::verify(&reference.manifest, bytes)
        .with_context(|| format!("manifest {}", reference.manifest))
}

/// Shows each of a tenant's images to `visit`. Those that cannot be read are told of and keep no other from being
/// shown; the exit code says whether there are any.
pub(crate) async fn each_image(
    store: &Store,
    tenant: &str,
    mut visit: impl FnMut(&ImageName, &Reference, &SealedManifest),
) -> Result<Exit> {
    let mut exit = Exit::SUCCESS;
    for (name, reference) in store.each_name(tenant).await? {
        let read = async {
            let reference = reference?;
            Ok::<_, anyhow::Error>((reference, sealed_manifest(store, &reference).await?))
        };
        match read.await {
            Ok((reference, manifest)) => visit(&name, &reference, &manifest),
            Err(error) => {
                note(format!("error: {name}: {}", chain(&error)));
                exit = Exit::FAILURE;
            }
        }
    }
    Ok(exit)
}

/// Opens the manifest that `name` stands for, with the key that the tenant's key provider unwraps.
///
/// References are not authentic: whoever writes to the store can point a name at another image's manifest. So
/// the key is unwrapped for the tenant and the name that were asked for, not for those that the manifest claims.
pub(crate) async fn open_manifest(
    name: &ImageName,
    reference: &Reference,
    sealed: &SealedManifest,
    keys: &Keys,
) -> Result<Manifest> {
    Ok(sealed.open(&data_key(name, reference, sealed.front(), keys).await?)?)
}

/// The key of the manifest that `name` stands for.
pub(crate) async fn data_key(
    name: &ImageName,
    reference: &Reference,
    sealed: &SealedFront,
    keys: &Keys,
) -> Result<DataKey> {
    let (tenant, geometry) = (keys.tenant.as_str(), sealed.geometry());
    // The root that the manifest says is where it was converted; where it lies now, the reference says.
    if (geometry.tenant.as_str(), geometry.name.as_str()) != (tenant, name.as_str()) {
        return Err(anyhow!(
            "the name {name} of tenant {tenant} in root {} leads to the manifest of {} of tenant {}",
            reference.root,
            geometry.name,
            geometry.tenant
        ))
        .hint("somebody changed the reference in the store: convert the image again");
    }
    let wrapped = sealed.wrapped_key();
    let context = wrap_context(tenant, name.as_str());
    keys.provider.unwrap(tenant, wrapped, &context).await.map_err(|error| match error {
        StoreError::KeyNotFound { .. } | StoreError::KeyMismatch { .. } => anyhow::Error::new(error)
            .context(format!("{name} is sealed for key {}, which is not among these keys", wrapped.key_id)),
        error => error.into(),
    })
}

/// An image that is ready to be read.
pub(crate) struct OpenImage {
    /// Its name.
    pub(crate) name: ImageName,
    /// What the name stands for.
    pub(crate) reference: Reference,
    /// The OCI image configuration, as JSON.
    pub(crate) config: Vec<u8>,
    /// Its reader.
    pub(crate) image: Arc<Image>,
    /// How this start is recorded and helped by earlier ones, if it is.
    pub(crate) profiling: Option<Profiling>,
    /// The disk tier of this process, if it has one.
    disk: Option<Arc<Disk>>,
}

impl OpenImage {
    /// Whether this process keeps chunks on a disk.
    pub(crate) fn has_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// Before the process ends: waits until what was fetched is kept, but not for a disk that hangs.
    pub(crate) async fn settle(&self) {
        if let Some(disk) = &self.disk
            && !disk.settle(SETTLING).await
        {
            tracing::info!("some of what was fetched is not kept");
        }
    }
}

/// Fetches all of an image into the tiers below, behind whatever reads, and returns at once.
pub(crate) fn complete(image: &Image) {
    image.prefetch(image.chunk_indexes(), Source::Hydrate).detach();
}

/// The label of what is started, by the image's configuration; without one nothing is recorded or played.
pub(crate) type Labelled<'a> = Option<&'a (dyn Fn(&[u8]) -> Result<Label> + Sync)>;

/// Says that this process serves the image, for as long as it does: that stops whoever wants to delete its
/// root. It begins not at once, but after as long as it took to learn of the image: the first free connection
/// is for the image's first chunks.
async fn in_use(catalog: Arc<dyn Catalog>, reference: Reference, way: Option<Duration>) {
    tokio::time::sleep(way.unwrap_or_default()).await;
    loop {
        catalog.in_use(reference.root, &reference.manifest).await;
        tokio::time::sleep(ROOT_WATCH_WINDOW).await;
    }
}

/// The origin alone, guarded as ever: for a caller that wants to know what the store itself says.
pub(crate) async fn origin(global: &Global, store: &Store) -> Result<Arc<dyn Tier>> {
    let origin = plan::origin(global.config()?, store.location())?;
    Ok(Tiers::stack(Plan::default(), OriginStore::of(store, origin)).await.tier)
}

/// How an image is read.
pub(crate) fn image_options(global: &Global) -> Result<ImageOptions> {
    let config = global.config()?;
    Ok(ImageOptions {
        decoded_budget_bytes: config.value(&keys::DECODED_BUDGET)?.0,
        sealed_budget_bytes: config.value(&keys::SEALED_BUDGET)?.0,
        read_ahead_bytes: config.value(&keys::READ_AHEAD)?.0,
        deadline: config.value(&keys::READ_DEADLINE)?.0,
        ..ImageOptions::default()
    })
}

/// Opens an image by its name, as soon as its tree can be read: the rest of its manifest comes while it is used.
pub(crate) async fn image(
    global: &Global,
    supply: &Supply,
    keys: &Keys,
    name: &str,
    label: Labelled<'_>,
) -> Result<OpenImage> {
    let (name, reference) = supply.find(&keys.tenant, name).await?;
    let Sources { tier, shelf, disk, sharing } = supply.sources().await;
    // The profiles are on their way beside the manifest, whose key opens them.
    let profiles = label.map(|_| match supply.profiles(&reference) {
        Some(known) => Fetching::known(Arc::clone(&shelf), reference, known),
        None => Fetching::start(Arc::clone(&shelf), reference),
    });
    let mut options = ImageOptions { root: Some(reference.root), ..image_options(global)? };
    let sealed = supply.manifest(&reference, options.deadline).await?;
    let key = data_key(&name, &reference, sealed.front(), keys).await?;
    let profile_key = key.profile_key();
    let arrived = sealed.open(key).await;
    let Arrival { table, config } = arrived.with_context(|| format!("manifest {}", reference.manifest))?;
    let profiling = match label {
        None => None,
        Some(label) => {
            let (label, of, key, way) = (label(&config)?, reference, profile_key, supply.way());
            let table = Arc::clone(&table);
            let profiling = ProfilingOptions { label, of, key, table, shelf, sharing, way };
            Some(Profiling::new(profiling, Arc::clone(&tier)))
        }
    };
    if let (Some(profiling), Some(profiles)) = (&profiling, profiles) {
        options.touch_listener = Some(profiling.listener());
        if profiling.look(profiles).await {
            options.metadata_ahead_bytes = 0;
        }
    }
    let tier = profiling.as_ref().map_or(tier, Profiling::tier);
    let image = Image::over(table, tier, Handle::current(), options);
    // This is on its way while the rest of the mount is prepared.
    profiling.iter().for_each(|profiling| profiling.begin(&image));
    image.prefetch_metadata();
    tokio::spawn(in_use(supply.catalog(), reference, supply.way()));
    tokio::spawn(rest::when_idle(Arc::downgrade(&image)));
    Ok(OpenImage { name, reference, config, image, profiling, disk })
}
