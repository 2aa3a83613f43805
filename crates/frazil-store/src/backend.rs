//! A location becomes an object store: the one place that knows which kinds there are.

use std::path::Path;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;

use crate::barrier::Barrier;
use crate::exclusion::{self, Exclusion};
use crate::leftovers::Leftovers;
use crate::objects::Objects;
use crate::observed::{Observed, Record};
#[cfg(feature = "cloud")]
use crate::patience::{Patience, STALL};
#[cfg(feature = "cloud")]
use crate::throttled::Connector;
use crate::{StoreError, StoreLocation, StoreOptions};

/// Opens what is at the location, whether it is a store or not.
pub(crate) fn open(
    location: &StoreLocation,
    #[cfg_attr(not(feature = "cloud"), expect(unused_variables))] options: &StoreOptions,
    record: &Record,
) -> Result<Objects, StoreError> {
    match location {
        StoreLocation::Directory(path) => open_directory(path, record),
        #[cfg(feature = "cloud")]
        StoreLocation::Bucket(url) => {
            open_remote(|patience, connector| url.open(patience, connector), record)
        }
        #[cfg(feature = "cloud")]
        StoreLocation::Published(url) => {
            open_remote(|patience, connector| url.open(options.plain_http, patience, connector), record)
        }
    }
}

/// Makes room for a new store at the location. What is there already must be a store, or one that is just being
/// made, or nothing.
pub(crate) fn prepare(location: &StoreLocation) -> Result<(), StoreError> {
    match location {
        StoreLocation::Directory(path) => prepare_directory(path, location),
        // A bucket has an owner who made it for something: a prefix in it is free when it has no marker.
        #[cfg(feature = "cloud")]
        StoreLocation::Bucket(_) => Ok(()),
        #[cfg(feature = "cloud")]
        StoreLocation::Published(url) => {
            Err(StoreError::ReadOnly { action: "make a store at", path: url.to_string() })
        }
    }
}

fn open_directory(path: &Path, record: &Record) -> Result<Objects, StoreError> {
    let files = LocalFileSystem::new_with_prefix(path)
        .map_err(|error| StoreError::backend("open", path.display(), error))?;
    let observe = |files| Arc::new(Observed::new(Arc::new(files), record.clone())) as Arc<dyn ObjectStore>;
    let plain = observe(files.clone());
    Ok(Objects {
        once: Arc::clone(&plain),
        plain,
        stall: None,
        durable: observe(files.with_fsync(true)),
        barrier: Barrier::of_directory(path)?,
        leftovers: Some(Leftovers::of_directory(path)),
        exclusion: Some(Exclusion::of_directory(path)),
    })
}

#[cfg(feature = "cloud")]
fn open_remote(
    open: impl Fn(Patience, &Connector) -> Result<Arc<dyn ObjectStore>, StoreError>,
    record: &Record,
) -> Result<Objects, StoreError> {
    let observe = |objects| Arc::new(Observed::new(objects, record.clone())) as Arc<dyn ObjectStore>;
    let connector = Connector::default();
    let retrying = observe(open(Patience::Retrying, &connector)?);
    Ok(Objects {
        plain: Arc::clone(&retrying),
        durable: retrying,
        once: observe(open(Patience::Once, &connector)?),
        stall: Some(STALL),
        barrier: Barrier::not_needed(),
        leftovers: None,
        exclusion: None,
    })
}

fn prepare_directory(path: &Path, location: &StoreLocation) -> Result<(), StoreError> {
    std::fs::create_dir_all(path).map_err(|source| StoreError::io("create", path.display(), source))?;
    let entries = std::fs::read_dir(path).map_err(|source| StoreError::io("list", path.display(), source))?;
    for entry in entries {
        let entry = entry.map_err(|source| StoreError::io("list", path.display(), source))?;
        let name = entry.file_name();
        let is_ours = |name: &str| {
            matches!(
                name,
                "roots"
                    | "names"
                    | "starters"
                    | "scopes"
                    | "bases"
                    | "gc"
                    | exclusion::FILE_NAME
                    | "lost+found"
            ) || name.starts_with("frazil.json")
        };
        if !name.to_str().is_some_and(is_ours) {
            return Err(StoreError::Occupied { location: location.to_string() });
        }
    }
    Ok(())
}
