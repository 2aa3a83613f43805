//! Metrics in the text format of Prometheus: a host cache's, at one address, and an agent's, as one page.

mod agent;
mod families;
mod http;
mod page;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use frazil_cache::host::HostServer;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::control::AgentStats;
pub(crate) use families::hits_and_misses;

use families::Families;

/// Serves the metrics until the process ends; returns where.
pub(crate) async fn serve(address: SocketAddr, server: HostServer) -> Result<SocketAddr> {
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("cannot serve metrics at {address}"))?;
    let address = listener.local_addr().context("the metrics have no address")?;
    let mut registry = Registry::with_prefix("frazil");
    registry.register_collector(Box::new(Families(server)));
    let registry = Arc::new(registry);
    tokio::spawn(http::serve(listener, move || {
        let mut page = String::new();
        text::encode(&mut page, &registry).map(|()| page)
    }));
    Ok(address)
}

/// An agent's metrics as they are now.
pub(crate) fn of_agent(stats: AgentStats) -> Result<String> {
    let mut registry = Registry::with_prefix("frazil");
    registry.register_collector(Box::new(agent::Families(stats)));
    let mut page = String::new();
    text::encode(&mut page, &registry).context("cannot write the metrics")?;
    Ok(page)
}
