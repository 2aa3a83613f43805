//! Chunks on a disk: put once, whole, and doubted.

use std::fs::{File, FileTimes};
use std::time::{Duration, SystemTime};

use frazil_format::ChunkId;
use frazil_store::{ErrorClass, Put, StoreError};

use crate::scene::{ROOT, Scene, files, sealed};

#[tokio::test]
async fn a_chunk_comes_back_as_it_was_put() {
    let scene = Scene::new().await;
    let sealed = sealed(100_000, 1);
    assert_eq!(scene.store.contains_chunk(ROOT, &sealed.id).await.unwrap(), None);
    assert_eq!(scene.store.put_chunk(ROOT, &sealed.id, &sealed.chunk).await.unwrap(), Put::New);
    assert_eq!(scene.store.put_chunk(ROOT, &sealed.id, &sealed.chunk).await.unwrap(), Put::Present);
    let len = sealed.chunk.len() as u64;
    assert_eq!(scene.store.contains_chunk(ROOT, &sealed.id).await.unwrap(), Some(len));
    assert_eq!(scene.store.get_chunk(ROOT, &sealed.id).await.unwrap(), sealed.chunk);
    assert_eq!(std::fs::read(scene.chunk_file(&sealed.id)).unwrap(), *sealed.chunk.bytes());
}

#[tokio::test]
async fn a_chunk_that_nobody_put_is_not_found() {
    let scene = Scene::new().await;
    let id = ChunkId::of(b"nothing");
    let error = scene.store.get_chunk(ROOT, &id).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
    assert_eq!(error.to_string(), format!("chunk {id} is not in root 00000001"));
}

#[test]
fn of_eight_threads_that_put_the_same_chunk_one_writes_it() {
    let directory = tempfile::tempdir().unwrap();
    let sealed = sealed(200_000, 2);
    let start = std::sync::Barrier::new(8);
    let results: Vec<Put> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    runtime.block_on(async {
                        let store = crate::scene::store_in(directory.path()).await;
                        start.wait();
                        store.put_chunk(ROOT, &sealed.id, &sealed.chunk).await.unwrap()
                    })
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|put| **put == Put::New).count(), 1, "{results:?}");
    let id = sealed.id.to_string();
    let chunk = format!("roots/00000001/chunks/{}/{id}", &id[..2]);
    assert_eq!(files(directory.path()), ["frazil.json", &chunk, "roots/00000001/state.json"]);
    assert_eq!(std::fs::read(directory.path().join(chunk)).unwrap(), *sealed.chunk.bytes());
}

#[tokio::test]
async fn what_a_power_cut_left_of_a_chunk_is_replaced_by_the_next_put() {
    let scene = Scene::new().await;
    let sealed = sealed(50_000, 3);
    let file = scene.chunk_file(&sealed.id);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    for left in [0, 1, 4096, sealed.chunk.len() - 1] {
        std::fs::write(&file, &sealed.chunk.bytes()[..left]).unwrap();
        let error = scene.store.get_chunk(ROOT, &sealed.id).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Corrupt, "{left} bytes: {error}");
        assert!(error.to_string().contains(&sealed.id.to_string()));
        assert_eq!(scene.store.put_chunk(ROOT, &sealed.id, &sealed.chunk).await.unwrap(), Put::New);
        assert_eq!(scene.store.get_chunk(ROOT, &sealed.id).await.unwrap(), sealed.chunk);
    }
}

#[tokio::test]
async fn two_chunks_in_each_others_place_are_both_refused() {
    let scene = Scene::new().await;
    let (one, other) = (sealed(10_000, 4), sealed(10_000, 5));
    for sealed in [&one, &other] {
        scene.store.put_chunk(ROOT, &sealed.id, &sealed.chunk).await.unwrap();
    }
    std::fs::write(scene.chunk_file(&one.id), other.chunk.bytes()).unwrap();
    std::fs::write(scene.chunk_file(&other.id), one.chunk.bytes()).unwrap();
    for sealed in [&one, &other] {
        let error = scene.store.get_chunk(ROOT, &sealed.id).await.unwrap_err();
        assert!(matches!(&error, StoreError::CorruptChunk { id, .. } if *id == sealed.id), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_possible_chunk_is_not_read() {
    let scene = Scene::new().await;
    let id = ChunkId::of(b"anything");
    let file = scene.chunk_file(&id);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    File::create(&file).unwrap().set_len(1 << 40).unwrap();
    let error = scene.store.get_chunk(ROOT, &id).await.unwrap_err();
    assert!(matches!(error, StoreError::Oversized { len, .. } if len == 1 << 40), "{error}");
}

#[tokio::test]
async fn old_writes_of_killed_writers_go_when_somebody_writes_beside_them() {
    let scene = Scene::new().await;
    let sealed = sealed(1000, 6);
    let file = scene.chunk_file(&sealed.id);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let old = file.with_file_name(format!("{}#1", sealed.id));
    let young = file.with_file_name(format!("{}#2", ChunkId::of(b"a live writer's")));
    let foreign = file.with_file_name("notes#x");
    for path in [&old, &young, &foreign] {
        std::fs::write(path, b"half a chu").unwrap();
    }
    let two_days_ago = SystemTime::now() - Duration::from_secs(48 * 60 * 60);
    for path in [&old, &foreign] {
        File::open(path).unwrap().set_times(FileTimes::new().set_modified(two_days_ago)).unwrap();
    }
    scene.store.get_chunk(ROOT, &sealed.id).await.unwrap_err();
    assert!(old.exists(), "readers sweep nothing");
    assert_eq!(scene.store.put_chunk(ROOT, &sealed.id, &sealed.chunk).await.unwrap(), Put::New);
    assert!(!old.exists() && young.exists() && foreign.exists());
    assert_eq!(scene.store.get_chunk(ROOT, &sealed.id).await.unwrap(), sealed.chunk);
}
