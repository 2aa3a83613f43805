//! A container's root file system: the image below, a writable layer above, the kernel's file systems in it.
//!
//! Invariant: what needs the host is opened before the root is changed, and everything is attached after it;
//! from then on no path, and no symbolic link of the image, leads out.

use std::ffi::CStr;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, fstat};
use rustix::mount::{MountAttrFlags, UnmountFlags, unmount};
use rustix::process::{chdir, pivot_root};

use super::attach::{self, Access};
use super::devices::Devices;
use super::spec::{IMAGE, Privilege, ROOT, SetupError, Spec, Step, UPPER, WORK};
use super::target::{self, attach_directory};
use super::volume::{OpenVolume, make_file};

const NODEV: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV;
const NOTHING: MountAttrFlags =
    NODEV.union(MountAttrFlags::MOUNT_ATTR_NOSUID).union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// Parts of /proc that tell or change what is not the container's: hidden.
const MASKED_OF_PROC: [&str; 7] =
    ["acpi", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list"];

/// Parts of /sys that tell what is not the container's: hidden.
const MASKED_OF_SYS: [&str; 2] = ["devices/virtual/powercap", "firmware"];

/// Parts of /proc that change the machine: only read.
const READ_ONLY_OF_PROC: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];

/// Files of the host's that a container needs to find its way.
const HOST_FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// Makes the container's root file system and moves into it.
pub(crate) fn enter(spec: &Spec) -> Result<(), SetupError> {
    chdir(&spec.stage).step("enter the stage")?;
    let files = host_files(spec)?;
    let volumes = spec.volumes.iter().map(OpenVolume::open).collect::<Result<Vec<_>, _>>()?;
    let devices = Devices::open(spec)?;
    let proc = attach::new_file_system("proc", &[], NOTHING)
        .step("mount /proc (another container's masks may forbid it)")?;
    let sys = system()?;
    let queue = attach::new_file_system("mqueue", &[], NOTHING).step("mount /dev/mqueue")?;

    change_root(overlay(spec)?)?;

    attach_directory(&proc, "/proc")?;
    attach_directory(&sys, "/sys")?;
    devices.attach()?;
    attach_directory(&queue, "/dev/mqueue")?;
    for path in READ_ONLY_OF_PROC {
        read_only(&proc, path).step(format!("make /proc/{path} read-only"))?;
    }
    for path in MASKED_OF_PROC {
        mask(&proc, path).step(format!("mask /proc/{path}"))?;
    }
    for path in MASKED_OF_SYS {
        mask(&sys, path).step(format!("mask /sys/{path}"))?;
    }
    for (path, tree) in &files {
        attach_file(tree, path)?;
    }
    volumes.iter().try_for_each(OpenVolume::attach)?;
    target::proc_is_proc()
}

/// The image with the writable layer on top, attached nowhere.
fn overlay(spec: &Spec) -> Result<OwnedFd, SetupError> {
    // The merged root shows the attributes of the upper one.
    let image = fs::metadata(IMAGE).step("look at the image's root")?;
    fs::set_permissions(UPPER, Permissions::from_mode(image.mode() & 0o7777))
        .step("prepare the writable layer")?;
    // An owner that a user namespace does not map stays the caller.
    let _ = std::os::unix::fs::chown(UPPER, Some(image.uid()), Some(image.gid()));
    // Relative paths need no escapes. Metacopy would leave data below and keep writing through to it.
    let mut options = vec![("lowerdir", IMAGE), ("upperdir", UPPER), ("workdir", WORK), ("metacopy", "off")];
    if spec.privilege == Privilege::User {
        options.push(("userxattr", ""));
    }
    attach::new_file_system("overlay", &options, NODEV).step("mount the writable layer (overlayfs)")
}

/// Makes `tree` the root and lets go of the host's.
fn change_root(tree: OwnedFd) -> Result<(), SetupError> {
    attach::attach(&tree, Path::new(ROOT)).step("attach the root file system")?;
    chdir(ROOT).step("enter the root file system")?;
    // The old root lies on top of the new one for a moment, as pivot_root(2) describes.
    pivot_root(".", ".").step("change the root")?;
    unmount(".", UnmountFlags::DETACH).step("leave the host's root")?;
    chdir("/").step("enter the new root")
}

/// A read-only /sys: a new one, or the host's where a user may not make one for the host's network.
fn system() -> Result<OwnedFd, SetupError> {
    let read_only = NOTHING | MountAttrFlags::MOUNT_ATTR_RDONLY;
    if let Ok(tree) = attach::new_file_system("sysfs", &[], read_only) {
        return Ok(tree);
    }
    let tree = attach::clone_tree(Path::new("/sys")).step("open /sys")?;
    attach::set_attributes(&tree, read_only).step("make /sys read-only")?;
    Ok(tree)
}

/// Copies of the host's files, so that a container that writes to them changes only its own.
fn host_files(spec: &Spec) -> Result<Vec<(PathBuf, OwnedFd)>, SetupError> {
    let directory = Path::new("etc");
    DirBuilder::new().mode(0o755).recursive(true).create(directory).step("prepare /etc")?;
    let mut files = vec![("/etc/hostname", format!("{}\n", spec.hostname).into_bytes())];
    for path in HOST_FILES {
        // A host without such a file has nothing to tell.
        let mut text = fs::read(path).unwrap_or_default();
        if path == "/etc/hosts" {
            text.extend_from_slice(format!("127.0.1.1\t{}\n", spec.hostname).as_bytes());
        }
        files.push((path, text));
    }
    let open = |(path, text): (&str, Vec<u8>)| {
        let copy = directory.join(Path::new(path).file_name().unwrap_or_default());
        fs::write(&copy, text).step(format!("write {path}"))?;
        Ok((PathBuf::from(path), attach::clone_tree(&copy).step(format!("open {path}"))?))
    };
    files.into_iter().map(open).collect()
}

/// Mounts a file on a file, made if need be.
fn attach_file(tree: &OwnedFd, path: &Path) -> Result<(), SetupError> {
    // A link into a directory that the image does not have gives way.
    let made = make_file(path).or_else(|error| match fs::remove_file(path) {
        Ok(()) => make_file(path),
        Err(_) => Err(error),
    });
    made.and_then(|()| attach::attach(tree, path)).step(format!("mount {}", path.display()))
}

/// Makes a part of a mounted tree read-only; one that this kernel does not have needs nothing.
fn read_only(mounted: &OwnedFd, path: &str) -> io::Result<()> {
    let Some(place) = target::below(mounted, path)? else { return Ok(()) };
    let tree = attach::clone_place(&place)?;
    attach::restrict(&tree, Access::ReadOnly)?;
    attach::attach_to(&tree, &place)
}

/// Hides a part of a mounted tree; one that this kernel does not have needs nothing.
fn mask(mounted: &OwnedFd, path: &str) -> io::Result<()> {
    let Some(place) = target::below(mounted, path)? else { return Ok(()) };
    let found = fstat(&place)?;
    let cover = if FileType::from_raw_mode(found.st_mode).is_dir() {
        attach::new_file_system("tmpfs", &[("size", "0")], NOTHING | MountAttrFlags::MOUNT_ATTR_RDONLY)?
    } else {
        attach::clone_tree(Path::new("/dev/null"))?
    };
    attach::attach_to(&cover, &place)
}

/// Makes a symbolic link where nothing is yet.
pub(crate) fn link(target: &CStr, path: &str) -> Result<(), SetupError> {
    match rustix::fs::symlink(target, path) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(error).step(format!("make {path}")),
    }
}
