//! `frazil cached`: the one process of a host that owns the tiers and the store's credentials.
//!
//! Invariant: it never opens a keyring; whatever becomes of it, nobody learns more from it than sealed bytes. Its
//! socket answers before the store, the fleet or the disk have been asked anything.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use frazil_cache::host::{AnyTenant, HostServer, HostSocket, LazyStore, Limits, Peers, ServerOptions};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Advise, chain};
use crate::metrics;
use crate::output::note;
use crate::tiers::{OriginStore, TierArgs, Tiers};
use crate::{host_cache, places, service, wiring};

/// How long it takes until a store that could not be opened is tried again without being asked for.
const OPEN_AGAIN: Duration = Duration::from_secs(15);

/// Serve sealed chunks to all agents of this host
///
/// Owns memory, disk and remote tiers and the store's credentials, fetches each chunk once however many agents want
/// it, and never holds a key. Agents find it by its socket. SIGTERM ends it after what is under way; agents wait for
/// the next one.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The socket [default: $XDG_RUNTIME_DIR/frazil/cached.sock, or /run/frazil/cached.sock for root]
    #[arg(long, value_name = "PATH", env = "FRAZIL_CACHED_SOCKET", hide_env_values = true)]
    socket: Option<PathBuf>,

    #[command(flatten)]
    tiers: TierArgs,

    /// Serve Prometheus metrics at http://ADDRESS/metrics; a port alone is one of the loopback
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = metrics_address)]
    metrics: Option<SocketAddr>,

    /// Serve this user too, beside the own one and root
    #[arg(long, value_name = "UID")]
    allow_uid: Vec<u32>,

    /// Serve processes of this primary group too
    #[arg(long, value_name = "GID")]
    allow_gid: Vec<u32>,

    /// The most agents at once
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().connections)]
    max_agents: usize,
}

fn metrics_address(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<u16>() {
        Ok(port) => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        Err(_) => text.parse().map_err(|_| "expected a port, or an address with a port".to_owned()),
    }
}

/// Serves.
pub(crate) fn execute(args: &Args, global: &Global) -> Result<Exit> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("cannot forbid memory dumps")?;
    let peers = args.peers();
    let (socket, place) = open_socket(args, &peers)?;
    let store = OriginStore::at(wiring::location(global)?, wiring::store_options(global));
    let limits = Limits { connections: args.max_agents, ..Limits::default() };
    wiring::runtime()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
        tokio::spawn(open_ahead(store.lazy()));
        let tiers = Tiers::stack(args.tiers.plan(), store).await;
        let options = tiers.observe(ServerOptions { peers, limits, ..ServerOptions::default() });
        let server = HostServer::new(Arc::clone(&tiers.tier), Arc::clone(&tiers.catalog), options);
        if let Some(address) = args.metrics {
            let address = metrics::serve(address, server.clone()).await?;
            tracing::info!("metrics are at http://{address}/metrics");
        }
        tracing::info!(stack = %tiers.tier, "serving {place}");
        if global.quiet == 0 {
            note(format!("serving {place}"));
        }
        service::notify("READY=1");
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            service::notify("STOPPING=1");
        };
        server.serve(&socket, stop).await.context("cannot serve the socket")?;
        Ok(Exit::SUCCESS)
    })
}

impl Args {
    fn peers(&self) -> Peers {
        let (uids, gids) =
            (self.allow_uid.iter().copied().collect(), self.allow_gid.iter().copied().collect());
        let peers = Peers { uids, gids, ..Peers::default() };
        if self.allow_uid.is_empty() && self.allow_gid.is_empty() {
            return peers;
        }
        // There is one tenant yet: who is let in is let in for it.
        Peers { tenants: Arc::new(AnyTenant), ..peers }
    }
}

/// The socket, from the service manager or from our own hands, and where it is.
fn open_socket(args: &Args, peers: &Peers) -> Result<(HostSocket, String)> {
    if let Some(listener) = service::listener()? {
        return Ok((HostSocket::inherited(listener), "the socket of the service manager".to_owned()));
    }
    let path = match &args.socket {
        Some(path) => std::path::absolute(path).context("there is no current directory")?,
        None => host_cache::default_socket()?,
    };
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
