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
    /// All images but this one; a second name of the same image shares everything.
    pub(crate) async fn than(store: &Store, tenant: &str, name: &ImageName) -> Result<Self> {
        let mut others = Self { own: HashSet::new(), foreign: HashSet::new() };
        for (other, reference) in store.names(tenant).await? {
            if other != *name {
                let manifest = wiring::sealed_manifest(store, &reference).await?;
                others.own.extend(manifest.chunks().iter().map(|chunk| chunk.id));
            }
        }
        for foreigner in store.tenants().await? {
            if foreigner != tenant
                && let Err(error) = others.add_foreign(store, &foreigner).await
            {
                // What is another tenant's may be hidden from this one, or broken; that is not this image's trouble.
                tracing::warn!(tenant = %foreigner, "not counted: {error:#}");
            }
        }
        Ok(others)
    }

    async fn add_foreign(&mut self, store: &Store, tenant: &str) -> Result<()> {
        for (_, reference) in store.names(tenant).await? {
            let manifest = wiring::sealed_manifest(store, &reference).await?;
            self.foreign.extend(manifest.chunks().iter().map(|chunk| chunk.id));
        }
        Ok(())
    }
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
    /// All of them, with the ids that they had.
    pub(crate) async fn of(store: &Store) -> Result<Self> {
        let mut names = HashMap::new();
        for (name, record) in store.scopes().await? {
            names.extend(record.earlier.iter().map(|id| (*id, format!("{name}, before it was rotated"))));
            names.insert(record.scope, name);
        }
        Ok(Self(names))
    }

    /// The name of a scope.
    pub(crate) fn name(&self, id: &ScopeId) -> Option<&str> {
        self.0.get(id).map(String::as_str)
    }
}
