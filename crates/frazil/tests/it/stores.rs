//! An image in a bucket and an image that a web server publishes are the image in a directory, with the real
//! programs at both ends: conversion, verification, and a mount of each.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::difference::assert_same;
use crate::support::home::Home;
use crate::support::image::Image;
use crate::support::mount::{FACES, Mount};
use crate::support::server::Server;
use crate::support::tool::{run, tool};
use crate::support::tree::snapshot;
use crate::support::umoci::{add_layer, empty, unpack};

/// Says that a process of this test program has the S3 server's address in its environment.
const INSIDE: &str = "FRAZIL_TEST_INSIDE";

/// An image of one layer: several megabytes that do not compress, and this text.
fn image_with(directory: &Path, text: &str) -> Image {
    let (files, tar) = (directory.join("files"), directory.join("layer.tar"));
    fs::create_dir_all(files.join("usr/lib")).unwrap();
    fs::write(files.join("text"), text).unwrap();
    let mut state = 1_u64;
    for name in ["one", "two", "three", "four"] {
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .take(3 << 20)
        .collect();
        fs::write(files.join("usr/lib").join(name), bytes).unwrap();
    }
    run(tool("tar")
        .arg("-C")
        .arg(&files)
        .args(["--owner=0", "--group=0", "--format=ustar", "-cf"])
        .arg(&tar)
        .arg("."));
    add_layer(&empty(&directory.join("layout"), "empty"), &tar, "full")
}

/// How often an access log tells that a chunk was written.
fn chunk_puts(log: &Path) -> usize {
    let text = fs::read_to_string(log).unwrap();
    text.lines().filter(|line| line.contains("\"put\"") && line.contains("/chunks/")).count()
}

fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let server = Server::with_bucket("images");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .env("AWS_ENDPOINT_URL", format!("http://{}", server.address()))
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "us-east-1")
        .output()
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success() && said.contains("test result: ok. 1 passed"), "{said}");
    false
}

#[test]
fn an_image_is_converted_into_a_bucket_once_and_mounted_from_it() {
    if !is_inside("stores::an_image_is_converted_into_a_bucket_once_and_mounted_from_it") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let image = image_with(directory.path(), "first");
    let nowhere = Home::with_store_at(Path::new("s3://no-such-bucket/some/prefix"));
    let refused = nowhere.refuses(["convert", &image.source()]);
    refused.is(1, "there is no such bucket", "make the bucket with the tools of its service");
    nowhere.refuses(["images"]).is(1, "there is no store at s3://no-such-bucket", "frazil init");

    let home = Home::with_store_at(Path::new("s3://images/some/prefix"));
    let summary = home.convert(&image.source(), "app");
    assert!(summary["chunks_new"].as_u64().unwrap() > 10, "{summary}");

    // Another layer with almost the same files: what is there does not move.
    let (elsewhere, log) = (tempfile::tempdir().unwrap(), directory.path().join("access.jsonl"));
    let other = image_with(elsewhere.path(), "second");
    let words = ["--access-log", log.to_str().unwrap(), "convert", "--json", "--name", "other"];
    let summary = home.tells(words.into_iter().chain([other.source().as_str()]));
    assert!(summary["layers_ingested"] == 1 && summary["chunks_new"].as_u64().unwrap() <= 4, "{summary}");
    assert_eq!(summary["chunks_new"], chunk_puts(&log));

    home.verify("app");
    let expected = snapshot(&unpack(&image, &directory.path().join("bundle")));
    for face in FACES {
        let mount = home.mount("app", face);
        assert_same(&expected, &snapshot(mount.root()));
        mount.unmount();
    }
}

#[test]
fn a_store_that_a_web_server_publishes_mounts_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let image = image_with(directory.path(), "first");
    let origin = Home::new();
    origin.convert(&image.source(), "docker.io/some/app:1.0");
    let server = Server::web(origin.store());
    let url = format!("http://{}", server.address());
    let home = Home::with_store_at(Path::new(&url));
    let keys = origin.keys().to_str().unwrap();
    let refused = home.frazil(["inspect", "docker.io/some/app:1.0"]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("--allow-http"), "{said}");

    let expected = snapshot(&unpack(&image, &directory.path().join("bundle")));
    for face in FACES {
        let options = ["--allow-http", "--keys", keys, "--via", face];
        let mount = Mount::with(&home, "docker.io/some/app:1.0", &options);
        assert_same(&expected, &snapshot(mount.root()));
        mount.unmount();
    }
    let source = image.source();
    let shown = home.tells(["--allow-http", "inspect", "--json", "docker.io/some/app:1.0"]);
    assert!(shown["total"]["chunks"].as_u64() > Some(0), "{shown:#}");
    // A web server lists nothing, so there is no knowing what other images share.
    assert!(
        shown["total"]["shared_bytes"].is_null() && shown["total"]["tenants_bytes"].is_null(),
        "{shown:#}"
    );
    let written = home
        .frazil(["--allow-http", "--tenant", "other", "convert", "--name", "other", source.as_str()])
        .output();
    let written = written.unwrap();
    let said = String::from_utf8_lossy(&written.stderr);
    assert!(!written.status.success() && said.contains("read-only"), "{said}");
    let unknown = home.frazil(["--allow-http", "inspect", "nobody's"]).output().unwrap();
    let said = String::from_utf8_lossy(&unknown.stderr);
    assert!(!unknown.status.success() && said.contains("there is no image nobody's"), "{said}");
}
