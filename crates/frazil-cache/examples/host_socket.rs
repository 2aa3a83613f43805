//! How long a chunk takes from a host cache's memory to an agent, verified, and how much goes through at once.
//!
//! `cargo run --release -p frazil-cache --example host_socket`: starts a host cache in a process of its own, with
//! chunks in memory, and asks it. Beside each figure stands the ceiling: the same bytes written to and read from a
//! bare socket pair.

use std::error::Error;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use frazil_cache::host::{
    Catalog, HostCache, HostCacheOptions, HostError, HostServer, HostSocket, Named, ServerOptions,
};
use frazil_cache::{Memory, Served, Tier, TierError, Wanted};
use frazil_format::{ChunkId, ManifestId, RootId, SealedChunk};
use frazil_store::ImageName;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Chunks of each length: enough that no cache of the processor holds them all.
const CHUNKS: usize = 64;
const LENS: [usize; 2] = [128 << 10, 512 << 10];
const ROUND_TRIPS: usize = 4000;
const AT_ONCE: usize = 8;
const STREAM_BYTES: u64 = 4 << 30;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, serve, path] = arguments.as_slice()
        && serve == "serve"
    {
        return server(Path::new(path));
    }
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("cached.sock");
    let mut host = Command::new(std::env::current_exe()?)
        .arg("serve")
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut ready = [0; 1];
    host.stdout.take().ok_or("no output")?.read_exact(&mut ready)?;
    let measured = runtime()?.block_on(measure(&path));
    host.kill()?;
    host.wait()?;
    measured
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

fn server(path: &Path) -> Outcome<()> {
    let all: Vec<_> = LENS.into_iter().flat_map(chunks).collect();
    let memory = Arc::new(Memory::new(Arc::new(Fixed(all)), 1 << 30));
    let socket = HostSocket::bind(path, 0o600)?;
    let server = HostServer::new(memory, Arc::new(Nothing), ServerOptions::default());
    std::io::stdout().write_all(b"!")?;
    std::io::stdout().flush()?;
    Ok(runtime()?.block_on(server.serve(&socket, std::future::pending()))?)
}

async fn measure(path: &Path) -> Outcome<()> {
    for len in LENS {
        let wanted: Vec<Wanted> = chunks(len).into_iter().map(|(wanted, _)| wanted).collect();
        let agent = agent(path);
        for wanted in wanted.iter().chain(&wanted) {
            agent.get(wanted).await?;
        }
        let mut times = Vec::with_capacity(ROUND_TRIPS);
        for wanted in wanted.iter().cycle().take(ROUND_TRIPS) {
            let start = Instant::now();
            agent.get(wanted).await?;
            times.push(start.elapsed());
        }
        let mut bare = bare_round_trips(len)?;
        let (ours, bare) = (quantiles(&mut times), quantiles(&mut bare));
        println!("{:>4} KiB  round trip  {ours}   bare socket pair  {bare}", len >> 10);
        for agents in [1, 8] {
            let rate = throughput(path, &wanted, agents).await?;
            println!("{:>4} KiB  {agents} agents, {AT_ONCE} at once  {rate:.2} GB/s", len >> 10);
        }
    }
    Ok(())
}

fn agent(path: &Path) -> Arc<HostCache> {
    Arc::new(HostCache::new(path, HostCacheOptions::default()))
}

/// Bytes of chunks that arrive verified, in GB/s.
async fn throughput(path: &Path, wanted: &[Wanted], agents: usize) -> Outcome<f64> {
    let len = wanted.first().map_or(1, |wanted| u64::from(wanted.sealed_len));
    let each = STREAM_BYTES / len / (agents * AT_ONCE) as u64;
    let start = Instant::now();
    let readers: Vec<_> = (0..agents)
        .map(|_| agent(path))
        .flat_map(|agent| (0..AT_ONCE).map(move |reader| (Arc::clone(&agent), reader)))
        .map(|(agent, reader)| {
            let wanted = wanted.to_vec();
            tokio::spawn(async move {
                for wanted in wanted.iter().cycle().skip(reader * 7).take(each as usize) {
                    agent.get(wanted).await?;
                }
                Ok::<_, TierError>(())
            })
        })
        .collect();
    for reader in readers {
        reader.await??;
    }
    Ok((each * (agents * AT_ONCE) as u64 * len) as f64 / start.elapsed().as_secs_f64() / 1e9)
}

/// A request of 56 bytes one way and a chunk the other way, between two threads, and nothing else.
fn bare_round_trips(len: usize) -> Outcome<Vec<Duration>> {
    let (mut ours, mut theirs) = UnixStream::pair()?;
    let answering = std::thread::spawn(move || {
        let (mut request, chunk) = ([0; 56], vec![7; len]);
        while theirs.read_exact(&mut request).is_ok() && theirs.write_all(&chunk).is_ok() {}
    });
    let (mut times, mut chunk) = (Vec::with_capacity(ROUND_TRIPS), vec![0; len]);
    for _ in 0..ROUND_TRIPS {
        let start = Instant::now();
        ours.write_all(&[0; 56])?;
        ours.read_exact(&mut chunk)?;
        times.push(start.elapsed());
    }
    drop(ours);
    let _ = answering.join();
    Ok(times)
}

fn quantiles(times: &mut [Duration]) -> String {
    times.sort();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).map_or(0, Duration::as_micros);
    format!("p50 {} µs  p99 {} µs  p99.9 {} µs", at(0.5), at(0.99), at(0.999))
}

fn chunks(len: usize) -> Vec<(Wanted, SealedChunk)> {
    (0..CHUNKS)
        .filter_map(|number| {
            let mut bytes = vec![0; len];
            blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
            let id = ChunkId::of(&bytes);
            let wanted = Wanted { root: RootId::FIRST, id, sealed_len: u32::try_from(len).ok()? };
            Some((wanted, SealedChunk::verify(&id, Bytes::from(bytes)).ok()?))
        })
        .collect()
}

/// Chunks that are there.
#[derive(Debug)]
struct Fixed(Vec<(Wanted, SealedChunk)>);

#[async_trait::async_trait]
impl Tier for Fixed {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        let found = self.0.iter().find(|(known, _)| known == wanted);
        let (id, root, tier) = (wanted.id, wanted.root, self.to_string());
        found.map(|(_, chunk)| Served::by_origin(chunk.clone())).ok_or(TierError::NotFound { id, root, tier })
    }
}

impl std::fmt::Display for Fixed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("fixed")
    }
}

/// No names and no manifests.
#[derive(Debug)]
struct Nothing;

#[async_trait::async_trait]
impl Catalog for Nothing {
    async fn reference(&self, _: &str, _: &ImageName) -> Result<Option<Named>, HostError> {
        Ok(None)
    }

    async fn manifest(&self, _: RootId, id: &ManifestId) -> Result<Bytes, HostError> {
        let (what, class) = (format!("manifest {id}"), frazil_cache::ErrorClass::NotFound);
        Err(HostError::LookUp { what, class, source: Arc::new(std::io::Error::other("there is none")) })
    }
}

impl std::fmt::Display for Nothing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nothing")
    }
}
