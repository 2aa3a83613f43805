//! What can go wrong with a store or a keyring.

mod class;
mod translate;

use std::io;
use std::time::Duration;

use frazil_format::{ChunkId, FormatError, ManifestId, RootId, ScopeId};

pub use class::ErrorClass;
pub use translate::causes;

use crate::RootState;

/// Why a store or a keyring did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The text names no store.
    #[error("not the location of a store: {text:?} ({reason})")]
    BadLocation {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A kind of store that this program was built without.
    #[error("this program was built without stores at {scheme}://: {text:?}")]
    LocationNotBuilt {
        /// What was given.
        text: String,
        /// The part before `://`.
        scheme: String,
    },
    /// The text cannot name an image.
    #[error("not an image name: {text:?} ({reason})")]
    BadName {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The text cannot name a tenant or a scope.
    #[error(
        "not the name of a {kind}: {text:?} (1 to 64 letters, digits, '.', '_' or '-', a letter or digit first)"
    )]
    BadPlainName {
        /// `tenant` or `scope`.
        kind: &'static str,
        /// What was given.
        text: String,
    },
    /// There is no store at the location.
    #[error("there is no store at {location}")]
    NotAStore {
        /// Where it was looked for.
        location: String,
    },
    /// A store cannot be made where other things are.
    #[error("{location} holds other files and is not a store")]
    Occupied {
        /// The directory.
        location: String,
    },
    /// The object is of a version that this program does not know.
    #[error("{path} is of format {found}, this program knows {known}")]
    UnknownFormat {
        /// The object.
        path: String,
        /// The version that it says.
        found: u32,
        /// The version that is known.
        known: u32,
    },
    /// There is no bucket, or container, to write to.
    #[error("cannot write {path}: there is no such bucket")]
    NoBucket {
        /// The object, by its path in the store.
        path: String,
    },
    /// No root takes new chunks.
    #[error("the store at {location} has no active root")]
    NoActiveRoot {
        /// The store.
        location: String,
    },
    /// The root takes nothing new.
    #[error("root {root} is {state}, and takes nothing new")]
    RootNotActive {
        /// The root.
        root: RootId,
        /// Where it is in its life.
        state: RootState,
    },
    /// A root cannot go from where it is to where it was to go.
    #[error("root {root} is {state}: it cannot be {wanted}")]
    BadTransition {
        /// The root.
        root: RootId,
        /// Where it is in its life.
        state: RootState,
        /// Where it was to go.
        wanted: RootState,
    },
    /// The last active root cannot be retired.
    #[error("root {root} is the only active one")]
    LastActiveRoot {
        /// The root.
        root: RootId,
    },
    /// No root has this number.
    #[error("there is no root {root}")]
    NoSuchRoot {
        /// The number.
        root: RootId,
    },
    /// Names refer to a root, or are about to.
    #[error("{count} names refer to root {root}, {example} among them")]
    RootInUse {
        /// The root.
        root: RootId,
        /// How many.
        count: usize,
        /// One of them, with its tenant.
        example: String,
    },
    /// A name may refer to any root as long as it cannot be read.
    #[error("no root is given up while a name cannot be read: {problem}")]
    UnreadableName {
        /// The name, and what is wrong with it.
        problem: String,
    },
    /// A root has not been long enough where it is.
    #[error(
        "root {root} has been {state} for {} s, and must have been so for {} s",
        age.as_secs(),
        needed.as_secs()
    )]
    TooSoon {
        /// The root.
        root: RootId,
        /// Where it is in its life.
        state: RootState,
        /// For how long, by the store's clock.
        age: Duration,
        /// How long it must be.
        needed: Duration,
    },
    /// Nothing is deleted while an alarm stands, nor shortly after it was cleared.
    #[error("nothing is deleted: root {root} was read after it had expired (a {access}, by {host})")]
    AlarmStands {
        /// The root that was read.
        root: RootId,
        /// What was read.
        access: String,
        /// The machine that read it.
        host: String,
    },
    /// Others keep changing a record.
    #[error("{path} keeps being changed by others")]
    Contended {
        /// The record.
        path: String,
    },
    /// What was asked needs more than reading by name.
    #[error("cannot {action} {path}: a store that is published over HTTP is read-only, and read by name")]
    ReadOnly {
        /// What was tried.
        action: &'static str,
        /// On which object, or at which location.
        path: String,
    },
    /// Nobody said that the network may read and change what the store answers.
    #[error("{location} is plain http, which must be allowed explicitly")]
    PlainHttp {
        /// The store.
        location: String,
    },
    /// The store has too much to do, and says when to come back.
    #[error("cannot {action} {path}: the store answered {status}; try again in {} s", after.as_secs())]
    Throttled {
        /// What was tried.
        action: &'static str,
        /// On which object.
        path: String,
        /// The HTTP status.
        status: u16,
        /// How long to leave it alone.
        after: Duration,
    },
    /// The store does not answer.
    #[error("cannot {action} {path}: no answer for {} s", waited.as_secs())]
    Stalled {
        /// What was tried.
        action: &'static str,
        /// On which object.
        path: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The object is not there.
    #[error("{path} is not in the store")]
    NotFound {
        /// The object's path in the store.
        path: String,
    },
    /// The chunk is not there.
    #[error("chunk {id} is not in root {root}")]
    ChunkNotFound {
        /// Where it was looked for.
        root: RootId,
        /// The chunk.
        id: ChunkId,
    },
    /// The bytes under the chunk's name are not that chunk.
    #[error("chunk {id} of root {root} is corrupt in the store")]
    CorruptChunk {
        /// The root that holds it.
        root: RootId,
        /// The chunk.
        id: ChunkId,
        /// What is wrong with the bytes.
        source: FormatError,
    },
    /// The object is larger than anything of its kind; it was not read.
    #[error("{path} has {len} bytes, more than the {limit} that are possible")]
    Oversized {
        /// The object's path in the store.
        path: String,
        /// Its length in bytes.
        len: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A small record of the store cannot be understood.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The object's path in the store.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or object.
        path: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// The object store failed in a way that has no errno.
    #[error("cannot {action} {path}: {detail}")]
    Backend {
        /// What was tried.
        action: &'static str,
        /// On which object.
        path: String,
        /// What the object store says.
        detail: String,
        /// Whether trying again may help.
        class: ErrorClass,
    },
    /// The keyring has no such key.
    #[error("there is no key at {path}")]
    KeyNotFound {
        /// The key file.
        path: String,
    },
    /// Others could have read the key.
    #[error("{path} has mode {mode:04o}: {reason}")]
    KeyExposed {
        /// The key file or its directory.
        path: String,
        /// Its permissions.
        mode: u32,
        /// What must not be.
        reason: &'static str,
    },
    /// The key file cannot be understood.
    #[error("key file {path} is damaged: {reason}")]
    KeyDamaged {
        /// The key file.
        path: String,
        /// What is wrong with it; never a part of its content.
        reason: &'static str,
    },
    /// The wrapped key was wrapped by something else than the key that is here.
    #[error("the data key was wrapped by {wanted}, and here is {present}")]
    KeyMismatch {
        /// The provider and key that wrapped it.
        wanted: String,
        /// The provider and key that are here.
        present: String,
    },
    /// The manifest cannot be used.
    #[error("manifest {id}")]
    BadManifest {
        /// The manifest.
        id: ManifestId,
        /// What is wrong with it.
        source: FormatError,
    },
    /// The keys have another secret for a scope than the store's record names.
    #[error("the store's scope {scope} is {wanted}, whose secret is not among these keys")]
    ScopeMismatch {
        /// The scope's name.
        scope: String,
        /// The id in the store's record.
        wanted: ScopeId,
    },
    /// The text names no keys of a service.
    #[error("not keys of a key service: {text:?}")]
    BadKeys {
        /// What was given.
        text: String,
    },
    /// A key management service refused.
    #[error("the key service refuses to {action} {key}: {code}")]
    KeyService {
        /// What was tried.
        action: &'static str,
        /// With which key.
        key: String,
        /// What the service says.
        code: String,
        /// Whether trying again may help.
        class: ErrorClass,
    },
    /// Keys of a service are made by its own tools.
    #[error("every image is already wrapped by {key}; make the new key in the key service")]
    RotatedElsewhere {
        /// The key.
        key: String,
    },
    /// A key could not be made or wrapped.
    #[error("cannot make or wrap a key")]
    CannotMakeKey {
        /// Why not.
        source: FormatError,
    },
    /// The wrapped key does not open.
    #[error("the data key does not open with {key}")]
    KeyRefused {
        /// The wrapping key's id.
        key: String,
        /// Why it does not.
        source: FormatError,
    },
}

impl StoreError {
    /// Whether it says that the thing itself is missing or damaged, and trying again does not help.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self.class(), ErrorClass::NotFound | ErrorClass::Corrupt)
    }

    /// How long the store wants to be left alone before it is asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { after, .. } => Some(*after),
            _ => None,
        }
    }
}
