//! One tree, written once, seen the same by every reader.

use frazil_erofs::Tree;
use proptest::prelude::*;

use crate::listing::{self, expected};
use crate::sample::{data_area, image_of, open};
use crate::strategy::{DATA_BLOCKS, trees};
use crate::{fsck, kernel, peer};

/// Compares what each reader sees with what the tree says; the kernel's turn is apart, since it costs a mount.
pub(crate) fn assert_seen_alike_in_memory(tree: &Tree, data_blocks: u64) {
    let expected = expected(tree, &data_area(data_blocks));
    let image = image_of(tree, data_blocks);
    assert_eq!(listing::read(&open(&image.bytes)), expected);
    assert_eq!(peer::read(&image.bytes), expected);
    assert_eq!(image_of(tree, data_blocks).bytes, image.bytes, "the same tree gives the same bytes");
}

pub(crate) fn assert_seen_alike_on_disk(tree: &Tree, data_blocks: u64) {
    let image = image_of(tree, data_blocks);
    fsck::accept(&image.bytes);
    assert_eq!(kernel::read(&image.bytes), expected(tree, &data_area(data_blocks)));
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn any_tree_is_read_back_as_it_was_by_our_reader_and_by_erofs_rs(tree in trees()) {
        assert_seen_alike_in_memory(&tree, DATA_BLOCKS);
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn any_tree_passes_fsck_and_is_mounted_by_the_kernel_as_it_was(tree in trees()) {
        assert_seen_alike_on_disk(&tree, DATA_BLOCKS);
    }
}
