//! One chunk from each level, one after the other: from the question to verified bytes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use frazil_cache::host::{HostCache, HostCacheOptions};
use frazil_cache::{Disk, DiskOptions, Nodes, Origin, Remote, RemoteOptions, Tier, Wanted};
use frazil_format::SealedChunk;
use frazil_store::{Store, StoreLocation, StoreOptions};
use tokio::runtime::Runtime;

use super::host::HostProcess;
use super::latencies::{Rows, table as table_of, timed};
use super::s3::{self, Moto};
use super::{CHUNK_LEN, Setup};
use crate::fleet::{Copies, Memcached, Source, chunks};

/// Moto takes this many times as long as the others, so it is asked as much less often.
const S3_SHARE: usize = 20;

/// How long a disk tier may take to fill.
const FILL_LIMIT: Duration = Duration::from_secs(120);

type Chunks = [(Wanted, SealedChunk)];

/// Everything that is measured, made ready.
pub(super) fn table(setup: &Setup) -> anyhow::Result<String> {
    let runtime = &tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let chunks = &chunks(CHUNK_LEN);
    let place = tempfile::tempdir_in(&setup.work_dir)?;
    let mut rows = Rows::default();

    let mut pair = SocketPair::start()?;
    let bare = rows.ceiling("a bare socket pair", move |from, count| timed(from, count, |_| pair.exchange()));
    let socket = place.path().join("cached.sock");
    let _host = HostProcess::start(&socket)?;
    let agent = Arc::new(HostCache::new(&socket, HostCacheOptions::default()));
    // Twice: the first time they are fetched.
    read(runtime, &agent, chunks, 0, 2 * chunks.len())?;
    rows.row("host memory over the socket", "under 100 µs", bare, reading(runtime, agent, chunks));

    let file = place.path().join("file");
    std::fs::write(&file, vec![7; CHUNK_LEN])?;
    let plain = rows.ceiling("a file of this size", move |from, count| {
        timed(from, count, |_| {
            std::hint::black_box(std::fs::read(&file)?);
            Ok(())
        })
    });
    let disk = Arc::new(filled_disk(runtime, place.path(), chunks)?);
    rows.row("disk, page cache warm", "", plain, reading(runtime, disk, chunks));
    let origin = runtime.block_on(directory(place.path(), chunks))?;
    rows.row("origin: a directory", "", plain, reading(runtime, Arc::new(origin), chunks));

    let nodes: Vec<Memcached> = (0..5).map(|_| Memcached::start()).collect::<Result<_, _>>()?;
    let addresses: Vec<SocketAddr> = nodes.iter().map(|node| node.address).collect();
    let mut five = FiveConnections::start(&addresses)?;
    let parts = rows
        .ceiling("five blocking connections, four fifths of the bytes used", move |from, count| {
            timed(from, count, |_| five.exchange())
        });
    let remote = Arc::new(runtime.block_on(filled_fleet(&addresses, chunks))?);
    rows.row(
        "memcached fleet of five, striped 4+1",
        "550 µs (p99.9 3.7 ms)",
        parts,
        reading(runtime, remote, chunks),
    );
    let copies = Arc::new(Copies::new(addresses.clone()));
    runtime.block_on(async {
        for (wanted, chunk) in chunks {
            copies.set(&wanted.id, chunk.bytes()).await?;
        }
        anyhow::Ok(())
    })?;
    rows.row("memcached, one whole copy", "", parts, move |from, count| {
        let (copies, ids) = (Arc::clone(&copies), ids(chunks, from, count));
        runtime.block_on(runtime.spawn(async move {
            let mut latencies = Vec::with_capacity(ids.len());
            for wanted in ids {
                let started = Instant::now();
                copies.get(&wanted.id).await?;
                latencies.push(started.elapsed());
            }
            Ok(latencies)
        }))?
    });

    let moto = Moto::start();
    match &moto {
        Ok(moto) => {
            let (http, mut reader) = (moto.http(), moto.reader()?);
            let bare = rows.ceiling("a bare HTTP GET of moto", move |from, count| {
                s3::bare(&http, from, count.div_ceil(S3_SHARE))
            });
            rows.row(
                "origin: S3, served by moto (Python, slow)",
                "36 ms (p99.9 175 ms)",
                bare,
                move |from, count| reader.read(from, count.div_ceil(S3_SHARE)),
            );
        }
        Err(error) => eprintln!("no S3 in this run: {error:#}"),
    }
    let title = format!("One chunk of {} KiB from each tier, one question after the other", CHUNK_LEN >> 10);
    table_of(&title, &mut rows.0, (setup.reads, setup.rounds))
}

/// How a tier reads.
fn reading<'a, T: Tier + 'static>(
    runtime: &'a Runtime,
    tier: Arc<T>,
    chunks: &'a Chunks,
) -> impl FnMut(usize, usize) -> anyhow::Result<Vec<Duration>> + 'a {
    move |from, count| read(runtime, &tier, chunks, from, count)
}

fn ids(chunks: &Chunks, from: usize, count: usize) -> Vec<Wanted> {
    let wanted = chunks.iter().map(|(wanted, _)| *wanted);
    wanted.cycle().skip(from % chunks.len().max(1)).take(count).collect()
}

/// Reads so many chunks, one after the other, as a task of the runtime does.
pub(super) fn read<T: Tier + 'static>(
    runtime: &Runtime,
    tier: &Arc<T>,
    chunks: &Chunks,
    from: usize,
    count: usize,
) -> anyhow::Result<Vec<Duration>> {
    let (tier, ids) = (Arc::clone(tier), ids(chunks, from, count));
    runtime.block_on(runtime.spawn(async move {
        let mut latencies = Vec::with_capacity(ids.len());
        for wanted in ids {
            let started = Instant::now();
            std::hint::black_box(tier.get(&wanted).await?);
            latencies.push(started.elapsed());
        }
        Ok(latencies)
    }))?
}

fn filled_disk(runtime: &Runtime, place: &Path, chunks: &Chunks) -> anyhow::Result<Disk> {
    let _entered = runtime.enter();
    let source = Source::new(chunks);
    let disk = Disk::new(Arc::new(source.clone()), DiskOptions::new(place.join("disk"), 1 << 30));
    let disk = Arc::new(disk);
    read(runtime, &disk, chunks, 0, chunks.len())?;
    anyhow::ensure!(runtime.block_on(disk.settle(FILL_LIMIT)), "the disk tier takes too long to fill");
    source.dry_up();
    Arc::into_inner(disk).context("the disk tier is still read")
}

async fn directory(place: &Path, chunks: &Chunks) -> anyhow::Result<Origin> {
    let location = StoreLocation::directory(place.join("store"))?;
    let store = Store::open_or_create(&location, &StoreOptions::default()).await?;
    for (wanted, chunk) in chunks {
        store.put_chunk(wanted.root, &wanted.id, chunk).await?;
    }
    Ok(Origin::new(store))
}

async fn filled_fleet(addresses: &[SocketAddr], chunks: &Chunks) -> anyhow::Result<Remote<Source>> {
    let nodes = addresses.iter().map(|node| node.to_string().parse()).collect::<Result<_, _>>()?;
    let below = Source::new(chunks);
    let options = RemoteOptions { hedge: Duration::from_secs(1), ..RemoteOptions::default() };
    let remote = Remote::start(below.clone(), Nodes::Listed(nodes), options).await;
    for (wanted, _) in chunks.iter().chain(chunks) {
        remote.get(wanted).await?;
        remote.settled().await;
    }
    below.dry_up();
    Ok(remote)
}

/// A request of 56 bytes one way and a chunk the other way, between two threads, and nothing else.
struct SocketPair {
    ours: UnixStream,
    chunk: Vec<u8>,
}

impl SocketPair {
    fn start() -> anyhow::Result<Self> {
        let (ours, mut theirs) = UnixStream::pair()?;
        std::thread::spawn(move || {
            let (mut request, chunk) = ([0; 56], vec![7; CHUNK_LEN]);
            while theirs.read_exact(&mut request).is_ok() && theirs.write_all(&chunk).is_ok() {}
        });
        Ok(Self { ours, chunk: vec![0; CHUNK_LEN] })
    }

    fn exchange(&mut self) -> anyhow::Result<()> {
        self.ours.write_all(&[0; 56])?;
        Ok(self.ours.read_exact(&mut self.chunk)?)
    }
}

/// Five blocking connections to five nodes, each asked for a fifth of what a stripe is.
struct FiveConnections(Vec<TcpStream>, Vec<u8>);

impl FiveConnections {
    fn start(addresses: &[SocketAddr]) -> anyhow::Result<Self> {
        let shard = vec![7; CHUNK_LEN / 4 + 48];
        let connections = addresses.iter().map(|address| {
            let mut stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            write!(stream, "ms bare {}\r\n", shard.len())?;
            stream.write_all(&shard)?;
            stream.write_all(b"\r\n")?;
            let mut stored = [0; 4];
            stream.read_exact(&mut stored)?;
            anyhow::ensure!(stored == *b"HD\r\n", "memcached does not take a shard");
            Ok(stream)
        });
        let head = format!("VA {}\r\n", shard.len()).len();
        Ok(Self(connections.collect::<anyhow::Result<_>>()?, vec![0; head + shard.len() + 2]))
    }

    fn exchange(&mut self) -> anyhow::Result<()> {
        let Self(connections, answer) = self;
        for stream in connections.iter_mut() {
            stream.write_all(b"mg bare v\r\n")?;
        }
        for stream in connections.iter_mut() {
            stream.read_exact(answer)?;
        }
        Ok(())
    }
}
