//! The keyring: made once, readable by its owner alone, and particular about both.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use frazil_format::{DataKey, WrappedKey, wrap_context};
use frazil_store::{ErrorClass, KeyProvider, Keyring, StoreError};

use crate::scene::files;

/// Tells a child of this test program which keyring to use.
const KEYRING: &str = "FRAZIL_TEST_KEYRING";

fn mode(path: impl AsRef<Path>) -> u32 {
    path.as_ref().metadata().unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: impl AsRef<Path>, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn new_keyring() -> (tempfile::TempDir, Keyring) {
    let directory = tempfile::tempdir().unwrap();
    let keyring = Keyring::open_or_create(directory.path().join("keys")).unwrap();
    (directory, keyring)
}

#[tokio::test]
async fn keys_are_made_on_first_use_and_are_the_same_ever_after() {
    let (_directory, keyring) = new_keyring();
    let secret = keyring.scope("default").unwrap();
    let data_key = DataKey::generate().unwrap();
    let context = wrap_context("default", "app");
    let wrapped = keyring.wrap("default", &data_key, &context).await.unwrap();
    assert_eq!(wrapped.provider, "keyring");
    assert_eq!(wrapped.key_id, keyring.tenant("default").unwrap());

    let later = Keyring::open(keyring.directory()).unwrap();
    assert!(later.scope("default").unwrap() == secret);
    assert!(later.unwrap("default", &wrapped, &context).await.unwrap() == data_key);
    assert_eq!(files(keyring.directory()), ["scopes/default.key", "tenants/default.key"]);
}

#[test]
fn only_the_owner_can_read_keys() {
    let (_directory, keyring) = new_keyring();
    keyring.scope("default").unwrap();
    keyring.tenant("default").unwrap();
    let keys = keyring.directory();
    for directory in [keys.to_owned(), keys.join("scopes"), keys.join("tenants")] {
        assert_eq!(mode(directory), 0o700);
    }
    for file in files(keys) {
        assert_eq!(mode(keys.join(file)), 0o600);
    }
    let text = std::fs::read_to_string(keys.join("scopes/default.key")).unwrap();
    assert!(text.starts_with("frazil key, version 1\nkind: scope\nid: "), "people can tell what it is");
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let (_directory, keyring) = new_keyring();
    keyring.scope("default").unwrap();
    let file = keyring.directory().join("scopes/default.key");
    for exposed in [0o640, 0o604, 0o660, 0o644] {
        set_mode(&file, exposed);
        let error = keyring.scope("default").unwrap_err();
        assert!(matches!(error, StoreError::KeyExposed { mode, .. } if mode == exposed), "{error}");
        assert_eq!(error.class(), ErrorClass::Denied);
    }
    set_mode(&file, 0o400);
    keyring.scope("default").unwrap();
}

#[test]
fn a_directory_of_keys_that_others_can_write_to_is_refused() {
    let (_directory, keyring) = new_keyring();
    set_mode(keyring.directory(), 0o770);
    assert!(matches!(Keyring::open(keyring.directory()), Err(StoreError::KeyExposed { .. })));
    assert!(matches!(Keyring::open_or_create(keyring.directory()), Err(StoreError::KeyExposed { .. })));
}

#[test]
fn a_damaged_key_is_refused_without_a_word_of_its_content() {
    let (_directory, keyring) = new_keyring();
    keyring.scope("default").unwrap();
    let file = keyring.directory().join("scopes/default.key");
    let text = std::fs::read_to_string(&file).unwrap();
    let secret = text.rsplit(' ').next().unwrap().trim_end();
    let flipped = if secret.ends_with('0') { '1' } else { '0' };
    let damages = [
        String::new(),
        text.replace(secret, &secret[..62]),
        text.replace(secret, &format!("{secret}00")),
        text.replace(secret, &format!("{}{flipped}", &secret[..63])),
        text.replace("kind: scope", "kind: tenant"),
        "x".repeat(1 << 20),
    ];
    for damaged in damages {
        std::fs::write(&file, &damaged).unwrap();
        let error = keyring.scope("default").unwrap_err();
        assert!(matches!(error, StoreError::KeyDamaged { .. }), "{error}");
        let said = format!("{error} {error:?}");
        assert!(said.contains("scopes/default.key") && !said.contains(&secret[..16]), "{said}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), damaged, "a key file is never replaced");
    }
}

#[tokio::test]
async fn what_another_key_wrapped_is_refused_with_the_names_of_both() {
    let (_directory, keyring) = new_keyring();
    let (_other_directory, other) = new_keyring();
    let data_key = DataKey::generate().unwrap();
    let context = wrap_context("default", "app");
    let wrapped = keyring.wrap("default", &data_key, &context).await.unwrap();
    let present = other.tenant("default").unwrap();
    let error = other.unwrap("default", &wrapped, &context).await.unwrap_err();
    let expected =
        format!("the data key was wrapped by keyring {}, and here is keyring {present}", wrapped.key_id);
    assert_eq!(error.to_string(), expected);

    let error = keyring.unwrap("default", &wrapped, &wrap_context("default", "else")).await.unwrap_err();
    assert!(matches!(error, StoreError::KeyRefused { .. }), "{error}");
    let cut = WrappedKey { bytes: wrapped.bytes[1..].to_vec(), ..wrapped.clone() };
    let error = keyring.unwrap("default", &cut, &context).await.unwrap_err();
    assert!(matches!(error, StoreError::KeyRefused { .. }), "{error}");
}

#[tokio::test]
async fn unwrapping_and_opening_make_no_keys() {
    let (_directory, keyring) = new_keyring();
    let wrapped = WrappedKey { provider: "keyring".into(), key_id: "t/1".into(), bytes: vec![0; 81] };
    let error =
        keyring.unwrap("default", &wrapped, &frazil_format::wrap_context("default", "")).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound, "{error}");
    let opened = Keyring::open(keyring.directory()).unwrap();
    let error = opened.scope("default").unwrap_err();
    assert!(matches!(error, StoreError::KeyNotFound { .. }), "{error}");
    assert_eq!(files(keyring.directory()), Vec::<String>::new());
    assert!(matches!(Keyring::open("/nonexistent/keys"), Err(StoreError::KeyNotFound { .. })));
}

#[test]
fn a_key_name_cannot_leave_the_keyring() {
    let (_directory, keyring) = new_keyring();
    for name in ["", "..", "../x", "a/b", ".hidden"] {
        let error = keyring.scope(name).unwrap_err();
        assert!(matches!(error, StoreError::BadPlainName { .. }), "{name}: {error}");
    }
}

/// Also what the children of the next test run.
#[test]
fn a_process_that_needs_keys_has_them() {
    let own = tempfile::tempdir().unwrap();
    let directory = std::env::var_os(KEYRING).map_or_else(|| own.path().join("keys"), PathBuf::from);
    let keyring = Keyring::open_or_create(directory).unwrap();
    println!("keys: {} {}", keyring.scope("default").unwrap().id(), keyring.tenant("default").unwrap());
}

#[test]
fn processes_that_make_the_same_keys_at_once_end_with_the_same_keys() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let keys = directory.path().join(format!("keys-{round}"));
        let children: Vec<_> = (0..4)
            .map(|_| {
                Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", "keyring::a_process_that_needs_keys_has_them", "--nocapture"])
                    .env(KEYRING, &keys)
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let mut said: Vec<String> = children
            .into_iter()
            .map(|child| {
                let output = child.wait_with_output().unwrap();
                assert!(output.status.success(), "{output:?}");
                let text = String::from_utf8(output.stdout).unwrap();
                text.lines().find(|line| line.contains("keys: ")).expect("it prints its keys").to_owned()
            })
            .collect();
        said.dedup();
        assert_eq!(said.len(), 1, "{said:?}");
        assert_eq!(files(&keys), ["scopes/default.key", "tenants/default.key"]);
    }
}
