//! Where an image can be mounted, and what is said where it cannot.

use std::fs;

use frazil_mount::{Face, FaceChoice, ImageOptions, MountError, MountOptions, unmount};

use crate::support::mounts::{FACES, TestMount, mount, mount_lines, open, runtime};
use crate::support::sample::{Sample, everything, file};
use crate::support::tier::TestTier;

#[test]
fn a_place_that_cannot_take_a_mount_is_refused_before_anything_is_fetched() {
    let runtime = runtime();
    let built = Sample::new().with("file", file("x")).build();
    let tier = TestTier::of(&built);
    let image = open(&built, &tier, &runtime, ImageOptions::default());
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "x").unwrap();
    for face in FACES {
        let refused = |path: &std::path::Path| runtime.block_on(mount(&image, path, face)).unwrap_err();
        assert!(matches!(refused(dir.path()), MountError::NotEmpty { .. }));
        assert!(matches!(refused(&dir.path().join("file")), MountError::NotADirectory { .. }));
        assert!(matches!(refused(&dir.path().join("nowhere")), MountError::NoDirectory { .. }));
    }
    assert_eq!(tier.asked(), []);
}

#[test]
fn a_second_mount_over_the_first_is_refused() {
    for face in FACES {
        let first = TestMount::new(&everything(), face);
        let error = first.runtime.block_on(mount(&first.image, first.dir.path(), face)).unwrap_err();
        assert!(matches!(error, MountError::MountedAlready { .. }), "{error}");
        assert_eq!(mount_lines(first.dir.path()).len(), 1);
    }
}

#[test]
fn proc_mounts_shows_whose_mount_it_is_read_only_without_devices_and_set_user_id() {
    for (face, start) in [(Face::Tree, "tests/sample:1 "), (Face::Erofs, "frazil:tests!sample:1 ")] {
        let mount = TestMount::new(&everything(), face);
        let lines = mount_lines(mount.dir.path());
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with(start), "{lines:?}");
        let fields: Vec<&str> = lines[0].split(' ').collect();
        assert_eq!(fields[2], if face == Face::Tree { "fuse.frazil" } else { "erofs" });
        for flag in ["ro", "nodev", "nosuid"] {
            assert!(fields[3].split(',').any(|set| set == flag), "{flag} is not in {lines:?}");
        }
    }
}

#[test]
fn unmount_says_what_is_wrong_with_a_directory_that_is_not_ours() {
    runtime();
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(unmount(dir.path()), Err(MountError::NotMounted { .. })));
    assert!(matches!(
        unmount(&dir.path().join("nowhere")),
        Err(MountError::NotMounted { .. } | MountError::NoDirectory { .. })
    ));
    assert!(matches!(unmount("/proc".as_ref()), Err(MountError::NotOurs { .. })));
}

#[test]
fn a_mount_in_use_is_not_unmounted_and_the_error_names_who_uses_it() {
    for face in FACES {
        let mut mount = TestMount::new(&everything(), face);
        // Another process, since the one that asks knows of itself.
        let opened = fs::File::open(mount.path("empty")).unwrap();
        let mut user = std::process::Command::new("sleep").arg("1000").stdin(opened).spawn().unwrap();
        let MountError::Busy { holders, .. } = unmount(mount.dir.path()).unwrap_err() else {
            panic!("unmounted in use");
        };
        let named = holders.iter().any(|holder| *holder == format!("sleep ({})", user.id()));
        user.kill().unwrap();
        user.wait().unwrap();
        assert!(named, "{holders:?}");
        unmount(mount.dir.path()).unwrap();
        mount.wait_for_end();
    }
}

#[test]
fn a_mount_with_another_one_inside_is_not_unmounted_and_the_error_names_that() {
    let mut mount = TestMount::new(&everything(), Face::Tree);
    let inside = mount.path("etc");
    rustix::mount::mount("none", &inside, "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
    let refused = unmount(mount.dir.path());
    rustix::mount::unmount(&inside, rustix::mount::UnmountFlags::empty()).unwrap();
    let MountError::Busy { holders, .. } = refused.unwrap_err() else { panic!("unmounted in use") };
    assert!(holders.contains(&format!("the mount {}", inside.display())), "{holders:?}");
    unmount(mount.dir.path()).unwrap();
    mount.wait_for_end();
}

#[test]
fn a_mount_is_found_through_a_symlink_and_a_relative_path() {
    let mut mount = TestMount::new(&everything(), Face::Tree);
    let other = tempfile::tempdir().unwrap();
    let link = other.path().join("link");
    std::os::unix::fs::symlink(mount.dir.path(), &link).unwrap();
    unmount(&link).unwrap();
    mount.wait_for_end();
}

#[test]
fn whoever_may_choose_gets_the_kernels_erofs_for_root_and_is_told_why() {
    let runtime = runtime();
    let built = everything().build();
    let image = open(&built, &TestTier::of(&built), &runtime, ImageOptions::default());
    let options = MountOptions { face: FaceChoice::Best, name: "tests/sample:1".into() };
    let dir = tempfile::tempdir().unwrap();
    let mounted = runtime.block_on(frazil_mount::mount(&image, dir.path(), &options)).unwrap();
    assert_eq!(mounted.shown().face, Face::Erofs, "{}", mounted.shown().reason);
    assert!(mounted.shown().reason.contains("EROFS"));
    assert_eq!(fs::read(dir.path().join("etc/passwd")).unwrap(), b"root:x:0:0::/:/bin/sh\n");
    runtime.block_on(mounted.unmount()).unwrap();
}
