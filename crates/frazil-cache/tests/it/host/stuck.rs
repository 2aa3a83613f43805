//! One that is stuck delays nobody else, and nothing grows without end.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use frazil_cache::conformance::Fault;
use frazil_cache::host::protocol::{HELLO_LEN, Hello, Question, Request};
use frazil_cache::host::{Limits, ServerOptions};
use frazil_cache::resilience::Priority;
use frazil_cache::{ErrorClass, Memory, Tier};

use super::stand::{NoCatalog, Stand, until};
use crate::stages::{below, chunks, read_all};

fn stand_with(tier: Arc<dyn Tier>, limits: Limits) -> Stand {
    Stand::new(tier, Arc::new(NoCatalog), ServerOptions { limits, ..ServerOptions::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_behind_stuck_ones_on_the_same_connection_are_answered() {
    let image = chunks(0..50, 30_000);
    let origin = below(&image);
    let stand = Stand::over(Arc::new(Memory::new(origin.clone(), 64 << 20)));
    let agent = Arc::new(stand.agent());
    let (stuck, rest) = image.split_at(8);
    origin.order([Fault::Stuck; 8]);
    let waiting: Vec<_> = stuck
        .iter()
        .map(|sample| {
            let (agent, sample) = (Arc::clone(&agent), sample.clone());
            tokio::spawn(async move { read_all(&*agent, &[sample]).await })
        })
        .collect();
    until(|| origin.fetches() == 8).await;
    // Fetched ones, and then cached ones.
    read_all(&*agent, rest).await;
    read_all(&*agent, rest).await;
    assert_eq!(agent.counts().connections, 1);
    assert!(waiting.iter().all(|reader| !reader.is_finished()));
    (0..8).for_each(|_| origin.release());
    for reader in waiting {
        reader.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_limit_requests_wait_with_their_agent_and_hits_do_not_count() {
    let image = chunks(0..20, 30_000);
    let origin = below(&image);
    let memory = Arc::new(Memory::new(origin.clone(), 64 << 20));
    // Room for two that wait, in all; each agent may have as many.
    let stand = stand_with(memory, Limits { in_flight: 2, ..Limits::default() });
    let (cached, rest) = image.split_at(10);
    read_all(&stand.agent(), cached).await;
    let (stuck, late) = rest.split_at(2);
    origin.order([Fault::Stuck; 2]);
    let spawn = |sample: &frazil_cache::conformance::Sample| {
        let (agent, sample) = (stand.agent(), sample.clone());
        tokio::spawn(async move {
            read_all(&agent, &[sample]).await;
            agent.counts()
        })
    };
    let waiting: Vec<_> = stuck.iter().map(spawn).collect();
    until(|| stand.server().stats().requests.in_flight == 2).await;
    // The server is full: what is cached is still answered, what is not is asked for again and again.
    read_all(&stand.agent(), cached).await;
    origin.order([Fault::Stuck]);
    let turned_away = spawn(&late[0]);
    until(|| stand.server().stats().errors.busy >= 3).await;
    assert!(!turned_away.is_finished());
    (0..3).for_each(|_| origin.release());
    for reader in waiting {
        reader.await.unwrap();
    }
    assert!(turned_away.await.unwrap().busy >= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_patience_is_told_that_there_is_too_much_to_do() {
    let image = chunks(0..2, 30_000);
    let origin = below(&image);
    origin.order([Fault::Stuck]);
    let memory = Arc::new(Memory::new(origin.clone(), 64 << 20));
    let stand = stand_with(memory, Limits { in_flight: 0, ..Limits::default() });
    let agent = stand.impatient_agent(Duration::from_millis(100));
    let error = agent.get(&image[0].wanted).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    assert!(agent.counts().busy > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_reads_no_answer_is_let_go_and_delays_nobody() {
    let image = chunks(0..40, 1 << 20);
    let origin = below(&image);
    let memory = Arc::new(Memory::new(origin.clone(), 256 << 20));
    let limits = Limits { write_timeout: Duration::from_millis(300), ..Limits::default() };
    let stand = stand_with(memory, limits);
    read_all(&stand.agent(), &image).await;
    let mut lazy = UnixStream::connect(stand.path()).unwrap();
    let mut requests = Hello::AGENT.encode().to_vec();
    for (sample, id) in image.iter().zip(1..) {
        let (wanted, priority) = (sample.wanted, Priority::Demand);
        let question = Question::Chunk { wanted, priority, trace: None };
        requests.extend_from_slice(&Request::Ask(question).encode(id));
    }
    std::io::Write::write_all(&mut lazy, &requests).unwrap();
    read_all(&stand.agent(), &image).await;
    until(|| stand.server().stats().connections.stuck == 1).await;
    // Some of the answers lie in the kernel's buffers; then the connection has ended.
    let mut rest = Vec::new();
    let _ = lazy.read_to_end(&mut rest);
    assert!(rest.len() > HELLO_LEN && rest.len() < 30 << 20, "{} bytes", rest.len());
    until(|| stand.server().stats().connections.open <= 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_answers_than_a_connection_may_hold_are_asked_for_again() {
    let image = chunks(0..64, 100_000);
    let memory = Arc::new(Memory::new(below(&image), 64 << 20));
    // Room for three answers that are not read yet.
    let limits = Limits { answer_bytes_per_connection: 350_000, ..Limits::default() };
    let stand = stand_with(memory, limits);
    let agent = Arc::new(stand.agent());
    let readers = image.iter().cloned().map(|sample| {
        let agent = Arc::clone(&agent);
        tokio::spawn(async move { read_all(&*agent, &[sample]).await })
    });
    for reader in futures::future::join_all(readers).await {
        reader.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_agents_wait_for_a_place() {
    let image = chunks(0..1, 1000);
    let stand = stand_with(
        Arc::new(Memory::new(below(&image), 1 << 20)),
        Limits { connections: 1, ..Limits::default() },
    );
    let first = stand.agent();
    read_all(&first, &image).await;
    let (second, wanted) = (stand.agent(), image.clone());
    let waiting = tokio::spawn(async move { read_all(&second, &wanted).await });
    until(|| stand.server().stats().connections.busy >= 2).await;
    drop(first);
    waiting.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_gives_up_frees_its_place() {
    let image = chunks(0..10, 1000);
    let origin = below(&image);
    let stand = stand_with(
        Arc::new(Memory::new(origin.clone(), 1 << 20)),
        Limits { in_flight_per_connection: 1, ..Limits::default() },
    );
    let agent = Arc::new(stand.agent());
    for sample in &image[..9] {
        origin.order([Fault::Stuck]);
        let (before, reader_agent, wanted) = (origin.fetches(), Arc::clone(&agent), sample.wanted);
        let reader = tokio::spawn(async move { reader_agent.get(&wanted).await });
        until(|| origin.fetches() > before).await;
        reader.abort();
    }
    read_all(&*agent, &image[9..]).await;
    until(|| stand.server().stats().requests.in_flight == 0).await;
    assert_eq!(stand.server().stats().requests.forgotten, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_never_ends_is_an_error_by_its_deadline() {
    let image = chunks(0..1, 1000);
    let origin = below(&image);
    origin.order([Fault::Stuck]);
    let limits = Limits { request_deadline: Duration::from_millis(50), ..Limits::default() };
    let stand = stand_with(Arc::new(Memory::new(origin.clone(), 1 << 20)), limits);
    let error = stand.agent().get(&image[0].wanted).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient);
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("did not answer within 50 ms"), "{why}");
}
