//! System calls that std has no function for.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

fn text(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

fn checked(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// lgetxattr(2) with a buffer of `size` bytes; a size of 0 asks for the length.
pub(crate) fn xattr(path: &Path, name: &[u8], size: usize) -> io::Result<(usize, Vec<u8>)> {
    let (path, name, mut value) = (text(path), CString::new(name).unwrap(), vec![0_u8; size]);
    // SAFETY: both strings end in NUL, and the buffer has `size` bytes.
    let len =
        checked(unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), size) })?;
    value.truncate(len);
    Ok((len, value))
}

/// llistxattr(2) with a buffer of `size` bytes.
pub(crate) fn xattr_names(path: &Path, size: usize) -> io::Result<(usize, Vec<u8>)> {
    let (path, mut names) = (text(path), vec![0_u8; size]);
    // SAFETY: the string ends in NUL, and the buffer has `size` bytes.
    let len = checked(unsafe { libc::llistxattr(path.as_ptr(), names.as_mut_ptr().cast(), size) })?;
    names.truncate(len);
    Ok((len, names))
}

/// lsetxattr(2).
pub(crate) fn set_xattr(path: &Path, name: &str, value: &[u8]) -> io::Result<()> {
    let (path, name) = (text(path), CString::new(name).unwrap());
    // SAFETY: both strings end in NUL, and the value is passed with its length.
    let result =
        unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    checked(result as isize).map(drop)
}

/// Drops the page cache, dentries and inodes, so that the next look goes to the file system.
pub(crate) fn drop_caches() {
    std::fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
}

/// Unmounts as `umount DIR` does.
pub(crate) fn plain_umount(dir: &Path) {
    let status = std::process::Command::new("umount").arg(dir).status().expect("apt install mount");
    assert!(status.success(), "umount failed");
}
