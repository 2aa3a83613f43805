//! A store that cannot be written, is full, or is sealed with keys that are not here.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::home::Home;
use crate::support::images;
use crate::support::mount::FACES;
use crate::support::namespace::{in_mount_namespace, make_read_only, mount_tmpfs, resize_tmpfs};
use crate::support::objects::Objects;
use crate::support::refusal::Refusal;
use crate::support::tool::{output, tool};

const NULL: Value = Value::Null;

/// The image in the repository's `fixtures`, which is smaller than the others.
const HELLO: &str = concat!("oci-archive:", env!("CARGO_MANIFEST_DIR"), "/../../fixtures/hello.oci.tar");

#[test]
fn a_read_only_store_is_read_and_not_converted_into() {
    let home = Home::new();
    home.convert(&images::debian().source(), "debian");
    let before = Objects::of(home.store());
    in_mount_namespace(|| {
        make_read_only(home.store());
        let source = images::debian_python().source();
        home.refuses(["convert", "--name", "python", &source]).is(1, "Read-only file system", "");
        home.refuses(["run", &source]).is(125, "Read-only file system", "");
        home.refuses(["rm", "debian"]).is(1, "Read-only file system", "");
        assert_eq!(home.images(), ["debian"]);
        home.verify("debian");
        assert_eq!(home.says(["run", "--no-summary", "debian", "--", "echo", "hello"]), "hello\n");
    });
    assert!(Objects::of(home.store()) == before);
}

#[test]
fn a_store_that_its_user_may_not_write_to_is_said_to_be_so() {
    let home = Home::new();
    home.convert(&images::debian().source(), "debian");
    let before = Objects::of(home.store());
    let directories = ["", "roots/00000001/chunks", "roots/00000001/layers", "names/default"];
    let mode = |mode| {
        for directory in directories {
            fs::set_permissions(home.store().join(directory), Permissions::from_mode(mode)).unwrap();
        }
    };
    mode(0o555);
    // Root without any capability is a user like others.
    let mut powerless = tool("setpriv");
    powerless.args(["--bounding-set=-all", "--inh-caps=-all"]);
    let source = images::debian_python().source();
    let refused = output(&mut home.frazil_under(powerless, ["convert", "--name", "python", &source]));
    mode(0o755);
    Refusal::of(&refused).is(
        1,
        "Permission denied",
        "see whose the store is, and who may write to it: ls -l",
    );
    assert_eq!(home.images(), ["debian"]);
    assert!(before.are_all_in(&Objects::of(home.store())));
    home.verify("debian");
}

#[test]
fn a_full_store_says_so_keeps_what_it_has_and_is_completed_when_there_is_room() {
    let directory = tempfile::TempDir::new().unwrap();
    let python = images::debian_python().source();
    in_mount_namespace(|| {
        mount_tmpfs(directory.path(), 52 << 20);
        let home = Home::with_store_at(&directory.path().join("store"));
        home.convert(&images::debian().source(), "debian");
        let before = Objects::of(home.store());

        let refused = home.refuses(["convert", "--name", "python", &python]);
        refused.is(1, "No space left on device", "make room, and convert again");
        assert_eq!(home.images(), ["debian"]);
        let after = Objects::of(home.store());
        assert!(before.are_all_in(&after));
        assert!(after.paths().iter().all(|path| !path.to_str().unwrap().contains('#')), "half an object");
        home.verify("debian");
        for face in FACES {
            let words = ["run", "--no-summary", "--via", face, "debian", "--", "echo", "full"];
            assert_eq!(home.says(words), "full\n");
        }

        resize_tmpfs(directory.path(), 256 << 20);
        let summary = home.convert(&python, "python");
        assert!(summary["chunks_shared"].as_u64().unwrap() > 0, "what was written is not written again");
        home.verify("python");
        home.verify("debian");
    });
}

#[test]
fn another_keyring_opens_nothing_and_the_error_names_the_key() {
    let home = Home::new();
    home.convert(HELLO, "hello");
    let key = home.tells(["inspect", "--json", "hello"])["key"].as_str().unwrap().to_owned();
    let stranger = home.with_other_keys();
    let hint = "say which keyring has the key with --keys or $FRAZIL_KEYS";

    // Without any keyring.
    stranger.refuses(["run", "hello"]).is(125, "there is no key", hint);
    // With another one.
    stranger.says(["init", "--quiet", "--tenant", "stranger"]);
    let error = format!("hello is sealed for key {key}, which is not among these keys");
    let (mountpoint, file) = (stranger.mountpoint(), stranger.path("exported"));
    for (words, code) in [
        (vec!["run", "hello"], 125),
        (vec!["verify", "hello"], 1),
        (vec!["export", "hello", file.to_str().unwrap()], 1),
        (vec!["mount", "hello", mountpoint.to_str().unwrap()], 1),
    ] {
        stranger.refuses(words).is(code, &error, hint);
    }
    assert!(!file.exists());
    assert_eq!(fs::read_dir(mountpoint).unwrap().count(), 0);
    // What needs no key is told to whoever may read the store.
    assert_eq!(stranger.images(), ["hello"]);
    let shown = stranger.tells(["inspect", "--json", "hello"]);
    assert!(shown["secrets"].is_null() && shown["locked"].as_str().unwrap().contains(&key), "{shown:#}");
    home.verify("hello");
}

#[test]
fn a_name_that_was_pointed_at_another_image_is_refused() {
    let home = Home::new();
    home.convert(HELLO, "hello");
    home.convert(HELLO, "other");
    let names = home.store().join("names/default");
    fs::copy(names.join("other"), names.join("hello")).unwrap();
    for command in [vec!["verify", "hello"], vec!["export", "hello", "/dev/null"]] {
        home.refuses(command).is(
            1,
            "the name hello of tenant default in root 00000001 leads to the manifest of other",
            "convert the image again",
        );
    }
    home.refuses(["run", "hello", "--", "true"]).is(
        125,
        "leads to the manifest of other",
        "convert the image again",
    );
    home.verify("other");
}

#[test]
fn key_files_that_others_can_read_are_not_used() {
    let home = Home::new();
    home.convert(HELLO, "hello");
    let mut pending = vec![home.keys().to_owned()];
    let mut files = Vec::new();
    while let Some(directory) = pending.pop() {
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o077, 0, "{directory:?}");
        for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() { pending.push(entry) } else { files.push(entry) }
        }
    }
    assert!(files.len() >= 2, "{files:?}");
    for file in &files {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o7777, 0o600, "{file:?}");
    }
    for file in files {
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        // Converting needs every key.
        let refused = home.refuses(["convert", "--name", "again", HELLO]);
        refused.is(1, "has mode 0644", &format!("make it yours alone: chmod go= {}", file.display()));
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    }
    assert_eq!(home.images(), ["hello"]);
    home.verify("hello");
}

#[test]
fn what_inspect_cannot_count_is_not_known_and_is_no_zero() {
    let home = Home::new();
    home.convert(HELLO, "hello");
    home.convert(HELLO, "other");
    home.says(["convert", "--quiet", "--tenant", "b", "--name", "theirs", HELLO]);
    let inspected = || home.tells(["inspect", "--json", "hello"])["total"].clone();
    let counted = inspected();
    assert_eq!((&counted["shared_bytes"], &counted["tenants_bytes"]), (&counted["sealed_bytes"], &0.into()));

    let own = home.store().join("names/default/other");
    let reference = fs::read(&own).unwrap();
    fs::write(&own, "damaged").unwrap();
    let with_own_damaged = inspected();
    assert_eq!((&with_own_damaged["shared_chunks"], &with_own_damaged["tenants_bytes"]), (&NULL, &0.into()));
    fs::write(&own, reference).unwrap();

    fs::write(home.store().join("names/b/theirs"), "damaged").unwrap();
    let with_theirs_damaged = inspected();
    for figure in ["shared_chunks", "shared_bytes", "tenants_chunks", "tenants_bytes"] {
        assert_eq!(with_theirs_damaged[figure], NULL, "{figure}");
    }
    assert_eq!(with_theirs_damaged["sealed_bytes"], counted["sealed_bytes"]);
    let said = output(&mut home.frazil(["inspect", "hello"]));
    let (words, warned) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(words.contains("shared    not known"), "{words}");
    assert!(warned.contains("what its images share") && warned.contains("names/b/theirs"), "{warned}");

    fs::write(home.store().join("scopes/default.json"), "damaged").unwrap();
    let said = output(&mut home.frazil(["inspect", "hello"]));
    let warned = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && warned.contains("what scopes are called"), "{warned}");
}

#[test]
fn a_name_that_cannot_be_read_hides_no_other_and_is_replaced_or_removed() {
    let home = Home::new();
    for name in ["first", "second", "third"] {
        home.convert(HELLO, name);
    }
    let record = |name: &str| home.store().join("names/default").join(name);
    for unreadable in [b"torn".to_vec(), vec![b' '; 100_000]] {
        for name in ["first", "third"] {
            fs::write(record(name), &unreadable).unwrap();
        }
        for command in [["images"].as_slice(), &["key", "list"]] {
            let listed = output(&mut home.frazil(command));
            assert_eq!(listed.status.code(), Some(1), "{command:?}: {listed:?}");
            let [said, warned] = [listed.stdout, listed.stderr].map(|text| String::from_utf8(text).unwrap());
            assert!(said.contains("second") || said.contains("current"), "{said}");
            assert!(warned.contains("error: first: names/default/first is damaged"), "{warned}");
            assert!(warned.contains("error: third: "), "{warned}");
        }
        home.refuses(["key", "rotate"]).is(
            1,
            "names/default/first is damaged",
            "mend or remove these images",
        );
        home.verify("second");
        // An unreadable name keeps every root, and no collection from its other work.
        home.says(["root", "new"]);
        let collected = output(&mut home.frazil(["gc", "run", "--json"]));
        assert!(String::from_utf8_lossy(&collected.stdout).contains("names/default/first is damaged"));
        home.says(["rm", "first", "third"]);
        assert_eq!(home.images(), ["second"]);
        home.convert(HELLO, "first");
        home.convert(HELLO, "third");
    }
    fs::write(record("first"), b"torn").unwrap();
    home.convert(HELLO, "first");
    home.verify("first");
}
