//! The layer of `debian-upper`: every way in which a layer can change what is below it.
//!
//! Its paths are those that Debian's essential packages have had in every release of the last years; the
//! tests of `real_images.rs` check that each is there to be changed.

use tar::EntryType;

use super::layer::{Attributes, Layer};

/// `cap_net_bind_service=ep` as the kernel keeps it: revision 2 with the effective bit, then permitted and
/// inheritable sets, little-endian (linux/capability.h, `struct vfs_cap_data`).
pub(crate) const NET_BIND_CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A user and group beyond 16 bits.
pub(crate) const BIG_OWNER: (u32, u32) = (70_000, 1_048_577);

const EXECUTABLE: Attributes<'_> = Attributes::mode(0o755);
const PLAIN: Attributes<'_> = Attributes::mode(0o644);
const SCRIPT: &[u8] = b"#!/bin/sh\nid -u\n";

/// The layer.
pub(crate) fn layer() -> Layer {
    special_files(attributes(retyped(replaced(deleted(Layer::new())))))
}

fn deleted(layer: Layer) -> Layer {
    layer
        .whiteout("etc/debian_version")
        .whiteout("usr/share/doc")
        .directory("usr/share/common-licenses", EXECUTABLE)
        .opaque("usr/share/common-licenses")
        .file("usr/share/common-licenses/ONLY", PLAIN, b"all that was here before is hidden\n")
}

fn replaced(layer: Layer) -> Layer {
    layer
        .file(
            "etc/issue",
            Attributes::mode(0o600).owner(BIG_OWNER.0.into(), BIG_OWNER.1.into()),
            b"replaced\n",
        )
        .hardlink("usr/local/bin/env-by-another-name", "usr/bin/env")
}

fn retyped(layer: Layer) -> Layer {
    layer
        .file("etc/skel", PLAIN, b"was a directory\n")
        .symlink("etc/issue.net", "issue")
        .directory("etc/gai.conf", EXECUTABLE)
        .file("etc/gai.conf/now-inside", PLAIN, b"was a file\n")
        .directory("var/lock", Attributes::mode(0o1777))
        .file("var/lock/now-inside", PLAIN, b"was a symbolic link\n")
}

fn attributes(layer: Layer) -> Layer {
    let capability = [("security.capability", NET_BIND_CAPABILITY.as_slice())];
    let user = [("user.frazil", b"river".as_slice()), ("user.zero", b"a\0b".as_slice())];
    layer
        .file("usr/local/bin/setuid", Attributes::mode(0o4755), SCRIPT)
        .file("usr/local/bin/capable", EXECUTABLE.xattrs(&capability), SCRIPT)
        .directory("usr/local/share", Attributes::mode(0o3775).owner(0, 50).xattrs(&user))
        .file("usr/local/share/noted", Attributes::mode(0).xattrs(&user), b"nobody may read this\n")
}

fn special_files(layer: Layer) -> Layer {
    layer
        .device("dev/frazil-char", EntryType::Char, (1, 3))
        .device("dev/frazil-block", EntryType::Block, (259, 1_000_000))
        .fifo("run/frazil-pipe", Attributes::mode(0o622).owner(1, 2))
}
