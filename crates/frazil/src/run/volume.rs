//! Directories and files of the host inside a container: `-v HOST:INSIDE[:ro|rw]`.
//!
//! Invariant: the host's side is opened before the container's root takes over and attached after it, so a
//! symbolic link in the image can lead nowhere but into the image.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use rustix::fs::{Mode, OFlags, Stat, fstat, open, stat};
use rustix::mount::MountAttrFlags;
use serde::{Deserialize, Serialize};

use super::attach::{self, Access};
use super::spec::{SetupError, Step};

/// One `-v`.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Volume {
    /// The host's side, absolute.
    pub(crate) host: PathBuf,
    /// The container's side, absolute.
    pub(crate) inside: PathBuf,
    /// What the container may do with it.
    pub(crate) access: Access,
}

impl FromStr for Volume {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let (host, inside, access) = match parts.as_slice() {
            [host, inside] => (host, inside, Access::ReadWrite),
            [host, inside, "rw"] => (host, inside, Access::ReadWrite),
            [host, inside, "ro"] => (host, inside, Access::ReadOnly),
            _ => return Err("expected HOST:INSIDE or HOST:INSIDE:ro".to_owned()),
        };
        let inside = PathBuf::from(inside);
        if !inside.is_absolute() {
            return Err(format!("{} is not an absolute path", inside.display()));
        }
        if is_root(&inside) {
            return Err(format!("{} is the image itself, which a volume would hide", inside.display()));
        }
        let host = std::path::absolute(host).map_err(|error| error.to_string())?;
        Ok(Self { host, inside, access })
    }
}

/// Whether an absolute path is the root by its words alone; where links lead is seen when it is mounted on.
fn is_root(path: &Path) -> bool {
    let depth = path.components().fold(0_usize, |depth, component| match component {
        Component::Normal(_) => depth.saturating_add(1),
        Component::ParentDir => depth.saturating_sub(1),
        _ => depth,
    });
    depth == 0
}

/// A volume whose host side is open.
pub(crate) struct OpenVolume {
    volume: Volume,
    tree: OwnedFd,
    kind: Kind,
}

enum Kind {
    Directory,
    File,
}

impl OpenVolume {
    /// Opens the host's side; before the container's root takes over.
    pub(crate) fn open(volume: &Volume) -> Result<Self, SetupError> {
        let step = || format!("open the volume {}", volume.host.display());
        let kind =
            if fs::metadata(&volume.host).step(step())?.is_dir() { Kind::Directory } else { Kind::File };
        let tree = attach::clone_tree(&volume.host).step(step())?;
        // A device that the container makes there opens nothing, as anywhere else.
        attach::set_attributes(&tree, MountAttrFlags::MOUNT_ATTR_NODEV).step(step())?;
        attach::restrict(&tree, volume.access).step(step())?;
        Ok(Self { volume: volume.clone(), tree, kind })
    }

    /// Mounts it; inside the container's root.
    pub(crate) fn attach(&self) -> Result<(), SetupError> {
        let inside = &self.volume.inside;
        let step = || format!("mount the volume {}", inside.display());
        let there = fs::metadata(inside).ok().map(|there| there.is_dir());
        match (&self.kind, there) {
            (Kind::Directory, Some(false)) => {
                return Err("it is a directory, and the image has a file there").step(step());
            }
            (Kind::File, Some(true)) => {
                return Err("it is a file, and the image has a directory there").step(step());
            }
            (Kind::Directory, _) => fs::create_dir_all(inside).step(step())?,
            (Kind::File, _) => make_file(inside).step(step())?,
        }
        let place = open(inside, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).step(step())?;
        if same(&fstat(&place).step(step())?, &stat("/").step(step())?) {
            return Err("it leads to the image itself, which a volume would hide").step(step());
        }
        attach::attach_to(&self.tree, &place).step(step())
    }
}

fn same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// An empty file at `path` to mount another one on; what is there already serves too.
pub(crate) fn make_file(path: &Path) -> std::io::Result<()> {
    if fs::metadata(path).is_ok() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::OpenOptions::new().create(true).append(true).open(path).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_two_paths_and_an_access() {
        let volume: Volume = "/data:/srv/data:ro".parse().unwrap();
        assert_eq!((volume.host, volume.inside), ("/data".into(), "/srv/data".into()));
        assert_eq!(volume.access, Access::ReadOnly);
        assert!("/data".parse::<Volume>().is_err());
        assert!("/data:relative".parse::<Volume>().is_err());
        for root in ["/data:/", "/data://.", "/data:/srv/..", "/data:/..:ro"] {
            assert!(root.parse::<Volume>().is_err(), "{root}");
        }
        assert!("/data:/../srv".parse::<Volume>().is_ok());
    }
}
