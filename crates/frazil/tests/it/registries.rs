//! The registry that other tests push to is a real one.

use tempfile::TempDir;

use crate::support::registry::Registry;
use crate::support::tool::{run, tool};
use crate::support::{image::Image, images};

#[test]
fn what_is_pushed_to_the_registry_can_be_pulled_again_unchanged() {
    let (registry, directory) = (Registry::start(), TempDir::new().unwrap());
    let image = images::debian_python();
    let source = registry.push(&image, "debian/python:3");

    let options = ["copy", "--quiet", "--preserve-digests", "--src-tls-verify=false"];
    let pulled = Image::new(directory.path(), "pulled");
    run(tool("skopeo").args(options).arg(source).arg(pulled.source()));
    assert_eq!(pulled.layers(), image.layers());
    assert_eq!(pulled.config(), image.config());
}

#[test]
fn the_registry_tells_which_blobs_were_asked_for() {
    let registry = Registry::start();
    let source = registry.push(&images::debian(), "debian:base");
    let pushed = registry.requests().len();

    run(tool("skopeo").args(["inspect", "--tls-verify=false", &source]));
    let requests = registry.requests();
    let asked = &requests[pushed..];
    assert!(asked.contains(&"GET /v2/debian/manifests/base 200".to_owned()), "{asked:?}");
    let layer = &images::debian().layers()[0].digest;
    assert!(!asked.iter().any(|request| request.contains(layer)), "inspecting read a layer: {asked:?}");
}

#[test]
fn two_registries_run_side_by_side_and_end_with_their_values() {
    let (one, two) = (Registry::start(), Registry::start());
    assert_ne!(one.address(), two.address());
    let address = one.address().to_owned();
    drop(one);
    std::net::TcpStream::connect(&address).expect_err("a dropped registry still listens");
    std::net::TcpStream::connect(two.address()).expect("the other one goes on");
}
