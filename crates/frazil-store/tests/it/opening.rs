//! Opening and making stores.

use std::path::Path;

use frazil_store::{ErrorClass, RootState, Store, StoreError, StoreLocation, StoreOptions};

use crate::scene::{ROOT, Scene, files, store_in};

async fn open(directory: &Path) -> Result<Store, StoreError> {
    Store::open(&StoreLocation::directory(directory).unwrap(), &StoreOptions::default()).await
}

#[tokio::test]
async fn a_new_store_has_one_active_root() {
    let scene = Scene::new().await;
    assert_eq!(files(scene.directory.path()), ["frazil.json", "roots/00000001/state.json"]);
    assert_eq!(scene.store.active_root().await.unwrap(), ROOT);
    assert_eq!(scene.store.roots().await.unwrap(), [(ROOT, RootState::Active)]);
    let again = store_in(scene.directory.path()).await;
    assert_eq!(again.id(), scene.store.id());
    assert_ne!(again.id(), Scene::new().await.store.id());
}

#[tokio::test]
async fn where_no_store_is_none_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    for path in [directory.path().to_owned(), directory.path().join("missing")] {
        let error = open(&path).await.unwrap_err();
        assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
        assert_eq!(error.class(), ErrorClass::NotFound);
    }
    assert_eq!(files(directory.path()), Vec::<String>::new());
}

#[tokio::test]
async fn no_store_is_made_among_other_files() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("thesis.tex"), "").unwrap();
    let location = StoreLocation::directory(directory.path()).unwrap();
    let error = Store::open_or_create(&location, &StoreOptions::default()).await.unwrap_err();
    assert!(matches!(error, StoreError::Occupied { .. }), "{error}");
    assert_eq!(files(directory.path()), ["thesis.tex"]);
}

#[tokio::test]
async fn a_store_whose_making_was_cut_short_is_none_and_is_finished_by_the_next() {
    let scene = Scene::new().await;
    std::fs::remove_file(scene.path("frazil.json")).unwrap();
    std::fs::write(scene.path("frazil.json#1"), "{").unwrap();
    assert!(matches!(open(scene.directory.path()).await, Err(StoreError::NotAStore { .. })));
    assert_eq!(store_in(scene.directory.path()).await.active_root().await.unwrap(), ROOT);
}

#[test]
fn processes_that_make_one_store_at_once_open_the_same_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/store");
    let start = std::sync::Barrier::new(8);
    let mut ids: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    start.wait();
                    runtime.block_on(store_in(&path)).id().to_string()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(files(&path), ["frazil.json", "roots/00000001/state.json"]);
}

#[tokio::test]
async fn a_damaged_or_newer_marker_is_refused_and_left_alone() {
    let scene = Scene::new().await;
    let cases = [
        ("", ErrorClass::Corrupt),
        ("{\"format\": 1}", ErrorClass::Corrupt),
        ("{\"format\": 1, \"store_id\": \"../x\"}", ErrorClass::Corrupt),
        ("{\"format\": 9, \"store_id\": 7}", ErrorClass::Denied),
    ];
    for (marker, class) in cases {
        std::fs::write(scene.path("frazil.json"), marker).unwrap();
        let location = StoreLocation::directory(scene.directory.path()).unwrap();
        let error = Store::open_or_create(&location, &StoreOptions::default()).await.unwrap_err();
        assert_eq!(error.class(), class, "{error}");
        assert!(error.to_string().starts_with("frazil.json is "), "{error}");
        assert_eq!(std::fs::read_to_string(scene.path("frazil.json")).unwrap(), marker);
    }
}

#[tokio::test]
async fn new_images_go_to_the_youngest_active_root() {
    let scene = Scene::new().await;
    for (root, state) in [("00000002", "active"), ("00000003", "retired"), ("00000004", "expired")] {
        std::fs::create_dir(scene.path(format!("roots/{root}"))).unwrap();
        let record = format!("{{\"format\": 1, \"state\": \"{state}\"}}");
        std::fs::write(scene.path(format!("roots/{root}/state.json")), record).unwrap();
    }
    std::fs::create_dir(scene.path("roots/backup")).unwrap();
    assert_eq!(scene.store.active_root().await.unwrap().number(), 2);
    assert_eq!(scene.store.roots().await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_root_of_an_unknown_state_is_not_written_to() {
    let scene = Scene::new().await;
    std::fs::write(scene.path("roots/00000001/state.json"), "{\"format\": 1, \"state\": \"fine\"}").unwrap();
    let error = scene.store.active_root().await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    std::fs::write(scene.path("roots/00000001/state.json"), "{\"format\": 1, \"state\": \"deleted\"}")
        .unwrap();
    let error = scene.store.active_root().await.unwrap_err();
    assert!(matches!(error, StoreError::NoActiveRoot { .. }), "{error}");
}
