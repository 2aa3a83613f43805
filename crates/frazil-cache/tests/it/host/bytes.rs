//! The bytes of the protocol, as they are written down in the protocol's own words: a change here is a new version.

use bytes::Bytes;
use frazil_cache::host::protocol::{Answer, Extent, Hello, Purpose, Question, Request, Shelved, Verdict};
use frazil_cache::host::{Freshness, Named};
use frazil_cache::resilience::Priority;
use frazil_cache::trace::TraceContext;
use frazil_cache::{ErrorClass, Level, Wanted};
use frazil_format::{BundleId, ChunkId, ManifestId, RootId};
use frazil_store::Reference;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn request(request: &Request) -> String {
    hex(&request.encode(0x0102))
}

fn answer(answer: Answer) -> String {
    let (head, body) = answer.encode(0x0102);
    hex(&head) + &hex(&body)
}

/// Body length, kind, detail, reserved, request id.
fn header(len: &str, kind: &str, detail: &str) -> String {
    format!("{len}{kind}{detail}00000201000000000000")
}

#[test]
fn hellos_have_these_bytes() {
    let magic = hex(b"FRAZILHC");
    assert_eq!(hex(&Hello::AGENT.encode()), format!("{magic}0202000000000000"));
    let hello = |verdict| hex(&Hello(verdict).encode());
    assert_eq!(hello(Verdict::Welcome { in_flight: 256 }), format!("{magic}0202000000010000"));
    assert_eq!(hello(Verdict::Refused), format!("{magic}0202010000000000"));
    assert_eq!(hello(Verdict::Busy { retry_after_ms: 500 }), format!("{magic}02020200f4010000"));
}

#[test]
fn requests_have_these_bytes() {
    let wanted =
        Wanted { root: RootId::from_number(3), id: ChunkId::from_bytes([0xaa; 32]), sealed_len: 0x1234 };
    let chunk = |priority, trace| request(&Request::Ask(Question::Chunk { wanted, priority, trace }));
    let id = "aa".repeat(32);
    assert_eq!(chunk(Priority::Demand, None), header("28000000", "01", "00") + "0300000034120000" + &id);
    let trace = TraceContext { trace: [0xbb; 16], span: [0xcc; 8] };
    assert_eq!(
        chunk(Priority::Prefetch, Some(trace)),
        header("40000000", "01", "01") + "0300000034120000" + &id + &"bb".repeat(16) + &"cc".repeat(8)
    );
    let name = Question::Reference { tenant: "own".to_owned(), name: "debian:13".parse().unwrap() };
    assert_eq!(
        request(&Request::Ask(name)),
        header("0d000000", "02", "00") + "03" + &hex(b"own") + &hex(b"debian:13")
    );
    let manifest = Question::Manifest {
        root: RootId::from_number(3),
        id: ManifestId::from_bytes([0xaa; 32]),
        offset: 7,
        extent: Extent::Full,
    };
    assert_eq!(
        request(&Request::Ask(manifest)),
        header("30000000", "03", "00") + "03000000" + "00000000" + "0700000000000000" + &id
    );
    let come = Question::Manifest {
        root: RootId::from_number(3),
        id: ManifestId::from_bytes([0xaa; 32]),
        offset: 7,
        extent: Extent::Come,
    };
    assert_eq!(
        request(&Request::Ask(come)),
        header("30000000", "03", "01") + "03000000" + "00000000" + "0700000000000000" + &id
    );
    assert_eq!(request(&Request::Ask(Question::Stats)), header("00000000", "04", "00"));
    assert_eq!(request(&Request::Ask(Question::Ping)), header("00000000", "05", "00"));
    let of = Reference { root: RootId::from_number(3), manifest: ManifestId::from_bytes([0xaa; 32]) };
    let profiles = Shelved { of, bundle: None };
    let bundle = Shelved { of, bundle: Some(BundleId::from_bytes([0xdd; 32])) };
    let (three, other) = ("03000000".to_owned(), "dd".repeat(32));
    let head = |word: &str, offset: &str| three.clone() + word + offset + &id;
    assert_eq!(
        request(&Request::Ask(Question::Shelved {
            what: profiles,
            offset: 0,
            len: 0,
            purpose: Purpose::Reading
        })),
        header("30000000", "08", "00") + &head("00000000", "0000000000000000")
    );
    assert_eq!(
        request(&Request::Ask(Question::Shelved {
            what: bundle,
            offset: 7,
            len: 9,
            purpose: Purpose::Reading
        })),
        header("50000000", "08", "00") + &head("09000000", "0700000000000000") + &other
    );
    let shelve = |what, last| {
        request(&Request::Ask(Question::Shelve { what, offset: 7, last, piece: Bytes::from_static(&[1, 2]) }))
    };
    assert_eq!(
        shelve(bundle, false),
        header("52000000", "09", "00") + &head("00000000", "0700000000000000") + &other + "0102"
    );
    assert_eq!(
        shelve(profiles, true),
        header("52000000", "09", "01") + &head("00000000", "0700000000000000") + &"00".repeat(32) + "0102"
    );
    assert_eq!(
        request(&Request::Ask(Question::Clear(bundle))),
        header("44000000", "0a", "00") + "03000000" + &id + &other
    );
    assert_eq!(
        request(&Request::Ask(Question::Near(wanted))),
        header("28000000", "0b", "00") + "0300000034120000" + &id
    );
    let in_use = Question::InUse { root: RootId::from_number(3), id: ManifestId::from_bytes([0xaa; 32]) };
    assert_eq!(request(&Request::Ask(in_use)), header("24000000", "0c", "00") + "03000000" + &id);
    assert_eq!(request(&Request::Forget), header("00000000", "06", "00"));
    assert_eq!(request(&Request::Hurry), header("00000000", "07", "00"));
}

#[test]
fn answers_have_these_bytes() {
    let bytes = || Bytes::from_static(&[1, 2, 3]);
    for (by, detail) in Level::ALL.into_iter().zip(["01", "02", "03", "04"]) {
        assert_eq!(
            answer(Answer::Chunk { by, sealed: bytes() }),
            header("03000000", "01", detail) + "010203"
        );
    }
    let reference = Reference { root: RootId::from_number(3), manifest: ManifestId::from_bytes([0xaa; 32]) };
    let named = Named { reference, freshness: Freshness::LastKnown };
    assert_eq!(
        answer(Answer::Reference(Some(named))),
        header("24000000", "02", "01") + "03000000" + &"aa".repeat(32)
    );
    assert_eq!(answer(Answer::Reference(None)), header("00000000", "02", "00"));
    assert_eq!(
        answer(Answer::Manifest { len: 9, piece: bytes() }),
        header("0b000000", "03", "00") + "0900000000000000" + "010203"
    );
    assert_eq!(answer(Answer::Stats(bytes())), header("03000000", "04", "00") + "010203");
    assert_eq!(answer(Answer::Shelved(None)), header("00000000", "08", "00"));
    assert_eq!(answer(Answer::Shelved(Some(bytes()))), header("03000000", "08", "01") + "010203");
    assert_eq!(answer(Answer::Done), header("00000000", "09", "00"));
    assert_eq!(answer(Answer::Pong), header("00000000", "05", "00"));
    let error = |class| answer(Answer::Error { class, message: "no".to_owned() });
    let classes = [
        (ErrorClass::NotFound, "01"),
        (ErrorClass::Corrupt, "02"),
        (ErrorClass::Transient, "03"),
        (ErrorClass::Denied, "04"),
        (ErrorClass::Full, "05"),
    ];
    for (class, detail) in classes {
        assert_eq!(error(class), header("02000000", "06", detail) + &hex(b"no"));
    }
    assert_eq!(answer(Answer::Busy { retry_after_ms: 10 }), header("04000000", "07", "00") + "0a000000");
}
