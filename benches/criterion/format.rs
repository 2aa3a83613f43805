//! Sealing, opening and manifests; beside the parts they are made of.

#![allow(missing_docs, reason = "criterion's macros make items without documentation")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use frazil_format::{
    Chunk, ChunkId, Compression, DataKey, DiffId, Geometry, LayerExtent, Manifest, Payload, RootId,
    ScopeSecret, Sealed, SealedChunk, SealedManifest, Sealer, WrappedKey, open_chunk,
};

const CHUNK_LEN: usize = 128 << 10;
/// A 10 GiB image in chunks of 512 KiB has this many, a 2.5 GiB image in chunks of 128 KiB.
const MANIFEST_CHUNKS: usize = 20_480;

/// A piece of this very program: as compressible as any executable.
fn chunk() -> Vec<u8> {
    let program = std::fs::read(std::env::current_exe().expect("a running program has a path"))
        .expect("a running program can be read");
    let start = program.len() / 3;
    program[start..start + CHUNK_LEN].to_vec()
}

fn sealer() -> Sealer {
    Sealer::new(&ScopeSecret::from_bytes([7; 32]), RootId::FIRST)
}

fn chunks(c: &mut Criterion) {
    let chunk = chunk();
    let sealer = sealer();
    let payload = Payload::compress(&chunk, Compression::Zstd { level: 3 });
    let Sealed { id, key, chunk: sealed } =
        sealer.seal(&payload).expect("the payload is no longer than a chunk");
    let sealed = sealed.into_bytes();

    let mut group = c.benchmark_group("chunk of 128 KiB");
    group.throughput(Throughput::Bytes(CHUNK_LEN as u64));
    for level in [1, 3] {
        let compression = Compression::Zstd { level };
        group.bench_function(format!("compress, zstd {level}"), |b| {
            b.iter(|| Payload::compress(black_box(&chunk), compression));
        });
    }
    group.bench_function("seal a compressed payload", |b| {
        b.iter(|| sealer.seal(black_box(&payload)).expect("the payload is no longer than a chunk"));
    });
    group.bench_function("verify a sealed chunk", |b| {
        b.iter(|| SealedChunk::verify(&id, black_box(sealed.clone())).expect("the chunk is what was sealed"));
    });
    let verified = SealedChunk::verify(&id, sealed.clone()).expect("the chunk is what was sealed");
    group.bench_function("open: decrypt and decompress", |b| {
        b.iter(|| open_chunk(black_box(&verified), &key, CHUNK_LEN as u32).expect("the key opens it"));
    });
    group.bench_function("ceiling of verifying: BLAKE3 alone", |b| b.iter(|| blake3_of(black_box(&sealed))));
    group.finish();
}

fn blake3_of(bytes: &Bytes) -> ChunkId {
    ChunkId::of(bytes)
}

fn manifest(c: &mut Criterion) {
    let (manifest, data_key) = large_manifest();
    let wrapped = WrappedKey { provider: "local".into(), key_id: "default".into(), bytes: vec![0; 64] };
    let (_, bytes) = manifest.seal(&data_key, wrapped).expect("the manifest keeps its rules");
    let bytes = Bytes::from(bytes);

    let mut group = c.benchmark_group(format!("manifest of {MANIFEST_CHUNKS} chunks"));
    group.throughput(Throughput::Elements(MANIFEST_CHUNKS as u64));
    group.bench_function("parse in the clear, all hashes checked", |b| {
        b.iter(|| SealedManifest::parse(black_box(bytes.clone())).expect("the manifest is whole"));
    });
    group.bench_function("parse and open with the data key", |b| {
        b.iter(|| {
            let sealed = SealedManifest::parse(black_box(bytes.clone())).expect("the manifest is whole");
            sealed.open(&data_key).expect("the key opens it")
        });
    });
    group.finish();
}

fn large_manifest() -> (Manifest, DataKey) {
    let scope = ScopeSecret::from_bytes([7; 32]);
    let sealer = sealer();
    let key = sealer
        .seal(&Payload::compress(b"any", Compression::None))
        .expect("the payload is no longer than a chunk")
        .key;
    let stream_len = (MANIFEST_CHUNKS * CHUNK_LEN) as u64;
    let chunks = (0..MANIFEST_CHUNKS)
        .map(|i| Chunk {
            offset: 4096 + (i * CHUNK_LEN) as u64,
            len: CHUNK_LEN as u32,
            sealed_len: CHUNK_LEN as u32 / 2,
            id: ChunkId::of(&i.to_le_bytes()),
        })
        .collect();
    let geometry = Geometry {
        root: RootId::FIRST,
        tenant: "default".into(),
        name: "bench".into(),
        created_seconds: 0,
        metadata_len: 4096,
        metadata_scope: scope.id(),
        image_len: 4096 + stream_len,
        layers: vec![LayerExtent {
            diff_id: DiffId::from_bytes([1; 32]),
            scope: scope.id(),
            offset: 4096,
            len: stream_len,
        }],
    };
    let manifest = Manifest { geometry, chunks, keys: vec![key; MANIFEST_CHUNKS], config: b"{}".to_vec() };
    (manifest, DataKey::from_bytes([9; 32]))
}

criterion_group!(benches, chunks, manifest);
criterion_main!(benches);
