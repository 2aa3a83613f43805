//! A mount whose manifest has not come as a whole: the tree is there, and what lies further back is waited for.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tar::{Builder, Header};

use crate::support::cached::Cached;
use crate::support::held::{FRONT, Held};
use crate::support::home::Home;
use crate::support::image::Image;
use crate::support::layout::{Layout, TAR};
use crate::support::mount::{FACES, Mount};

/// Data, and the zeros behind it, which end a chunk.
const ISLAND: usize = 4096;
const SEA: usize = 64 << 10;

/// Chunks of the large file: four pages of them are the front, and there is one page more.
const ISLANDS: usize = 4800;

/// Long enough for a read that would not wait to end.
const A_WHILE: Duration = Duration::from_millis(300);

/// The content of a file of many small chunks, made as it is read.
struct Islands {
    at: usize,
    len: usize,
}

impl Islands {
    fn new(count: usize) -> Self {
        Self { at: 0, len: count * (ISLAND + SEA) }
    }

    fn byte(at: usize) -> u8 {
        let (island, within) = (at / (ISLAND + SEA), at % (ISLAND + SEA));
        if within < ISLAND { (island % 251) as u8 ^ (within % 241) as u8 | 1 } else { 0 }
    }
}

impl Read for Islands {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(self.len - self.at);
        for (offset, byte) in buffer.iter_mut().take(len).enumerate() {
            *byte = Self::byte(self.at + offset);
        }
        self.at += len;
        Ok(len)
    }
}

/// An image of a few small files and a large one, which comes last.
fn image(directory: &Path) -> Image {
    let archive = directory.join("layer.tar");
    let mut builder = Builder::new(File::create(&archive).unwrap());
    let mut add = |path: &str, len: usize, content: &mut dyn Read| {
        let mut header = Header::new_ustar();
        header.set_size(len as u64);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        builder.append_data(&mut header, path, content).unwrap();
    };
    add("first", 5, &mut &b"first"[..]);
    add("large", ISLANDS * (ISLAND + SEA), &mut Islands::new(ISLANDS));
    add("last", 4, &mut &b"last"[..]);
    builder.into_inner().unwrap();
    let layout = Layout::create(&directory.join("layout"));
    let blob = layout.blob_of_file(TAR, &archive);
    let diff_id = blob["digest"].as_str().unwrap().to_owned();
    layout.image_of("large", &[diff_id], &[blob])
}

/// The tree is read while the rest of the manifest is held back; a file's data waits for it, and is right.
#[track_caller]
fn reads_ahead_of_the_manifest(held: &Held, home: &Home, options: &[&str]) {
    let mount = Mount::with(home, "large", options);
    let mut names: Vec<_> =
        fs::read_dir(mount.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["first", "large", "last"]);
    let large = mount.path("large");
    assert_eq!(fs::metadata(&large).unwrap().len(), (ISLANDS * (ISLAND + SEA)) as u64);
    assert_eq!(fs::metadata(mount.path("last")).unwrap().len(), 4);
    assert_eq!(fs::read(mount.path("first")).unwrap(), b"first", "its page is here");

    let (told, heard) = mpsc::channel();
    let last = mount.path("last");
    let reader = thread::spawn(move || told.send(fs::read(last)).unwrap());
    let early = heard.recv_timeout(A_WHILE);
    assert!(early.is_err(), "what is not known to be there is waited for: {early:?}: {}", mount.log());
    held.release();
    assert_eq!(heard.recv().unwrap().unwrap(), b"last");
    reader.join().unwrap();
    assert_is_islands(&large);
    mount.unmount();
}

/// Compares a file with what it was made of.
#[track_caller]
fn assert_is_islands(file: &Path) {
    let (mut expected, mut found) = (Islands::new(ISLANDS), File::open(file).unwrap());
    let (mut one, mut other) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let len = expected.read(&mut one).unwrap();
        found.read_exact(&mut other[..len]).unwrap();
        assert!(one[..len] == other[..len]);
        if len == 0 {
            break;
        }
    }
}

#[test]
fn a_tree_is_readable_before_the_manifest_has_come_and_what_lies_behind_is_right_when_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let origin = Home::new();
    origin.convert(&image(directory.path()).source(), "large");
    let manifests = origin.store().join("roots/00000001/manifests");
    let manifest = fs::read_dir(manifests).unwrap().next().unwrap().unwrap();
    assert!(
        manifest.metadata().unwrap().len() > FRONT as u64 + (60 << 10),
        "there is something to hold back"
    );
    let keys = origin.keys().to_str().unwrap();
    for face in FACES {
        let held = Held::publish(origin.store());
        let home = Home::with_store_at(Path::new(&held.url()));
        reads_ahead_of_the_manifest(&held, &home, &["--allow-http", "--keys", keys, "--via", face]);
    }
    // Through a host cache, which keeps it for the next one.
    let held = Held::publish(origin.store());
    let home = Home::with_store_at(Path::new(&held.url()));
    let cached = Cached::start(&home, &["--allow-http"]);
    let socket = cached.socket();
    let options = ["--keys", keys, "--via", "tree", "--cache", socket.to_str().unwrap()];
    reads_ahead_of_the_manifest(&held, &home, &options);
}
