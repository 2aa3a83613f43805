//! An image's address space to the kernel: reader, tree, block.
