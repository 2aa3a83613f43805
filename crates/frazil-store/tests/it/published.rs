//! A directory store behind a static web server that we did not write.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use frazil_format::ChunkId;
use frazil_store::{ErrorClass, PlainHttp, Store, StoreError, StoreLocation, StoreOptions};

use crate::namespace::block_on;
use crate::scene::{ROOT, Scene, image, publish, sealed};

/// How often, and so for how long in steps of 50 ms, the server is waited for.
const MAX_KNOCKS: usize = 400;

const ALLOWED: StoreOptions = StoreOptions { access_log: None, plain_http: PlainHttp::Allowed };

/// A web server that is gone when the story ends.
struct WebServer {
    process: Child,
    location: StoreLocation,
}

impl WebServer {
    fn publish(directory: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("python3")
            .args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"])
            .arg(directory)
            .arg(port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("this test needs a web server: install Debian's package python3");
        let location = format!("http://127.0.0.1:{port}/store/").parse().unwrap();
        let server = Self { process, location };
        for _ in 0..MAX_KNOCKS {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the web server does not start");
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A directory that is the document root of a server, with a store in it that has one image and one chunk.
async fn document_root() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = crate::scene::store_in(&directory.path().join("store")).await;
    (directory, store)
}

#[test]
fn a_published_directory_store_is_read_by_name() {
    block_on(async {
        let (directory, original) = document_root().await;
        let name = "docker.io/library/python:3.12";
        let reference = publish(&original, name, b"manifest").await;
        let chunk = sealed(300_000, 1);
        original.put_chunk(ROOT, &chunk.id, &chunk.chunk).await.unwrap();

        let server = WebServer::publish(directory.path());
        let store = Store::open(&server.location, &ALLOWED).await.unwrap();
        assert_eq!(store.id(), original.id());
        assert_eq!(store.reference("default", &image(name)).await.unwrap(), Some(reference));
        assert_eq!(store.reference("default", &image("nobody's")).await.unwrap(), None);
        assert_eq!(&*store.manifest(ROOT, &reference.manifest).await.unwrap(), b"manifest");
        assert_eq!(store.get_chunk(ROOT, &chunk.id).await.unwrap(), chunk.chunk);
        assert_eq!(store.contains_chunk(ROOT, &chunk.id).await.unwrap(), Some(chunk.chunk.len() as u64));
        let missing = store.get_chunk(ROOT, &ChunkId::of(b"missing")).await.unwrap_err();
        assert_eq!(missing.class(), ErrorClass::NotFound, "{missing}");
    });
}

#[test]
fn what_needs_more_than_reading_by_name_is_refused_and_says_so() {
    block_on(async {
        let (directory, original) = document_root().await;
        let reference = publish(&original, "app", b"manifest").await;
        let server = WebServer::publish(directory.path());
        let store = Store::open_or_create(&server.location, &ALLOWED).await.unwrap();
        let chunk = sealed(5000, 1);
        let refusals = [
            store.put_chunk(ROOT, &chunk.id, &chunk.chunk).await.map(drop).unwrap_err(),
            store.put_manifest(ROOT, &reference.manifest, "x".into()).await.unwrap_err(),
            store.publish("default", &image("app"), reference).await.unwrap_err(),
            store.unpublish("default", &image("app")).await.map(drop).unwrap_err(),
            store.active_root().await.map(drop).unwrap_err(),
            store.names("default").await.map(drop).unwrap_err(),
        ];
        for refusal in refusals {
            assert!(matches!(refusal, StoreError::ReadOnly { .. }), "{refusal:?}");
            assert_eq!(refusal.class(), ErrorClass::Denied);
            assert!(refusal.to_string().contains("read-only"), "{refusal}");
        }
    });
}

#[test]
fn where_no_store_is_published_none_is_made() {
    block_on(async {
        let scene = Scene::new().await;
        let server = WebServer::publish(scene.directory.path());
        let missing = Store::open(&server.location, &ALLOWED).await.unwrap_err();
        assert!(matches!(missing, StoreError::NotAStore { .. }), "{missing}");
        let refused = Store::open_or_create(&server.location, &ALLOWED).await.unwrap_err();
        assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
    });
}

#[test]
fn plain_http_is_refused_unless_it_is_allowed() {
    let location: StoreLocation = "http://127.0.0.1:9/store".parse().unwrap();
    let error = block_on(Store::open(&location, &StoreOptions::default())).unwrap_err();
    assert!(matches!(error, StoreError::PlainHttp { .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::Denied);
}
