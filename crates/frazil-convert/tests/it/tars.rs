//! Tar archives written member by member, so that every field can be what no tool would write.

/// The type flags of headers.
pub(crate) const FILE: u8 = b'0';
pub(crate) const HARDLINK: u8 = b'1';
pub(crate) const SYMLINK: u8 = b'2';
pub(crate) const CHAR_DEVICE: u8 = b'3';
pub(crate) const BLOCK_DEVICE: u8 = b'4';
pub(crate) const DIRECTORY: u8 = b'5';
pub(crate) const FIFO: u8 = b'6';

/// One member before it is written.
#[derive(Clone)]
pub(crate) struct Member {
    header: [u8; 512],
    pax: Vec<(Vec<u8>, Vec<u8>)>,
    data: Vec<u8>,
}

impl Member {
    pub(crate) fn new(flag: u8, name: impl AsRef<[u8]>) -> Self {
        let mut member = Self { header: [0; 512], pax: Vec::new(), data: Vec::new() };
        member.header[257..265].copy_from_slice(b"ustar\x0000");
        member.header[156] = flag;
        member.set_name(name.as_ref());
        member.mode(if flag == DIRECTORY { 0o755 } else { 0o644 }).owner(0, 0).mtime(1000)
    }

    fn set_name(&mut self, name: &[u8]) {
        if name.len() > 100 {
            self.pax.push((b"path".to_vec(), name.to_vec()));
        }
        let short = &name[..name.len().min(100)];
        self.header[..short.len()].copy_from_slice(short);
    }

    pub(crate) fn mode(self, mode: u32) -> Self {
        self.octal(100..108, u64::from(mode))
    }

    pub(crate) fn owner(self, uid: u32, gid: u32) -> Self {
        self.number(108..116, uid.into()).number(116..124, gid.into())
    }

    pub(crate) fn mtime(self, seconds: u64) -> Self {
        self.octal(136..148, seconds)
    }

    pub(crate) fn data(mut self, data: impl AsRef<[u8]>) -> Self {
        self.data = data.as_ref().to_vec();
        let len = self.data.len() as u64;
        self.octal(124..136, len)
    }

    /// A size field that need not be the data's.
    pub(crate) fn size(self, size: u64) -> Self {
        self.number(124..136, size)
    }

    pub(crate) fn link(mut self, target: impl AsRef<[u8]>) -> Self {
        let target = target.as_ref();
        if target.len() > 100 {
            return self.pax("linkpath", target);
        }
        self.header[157..157 + target.len()].copy_from_slice(target);
        self
    }

    pub(crate) fn device(self, major: u32, minor: u32) -> Self {
        self.octal(329..337, major.into()).octal(337..345, minor.into())
    }

    pub(crate) fn pax(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.pax.push((key.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Bytes of the header, as they are.
    pub(crate) fn raw(mut self, at: usize, bytes: &[u8]) -> Self {
        self.header[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn octal(mut self, field: std::ops::Range<usize>, number: u64) -> Self {
        let digits = format!("{number:0width$o}\0", width = field.len() - 1);
        self.header[field].copy_from_slice(digits.as_bytes());
        self
    }

    /// In octal if it fits, in base 256 otherwise.
    fn number(mut self, field: std::ops::Range<usize>, number: u64) -> Self {
        if number < 1 << (3 * (field.len() - 1)) {
            return self.octal(field, number);
        }
        let bytes = number.to_be_bytes();
        let end = field.end;
        let start = end - bytes.len().min(field.len());
        self.header[field.clone()].fill(0);
        self.header[start..end].copy_from_slice(&bytes[bytes.len() - (end - start)..]);
        self.header[field.start] |= 0x80;
        self
    }

    /// Header and data, the extended header in front.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if !self.pax.is_empty() {
            let records = self.pax.iter().flat_map(|(key, value)| record(key, value)).collect::<Vec<u8>>();
            bytes.extend(Member::new(b'x', "pax").data(records).bytes());
        }
        let mut header = self.header;
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes.extend(header);
        bytes.extend(&self.data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
}

/// A PAX record, its length in front.
pub(crate) fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let len = (1..20).map(|digits| rest + digits).find(|len| len.to_string().len() + rest == *len).unwrap();
    [len.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

pub(crate) fn file(name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Member {
    Member::new(FILE, name).data(data)
}

pub(crate) fn dir(name: impl AsRef<[u8]>) -> Member {
    Member::new(DIRECTORY, name)
}

pub(crate) fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Member {
    Member::new(SYMLINK, name).link(target)
}

pub(crate) fn hardlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Member {
    Member::new(HARDLINK, name).link(target)
}

/// An archive with its end marker.
pub(crate) fn archive(members: &[Member]) -> Vec<u8> {
    let mut bytes: Vec<u8> = members.iter().flat_map(Member::bytes).collect();
    bytes.extend([0; 1024]);
    bytes
}

/// Bytes that do not compress, the same for the same seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}
