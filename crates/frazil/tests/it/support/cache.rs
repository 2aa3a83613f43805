//! Things that are slow to make and the same for every test, made once however many processes ask.
//!
//! Invariant: what stands under its final name is complete. A maker works in a directory of its own under a
//! file lock and renames it into place; a killed one leaves only litter that the next maker sweeps.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The recipes; a changed recipe makes anew instead of using what an older one left.
const RECIPES: [&str; 4] = [
    include_str!("debian.rs"),
    include_str!("images.rs"),
    include_str!("layer.rs"),
    include_str!("upper.rs"),
];

/// Where things are kept: `$FRAZIL_TEST_IMAGES` or the target directory, one folder per version of the recipes.
fn home() -> PathBuf {
    let home = match std::env::var_os("FRAZIL_TEST_IMAGES") {
        Some(home) => PathBuf::from(home),
        None => Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("test-images"),
    };
    home.join(&hex::encode(Sha256::digest(RECIPES.concat()))[..12])
}

/// The directory `name`, filled by `make` if no process on this machine has done so yet.
#[track_caller]
pub(crate) fn once(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let (home, made) = (home(), home().join(name));
    if made.exists() {
        return made;
    }
    fs::create_dir_all(&home).unwrap();
    let lock = File::create(home.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    if made.exists() {
        return made;
    }
    sweep(&home, &format!("{name}.making-"));
    let making = tempfile::Builder::new().prefix(&format!("{name}.making-")).tempdir_in(&home).unwrap();
    // Temporary directories are private; tests that drop their privileges read here too.
    fs::set_permissions(making.path(), Permissions::from_mode(0o755)).unwrap();
    make(making.path());
    fs::rename(making.path(), &made).unwrap();
    made
}

/// Removes what makers left that were killed; the caller holds their lock.
fn sweep(home: &Path, prefix: &str) {
    for entry in fs::read_dir(home).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
}
