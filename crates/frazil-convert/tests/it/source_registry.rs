//! Images in a real registry, pushed there by skopeo.

use std::fs;

use frazil_convert::source::{
    CredentialFiles, LayerCompression, Reference, RegistryAccess, RetryPolicy, SourceError, SourceOptions,
};
use std::time::Duration;

use crate::images::{Layout, Packing, config, for_platform, layers, tagged};
use crate::registry::{Admission, PASSWORD, Registry, USER};
use crate::source_layout::{amd64, assert_image, open, read_layer};
use crate::tools::skopeo_copy;

/// Plain HTTP, nobody's credentials, and little patience.
pub(crate) fn plain_http() -> SourceOptions {
    SourceOptions {
        access: RegistryAccess::PlainHttp,
        retry: RetryPolicy { base_delay: Duration::from_millis(1), ..RetryPolicy::default() },
        ..SourceOptions::default()
    }
}

async fn resolve_error(source: &str, options: &SourceOptions) -> SourceError {
    open(source, options).await.unwrap().resolve(&amd64()).await.unwrap_err()
}

#[tokio::test]
async fn every_compression_comes_back_from_a_real_registry() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), Registry::start(Admission::Anyone));
    for packing in Packing::ALL {
        let layout = dir.path().join(format!("{packing:?}"));
        let source = Layout::with_image(&layout, "v1", &layers("x"), packing).source(None);
        let pushed = registry.source(&format!("team/{}:v1", format!("{packing:?}").to_lowercase()));
        skopeo_copy(&source, &pushed, &["--preserve-digests"]);
        let image = assert_image(&pushed, &plain_http(), &layers("x")).await;
        let compression = match packing {
            Packing::Plain => LayerCompression::None,
            Packing::Gzip => LayerCompression::Gzip,
            Packing::Zstd => LayerCompression::Zstd,
        };
        assert_eq!(image.layers[0].compression, compression);
        assert_eq!(image.config, config("linux/amd64", &layers("x")));
        let pinned = format!("{}@{}", pushed.strip_suffix(":v1").unwrap(), image.manifest_digest.unwrap());
        assert_eq!(assert_image(&pinned, &plain_http(), &layers("x")).await, image);
    }
}

#[tokio::test]
async fn dockers_own_manifests_are_read_too() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), Registry::start(Admission::Anyone));
    let source = Layout::with_image(dir.path(), "v1", &layers("x"), Packing::Gzip).source(None);
    let pushed = registry.source("app");
    skopeo_copy(&source, &pushed, &["--format", "v2s2"]);
    let image = assert_image(&pushed, &plain_http(), &layers("x")).await;
    let digest = image.manifest_digest.unwrap().to_string();
    let manifest = fs::read_to_string(registry.blob_path(&digest)).unwrap();
    assert!(manifest.contains("application/vnd.docker.distribution.manifest.v2+json"));
}

#[tokio::test]
async fn a_password_opens_a_registry_that_asks_for_one() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), Registry::start(Admission::Password));
    let source = Layout::with_image(dir.path(), "v1", &layers("x"), Packing::Gzip).source(None);
    let pushed = registry.source("private/app:v1");
    skopeo_copy(&source, &pushed, &["--dest-creds", &format!("{USER}:{PASSWORD}")]);
    let with = |password| SourceOptions {
        credentials: CredentialFiles::new([registry.docker_config(password)]),
        ..plain_http()
    };
    assert_image(&pushed, &with(PASSWORD), &layers("x")).await;
    let error = resolve_error(&pushed, &plain_http()).await;
    assert!(matches!(error, SourceError::Denied { .. }), "{error}");
    assert!(error.to_string().contains("none are stored"), "{error}");
    assert_eq!(error.hint().unwrap(), format!("log in with: docker login {}", registry.host()));
    let error = resolve_error(&pushed, &with("wrong")).await;
    assert!(error.to_string().contains("with the stored credentials"), "{error}");
    assert!(!format!("{error:?}").contains("wrong"), "{error:?}");
}

#[tokio::test]
async fn a_registry_with_its_own_certificate_is_read_by_who_trusts_it() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), Registry::start(Admission::Tls));
    let source = Layout::with_image(dir.path(), "v1", &layers("x"), Packing::Gzip).source(None);
    let pushed = registry.source("app:v1");
    skopeo_copy(&source, &pushed, &[]);
    let https = SourceOptions { access: RegistryAccess::Https, ..plain_http() };
    let error = resolve_error(&pushed, &https).await;
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error}");
    let trusting = SourceOptions { root_certificates: vec![registry.certificate()], ..https };
    assert_image(&pushed, &trusting, &layers("x")).await;
}

#[tokio::test]
async fn an_index_of_two_platforms_gives_each_its_own() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), Registry::start(Admission::Anyone));
    let layout = Layout::create(dir.path());
    let entries = ["linux/amd64", "linux/arm64"]
        .map(|platform| for_platform(layout.image(platform, &layers(platform), Packing::Gzip), platform));
    layout.index(&[tagged(layout.nested_index(&entries), "v1")]);
    let pushed = registry.source("multi:v1");
    skopeo_copy(&layout.source(Some("v1")), &pushed, &["--all"]);
    for platform in ["linux/amd64", "linux/arm64"] {
        let source = open(&pushed, &plain_http()).await.unwrap();
        let image = source.resolve(&platform.parse().unwrap()).await.unwrap();
        assert_eq!(image.config, config(platform, &layers(platform)));
        assert!(read_layer(source.as_ref(), &image.layers[0]).await.unwrap() == layers(platform)[0]);
    }
    let source = open(&pushed, &plain_http()).await.unwrap();
    let error = source.resolve(&"linux/riscv64".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.to_string(), "no image for linux/riscv64; there is: linux/amd64, linux/arm64");
}

#[tokio::test]
async fn what_is_not_in_the_registry_is_named() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), Registry::start(Admission::Anyone));
    let source = Layout::with_image(dir.path(), "v1", &layers("x"), Packing::Gzip).source(None);
    skopeo_copy(&source, &registry.source("app:v1"), &[]);
    for missing in ["app:v2", "nothing:v1"] {
        let error = resolve_error(&registry.source(missing), &plain_http()).await;
        assert!(matches!(error, SourceError::NotInRegistry { .. }), "{error}");
        let (repository, tag) = missing.split_once(':').unwrap();
        assert!(error.to_string().contains(&format!("{repository}/manifests/{tag}")), "{error}");
    }
    // A blob that the registry lost is an error before the first byte.
    let opened = open(&registry.source("app:v1"), &plain_http()).await.unwrap();
    let image = opened.resolve(&amd64()).await.unwrap();
    let lost = image.layers[0].digest.unwrap().to_string();
    fs::remove_file(registry.blob_path(&lost)).unwrap();
    assert!(opened.layer(&image.layers[0]).await.is_err());
    // One that it damaged, after the last.
    let damaged = registry.blob_path(&image.layers[1].digest.unwrap().to_string());
    let mut bytes = fs::read(&damaged).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let error = read_layer(opened.as_ref(), &image.layers[1]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
}

#[tokio::test]
async fn a_registry_out_of_reach_is_named_with_the_reason() {
    let registry = Registry::start(Admission::Anyone);
    let host = registry.host();
    let source = registry.source("app:v1");
    // TLS to a registry that speaks plain HTTP.
    let https = SourceOptions { access: RegistryAccess::Https, ..plain_http() };
    let error = resolve_error(&source, &https).await;
    assert!(error.to_string().contains(&host), "{error}");
    assert!(error.hint().unwrap().contains("--plain-http"));
    drop(registry);
    let error = resolve_error(&source, &plain_http()).await;
    assert_eq!(error.to_string(), format!("cannot reach registry {host}"));
    let mut reasons = String::new();
    let mut next = std::error::Error::source(&error);
    while let Some(reason) = next {
        reasons += &reason.to_string();
        next = reason.source();
    }
    assert!(reasons.contains("Connection refused"), "{reasons}");
    assert_eq!(source.strip_prefix("docker://").unwrap().parse::<Reference>().unwrap().host(), host);
}
