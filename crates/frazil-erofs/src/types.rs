//! The values that a tree to be written and an image that is read have in common.
//!
//! File types are EROFS's dirent file types (`FT_*`) and POSIX's `S_IF*`; device numbers are packed the way
//! the kernel's `new_encode_dev` does.

/// The number of an inode: its byte offset from the start of the inode area, in units of 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nid(pub u64);

impl std::fmt::Display for Nid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A point in time, in seconds and nanoseconds since the Unix epoch; `nanos` is below 1,000,000,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds, negative before 1970.
    pub seconds: i64,
    /// Nanoseconds after `seconds`.
    pub nanos: u32,
}

impl Timestamp {
    /// Nanoseconds that make a second, the first value that `nanos` cannot have.
    pub(crate) const NANOS_PER_SECOND: u32 = 1_000_000_000;

    pub(crate) fn is_valid(self) -> bool {
        self.nanos < Self::NANOS_PER_SECOND
    }
}

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileType {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
    /// A symbolic link.
    Symlink,
}

/// The part of `st_mode` that holds the file type.
const MODE_TYPE_MASK: u16 = 0o170_000;

impl FileType {
    /// The `S_IF*` bits of `st_mode`.
    pub fn mode_bits(self) -> u16 {
        match self {
            Self::Fifo => 0o010_000,
            Self::CharDevice => 0o020_000,
            Self::Directory => 0o040_000,
            Self::BlockDevice => 0o060_000,
            Self::Regular => 0o100_000,
            Self::Symlink => 0o120_000,
            Self::Socket => 0o140_000,
        }
    }

    pub(crate) fn from_mode(mode: u16) -> Option<Self> {
        match mode & MODE_TYPE_MASK {
            0o010_000 => Some(Self::Fifo),
            0o020_000 => Some(Self::CharDevice),
            0o040_000 => Some(Self::Directory),
            0o060_000 => Some(Self::BlockDevice),
            0o100_000 => Some(Self::Regular),
            0o120_000 => Some(Self::Symlink),
            0o140_000 => Some(Self::Socket),
            _ => None,
        }
    }

    pub(crate) fn to_dirent(self) -> u8 {
        match self {
            Self::Regular => 1,
            Self::Directory => 2,
            Self::CharDevice => 3,
            Self::BlockDevice => 4,
            Self::Fifo => 5,
            Self::Socket => 6,
            Self::Symlink => 7,
        }
    }

    pub(crate) fn from_dirent(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Regular),
            2 => Some(Self::Directory),
            3 => Some(Self::CharDevice),
            4 => Some(Self::BlockDevice),
            5 => Some(Self::Fifo),
            6 => Some(Self::Socket),
            7 => Some(Self::Symlink),
            _ => None,
        }
    }
}

/// The device that a device node stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// The driver; below 4,096.
    pub major: u32,
    /// The driver's instance; below 1,048,576.
    pub minor: u32,
}

impl DeviceNumber {
    /// The kernel's 32-bit packing: low minor byte, 12 bits of major, the 12 high bits of minor.
    /// `None` if a part is too large for it.
    pub(crate) fn encode(self) -> Option<u32> {
        let fits = self.major < 1 << 12 && self.minor < 1 << 20;
        fits.then_some((self.minor & 0xff) | (self.major << 8) | ((self.minor & !0xff) << 12))
    }

    pub(crate) fn decode(packed: u32) -> Self {
        Self { major: (packed >> 8) & 0xfff, minor: (packed & 0xff) | ((packed >> 12) & 0xf_ff00) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_number_survives_its_packing() {
        for (major, minor) in [(0, 0), (1, 3), (8, 0x100), (4_095, 1_048_575)] {
            let device = DeviceNumber { major, minor };
            assert_eq!(DeviceNumber::decode(device.encode().unwrap()), device);
        }
        assert_eq!(DeviceNumber { major: 4_096, minor: 0 }.encode(), None);
        assert_eq!(DeviceNumber { major: 0, minor: 1_048_576 }.encode(), None);
    }

    #[test]
    fn every_file_type_survives_both_of_its_encodings() {
        for byte in 1..=7 {
            let file_type = FileType::from_dirent(byte).unwrap();
            assert_eq!(file_type.to_dirent(), byte);
            assert_eq!(FileType::from_mode(file_type.mode_bits() | 0o7777), Some(file_type));
        }
        assert_eq!(FileType::from_dirent(0), None);
        assert_eq!(FileType::from_mode(0o644), None);
    }
}
