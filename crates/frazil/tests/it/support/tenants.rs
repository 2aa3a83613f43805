//! Two tenants of one store, each with a keyring of its own, and images on one public base.
//!
//! Invariant: what both keyrings have is the shared scope's secret, as an operator would copy it, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use frazil_format::{DataKey, Manifest, SealedManifest, wrap_context};
use frazil_store::{KeyProvider, Keyring, Reference, Store, StoreLocation, StoreOptions};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::home::Home;
use super::image::Image;
use super::layer::{Attributes, Layer};
use super::refusal::Refusal;
use super::umoci;

/// The tenant who attacks.
pub(crate) const A: &str = "a";

/// The tenant who is attacked.
pub(crate) const B: &str = "b";

/// One tenant.
pub(crate) struct Tenant {
    pub(crate) home: Home,
    pub(crate) name: &'static str,
}

/// Both.
pub(crate) struct Tenants {
    pub(crate) a: Tenant,
    pub(crate) b: Tenant,
    /// The public base image.
    pub(crate) base: Image,
}

impl Tenants {
    /// A store with a public base image, and two tenants who can convert.
    #[track_caller]
    pub(crate) fn new() -> Self {
        let a = Home::new();
        let b = a.with_other_keys();
        let (a, b) = (Tenant { home: a, name: A }, Tenant { home: b, name: B });
        let files = [("usr/lib/libc", noise(1, 900_000)), ("usr/lib/python", noise(2, 1_400_000))];
        let base = image(&a.home, &umoci::empty(&a.home.path("layout"), "empty"), "base", &files);
        a.home.says(["base", "add", "--tenant", A, &base.source()]);
        fs::create_dir_all(b.home.keys().join("scopes")).unwrap();
        fs::copy(a.home.keys().join("scopes/shared.key"), b.home.keys().join("scopes/shared.key")).unwrap();
        for directory in [b.home.keys().to_owned(), b.home.keys().join("scopes")] {
            fs::set_permissions(directory, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        }
        Self { a, b, base }
    }

    /// An image of one layer of these files on the public base.
    #[track_caller]
    pub(crate) fn on_base(&self, tag: &str, files: &[(&str, Vec<u8>)]) -> Image {
        image(&self.a.home, &self.base, tag, files)
    }
}

impl Tenant {
    /// Converts as this tenant.
    #[track_caller]
    pub(crate) fn convert(&self, image: &Image, name: &str) -> Value {
        self.home.tells(["convert", "--json", "--tenant", self.name, "--name", name, &image.source()])
    }

    /// What the program prints for this tenant, as JSON.
    #[track_caller]
    pub(crate) fn tells(&self, words: &[&str]) -> Value {
        self.home.tells([&["--tenant", self.name], words].concat())
    }

    /// Does what prints nothing that matters.
    #[track_caller]
    pub(crate) fn tells_nothing(&self, words: &[&str]) {
        self.home.says([&["--tenant", self.name], words].concat());
    }

    /// Why the program does not do it for this tenant.
    #[track_caller]
    pub(crate) fn refuses(&self, words: &[&str]) -> Refusal {
        self.home.refuses([&["--tenant", self.name], words].concat())
    }

    /// Whether every chunk of an image is right.
    #[track_caller]
    pub(crate) fn verify(&self, name: &str) {
        assert_eq!(self.tells(&["verify", "--json", name])["sound"], true);
    }

    /// The image, opened with this tenant's keys; and its data key.
    #[track_caller]
    pub(crate) fn open(&self, name: &str) -> (Manifest, DataKey) {
        let (_, sealed) = sealed(self.home.store(), self.name, name);
        let keyring = Keyring::open(self.home.keys()).unwrap();
        let context = wrap_context(self.name, name);
        let key = runtime().block_on(keyring.unwrap(self.name, sealed.wrapped_key(), &context)).unwrap();
        (sealed.open(&key).unwrap(), key)
    }

    /// The file of a name's reference.
    pub(crate) fn reference_file(&self, name: &str) -> PathBuf {
        self.home.store().join("names").join(self.name).join(name)
    }
}

/// What anybody who reads the store sees of an image.
#[track_caller]
pub(crate) fn sealed(store: &Path, tenant: &str, name: &str) -> (Reference, SealedManifest) {
    runtime().block_on(async {
        let store = open_store(store).await;
        let reference = store.reference(tenant, &name.parse().unwrap()).await.unwrap().unwrap();
        let bytes = store.manifest(reference.root, &reference.manifest).await.unwrap();
        (reference, SealedManifest::verify(&reference.manifest, bytes).unwrap())
    })
}

/// A store's directory, opened.
pub(crate) async fn open_store(directory: &Path) -> Store {
    let location = StoreLocation::directory(directory).unwrap();
    Store::open(&location, &StoreOptions::default()).await.unwrap()
}

/// A runtime for what a test does itself.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Bytes that do not compress, other ones for each seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(len)
    .collect()
}

#[track_caller]
fn image(home: &Home, below: &Image, tag: &str, files: &[(&str, Vec<u8>)]) -> Image {
    let tar = home.path("layer.tar");
    let layer = files
        .iter()
        .fold(Layer::new(), |layer, (path, content)| layer.file(path, Attributes::mode(0o644), content));
    layer.write(&tar);
    umoci::add_layer(below, &tar, tag)
}
