//! An OCI image in, a published image out.

pub mod source;
