//! Wrapping keys and scope secrets that are rotated, lost, or somebody else's.

use std::fs;

use crate::support::home::Home;
use crate::support::objects::Objects;
use crate::support::tenants::{B, Tenants, noise};

/// The image in the repository's `fixtures`, which is smaller than the others.
const HELLO: &str = concat!("oci-archive:", env!("CARGO_MANIFEST_DIR"), "/../../fixtures/hello.oci.tar");

#[test]
fn a_rotated_key_wraps_every_image_anew_and_touches_no_chunk() {
    let home = Home::new();
    for name in ["one", "two"] {
        home.convert(HELLO, name);
    }
    let old_key = home.tells(["inspect", "--json", "one"])["key"].clone();
    let before = Objects::of(home.store());
    let done = home.tells(["key", "rotate", "--json"]);
    assert_eq!((&done["new"], &done["rewrapped"]), (&true.into(), &2.into()));
    assert_ne!(done["key"], old_key);
    for name in ["one", "two"] {
        assert_eq!(home.tells(["inspect", "--json", name])["key"], done["key"]);
        home.verify(name);
    }
    let added = Objects::of(home.store()).since(&before);
    assert_eq!((added.len(), added.of_kind("manifests").len(), added.of_kind("names").len()), (6, 2, 2));

    // The old key is kept, and no image of this store needs it.
    let keys = home.tells(["key", "list", "--json"]);
    assert_eq!((&keys[0]["state"], &keys[0]["images"]), (&"current".into(), &2.into()));
    assert_eq!(
        (&keys[1]["state"], &keys[1]["images"], &keys[1]["key"]),
        (&"retired".into(), &0.into(), &old_key)
    );
    fs::remove_dir_all(home.keys().join("retired")).unwrap();
    home.verify("one");
    assert_eq!(home.convert(HELLO, "one")["unchanged"], true);
}

#[test]
fn a_rotation_that_was_broken_off_goes_on_with_the_key_that_it_made() {
    let home = Home::new();
    for name in ["one", "two", "three"] {
        home.convert(HELLO, name);
    }
    // It breaks in the middle: what is under one name cannot be re-wrapped, and another name is not there meanwhile.
    let names = home.store().join("names/default");
    let kept = fs::read(names.join("two")).unwrap();
    fs::rename(names.join("two"), names.join("aside")).unwrap();
    let refused = home.refuses(["key", "rotate"]);
    refused.is(1, "1 images could not be re-wrapped: aside: the data key does not open", "keep the old keys");
    let first = home.tells(["inspect", "--json", "one"]);
    fs::remove_file(names.join("aside")).unwrap();
    fs::write(names.join("two"), &kept).unwrap();

    // The one that is left opens with the retired key, and is what the next run does, with no third key.
    home.verify("two");
    let second = home.tells(["key", "rotate", "--json"]);
    assert_eq!(
        (&second["new"], &second["rewrapped"], &second["key"]),
        (&false.into(), &1.into(), &first["key"])
    );
    for name in ["one", "two", "three"] {
        home.verify(name);
    }
    assert_eq!(fs::read_dir(home.keys().join("retired/tenants/default")).unwrap().count(), 1);
}

#[test]
fn a_rotation_says_how_images_in_a_retired_root_come_along() {
    let home = Home::new();
    home.convert(HELLO, "hello");
    home.says(["root", "new"]);
    home.says(["root", "retire", "1"]);
    home.refuses(["key", "rotate"]).is(1, "hello: root 00000001 is retired", "frazil gc run copies");
    home.says(["gc", "run"]);
    home.says(["key", "rotate"]);
    home.verify("hello");
}

#[test]
fn a_scope_with_a_new_secret_shares_nothing_with_what_was_and_reads_it_still() {
    let tenants = Tenants::new();
    let app = tenants.on_base("app", &[("srv/app", noise(1, 200_000))]);
    tenants.b.convert(&app, "before");
    tenants.b.home.says(["scope", "rotate", "--tenant", B, B]);
    let summary = tenants.b.convert(&app, "after");
    assert_eq!((&summary["layers_public"], &summary["layers_ingested"]), (&1.into(), &2.into()));
    let shown = tenants.b.tells(&["inspect", "--json", "after"]);
    assert_eq!(
        (&shown["layers"][1]["scope_name"], &shown["layers"][1]["shared_bytes"]),
        (&B.into(), &0.into())
    );
    assert_eq!(shown["layers"][0]["shared_bytes"], shown["layers"][0]["sealed_bytes"]);
    let old = tenants.b.tells(&["inspect", "--json", "before"]);
    assert_eq!(old["layers"][1]["scope_name"], "b, before it was rotated");
    for name in ["before", "after"] {
        tenants.b.verify(name);
    }

    // The shared scope, too: its list of bases holds on, for whoever has the new secret.
    tenants.a.home.says(["scope", "rotate", "--tenant", "a", "shared"]);
    let refused = tenants.b.refuses(&["convert", "--name", "late", &app.source()]);
    refused.is(1, "the store's scope shared is", "copy scopes/shared.key");
    let key = "scopes/shared.key";
    fs::copy(tenants.a.home.keys().join(key), tenants.b.home.keys().join(key)).unwrap();
    assert_eq!(tenants.b.convert(&app, "late")["layers_public"], 1);
}

#[test]
fn an_image_that_other_keys_sealed_is_replaced_only_for_who_asks_for_it() {
    let home = Home::new();
    home.convert(HELLO, "hello");
    let before = fs::read(home.store().join("names/default/hello")).unwrap();
    // The tenant's key is lost; the scope's is not.
    fs::remove_file(home.keys().join("tenants/default.key")).unwrap();
    let refused = home.refuses(["convert", "--name", "hello", HELLO]);
    refused.is(1, "the image hello stays: it cannot be opened here", "--replace");
    assert_eq!(fs::read(home.store().join("names/default/hello")).unwrap(), before);
    home.says(["convert", "--name", "hello", "--replace", HELLO]);
    home.verify("hello");

    // The whole keyring is lost: a new one does not silently start a second scope of the same name.
    fs::remove_dir_all(home.keys()).unwrap();
    let refused = home.refuses(["convert", "--name", "hello", HELLO]);
    refused.is(1, "whose secret is not among these keys", "scopes/default.key");
}

#[test]
fn a_scope_compresses_as_its_record_says() {
    let home = Home::new();
    home.says(["scope", "create", "quiet", "--compression", "none"]);
    home.refuses(["scope", "create", "quiet"]).is(1, "there is a scope quiet", "frazil scope set");
    let plain = home.tells(["convert", "--tenant", "quiet", "--json", "--name", "hello", HELLO]);
    let packed = home.tells(["convert", "--tenant", "loud", "--json", "--name", "hello", HELLO]);
    let written = |summary: &serde_json::Value| summary["bytes_written"].as_u64().unwrap();
    println!("stored: none {} bytes, zstd:3 {} bytes", written(&plain), written(&packed));
    assert!(written(&plain) > written(&packed));
    let shown = home.tells(["inspect", "--tenant", "quiet", "--json", "hello"]);
    let sealed: u64 = shown["total"]["sealed_bytes"].as_u64().unwrap();
    let chunks = shown["total"]["chunks"].as_u64().unwrap();
    assert!(sealed > chunks * 17, "chunks as they are, and a tag each");
    let words = home.says(["scope", "show", "quiet"]);
    for word in ["tenant quiet", "none", "in keyrings"] {
        assert!(words.contains(word), "{words}");
    }
    let listed = home.tells(["scope", "list", "--json"]);
    let names: Vec<&str> =
        listed.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["loud", "quiet"]);
    home.refuses(["scope", "show", "nobody"]).is(1, "there is no scope nobody", "frazil scope list");
    home.refuses(["images", "--tenant", "shared"]).is(1, "not the name of a tenant", "");
}
