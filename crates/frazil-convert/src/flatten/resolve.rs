//! Paths through symbolic links, as if the image's root were the process's root: no path leaves it.
//!
//! These are the semantics of umoci's SecureJoin: absolute links start at the root, `..` stops there, and names that
//! do not exist yet are taken literally.

use std::borrow::Cow;

use frazil_erofs::InodeKind;

use super::Misfit;
use super::arena::{Arena, LayerNumber, NodeIndex, NodeKind, implied_directory};
use crate::archive::NAME_MAX;

/// The most symbolic links in one path; the kernel has the same bound.
const MAX_LINKS: usize = 40;

/// Where a path leads: a directory that exists, and names below it that do not, or that are not directories.
struct Resolved {
    directory: NodeIndex,
    missing: Vec<Vec<u8>>,
}

impl Arena {
    /// The directory at a path, if there is one.
    pub(super) fn find_directory(&self, path: &[u8]) -> Result<Option<NodeIndex>, Misfit> {
        let resolved = self.resolve(path)?;
        Ok(resolved.missing.is_empty().then_some(resolved.directory))
    }

    /// The directory at a path; it and those above it are made if need be, and marked.
    pub(super) fn make_directory(&mut self, path: &[u8], layer: LayerNumber) -> Result<NodeIndex, Misfit> {
        let Resolved { mut directory, missing } = self.resolve(path)?;
        self.touch(directory, layer);
        for name in missing {
            if self.lookup(directory, &name).is_some() {
                return Err(Misfit::NotADirectory);
            }
            if name.len() > NAME_MAX {
                return Err(Misfit::NameTooLong);
            }
            self.bounds.implied()?;
            directory = self.new_directory(directory, &name, implied_directory(), layer)?;
        }
        Ok(directory)
    }

    fn resolve(&self, path: &[u8]) -> Result<Resolved, Misfit> {
        let mut resolved = Resolved { directory: Self::ROOT, missing: Vec::new() };
        let mut pending = Cow::Borrowed(path);
        let (mut at, mut links) = (0, 0);
        while let Some(rest) = pending.get(at..).filter(|rest| !rest.is_empty()) {
            let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            let name = rest.get(..end).unwrap_or_default();
            at += end + 1;
            self.bounds.steps(1)?;
            let Some(target) = self.step(&mut resolved, name) else { continue };
            links += 1;
            if links > MAX_LINKS {
                return Err(Misfit::TooManyLinks { limit: MAX_LINKS });
            }
            if target.starts_with(b"/") {
                resolved = Resolved { directory: Self::ROOT, missing: Vec::new() };
            }
            let behind = pending.get(at..).unwrap_or_default();
            // Copying a name's worth of bytes costs as much as a name.
            self.bounds.steps((target.len() + behind.len()) / NAME_MAX)?;
            pending = Cow::Owned([target, b"/", behind].concat());
            at = 0;
        }
        Ok(resolved)
    }

    /// Goes on by one name; a symbolic link's target if the name is one.
    fn step(&self, resolved: &mut Resolved, name: &[u8]) -> Option<&[u8]> {
        match name {
            b"" | b"." => {}
            b".." => {
                if resolved.missing.pop().is_none() {
                    resolved.directory = self.parent(resolved.directory);
                }
            }
            _ if !resolved.missing.is_empty() => resolved.missing.push(name.to_vec()),
            _ => {
                match self.lookup(resolved.directory, name).and_then(|node| Some((node, self.node(node)?))) {
                    Some((node, found)) => match &found.kind {
                        NodeKind::Directory(_) => resolved.directory = node,
                        NodeKind::Leaf(InodeKind::Symlink(target)) => return Some(target),
                        NodeKind::Leaf(_) => resolved.missing.push(name.to_vec()),
                    },
                    None => resolved.missing.push(name.to_vec()),
                }
            }
        }
        None
    }
}
