//! A store in a bucket, behind a real HTTP server that speaks S3.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use frazil_format::ChunkId;
use frazil_store::{ErrorClass, Put, Store, StoreError, StoreOptions};

use crate::namespace::block_on;
use crate::scene::{ROOT, image, publish, sealed};

/// Tells a child of this test program which store to use.
const BUCKET: &str = "FRAZIL_TEST_BUCKET";

/// How often, and so for how long in steps of 100 ms, the server is waited for.
const MAX_KNOCKS: usize = 300;

/// An S3 server that is gone when the story ends.
struct S3Server {
    process: Child,
    port: u16,
}

impl S3Server {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("moto_server")
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("this test needs an S3 server: install moto[s3,server] from PyPI and have moto_server in PATH");
        let server = Self { process, port };
        for _ in 0..MAX_KNOCKS {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the S3 server does not start");
    }

    fn make_bucket(&self, bucket: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let host = format!("127.0.0.1:{}", self.port);
        write!(
            stream,
            "PUT /{bucket} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Runs a test of this program against the server, in a process that has its address in the environment.
    fn run(&self, test: &str, store: &str) {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(BUCKET, store)
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1")
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_bucket_keeps_what_a_directory_keeps() {
    let Some(location) = std::env::var_os(BUCKET) else {
        let server = S3Server::start();
        server.make_bucket("images");
        server.run("buckets::a_bucket_keeps_what_a_directory_keeps", "s3://images/some/prefix");
        return;
    };
    let location = location.to_str().unwrap().parse().unwrap();
    block_on(async {
        let options = StoreOptions::default();
        let error = Store::open(&location, &options).await.unwrap_err();
        assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
        let store = Store::open_or_create(&location, &options).await.unwrap();
        assert_eq!(store.active_root().await.unwrap(), ROOT);
        assert_eq!(store.to_string(), "s3://images/some/prefix");

        let chunk = sealed(300_000, 1);
        let puts =
            futures::future::join_all((0..8).map(|_| store.put_chunk(ROOT, &chunk.id, &chunk.chunk))).await;
        let puts: Vec<Put> = puts.into_iter().map(Result::unwrap).collect();
        assert_eq!(puts.iter().filter(|put| **put == Put::New).count(), 1, "{puts:?}");
        assert_eq!(store.get_chunk(ROOT, &chunk.id).await.unwrap(), chunk.chunk);
        let missing = store.get_chunk(ROOT, &ChunkId::of(b"missing")).await.unwrap_err();
        assert_eq!(missing.class(), ErrorClass::NotFound, "{missing}");

        let reference = publish(&store, "docker.io/library/python:3.12", b"manifest").await;
        let name = image("docker.io/library/python:3.12");
        assert_eq!(store.names("default").await.unwrap(), [(name.clone(), reference)]);
        let again = Store::open(&location, &options).await.unwrap();
        assert_eq!(
            (again.id(), again.reference("default", &name).await.unwrap()),
            (store.id(), Some(reference))
        );
        assert!(again.unpublish("default", &name).await.unwrap());
        assert_eq!(store.names("default").await.unwrap(), []);
    });
}

#[test]
fn a_bucket_that_is_not_there_is_said_to_be_missing() {
    let Some(location) = std::env::var_os(BUCKET) else {
        let server = S3Server::start();
        server.run("buckets::a_bucket_that_is_not_there_is_said_to_be_missing", "s3://nobodys");
        return;
    };
    let location = location.to_str().unwrap().parse().unwrap();
    let error = block_on(Store::open_or_create(&location, &StoreOptions::default())).unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound, "{error}");
    assert!(error.to_string().starts_with("cannot write roots/00000001/state.json"), "{error}");
}
