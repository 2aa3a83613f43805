//! The other side of `support::agent`: what the second process does.

use std::io::Write;

use frazil_mount::{FaceChoice, ImageOptions, MountOptions};

use crate::support::agent::{BEST, DIR, FACE, READY};
use crate::support::mounts::open;
use crate::support::sample::everything;
use crate::support::tier::TestTier;

#[test]
fn serve_if_told_to() {
    let (Ok(face), Ok(dir)) = (std::env::var(FACE), std::env::var(DIR)) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let built = everything().build();
    let image = open(&built, &TestTier::of(&built), &runtime, ImageOptions::default());
    let face = match face.as_str() {
        BEST => FaceChoice::Best,
        face => FaceChoice::Just(face.parse().unwrap()),
    };
    let options = MountOptions { face, name: "tests/sample:1".into() };
    runtime.block_on(async {
        let mut mounted = frazil_mount::mount(&image, dir.as_ref(), &options).await.unwrap();
        if face == FaceChoice::Best && !rustix::process::geteuid().is_root() {
            assert_eq!(mounted.shown().reason, "EROFS can be mounted by root alone");
        }
        writeln!(std::io::stdout(), "{READY}").unwrap();
        mounted.wait().await.unwrap();
    });
}
