//! What a collection did, or would do: the stable document of `frazil gc run --json`.

use frazil_format::RootId;
use serde::Serialize;

use crate::record::as_text;

/// Everything that a collection did, or would do.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Report {
    /// The steps, in their order.
    pub steps: Vec<Step>,
    /// What a person has to look at.
    pub problems: Vec<String>,
}

/// One step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// A new root.
    New {
        /// The root.
        #[serde(with = "as_text")]
        root: RootId,
    },
    /// An active root takes nothing new any more.
    Retire {
        /// The root.
        #[serde(with = "as_text")]
        root: RootId,
    },
    /// What names refer to is copied from a retired root to the active one.
    Migrate(Migration),
    /// Nobody should read the root any more.
    Expire {
        /// The root.
        #[serde(with = "as_text")]
        root: RootId,
    },
    /// Everything of a root is deleted.
    Delete(Deletion),
    /// A step that is due later.
    Wait {
        /// The root.
        #[serde(with = "as_text")]
        root: RootId,
        /// `retire`, `expire` or `delete`.
        next: &'static str,
        /// In how many seconds.
        in_s: u64,
    },
    /// A step that is due and not taken.
    Blocked {
        /// The root.
        #[serde(with = "as_text")]
        root: RootId,
        /// `expire` or `delete`.
        next: &'static str,
        /// Why not.
        reason: String,
    },
}

/// A migration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Migration {
    /// The retired root.
    #[serde(with = "as_text")]
    pub from: RootId,
    /// The active root.
    #[serde(with = "as_text")]
    pub to: RootId,
    /// The images, in the order of their names.
    pub images: Vec<ImageBytes>,
    /// Layer indexes that are copied because all of their chunks are.
    pub layer_indexes: u64,
    /// Chunks that are copied.
    pub chunks: u64,
    /// Sealed bytes that are copied.
    pub bytes: u64,
}

/// A deletion.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Deletion {
    /// The root.
    #[serde(with = "as_text")]
    pub root: RootId,
    /// The manifests of the root, in the order of their names; only in a plan.
    pub images: Vec<ImageBytes>,
    /// Objects that are deleted.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those bytes that are chunks of no manifest of the root; only in a plan.
    pub unreferenced_bytes: u64,
}

/// An image in a plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ImageBytes {
    /// The tenant that it belongs to.
    pub tenant: String,
    /// Its name, as its manifest or its reference says.
    pub name: String,
    /// Its manifest.
    pub manifest: String,
    /// Its sealed bytes, each chunk once.
    pub bytes: u64,
    /// Those that are copied or deleted for this image alone: no image before it in the list needs them too.
    pub own_bytes: u64,
    /// Why it stays where it is, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

impl Report {
    /// Whether nothing was, or would be, done.
    pub fn is_idle(&self) -> bool {
        self.steps.iter().all(|step| matches!(step, Step::Wait { .. } | Step::Blocked { .. }))
    }
}
