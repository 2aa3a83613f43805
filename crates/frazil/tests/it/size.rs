//! An image's size costs time and disk, and no memory: the converter's peak is the kernel's own figure.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::access_log::chunk_reads;
use crate::support::forged::{Member, archive};
use crate::support::home::Home;
use crate::support::layout::{Layout, TAR};
use crate::support::mount::{FACES, Mount};
use crate::support::tool::{run, tool};
use crate::support::umoci::unpacked;
use crate::support::{images, objects};

/// What mounting fetches ahead of the metadata area, at the most.
const METADATA_AHEAD_BYTES: u64 = 4 << 20;

/// What a conversion may take at its peak, whatever the image.
const BUDGET_BYTES: u64 = 512 << 20;
/// Bytes of the large layer that no codec makes smaller.
const NOISE_BYTES: u64 = 400 << 20;
/// Files of the layer that is all names.
const SMALL_FILES: usize = 60_000;

/// Runs a command to its end and gives the most memory that it ever held, in bytes.
#[track_caller]
#[allow(clippy::zombie_processes, reason = "wait4 takes the child's status, with its use of memory")]
fn peak_bytes(command: &mut Command) -> u64 {
    let process = command.spawn().unwrap();
    let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
    let pid = i32::try_from(process.id()).unwrap();
    // SAFETY: both pointers are to live values of the types that wait4(2) writes.
    let waited = unsafe { libc::wait4(pid, &mut status, 0, usage.as_mut_ptr()) };
    assert_eq!((waited, status), (pid, 0), "the conversion failed");
    // SAFETY: all zeros is a value of this plain structure, and wait4 has filled it.
    let usage = unsafe { usage.assume_init() };
    u64::try_from(usage.ru_maxrss).unwrap() * 1024
}

/// A tar of one file of noise, written piece by piece.
fn noise_layer(file: &Path) -> io::Result<()> {
    let mut tar = BufWriter::new(File::create(file)?);
    let header = archive([Member::file("noise", b"").size(NOISE_BYTES)]);
    tar.write_all(&header[..512])?;
    let (mut random, mut piece) = (fastrand::Rng::with_seed(1), vec![0; 1 << 20]);
    for _ in 0..NOISE_BYTES / piece.len() as u64 {
        random.fill(&mut piece);
        tar.write_all(&piece)?;
    }
    tar.write_all(&[0; 1024])?;
    tar.flush()
}

/// A tar of one sparse file of 64 GiB, and of thousands of small ones.
fn many_layer() -> Vec<u8> {
    let hole: u64 = 64 << 30;
    let records = [
        crate::support::forged::record("GNU.sparse.map", format!("0,5,{hole},5").as_bytes()),
        crate::support::forged::record("GNU.sparse.size", (hole + 5).to_string().as_bytes()),
    ];
    let pit = [Member::pax(&records.concat()), Member::file("pit", b"beginend!!")];
    let small = (0..SMALL_FILES).map(|n| {
        let name = format!("small/{}/{n}-{}", n % 500, "long".repeat(n % 12));
        Member::file(&name, format!("file {n}\n").as_bytes())
    });
    archive(pit.into_iter().chain(small))
}

#[test]
fn an_image_beyond_its_memory_is_converted_within_its_budget_and_mounted_like_a_small_one() {
    let home = Home::new();
    let layout = Layout::create(&home.path("layout"));
    let file = home.path("layer.tar");
    let mut layers = Vec::new();
    // Real files; bytes that do not compress; a hole beyond all bounds with many names.
    let root = unpacked(&images::debian_node());
    run(tool("tar").arg("-C").arg(root).arg("-cf").arg(&file).arg("."));
    layers.push(layout.blob_of_file(TAR, &file));
    noise_layer(&file).unwrap();
    layers.push(layout.blob_of_file(TAR, &file));
    fs::write(&file, many_layer()).unwrap();
    layers.push(layout.blob_of_file(TAR, &file));
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect();
    let image = layout.image_of("large", &diff_ids, &layers);

    let words = ["convert", "--quiet", "--threads", "8", "--name", "large", &image.source()];
    let peak = peak_bytes(home.frazil(words).stdout(Stdio::null()));
    let shown = home.tells(["inspect", "--json", "large"]);
    println!("{} bytes of image within {} MiB of memory", shown["image_bytes"], peak >> 20);
    assert!(shown["image_bytes"].as_u64().unwrap() > 64 << 30);
    assert!(peak < BUDGET_BYTES, "{} MiB", peak >> 20);

    for face in FACES {
        let log = home.path(&format!("{face}.log"));
        let mount = Mount::with(&home, "large", &["--via", face, "--access-log", log.to_str().unwrap()]);
        let mounted = chunk_reads(&log);
        // The beginning of the metadata area is fetched ahead, at most 4 MiB of it; and not one byte of data.
        assert!(
            mounted.bytes <= METADATA_AHEAD_BYTES,
            "mounting reads {} bytes through {face}",
            mounted.bytes
        );
        assert_eq!(fs::metadata(mount.path("pit")).unwrap().len(), (64 << 30) + 5);
        assert_eq!(fs::read_to_string(mount.path("small/77/77-longlonglonglonglong")).unwrap(), "file 77\n");
        mount.unmount();
    }
    let mount = home.mount("large", "erofs");
    let mut noise = fastrand::Rng::with_seed(1);
    let mut expected = File::create(home.path("noise")).unwrap();
    let mut piece = vec![0; 1 << 20];
    for _ in 0..NOISE_BYTES >> 20 {
        noise.fill(&mut piece);
        expected.write_all(&piece).unwrap();
    }
    assert_eq!(objects::digest(&mount.path("noise")), objects::digest(&home.path("noise")));
}
