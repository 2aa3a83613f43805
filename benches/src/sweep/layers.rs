//! A layer as the stream of its files' contents, and what starts read of it.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use frazil_format::BLOCK_SIZE;

use super::named;

/// Ranges of a file or a stream, in bytes, ascending.
pub(super) type Ranges = Vec<Range<u64>>;

/// One layer.
pub(super) struct Layer {
    path: PathBuf,
    /// Where each file starts in the stream, and its length.
    files: HashMap<PathBuf, (u64, u64)>,
    /// What the start of each image reads of the stream.
    pub(super) touched: BTreeMap<String, Ranges>,
}

impl Layer {
    /// The layer's place in the list, where it is put unless it is there.
    pub(super) fn place(layers: &mut Vec<Self>, path: &Path) -> anyhow::Result<usize> {
        if let Some(place) = layers.iter().position(|layer| layer.path == path) {
            return Ok(place);
        }
        let mut files = HashMap::new();
        let mut end: u64 = 0;
        each_file(path, |name, content| {
            let len = std::io::copy(content, &mut std::io::sink())?;
            files.insert(name, (end, len));
            end = (end + len).next_multiple_of(BLOCK_SIZE);
            Ok(())
        })?;
        layers.push(Self { path: path.to_owned(), files, touched: BTreeMap::new() });
        Ok(layers.len() - 1)
    }

    /// Notes what the start of an image reads of a file; whether the layer has it.
    pub(super) fn touch(&mut self, image: &str, path: &Path, ranges: &Ranges) -> bool {
        let Some(&(start, len)) = self.files.get(path) else { return false };
        let in_stream = ranges.iter().map(|range| start + range.start.min(len)..start + range.end.min(len));
        self.touched.entry(image.to_owned()).or_default().extend(in_stream.filter(|range| !range.is_empty()));
        true
    }

    /// The stream.
    pub(super) fn read(&self) -> anyhow::Result<Vec<u8>> {
        let mut stream = Vec::new();
        each_file(&self.path, |_, content| {
            content.read_to_end(&mut stream)?;
            stream.resize(stream.len().next_multiple_of(BLOCK_SIZE as usize), 0);
            Ok(())
        })?;
        Ok(stream)
    }
}

fn each_file(
    path: &Path,
    mut each: impl FnMut(PathBuf, &mut dyn Read) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    let blob = BufReader::with_capacity(1 << 20, named(File::open(path), path)?);
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(blob));
    for entry in named(archive.entries(), path)? {
        let mut entry = named(entry, path)?;
        if entry.header().entry_type().is_file() {
            let name = entry.path()?.into_owned();
            let name = name.strip_prefix(".").map(Path::to_owned).unwrap_or(name);
            named(each(name, &mut entry), path)?;
        }
    }
    Ok(())
}
