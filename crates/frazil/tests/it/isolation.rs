//! Two tenants and one store: what they share, and that a tenant who reads everything that others store, and owns
//! only its own keys, learns nothing of them. Each story is an attack. `isolation_forgery.rs` has those who write.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::Path;

use frazil_format::{
    ChunkId, ChunkKey, Compression, Payload, RootId, ScopeSecret, SealedChunk, Sealer, open_chunk,
};
use frazil_store::Keyring;

use crate::support::cached::Cached;
use crate::support::home::Home;
use crate::support::mount::Mount;
use crate::support::objects::Objects;
use crate::support::server::Server;
use crate::support::tenants::{A, B, Tenant, Tenants, noise, sealed};
use crate::support::tree::snapshot;

/// A secret file of which everybody knows all but the number.
fn badge(number: u32) -> Vec<u8> {
    format!("employee badge, building 7, floor 3\nowner: j.doe@example.org\npin: {number:04}\n").into_bytes()
}

/// The chunks of one layer of an image, and of everything but it.
fn parts(tenant: &Tenant, name: &str) -> (HashSet<ChunkId>, HashSet<ChunkId>) {
    let (manifest, _) = tenant.open(name);
    let base = &manifest.geometry.layers[0];
    let in_base = |offset: u64| offset >= base.offset && offset < base.offset + base.len;
    let (base, own): (Vec<_>, Vec<_>) = manifest.chunks.iter().partition(|chunk| in_base(chunk.offset));
    let ids = |chunks: Vec<&frazil_format::Chunk>| chunks.into_iter().map(|chunk| chunk.id).collect();
    (ids(base), ids(own))
}

/// Every secret that the tenant A has: the scopes it is in, and the keys of all chunks of its images.
fn loot(a: &Tenant, images: &[&str]) -> (Vec<ScopeSecret>, Vec<ChunkKey>) {
    let keyring = Keyring::open(a.home.keys()).unwrap();
    let secrets = vec![keyring.scope(A).unwrap(), keyring.scope("shared").unwrap()];
    let keys = images.iter().flat_map(|name| a.open(name).0.keys).collect();
    (secrets, keys)
}

/// The payloads that any converter could make of these bytes.
fn payloads(bytes: &[u8]) -> Vec<Payload> {
    let levels = (-7..=22).map(|level| Compression::Zstd { level });
    std::iter::once(Compression::None).chain(levels).map(|how| Payload::compress(bytes, how)).collect()
}

fn chunk_files(directory: &Path) -> BTreeSet<String> {
    let files = Objects::of(directory);
    let names = files.paths().into_iter().filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
    // A cache puts the root in front.
    let names = names.map(|name| name.rsplit('-').next().unwrap_or_default().to_owned());
    names.filter(|name| name.parse::<ChunkId>().is_ok()).collect()
}

#[test]
fn two_tenants_on_one_base_share_every_chunk_of_it_and_none_above() {
    let tenants = Tenants::new();
    // The same files above the base: nothing but the tenant differs.
    let app = tenants.on_base("app", &[("srv/app", noise(3, 700_000)), ("srv/text", badge(7))]);
    let summary = tenants.a.convert(&app, "app");
    assert_eq!((&summary["layers_public"], &summary["layers_ingested"]), (&1.into(), &2.into()));
    let before = Objects::of(tenants.a.home.store());
    let summary = tenants.b.convert(&app, "app");
    assert_eq!(summary["layers_public"], 1);

    let ((base_of_a, own_of_a), (base_of_b, own_of_b)) = (parts(&tenants.a, "app"), parts(&tenants.b, "app"));
    assert!(base_of_a.len() > 2 && own_of_a.len() > 1);
    assert_eq!(base_of_a, base_of_b);
    assert!(own_of_a.is_disjoint(&own_of_b));
    // In the store: what B added are its own chunks.
    let added = Objects::of(tenants.a.home.store()).of_kind("chunks").since(&before);
    assert_eq!(added.len(), own_of_b.len());

    // As inspect shows it, to either.
    for tenant in [&tenants.a, &tenants.b] {
        let shown = tenant.tells(&["inspect", "--json", "app"]);
        let (base, own) = (&shown["layers"][0], &shown["layers"][1]);
        assert_eq!((&base["scope_name"], &own["scope_name"]), (&"shared".into(), &tenant.name.into()));
        assert_eq!(base["tenants_bytes"], base["sealed_bytes"]);
        assert_eq!((&own["tenants_bytes"], &own["shared_bytes"]), (&0.into(), &0.into()));
        assert_eq!(shown["metadata"]["scope_name"], tenant.name);
        assert_eq!(shown["metadata"]["tenants_bytes"], 0);
        assert_eq!(shown["total"]["tenants_chunks"], base_of_a.len());
        let words = tenant.home.says(["inspect", "--tenant", tenant.name, "app"]);
        assert!(words.contains("shared") && words.contains("with other tenants"), "{words}");
    }
}

#[test]
fn a_host_s_disk_and_a_zone_s_memory_hold_the_base_once_for_both_tenants() {
    let tenants = Tenants::new();
    let app = tenants.on_base("app", &[("srv/app", noise(3, 700_000))]);
    for tenant in [&tenants.a, &tenants.b] {
        tenant.convert(&app, "app");
    }
    let ((base, own_of_a), (_, own_of_b)) = (parts(&tenants.a, "app"), parts(&tenants.b, "app"));

    let fleet = Fleet::start(5);
    let remote = fleet.nodes();
    let first = Cached::start(&tenants.a.home, &["--remote", &remote]);
    read_through(&tenants.a, &first);
    assert!(crate::support::mount::soon(
        || chunk_files(&first.disk().join("chunks")).len() == base.len() + own_of_a.len()
    ));
    // On the same host B fetches what is its own; the disk has the base once.
    read_through(&tenants.b, &first);
    let both = base.len() + own_of_a.len() + own_of_b.len();
    assert!(crate::support::mount::soon(|| chunk_files(&first.disk().join("chunks")).len() == both));
    assert_eq!(first.asked("origin"), both as u64);

    // The fleet is filled when there is time: until a new host of A's needs no origin any more.
    let needs_no_origin = || {
        let fresh = Cached::start(&tenants.a.home, &["--remote", &remote]);
        read_through(&tenants.a, &fresh);
        fresh.asked("origin") == 0
    };
    assert!((0..20).any(|_| needs_no_origin()), "the fleet never has all of an image");

    // On another host of the zone, a tenant who was never there reads the base out of the fleet.
    let other = tenants.on_base("other", &[("srv/other", noise(4, 500_000))]);
    tenants.b.convert(&other, "app");
    let second = Cached::start(&tenants.b.home, &["--remote", &remote]);
    read_through(&tenants.b, &second);
    let (_, own_of_other) = parts(&tenants.b, "app");
    // A node that does not answer within its deadline is no error, and the origin is asked: under load, for a few.
    let asked = second.asked("origin") as usize;
    println!(
        "{asked} of {} chunks from the origin, {} are B's own",
        base.len() + own_of_other.len(),
        own_of_other.len()
    );
    assert!((own_of_other.len()..own_of_other.len() + base.len()).contains(&asked), "{asked}");
}

/// Reads a whole image through a host cache.
fn read_through(tenant: &Tenant, cached: &Cached) {
    let socket = cached.socket();
    let options = ["--tenant", tenant.name, "--via", "tree", "--cache", socket.to_str().unwrap()];
    let mounted = Mount::with(&tenant.home, "app", &options);
    snapshot(mounted.root());
    mounted.unmount();
}

#[test]
fn no_key_of_a_opens_a_chunk_of_b() {
    let tenants = Tenants::new();
    let secret = noise(5, 300_000);
    let app = tenants.on_base("app", &[("srv/secret", secret.clone()), ("srv/badge", badge(7))]);
    tenants.b.convert(&app, "app");
    // A has the very same files, and so the keys of the very same plaintext.
    tenants.a.convert(&app, "copy");
    let (secrets, mut keys) = loot(&tenants.a, &["copy"]);
    for secret_file in [secret, badge(7)] {
        for secret in &secrets {
            let sealer = Sealer::new(secret, RootId::FIRST);
            keys.extend(payloads(&secret_file).iter().map(|payload| sealer.seal(payload).unwrap().key));
        }
    }
    // Keys that are secrets of another kind.
    keys.extend(secrets.iter().map(|secret| ChunkKey::from_bytes(*secret.as_bytes())));

    let (_, own_of_b) = parts(&tenants.b, "app");
    let (_, public) = sealed(tenants.a.home.store(), B, "app");
    let mut tried = 0;
    for chunk in public.chunks().iter().filter(|chunk| own_of_b.contains(&chunk.id)) {
        let bytes = fs::read(tenants.a.home.store().join(path_of(&chunk.id))).unwrap();
        let stolen = SealedChunk::verify(&chunk.id, bytes.into()).unwrap();
        for key in &keys {
            assert!(open_chunk(&stolen, key, chunk.len).is_err());
            tried += 1;
        }
    }
    assert!(tried > 100, "only {tried} attempts");
    // The control: B's own key opens it.
    let (manifest, _) = tenants.b.open("app");
    let bytes = fs::read(tenants.a.home.store().join(path_of(&manifest.chunks[0].id))).unwrap();
    let chunk = SealedChunk::verify(&manifest.chunks[0].id, bytes.into()).unwrap();
    open_chunk(&chunk, &manifest.keys[0], manifest.chunks[0].len).unwrap();
}

fn path_of(id: &ChunkId) -> String {
    let digits = id.to_string();
    format!("roots/00000001/chunks/{}/{digits}", &digits[..2])
}

#[test]
fn a_cannot_confirm_that_b_has_a_file_that_a_can_guess() {
    let tenants = Tenants::new();
    let (guess, app) = (noise(6, 400_000), [("srv/leaked", noise(6, 400_000))]);
    tenants.b.convert(&tenants.on_base("app", &app), "app");
    let in_store = chunk_files(&tenants.a.home.store().join("roots"));

    // By converting it: no chunk of it was there, and no layer was known.
    let summary = tenants.a.convert(&tenants.on_base("guess", &app), "guess");
    assert_eq!(summary["layers_reused"], 0);
    let (_, own) = parts(&tenants.a, "guess");
    assert!(own.iter().all(|id| !in_store.contains(&id.to_string())), "the store confirms a guess");
    assert_eq!(summary["chunks_new"], own.len());
    // By computing its ids, as any converter would have made them.
    for secret in loot(&tenants.a, &[]).0 {
        let sealer = Sealer::new(&secret, RootId::FIRST);
        for payload in payloads(&guess) {
            assert!(!in_store.contains(&sealer.seal(&payload).unwrap().id.to_string()));
        }
    }
    // By its layer's diff id, which B's manifest says in the clear: that is not hidden, and is documented.
    let (_, of_b) = sealed(tenants.a.home.store(), B, "app");
    let (_, of_a) = sealed(tenants.a.home.store(), A, "guess");
    assert_eq!(of_b.geometry().layers[1].diff_id, of_a.geometry().layers[1].diff_id);
}

#[test]
fn a_cannot_learn_the_unknown_bytes_of_a_mostly_known_file() {
    let tenants = Tenants::new();
    let pin = 4711;
    tenants.b.convert(&tenants.on_base("app", &[("srv/badge", badge(pin))]), "app");
    tenants.a.convert(&tenants.on_base("mine", &[("srv/mine", noise(7, 5000))]), "mine");
    let in_store = chunk_files(&tenants.a.home.store().join("roots"));
    // How long the chunk is stands in the clear; the file lies at its start, and zeros behind it.
    let (_, public) = sealed(tenants.a.home.store(), B, "app");
    let layer = public.geometry().layers[1].offset;
    let len = public.chunks().iter().find(|chunk| chunk.offset == layer).unwrap().len as usize;
    let hits = |secret: &ScopeSecret| -> Vec<u32> {
        let sealer = Sealer::new(secret, RootId::FIRST);
        let is_there = |number: &u32| {
            let mut guess = badge(*number);
            guess.resize(len, 0);
            let mut payloads = [Compression::None, Compression::default()]
                .map(|how| Payload::compress(&guess, how))
                .into_iter();
            payloads.any(|payload| in_store.contains(&sealer.seal(&payload).unwrap().id.to_string()))
        };
        (0..10_000).filter(is_there).collect()
    };
    for secret in loot(&tenants.a, &[]).0 {
        assert_eq!(hits(&secret), Vec::<u32>::new());
    }
    // The control: with B's secret the same search finds it, so the search is right.
    let secret_of_b = Keyring::open(tenants.b.home.keys()).unwrap().scope(B).unwrap();
    assert_eq!(hits(&secret_of_b), [pin]);
}

#[test]
fn a_cannot_mount_b_s_image_by_any_of_its_names() {
    let tenants = Tenants::new();
    tenants.b.convert(&tenants.on_base("app", &[("srv/app", noise(8, 9000))]), "app");
    tenants.a.convert(&tenants.on_base("mine", &[("srv/mine", noise(9, 9000))]), "mine");
    // As oneself, as B, and as B with B's key file made of A's key.
    tenants.a.refuses(&["verify", "app"]).is(1, "there is no image app", "frazil images");
    let a = &tenants.a.home;
    a.refuses(["verify", "--tenant", B, "app"]).is(1, "is sealed for key b/", "--keys");
    let directory = a.mountpoint();
    let words = ["mount", "--tenant", B, "app", directory.to_str().unwrap()];
    a.refuses(words).is(1, "is sealed for key b/", "--keys");
    fs::copy(a.keys().join("tenants/a.key"), a.keys().join("tenants/b.key")).unwrap();
    a.refuses(["verify", "--tenant", B, "app"]).is(1, "is sealed for key b/", "--keys");
    // With B's key id in the file as well, the wrapped key itself does not open.
    let text = fs::read_to_string(a.keys().join("tenants/b.key")).unwrap();
    let theirs = fs::read_to_string(tenants.b.home.keys().join("tenants/b.key")).unwrap();
    let id = |text: &str| text.lines().nth(2).unwrap().to_owned();
    fs::write(a.keys().join("tenants/b.key"), text.replace(&id(&text), &id(&theirs))).unwrap();
    a.refuses(["verify", "--tenant", B, "app"]).is(1, "does not open with b/", "--keys");
}

#[test]
fn no_answer_of_a_host_cache_has_a_key_in_it() {
    use frazil_cache::host::{Catalog, HostCache, HostCacheOptions};
    use frazil_cache::{Tier, Wanted};

    let tenants = Tenants::new();
    tenants.b.convert(&tenants.on_base("app", &[("srv/app", noise(10, 200_000))]), "app");
    let (manifest, data_key) = tenants.b.open("app");
    let keyring = Keyring::open(tenants.b.home.keys()).unwrap();
    let mut secrets = vec![*data_key.as_bytes(), *keyring.scope(B).unwrap().as_bytes()];
    secrets.extend(manifest.keys.iter().map(|key| *key.as_bytes()));
    secrets.push(secret_in(&tenants.b.home, "tenants/b.key"));

    // A asks for everything that the protocol knows, in B's name.
    let cached = Cached::start(&tenants.a.home, &[]);
    let mut answers = Vec::new();
    crate::support::tenants::runtime().block_on(async {
        let cache = HostCache::new(cached.socket(), HostCacheOptions::default());
        let named = cache.reference(B, &"app".parse().unwrap()).await.unwrap().unwrap();
        let root = named.reference.root;
        answers.push(cache.manifest(root, &named.reference.manifest).await.unwrap().to_vec());
        for chunk in &manifest.chunks {
            let wanted = Wanted { root, id: chunk.id, sealed_len: chunk.sealed_len };
            answers.push(cache.get(&wanted).await.unwrap().chunk.bytes().to_vec());
        }
        answers.push(format!("{:?}", cache.stats().await.unwrap()).into_bytes());
    });
    // And looks at what it keeps on disk.
    for path in Objects::of(&cached.disk()).paths() {
        answers.push(fs::read(cached.disk().join(path)).unwrap_or_default());
    }
    assert!(answers.len() > manifest.chunks.len() + 2);
    for answer in &answers {
        for secret in &secrets {
            assert!(!answer.windows(32).any(|window| window == secret), "a key is in an answer");
        }
    }
}

/// The secret in a key file.
pub(crate) fn secret_in(home: &Home, file: &str) -> [u8; 32] {
    let text = fs::read_to_string(home.keys().join(file)).unwrap();
    let digits = text.lines().find_map(|line| line.strip_prefix("secret: ")).unwrap();
    hex::decode(digits).unwrap().try_into().unwrap()
}

/// Plain memcached nodes, gone with the value.
struct Fleet(Vec<Server>);

impl Fleet {
    fn start(count: usize) -> Self {
        Self(std::iter::repeat_with(Server::memcached).take(count).collect())
    }

    fn nodes(&self) -> String {
        let nodes: Vec<String> = self.0.iter().map(|node| node.address().to_string()).collect();
        nodes.join(",")
    }
}
