//! Which entry of an OCI layout's own index is meant.
//!
//! Invariant: never a guess. What is left is one manifest, or several that are for different platforms; anything else
//! is refused with the digests to choose from. A name may stand in an index twice: builders add, and nothing stops
//! them (OCI image-spec, `image-layout.md`, leaves the meaning open).

use std::collections::{BTreeSet, HashSet};

use super::document::IndexEntry;
use super::resolve::{self, Blobs};
use super::{LayoutChoice, Platform, SourceError};

/// The most entries of one name that are opened to learn their platforms: more than there are platforms.
const MAX_OPENED: usize = 64;

/// The entries that `choice` leaves: all those of one name, or of one digest.
pub(super) fn select(
    entries: Vec<IndexEntry>,
    choice: Option<&LayoutChoice>,
    source_name: &str,
) -> Result<Vec<IndexEntry>, SourceError> {
    let source_name = source_name.to_owned();
    match choice {
        Some(choice) => {
            let available = match choice {
                LayoutChoice::Tag(_) => sorted(entries.iter().filter_map(|entry| entry.tag.clone())),
                LayoutChoice::Digest(_) => {
                    sorted(entries.iter().map(|entry| entry.descriptor.digest.to_string()))
                }
            };
            let is_wanted = |entry: &IndexEntry| match choice {
                LayoutChoice::Tag(tag) => entry.tag.as_ref() == Some(tag),
                LayoutChoice::Digest(digest) => entry.descriptor.digest == *digest,
            };
            let selected = distinct(entries.into_iter().filter(is_wanted).collect());
            if selected.is_empty() {
                return Err(SourceError::UnknownTag { source_name, wanted: choice.to_string(), available });
            }
            Ok(selected)
        }
        None => {
            let mut names = entries.iter().map(|entry| &entry.tag);
            let first = names.next();
            if names.any(|name| Some(name) != first) {
                let available = sorted(entries.iter().map(choice_of));
                return Err(SourceError::TagNeeded { source_name, available });
            }
            Ok(distinct(entries))
        }
    }
}

/// What to write to get this entry: its name, or its digest if it has none.
fn choice_of(entry: &IndexEntry) -> String {
    let choice = match &entry.tag {
        Some(tag) => LayoutChoice::Tag(tag.clone()),
        None => LayoutChoice::Digest(entry.descriptor.digest),
    };
    choice.to_string()
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

/// One entry for each manifest: one that is named twice is still one manifest.
fn distinct(entries: Vec<IndexEntry>) -> Vec<IndexEntry> {
    let mut seen = HashSet::new();
    entries.into_iter().filter(|entry| seen.insert(entry.descriptor.digest)).collect()
}

/// Learns what several entries are for, and refuses them if more than one is for `platform`. For an entry
/// that does not say what it is for, its config is read.
pub(super) async fn tell_apart(
    blobs: &dyn Blobs,
    mut entries: Vec<IndexEntry>,
    platform: &Platform,
    source_name: &str,
) -> Result<Vec<IndexEntry>, SourceError> {
    if entries.len() <= 1 {
        return Ok(entries);
    }
    for entry in entries.iter_mut().filter(|entry| entry.platform.is_none()).take(MAX_OPENED) {
        entry.platform = resolve::platform_of(blobs, &entry.descriptor).await?;
    }
    let preference = |entry: &IndexEntry| platform.preference(entry.platform.as_ref()?);
    let best = entries.iter().filter_map(preference).min();
    // An entry that says nothing, such as a nested index, might be for the platform as well.
    let might_be =
        |entry: &&IndexEntry| entry.platform.is_none() || best.is_some() && preference(entry) == best;
    let candidates: Vec<_> = entries.iter().filter(might_be).collect();
    if candidates.len() > 1 {
        return Err(SourceError::Ambiguous {
            source_name: source_name.to_owned(),
            tag: candidates.first().and_then(|entry| entry.tag.clone()),
            digests: candidates.iter().map(|entry| entry.descriptor.digest).collect(),
        });
    }
    Ok(entries)
}
