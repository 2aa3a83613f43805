//! A store on a disk that fills up.

use frazil_store::ErrorClass;

use crate::namespace::{block_on, in_mount_namespace, mount_tmpfs};
use crate::scene::{ROOT, chunk_file, files, image, publish, sealed, store_in};

#[test]
fn a_full_disk_is_said_to_be_full_and_leaves_nothing_half_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    in_mount_namespace(|| {
        mount_tmpfs(path, 1 << 20);
        block_on(async {
            let store = store_in(path).await;
            let reference = publish(&store, "app", b"published while there was room").await;
            let chunks: Vec<_> = (0..8).map(|seed| sealed(300_000, seed)).collect();
            let mut put = Vec::new();
            let refused = loop {
                let chunk = &chunks[put.len()];
                match store.put_chunk(ROOT, &chunk.id, &chunk.chunk).await {
                    Ok(_) => put.push(chunk),
                    Err(error) => break error,
                }
            };
            assert_eq!(put.len(), 3, "three chunks of 300 kB fit into a MiB");
            assert_eq!(refused.class(), ErrorClass::Full, "{refused}");
            assert!(files(path).iter().all(|file| !file.contains('#')), "{:?}", files(path));
            assert_eq!(store.contains_chunk(ROOT, &chunks[3].id).await.unwrap(), None);
            for chunk in &put {
                assert_eq!(store.get_chunk(ROOT, &chunk.id).await.unwrap(), chunk.chunk);
            }
            assert_eq!(store.reference("default", &image("app")).await.unwrap(), Some(reference));

            std::fs::remove_file(chunk_file(path, &chunks[0].id)).unwrap();
            store.put_chunk(ROOT, &chunks[3].id, &chunks[3].chunk).await.unwrap();
            store.sync().await.unwrap();
        });
    });
}

#[test]
fn a_name_keeps_what_it_stood_for_when_there_is_no_room_for_the_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    in_mount_namespace(|| {
        mount_tmpfs(path, 256 << 10);
        block_on(async {
            let store = store_in(path).await;
            let old = publish(&store, "app", b"old").await;
            let new = publish(&store, "other", b"new").await;
            // The rest of the disk, to the last page.
            let filled = std::fs::write(path.join("roots/ballast"), vec![1; 1 << 20]).unwrap_err();
            assert_eq!(filled.kind(), std::io::ErrorKind::StorageFull);
            let error = store.publish("default", &image("app"), new).await.unwrap_err();
            assert_eq!(error.class(), ErrorClass::Full, "{error}");
            assert_eq!(store.reference("default", &image("app")).await.unwrap(), Some(old));
            std::fs::remove_file(path.join("roots/ballast")).unwrap();
            store.publish("default", &image("app"), new).await.unwrap();
            assert_eq!(store.reference("default", &image("app")).await.unwrap(), Some(new));
        });
    });
}
