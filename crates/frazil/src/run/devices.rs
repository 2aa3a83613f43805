//! A container's /dev: the devices that hurt nobody, terminals of its own, shared memory.
//!
//! Invariant: the directory itself is mounted `nodev`, and each device is a mount of its own, so a device that
//! a container makes opens nothing.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, chmod, makedev, mknodat};
use rustix::mount::MountAttrFlags;

use super::attach;
use super::rootfs::link;
use super::spec::{Privilege, SetupError, Spec, Step};
use super::target::{attach_directory, attach_node};

/// The devices by name, major and minor number (the kernel's devices.txt).
const NODES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// The group `tty` of nearly every distribution: who may write to a terminal.
const TTY_GROUP: &str = "5";

const NOSUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
const NODEV: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV;
const NOEXEC: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOEXEC;

/// What /dev is made of, open and attached nowhere.
pub(crate) struct Devices {
    nodes: Vec<(String, OwnedFd)>,
    shared_memory_bytes: u64,
}

impl Devices {
    /// Opens the devices; before the root is changed, in the stage.
    pub(crate) fn open(spec: &Spec) -> Result<Self, SetupError> {
        let source = match spec.privilege {
            Privilege::Root => make_nodes()?,
            // A user namespace cannot make devices, but it can show the host's.
            Privilege::User => PathBuf::from("/dev"),
        };
        let open = |&(name, ..): &(&str, u32, u32)| {
            let tree = attach::clone_tree(&source.join(name)).step(format!("open /dev/{name}"))?;
            Ok((format!("/dev/{name}"), tree))
        };
        let nodes = NODES.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { nodes, shared_memory_bytes: spec.shared_memory_bytes })
    }

    /// Mounts /dev; inside the container's root.
    pub(crate) fn attach(&self) -> Result<(), SetupError> {
        let step = "mount /dev";
        let directory =
            attach::new_file_system("tmpfs", &[("mode", "755"), ("size", "64k")], NOSUID | NODEV | NOEXEC);
        attach_directory(&directory.step(step)?, "/dev")?;
        for (path, tree) in &self.nodes {
            attach_node(tree, path)?;
        }
        attach_directory(&terminals()?, "/dev/pts")?;
        // A size of 0 would be none; the smallest that is one is a page.
        let size = self.shared_memory_bytes.max(1).to_string();
        let options = [("mode", "1777"), ("size", size.as_str())];
        let memory = attach::new_file_system("tmpfs", &options, NOSUID | NODEV | NOEXEC);
        attach_directory(&memory.step("mount /dev/shm")?, "/dev/shm")?;
        link(c"pts/ptmx", "/dev/ptmx")?;
        link(c"/proc/self/fd", "/dev/fd")?;
        link(c"/proc/self/fd/0", "/dev/stdin")?;
        link(c"/proc/self/fd/1", "/dev/stdout")?;
        link(c"/proc/self/fd/2", "/dev/stderr")
    }
}

/// Device files of our own, so that a changed mode or owner inside changes nothing outside.
fn make_nodes() -> Result<PathBuf, SetupError> {
    let directory = Path::new("nodes");
    let tree = attach::new_file_system("tmpfs", &[("mode", "755"), ("size", "64k")], NOSUID | NOEXEC);
    attach_directory(&tree.step("mount a file system for devices")?, "nodes")?;
    for (name, major, minor) in NODES {
        let mode = Mode::from_raw_mode(0o666);
        let node = directory.join(name);
        mknodat(CWD, &node, FileType::CharacterDevice, mode, makedev(major, minor))
            // Against the umask.
            .and_then(|()| chmod(&node, mode))
            .step(format!("make the device {name}"))?;
    }
    Ok(directory.to_owned())
}

/// Terminals of the container's own; without the group where a user namespace does not map it.
fn terminals() -> Result<OwnedFd, SetupError> {
    let options = [("ptmxmode", "0666"), ("mode", "0620"), ("gid", TTY_GROUP)];
    attach::new_file_system("devpts", &options, NOSUID | NOEXEC)
        .or_else(|_| attach::new_file_system("devpts", options.get(..2).unwrap_or_default(), NOSUID | NOEXEC))
        .step("mount /dev/pts")
}
