//! Images in tar files: OCI archives, and docker archives of every age.

use std::fs;
use std::path::Path;

use frazil_convert::source::{Digest, LayerCompression, SourceError, SourceOptions};
use serde_json::json;

use crate::images::{Layout, Packing, config, layers, tar};
use crate::source_layout::{assert_image, open, read_layer, resolve};
use crate::tools::{run, skopeo_copy, tool};

#[tokio::test]
async fn skopeo_carries_an_image_into_every_archive() {
    let dir = tempfile::tempdir().unwrap();
    for packing in Packing::ALL {
        let layout = dir.path().join(format!("{packing:?}"));
        let source = Layout::with_image(&layout, "v1", &layers("x"), packing).source(Some("v1"));
        for archive in ["oci-archive", "docker-archive"] {
            if packing == Packing::Zstd && archive == "docker-archive" {
                continue; // skopeo writes no zstd into a docker archive; docker itself does, see below
            }
            let to =
                format!("{archive}:{}/{packing:?}-{archive}.tar:example.org/app:v1", dir.path().display());
            skopeo_copy(&source, &to, &[]);
            let image = assert_image(&to, &SourceOptions::default(), &layers("x")).await;
            let alone = to.strip_suffix(":example.org/app:v1").unwrap();
            assert_eq!(assert_image(alone, &SourceOptions::default(), &layers("x")).await, image);
            let other = resolve(&format!("{alone}:example.org/app:v2"), "linux/amd64").await.unwrap_err();
            assert!(other.to_string().ends_with("it has: example.org/app:v1"), "{other}");
        }
    }
}

#[tokio::test]
async fn a_layout_that_tar_packed_is_an_oci_archive() {
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    Layout::with_image(&layout, "v1", &layers("x"), Packing::Zstd);
    for format in ["gnu", "pax", "ustar"] {
        let file = dir.path().join(format!("{format}.tar"));
        run(tool("tar", "tar")
            .arg(format!("--format={format}"))
            .arg("-cf")
            .arg(&file)
            .arg("-C")
            .arg(&layout)
            .arg("."));
        assert_image(&format!("oci-archive:{}:v1", file.display()), &SourceOptions::default(), &layers("x"))
            .await;
    }
}

#[tokio::test]
async fn compressed_and_cut_archives_are_refused_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    Layout::with_image(&layout, "v1", &layers("x"), Packing::Plain);
    let file = dir.path().join("image.tar");
    run(tool("tar", "tar").arg("-cf").arg(&file).arg("-C").arg(&layout).arg("."));
    let whole = fs::read(&file).unwrap();
    for transport in ["oci-archive", "docker-archive"] {
        let source = format!("{transport}:{}", file.display());
        for (bytes, tool) in
            [(Packing::Gzip.pack(&whole), "gunzip --keep"), (Packing::Zstd.pack(&whole), "zstd -d")]
        {
            fs::write(&file, bytes).unwrap();
            let error = resolve(&source, "linux/amd64").await.unwrap_err();
            assert!(matches!(error, SourceError::CompressedArchive { .. }), "{error}");
            assert!(error.hint().unwrap().contains(tool));
        }
        for length in [0, 100, 600, whole.len() / 2] {
            fs::write(&file, &whole[..length]).unwrap();
            let error = resolve(&source, "linux/amd64").await.unwrap_err();
            let clear = matches!(error, SourceError::BadArchive { .. } | SourceError::NotALayout { .. })
                || matches!(&error, SourceError::MissingEntry { name, .. } if name == "manifest.json")
                || matches!(error, SourceError::Io { .. });
            assert!(clear, "{length}: {error:?}");
        }
        let missing = format!("{transport}:{}/nothing.tar", dir.path().display());
        assert!(matches!(resolve(&missing, "linux/amd64").await, Err(SourceError::Io { .. })));
        let directory = format!("{transport}:{}", dir.path().display());
        assert!(resolve(&directory, "linux/amd64").await.is_err());
    }
}

/// A docker archive as `docker save` wrote it before version 25: one directory a layer, repeated layers as
/// links to their first.
fn old_docker_archive(file: &Path, images: &[(&str, Vec<Vec<u8>>)], link_target: Option<&str>) {
    let mut builder = tar::Builder::new(fs::File::create(file).unwrap());
    let add = |builder: &mut tar::Builder<fs::File>, name: &str, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content).unwrap();
    };
    let mut manifest = Vec::new();
    for (tag, layers) in images {
        let config = config("linux/amd64", layers);
        let config_name = format!("{}.json", Digest::of(&config).hex());
        add(&mut builder, &config_name, &config);
        let mut names: Vec<String> = Vec::new();
        for (index, layer) in layers.iter().enumerate() {
            let name = format!("{}-{index}/layer.tar", tag.replace(['/', ':'], "-"));
            let first = layers.iter().position(|other| other == layer).unwrap();
            if first < index || link_target.is_some() {
                let target = link_target.map_or_else(|| format!("../{}", names[first]), str::to_owned);
                let mut header = tar::Header::new_ustar();
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, &name, target).unwrap();
            } else {
                add(&mut builder, &name, layer);
            }
            names.push(name);
        }
        manifest.push(json!({"Config": config_name, "RepoTags": [tag], "Layers": names}));
    }
    add(&mut builder, "manifest.json", &serde_json::to_vec(&manifest).unwrap());
    builder.finish().unwrap();
}

#[tokio::test]
async fn an_old_docker_archive_has_several_images_and_linked_layers() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("saved.tar");
    let empty = tar(&[]);
    let one = vec![layers("one")[0].clone(), empty.clone(), empty.clone()];
    let two = vec![Packing::Plain.pack(&layers("two")[0])];
    old_docker_archive(&file, &[("debian:12", one.clone()), ("quay.io/a/b:v2", two.clone())], None);
    let source = format!("docker-archive:{}", file.display());
    let options = SourceOptions::default();
    for choice in ["debian:12", "docker.io/library/debian:12", "@0"] {
        let image = assert_image(&format!("{source}:{choice}"), &options, &one).await;
        assert_eq!(image.manifest_digest, None);
        assert_eq!(image.layers[0].compression, LayerCompression::None);
    }
    assert_image(&format!("{source}:@1"), &options, &two).await;
    let error = resolve(&source, "linux/amd64").await.unwrap_err();
    assert!(error.to_string().ends_with("choose one of: debian:12, quay.io/a/b:v2"), "{error}");
    let error = resolve(&format!("{source}:@2"), "linux/amd64").await.unwrap_err();
    assert!(matches!(error, SourceError::UnknownTag { .. }), "{error}");
    let error = resolve(&format!("{source}:@0"), "linux/arm64").await.unwrap_err();
    assert!(matches!(error, SourceError::MissingPlatform { .. }), "{error}");
}

#[tokio::test]
async fn a_link_in_a_docker_archive_reads_nothing_outside_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("evil.tar");
    fs::write(dir.path().join("secret"), "the host's own").unwrap();
    let source = format!("docker-archive:{}", file.display());
    let outside = dir.path().join("secret").display().to_string();
    for target in [outside.as_str(), "../../secret", "../secret", "../../../../../../etc/passwd"] {
        old_docker_archive(&file, &[("a:1", vec![tar(&[("x", b"y")])])], Some(target));
        let error = resolve(&source, "linux/amd64").await.unwrap_err();
        let refused = matches!(error, SourceError::BadEntry { .. } | SourceError::MissingEntry { .. });
        assert!(refused, "{target}: {error:?}");
    }
}

#[tokio::test]
async fn a_docker_archive_that_lies_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lie.tar");
    let source = format!("docker-archive:{}", file.display());
    let honest = config("linux/amd64", &layers("x"));
    let name = format!("{}.json", Digest::of(&honest).hex());
    let write = |config: &[u8], manifest: serde_json::Value| {
        let manifest = serde_json::to_vec(&manifest).unwrap();
        let layer = layers("x");
        let files: [(&str, &[u8]); 4] = [
            (&name, config),
            ("a/layer.tar", &layer[0]),
            ("b/layer.tar", &layer[1]),
            ("manifest.json", &manifest),
        ];
        fs::write(&file, tar(&files)).unwrap();
    };
    let manifest = |layers: &[&str]| json!([{"Config": name, "RepoTags": null, "Layers": layers}]);
    write(&honest, manifest(&["a/layer.tar", "b/layer.tar"]));
    assert_image(&source, &SourceOptions::default(), &layers("x")).await;
    write(&config("linux/amd64", &layers("y")), manifest(&["a/layer.tar", "b/layer.tar"]));
    assert!(matches!(resolve(&source, "linux/amd64").await, Err(SourceError::Corrupt { .. })));
    write(&honest, manifest(&["a/layer.tar"]));
    assert!(matches!(resolve(&source, "linux/amd64").await, Err(SourceError::LayerCount { .. })));
    write(&honest, manifest(&["a/layer.tar", "../b/layer.tar"]));
    assert!(matches!(resolve(&source, "linux/amd64").await, Err(SourceError::BadEntry { .. })));
    for malformed in [json!({}), json!([{}]), json!([]), json!(null)] {
        write(&honest, malformed.clone());
        assert!(resolve(&source, "linux/amd64").await.is_err(), "{malformed}");
    }
}

#[tokio::test]
async fn what_docker_saves_today_is_both_kinds_of_archive() {
    for (packing, compression) in
        [(Packing::Gzip, LayerCompression::Gzip), (Packing::Zstd, LayerCompression::Zstd)]
    {
        saved_by_docker(packing, compression).await;
    }
}

async fn saved_by_docker(packing: Packing, compression: LayerCompression) {
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    let written = Layout::with_image(&layout, "v1", &layers("x"), packing);
    let image = resolve(&written.source(None), "linux/amd64").await.unwrap();
    let name = |digest: Digest| format!("blobs/sha256/{}", digest.hex());
    let names: Vec<String> = image.layers.iter().map(|layer| name(layer.digest.unwrap())).collect();
    let manifest =
        json!([{"Config": name(Digest::of(&image.config)), "RepoTags": ["app:v1"], "Layers": names}]);
    fs::write(layout.join("manifest.json"), manifest.to_string()).unwrap();
    let file = dir.path().join("saved.tar");
    run(tool("tar", "tar").arg("-cf").arg(&file).arg("-C").arg(&layout).arg("."));
    for source in
        [format!("docker-archive:{}:app:v1", file.display()), format!("oci-archive:{}", file.display())]
    {
        let opened = open(&source, &SourceOptions::default()).await.unwrap();
        let read = opened.resolve(&"linux/amd64".parse().unwrap()).await.unwrap();
        assert_eq!(read.layers[0].compression, compression);
        assert_eq!(read.layers[0].digest, image.layers[0].digest);
        assert!(read_layer(opened.as_ref(), &read.layers[1]).await.unwrap() == layers("x")[1]);
    }
}
