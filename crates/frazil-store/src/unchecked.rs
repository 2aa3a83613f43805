//! What is found at a location, until it is known whether it is a store.
//!
//! A store's marker says so. What is read before that is not shown to anybody, so the marker and the first
//! name can be asked for at the same time.

use std::sync::Arc;

use crate::access_log::AccessLog;
use crate::objects::Objects;
use crate::observed::Record;
use crate::record::{self, Marker};
use crate::requests::Requests;
use crate::roots::watch::RootWatch;
use crate::starter::LatelyNamed;
use crate::{Store, StoreError, StoreId, StoreLocation, StoreOptions, backend, layout};

/// What is at a location, whether it is a store or not.
#[derive(Clone)]
pub(crate) struct Unchecked {
    location: StoreLocation,
    objects: Arc<Objects>,
    requests: Arc<Requests>,
    watch: Arc<RootWatch>,
    lately_named: Arc<LatelyNamed>,
}

impl Unchecked {
    pub(crate) fn open(location: &StoreLocation, options: &StoreOptions) -> Result<Self, StoreError> {
        let requests = Arc::<Requests>::default();
        let log = options.access_log.as_deref().map(AccessLog::open).transpose()?.map(Arc::new);
        let observe = Record { requests: Arc::clone(&requests), log };
        let objects = backend::open(location, options, &observe)
            .map_err(|error| or_not_found(error, || not_a_store(location)))?;
        let (location, objects) = (location.clone(), Arc::new(objects));
        Ok(Self { location, objects, requests, watch: Arc::default(), lately_named: Arc::default() })
    }

    /// The store's own name: there is one if it is a store.
    pub(crate) async fn id(&self) -> Result<StoreId, StoreError> {
        let marker: Marker = record::read(&self.objects, &layout::marker())
            .await
            .map_err(|error| or_not_found(error, || not_a_store(&self.location)))?;
        if !marker.store_id.is_well_formed() {
            let reason = "its store id is not 32 hexadecimal digits";
            return Err(StoreError::damaged(&layout::marker(), reason));
        }
        Ok(marker.store_id)
    }

    /// The store, now that it is known to be one.
    pub(crate) fn checked(self, id: StoreId) -> Store {
        let Self { location, objects, requests, watch, lately_named } = self;
        Store::of(location, id, objects, requests, watch, lately_named)
    }
}

fn not_a_store(location: &StoreLocation) -> StoreError {
    StoreError::NotAStore { location: location.to_string() }
}

fn or_not_found(error: StoreError, not_found: impl Fn() -> StoreError) -> StoreError {
    match error.class() {
        crate::ErrorClass::NotFound => not_found(),
        _ => error,
    }
}
