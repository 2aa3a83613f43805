//! Every key that there is, one a line: name, default, environment variable, flag. An empty variable or flag is none.
//!
//! `docs/CONFIGURATION.md` explains each; `frazil config show` prints them; tests compare the three.

use std::net::SocketAddr;
use std::path::PathBuf;

use frazil_cache::Nodes;
use frazil_format::Compression;

use super::key::Default::{Derived, Fixed};
use super::key::{Entry, Key};
use super::units::{KeyPlace, List, Share, Span, Switch, Tenant};
use crate::host_cache::Choice;
use crate::run::spec::Network;
use crate::size::Size;
use crate::via::Via;

/// Declares keys, and lists all of them.
macro_rules! keys {
    ($($name:ident: $value:ty = $path:literal, $default:expr, $environment:literal, $flag:literal;)*) => {
        $(pub(crate) static $name: Key<$value> = Key::new($path, $default, $environment, $flag);)*

        /// All keys, in the order of the document.
        pub(crate) static ALL: &[&dyn Entry] = &[$(&$name),*];
    };
}

keys! {
    STORE: String = "store.location", Derived("$XDG_DATA_HOME/frazil/store"), "FRAZIL_STORE", "store";
    ALLOW_HTTP: Switch = "store.allow_http", Fixed("false"), "FRAZIL_ALLOW_HTTP", "allow-http";
    ACCESS_LOG: PathBuf = "store.access_log", Derived("none"), "FRAZIL_ACCESS_LOG", "access-log";

    KEYS: KeyPlace = "keys.directory", Derived("$XDG_CONFIG_HOME/frazil/keys"), "FRAZIL_KEYS", "keys";
    TENANT: Tenant = "keys.tenant", Fixed("default"), "FRAZIL_TENANT", "tenant";

    CACHE: Choice = "agent.cache", Fixed("auto"), "FRAZIL_CACHE", "cache";
    VIA: Via = "agent.via", Fixed("auto"), "", "via";
    PATIENCE: Span = "agent.patience", Fixed("45s"), "", "";
    READ_DEADLINE: Span = "agent.deadline", Fixed("60s"), "", "";
    DECODED_BUDGET: Size = "agent.decoded_budget", Fixed("32 MiB"), "", "";
    SEALED_BUDGET: Size = "agent.sealed_budget", Fixed("32 MiB"), "", "";
    READ_AHEAD: Size = "agent.read_ahead", Fixed("4 MiB"), "", "";

    EMBEDDED_MEMORY: Size = "embedded.memory_budget", Derived("64 MiB over a network store, 0 over a directory"), "FRAZIL_EMBEDDED_MEMORY_BUDGET", "memory-budget";
    EMBEDDED_DIRECTORY: PathBuf = "embedded.disk_directory", Derived("$XDG_CACHE_HOME/frazil/embedded"), "FRAZIL_EMBEDDED_DISK_DIR", "disk-dir";
    EMBEDDED_QUOTA: Size = "embedded.disk_quota", Derived("4 GiB over a network store, 0 over a directory"), "FRAZIL_EMBEDDED_DISK_QUOTA", "disk-quota";

    SOCKET: PathBuf = "cached.socket", Derived("$XDG_RUNTIME_DIR/frazil/cached.sock"), "FRAZIL_CACHED_SOCKET", "socket";
    METRICS: SocketAddr = "cached.metrics", Derived("none"), "FRAZIL_CACHED_METRICS", "metrics";
    ALLOW_UIDS: List<u32> = "cached.allow_uids", Fixed(""), "", "allow-uid";
    ALLOW_GIDS: List<u32> = "cached.allow_gids", Fixed(""), "", "allow-gid";
    MAX_AGENTS: usize = "cached.max_agents", Fixed("1024"), "", "max-agents";
    REQUESTS_PER_AGENT: usize = "cached.requests_per_agent", Fixed("512"), "", "";
    REQUESTS: usize = "cached.requests", Fixed("16384"), "", "";
    ANSWER_BYTES: Size = "cached.answer_bytes", Fixed("512 MiB"), "", "";
    REQUEST_DEADLINE: Span = "cached.request_deadline", Fixed("30s"), "", "";
    DRAIN: Span = "cached.drain", Fixed("10s"), "", "";

    MEMORY_BUDGET: Size = "memory.budget", Fixed("512 MiB"), "FRAZIL_MEMORY_BUDGET", "memory-budget";

    DISK_DIRECTORY: PathBuf = "disk.directory", Derived("$XDG_CACHE_HOME/frazil"), "FRAZIL_DISK_DIR", "disk-dir";
    DISK_QUOTA: Size = "disk.quota", Fixed("10 GiB"), "FRAZIL_DISK_QUOTA", "disk-quota";
    DISK_FREE_FLOOR: Size = "disk.free_floor", Fixed("1 GiB"), "FRAZIL_DISK_FREE_FLOOR", "disk-free-floor";
    DISK_READ_TIMEOUT: Span = "disk.read_timeout", Fixed("1s"), "", "";
    DISK_RETRY_AFTER: Span = "disk.retry_after", Fixed("10s"), "", "";
    DISK_FILL_QUEUE: Size = "disk.fill_queue", Fixed("64 MiB"), "", "";

    CATALOG_PATIENCE: Span = "catalog.patience", Fixed("3s"), "", "";
    CATALOG_MANIFESTS: Size = "catalog.manifests", Fixed("1 GiB"), "", "";

    REMOTE: Nodes = "remote.nodes", Derived("none"), "FRAZIL_REMOTE", "remote";
    REMOTE_DNS_INTERVAL: Span = "remote.dns_interval", Fixed("10s"), "", "";
    REMOTE_AUTHORITIES: PathBuf = "remote.tls_authorities", Derived("none: no TLS"), "", "";
    REMOTE_CERTIFICATE: PathBuf = "remote.tls_certificate", Derived("none"), "", "";
    REMOTE_KEY: PathBuf = "remote.tls_key", Derived("none"), "", "";
    REMOTE_HEDGE: Span = "remote.hedge", Fixed("5ms"), "", "";
    REMOTE_DEADLINE: Span = "remote.deadline", Fixed("100ms"), "", "";
    REMOTE_CONNECTIONS: usize = "remote.connections_per_node", Fixed("2"), "", "";
    REMOTE_MAX_ITEM: Size = "remote.max_item", Fixed("1047552"), "", "";
    REMOTE_FILL_DEADLINE: Span = "remote.fill_deadline", Fixed("1s"), "", "";
    REMOTE_FILL_QUEUE: Size = "remote.fill_queue", Fixed("64 MiB"), "", "";
    REMOTE_FILLS: usize = "remote.fills", Fixed("4"), "", "";

    ORIGIN_DEADLINE: Span = "origin.deadline", Fixed("30s"), "", "";
    ORIGIN_ATTEMPT_DEADLINE: Span = "origin.attempt_deadline", Fixed("5s"), "", "";
    ORIGIN_CONCURRENCY: usize = "origin.concurrency", Fixed("64"), "", "";
    ORIGIN_QUEUE: usize = "origin.queue", Derived("16 × origin.concurrency"), "", "";
    ORIGIN_ATTEMPTS: u32 = "origin.attempts", Fixed("12"), "", "";
    ORIGIN_FIRST_PAUSE: Span = "origin.first_pause", Fixed("50ms"), "", "";
    ORIGIN_LONGEST_PAUSE: Span = "origin.longest_pause", Fixed("5s"), "", "";
    ORIGIN_RETRY_SHARE: Share = "origin.retry_share", Fixed("10 %"), "", "";
    ORIGIN_HEDGE_SHARE: Share = "origin.hedge_share", Derived("5 %; 0 over a directory"), "", "";
    ORIGIN_HEDGE_AFTER: Share = "origin.hedge_after", Fixed("95 %"), "", "";
    ORIGIN_HEDGE_FLOOR: Span = "origin.hedge_floor", Fixed("10ms"), "", "";
    ORIGIN_REFUSE_WAITING: usize = "origin.refuse_waiting", Derived("origin.queue / 2"), "", "";
    ORIGIN_REFUSE_FAILED: Share = "origin.refuse_failed", Fixed("50 %"), "", "";
    ORIGIN_REFUSE_FOR: Span = "origin.refuse_for", Fixed("5s"), "", "";

    NETWORK: Network = "run.network", Fixed("host"), "", "network";
    WRITABLE: Size = "run.writable", Derived("half of the memory"), "", "writable";
    SHARED_MEMORY: Size = "run.shared_memory", Fixed("64 MiB"), "", "shared-memory";

    THREADS: u16 = "convert.threads", Derived("one per processor"), "", "threads";
    MAX_IMAGE_SIZE: Size = "convert.max_image_size", Fixed("256 GiB"), "", "max-image-size";
    COMPRESSION: Compression = "convert.compression", Derived("as the tenant's scope says"), "", "compression";

    GC_NEW_AFTER: Span = "gc.new_after", Fixed("30d"), "", "new-after";
    GC_RETIRE_AFTER: Span = "gc.retire_after", Fixed("1d"), "", "retire-after";
    GC_EXPIRE_AFTER: Span = "gc.expire_after", Fixed("7d"), "", "expire-after";
    GC_DELETE_AFTER: Span = "gc.delete_after", Fixed("7d"), "", "delete-after";
    GC_QUIET: Span = "gc.quiet_after_alarm", Fixed("10min"), "", "quiet-after-alarm";
    GC_DELETE_RATE: u32 = "gc.delete_rate", Fixed("1000"), "", "delete-rate";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_has_a_name_of_its_own_in_a_section_and_a_default_that_is_a_value() {
        let paths: BTreeSet<_> = ALL.iter().map(|key| key.about().path).collect();
        assert_eq!(paths.len(), ALL.len());
        for key in ALL {
            let about = key.about();
            assert_eq!(about.path.split('.').count(), 2, "{}", about.path);
            if let Fixed(text) = about.default {
                assert_eq!(key.check(text), Ok(()), "{}", about.path);
            }
        }
    }

    /// The rows of the document's tables of keys: key, default, where else it is said, meaning, failure.
    fn rows(document: &str) -> Vec<Vec<String>> {
        let rows = document.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
        let rows =
            rows.map(|row| row.split('|').map(|cell| cell.trim().replace('`', "")).collect::<Vec<_>>());
        rows.filter(|cells| cells.len() == 5).collect()
    }

    #[test]
    fn the_document_lists_exactly_the_keys_that_there_are_with_their_defaults_and_where_else_they_are_said() {
        let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/CONFIGURATION.md");
        let rows = rows(&std::fs::read_to_string(document).unwrap());
        let there: Vec<_> = ALL
            .iter()
            .map(|key| {
                let about = key.about();
                let variable = about.environment.map(|variable| format!("${variable}"));
                let flag = about.flag.map(|flag| format!("--{flag}"));
                let elsewhere: Vec<_> = [variable, flag].into_iter().flatten().collect();
                vec![about.path.to_owned(), about.default.in_words().to_owned(), elsewhere.join(" ")]
            })
            .collect();
        let told: Vec<_> = rows.iter().map(|row| row[..3].to_vec()).collect();
        assert_eq!(told, there);
        for row in rows {
            assert!(row.iter().skip(3).all(|cell| !cell.is_empty()), "no meaning or no failure: {row:?}");
        }
    }
}
