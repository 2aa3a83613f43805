//! `fsck.erofs`, the format's own checker, as an oracle.

use std::io::Write;
use std::process::Command;

/// Fails unless `fsck.erofs` accepts the image, every file's data included.
pub(crate) fn accept(bytes: &[u8]) {
    let mut image = tempfile::NamedTempFile::new().unwrap();
    image.write_all(bytes).unwrap();
    let output = Command::new("fsck.erofs")
        .arg("--extract")
        .arg(image.path())
        .output()
        .expect("fsck.erofs is missing: install Debian's package erofs-utils");
    assert!(
        output.status.success(),
        "fsck.erofs refuses the image: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}
