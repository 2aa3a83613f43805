//! What a person can do about an error of the crates below. Where a crate knows best itself, it is asked.

use std::error::Error;
use std::io::ErrorKind;

use frazil_convert::ConvertError;
use frazil_convert::source::SourceError;
use frazil_mount::{MountError, ReadError};
use frazil_store::{ErrorClass, StoreError};

/// What can be done about it, by the first error in the chain that we know a remedy for.
pub(crate) fn of(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(of_one)
}

fn of_one(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<ConvertError>() {
        return of_convert(error);
    }
    if let Some(error) = error.downcast_ref::<SourceError>() {
        return error.hint();
    }
    if let Some(error) = error.downcast_ref::<StoreError>() {
        return of_store(error);
    }
    if let Some(error) = error.downcast_ref::<ReadError>() {
        return of_read(error);
    }
    error.downcast_ref::<MountError>().and_then(of_mount)
}

/// A store's error is not a link of its own in the chain of a conversion's error.
fn of_convert(error: &ConvertError) -> Option<String> {
    match error {
        ConvertError::Layer { source, .. } => of_convert(source),
        ConvertError::Store(error) => of_store(error),
        error => error.hint(),
    }
}

/// A conversion brings back what is missing; damage is noticed only by a scrub.
const LOST: &str = "the store has lost a part of this image: frazil scrub --from SOURCE brings it back";

fn of_read(error: &ReadError) -> Option<String> {
    match error {
        ReadError::Fetch { source, .. } => match source.class() {
            ErrorClass::NotFound | ErrorClass::Corrupt => Some(LOST.to_owned()),
            _ => None,
        },
        _ => None,
    }
}

fn of_store(error: &StoreError) -> Option<String> {
    Some(match error {
        StoreError::NotAStore { .. } => {
            "make one with frazil init, or say where it is with --store or $FRAZIL_STORE".to_owned()
        }
        StoreError::Occupied { .. } => "give --store an empty or a new directory".to_owned(),
        StoreError::ReadOnly { .. } => {
            "write to the directory or bucket that is published, and read images by their names".to_owned()
        }
        StoreError::PlainHttp { .. } => "use https://, or allow it with --allow-http".to_owned(),
        StoreError::KeyNotFound { .. } | StoreError::KeyMismatch { .. } | StoreError::KeyRefused { .. } => {
            "say which keyring has the key with --keys or $FRAZIL_KEYS".to_owned()
        }
        StoreError::ScopeMismatch { scope, .. } => format!(
            "copy scopes/{scope}.key from a keyring that has it, or work for another tenant: --tenant"
        ),
        StoreError::RotatedElsewhere { .. } => {
            "make a key there, name it first and the old one behind it (--keys kms:NEW,OLD), and run this again".to_owned()
        }
        StoreError::KeyService { class: ErrorClass::Denied, .. } => {
            "see what the key's policy allows: kms:Encrypt, kms:Decrypt and kms:DescribeKey are needed".to_owned()
        }
        StoreError::BadKeys { .. } => "name keys as kms:KEY or kms:NEW,OLD; {tenant} stands for the tenant".to_owned(),
        StoreError::KeyExposed { path, .. } => format!("make it yours alone: chmod go= {path}"),
        StoreError::CorruptChunk { .. } | StoreError::ChunkNotFound { .. } => LOST.to_owned(),
        StoreError::Io { source, path, .. } if source.kind() == ErrorKind::PermissionDenied => {
            match path.starts_with('/') {
                true => format!("see who may enter it: ls -ld {path}"),
                // An object, by its path in the store.
                false => "see whose the store is, and who may write to it: ls -l".to_owned(),
            }
        }
        StoreError::Io { source, .. } if source.kind() == ErrorKind::StorageFull => {
            "make room, and convert again: what is there is not written twice".to_owned()
        }
        StoreError::RootNotActive { .. } => "start again: it will go to the active root".to_owned(),
        StoreError::NoActiveRoot { .. } => "make one: frazil root new".to_owned(),
        StoreError::NoBucket { .. } => {
            "make the bucket with the tools of its service, or see whether its name is right".to_owned()
        }
        StoreError::NoSuchRoot { .. } => "see which there are: frazil root list".to_owned(),
        StoreError::LastActiveRoot { .. } => "make another one first: frazil root new".to_owned(),
        StoreError::RootInUse { .. } => "frazil gc run copies what they need to the active root".to_owned(),
        StoreError::UnreadableName { .. } => {
            "take the name away (frazil rm), and convert the image again; a newer Frazil may be able to read it".to_owned()
        }
        StoreError::AlarmStands { .. } => {
            "find who reads the root and let it start again from its name, then: frazil gc clear-alarm".to_owned()
        }
        _ => return None,
    })
}

fn of_mount(error: &MountError) -> Option<String> {
    Some(match error {
        MountError::NoDirectory { dir } => format!("make it first: mkdir {}", dir.display()),
        MountError::NotEmpty { .. } => "mount at an empty directory: a mount hides what is in it".to_owned(),
        MountError::MountedAlready { dir, .. } => format!("frazil unmount {}", dir.display()),
        MountError::NotOurs { dir, .. } => format!("umount {}", dir.display()),
        MountError::Busy { .. } => "end the processes that use it, then try again".to_owned(),
        MountError::Read(error) => return of_read(error),
        MountError::Kernel { step, source } => return of_kernel(step, source),
        MountError::Fusermount { .. } if !can_open_fuse() => OPEN_FUSE.to_owned(),
        _ => return None,
    })
}

const OPEN_FUSE: &str = "this user cannot open /dev/fuse; the usual permissions are: chmod 666 /dev/fuse";

fn of_kernel(step: &str, source: &std::io::Error) -> Option<String> {
    if !std::path::Path::new("/dev/fuse").exists() {
        return Some(
            "there is no /dev/fuse: modprobe fuse, or give it to this container (--device /dev/fuse)"
                .to_owned(),
        );
    }
    let refused = source.kind() == ErrorKind::PermissionDenied;
    match (step.contains("EROFS"), refused) {
        (true, true) => Some("EROFS can be mounted by root alone: --via tree".to_owned()),
        (true, false) => Some("this kernel may have no EROFS: --via tree".to_owned()),
        (false, true) if !can_open_fuse() => Some(OPEN_FUSE.to_owned()),
        (false, _) => None,
    }
}

fn can_open_fuse() -> bool {
    std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").is_ok()
}
