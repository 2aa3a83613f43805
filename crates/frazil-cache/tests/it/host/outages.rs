//! A host cache that ends, is killed, or comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use frazil_cache::conformance::Fault;
use frazil_cache::host::{HostError, HostSocket};
use frazil_cache::{ErrorClass, Memory, Tier};

use super::stand::{Stand, until};
use crate::stages::{below, chunks, read_all, scratch};

#[tokio::test(flavor = "multi_thread")]
async fn a_host_cache_that_is_killed_again_and_again_costs_no_reader_an_error() {
    let image = chunks(0..100, 200_000);
    let mut stand = Stand::over(Arc::new(Memory::new(below(&image), 8 << 20)));
    let agent = Arc::new(stand.agent());
    let end = Instant::now() + Duration::from_secs(3);
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (agent, image) = (Arc::clone(&agent), image.clone());
            tokio::spawn(async move {
                let mut rounds = 0;
                while Instant::now() < end {
                    read_all(&*agent, &image).await;
                    rounds += 1;
                }
                rounds
            })
        })
        .collect();
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stand.kill().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        stand.start();
    }
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    assert!(agent.counts().connections > 5, "{:?}", agent.counts());
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_wait_for_a_host_cache_that_is_gone() {
    let image = chunks(0..4, 10_000);
    let mut stand = Stand::over(Arc::new(Memory::new(below(&image), 8 << 20)));
    let agent = Arc::new(stand.agent());
    read_all(&*agent, &image[..1]).await;
    stand.end().await;
    assert!(!stand.path().exists(), "a polite end takes the socket away");
    let (waiting_agent, rest) = (Arc::clone(&agent), image.clone());
    let waiting = tokio::spawn(async move { read_all(&*waiting_agent, &rest).await });
    until(|| agent.counts().retries > 3).await;
    assert!(!waiting.is_finished());
    stand.start();
    waiting.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn patience_ends_and_the_error_says_what_was_tried() {
    let image = chunks(0..1, 10_000);
    let mut stand = Stand::over(Arc::new(Memory::new(below(&image), 8 << 20)));
    stand.end().await;
    let agent = stand.impatient_agent(Duration::from_millis(60));
    let error = agent.get(&image[0].wanted).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient);
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("cached.sock") && why.contains("within 60 ms"), "{why}");
    assert!(agent.ping_once().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_polite_end_finishes_what_is_under_way() {
    let image = chunks(0..2, 100_000);
    let origin = below(&image);
    let mut stand = Stand::over(Arc::new(Memory::new(origin.clone(), 8 << 20)));
    let agent = Arc::new(stand.agent());
    origin.order([Fault::Stuck]);
    let (reader_agent, wanted) = (Arc::clone(&agent), image.clone());
    let reader = tokio::spawn(async move { read_all(&*reader_agent, &wanted[..1]).await });
    until(|| stand.server().stats().requests.in_flight == 1).await;
    let ending = async {
        stand.end().await;
        assert_eq!(origin.fetches(), 1, "nothing was asked again");
    };
    let releasing = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        origin.release();
        reader.await.unwrap();
    };
    tokio::join!(ending, releasing);
    assert_eq!((agent.counts().connections, agent.counts().retries), (1, 0));
}

#[tokio::test]
async fn a_second_server_is_refused_and_a_dead_ones_socket_is_replaced() {
    let directory = scratch();
    let path = directory.path().join("cached.sock");
    let first = HostSocket::bind(&path, 0o600).unwrap();
    let error = HostSocket::bind(&path, 0o600).unwrap_err();
    assert!(matches!(error, HostError::AlreadyServed { .. }), "{error}");
    assert_eq!(error.to_string(), format!("{} is served by another process", path.display()));
    // Somebody removed it under the first one: a third who bound it would hide that.
    std::fs::remove_file(&path).unwrap();
    let error = HostSocket::bind(&path, 0o600).unwrap_err();
    assert!(matches!(error, HostError::SocketGone { .. }), "{error}");
    drop(first);
    assert!(!path.exists());
    // What a killed process leaves: a socket that nobody listens on, and a lock that nobody holds.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    drop(HostSocket::bind(&path, 0o600).unwrap());
    // What is no socket is not replaced.
    std::fs::write(&path, "precious").unwrap();
    let error = HostSocket::bind(&path, 0o600).unwrap_err();
    assert!(matches!(error, HostError::NotASocket { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[tokio::test]
async fn a_path_that_no_socket_can_have_is_an_error_in_words() {
    let directory = scratch();
    let error = HostSocket::bind(&directory.path().join("x".repeat(120)), 0o600).unwrap_err();
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("longer than 107 bytes"), "{why}");
}
