//! The store's own record of what it was asked.

use frazil_format::ChunkId;
use frazil_store::{RequestCounts, Store, StoreLocation, StoreOptions};
use serde_json::Value;

use crate::scene::{ROOT, Scene, sealed};

#[tokio::test]
async fn the_access_log_and_the_counters_agree_with_what_was_asked() {
    let scene = Scene::new().await;
    let log = tempfile::tempdir().unwrap();
    let log = log.path().join("access.jsonl");
    let options = StoreOptions { access_log: Some(log.clone()), ..StoreOptions::default() };
    let location = StoreLocation::directory(scene.directory.path()).unwrap();
    let store = Store::open(&location, &options).await.unwrap();
    let before = store.requests();

    let chunk = sealed(10_000, 1);
    let len = chunk.chunk.len() as u64;
    store.put_chunk(ROOT, &chunk.id, &chunk.chunk).await.unwrap();
    store.put_chunk(ROOT, &chunk.id, &chunk.chunk).await.unwrap();
    store.get_chunk(ROOT, &chunk.id).await.unwrap();
    store.clone().get_chunk(ROOT, &chunk.id).await.unwrap();
    store.get_chunk(ROOT, &ChunkId::of(b"missing")).await.unwrap_err();
    store.active_root().await.unwrap();

    let counts = store.requests();
    let state = std::fs::metadata(scene.path("roots/00000001/state.json")).unwrap().len();
    let expected = RequestCounts {
        // Of these, two look at the root's state: the first reader of a minute, and who asks for the active root.
        gets: before.gets + 5,
        get_bytes: before.get_bytes + 2 * len + 2 * state,
        puts: 1,
        put_bytes: len,
        heads: 2,
        lists: 1,
        deletes: 0,
    };
    assert_eq!(counts, expected);

    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |op: &str| lines.iter().filter(|line| line["op"] == op).collect::<Vec<_>>();
    let bytes = |op: &str| of(op).iter().map(|line| line["bytes"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(of("get").len() as u64, counts.gets);
    assert_eq!(bytes("get"), counts.get_bytes);
    assert_eq!((of("put").len() as u64, bytes("put")), (counts.puts, counts.put_bytes));
    assert_eq!((of("head").len(), of("list").len()), (2, 1));
    assert_eq!(of("head")[0]["outcome"], "not_found");
    assert_eq!(of("head")[1]["outcome"], "ok");
    let id = chunk.id.to_string();
    assert_eq!(of("put")[0]["path"], format!("roots/00000001/chunks/{}/{id}", &id[..2]));
    assert!(lines.iter().all(|line| line["us"].is_u64()));
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_is_an_error_that_names_it() {
    let scene = Scene::new().await;
    let options =
        StoreOptions { access_log: Some("/nonexistent/access.jsonl".into()), ..StoreOptions::default() };
    let location = StoreLocation::directory(scene.directory.path()).unwrap();
    let error = Store::open(&location, &options).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot open the access log /nonexistent/access.jsonl");
}
