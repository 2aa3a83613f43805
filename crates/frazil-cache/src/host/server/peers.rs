//! Who may connect, and whose names they may ask for.
//!
//! The kernel says who is on the other side (SO_PEERCRED): the user and primary group of the process that
//! connected, at that time. Chunks and manifests are asked for by ids that nobody can guess, so only names are
//! guarded by tenant.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use tokio::net::unix::UCred;

/// The process on the other side, as the kernel knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its user.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
    /// Its number, for people; it may have ended.
    pub pid: Option<i32>,
}

impl From<UCred> for Peer {
    fn from(credentials: UCred) -> Self {
        Self { uid: credentials.uid(), gid: credentials.gid(), pid: credentials.pid() }
    }
}

/// Decides whose names a user may ask for.
pub trait TenantPolicy: Debug + Send + Sync {
    /// Whether this process may ask what the tenant's names stand for.
    fn may_ask(&self, peer: &Peer, tenant: &str) -> bool;
}

/// The server's own user and root may ask for every tenant's names, nobody else for any.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnUser;

/// Everybody who may connect may ask for every tenant's names.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyTenant;

/// As [`OwnUser`]; and each of these users may ask for the tenants that stand beside it.
#[derive(Clone, Debug, Default)]
pub struct TenantsOf(pub BTreeMap<u32, BTreeSet<String>>);

impl TenantPolicy for OwnUser {
    fn may_ask(&self, peer: &Peer, _tenant: &str) -> bool {
        is_own(peer)
    }
}

impl TenantPolicy for AnyTenant {
    fn may_ask(&self, _peer: &Peer, _tenant: &str) -> bool {
        true
    }
}

impl TenantPolicy for TenantsOf {
    fn may_ask(&self, peer: &Peer, tenant: &str) -> bool {
        is_own(peer) || self.0.get(&peer.uid).is_some_and(|tenants| tenants.contains(tenant))
    }
}

/// Who may connect: the server's own user, root, and those that are listed.
#[derive(Clone, Debug)]
pub struct Peers {
    /// Other users.
    pub uids: BTreeSet<u32>,
    /// Processes whose primary group is one of these.
    pub gids: BTreeSet<u32>,
    /// Whose names they may ask for.
    pub tenants: Arc<dyn TenantPolicy>,
}

impl Default for Peers {
    fn default() -> Self {
        Self { uids: BTreeSet::new(), gids: BTreeSet::new(), tenants: Arc::new(OwnUser) }
    }
}

impl Peers {
    /// Whether this process is served at all.
    pub fn admits(&self, peer: &Peer) -> bool {
        is_own(peer) || self.uids.contains(&peer.uid) || self.gids.contains(&peer.gid)
    }

    /// Whether this process may ask what the tenant's names stand for.
    pub fn may_ask(&self, peer: &Peer, tenant: &str) -> bool {
        self.tenants.may_ask(peer, tenant)
    }

    /// The permissions of the socket's file: the kernel keeps out whoever is never served.
    pub fn socket_mode(&self) -> u32 {
        if self.uids.is_empty() && self.gids.is_empty() { 0o600 } else { 0o666 }
    }
}

fn is_own(peer: &Peer) -> bool {
    peer.uid == 0 || peer.uid == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uid: u32, gid: u32) -> Peer {
        Peer { uid, gid, pid: None }
    }

    #[test]
    fn strangers_are_served_only_if_they_are_listed() {
        let own = rustix::process::geteuid().as_raw();
        let stranger = own.wrapping_add(4711);
        let closed = Peers::default();
        assert!(closed.admits(&peer(own, 1)) && closed.admits(&peer(0, 1)));
        assert!(!closed.admits(&peer(stranger, 7)));
        assert_eq!(closed.socket_mode(), 0o600);
        let by_group = Peers { gids: [7].into(), ..Peers::default() };
        assert!(by_group.admits(&peer(stranger, 7)) && !by_group.admits(&peer(stranger, 8)));
        assert!(!by_group.may_ask(&peer(stranger, 7), "default"));
    }

    #[test]
    fn a_listed_user_asks_for_its_own_tenants_only() {
        let own = rustix::process::geteuid().as_raw();
        let stranger = own.wrapping_add(4711);
        let tenants = TenantsOf([(stranger, ["red".to_owned()].into())].into());
        assert!(tenants.may_ask(&peer(stranger, 0), "red"));
        assert!(!tenants.may_ask(&peer(stranger, 0), "blue"));
        assert!(tenants.may_ask(&peer(own, 0), "blue"));
    }
}
