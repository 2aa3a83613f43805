//! Damage to the cache's files, at rest and during reads: every answer is right, every damage is counted and healed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use frazil_cache::Disk;
use frazil_cache::conformance::{Damage, Sample};
use futures::future::join_all;

use crate::stages::{allocated, below, chunks, file, fill, options, read_all, scratch};

const CHUNK_LEN: usize = 30_000;

fn do_damage(directory: &Path, sample: &Sample, damage: &Damage) {
    let file = file(directory, &sample.wanted);
    std::fs::write(&file, damage.of(&std::fs::read(&file).unwrap())).unwrap();
}

fn is_right(directory: &Path, sample: &Sample) -> bool {
    std::fs::read(file(directory, &sample.wanted)).is_ok_and(|bytes| bytes == *sample.chunk.bytes())
}

/// A damage of every kind in turn, at places that differ.
fn damage(number: usize, other: &Sample) -> Damage {
    match number % 4 {
        0 => Damage::FlippedBit(number * 7919 % CHUNK_LEN),
        1 => Damage::Truncated(number * 104_729 % CHUNK_LEN),
        2 => Damage::Zeroed,
        _ => Damage::Swapped(other.chunk.bytes().clone()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_damage_is_counted_once_quarantined_and_healed() {
    let directory = scratch();
    let samples = chunks(0..60, CHUNK_LEN);
    let origin = below(&samples);
    let disk = Disk::new(origin.clone(), options(directory.path(), 64 << 20));
    fill(&disk, &samples).await;
    for (number, sample) in samples.iter().enumerate() {
        do_damage(directory.path(), sample, &damage(number, &samples[(number + 1) % samples.len()]));
    }
    fill(&disk, &samples).await;
    assert_eq!(disk.counts().quarantined, 60);
    assert_eq!(origin.fetches(), 120, "each was fetched again, once");
    assert!(samples.iter().all(|sample| is_right(directory.path(), sample)), "each was replaced");
    assert_eq!(std::fs::read_dir(directory.path().join("v1/quarantine")).unwrap().count(), 60);
    fill(&disk, &samples).await;
    assert_eq!((disk.counts().quarantined, origin.fetches()), (60, 120), "healed for good");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_zeroed_page_is_enough() {
    use std::os::unix::fs::FileExt;
    let directory = scratch();
    let samples = chunks(0..1, 512 << 10);
    let disk = Disk::new(below(&samples), options(directory.path(), 64 << 20));
    fill(&disk, &samples).await;
    let path = file(directory.path(), &samples[0].wanted);
    std::fs::File::options().write(true).open(path).unwrap().write_all_at(&[0; 4096], 40 * 4096).unwrap();
    fill(&disk, &samples).await;
    assert_eq!(disk.counts().quarantined, 1);
    assert!(is_right(directory.path(), &samples[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_files_that_changed_places_are_both_found_out() {
    let directory = scratch();
    let samples = chunks(0..2, CHUNK_LEN);
    let disk = Disk::new(below(&samples), options(directory.path(), 64 << 20));
    fill(&disk, &samples).await;
    let [a, b] = [0, 1].map(|index: usize| file(directory.path(), &samples[index].wanted));
    let aside = directory.path().join("aside");
    std::fs::rename(&a, &aside).unwrap();
    std::fs::rename(&b, &a).unwrap();
    std::fs::rename(&aside, &b).unwrap();
    fill(&disk, &samples).await;
    assert_eq!(disk.counts().quarantined, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_things_than_files_are_no_chunks() {
    let directory = scratch();
    let samples = chunks(0..4, CHUNK_LEN);
    let disk = Disk::new(below(&samples), options(directory.path(), 64 << 20));
    fill(&disk, &samples).await;
    let paths: Vec<_> = samples.iter().map(|sample| file(directory.path(), &sample.wanted)).collect();
    paths.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    std::fs::create_dir(&paths[0]).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &paths[1]).unwrap();
    let pipe = rustix::fs::mknodat(
        rustix::fs::CWD,
        &paths[2],
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    );
    pipe.unwrap();
    fill(&disk, &samples).await;
    assert_eq!((disk.counts().quarantined, disk.counts().vanished), (3, 1));
    assert!(samples.iter().all(|sample| is_right(directory.path(), sample)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quarantine_is_bounded_in_files_and_bytes() {
    let directory = scratch();
    let samples = chunks(0..300, CHUNK_LEN);
    let quota = 16 << 20;
    let disk = Disk::new(below(&samples), options(directory.path(), quota));
    for round in 0..3 {
        fill(&disk, &samples).await;
        for sample in &samples {
            do_damage(directory.path(), sample, &Damage::FlippedBit(round));
        }
    }
    fill(&disk, &samples).await;
    assert_eq!(disk.counts().quarantined, 900);
    let files = std::fs::read_dir(directory.path().join("v1/quarantine")).unwrap().count();
    assert!(files <= 64, "{files} files");
    assert!(disk.counts().quarantine_bytes <= quota / 16);
    assert!(allocated(directory.path()) <= quota, "the quarantine is part of the quota");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_during_reads_is_never_served() {
    let directory = scratch();
    let samples = chunks(0..40, CHUNK_LEN);
    let disk = Arc::new(Disk::new(below(&samples), options(directory.path(), 64 << 20)));
    fill(&disk, &samples).await;
    let reading = Arc::new(AtomicBool::new(true));
    let vandal = {
        let (reading, samples, path) = (Arc::clone(&reading), samples.clone(), directory.path().to_owned());
        tokio::task::spawn_blocking(move || {
            let mut done = 0;
            while reading.load(Ordering::Relaxed) {
                for (number, sample) in samples.iter().enumerate() {
                    // In place, as a rotting disk does it; the file may be on its way to the quarantine.
                    let (file, other) = (file(&path, &sample.wanted), &samples[(number + 1) % samples.len()]);
                    let Ok(bytes) = std::fs::read(&file) else { continue };
                    let damaged = damage(number + done, other).of(&bytes);
                    let opened = std::fs::File::options().write(true).truncate(true).open(&file);
                    done += usize::from(
                        opened.is_ok_and(|mut file| std::io::Write::write_all(&mut file, &damaged).is_ok()),
                    );
                }
            }
            done
        })
    };
    let readers = (0..4).map(|_| {
        let (disk, samples) = (Arc::clone(&disk), samples.clone());
        tokio::spawn(async move {
            for _ in 0..30 {
                read_all(disk.as_ref(), &samples).await;
            }
        })
    });
    join_all(readers).await.into_iter().for_each(Result::unwrap);
    reading.store(false, Ordering::Relaxed);
    assert!(vandal.await.unwrap() > 0);
    assert!(disk.counts().quarantined > 0);
    // The next round finds what the vandal left, the one after it nothing.
    fill(&disk, &samples).await;
    let quarantined = disk.counts().quarantined;
    fill(&disk, &samples).await;
    assert_eq!(disk.counts().quarantined, quarantined);
    assert!(samples.iter().all(|sample| is_right(directory.path(), sample)), "all is healed");
}
