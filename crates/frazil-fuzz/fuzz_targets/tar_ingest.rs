//! Layers: any bytes as archives, as they are and with right header checksums. What converts is an image that the
//! reader can walk.

#![no_main]

use frazil_convert::fuzzing::image_of;
use frazil_erofs::{FileType, Image, WalkLimits};
use libfuzzer_sys::fuzz_target;

const RECORD: usize = 512;
const CHECKSUM: std::ops::Range<usize> = 148..156;
/// What stands between two layers.
const SEPARATOR: &[u8; 8] = b"\0\0layer\0";

fuzz_target!(|input: &[u8]| {
    let _ = image_of(&[input]);
    let layers: Vec<Vec<u8>> = split(input).into_iter().map(repair).collect();
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let Ok((metadata, data_blocks)) = image_of(&layers) else { return };
    assert_eq!(image_of(&layers).expect("the same again"), (metadata.clone(), data_blocks));
    let image = Image::open(metadata.as_slice()).expect("what was written opens");
    for entry in image.walk(WalkLimits::default()) {
        let inode = entry.expect("what was written can be walked").inode;
        image.xattrs(&inode).expect("xattrs can be read");
        if inode.file_type == FileType::Symlink {
            image.read_link(&inode).expect("links can be read");
        }
    }
});

fn split(input: &[u8]) -> Vec<&[u8]> {
    let (mut layers, mut rest) = (Vec::new(), input);
    while let Some(at) = rest.windows(SEPARATOR.len()).position(|bytes| bytes == SEPARATOR) {
        layers.push(&rest[..at]);
        rest = &rest[at + SEPARATOR.len()..];
    }
    layers.push(rest);
    layers
}

/// Gives every record that looks like a header the checksum of one, so that the fuzzer gets past it.
fn repair(layer: &[u8]) -> Vec<u8> {
    let mut layer = layer.to_vec();
    for record in layer.chunks_exact_mut(RECORD) {
        if record[257..262] == *b"ustar" {
            record[CHECKSUM].fill(b' ');
            let sum: u32 = record.iter().map(|byte| u32::from(*byte)).sum();
            record[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    layer
}
