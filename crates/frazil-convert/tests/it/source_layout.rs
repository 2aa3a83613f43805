//! Images in OCI layouts, those of real builders and forged ones.

use std::fs;
use std::io::Read;

use frazil_convert::source::{
    self, Digest, LayerCompression, LayerDescriptor, Platform, ResolvedImage, Source, SourceError,
    SourceOptions, SourceSpec, Verified,
};
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::images::{Layout, OCI_CONFIG, OCI_MANIFEST, Packing, config, for_platform, layers, tagged, tar};
use crate::tools::{run, tool};

pub(crate) fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

pub(crate) async fn open(text: &str, options: &SourceOptions) -> Result<Box<dyn Source>, SourceError> {
    source::open(&text.parse::<SourceSpec>()?, options).await
}

/// Resolves a source that needs no options.
pub(crate) async fn resolve(text: &str, platform: &str) -> Result<ResolvedImage, SourceError> {
    open(text, &SourceOptions::default()).await?.resolve(&platform.parse()?).await
}

/// Reads a layer to its end, verified, and unpacks it.
pub(crate) async fn read_layer(source: &dyn Source, layer: &LayerDescriptor) -> std::io::Result<Vec<u8>> {
    let mut blob = Vec::new();
    let stream = source.layer(layer).await?;
    Verified::layer(stream, layer).read_to_end(&mut blob).await?;
    let mut tar = Vec::new();
    match layer.compression {
        LayerCompression::None => tar = blob,
        LayerCompression::Gzip => {
            flate2::read::MultiGzDecoder::new(blob.as_slice()).read_to_end(&mut tar)?;
        }
        LayerCompression::Zstd => tar = zstd::decode_all(blob.as_slice())?,
    }
    assert_eq!(Digest::of(&tar).as_bytes(), layer.diff_id.as_bytes(), "the diff id of the layer");
    Ok(tar)
}

/// Reads an image and asserts that its layers are these tar streams.
pub(crate) async fn assert_image(text: &str, options: &SourceOptions, expected: &[Vec<u8>]) -> ResolvedImage {
    let source = open(text, options).await.unwrap();
    let image = source.resolve(&amd64()).await.unwrap();
    assert_eq!(image.layers.len(), expected.len());
    for (index, (layer, expected)) in image.layers.iter().zip(expected).enumerate() {
        assert_eq!(layer.index, index);
        assert!(read_layer(source.as_ref(), layer).await.unwrap() == *expected, "the bytes of layer {index}");
    }
    image
}

#[tokio::test]
async fn a_layout_gives_its_image_in_every_compression() {
    let dir = tempfile::tempdir().unwrap();
    for packing in Packing::ALL {
        let dir = dir.path().join(format!("{packing:?}"));
        let layout = Layout::with_image(&dir, "v1", &layers("x"), packing);
        for source in [layout.source(None), layout.source(Some("v1"))] {
            let image = assert_image(&source, &SourceOptions::default(), &layers("x")).await;
            assert_eq!(image.config, config("linux/amd64", &layers("x")));
            let manifest = fs::read(layout.blob_path(&image.manifest_digest.unwrap().to_string())).unwrap();
            assert_eq!(Digest::of(&manifest), image.manifest_digest.unwrap());
        }
    }
}

#[tokio::test]
async fn an_image_that_umoci_built_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    let image = format!("{}:built", layout.display());
    fs::write(dir.path().join("hello"), "hello from umoci").unwrap();
    run(tool("umoci", "umoci").arg("init").arg("--layout").arg(&layout));
    run(tool("umoci", "umoci").args(["new", "--image", &image]));
    let empty = resolve(&format!("oci:{image}"), &Platform::host().to_string()).await.unwrap();
    assert_eq!(empty.layers, [], "an image without a layer is an image");
    for target in ["/first", "/second"] {
        let file = dir.path().join("hello");
        run(tool("umoci", "umoci").args(["insert", "--image", &image]).arg(file).arg(target));
    }
    let source = open(&format!("oci:{image}"), &SourceOptions::default()).await.unwrap();
    let resolved = source.resolve(&Platform::host()).await.unwrap();
    assert_eq!(resolved.layers.len(), 2);
    let layer = read_layer(source.as_ref(), &resolved.layers[1]).await.unwrap();
    // umoci inserts one file a layer, and leaves out the tar stream's last padding.
    let mut archive = tar::Archive::new(layer.as_slice());
    let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
    let mut content = String::new();
    entry.read_to_string(&mut content).unwrap();
    assert_eq!((entry.path_bytes().as_ref(), content.as_str()), (&b"second"[..], "hello from umoci"));
}

#[tokio::test]
async fn the_wanted_platform_is_chosen_and_a_missing_one_named() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path());
    let image = |arch: &str| layout.image(&format!("linux/{arch}"), &layers(arch), Packing::Gzip);
    let attestation = layout.image("unknown/unknown", &layers("proof"), Packing::Gzip);
    let index = layout.nested_index(&[
        for_platform(image("amd64"), "linux/amd64"),
        for_platform(image("arm64"), "linux/arm64/v8"),
        for_platform(attestation, "unknown/unknown"),
    ]);
    let nested = layout.nested_index(std::slice::from_ref(&index));
    layout.index(&[tagged(index, "flat"), tagged(nested.clone(), "nested")]);
    for tag in ["flat", "nested"] {
        let source = layout.source(Some(tag));
        let arm = resolve(&source, "linux/arm64").await.unwrap();
        assert_eq!(arm.config, config("linux/arm64", &layers("arm64")));
        assert_eq!(*arm.layers[0].diff_id.as_bytes(), *Digest::of(&layers("arm64")[0]).as_bytes());
        let error = resolve(&source, "linux/s390x").await.unwrap_err();
        assert_eq!(error.to_string(), "no image for linux/s390x; there is: linux/amd64, linux/arm64");
        assert_eq!(error.hint().unwrap(), "pass --platform linux/amd64");
    }
    // An image that stands alone is not taken for another machine's either.
    layout.index(&[image("arm64")]);
    let error = resolve(&layout.source(None), "linux/amd64").await.unwrap_err();
    assert!(matches!(error, SourceError::MissingPlatform { .. }), "{error}");
    // Deeper nesting than any builder's ends.
    let deep = (0..4).fold(nested, |index, _| layout.nested_index(&[index]));
    layout.index(&[deep]);
    let error = resolve(&layout.source(None), "linux/amd64").await.unwrap_err();
    assert!(matches!(error, SourceError::UnsupportedManifest { .. }), "{error}");
}

#[tokio::test]
async fn a_tag_is_needed_where_there_are_several_and_must_be_one_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path());
    let images =
        ["one", "two"].map(|tag| tagged(layout.image("linux/amd64", &layers(tag), Packing::Plain), tag));
    layout.index(&images);
    let error = resolve(&layout.source(None), "linux/amd64").await.unwrap_err();
    assert!(error.to_string().ends_with("choose one of: one, two"), "{error}");
    let error = resolve(&layout.source(Some("three")), "linux/amd64").await.unwrap_err();
    assert!(error.to_string().ends_with("has no image 'three'; it has: one, two"), "{error}");
    let two = resolve(&layout.source(Some("two")), "linux/amd64").await.unwrap();
    assert_eq!(*two.layers[0].diff_id.as_bytes(), *Digest::of(&layers("two")[0]).as_bytes());
}

#[tokio::test]
async fn one_tag_on_two_images_is_not_guessed_at_and_a_digest_chooses() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path());
    let image = |seed: &str| layout.image("linux/amd64", &layers(seed), Packing::Plain);
    let (old, new) = (tagged(image("old"), "v1"), tagged(image("new"), "v1"));
    let digest = |image: &serde_json::Value| image["digest"].as_str().unwrap().to_owned();
    // Said to be for the same platform, they are told apart no better.
    let both = [old.clone(), new.clone()];
    for entries in [both.clone(), both.clone().map(|image| for_platform(image, "linux/amd64"))] {
        layout.index(&entries);
        for source in [layout.source(None), layout.source(Some("v1"))] {
            let error = resolve(&source, "linux/amd64").await.unwrap_err();
            let told = format!(
                "{} holds several images of the name 'v1': {}, {}",
                layout.source(None),
                digest(&old),
                digest(&new)
            );
            assert_eq!(error.to_string(), told);
            let hint = format!("choose by digest, for example {}:@{}", layout.source(None), digest(&old));
            assert_eq!(error.hint().unwrap(), hint);
        }
        for chosen in [&old, &new] {
            let image = resolve(&layout.source(Some(&format!("@{}", digest(chosen)))), "linux/amd64").await;
            assert_eq!(image.unwrap().manifest_digest.unwrap().to_string(), digest(chosen));
        }
    }
    let absent = Digest::of(b"another");
    let error = resolve(&layout.source(Some(&format!("@{absent}"))), "linux/amd64").await.unwrap_err();
    let mut there = [digest(&old), digest(&new)];
    there.sort();
    assert!(error.to_string().ends_with(&format!("'@{absent}'; it has: {}", there.join(", "))), "{error}");
    // Named twice, it is still one image; images without any name have digests.
    layout.index(&[old.clone(), old.clone()]);
    resolve(&layout.source(Some("v1")), "linux/amd64").await.unwrap();
    layout.index(&[image("old"), image("new")]);
    let error = resolve(&layout.source(None), "linux/amd64").await.unwrap_err();
    assert!(error.to_string().contains("several images without a name: sha256:"), "{error}");
}

#[tokio::test]
async fn images_of_one_tag_for_different_machines_are_one_image_also_where_only_their_configs_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path());
    let images = ["amd64", "arm64"]
        .map(|arch| (arch, layout.image(&format!("linux/{arch}"), &layers(arch), Packing::Gzip)));
    let silent = images.clone().map(|(_, image)| tagged(image, "v1"));
    let said =
        images.clone().map(|(arch, image)| for_platform(tagged(image, "v1"), &format!("linux/{arch}")));
    for entries in [silent, said] {
        layout.index(&entries);
        for (arch, image) in &images {
            let found = resolve(&layout.source(Some("v1")), &format!("linux/{arch}")).await.unwrap();
            assert_eq!(found.manifest_digest.unwrap().to_string(), image["digest"]);
        }
        let error = resolve(&layout.source(Some("v1")), "linux/s390x").await.unwrap_err();
        assert_eq!(error.to_string(), "no image for linux/s390x; there is: linux/amd64, linux/arm64");
    }
}

#[tokio::test]
async fn bytes_that_are_not_the_named_ones_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::with_image(dir.path(), "v1", &layers("x"), Packing::Gzip);
    let source = layout.source(None);
    let image = resolve(&source, "linux/amd64").await.unwrap();
    let flip = |digest: Digest| {
        let path = layout.blob_path(&digest.to_string());
        let mut bytes = fs::read(&path).unwrap();
        bytes[20] ^= 1;
        fs::write(path, bytes).unwrap();
    };

    let layer = image.layers[0].digest.unwrap();
    flip(layer);
    let opened = open(&source, &SourceOptions::default()).await.unwrap();
    let error = read_layer(opened.as_ref(), &image.layers[0]).await.unwrap_err();
    assert!(error.to_string().contains("instead of"), "{error}");
    fs::write(layout.blob_path(&layer.to_string()), b"short").unwrap();
    let error = read_layer(opened.as_ref(), &image.layers[0]).await.unwrap_err();
    assert!(error.to_string().starts_with("5 bytes instead of"), "{error}");
    fs::remove_file(layout.blob_path(&layer.to_string())).unwrap();
    assert!(matches!(opened.layer(&image.layers[0]).await, Err(SourceError::MissingEntry { .. })));

    for victim in [Digest::of(&image.config), image.manifest_digest.unwrap()] {
        flip(victim);
        let error = resolve(&source, "linux/amd64").await.unwrap_err();
        assert!(matches!(error, SourceError::Corrupt { .. }), "{error}");
        flip(victim);
    }
}

#[tokio::test]
async fn a_fifo_in_the_place_of_a_blob_does_not_hang_its_reader() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::with_image(dir.path(), "v1", &layers("x"), Packing::Gzip);
    let config = layout.blob_path(&Digest::of(&config("linux/amd64", &layers("x"))).to_string());
    fs::remove_file(&config).unwrap();
    run(tool("mkfifo", "coreutils").arg(&config));
    let error = resolve(&layout.source(None), "linux/amd64").await.unwrap_err();
    assert!(matches!(error, SourceError::BadEntry { .. }), "{error}");
}

#[tokio::test]
async fn manifests_that_cannot_be_used_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path());
    let one = vec![tar(&[("a", b"b")])];
    let image_config = layout.blob(OCI_CONFIG, &config("linux/amd64", &one));
    let layer = layout.blob(Packing::Plain.media_type(), &one[0]);
    let with = |key: &str, value: serde_json::Value| {
        let mut changed = layer.clone();
        changed[key] = value;
        layout.manifest(&image_config, &[changed])
    };
    let schema1 = layout.blob("", br#"{"schemaVersion":1,"name":"x","fsLayers":[]}"#);
    let mut huge = image_config.clone();
    huge["size"] = json!(9 << 20);
    let mut chart = image_config.clone();
    chart["mediaType"] = json!("application/vnd.cncf.helm.config.v1+json");
    for (manifest, reason) in [
        (layout.manifest(&image_config, &[]), "the manifest has 0 layers but the config has 1 diff ids"),
        (
            with("mediaType", json!("application/vnd.oci.image.layer.nondistributable.v1.tar")),
            "foreign layer",
        ),
        (with("mediaType", json!("application/x-new")), "unsupported media type 'application/x-new'"),
        (with("digest", json!(format!("sha512:{}", "0".repeat(128)))), "only sha256 is"),
        (with("digest", json!("sha256:../../../etc/passwd")), "is not a digest"),
        (with("size", json!(-1)), "malformed manifest"),
        (with("digest", json!(7)), "malformed manifest"),
        (schema1, "schema 1"),
        (layout.manifest(&huge, std::slice::from_ref(&layer)), "over the limit of 8388608"),
        (layout.manifest(&chart, std::slice::from_ref(&layer)), "it is no container image"),
        (layout.blob(OCI_MANIFEST, b"[]"), "malformed manifest"),
        (layout.blob(OCI_MANIFEST, &vec![b' '; (4 << 20) + 1]), "over the limit of 4194304"),
    ] {
        layout.index(&[manifest]);
        let error = resolve(&layout.source(None), "linux/amd64").await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn a_directory_that_is_no_layout_is_called_that() {
    let dir = tempfile::tempdir().unwrap();
    let source = format!("oci:{}", dir.path().display());
    assert!(matches!(resolve(&source, "linux/amd64").await, Err(SourceError::NotALayout { .. })));
    fs::write(dir.path().join("oci-layout"), r#"{"imageLayoutVersion":"7"}"#).unwrap();
    assert!(matches!(resolve(&source, "linux/amd64").await, Err(SourceError::NotALayout { .. })));
    fs::write(dir.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    assert!(matches!(resolve(&source, "linux/amd64").await, Err(SourceError::MissingEntry { .. })));
    fs::write(dir.path().join("index.json"), r#"{"schemaVersion":2}"#).unwrap();
    assert!(resolve(&source, "linux/amd64").await.is_err());
}
