//! The outage matrix of the origin: a directory store behind a web server and a bucket of an S3 server, both real,
//! behind a proxy that breaks what passes through it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use frazil_cache::conformance::Sample;
use frazil_cache::stack::{self, OriginOptions, OriginStack};
use frazil_cache::testing::{Fault, FaultProxy};
use frazil_cache::{ErrorClass, Memory, Tier};
use frazil_store::{PlainHttp, Store, StoreLocation, StoreOptions};
use futures::future::join_all;

use crate::stages::{PATIENCE, Scratch, chunks, read_all, scratch, until};

/// Says that a process of this test program runs with the S3 server's settings in its environment.
const INSIDE: &str = "FRAZIL_TEST_INSIDE";

/// How long a request has in all, and each attempt of it.
const DEADLINE: Duration = Duration::from_millis(1500);
const ATTEMPT: Duration = Duration::from_millis(300);

/// Readers who want what is not cached, all at once: more than there are slots and places in the queue.
const READERS: u64 = 40;
const SLOTS: usize = 4;
const QUEUE: usize = 16;

/// A server that is gone when the story ends.
pub(crate) struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(program: &str, hint: &str, arguments: impl FnOnce(u16) -> Vec<String>) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let process = Command::new(program)
            .args(arguments(address.port()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("this test needs {program}: {hint} ({error})"));
        let server = Self { process, address };
        for _ in 0..600 {
            if TcpStream::connect(address).is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{program} does not start");
    }

    fn web(directory: &Path) -> Self {
        let directory = directory.to_str().unwrap().to_owned();
        Self::start("python3", "install Debian's package python3", |port| {
            let fixed = ["-m", "http.server", "--bind", "127.0.0.1", "--directory"].map(str::to_owned);
            fixed.into_iter().chain([directory, port.to_string()]).collect()
        })
    }

    fn s3() -> Self {
        Self::start("moto_server", "install moto[s3,server] from PyPI", |port| {
            ["-H", "127.0.0.1", "-p", &port.to_string()].map(str::to_owned).into()
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A directory store that a web server publishes, behind a proxy.
pub(crate) struct Published {
    pub(crate) proxy: FaultProxy,
    pub(crate) store: Store,
    server: Server,
    directory: Scratch,
}

/// A store with these chunks that a web server publishes, behind a proxy.
pub(crate) async fn published(samples: impl Iterator<Item = &Sample>) -> Published {
    let directory = scratch();
    let location = StoreLocation::directory(directory.path()).unwrap();
    let origin = Store::open_or_create(&location, &StoreOptions::default()).await.unwrap();
    put_all(&origin, samples).await;
    let server = Server::web(directory.path());
    let proxy = FaultProxy::start(server.address).unwrap();
    let location = format!("http://{}", proxy.address()).parse().unwrap();
    let options = StoreOptions { plain_http: PlainHttp::Allowed, ..StoreOptions::default() };
    let store = Store::open(&location, &options).await.unwrap();
    Published { proxy, store, server, directory }
}

/// An origin behind a proxy, with memory over it.
struct Scene {
    proxy: FaultProxy,
    store: Store,
    cached: Vec<Sample>,
    absent: Vec<Sample>,
    _server: Server,
    _directory: Option<Scratch>,
}

impl Scene {
    /// A directory store that a web server publishes.
    async fn published() -> Self {
        let (cached, absent) = (chunks(0..4, 100_000), chunks(100..100 + READERS, 100_000));
        let Published { proxy, store, server, directory } = published(cached.iter().chain(&absent)).await;
        Self { proxy, store, cached, absent, _server: server, _directory: Some(directory) }
    }

    /// A bucket. Its provider reads the environment, so this process is one of its own.
    async fn bucket() -> Self {
        let (cached, absent) = (chunks(0..4, 100_000), chunks(100..100 + READERS, 100_000));
        let server = Server::s3();
        let proxy = FaultProxy::start(server.address).unwrap();
        // SAFETY: this process runs this test alone, and nothing reads the environment meanwhile.
        unsafe { std::env::set_var("AWS_ENDPOINT_URL", format!("http://{}", proxy.address())) };
        make_bucket(server.address);
        let location = "s3://images/prefix".parse().unwrap();
        let store = Store::open_or_create(&location, &StoreOptions::default()).await.unwrap();
        put_all(&store, cached.iter().chain(&absent)).await;
        Self { proxy, store, cached, absent, _server: server, _directory: None }
    }

    fn tiers(&self) -> (Arc<OriginStack>, Arc<Memory>) {
        let mut options = OriginOptions {
            deadline: DEADLINE,
            attempt_deadline: ATTEMPT,
            queue: QUEUE,
            seed: Some(1),
            ..OriginOptions::with_concurrency(SLOTS)
        };
        options.retry.longest_pause = Duration::from_millis(100);
        let stack = stack::origin(self.store.clone(), &options);
        (stack.clone(), Arc::new(Memory::new(stack, 64 << 20)))
    }

    /// One fault: what is cached is read, what is not is waited for in bounds, and all is well when it is over.
    async fn survives(&self, fault: Fault) {
        let (stack, memory) = self.tiers();
        read_all(&*memory, &self.cached).await;
        let tasks = alive_tasks();
        self.proxy.set(fault.clone());
        let readers: Vec<_> = self
            .absent
            .iter()
            .map(|sample| {
                let (memory, sample) = (memory.clone(), sample.clone());
                tokio::spawn(
                    async move { memory.get(&sample.wanted).await.map(|chunk| chunk == sample.chunk) },
                )
            })
            .collect();
        for _ in 0..20 {
            // A hit waits for no fetch: were one among these, this would take until the deadline.
            let hits = tokio::time::timeout(DEADLINE / 2, read_all(&*memory, &self.cached));
            hits.await.unwrap_or_else(|_| panic!("{fault:?}: a cached read waits behind a stuck one"));
            // A reader, its fetch, and what the HTTP client runs for it: a few tasks for each slot.
            let bound = tasks + 2 * self.absent.len() + 8 * SLOTS;
            assert!(alive_tasks() <= bound, "{fault:?}: {} tasks, {bound} allowed", alive_tasks());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // The bound is the deadline; the rest is what two cores take for forty readers.
        let readers = tokio::time::timeout(DEADLINE * 10, join_all(readers)).await;
        for answer in readers.unwrap_or_else(|_| panic!("{fault:?}: the deadline passed and readers wait")) {
            match answer.unwrap() {
                Ok(is_right) => assert!(is_right, "{fault:?}: wrong bytes"),
                Err(error) => assert!(
                    matches!(error.class(), ErrorClass::Transient | ErrorClass::Corrupt),
                    "{fault:?}: {error:?}"
                ),
            }
        }
        let counts = stack.counts();
        assert!(
            counts.slots.most_held <= SLOTS && counts.slots.most_waiting <= QUEUE,
            "{fault:?}: {counts:?}"
        );
        if matches!(fault, Fault::Corrupt { .. }) {
            assert!(counts.retry.corrupt > 0, "{counts:?}");
        }

        self.proxy.set(Fault::Pass);
        for sample in &self.absent {
            let again = async {
                // A fetch that began in the fault may still fail.
                while !memory.get(&sample.wanted).await.is_ok_and(|chunk| chunk == sample.chunk) {}
            };
            tokio::time::timeout(PATIENCE, again).await.unwrap_or_else(|_| panic!("{fault:?}: never again"));
        }
        until("nothing is under way", || {
            let slots = stack.counts().slots;
            slots.held == 0 && slots.waiting == 0
        })
        .await;
    }
}

/// What can be wrong between here and an origin.
fn faults() -> Vec<Fault> {
    vec![
        Fault::BlackHole,
        Fault::Reset { after_bytes: 10_000 },
        Fault::Truncate { after_bytes: 10_000 },
        Fault::Truncate { after_bytes: 0 },
        Fault::SlowDrip { bytes: 64, pause: Duration::from_millis(20) },
        Fault::Latency(Duration::from_millis(200)),
        Fault::Latency(Duration::from_secs(2)),
        Fault::Corrupt { every_bytes: 10_000 },
        Fault::Answer { status: 500, retry_after_s: None },
        Fault::Answer { status: 503, retry_after_s: None },
        Fault::Answer { status: 503, retry_after_s: Some(1) },
        Fault::Answer { status: 429, retry_after_s: Some(1) },
        Fault::Answer { status: 429, retry_after_s: Some(3600) },
    ]
}

async fn put_all(store: &Store, samples: impl Iterator<Item = &Sample>) {
    for Sample { wanted, chunk } in samples {
        store.put_chunk(wanted.root, &wanted.id, chunk).await.unwrap();
    }
}

fn make_bucket(server: SocketAddr) {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect(server).unwrap();
    write!(
        stream,
        "PUT /images HTTP/1.1\r\nHost: {server}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn alive_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

fn block_on(story: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(story);
}

/// Runs a test of this program again, in a process that has an S3 user's environment; says whether this is it.
fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
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
fn a_bucket_survives_every_fault_of_the_network() {
    if !is_inside("outage_origin::a_bucket_survives_every_fault_of_the_network") {
        return;
    }
    block_on(async {
        let scene = Scene::bucket().await;
        for fault in faults() {
            scene.survives(fault).await;
        }
    });
}

#[test]
fn one_layer_retries_and_a_store_that_asks_for_a_second_gets_it() {
    block_on(async {
        let scene = Scene::published().await;
        let mut options = OriginOptions { seed: Some(1), ..OriginOptions::default() };
        options.retry.attempts = 3;
        options.hedge.share = 0.0;
        let wanted = scene.absent[0].wanted;
        // The first read of a root looks at its state too; those that are counted need not.
        read_all(&*stack::origin(scene.store.clone(), &options), &scene.cached).await;
        for (retry_after_s, least) in [(None, Duration::ZERO), (Some(1), Duration::from_secs(2))] {
            scene.proxy.set(Fault::Answer { status: 503, retry_after_s });
            let stack = stack::origin(scene.store.clone(), &options);
            let (before, started) = (scene.proxy.counts().connections, std::time::Instant::now());
            let error = stack.get(&wanted).await.unwrap_err();
            assert_eq!(error.class(), ErrorClass::Transient, "{error:?}");
            assert_eq!(scene.proxy.counts().connections - before, 3, "as many requests as attempts");
            assert!(started.elapsed() >= least, "{:?}", started.elapsed());
        }
    });
}

#[test]
fn an_origin_that_comes_back_within_the_deadline_is_no_error() {
    block_on(async {
        let scene = Scene::published().await;
        let stack =
            stack::origin(scene.store.clone(), &OriginOptions { seed: Some(1), ..OriginOptions::default() });
        scene.proxy.set(Fault::BlackHole);
        let ends = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            scene.proxy.set(Fault::Pass);
        };
        let (answers, ()) =
            futures::join!(join_all(scene.absent.iter().map(|sample| stack.get(&sample.wanted))), ends);
        for (answer, sample) in answers.into_iter().zip(&scene.absent) {
            assert!(answer.unwrap() == sample.chunk);
        }
    });
}
