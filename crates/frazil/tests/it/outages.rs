//! The stuck cells of the outage matrix on real mounts, with the real programs: the store behind the host cache, and the
//! host cache itself, each swallowed by the network, stopped, killed, or talking nonsense, while programs read.
//!
//! In each: what is cached is read, whoever waits dies by SIGKILL, the agent holds no more threads and descriptors than
//! it may, and when the fault ends the same mount serves every byte.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use frazil_cache::testing::{Fault, FaultProxy};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::busybox::agents_of;
use crate::support::cached::Cached;
use crate::support::home::Home;
use crate::support::images;
use crate::support::mount::{FACES, Mount, soon};
use crate::support::server::Server;
use crate::support::tool::tool;

/// Programs that read what is not cached, at once: more than there are threads that serve.
const READERS: usize = 6;

/// What an agent may hold beyond what it held before: a thread and a descriptor for each read, and some.
const MORE: usize = 64;

/// Long enough for a reader to be stuck; nothing is wrong if it is not yet.
const A_WHILE: Duration = Duration::from_millis(400);

/// Far above what a cached read takes, far below the deadlines, of which the shortest is 30 s.
const PROMPT: Duration = Duration::from_secs(20);

/// A process that is gone when the story ends.
struct Running(Child);

impl Running {
    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An image behind a host cache, behind proxies on both sides.
struct Scene {
    home: Home,
    store: FaultProxy,
    socket: FaultProxy,
    proxied: PathBuf,
    cached: Cached,
    /// Large files, and what they hold. Each story takes some that nobody has read.
    files: Vec<(PathBuf, Vec<u8>)>,
    _server: Server,
}

impl Scene {
    fn new() -> Self {
        let home = Home::new();
        home.convert(&images::debian_python().source(), "python");
        let files = {
            let plain = Mount::with(&home, "python", &["--via", "tree", "--cache", "none"]);
            let found = large_files(plain.root());
            let read = |path: PathBuf| (path.clone(), fs::read(plain.path(&path)).unwrap());
            let files = found.into_iter().map(read).collect();
            plain.unmount();
            files
        };
        let server = Server::web(home.store());
        let address = server.address();
        let store = FaultProxy::start(address).unwrap();
        let published = Home::with_store_at(Path::new(&format!("http://{}", store.address())));
        let cached = Cached::start(&published, &["--allow-http", "--disk-quota", "0"]);
        let proxied = home.path("proxied.sock");
        let socket = FaultProxy::start_at(&proxied, &cached.socket()).unwrap();
        Self { home, store, socket, proxied, cached, files, _server: server }
    }

    /// A fault, from its beginning to its end, on one mount.
    fn survives(&mut self, what: &str, face: &str, begin: impl Fn(&mut Self), end: impl Fn(&mut Self)) {
        let at = format!("{what}, {face}");
        let (known, known_bytes) = self.files.pop().unwrap();
        let (missing, missing_bytes) = self.files.pop().unwrap();
        let socket = self.proxied.clone();
        let home = std::mem::replace(&mut self.home, Home::new());
        {
            let mounted = Mount::with(&home, "python", &["--via", face, "--cache", socket.to_str().unwrap()]);
            assert!(fs::read(mounted.path(&known)).unwrap() == known_bytes);
            let before = mounted.agent_holds();
            begin(self);
            let spawn = |_| {
                let mut cat = tool("cat");
                Running(
                    cat.arg(mounted.path(&missing))
                        .stdout(Stdio::null())
                        .stderr(Stdio::null())
                        .spawn()
                        .unwrap(),
                )
            };
            let mut stuck: Vec<Running> = (0..READERS).map(spawn).collect();
            thread::sleep(A_WHILE);
            assert!(stuck.iter_mut().all(|reader| !reader.has_ended()), "{at}: nobody is stuck");

            let (told, tell) = mpsc::channel();
            let path = mounted.path(&known);
            thread::spawn(move || told.send(fs::read(path)));
            let read = tell.recv_timeout(PROMPT).unwrap_or_else(|_| panic!("{at}: a cached read waits"));
            assert!(read.unwrap() == known_bytes, "{at}: other bytes");
            let held = mounted.agent_holds();
            assert!(
                held.0 <= before.0 + MORE && held.1 <= before.1 + MORE,
                "{at}: {before:?}, then {held:?}"
            );

            stuck.iter_mut().for_each(|reader| reader.0.kill().unwrap());
            for reader in &mut stuck {
                let reader = std::cell::RefCell::new(reader);
                assert!(soon(|| reader.borrow_mut().has_ended()), "{at}: a reader survives SIGKILL");
            }
            end(self);
            assert!(fs::read(mounted.path(&missing)).unwrap() == missing_bytes, "{at}: not the right bytes");
            let settled = || {
                let held = mounted.agent_holds();
                held.0 <= before.0 + MORE && held.1 <= before.1 + MORE / 4
            };
            assert!(soon(settled), "{at}: {before:?}, then {:?}", mounted.agent_holds());
            mounted.unmount();
        }
        self.home = home;
    }
}

/// The files of a megabyte and more, relative to the root.
fn large_files(root: &Path) -> Vec<PathBuf> {
    let (mut files, mut pending) = (Vec::new(), vec![root.to_owned()]);
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() && entry.metadata().unwrap().len() >= 1 << 20 {
                files.push(entry.path().strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_store_that_is_stuck_behind_the_host_cache_sticks_nobody_who_can_be_served() {
    let mut scene = Scene::new();
    for (face, (what, fault)) in FACES.into_iter().cycle().zip([
        ("a black hole", Fault::BlackHole),
        ("a slow drip", Fault::SlowDrip { bytes: 16, pause: Duration::from_millis(100) }),
        ("503", Fault::Answer { status: 503, retry_after_s: Some(1) }),
    ]) {
        let begin = |scene: &mut Scene| scene.store.set(fault.clone());
        scene.survives(&format!("the store: {what}"), face, begin, |scene| scene.store.set(Fault::Pass));
    }
}

/// Whether a process has no thread left; whoever inherited it may not have asked for its exit code yet.
fn is_over(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    stat.is_empty() || (stat.contains(") Z ") && threads <= 1)
}

#[test]
fn a_run_that_is_killed_with_its_agent_while_its_command_reads_leaves_no_process_and_no_mount_behind() {
    let home = Home::new();
    home.convert(&images::debian_python().source(), "python");
    let server = Server::web(home.store());
    let address = server.address();
    let store = FaultProxy::start(address).unwrap();
    let far = home.with_its_store_at(&format!("http://{}", store.address()));
    for face in FACES {
        store.set(Fault::Pass);
        let read_all = "echo started; exec find / -xdev -type f -exec cat {} +";
        let mut run = far.frazil(["--allow-http", "run", "--cache", "none", "--via", face]);
        run.args(["--no-profile", "python", "--", "sh", "-c", read_all]).stdout(Stdio::piped());
        let mut run = Running(run.spawn().unwrap());
        let mut output = run.0.stdout.take().unwrap();
        let mut started = [0; 8];
        output.read_exact(&mut started).unwrap();
        assert_eq!(&started, b"started\n");
        let reading = thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        thread::sleep(A_WHILE);
        store.set(Fault::BlackHole);
        thread::sleep(A_WHILE);
        assert!(!run.has_ended(), "{face}: everything was read already");
        let killed: Vec<u32> = agents_of(run.0.id()).into_iter().chain([run.0.id()]).collect();
        assert!(killed.len() > 1, "{face}: no agent");
        for pid in &killed {
            kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
        }
        run.0.wait().unwrap();
        assert!(soon(|| killed.iter().all(|pid| is_over(*pid))), "{face}: a process survives SIGKILL");
        reading.join().unwrap().unwrap();
    }
}

#[test]
fn a_host_cache_behind_a_broken_socket_is_waited_for_and_come_back_to() {
    let mut scene = Scene::new();
    for (face, (what, fault)) in FACES.into_iter().cycle().zip([
        ("a black hole", Fault::BlackHole),
        ("garbage", Fault::Say(b"\0\xff\r\nEN\r\n")),
        ("reset mid-body", Fault::Reset { after_bytes: 1000 }),
    ]) {
        let begin = |scene: &mut Scene| scene.socket.set(fault.clone());
        scene.survives(&format!("the socket: {what}"), face, begin, |scene| scene.socket.set(Fault::Pass));
    }
}

#[test]
fn a_host_cache_that_is_stopped_or_killed_is_waited_for_and_come_back_to() {
    let mut scene = Scene::new();
    for face in FACES {
        let stop = |scene: &mut Scene| scene.cached.signal(Signal::STOP);
        scene.survives("SIGSTOP", face, stop, |scene| scene.cached.signal(Signal::CONT));
        scene.survives("SIGKILL", face, |scene| scene.cached.kill(), |scene| scene.cached.restart());
    }
}
