//! Which files lie in chunks: for people who look at a profile.

use std::collections::HashMap;
use std::sync::Arc;

use frazil_erofs::FileType;

use crate::whereabouts::each_entry;
use crate::{Image, ReadError};

/// The most paths that are told of one chunk.
const PATHS_MAX: usize = 64;

/// The paths of the files that lie in each of these chunks; those of the metadata area have none.
///
/// # Errors
/// [`ReadError`] if the tree cannot be walked, or the whole chunk table cannot be had.
pub async fn files_in(image: &Arc<Image>, chunks: &[u32]) -> Result<HashMap<u32, Vec<String>>, ReadError> {
    image.complete_table().await?;
    let place = |chunk: &u32| {
        let place = image.place_of(image.chunk_index(*chunk as usize)?)?;
        Some((place.offset, place.offset.saturating_add(place.len.into()), *chunk))
    };
    let mut places: Vec<(u64, u64, u32)> = chunks.iter().filter_map(place).collect();
    places.sort_unstable();
    let mut found: HashMap<u32, Vec<String>> = HashMap::new();
    each_entry(image, |entry| {
        let body = &entry.inode.extents().body;
        if entry.inode.file_type == FileType::Regular && !body.is_empty() {
            let first = places.partition_point(|(_, end, _)| *end <= body.start);
            for (_, _, chunk) in places.iter().skip(first).take_while(|(start, ..)| *start < body.end) {
                let paths = found.entry(*chunk).or_default();
                if paths.len() < PATHS_MAX {
                    paths.push(format!("/{}", String::from_utf8_lossy(&entry.path)));
                }
            }
        }
        true
    })
    .await?;
    Ok(found)
}
