//! How much of an image other images of the store have too, and under which scopes its parts are sealed.
//!
//! Invariant: it is told from what is clear in the store, chunk by chunk, not from what should be: a key changes
//! nothing in it. What cannot be told is not a zero: it is left open.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result};
use frazil_format::{Chunk, ChunkId, ScopeId};
use frazil_store::{ImageName, Store};
use serde::Serialize;

use crate::failure::chain;
use crate::wiring;

/// The chunks of all other images of a store.
pub(crate) struct Others {
    /// Of the same tenant. None if they are not all known.
    own: Option<HashSet<ChunkId>>,
    /// Of other tenants. None if they are not all known.
    foreign: Option<HashSet<ChunkId>>,
}

/// Chunks and their sealed bytes.
#[derive(Serialize, Clone, Copy)]
pub(crate) struct Figures {
    /// How many there are.
    pub(crate) chunks: u64,
    /// Their bytes.
    pub(crate) sealed_bytes: u64,
    /// Those that another image has too. None, as the other figures, if not all images that they tell of were counted.
    pub(crate) shared_chunks: Option<u64>,
    /// Their bytes.
    pub(crate) shared_bytes: Option<u64>,
    /// Those that an image of another tenant has too.
    pub(crate) tenants_chunks: Option<u64>,
    /// Their bytes.
    pub(crate) tenants_bytes: Option<u64>,
}

impl Others {
    /// All images but this one; a second name of the same image shares everything. A store that cannot be
    /// listed, another tenant's image that is hidden, and a broken one do not fail the command for this
    /// image: there is a warning, and what they hide is not known.
    pub(crate) async fn than(store: &Store, tenant: &str, name: &ImageName) -> Self {
        let tenants = match store.tenants().await {
            Ok(tenants) => tenants,
            Err(error) => {
                tracing::warn!("it is not known what other images share: {}", chain(&error.into()));
                return Self { own: None, foreign: None };
            }
        };
        let mut others = Self { own: Some(HashSet::new()), foreign: Some(HashSet::new()) };
        for of in tenants {
            let (into, except) =
                if of == tenant { (&mut others.own, Some(name)) } else { (&mut others.foreign, None) };
            match chunks(store, &of, except).await {
                Ok(chunks) => {
                    if let Some(into) = into {
                        into.extend(chunks);
                    }
                }
                Err(error) => {
                    tracing::warn!(tenant = %of, "it is not known what its images share: {}", chain(&error));
                    *into = None;
                }
            }
        }
        others
    }
}

/// The chunks of a tenant's images but one.
async fn chunks(store: &Store, tenant: &str, except: Option<&ImageName>) -> Result<HashSet<ChunkId>> {
    let mut chunks = HashSet::new();
    for (name, reference) in store.names(tenant).await? {
        if except == Some(&name) {
            continue;
        }
        let manifest =
            wiring::sealed_manifest(store, &reference).await.with_context(|| format!("image {name}"))?;
        chunks.extend(manifest.chunks().iter().map(|chunk| chunk.id));
    }
    Ok(chunks)
}

impl Figures {
    /// The figures of these chunks.
    pub(crate) fn of(chunks: &[Chunk], others: &Others) -> Self {
        let all = count(chunks, |_| true);
        let tenants = others.foreign.as_ref().map(|foreign| count(chunks, |id| foreign.contains(id)));
        let known = others.own.as_ref().zip(others.foreign.as_ref());
        let shared = known.map(|(own, foreign)| count(chunks, |id| own.contains(id) || foreign.contains(id)));
        Self {
            chunks: all.chunks,
            sealed_bytes: all.bytes,
            shared_chunks: shared.map(|shared| shared.chunks),
            shared_bytes: shared.map(|shared| shared.bytes),
            tenants_chunks: tenants.map(|tenants| tenants.chunks),
            tenants_bytes: tenants.map(|tenants| tenants.bytes),
        }
    }
}

#[derive(Default, Clone, Copy)]
struct Count {
    chunks: u64,
    bytes: u64,
}

fn count(chunks: &[Chunk], is_counted: impl Fn(&ChunkId) -> bool) -> Count {
    chunks.iter().filter(|chunk| is_counted(&chunk.id)).fold(Count::default(), |count, chunk| Count {
        chunks: count.chunks + 1,
        bytes: count.bytes + u64::from(chunk.sealed_len),
    })
}

/// What the scopes of a store are called.
pub(crate) struct ScopeNames(HashMap<ScopeId, String>);

impl ScopeNames {
    /// The names of all scopes, with the ids that they had. If the store cannot tell, there is a warning, and
    /// a scope goes by its id.
    pub(crate) async fn of(store: &Store) -> Self {
        let scopes = store.scopes().await.unwrap_or_else(|error| {
            tracing::warn!("it is not known what scopes are called: {}", chain(&error.into()));
            Vec::new()
        });
        let mut names = HashMap::new();
        for (name, record) in scopes {
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
