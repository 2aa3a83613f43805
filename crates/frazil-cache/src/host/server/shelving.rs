//! Profiles and bundles of agents that reach no store.
//!
//! Invariants: whoever reads or writes what is beside a manifest may ask for names of the manifest's tenant; what is
//! written is bounded by what the manifest needs; one upload is under way on a connection, and an upload that is
//! not finished leaves nothing. That is all there is to guard: what the bytes say is sealed with the manifest's key,
//! and whoever reads what another has spoilt refuses it and starts without.

use std::sync::{Arc, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use frazil_format::bounds::MAX_PROFILES_LEN;
use frazil_format::{FormatError, SealedFront, SealedManifest, bundle_len};
use frazil_store::{ErrorClass, Reference};
use futures::stream::{StreamExt, TryStreamExt};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use super::{Answer, Inner, Peer};
use crate::chain;
use crate::host::profile_shelf::whole;
use crate::host::protocol::{Purpose, Shelved};
use crate::host::{HostError, ProfileShelf};

/// Pieces that wait for a slow store.
const PIECES_MAX: usize = 4;

/// What one connection has under way, and what it may ask about.
#[derive(Default)]
pub(super) struct Shelving {
    /// What is being uploaded.
    upload: Mutex<Option<Upload>>,
    /// A manifest that it may ask about: a bundle is read in many pieces, and the tenant of a manifest never changes.
    allowed: std::sync::Mutex<Option<Reference>>,
}

/// A piece of it.
pub(super) struct Next {
    pub(super) offset: u64,
    pub(super) last: bool,
    pub(super) piece: Bytes,
}

struct Upload {
    what: Shelved,
    next: u64,
    limit: u64,
    into: Into,
}

enum Into {
    /// Profiles are short, and put as a whole.
    Memory(BytesMut),
    /// A bundle is written while it comes.
    Shelf(mpsc::Sender<Result<Bytes, HostError>>, JoinHandle<Result<(), HostError>>),
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Aborting a task that has finished does nothing.
        if let Into::Shelf(_, writing) = &self.into {
            writing.abort();
        }
    }
}

fn refused(message: &str) -> Answer {
    Answer::Error { class: ErrorClass::Denied, message: message.to_owned() }
}

fn told(error: &HostError) -> Answer {
    Answer::Error { class: error.class(), message: chain(error) }
}

impl Inner {
    /// Profiles, or a part of a bundle.
    pub(super) async fn shelved(
        &self,
        peer: Peer,
        shelving: &Shelving,
        what: &Shelved,
        (offset, len, purpose): (u64, u32, Purpose),
    ) -> Answer {
        let shelf = match self.shelf_for(peer, shelving, &what.of).await {
            Ok(shelf) => shelf,
            Err(answer) => return answer,
        };
        let Some(bundle) = &what.bundle else {
            let profiles = match purpose {
                Purpose::Reading => shelf.profiles(&what.of).await,
                Purpose::Starting => shelf.head_start(&what.of).await.map(|begun| begun.profiles),
            };
            return match profiles {
                Ok(profiles) => Answer::Shelved(profiles),
                Err(error) => told(&error),
            };
        };
        let range = offset..offset.saturating_add(u64::from(len));
        let part = async { whole(shelf.bundle(&what.of, bundle, range).await?).await };
        match part.await {
            Ok(part) if part.len() == len as usize => Answer::Shelved(Some(part)),
            Ok(_) => refused("the bundle is shorter than that"),
            Err(error) => told(&error),
        }
    }

    /// Takes the next piece of an upload; the first one begins it.
    pub(super) async fn shelve(&self, peer: Peer, shelving: &Shelving, what: &Shelved, next: Next) -> Answer {
        let mut upload = shelving.upload.lock().await;
        let begins = |upload: &Upload| upload.what != *what || upload.next != 0;
        if next.offset == 0 && upload.as_ref().is_none_or(begins) {
            *upload = None;
            *upload = match self.begin(peer, shelving, what).await {
                Ok(begun) => Some(begun),
                Err(answer) => return answer,
            };
        }
        let fits = upload.as_ref().is_some_and(|upload| {
            upload.what == *what
                && upload.next == next.offset
                && next.offset.saturating_add(next.piece.len() as u64) <= upload.limit
        });
        if !fits {
            *upload = None;
            return refused("this is not what is to follow");
        }
        // The upload stays in its place during this wait: a request that is given up may be repeated. A
        // writer that has ended says why below.
        let room = match upload.as_ref().map(|upload| &upload.into) {
            Some(Into::Shelf(pieces, _)) => pieces.clone().reserve_owned().await.ok(),
            Some(Into::Memory(_)) | None => None,
        };
        let Some(mut current) = upload.take() else { return refused("this is not what is to follow") };
        current.next = current.next.saturating_add(next.piece.len() as u64);
        match (&mut current.into, room) {
            (Into::Memory(bytes), _) => bytes.extend_from_slice(&next.piece),
            (Into::Shelf(..), room) => drop(room.map(|room| room.send(Ok(next.piece)))),
        }
        let ended = matches!(&current.into, Into::Shelf(pieces, _) if pieces.is_closed());
        if next.last || ended {
            return self.end(current).await;
        }
        *upload = Some(current);
        Answer::Done
    }

    /// Deletes a bundle.
    pub(super) async fn clear(&self, peer: Peer, shelving: &Shelving, what: &Shelved) -> Answer {
        let Some(bundle) = &what.bundle else { return refused("profiles are replaced, not deleted") };
        let deleted = match self.shelf_for(peer, shelving, &what.of).await {
            Ok(shelf) => shelf.delete_bundle(&what.of, bundle).await,
            Err(answer) => return answer,
        };
        deleted.map_or_else(|error| told(&error), |()| Answer::Done)
    }

    async fn begin(&self, peer: Peer, shelving: &Shelving, what: &Shelved) -> Result<Upload, Answer> {
        let shelf = self.shelf_for(peer, shelving, &what.of).await?;
        let (limit, into) = match what.bundle {
            None => (MAX_PROFILES_LEN, Into::Memory(BytesMut::new())),
            Some(bundle) => {
                let manifest = self.sealed_manifest(&what.of).await?;
                let all = manifest.chunks().iter().map(|chunk| u64::from(chunk.sealed_len)).sum();
                let (pieces, mut coming) = mpsc::channel(PIECES_MAX);
                let stream = futures::stream::poll_fn(move |context| coming.poll_recv(context)).boxed();
                let of = what.of;
                let writing = tokio::spawn(async move { shelf.put_bundle(&of, &bundle, stream).await });
                (bundle_len(all), Into::Shelf(pieces, writing))
            }
        };
        Ok(Upload { what: *what, next: 0, limit, into })
    }

    async fn end(&self, mut upload: Upload) -> Answer {
        let put = match std::mem::replace(&mut upload.into, Into::Memory(BytesMut::new())) {
            Into::Memory(bytes) => match &self.options.profiles {
                Some(shelf) => shelf.put_profiles(&upload.what.of, bytes.freeze()).await,
                None => return refused("no profiles are kept here"),
            },
            Into::Shelf(pieces, writing) => {
                drop(pieces);
                match writing.await {
                    Ok(written) => written,
                    Err(_) => return refused("the upload was given up"),
                }
            }
        };
        put.map_or_else(|error| told(&error), |()| Answer::Done)
    }

    /// The shelf, if this process may ask for what is beside this manifest.
    async fn shelf_for(
        &self,
        peer: Peer,
        shelving: &Shelving,
        of: &Reference,
    ) -> Result<Arc<dyn ProfileShelf>, Answer> {
        let shelf = self.options.profiles.clone().ok_or_else(|| refused("no profiles are kept here"))?;
        if *shelving.allowed() == Some(*of) {
            return Ok(shelf);
        }
        let front = self.sealed_front(of).await?;
        let tenant = &front.geometry().tenant;
        if !self.options.peers.may_ask(&peer, tenant) {
            return Err(refused(&format!("user {} may not ask for images of the tenant {tenant}", peer.uid)));
        }
        *shelving.allowed() = Some(*of);
        Ok(shelf)
    }

    /// The front of the manifest: the rest need not be waited for to know whose it is.
    async fn sealed_front(&self, of: &Reference) -> Result<SealedFront, Answer> {
        let coming = self.catalog.manifest_from(of.root, &of.manifest, 0).await;
        let mut coming = coming.map_err(|error| told(&error))?;
        let mut here = BytesMut::new();
        while let Some(piece) = coming.bytes.try_next().await.map_err(|error| told(&error))? {
            here.extend_from_slice(&piece);
            let bytes = here.split().freeze();
            if let Some(front) = SealedFront::read(&of.manifest, &bytes).map_err(|error| corrupt(&error))? {
                return Ok(front);
            }
            here = bytes.into();
        }
        Err(corrupt(&FormatError::BadGeometry { problem: "the manifest ends before it" }))
    }

    async fn sealed_manifest(&self, of: &Reference) -> Result<SealedManifest, Answer> {
        let bytes = self.catalog.manifest(of.root, &of.manifest).await.map_err(|error| told(&error))?;
        SealedManifest::verify(&of.manifest, bytes).map_err(|error| corrupt(&error))
    }
}

impl Shelving {
    fn allowed(&self) -> MutexGuard<'_, Option<Reference>> {
        self.allowed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn corrupt(error: &FormatError) -> Answer {
    Answer::Error { class: ErrorClass::Corrupt, message: error.to_string() }
}
