//! What opening a chunk takes, and what its parts take: checking the id, the cipher, the codec.

use anyhow::Context;
use frazil_format::{Compression, Payload, RootId, ScopeSecret, SealedChunk, Sealer, open_chunk};

use super::latencies::{Rows, table as table_of, timed};
use super::{CHUNK_LEN, Setup};

/// The table of decoding.
pub(super) fn table(setup: &Setup) -> anyhow::Result<String> {
    // A piece of this very program: as compressible as any executable.
    let program = std::fs::read(std::env::current_exe()?)?;
    let plain =
        program.get(program.len() / 3..).and_then(|rest| rest.get(..CHUNK_LEN)).context("a program")?;
    let sealer = Sealer::new(&ScopeSecret::from_bytes([7; 32]), RootId::FIRST);
    let payload = Payload::compress(plain, Compression::default());
    let sealed = sealer.seal(&payload)?;
    // As long as what was compressed, and stored as it is.
    let stored_len = payload.as_bytes().len() - 1;
    let stored = sealer.seal(&Payload::compress(&plain[..stored_len], Compression::None))?;
    let frame = payload.as_bytes().get(1..).context("a payload starts with its codec")?.to_vec();
    let mut zstd = zstd::bulk::Decompressor::new()?;
    let mut buffer = Vec::with_capacity(CHUNK_LEN);
    let (len, stored_len) = (u32::try_from(CHUNK_LEN)?, u32::try_from(stored_len)?);
    let bytes = sealed.chunk.bytes().clone();
    let mut rows = Rows::default();
    let ceiling = rows.ceiling("zstd alone, into the same memory", move |from, count| {
        timed(from, count, |_| {
            buffer.clear();
            zstd.decompress_to_buffer(&frame, &mut buffer)?;
            std::hint::black_box(&buffer);
            Ok(())
        })
    });
    rows.row(
        "cipher alone: open a chunk stored as it is, as many bytes sealed",
        "",
        ceiling,
        move |from, count| {
            timed(from, count, |_| {
                std::hint::black_box(open_chunk(&stored.chunk, &stored.key, stored_len)?);
                Ok(())
            })
        },
    );
    let (chunk, key, id) = (sealed.chunk, sealed.key, sealed.id);
    rows.row("open: decrypt and decompress", "", ceiling, move |from, count| {
        timed(from, count, |_| {
            std::hint::black_box(open_chunk(&chunk, &key, len)?);
            Ok(())
        })
    });
    rows.row("check the id (BLAKE3)", "", ceiling, move |from, count| {
        timed(from, count, |_| {
            std::hint::black_box(SealedChunk::verify(&id, bytes.clone())?);
            Ok(())
        })
    });
    let title =
        format!("Opening a chunk of {} KiB, {} KiB sealed", CHUNK_LEN >> 10, payload.as_bytes().len() >> 10);
    table_of(&title, &mut rows.0, (setup.reads, setup.rounds))
}
