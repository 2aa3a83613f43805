//! A tenant who may write to the store, and wants another to read bytes that are not its own: what is refused, what
//! only breaks, and what nobody can notice.

use std::fs;
use std::path::{Path, PathBuf};

use frazil_format::{ChunkId, Manifest, RootId, Sealer, wrap_context};
use frazil_store::{KeyProvider, Keyring, Reference};

use crate::support::objects::Objects;
use crate::support::tenants::{A, B, Tenants, noise, open_store, runtime, sealed};

fn chunk_file(store: &Path, id: &ChunkId) -> PathBuf {
    let digits = id.to_string();
    store.join(format!("roots/00000001/chunks/{}/{digits}", &digits[..2]))
}

#[test]
fn garbage_under_the_future_names_of_chunks_is_never_read_as_what_they_are() {
    let tenants = Tenants::new();
    let app = tenants.on_base("app", &[("srv/app", noise(1, 300_000))]);
    // A knows the shared secret, so it can tell the names of all chunks of the base; it has them from its own image.
    tenants.a.convert(&app, "scout");
    let (scout, _) = tenants.a.open("scout");
    let base = &scout.geometry.layers[0];
    let in_base = |offset: u64| offset >= base.offset && offset < base.offset + base.len;
    let names: Vec<_> = scout.chunks.iter().filter(|chunk| in_base(chunk.offset)).collect();
    for chunk in &names {
        let garbage = noise(2, chunk.sealed_len as usize);
        fs::write(chunk_file(tenants.a.home.store(), &chunk.id), garbage).unwrap();
    }
    tenants.b.convert(&app, "app");
    // B cannot read its image; and it knows: not one byte of A's is taken for B's.
    let found = tenants.b.home.frazil(["--tenant", B, "verify", "--json", "app"]).output().unwrap();
    let found: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!((&found["sound"], &found["faulty_chunks"]), (&false.into(), &names.len().into()));
    tenants.b.refuses(&["export", "app", tenants.b.home.path("disk").to_str().unwrap()]).is(
        1,
        "corrupt",
        "the store has lost a part",
    );
}

#[test]
fn what_a_says_of_a_public_layer_is_not_believed_by_b() {
    let tenants = Tenants::new();
    let app = tenants.on_base("app", &[("srv/app", noise(3, 100_000))]);
    tenants.a.convert(&app, "app");
    // A holds the shared secret and writes where it likes: it puts its layer index, and anything else, under every
    // name in the store; B looks under names that A cannot tell, and reads the public layer itself.
    let layers = tenants.a.home.store().join("roots/00000001/layers");
    let summary = tenants.b.convert(&app, "app");
    assert_eq!((&summary["layers_ingested"], &summary["layers_reused"]), (&2.into(), &0.into()));
    let of_a: Vec<PathBuf> = fs::read_dir(&layers).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(of_a.len(), 4, "each tenant has its own index of each layer");
    // Even in the place of B's own index, another is not taken for it.
    let bytes = fs::read(&of_a[0]).unwrap();
    for index in &of_a {
        fs::write(index, &bytes).unwrap();
    }
    fs::remove_file(tenants.b.reference_file("app")).unwrap();
    let summary = tenants.b.convert(&app, "app");
    assert!(summary["layers_ingested"].as_u64().unwrap() >= 1);
    let source = app.source();
    let compared = tenants.b.tells(&["verify", "--json", "--against", &source, "app"]);
    assert_eq!((&compared["sound"], &compared["against"]["different"]), (&true.into(), &0.into()));
}

#[test]
fn swapped_manifests_and_references_are_refused() {
    let tenants = Tenants::new();
    tenants.a.convert(&tenants.on_base("evil", &[("srv/app", b"evil".to_vec())]), "app");
    tenants.b.convert(&tenants.on_base("app", &[("srv/app", b"good".to_vec())]), "app");
    tenants.b.convert(&tenants.on_base("old", &[("srv/app", b"other".to_vec())]), "other");
    let good = fs::read(tenants.b.reference_file("app")).unwrap();

    // A's reference under B's name; another image of B's under the name.
    fs::copy(tenants.a.reference_file("app"), tenants.b.reference_file("app")).unwrap();
    tenants.b.refuses(&["verify", "app"]).is(
        1,
        "leads to the manifest of app of tenant a",
        "changed the reference",
    );
    fs::copy(tenants.b.reference_file("other"), tenants.b.reference_file("app")).unwrap();
    tenants.b.refuses(&["verify", "app"]).is(1, "leads to the manifest of other of tenant b", "changed");

    // A's manifest in the place of B's.
    fs::write(tenants.b.reference_file("app"), &good).unwrap();
    let (reference, _) = sealed(tenants.b.home.store(), B, "app");
    let (of_a, _) = sealed(tenants.a.home.store(), A, "app");
    let manifests = tenants.b.home.store().join("roots/00000001/manifests");
    let kept = fs::read(manifests.join(reference.manifest.to_string())).unwrap();
    let file = |reference: &Reference| manifests.join(reference.manifest.to_string());
    fs::copy(file(&of_a), file(&reference)).unwrap();
    tenants.b.refuses(&["verify", "app"]).is(1, "is corrupt: its header is that of", "");
    fs::write(file(&reference), kept).unwrap();
    tenants.b.verify("app");
}

#[test]
fn a_manifest_that_a_forges_in_b_s_name_does_not_open_for_b() {
    let tenants = Tenants::new();
    tenants.a.convert(&tenants.on_base("evil", &[("srv/app", b"evil".to_vec())]), "app");
    tenants.b.convert(&tenants.on_base("app", &[("srv/app", b"good".to_vec())]), "app");
    // Everything that the clear part can say is B's; the chunks, their keys and the data key are A's.
    let (evil, data_key) = tenants.a.open("app");
    let mut geometry = evil.geometry.clone();
    (geometry.tenant, geometry.name) = (B.to_owned(), "app".to_owned());
    let forged = Manifest { geometry, ..evil };
    let context = wrap_context(B, "app");
    let keyring = Keyring::open(tenants.a.home.keys()).unwrap();
    let (_, of_b) = sealed(tenants.b.home.store(), B, "app");
    runtime().block_on(async {
        let store = open_store(tenants.a.home.store()).await;
        let wrapped = keyring.wrap(A, &data_key, &context).await.unwrap();
        // Wrapped by A's key, and said to be; wrapped by A's key, and said to be by B's; B's own wrapped key.
        let mut disguised = wrapped.clone();
        disguised.key_id.clone_from(&of_b.wrapped_key().key_id);
        for (wrapped, refusal) in [
            (wrapped, "is sealed for key a/"),
            (disguised, "does not open with b/"),
            (of_b.wrapped_key().clone(), "wrong data key for manifest"),
        ] {
            let (id, bytes) = forged.seal(&data_key, wrapped).unwrap();
            store.put_manifest(RootId::FIRST, &id, bytes.into()).await.unwrap();
            let reference = Reference { root: RootId::FIRST, manifest: id };
            store.publish(B, &"app".parse().unwrap(), reference).await.unwrap();
            let refused = tenants.b.refuses(&["verify", "app"]);
            assert!(refused.error.contains(refusal), "{refusal}: {}", refused.error);
        }
    });
}

#[test]
fn an_old_manifest_of_b_s_own_is_b_s_own_and_nobody_notices() {
    let tenants = Tenants::new();
    let file = |text: &str| vec![("srv/app", text.as_bytes().to_vec())];
    tenants.b.convert(&tenants.on_base("one", &file("version 1, with a hole in it")), "app");
    let old = fs::read(tenants.b.reference_file("app")).unwrap();
    tenants.b.convert(&tenants.on_base("two", &file("version 2, mended")), "app");
    let new = fs::read(tenants.b.reference_file("app")).unwrap();

    // Whoever writes to the store can bring back what B published once. docs/THREAT-MODEL.md says so, and that this
    // is all that comes back: B's bytes, whole.
    fs::write(tenants.b.reference_file("app"), &old).unwrap();
    tenants.b.verify("app");
    let mounted =
        crate::support::mount::Mount::with(&tenants.b.home, "app", &["--tenant", B, "--via", "tree"]);
    assert_eq!(fs::read_to_string(mounted.path("srv/app")).unwrap(), "version 1, with a hole in it");
    mounted.unmount();
    // What pins the manifest notices: its id is in the reference.
    assert_ne!(old, new);
}

#[test]
fn a_layer_is_not_made_public_by_whoever_writes_to_the_store() {
    let tenants = Tenants::new();
    let app = tenants.on_base("app", &[("srv/secret", noise(11, 50_000))]);
    // Somebody without the shared secret puts B's future layer on the list, under every tag that it can copy.
    let bases = tenants.a.home.store().join("bases");
    let some = fs::read_dir(&bases).unwrap().next().unwrap().unwrap().path();
    tenants.a.convert(&app, "scout");
    let (scout, _) = tenants.a.open("scout");
    let private = scout.geometry.layers[1].diff_id;
    fs::copy(&some, bases.join(format!("{private}.json"))).unwrap();

    let summary = tenants.b.convert(&app, "app");
    assert_eq!(summary["layers_public"], 1, "the base, and not the layer above it");
    let shown = tenants.b.tells(&["inspect", "--json", "app"]);
    assert_eq!(shown["layers"][1]["scope_name"], B);
    let listed = tenants.b.tells(&["base", "list", "--json"]);
    assert!(!listed.to_string().contains(&private.to_string()), "{listed}");
    // Nor does it turn compression on where a scope wants none.
    tenants.b.tells_nothing(&["scope", "set", B, "--compression", "none"]);
    let record = tenants.b.home.store().join("scopes/b.json");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replace("\"none\"", "\"zstd:3\"")).unwrap();
    let before = Objects::of(tenants.b.home.store());
    tenants.b.refuses(&["convert", "--name", "again", &app.source()]).is(
        1,
        "does not vouch for what it says",
        "",
    );
    assert!(Objects::of(tenants.b.home.store()) == before);
}

#[test]
fn a_wrong_base_lets_every_tenant_test_what_is_in_it() {
    let tenants = Tenants::new();
    let guess = noise(12, 60_000);
    let private = tenants.on_base("app", &[("srv/secret", guess.clone())]);
    // The operator's mistake: the whole image becomes a base, its private layer with it.
    tenants.a.home.says(["base", "add", "--tenant", A, &private.source()]);
    tenants.b.convert(&private, "app");
    let shared = Keyring::open(tenants.a.home.keys()).unwrap().scope("shared").unwrap();
    let (_, public) = sealed(tenants.a.home.store(), B, "app");
    let layer = public.geometry().layers[1].offset;
    let first = public.chunks().iter().find(|chunk| chunk.offset == layer).unwrap();
    let guess: Vec<u8> = guess.into_iter().chain([0; 4096]).take(first.len as usize).collect();
    let payload = frazil_format::Payload::compress(&guess, frazil_format::Compression::default());
    let id = Sealer::new(&shared, RootId::FIRST).seal(&payload).unwrap().id;
    assert_eq!(id, first.id, "what the manual warns of does not even happen");
    // Taking it back holds for what is converted from then on.
    let listed = tenants.a.tells(&["base", "list", "--json"]).as_array().unwrap().len();
    assert_eq!(listed, 2);
    let (manifest, _) = tenants.b.open("app");
    let layer = format!("sha256:{}", manifest.geometry.layers[1].diff_id);
    tenants.a.home.says(["base", "remove", "--tenant", A, &layer]);
    assert_eq!(tenants.b.convert(&private, "again")["layers_public"], 1);
    tenants.a.refuses(&["base", "remove", &layer]).is(1, "is on the list", "frazil base list");
}
