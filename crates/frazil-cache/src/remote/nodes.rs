//! Who is in the fleet: a list, or a DNS name that is asked again and again.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

/// The most nodes of a fleet; an answer that names more is cut.
pub(super) const MAX_NODES: usize = 1024;

/// How often a DNS name is asked for, if nobody says otherwise.
const WATCH_INTERVAL: Duration = Duration::from_secs(10);

/// Where one node listens. The text is its name in the placement: two spellings of one node are two nodes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeAddress {
    authority: String,
    server_name: String,
}

impl NodeAddress {
    /// `host:port`, as it is connected to.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The name that the node's certificate must be for.
    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    /// This node, with a certificate for this name.
    pub fn with_server_name(self, server_name: &str) -> Self {
        Self { server_name: server_name.to_owned(), ..self }
    }
}

impl FromStr for NodeAddress {
    type Err = NotAFleet;

    fn from_str(text: &str) -> Result<Self, NotAFleet> {
        let not_a_fleet = || NotAFleet { text: text.to_owned() };
        let (host, port) = text.rsplit_once(':').ok_or_else(not_a_fleet)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_name = |host: &str| {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        };
        let is_host = match bare {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => is_name(host),
        };
        if !is_host || !matches!(port.parse::<u16>(), Ok(1..)) {
            return Err(not_a_fleet());
        }
        Ok(Self { authority: text.to_owned(), server_name: bare.unwrap_or(host).to_owned() })
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}

/// The text names no fleet.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text:?} is neither `host:port`, nor several of them with commas between, nor `dns:host:port`")]
pub struct NotAFleet {
    /// The text.
    pub text: String,
}

/// Says who is in the fleet at the moment.
#[async_trait]
pub trait Resolver: fmt::Debug + Send + Sync {
    /// The nodes. An error, and an answer without any node, leave the fleet as it is.
    async fn resolve(&self) -> io::Result<Vec<NodeAddress>>;
}

/// Who is in a fleet. From text: `host:port,host:port` or `dns:host:port`.
#[derive(Clone, Debug)]
pub enum Nodes {
    /// These, for good.
    Listed(Vec<NodeAddress>),
    /// Those that a resolver names.
    Watched {
        /// The resolver.
        resolver: Arc<dyn Resolver>,
        /// How often it is asked.
        every: Duration,
    },
}

impl FromStr for Nodes {
    type Err = NotAFleet;

    fn from_str(text: &str) -> Result<Self, NotAFleet> {
        if let Some(name) = text.strip_prefix("dns:") {
            let resolver = Arc::new(Dns(name.parse()?));
            return Ok(Self::Watched { resolver, every: WATCH_INTERVAL });
        }
        let nodes: Vec<NodeAddress> =
            text.split(',').map(|node| node.trim().parse()).collect::<Result<_, _>>()?;
        if nodes.len() > MAX_NODES {
            Err(NotAFleet { text: text.to_owned() })
        } else {
            Ok(Self::Listed(nodes))
        }
    }
}

/// A DNS name, each of whose addresses is a node.
#[derive(Debug)]
struct Dns(NodeAddress);

#[async_trait]
impl Resolver for Dns {
    async fn resolve(&self) -> io::Result<Vec<NodeAddress>> {
        let addresses = tokio::net::lookup_host(self.0.authority()).await?;
        // An address and a port print as an authority.
        let nodes = addresses.filter_map(|address| address.to_string().parse::<NodeAddress>().ok());
        Ok(nodes.map(|node| node.with_server_name(self.0.server_name())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_is_named_by_addresses_or_by_a_name() {
        let Ok(Nodes::Listed(nodes)) = "10.0.0.1:11211, cache-b.zone:11212,[::1]:7".parse() else {
            panic!("a list");
        };
        let names: Vec<_> = nodes.iter().map(|node| (node.authority(), node.server_name())).collect();
        assert_eq!(
            names,
            [("10.0.0.1:11211", "10.0.0.1"), ("cache-b.zone:11212", "cache-b.zone"), ("[::1]:7", "::1")]
        );
        assert!(matches!("dns:fleet.zone:11211".parse(), Ok(Nodes::Watched { .. })));
        for text in
            ["", "host", "host:", "host:0", "host:70000", ":1", "a:1,", "dns:", "dns:x", "a b:1", "::1:7"]
        {
            assert!(text.parse::<Nodes>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_dns_name_is_its_addresses() {
        let Ok(Nodes::Watched { resolver, .. }) = "dns:localhost:11211".parse() else { panic!("a name") };
        let nodes = resolver.resolve().await.unwrap();
        assert!(
            nodes.contains(&"127.0.0.1:11211".parse::<NodeAddress>().unwrap().with_server_name("localhost"))
        );
    }
}
