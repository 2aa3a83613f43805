//! Which tiers a process stacks, and how each behaves: the configuration as the tiers want it.
//!
//! A host cache keeps much and for everybody; an agent without one keeps little, and nothing at all over a store that
//! is a directory of this host already.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use frazil_cache::host::{KeptBundlesOptions, KeptOptions};
use frazil_cache::resilience::stack::OriginOptions;
use frazil_cache::{DiskOptions, Nodes, RemoteOptions, Tls, TlsIdentity};
use frazil_store::{Beside, StoreLocation};

use crate::config::{Config, keys};
use crate::failure::Advise;
use crate::places;

/// Memory of an agent's own over a network store: what eight cores read ahead of a reader, twice.
const EMBEDDED_MEMORY_BYTES: u64 = 64 << 20;

/// Disk of an agent's own over a network store: an image or two of several gigabytes.
const EMBEDDED_DISK_BYTES: u64 = 4 << 30;

/// Bundles have room beside that of chunks: as much as chunks have, divided by this.
const BUNDLES_SHARE: u64 = 8;

/// Below a cache directory: where chunks are.
const CHUNKS: &str = "chunks";

/// Below a cache directory: where bundles are, and the profiles that a store does not take.
const BUNDLES: &str = "bundles";
const PROFILES: &str = "profiles";

/// Below a cache directory: where names and manifests are.
const CATALOG: &str = "catalog";

/// Which tiers there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// Memory for sealed chunks, in bytes.
    pub(crate) memory_bytes: u64,
    /// The disk tier, if there is one.
    pub(crate) disk: Option<DiskOptions>,
    /// The fleet, if there is one.
    pub(crate) remote: Option<(Nodes, RemoteOptions)>,
    /// Names and manifests, if they are kept.
    pub(crate) kept: Option<KeptOptions>,
    /// Where bundles are kept.
    pub(crate) bundles: KeptBundlesOptions,
    /// Where profiles are kept that the store does not take.
    pub(crate) profiles: Option<PathBuf>,
}

impl Plan {
    /// The tiers of a host cache.
    pub(crate) fn of_host_cache(config: &Config) -> Result<Self> {
        let directory = config.get(&keys::DISK_DIRECTORY)?.or_else(places::cache);
        let quota = config.value(&keys::DISK_QUOTA)?.0;
        let kept = match &directory {
            None => None,
            Some(directory) => Some(KeptOptions {
                patience: config.value(&keys::CATALOG_PATIENCE)?.0,
                manifest_bytes: config.value(&keys::CATALOG_MANIFESTS)?.0,
                ..KeptOptions::new(directory.join(CATALOG))
            }),
        };
        let memory_bytes = config.value(&keys::MEMORY_BUDGET)?.0;
        Ok(Self {
            bundles: KeptBundlesOptions {
                directory: bundles(directory.as_deref(), quota),
                memory_bytes: memory_bytes / BUNDLES_SHARE,
                head_starts: true,
            },
            profiles: directory.as_ref().map(|directory| directory.join(PROFILES)),
            memory_bytes,
            disk: directory.map(|directory| disk(config, &directory, quota)).transpose()?.flatten(),
            remote: remote(config)?,
            kept,
        })
    }

    /// What is worth reading beside a manifest: a disk that holds anything may hold all of the image.
    pub(crate) fn beside_manifests(&self) -> Beside {
        match &self.disk {
            Some(disk) if disk.directory.exists() => Beside::Profiles,
            _ => Beside::HeadStart,
        }
    }

    /// The tiers of a process that reads a store by itself.
    pub(crate) fn embedded(config: &Config, store: &StoreLocation) -> Result<Self> {
        let (memory, quota) = match store {
            StoreLocation::Directory(_) => (0, 0),
            #[allow(unreachable_patterns, reason = "without buckets there are directories alone")]
            _ => (EMBEDDED_MEMORY_BYTES, EMBEDDED_DISK_BYTES),
        };
        let memory_bytes = config.get(&keys::EMBEDDED_MEMORY)?.map_or(memory, |size| size.0);
        let quota = config.get(&keys::EMBEDDED_QUOTA)?.map_or(quota, |size| size.0);
        let default = || places::cache().map(|cache| cache.join("embedded"));
        let directory = config.get(&keys::EMBEDDED_DIRECTORY)?.or_else(default);
        Ok(Self {
            bundles: KeptBundlesOptions {
                directory: bundles(directory.as_deref(), quota),
                ..KeptBundlesOptions::default()
            },
            profiles: directory.as_ref().map(|directory| directory.join(PROFILES)),
            memory_bytes,
            disk: directory.map(|directory| disk(config, &directory, quota)).transpose()?.flatten(),
            remote: remote(config)?,
            kept: None,
        })
    }
}

/// The room beside a disk tier of `quota_bytes`, for what lets a second start of an image begin at once.
fn bundles(directory: Option<&Path>, quota_bytes: u64) -> Option<(PathBuf, u64)> {
    let budget = quota_bytes / BUNDLES_SHARE;
    directory.filter(|_| budget > 0).map(|directory| (directory.join(BUNDLES), budget))
}

fn disk(config: &Config, directory: &Path, quota_bytes: u64) -> Result<Option<DiskOptions>> {
    if quota_bytes == 0 {
        return Ok(None);
    }
    let directory = std::path::absolute(directory).context("there is no current directory")?;
    Ok(Some(DiskOptions {
        free_floor_bytes: config.value(&keys::DISK_FREE_FLOOR)?.0,
        retry_after: config.value(&keys::DISK_RETRY_AFTER)?.0,
        read_timeout: config.value(&keys::DISK_READ_TIMEOUT)?.0,
        pending_fill_bytes: config.value(&keys::DISK_FILL_QUEUE)?.0,
        ..DiskOptions::new(directory.join(CHUNKS), quota_bytes)
    }))
}

fn remote(config: &Config) -> Result<Option<(Nodes, RemoteOptions)>> {
    let Some(mut nodes) = config.get(&keys::REMOTE)? else { return Ok(None) };
    if let Nodes::Watched { every, .. } = &mut nodes {
        *every = config.value(&keys::REMOTE_DNS_INTERVAL)?.0;
    }
    let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    let options = RemoteOptions {
        hedge: config.value(&keys::REMOTE_HEDGE)?.0,
        deadline: config.value(&keys::REMOTE_DEADLINE)?.0,
        fill_deadline: config.value(&keys::REMOTE_FILL_DEADLINE)?.0,
        connections_per_node: config.value(&keys::REMOTE_CONNECTIONS)?,
        max_item_bytes: bytes(config.value(&keys::REMOTE_MAX_ITEM)?.0),
        fill_queue_bytes: bytes(config.value(&keys::REMOTE_FILL_QUEUE)?.0),
        fill_concurrency: config.value(&keys::REMOTE_FILLS)?,
        tls: tls(config)?,
        ..RemoteOptions::default()
    };
    Ok(Some((nodes, options)))
}

/// How connections to the fleet are secured, from the files that are named.
pub(crate) fn tls(config: &Config) -> Result<Option<Tls>> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let Some(authorities) = config.get(&keys::REMOTE_AUTHORITIES)? else { return Ok(None) };
    let (certificate, key) = (config.get(&keys::REMOTE_CERTIFICATE)?, config.get(&keys::REMOTE_KEY)?);
    let own = match (&certificate, &key) {
        (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
        (None, None) => None,
        _ => {
            return Err(anyhow::anyhow!("a certificate without its key, or a key without its certificate"))
                .hint("remote.tls_certificate and remote.tls_key go together");
        }
    };
    let identity = own.as_ref().map(|(certificates, key)| TlsIdentity { certificates, key });
    let tls = Tls::trusting(&read(&authorities)?, identity);
    tls.map(Some)
        .with_context(|| format!("the fleet's certificates ({}) cannot be used", authorities.display()))
}

/// How an origin is treated.
pub(crate) fn origin(config: &Config, store: &StoreLocation) -> Result<OriginOptions> {
    let mut options = OriginOptions::with_concurrency(config.value(&keys::ORIGIN_CONCURRENCY)?);
    options.deadline = config.value(&keys::ORIGIN_DEADLINE)?.0;
    options.attempt_deadline = config.value(&keys::ORIGIN_ATTEMPT_DEADLINE)?.0;
    if let Some(queue) = config.get(&keys::ORIGIN_QUEUE)? {
        (options.queue, options.admission.most_waiting) = (queue, (queue / 2).max(1));
    }
    options.retry.attempts = config.value(&keys::ORIGIN_ATTEMPTS)?.max(1);
    options.retry.first_pause = config.value(&keys::ORIGIN_FIRST_PAUSE)?.0;
    options.retry.longest_pause = config.value(&keys::ORIGIN_LONGEST_PAUSE)?.0;
    options.retry.patience = options.deadline;
    options.retry.budget.per_request = config.value(&keys::ORIGIN_RETRY_SHARE)?.0;
    options.hedge.quantile = config.value(&keys::ORIGIN_HEDGE_AFTER)?.0;
    options.hedge.floor = config.value(&keys::ORIGIN_HEDGE_FLOOR)?.0;
    match (config.get(&keys::ORIGIN_HEDGE_SHARE)?, store) {
        (Some(share), _) => options.hedge.share = share.0,
        // A disk answers a second request no sooner than the first.
        (None, StoreLocation::Directory(_)) => options.hedge.share = 0.0,
        #[allow(unreachable_patterns, reason = "without buckets there are directories alone")]
        _ => {}
    }
    if options.hedge.share == 0.0 {
        options.hedge.burst = 0.0;
    }
    if let Some(waiting) = config.get(&keys::ORIGIN_REFUSE_WAITING)? {
        options.admission.most_waiting = waiting;
    }
    options.admission.most_failed = config.value(&keys::ORIGIN_REFUSE_FAILED)?.0;
    options.admission.retry_after = config.value(&keys::ORIGIN_REFUSE_FOR)?.0;
    Ok(options)
}
