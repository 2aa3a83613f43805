//! What all faces share of FUSE: a superblock, what is negotiated with the kernel, threads that serve, and
//! requests that have to wait without holding one of those threads.

mod fusermount;
mod later;
mod negotiate;
mod requester;
mod serve;
mod superblock;

pub(crate) use fusermount::{FUSERMOUNT, mount_with_fusermount};
pub(crate) use later::Later;
pub(crate) use negotiate::{Negotiated, negotiate};
pub(crate) use serve::{Serving, serve};
pub(crate) use superblock::{FuseMount, SUBTYPE, attach, errno_of, host_mount_attributes, kernel_error};
