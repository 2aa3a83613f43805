//! Cutting a stream by its content, beside the memory copy that the cutter makes of it.

#![allow(missing_docs, reason = "criterion's macros make items without documentation")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use frazil_convert::{CutParameters, Cutter};

/// The program itself, over and over, up to this length.
const STREAM_LEN: usize = 64 << 20;

fn stream() -> Vec<u8> {
    let program = std::fs::read(std::env::current_exe().expect("a running program has a path"))
        .expect("a running program can be read");
    program.iter().copied().cycle().take(STREAM_LEN).collect()
}

fn cut(c: &mut Criterion) {
    let stream = stream();
    let mut group = c.benchmark_group("stream of 64 MiB");
    group.throughput(Throughput::Bytes(STREAM_LEN as u64));
    group.sample_size(10);
    for average in [64 << 10, 128 << 10, 512 << 10] {
        let parameters =
            CutParameters::new(average / 4, average, average * 4).expect("the sizes are in bounds");
        group.bench_function(format!("cut to {} KiB", average >> 10), |b| {
            b.iter(|| chunks(black_box(&stream), parameters));
        });
    }
    group.bench_function("ceiling: copy", |b| b.iter(|| black_box(&stream).to_vec()));
    group.finish();
}

fn chunks(stream: &[u8], parameters: CutParameters) -> usize {
    let mut count = 0;
    let mut emit = |_| -> Result<(), std::convert::Infallible> {
        count += 1;
        Ok(())
    };
    let mut cutter = Cutter::new(parameters);
    let Ok(()) = cutter.data(stream, &mut emit);
    let Ok(()) = cutter.finish(&mut emit);
    count
}

criterion_group!(benches, cut);
criterion_main!(benches);
