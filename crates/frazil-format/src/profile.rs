//! Profiles: in which order the starts of an image touched its chunks first, one profile for each command.
//!
//! All profiles of a manifest are one file, sealed as a whole and padded, so that whoever keeps it learns its
//! length and nothing else: neither which chunks or commands are in it, nor how many of either.
//! docs/FORMAT.md has the bytes.

mod bytes;

use std::collections::HashSet;

use crate::bounds::{MAX_PROFILE_CHUNKS, MAX_PROFILE_TEXT_LEN, MAX_PROFILES, within};
use crate::{Bundle, FormatError, LabelId};

#[cfg(test)]
pub(crate) use bytes::encode_body as encode_profiles;

/// A smoothed share of one, in thousandths.
pub(crate) const WHOLE: u16 = 1000;

/// The profiles beside one manifest, in no order, one for each label.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Profiles(pub Vec<Profile>);

/// What is known of the starts with one command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    /// What was started.
    pub label: Label,
    /// How many starts it was learnt from.
    pub starts: u32,
    /// How much of what the profile foretold was touched, in thousandths of its bytes, smoothed over the starts.
    pub precision: u16,
    /// When a start was recorded last: seconds since the epoch.
    pub recorded_seconds: u64,
    /// The chunks, sorted by position, then by number; none twice.
    pub chunks: Vec<ProfiledChunk>,
    /// These chunks, or most of them, in one object.
    pub bundle: Option<Bundle>,
}

/// A chunk that starts have touched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProfiledChunk {
    /// Its place in the manifest's chunk table.
    pub chunk: u32,
    /// Where it stands in the order of first touches, smoothed over the starts; in sixteenths of a place.
    pub position: u32,
    /// In which of the last sixteen starts it was touched, the last one in the lowest bit; not zero.
    pub history: u16,
}

/// What a profile is of.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Label {
    /// Equal for equal commands.
    pub id: LabelId,
    /// For people: at most [`MAX_PROFILE_TEXT_LEN`] bytes.
    pub text: String,
}

impl Label {
    /// The label of a command: the program and its arguments.
    pub fn command<A: AsRef<[u8]>>(arguments: &[A]) -> Self {
        let words: Vec<_> = arguments.iter().map(|word| String::from_utf8_lossy(word.as_ref())).collect();
        Self { id: hash(b'c', arguments), text: shortened(&words.join(" ")) }
    }

    /// The label of a mount that was given this word.
    pub fn mount(word: &str) -> Self {
        let text =
            if word.is_empty() { "frazil mount".to_owned() } else { format!("frazil mount --label {word}") };
        Self { id: hash(b'm', &[word]), text: shortened(&text) }
    }
}

/// The kind, then every word behind its length: two commands never hash the same bytes.
fn hash<A: AsRef<[u8]>>(kind: u8, words: &[A]) -> LabelId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[kind]);
    for word in words {
        hasher.update(&(word.as_ref().len() as u64).to_le_bytes()).update(word.as_ref());
    }
    LabelId::from_bytes(*hasher.finalize().as_bytes())
}

fn shortened(text: &str) -> String {
    text.get(..text.floor_char_boundary(MAX_PROFILE_TEXT_LEN as usize)).unwrap_or_default().to_owned()
}

impl Profiles {
    /// The profile of a label.
    pub fn of(&self, label: &LabelId) -> Option<&Profile> {
        self.0.iter().find(|profile| profile.label.id == *label)
    }

    /// Puts a profile in the place of the one of the same label.
    pub fn put(&mut self, profile: Profile) {
        self.0.retain(|other| other.label.id != profile.label.id);
        self.0.push(profile);
    }

    /// Takes a label's profile away.
    pub fn take(&mut self, label: &LabelId) -> Option<Profile> {
        let at = self.0.iter().position(|profile| profile.label.id == *label)?;
        Some(self.0.remove(at))
    }
}

impl ProfiledChunk {
    /// Whether the next start will touch it, as far as can be told: of the last sixteen starts, at least half
    /// of those since the first that touched it did.
    pub fn is_likely(&self) -> bool {
        let age = u16::BITS - self.history.leading_zeros();
        self.history.count_ones() * 2 >= age
    }

    /// In how many of the last sixteen starts it was touched.
    pub fn uses(&self) -> u32 {
        self.history.count_ones()
    }

    /// Where it stands in the order of profiles.
    fn place(&self) -> (u32, u32) {
        (self.position, self.chunk)
    }
}

/// Refuses profiles that are not as they must be for an image of this many chunks.
fn check(profiles: &Profiles, chunk_count: usize) -> Result<(), FormatError> {
    within("profiles", profiles.0.len() as u64, MAX_PROFILES)?;
    let mut labels = HashSet::new();
    for (number, profile) in (0..).zip(&profiles.0) {
        let bad = |problem| FormatError::BadProfile { number, problem };
        if !labels.insert(profile.label.id) {
            return Err(bad("another one has its label"));
        }
        within("text of a profile", profile.label.text.len() as u64, MAX_PROFILE_TEXT_LEN)?;
        within("chunks of a profile", profile.chunks.len() as u64, MAX_PROFILE_CHUNKS)?;
        if profile.precision > WHOLE {
            return Err(bad("its precision is more than one"));
        }
        if !profile.chunks.is_sorted_by_key(ProfiledChunk::place) {
            return Err(bad("its chunks are not in order"));
        }
        if profile.chunks.iter().any(|chunk| chunk.history == 0) {
            return Err(bad("a chunk was never touched"));
        }
        let numbers = profile.chunks.iter().map(|chunk| chunk.chunk);
        distinct(numbers, chunk_count).map_err(bad)?;
        if let Some(bundle) = &profile.bundle {
            within("chunks of a bundle", bundle.chunks.len() as u64, MAX_PROFILE_CHUNKS)?;
            if bundle.chunks.is_empty() {
                return Err(bad("its bundle is empty"));
            }
            distinct(bundle.chunks.iter().copied(), chunk_count).map_err(bad)?;
        }
    }
    Ok(())
}

fn distinct(mut numbers: impl Iterator<Item = u32>, chunk_count: usize) -> Result<(), &'static str> {
    let mut seen = HashSet::new();
    numbers.try_for_each(|number| match number as usize {
        at if at >= chunk_count => Err("the image has no such chunk"),
        _ if !seen.insert(number) => Err("it has a chunk twice"),
        _ => Ok(()),
    })
}
