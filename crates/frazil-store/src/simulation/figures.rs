//! What a collection costs, by simulation: requests and time, with a store that takes 20 ms for each request.
//!
//! ```text
//! FRAZIL_SIM_MANIFESTS=10000 cargo nextest run -p frazil-store the_cost_of_a_collection --no-capture
//! ```

use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use tokio::time::Instant;

use super::images::{self, Content};
use crate::gc::{self, Intent, Policy};
use crate::{Reference, Store};

/// Images when nothing else is said.
const MANIFESTS: u64 = 200;

/// How long a request takes.
const LATENCY: Duration = Duration::from_millis(20);

/// Chunks of one of the ten bases.
const BASE_CHUNKS: u32 = 20;

/// Chunks that an image has for itself.
const OWN_CHUNKS: u32 = 10;

const AT_ONCE: Policy = Policy {
    new_after: Duration::MAX,
    retire_after: Duration::ZERO,
    expire_after: Duration::MAX,
    delete_after: Duration::MAX,
    quiet: Duration::ZERO,
    deletions_per_second: 1000,
};

async fn publish_all(store: &Store, manifests: u64) {
    let root = store.active_root().await.unwrap();
    for serial in 0..manifests {
        let number = serial as u32;
        let base = (number % 10) * BASE_CHUNKS;
        let own = 1000 + number * OWN_CHUNKS;
        let content = Content((base..base + BASE_CHUNKS).chain(own..own + OWN_CHUNKS).collect());
        let name = format!("image-{serial}");
        let image = images::seal(root, "a", &name, &content, serial);
        for sealed in &image.chunks {
            store.put_chunk(root, &sealed.id, &sealed.chunk).await.unwrap();
        }
        store.put_manifest(root, &image.id, image.manifest.into()).await.unwrap();
        let reference = Reference { root, manifest: image.id };
        store.publish("a", &name.parse().unwrap(), reference).await.unwrap();
    }
}

/// A collection's requests; prints them and its time.
async fn measured(store: &Store, what: &str, policy: &Policy, intent: Intent) -> u64 {
    let (before, started) = (store.requests(), Instant::now());
    gc::collect(store, policy, intent).await.unwrap();
    let after = store.requests();
    let counts = [
        after.gets - before.gets,
        after.puts - before.puts,
        after.heads - before.heads,
        after.lists - before.lists,
        after.deletes - before.deletes,
    ];
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{what:<28} {seconds:>8.1} s  {} gets, {} puts, {} heads, {} listings, {} deletions",
        counts[0], counts[1], counts[2], counts[3], counts[4]
    );
    counts.iter().sum()
}

#[test]
fn the_cost_of_a_collection_is_in_proportion_to_its_manifests() {
    let manifests = super::number("FRAZIL_SIM_MANIFESTS").unwrap_or(MANIFESTS);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let config = ThrottleConfig {
            wait_delete_per_call: LATENCY,
            wait_get_per_call: LATENCY,
            wait_list_per_call: LATENCY,
            wait_list_with_delimiter_per_call: LATENCY,
            wait_put_per_call: LATENCY,
            ..ThrottleConfig::default()
        };
        let store = Store::over(Arc::new(ThrottledStore::new(InMemory::new(), config))).await.unwrap();
        publish_all(&store, manifests).await;
        println!("{manifests} manifests of {} chunks", BASE_CHUNKS + OWN_CHUNKS);
        measured(&store, "nothing is due", &AT_ONCE, Intent::Run).await;
        store.new_root().await.unwrap();
        measured(&store, "the plan of a migration", &AT_ONCE, Intent::Plan).await;
        let migration = measured(&store, "a migration", &AT_ONCE, Intent::Run).await;
        let own = manifests * u64::from(OWN_CHUNKS);
        // A chunk is read, looked for and written; a manifest read and written; a name read twice, claimed and
        // committed, and the root looked at; for its starter manifest and head start are read, and it is written.
        let bound = 3 * (own + 10 * u64::from(BASE_CHUNKS)) + 11 * manifests + 100;
        assert!(migration <= bound, "{migration} requests, expected at most {bound}");
        let expire = Policy { expire_after: Duration::ZERO, ..AT_ONCE };
        let expiry = measured(&store, "an expiry", &expire, Intent::Run).await;
        assert!(expiry <= manifests + 100, "{expiry} requests");
        let delete = Policy { delete_after: Duration::ZERO, ..expire };
        measured(&store, "the plan of a deletion", &delete, Intent::Plan).await;
        measured(&store, "a deletion", &delete, Intent::Run).await;
    });
}
