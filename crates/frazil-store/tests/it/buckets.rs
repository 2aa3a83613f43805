//! A store in a bucket, behind a real HTTP server that speaks S3.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use frazil_format::{BundleId, ChunkId, ManifestId};
use frazil_store::{ErrorClass, Put, Store, StoreError, StoreLocation, StoreOptions};

use crate::namespace::block_on;
use crate::scene::{ROOT, image, publish, sealed};

/// Tells a child of this test program which store to use.
pub(crate) const BUCKET: &str = "FRAZIL_TEST_BUCKET";

/// How often, and so for how long in steps of 100 ms, the server is waited for.
const MAX_KNOCKS: usize = 300;

/// An S3 server that is gone when the story ends.
pub(crate) struct S3Server {
    process: Child,
    port: u16,
}

impl S3Server {
    pub(crate) fn start() -> Self {
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

    pub(crate) fn make_bucket(&self, bucket: &str) {
        let answer = asked(&format!("127.0.0.1:{}", self.port), "PUT", &format!("/{bucket}"));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Runs a test of this program against the server, in a process that has its address in the environment.
    pub(crate) fn run(&self, test: &str, store: &str) {
        self.run_with(test, store, &[("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")]);
    }

    fn run_with(&self, test: &str, store: &str, environment: &[(&str, &str)]) {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(BUCKET, store)
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success() && said.contains("test result: ok. 1 passed"), "{said}");
    }
}

/// The store that a test is to use, which runs in a process that has a server's address in its environment; `None` in the
/// process that has started that one, and has seen it pass.
pub(crate) fn in_a_bucket(test: &str, store: &str) -> Option<StoreLocation> {
    if let Some(location) = std::env::var_os(BUCKET) {
        return Some(location.to_str().unwrap().parse().unwrap());
    }
    let server = S3Server::start();
    server.make_bucket("images");
    server.run(test, store);
    None
}

/// Passes connections on to a server; returns where to connect to. It ends with the process.
fn pass_on_to(upstream: &str, pass_on: impl Fn(TcpStream, TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (upstream, pass_on) = (upstream.to_owned(), Arc::new(pass_on));
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let (server, pass_on) = (TcpStream::connect(&upstream).unwrap(), Arc::clone(&pass_on));
            std::thread::spawn(move || pass_on(client, server));
        }
    });
    address
}

/// What a server answers to a request without a body.
fn asked(host: &str, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_bucket_keeps_what_a_directory_keeps() {
    let Some(location) =
        in_a_bucket("buckets::a_bucket_keeps_what_a_directory_keeps", "s3://images/some/prefix")
    else {
        return;
    };
    block_on(async {
        let options = StoreOptions::default();
        let error = Store::open(&location, &options).await.unwrap_err();
        assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
        let store = Store::open_or_create(&location, &options).await.unwrap();
        assert_eq!(store.active_root().await.unwrap(), ROOT);
        assert_eq!(store.to_string(), "s3://images/some/prefix");

        crate::profiles::are_kept_and_dropped(&store).await;
        crate::starters::bring_an_image_along_with_its_name(&store).await;
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

#[test]
fn a_key_that_is_rotated_in_the_shared_file_is_used_without_opening_the_store_again() {
    let Some(location) = std::env::var_os(BUCKET) else {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("credentials");
        write_key(&file, "FIRST");
        let server = S3Server::start();
        server.make_bucket("images");
        server.run_with(
            "buckets::a_key_that_is_rotated_in_the_shared_file_is_used_without_opening_the_store_again",
            "s3://images",
            &[("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap()), ("AWS_PROFILE", "work")],
        );
        return;
    };
    let file = std::env::var("AWS_SHARED_CREDENTIALS_FILE").unwrap();
    let witness = Witness::start(std::env::var("AWS_ENDPOINT_URL").unwrap().strip_prefix("http://").unwrap());
    // SAFETY: this process runs this test alone, and no other thread looks at the environment meanwhile.
    unsafe { std::env::set_var("AWS_ENDPOINT_URL", format!("http://{}", witness.address)) };
    let location = location.to_str().unwrap().parse().unwrap();
    block_on(async {
        let store = Store::open_or_create(&location, &StoreOptions::default()).await.unwrap();
        assert!(witness.saw("Credential=FIRST/") && !witness.saw("Credential=SECOND/"));
        write_key(file.as_ref(), "SECOND");
        store.active_root().await.unwrap();
        assert!(witness.saw("Credential=SECOND/"));
    });
}

#[test]
fn a_chunk_is_put_although_a_connection_breaks() {
    let Some(location) = in_a_bucket("buckets::a_chunk_is_put_although_a_connection_breaks", "s3://images")
    else {
        return;
    };
    let upstream = std::env::var("AWS_ENDPOINT_URL").unwrap();
    for (seed, breaks) in [(1, Breaks::BeforeTheServer), (2, Breaks::BeforeTheAnswer)] {
        let breaker = Breaker::start(upstream.strip_prefix("http://").unwrap(), breaks);
        // SAFETY: this process runs this test alone, and no other thread looks at the environment meanwhile.
        unsafe { std::env::set_var("AWS_ENDPOINT_URL", format!("http://{}", breaker.address)) };
        block_on(async {
            let store = Store::open_or_create(&location, &StoreOptions::default()).await.unwrap();
            let chunk = sealed(300_000, seed);
            store.put_chunk(ROOT, &chunk.id, &chunk.chunk).await.unwrap();
            assert!(breaker.has_broken.load(Relaxed), "{breaks:?}");
            assert_eq!(store.get_chunk(ROOT, &chunk.id).await.unwrap(), chunk.chunk);
        });
    }
}

#[test]
fn a_bundle_that_is_given_up_leaves_no_parts_in_a_bucket() {
    let Some(location) =
        in_a_bucket("buckets::a_bundle_that_is_given_up_leaves_no_parts_in_a_bucket", "s3://images")
    else {
        return;
    };
    let uploads = || {
        let endpoint = std::env::var("AWS_ENDPOINT_URL").unwrap();
        let answer = asked(endpoint.strip_prefix("http://").unwrap(), "GET", "/images?uploads");
        answer.matches("<Upload>").count()
    };
    block_on(async {
        let store = Store::open_or_create(&location, &StoreOptions::default()).await.unwrap();
        let (manifest, id) = (ManifestId::from_bytes([3; 32]), BundleId::from_bytes([7; 32]));
        let mut writer = store.write_bundle(ROOT, &manifest, &id);
        for _ in 0..20 {
            writer.write(vec![7; 1 << 20].into()).await.unwrap();
        }
        assert_eq!(uploads(), 1, "it is under way");
        drop(writer);
        for _ in 0..MAX_KNOCKS {
            if uploads() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("its parts are still there");
    });
}

fn write_key(file: &std::path::Path, key: &str) {
    let content = format!("[work]\naws_access_key_id = {key}\naws_secret_access_key = secret\n");
    std::fs::write(file, content).unwrap();
}

/// Passes requests on to a server, and remembers what they said.
struct Witness {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Witness {
    fn start(upstream: &str) -> Self {
        let seen = Arc::<Mutex<Vec<u8>>>::default();
        let written = seen.clone();
        let address = pass_on_to(upstream, move |mut client, mut server| {
            let (mut questions, mut answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut answers, &mut client));
            let mut piece = [0; 8192];
            while let Ok(len @ 1..) = questions.read(&mut piece) {
                written.lock().unwrap().extend_from_slice(&piece[..len]);
                server.write_all(&piece[..len]).unwrap();
            }
        });
        Self { address, seen }
    }

    fn saw(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).contains(text)
    }
}

/// Where a connection breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Breaks {
    BeforeTheServer,
    BeforeTheAnswer,
}

/// Passes requests on to a server, but for the first that puts a chunk, whose connection it resets.
struct Breaker {
    address: SocketAddr,
    has_broken: Arc<AtomicBool>,
}

impl Breaker {
    fn start(upstream: &str, breaks: Breaks) -> Self {
        let has_broken = Arc::new(AtomicBool::new(false));
        let broken = has_broken.clone();
        let address =
            pass_on_to(upstream, move |client, server| until_it_breaks(&client, &server, breaks, &broken));
        Self { address, has_broken }
    }
}

/// Passes on what both sides say in turns, until the connection has to break.
fn until_it_breaks(client: &TcpStream, server: &TcpStream, breaks: Breaks, broken: &AtomicBool) {
    let mut answers = server.try_clone().unwrap();
    let (is_awaited, to_client) = (Arc::new(AtomicBool::new(false)), client.try_clone().unwrap());
    let to_break = is_awaited.clone();
    std::thread::spawn(move || {
        let (mut to_client, mut piece) = (to_client, [0; 8192]);
        while let Ok(len @ 1..) = answers.read(&mut piece) {
            if to_break.load(Relaxed) {
                return reset(&to_client);
            }
            let _ = to_client.write_all(&piece[..len]);
        }
    });
    let (mut questions, mut to_server, mut piece) = (client, server, [0; 8192]);
    while let Ok(len @ 1..) = questions.read(&mut piece) {
        let said = String::from_utf8_lossy(&piece[..len]);
        if said.starts_with("PUT ") && said.contains("/chunks/") && !broken.swap(true, Relaxed) {
            match breaks {
                Breaks::BeforeTheServer => return reset(client),
                Breaks::BeforeTheAnswer => is_awaited.store(true, Relaxed),
            }
        }
        if to_server.write_all(&piece[..len]).is_err() {
            return;
        }
    }
}

/// Ends a connection so that the other side has an error of it.
fn reset(stream: &TcpStream) {
    rustix::net::connect_unspec(stream).unwrap();
}
