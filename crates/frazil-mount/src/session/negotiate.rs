//! What is agreed with the kernel when a FUSE session starts.
//!
//! Passthrough is never asked for: EROFS refuses every file of a session that has it (ENOTBLK).

use fuser::{InitFlags, KernelConfig};

use crate::reader::READ_LEN_MAX;

/// Read-ahead requests that may be under way at once. The kernel's default of 12 starves a link with a round
/// trip; more than this only adds buffers.
const BACKGROUND_MAX: u16 = 128;

/// Asked for wherever the kernel has it.
const WANTED: [InitFlags; 8] = [
    InitFlags::FUSE_ASYNC_READ,
    InitFlags::FUSE_ASYNC_DIO,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_CACHE_SYMLINKS,
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_MAX_PAGES,
    InitFlags::FUSE_ALLOW_IDMAP,
];

/// What the kernel agreed to that a file system has to know.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Negotiated {
    /// ENOSYS to the first open means: no more opens.
    pub(crate) no_open: bool,
    /// ENOSYS to the first opendir means: no more opendirs, and listings are cached.
    pub(crate) no_opendir: bool,
}

/// Agrees on the largest requests and the widest caching that a read-only file system allows.
pub(crate) fn negotiate(config: &mut KernelConfig) -> Negotiated {
    for capability in WANTED {
        // The error only says that this kernel does not have it.
        let _ = config.add_capabilities(capability);
    }
    let largest = READ_LEN_MAX as u32;
    // The kernel sizes all its requests, reads included, by the larger of these two.
    let _ = config.set_max_write(largest);
    if let Err(most) = config.set_max_readahead(largest) {
        let _ = config.set_max_readahead(most);
    }
    let _ = config.set_max_background(BACKGROUND_MAX);
    let capabilities = config.capabilities();
    Negotiated {
        no_open: capabilities.contains(InitFlags::FUSE_NO_OPEN_SUPPORT),
        no_opendir: capabilities.contains(InitFlags::FUSE_NO_OPENDIR_SUPPORT),
    }
}
