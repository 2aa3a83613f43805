//! Whatever comes over the socket, the server stays, and stays right.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use frazil_cache::Memory;
use frazil_cache::host::protocol::{
    Answer, Extent, HEADER_LEN, HELLO_LEN, Header, Hello, MAX_ANSWER_BODY, MAX_REQUEST_BODY, ProtocolError,
    Question, Request, Verdict,
};
use frazil_cache::host::{Freshness, Named};
use frazil_cache::resilience::Priority;
use frazil_cache::trace::TraceContext;
use frazil_cache::{Level, Wanted};
use frazil_format::{ChunkId, ManifestId, RootId};
use frazil_store::{ErrorClass, Reference};
use proptest::prelude::*;

use super::stand::{Stand, until};
use crate::stages::{below, chunks, read_all, scratch};

/// What the server sends to a connection that says this and then nothing, until it hangs up.
fn converse(stand: &Stand, said: &[u8]) -> Vec<u8> {
    let mut socket = UnixStream::connect(stand.path()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The server may have hung up before the end.
    let _ = socket.write_all(said);
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let mut heard = Vec::new();
    let _ = socket.read_to_end(&mut heard);
    heard
}

/// The next answer, which is to this request.
fn hear(socket: &mut UnixStream, id: u64) -> Answer {
    let mut header = [0; HEADER_LEN];
    socket.read_exact(&mut header).unwrap();
    let header = Header::decode(&header, MAX_ANSWER_BODY).unwrap();
    assert_eq!(header.id, id);
    let mut body = vec![0; header.body_len as usize];
    socket.read_exact(&mut body).unwrap();
    Answer::decode(&header, body.into()).unwrap()
}

fn after_hello(frames: &[&[u8]]) -> Vec<u8> {
    [&Hello::AGENT.encode()[..], &frames.concat()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_ends_its_connection_and_nothing_else() {
    let image = chunks(0..3, 1000);
    let stand = Stand::over(Arc::new(Memory::new(below(&image), 1 << 20)));
    let ping = Request::Ask(Question::Ping);
    let huge = Header { body_len: u32::MAX, kind: 1, detail: 0, id: 1 }.encode();
    let long = Header { body_len: MAX_REQUEST_BODY + 1, kind: 2, detail: 0, id: 1 }.encode();
    let short = Header { body_len: 3, kind: 1, detail: 0, id: 1 }.encode();
    let mut reserved = ping.encode(1).to_vec();
    reserved[6] = 1;
    let conversations = [
        b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
        vec![0xff; 4096],
        after_hello(&[&huge]),
        after_hello(&[&long]),
        after_hello(&[&short, b"abc"]),
        after_hello(&[&reserved]),
    ];
    let count = conversations.len() as u64;
    for said in conversations {
        let heard = converse(&stand, &said);
        assert_eq!(heard.len(), HELLO_LEN, "a hello, and nothing for garbage: {said:?}");
    }
    until(|| stand.server().stats().connections.garbled == count).await;
    // An end in the middle of a frame is a broken connection, not garbage.
    converse(&stand, &after_hello(&[&ping.encode(1)[..7]]));
    read_all(&stand.agent(), &image).await;
    until(|| stand.server().stats().connections.open <= 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_from_the_future_is_told_what_is_not_known_yet() {
    let stand = Stand::over(Arc::new(Memory::new(below(&[]), 1 << 20)));
    let unknown = Header { body_len: 2, kind: 99, detail: 0, id: 7 }.encode();
    let ping = Request::Ask(Question::Ping).encode(8);
    // Whoever hangs up gives up what was not answered yet, so this agent stays until it has heard all.
    let mut socket = UnixStream::connect(stand.path()).unwrap();
    socket.write_all(&after_hello(&[&unknown, b"hi", &ping])).unwrap();
    socket.read_exact(&mut [0; HELLO_LEN]).unwrap();
    let Answer::Error { class, message } = hear(&mut socket, 7) else { panic!() };
    assert_eq!((class, message.as_str()), (ErrorClass::Denied, "kind 99 is unknown"));
    assert_eq!(hear(&mut socket, 8), Answer::Pong, "and the ping is answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_dawdles_in_the_middle_of_a_frame_is_let_go() {
    let limits = frazil_cache::host::Limits {
        frame_timeout: Duration::from_millis(50),
        ..frazil_cache::host::Limits::default()
    };
    let options = frazil_cache::host::ServerOptions { limits, ..Default::default() };
    let memory = Arc::new(Memory::new(below(&[]), 1 << 20));
    let stand = Stand::new(memory, Arc::new(super::stand::NoCatalog), options);
    let mut socket = UnixStream::connect(stand.path()).unwrap();
    socket.write_all(&after_hello(&[&[1, 2, 3]])).unwrap();
    let mut heard = Vec::new();
    socket.read_to_end(&mut heard).unwrap();
    assert_eq!(heard.len(), HELLO_LEN);
}

#[test]
fn a_side_without_a_common_version_is_named_and_a_later_one_that_has_one_is_understood() {
    let hello = |newest, oldest| {
        let mut hello = Hello::AGENT.encode();
        hello[8..10].copy_from_slice(&[newest, oldest]);
        Hello::decode(&hello)
    };
    assert_eq!(hello(1, 0), Err(ProtocolError::BadVersion { oldest: 0, newest: 1 }));
    assert_eq!(hello(9, 3), Err(ProtocolError::BadVersion { oldest: 3, newest: 9 }));
    assert_eq!(hello(9, 2), Ok(Hello::AGENT));
    let said = hello(1, 0).unwrap_err().to_string();
    assert_eq!(said, "it speaks versions 0 to 1 of the protocol, this program speaks 2 to 2");
}

fn question() -> impl Strategy<Value = Question> {
    prop_oneof![
        (
            any::<u32>(),
            any::<u32>(),
            any::<[u8; 32]>(),
            any::<bool>(),
            proptest::option::of(any::<([u8; 16], [u8; 8])>())
        )
            .prop_map(|(root, sealed_len, id, is_demand, trace)| {
                let (root, id) = (RootId::from_number(root), ChunkId::from_bytes(id));
                let wanted = Wanted { root, id, sealed_len };
                let priority = if is_demand { Priority::Demand } else { Priority::Prefetch };
                let trace = trace.map(|(trace, span)| TraceContext { trace, span });
                Question::Chunk { wanted, priority, trace }
            }),
        ("[a-z0-9._-]{0,64}", "[a-z0-9/:]{1,200}")
            .prop_map(|(tenant, name)| Question::Reference { tenant, name: name.parse().unwrap() }),
        (any::<u32>(), any::<u64>(), any::<[u8; 32]>(), any::<bool>()).prop_map(
            |(root, offset, id, come)| {
                let (root, id) = (RootId::from_number(root), ManifestId::from_bytes(id));
                let extent = if come { Extent::Come } else { Extent::Full };
                Question::Manifest { root, id, offset, extent }
            }
        ),
        Just(Question::Stats),
        Just(Question::Ping),
        (any::<u32>(), any::<[u8; 32]>()).prop_map(|(root, id)| {
            let (root, id) = (RootId::from_number(root), ManifestId::from_bytes(id));
            Question::InUse { root, id }
        }),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..2000).prop_map(Bytes::from);
    let class = prop_oneof![
        Just(ErrorClass::NotFound),
        Just(ErrorClass::Corrupt),
        Just(ErrorClass::Transient),
        Just(ErrorClass::Denied),
        Just(ErrorClass::Full),
    ];
    let named = (any::<u32>(), any::<[u8; 32]>(), any::<bool>()).prop_map(|(root, id, fresh)| Named {
        reference: Reference { root: RootId::from_number(root), manifest: ManifestId::from_bytes(id) },
        freshness: if fresh { Freshness::Fresh } else { Freshness::LastKnown },
    });
    prop_oneof![
        (prop::sample::select(Level::ALL.to_vec()), bytes())
            .prop_map(|(by, sealed)| Answer::Chunk { by, sealed }),
        proptest::option::of(named).prop_map(Answer::Reference),
        (any::<u64>(), bytes()).prop_map(|(len, piece)| Answer::Manifest { len, piece }),
        bytes().prop_map(Answer::Stats),
        Just(Answer::Pong),
        (class, "[a-z ]{0,200}").prop_map(|(class, message)| Answer::Error { class, message }),
        any::<u32>().prop_map(|retry_after_ms| Answer::Busy { retry_after_ms }),
    ]
}

proptest! {
    #[test]
    fn every_request_arrives_as_it_was_sent(question in question(), id in any::<u64>()) {
        for request in [Request::Ask(question), Request::Forget, Request::Hurry] {
            let bytes = request.encode(id);
            let header = Header::decode(bytes[..HEADER_LEN].try_into().unwrap(), MAX_REQUEST_BODY).unwrap();
            prop_assert_eq!((header.id, header.body_len as usize), (id, bytes.len() - HEADER_LEN));
            prop_assert_eq!(Request::decode(&header, &bytes[HEADER_LEN..]).unwrap(), request);
        }
    }

    #[test]
    fn every_answer_arrives_as_it_was_sent(answer in answer(), id in any::<u64>()) {
        let (head, body) = answer.clone().encode(id);
        let bytes = Bytes::from([&head[..], &body[..]].concat());
        let header = Header::decode(bytes[..HEADER_LEN].try_into().unwrap(), MAX_ANSWER_BODY).unwrap();
        prop_assert_eq!((header.id, header.body_len as usize), (id, bytes.len() - HEADER_LEN));
        prop_assert_eq!(Answer::decode(&header, bytes.slice(HEADER_LEN..)).unwrap(), answer);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), HEADER_LEN..600)) {
        let header = Header::decode(bytes[..HEADER_LEN].try_into().unwrap(), u32::MAX);
        let _ = Hello::decode(bytes[..HELLO_LEN].try_into().unwrap());
        for kind in 0..=8 {
            let body = Bytes::copy_from_slice(&bytes[HEADER_LEN..]);
            let header = Header { kind, body_len: body.len() as u32, detail: bytes[5], id: 1 };
            let _ = Request::decode(&header, &body);
            let _ = Answer::decode(&header, body);
        }
        drop(header);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_survives_a_host_cache_that_talks_nonsense() {
    let directory = scratch();
    let path = directory.path().join("cached.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let image = chunks(0..1, 1000);
    // Ever another nonsense; the last is an answer of the right shape with the wrong bytes.
    let sealed = Bytes::from(vec![7; image[0].chunk.len()]);
    let wrong = Answer::Chunk { by: Level::Memory, sealed };
    let nonsense = std::thread::spawn(move || {
        let welcome = Hello(Verdict::Welcome { in_flight: 4 }).encode();
        let answers: [Vec<u8>; 5] = [
            vec![0xff; 64],
            Header { body_len: u32::MAX, kind: 1, detail: 0, id: 1 }.encode().to_vec(),
            Header { body_len: 1 << 20, kind: 1, detail: 0, id: 1 }.encode().to_vec(),
            // An answer to nothing, then the end.
            Header { body_len: 0, kind: 5, detail: 0, id: 99 }.encode().to_vec(),
            {
                let (head, body) = wrong.encode(1);
                [&head[..], &body[..]].concat()
            },
        ];
        for answer in answers {
            let (mut socket, _) = listener.accept().unwrap();
            socket.write_all(&welcome).unwrap();
            let mut asked = [0; HELLO_LEN + HEADER_LEN + 40];
            socket.read_exact(&mut asked).unwrap();
            socket.write_all(&answer).unwrap();
        }
    });
    let options = frazil_cache::host::HostCacheOptions { patience: crate::stages::PATIENCE };
    let agent = frazil_cache::host::HostCache::new(&path, options);
    let error = frazil_cache::Tier::get(&agent, &image[0].wanted).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Corrupt, "{error}");
    assert_eq!((agent.counts().connections, agent.counts().corrupt), (5, 1));
    nonsense.join().unwrap();
}
