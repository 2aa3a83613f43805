//! How much of an image other images of the store have too, and under which scopes its parts are sealed.
//!
//! Invariant: it is told from what is clear in the store, chunk by chunk, not from what should be: a key changes
//! nothing in it.

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use frazil_format::{Chunk, ChunkId, ScopeId};
use frazil_store::{ImageName, Store};
use serde::Serialize;

use crate::wiring;

/// The chunks of all other images of a store.
#[derive(Default)]
pub(crate) struct Others {
    /// Of the same tenant.
    own: HashSet<ChunkId>,
    /// Of other tenants.
    foreign: HashSet<ChunkId>,
}

/// Chunks and their sealed bytes.
#[derive(Serialize, Default, Clone, Copy)]
pub(crate) struct Figures {
    /// How many there are.
    pub(crate) chunks: u64,
    /// Their bytes.
    pub(crate) sealed_bytes: u64,
    /// Those that another image has too.
    pub(crate) shared_chunks: u64,
    /// Their bytes.
    pub(crate) shared_bytes: u64,
    /// Those that an image of another tenant has too.
    pub(crate) tenants_chunks: u64,
    /// Their bytes.
    pub(crate) tenants_bytes: u64,
}

impl Others {
    /// All images but this one; a second name of the same image shares everything. A store that cannot be listed,
    /// another tenant's image that is hidden, or one that is broken, is not this image's trouble: it is warned of.
    pub(crate) async fn than(store: &Store, tenant: &str, name: &ImageName) -> Self {
        let mut others = Self::default();
        let tenants = match store.tenants().await {
            Ok(tenants) => tenants,
            Err(error) => {
                tracing::warn!("not counted: {:#}", anyhow::Error::from(error));
                return others;
            }
        };
        for of in tenants {
            let (into, except) =
                if of == tenant { (&mut others.own, Some(name)) } else { (&mut others.foreign, None) };
            if let Err(error) = add(into, store, &of, except).await {
                tracing::warn!(tenant = %of, "not counted: {error:#}");
            }
        }
        others
    }
}

/// Adds the chunks of a tenant's images but one. Of images that cannot be read the last is told of, when all
/// others are counted.
async fn add(
    chunks: &mut HashSet<ChunkId>,
    store: &Store,
    tenant: &str,
    except: Option<&ImageName>,
) -> Result<()> {
    let mut outcome = Ok(());
    for (name, reference) in store.names(tenant).await? {
        if except == Some(&name) {
            continue;
        }
        match wiring::sealed_manifest(store, &reference).await {
            Ok(manifest) => chunks.extend(manifest.chunks().iter().map(|chunk| chunk.id)),
            Err(error) => outcome = Err(error),
        }
    }
    outcome
}

impl Figures {
    /// The figures of these chunks.
    pub(crate) fn of<'a>(chunks: impl Iterator<Item = &'a Chunk>, others: &Others) -> Self {
        chunks.fold(Self::default(), |mut figures, chunk| {
            let sealed_len = u64::from(chunk.sealed_len);
            let is_foreign = others.foreign.contains(&chunk.id);
            figures.chunks += 1;
            figures.sealed_bytes += sealed_len;
            if is_foreign || others.own.contains(&chunk.id) {
                figures.shared_chunks += 1;
                figures.shared_bytes += sealed_len;
            }
            if is_foreign {
                figures.tenants_chunks += 1;
                figures.tenants_bytes += sealed_len;
            }
            figures
        })
    }
}

/// What the scopes of a store are called.
pub(crate) struct ScopeNames(HashMap<ScopeId, String>);

impl ScopeNames {
    /// All of them, with the ids that they had; none if the store cannot tell: a scope is its id then.
    pub(crate) async fn of(store: &Store) -> Self {
        let mut names = HashMap::new();
        for (name, record) in store.scopes().await.unwrap_or_default() {
            names.extend(record.earlier.iter().map(|id| (*id, format!("{name}, before it was rotated"))));
            names.insert(record.scope, name);
        }
        Self(names)
    }

    /// The name of a scope.
    pub(crate) fn name(&self, id: &ScopeId) -> Option<&str> {
        self.0.get(id).map(String::as_str)
    }
}
