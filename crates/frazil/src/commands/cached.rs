//! `frazil cached`: the one process of a host that owns the tiers and the store's credentials.
//!
//! Invariant: it never opens a keyring; whatever becomes of it, nobody learns more from it than sealed bytes. Its
//! socket answers before the store, the fleet or the disk have been asked anything.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use frazil_cache::host::{AnyTenant, HostServer, HostSocket, LazyStore, Limits, Peers, ServerOptions};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::cli::Global;
use crate::config::{Config, Value, keys};
use crate::end::End;
use crate::exit::Exit;
use crate::failure::{Advise, chain};
use crate::output::note;
use crate::plan::{self, Plan};
use crate::tiers::{OriginStore, TierArgs, Tiers};
use crate::{host_cache, open_files, places, service, wiring};

/// How long it takes until a store that could not be opened is tried again without being asked for.
const OPEN_AGAIN: Duration = Duration::from_secs(15);

/// Serve sealed chunks to all agents of this host
///
/// Owns memory, disk and remote tiers and the store's credentials, fetches each chunk once however many agents want
/// it, and never holds a key. Agents find it by its socket. SIGTERM ends it after what is under way; agents wait for
/// the next one.
#[derive(clap::Args, Debug)]
#[allow(dead_code, reason = "read through the configuration, which knows what else says it")]
pub(crate) struct Args {
    /// The socket [default: $FRAZIL_CACHED_SOCKET, $XDG_RUNTIME_DIR/frazil/cached.sock, or
    /// /run/frazil/cached.sock for root]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    #[command(flatten)]
    tiers: TierArgs,

    /// Serve Prometheus metrics at http://ADDRESS/metrics; a port alone is one of the loopback
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = SocketAddr::parse)]
    metrics: Option<SocketAddr>,

    /// Serve this user too, beside the own one and root
    #[arg(long, value_name = "UID")]
    allow_uid: Vec<u32>,

    /// Serve processes of this primary group too
    #[arg(long, value_name = "GID")]
    allow_gid: Vec<u32>,

    /// The most agents at once [default: 1024]
    #[arg(long, value_name = "COUNT", value_parser = usize::parse)]
    max_agents: Option<usize>,
}

/// Serves.
pub(crate) fn execute(global: &Global) -> Result<Exit> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("cannot forbid memory dumps")?;
    let config = global.config()?;
    let peers = peers(config)?;
    let location = wiring::location(global)?;
    let origin = plan::origin(config, &location)?;
    let store = OriginStore::at(location, wiring::store_options(global)?, origin);
    let (limits, metrics) = (limits(config)?, config.get(&keys::METRICS)?);
    let plan = Plan::of_host_cache(config)?;
    // Each agent has one, and there may be more agents than a shell lets a process open files.
    let files = open_files::as_many_as_allowed()?;
    wiring::runtime()?.block_on(async {
        // First: whoever finds the socket may ask this process to end.
        let mut end = End::new()?;
        let (socket, place) = open_socket(config, &peers)?;
        #[cfg(feature = "otlp")]
        crate::spans::start();
        tokio::spawn(open_ahead(store.lazy()));
        let tiers = Tiers::stack(plan, store).await;
        let options = tiers.observe(ServerOptions { peers, limits, ..ServerOptions::default() });
        let server = HostServer::new(Arc::clone(&tiers.tier), Arc::clone(&tiers.catalog), options);
        if let Some(address) = metrics {
            let address = crate::metrics::serve(address, server.clone()).await?;
            tracing::info!("metrics are at http://{address}/metrics");
        }
        tracing::info!(stack = %tiers.tier, files, "serving {place}");
        if global.quiet == 0 {
            note(format!("serving {place}"));
        }
        let manager = service::ServiceManager::find();
        manager.tell("READY=1");
        let stop = async {
            end.asked().await;
            manager.tell("STOPPING=1");
        };
        server.serve(&socket, stop).await.context("cannot serve the socket")?;
        Ok(Exit::SUCCESS)
    })
}

fn limits(config: &Config) -> Result<Limits> {
    let default = Limits::default();
    let answer_bytes = usize::try_from(config.value(&keys::ANSWER_BYTES)?.0).unwrap_or(usize::MAX);
    Ok(Limits {
        connections: config.value(&keys::MAX_AGENTS)?,
        in_flight_per_connection: config.value(&keys::REQUESTS_PER_AGENT)?,
        in_flight: config.value(&keys::REQUESTS)?,
        answer_bytes,
        answer_bytes_per_connection: default.answer_bytes_per_connection.min(answer_bytes),
        request_deadline: config.value(&keys::REQUEST_DEADLINE)?.0,
        drain: config.value(&keys::DRAIN)?.0,
        ..default
    })
}

fn peers(config: &Config) -> Result<Peers> {
    let (uids, gids) = (config.value(&keys::ALLOW_UIDS)?.0, config.value(&keys::ALLOW_GIDS)?.0);
    let only_own = uids.is_empty() && gids.is_empty();
    let peers =
        Peers { uids: uids.into_iter().collect(), gids: gids.into_iter().collect(), ..Peers::default() };
    if only_own {
        return Ok(peers);
    }
    // There is only one tenant so far: a peer that is let in is let in for that one.
    Ok(Peers { tenants: Arc::new(AnyTenant), ..peers })
}

/// The socket, from the service manager or from our own hands, and where it is.
fn open_socket(config: &Config, peers: &Peers) -> Result<(HostSocket, String)> {
    if let Some(listener) = service::listener()? {
        return Ok((HostSocket::inherited(listener), "the socket of the service manager".to_owned()));
    }
    let path = host_cache::served_socket(config)?;
    let socket = HostSocket::bind(&path, peers.socket_mode());
    let socket = socket.hint(format!("stop the other one, or choose another socket than {}", path.display()));
    open_way(&path, peers)?;
    Ok((socket?, path.display().to_string()))
}

/// Others must be able to reach a socket that they may use; only a directory of our own making is opened.
fn open_way(path: &Path, peers: &Peers) -> Result<()> {
    let ours = places::runtime()?;
    if peers.socket_mode() != 0o600 && path.parent() == Some(ours.as_path()) {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(&ours, mode).context("cannot open the socket's directory")?;
    }
    Ok(())
}

/// Opens the store before anybody needs it, and says so if it cannot be.
async fn open_ahead(store: Arc<LazyStore>) {
    while let Err(error) = store.open().await {
        let error = chain(&anyhow::Error::new(error));
        tracing::warn!("the store cannot be opened, what is kept is served: {error}");
        tokio::time::sleep(OPEN_AGAIN).await;
    }
}
