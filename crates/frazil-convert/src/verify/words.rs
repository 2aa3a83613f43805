//! What is compared, in the words that people and their tools use: as `ls`, `stat` and `getfattr` print it.

use frazil_erofs::{FileType, Timestamp, Xattrs};

/// The most attributes that are told; more of them help nobody.
const MAX_XATTRS: usize = 16;

/// What kind of file it is.
pub(super) fn file_type(kind: FileType) -> String {
    let word = match kind {
        FileType::Regular => "a regular file",
        FileType::Directory => "a directory",
        FileType::CharDevice => "a character device",
        FileType::BlockDevice => "a block device",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        FileType::Symlink => "a symbolic link",
    };
    word.to_owned()
}

/// Seconds since 1970, with nanoseconds; `date -d @TEXT` reads it.
pub(super) fn time(time: &Timestamp) -> String {
    format!("@{}.{:09}", time.seconds, time.nanos)
}

/// Names and values.
pub(super) fn xattrs(xattrs: &Xattrs) -> String {
    if xattrs.is_empty() {
        return "none".to_owned();
    }
    let told = xattrs.iter().take(MAX_XATTRS);
    let told: Vec<_> =
        told.map(|(name, value)| format!("{}={}", name.escape_ascii(), value.escape_ascii())).collect();
    told.join(" ")
}

/// Major and minor number.
pub(super) fn device(device: Option<(u32, u32)>) -> String {
    device.map_or("none".to_owned(), |(major, minor)| format!("{major}:{minor}"))
}
