//! One host cache for all agents: what they need no longer, what is fetched once, and what nobody notices when it
//! dies.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::access_log::chunk_reads;
use crate::support::busybox::{
    Busybox, Caller, agents_of, await_sleep, nothing_is_left, processes, telltale_sleep,
};
use crate::support::cached::Cached;
use crate::support::difference::assert_same;
use crate::support::home::Home;
use crate::support::images;
use crate::support::mount::{FACES, Mount, is_mounted, soon};
use crate::support::tool::{output, run, tool};
use crate::support::tree::{Tree, snapshot};

/// How often the host cache is killed.
const KILL_EVERY: Duration = Duration::from_millis(200);

/// For how long it is, unless `FRAZIL_TEST_KILL_SECONDS` says otherwise.
const KILL_SECONDS: u64 = 6;

/// A home with an image of two layers.
fn home() -> Home {
    let home = Home::new();
    home.convert(&images::debian_python().source(), "python");
    home
}

/// Through the host cache, chunk by chunk: what tiers are asked for is what is read.
fn mount<'h>(home: &'h Home, name: &str, face: &str, cached: &Cached) -> Mount<'h> {
    let socket = cached.socket();
    Mount::with(home, name, &["--via", face, "--no-profile", "--cache", socket.to_str().unwrap()])
}

/// The tree as it is read without a host cache.
fn plain_tree(home: &Home, name: &str) -> Tree {
    let plain = Mount::with(home, name, &["--via", "tree", "--cache", "none"]);
    let tree = snapshot(plain.root());
    plain.unmount();
    tree
}

/// The agents of a home.
fn agents(home: &Home) -> Vec<Pid> {
    let records =
        fs::read_dir(home.path("runtime/frazil/mounts")).unwrap().map(|entry| entry.unwrap().path());
    let records = records.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let pid = |path: std::path::PathBuf| {
        // One that is being written, or has just gone, is of a mount that comes or goes.
        let record: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        Pid::from_raw(i32::try_from(record["pid"].as_i64()?).ok()?)
    };
    records.filter_map(pid).collect()
}

#[test]
fn an_agent_reads_the_same_through_a_host_cache_that_has_no_keyring() {
    let home = home();
    let expected = plain_tree(&home, "python");
    let cached = Cached::start(&home, &[]);
    let mut fetched = Vec::new();
    for face in FACES {
        let mounted = mount(&home, "python", face, &cached);
        assert_same(&expected, &snapshot(mounted.root()));
        mounted.unmount();
        fetched.push(cached.asked("origin"));
    }
    assert!(!cached.keys().exists(), "a host cache makes no keyring, and needs none");
    let stats = cached.stats();
    assert_eq!(stats["errors"]["corrupt"], 0);
    // The second face found everything, the manifest included.
    assert_eq!(stats["catalog"]["manifest_fetches"], 1);
    assert_eq!(fetched[0], fetched[1]);
    let words = cached.stats_in_words();
    for word in ["memory", "disk", "origin", "RATE", "kept_bytes"] {
        assert!(words.contains(word), "{words}");
    }
}

#[test]
fn a_host_cache_never_opens_a_key() {
    let home = home();
    let (log, socket) = (home.path("trace"), home.path("cached.sock"));
    let mut strace = tool("strace");
    strace.args(["-f", "-qq", "-e", "trace=%file", "-o"]).arg(&log);
    let arguments = ["cached", "--socket", socket.to_str().unwrap(), "--disk-dir"];
    let disk = home.path("cache");
    let words = arguments.into_iter().chain([disk.to_str().unwrap()]);
    let mut traced = Running(home.frazil_under(strace, words).stderr(Stdio::null()).spawn().unwrap());
    assert!(soon(|| UnixStream::connect(&socket).is_ok()));
    let mounted = Mount::with(&home, "python", &["--via", "tree", "--cache", socket.to_str().unwrap()]);
    assert!(fs::read(mounted.path("etc/os-release")).unwrap().starts_with(b"PRETTY_NAME"));
    mounted.unmount();
    // strace passes the signal on, and ends with its child.
    traced.end();
    let trace = fs::read_to_string(&log).unwrap();
    assert!(trace.contains("/chunks/"), "the trace shows what is opened");
    // Where the keyring is, it was told on its command line.
    let mut calls = trace.lines().filter(|call| !call.contains("execve("));
    let looked = calls.find(|call| call.contains(home.keys().to_str().unwrap()));
    assert_eq!(looked, None, "the host cache looked at the keyring");
}

/// A process that ends with the value.
struct Running(Child);

impl Running {
    fn end(&mut self) {
        let children = format!("/proc/{0}/task/{0}/children", self.0.id());
        let children = fs::read_to_string(children).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()).filter_map(Pid::from_raw)
        {
            let _ = kill_process(child, Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// That every thread of `agent` is under the sandbox's filter; one that ends meanwhile is passed over.
fn assert_threads_are_closed_in(agent: impl Display) {
    let mut seen = 0;
    for thread in fs::read_dir(format!("/proc/{agent}/task")).unwrap() {
        let Ok(status) = fs::read_to_string(thread.unwrap().path().join("status")) else { continue };
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().to_owned()
        };
        assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), ("1".into(), "2".into()), "{status}");
        seen += 1;
    }
    assert!(seen > 1, "{seen} threads were looked at");
}

#[test]
fn an_agent_behind_a_host_cache_is_closed_in() {
    let home = home();
    let cached = Cached::start(&home, &[]);
    for face in FACES {
        let mounted = mount(&home, "python", face, &cached);
        let [agent] = agents(&home)[..] else { panic!("one agent") };
        assert_threads_are_closed_in(agent.as_raw_nonzero());
        let process = Path::new("/proc").join(agent.as_raw_nonzero().to_string());
        let namespace = |process: &Path| fs::read_link(process.join("ns/net")).unwrap();
        assert_ne!(namespace(&process), namespace(Path::new("/proc/self")), "the agent has a network");
        // It serves all the same, over a new connection too.
        assert!(snapshot(mounted.root()).len() > 5000);
        mounted.unmount();
    }
    let plain = Mount::with(&home, "python", &["--cache", "none"]);
    let [agent] = agents(&home)[..] else { panic!("one agent") };
    let status = fs::read_to_string(format!("/proc/{}/status", agent.as_raw_nonzero())).unwrap();
    assert!(status.contains("Seccomp:\t0"), "without a host cache the agent needs its network");
    plain.unmount();
}

#[test]
fn a_run_behind_a_host_cache_is_served_by_a_process_that_is_closed_in_and_its_command_has_the_network() {
    let busybox = Busybox::of(Caller::Root);
    let cached = Cached::start(&busybox.home, &[]);
    let seconds = telltale_sleep();
    let own = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).unwrap();
    let script = format!("readlink /proc/self/ns/net; exec sleep {seconds}");
    let socket = cached.socket();
    let options = ["--cache", socket.to_str().unwrap()];
    let mut run = busybox.start(&options, &["sh", "-c", &script]);
    await_sleep(&seconds);
    let [agent] = agents_of(run.id())[..] else { panic!("one process serves the image") };
    assert_threads_are_closed_in(agent);
    assert_ne!(own(&agent.to_string()), own("self"), "the serving process has a network");
    let mut seen = [0; 64];
    let len = run.stdout.take().unwrap().read(&mut seen).unwrap();
    assert_eq!(String::from_utf8_lossy(&seen[..len]).trim(), own("self").to_str().unwrap());
    run.kill().unwrap();
    run.wait().unwrap();
    nothing_is_left(&busybox, &seconds);

    let ended = busybox.run(&options, &["sh", "-c", "exit 7"]);
    let words = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(7), "{words}");
    assert!(words.contains("mounted after") && words.contains("chunks"), "{words}");
}

/// What a process finds that tries, inside or outside the sandbox.
fn probe(home: &Home, cached: &Cached, tcp: &TcpListener, options: &[&str]) -> Value {
    home.tells(probing(home, cached, tcp, options))
}

/// Has it try.
fn probing(home: &Home, cached: &Cached, tcp: &TcpListener, options: &[&str]) -> Vec<String> {
    let (address, records) = (tcp.local_addr().unwrap().to_string(), home.path("runtime"));
    let mut words = vec!["sandbox-probe", "--tcp", &address, "--records", records.to_str().unwrap()];
    let opened = [home.store().join("frazil.json"), home.store().to_owned(), home.keys().to_owned()];
    words.extend(opened.iter().flat_map(|path| ["--open", path.to_str().unwrap()]));
    let socket = cached.socket();
    words.extend(["--socket", socket.to_str().unwrap()]);
    words.extend(options);
    words.into_iter().map(str::to_owned).collect()
}

#[test]
fn the_sandbox_leaves_the_way_to_the_host_cache_and_no_other() {
    let home = home();
    let cached = Cached::start(&home, &[]);
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    // The attempts are honest: outside they work.
    let outside = probe(&home, &cached, &tcp, &["--open-sandbox"]);
    let refused = [
        "tcp",
        "udp",
        "netlink",
        "socket",
        "signal",
        "owner",
        "user_namespace",
        "capabilities",
        "run",
        "thread_open",
    ];
    for what in refused {
        assert_eq!(outside[what], Value::Null, "{what}: {outside:#}");
    }
    assert_eq!(outside["open"], serde_json::json!([null, null, null]));
    let inside = probe(&home, &cached, &tcp, &[]);
    assert_eq!(inside["dialled"], Value::Null, "{inside:#}");
    for what in refused {
        assert!(inside[what].is_string(), "{what}: {inside:#}");
    }
    for opened in inside["open"].as_array().unwrap() {
        assert!(opened.as_str().unwrap().contains("denied"), "{inside:#}");
    }
    for listed in &inside["list"].as_array().unwrap()[1..] {
        assert!(listed.as_str().unwrap().contains("denied"), "{inside:#}");
    }
}

#[test]
fn a_host_cache_that_is_asked_to_end_takes_its_socket_along() {
    let home = home();
    let mut cached = Cached::start(&home, &[]);
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP] {
        assert!(cached.socket().exists());
        cached.ends_by(signal);
        assert!(!cached.socket().exists(), "{signal:?}: {}", cached.log());
        cached.restart();
    }
}

#[test]
fn every_thread_is_closed_in_whatever_it_had_given_up_before() {
    let home = home();
    let cached = Cached::start(&home, &[]);
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let is_closed_in = |mut probing: Command| {
        let inside: Value = serde_json::from_str(&run(&mut probing)).unwrap();
        let asleep = inside["asleep_open"].as_array().unwrap();
        assert_eq!(asleep.len(), 4);
        for opened in asleep.iter().chain([&inside["thread_open"]]) {
            assert!(opened.as_str().is_some_and(|refusal| refusal.contains("denied")), "{inside:#}");
        }
    };
    is_closed_in(home.frazil(probing(&home, &cached, &tcp, &[])));
    // A flag that the agent's threads had from the beginning says nothing of what they have given up since.
    let mut without_new_privileges = tool("setpriv");
    without_new_privileges.arg("--no-new-privs");
    is_closed_in(home.frazil_under(without_new_privileges, probing(&home, &cached, &tcp, &[])));
}

#[test]
fn a_closed_in_agent_that_is_asked_to_end_leaves_no_mount() {
    let home = home();
    let cached = Cached::start(&home, &[]);
    for (face, in_use) in [("tree", false), ("erofs", false), ("tree", true)] {
        let mounted = mount(&home, "python", face, &cached);
        let held = in_use.then(|| fs::File::open(mounted.path("etc/os-release")).unwrap());
        let [agent] = agents(&home)[..] else { panic!("one agent") };
        for meaningless in [Signal::USR1, Signal::USR2, Signal::ALARM, Signal::IO] {
            kill_process(agent, meaningless).unwrap();
            assert!(!fs::read(mounted.path("etc/passwd")).unwrap().is_empty(), "{meaningless:?}");
        }
        kill_process(agent, Signal::TERM).unwrap();
        assert!(soon(|| !is_mounted(mounted.root())), "{face}, in use: {in_use}: {}", mounted.log());
        drop(held);
        assert!(soon(|| !mounted.agent_lives()), "{face}, in use: {in_use}: {}", mounted.log());
        assert_eq!(agents(&home), []);
    }
}

#[test]
fn a_mount_that_is_given_up_while_it_begins_leaves_no_agent_and_no_mount() {
    let home = home();
    let cached = Cached::start(&home, &[]);
    let socket = cached.socket();
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        // It says nothing, so the agent waits for it.
        cached.signal(Signal::STOP);
        let root = home.mountpoint();
        let words = ["mount", "--cache", socket.to_str().unwrap(), "python", root.to_str().unwrap()];
        let mut mounting = home.frazil(words).spawn().unwrap();
        assert!(soon(|| agents_of(mounting.id()).len() == 1), "{signal:?}");
        kill_process(Pid::from_child(&mounting), signal).unwrap();
        mounting.wait().unwrap();
        cached.signal(Signal::CONT);
        let agent = root.to_str().unwrap();
        assert!(soon(|| processes(agent).is_empty()), "{signal:?}: {:?}", processes(agent));
        assert!(!is_mounted(&root), "{signal:?}");
    }
}

#[test]
fn a_host_cache_that_is_killed_every_moment_costs_no_reader_an_error() {
    let seconds = std::env::var("FRAZIL_TEST_KILL_SECONDS").ok().and_then(|text| text.parse().ok());
    let home = home();
    let expected = plain_tree(&home, "python");
    // Little is kept, so that much is under way when it dies.
    let mut cached = Cached::start(&home, &["--memory-budget", "4M", "--disk-quota", "16M"]);
    let socket = cached.socket();
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(KILL_SECONDS));
    let mut kills = 0;
    thread::scope(|scope| {
        let readers: Vec<_> = FACES
            .into_iter()
            .map(|face| {
                let (home, expected, socket) = (&home, &expected, socket.to_str().unwrap());
                scope.spawn(move || {
                    let mut rounds = 0;
                    while Instant::now() < end || rounds == 0 {
                        // A mount that starts just when there is none waits until one is back.
                        let mounted = Mount::with(home, "python", &["--via", face, "--cache", socket]);
                        assert_same(expected, &snapshot(mounted.root()));
                        mounted.unmount();
                        rounds += 1;
                    }
                    rounds
                })
            })
            .collect();
        while readers.iter().any(|reader| !reader.is_finished()) {
            thread::sleep(KILL_EVERY);
            cached.kill();
            cached.restart();
            kills += 1;
        }
        for reader in readers {
            println!("{} full reads, {kills} kills", reader.join().unwrap());
        }
    });
    assert!(kills > 5, "{kills}");
}

#[test]
fn what_is_cached_mounts_and_reads_while_the_store_is_gone() {
    let home = home();
    let mut cached = Cached::start(&home, &[]);
    let mounted = mount(&home, "python", "tree", &cached);
    let expected = snapshot(mounted.root());
    mounted.unmount();
    cached.terminate();
    let away = home.path("away");
    fs::rename(home.store(), &away).unwrap();
    // Its socket answers although nothing is behind it; `restart` waits for no more than that.
    cached.restart();
    for face in FACES {
        let mounted = mount(&home, "python", face, &cached);
        assert_same(&expected, &snapshot(mounted.root()));
        mounted.log_line(&["the store cannot be reached", "last one known"]);
        mounted.unmount();
    }
    assert_eq!(cached.stats()["catalog"]["last_known_references"], 2);
    assert!(cached.log().contains("the store cannot be opened"), "{}", cached.log());
    let socket = cached.socket();
    let refused =
        ["mount", "--cache", socket.to_str().unwrap(), "other", home.mountpoint().to_str().unwrap()]
            .map(str::to_owned);
    home.refuses(refused);
    fs::rename(&away, home.store()).unwrap();
    mount(&home, "python", "tree", &cached).unmount();
    assert_eq!(cached.stats()["catalog"]["last_known_references"], 2, "the store is asked again");
}

#[test]
fn many_mounts_at_once_fetch_each_chunk_once_and_a_second_image_finds_its_base() {
    let home = home();
    home.convert(&images::debian_node().source(), "node");
    let log = home.path("access.log");
    let cached = Cached::start(&home, &["--access-log", log.to_str().unwrap()]);
    let roots: Vec<Tree> = thread::scope(|scope| {
        let readers: Vec<_> = (0..8)
            .map(|number| {
                let (home, cached, face) = (&home, &cached, FACES[number % 2]);
                scope.spawn(move || {
                    let mounted = mount(home, "python", face, cached);
                    let tree = snapshot(mounted.root());
                    mounted.unmount();
                    tree
                })
            })
            .collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    roots.iter().for_each(|tree| assert_same(&roots[0], tree));
    let reads = chunk_reads(&log).ids;
    let different: BTreeSet<_> = reads.iter().collect();
    assert_eq!(different.len(), reads.len(), "a chunk was fetched twice");

    let before = cached.asked("memory");
    let mounted = mount(&home, "node", "tree", &cached);
    snapshot(mounted.root());
    mounted.unmount();
    let all = chunk_reads(&log).ids;
    let different: BTreeSet<_> = all.iter().collect();
    assert_eq!(different.len(), all.len(), "a chunk of the base was fetched again");
    let (asked, fetched) = (cached.asked("memory") - before, (all.len() - reads.len()) as u64);
    println!("the second image asked for {asked} chunks, of which {fetched} were fetched");
    assert!(fetched * 4 < asked * 3, "{fetched} of {asked}");
}

#[test]
fn a_hundred_mounts_of_one_image_at_once_ask_the_store_once_for_each_chunk() {
    let home = home();
    let log = home.path("access.log");
    let cached = Cached::start(&home, &["--access-log", log.to_str().unwrap()]);
    let (home, cached) = (&home, &cached);
    // Ten begin at the same time, so that a busy machine says hello to each within its patience; a hundred are there.
    let ten = || (0..10).map(|_| mount(home, "python", "tree", cached)).collect::<Vec<_>>();
    let mounts: Vec<_> = thread::scope(|scope| {
        let starting: Vec<_> = (0..10).map(|_| scope.spawn(ten)).collect();
        starting.into_iter().flat_map(|mounts| mounts.join().unwrap()).collect()
    });
    assert_eq!(mounts.len(), 100);
    let expected = fs::read(mounts[0].path("usr/bin/python3.11")).unwrap();
    thread::scope(|scope| {
        for mount in &mounts {
            scope.spawn(|| assert!(fs::read(mount.path("usr/bin/python3.11")).unwrap() == expected));
        }
    });
    thread::scope(|scope| mounts.into_iter().for_each(|mount| drop(scope.spawn(move || mount.unmount()))));
    let reads = chunk_reads(&log).ids;
    let different: BTreeSet<_> = reads.iter().collect();
    assert!(different.len() > 30, "{}", different.len());
    assert_eq!(different.len(), reads.len(), "a chunk was fetched twice");
}

#[test]
fn run_reads_through_a_host_cache_too() {
    let home = home();
    let cached = Cached::start(&home, &[]);
    let socket = cached.socket();
    let words = ["run", "--cache", socket.to_str().unwrap(), "python", "--", "python3", "-c", "print(6*7)"];
    assert_eq!(home.says(words), "42\n");
    assert!(cached.asked("memory") > 0);
}

#[test]
fn the_default_socket_is_found_and_none_is_an_answer() {
    let home = home();
    // In the place where agents of this home look.
    let cached = Running(home.frazil(["cached", "-q"]).stderr(Stdio::null()).spawn().unwrap());
    assert!(soon(|| UnixStream::connect(home.path("runtime/frazil/cached.sock")).is_ok()));
    let chunks = |home: &Home| home.tells(["stats", "--json"])["requests"]["chunks"].as_u64().unwrap();
    Mount::with(&home, "python", &["--cache", "none"]).unmount();
    assert_eq!(chunks(&home), 0);
    Mount::with(&home, "python", &[]).unmount();
    assert!(chunks(&home) > 0);
    drop(cached);
    // Nobody is there, but its socket is: auto goes to the store, a name does not.
    Mount::with(&home, "python", &[]).unmount();
    let socket = home.path("runtime/frazil/cached.sock");
    let directory = home.mountpoint();
    let words = ["mount", "--cache", socket.to_str().unwrap(), "python", directory.to_str().unwrap()];
    let said = output(&mut home.frazil(words));
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("no host cache serves this user at") && said.contains("hint: start one"), "{said}");
}

#[test]
fn a_second_host_cache_on_a_socket_is_refused_in_words() {
    let home = home();
    let cached = Cached::start(&home, &[]);
    let socket = cached.socket();
    let said = output(&mut home.frazil(["cached", "--socket", socket.to_str().unwrap()]));
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(
        said.contains("is served by another process") && said.contains("hint: stop the other one"),
        "{said}"
    );
    assert!(cached.stats()["pid"].as_u64().unwrap() > 0, "the first one goes on");
}

#[test]
fn a_name_that_is_nobodys_is_an_error_in_words() {
    let home = home();
    let cached = Cached::start(&home, &[]);
    let (socket, directory) = (cached.socket(), home.mountpoint());
    let words = ["mount", "--cache", socket.to_str().unwrap(), "perl", directory.to_str().unwrap()];
    let said = output(&mut home.frazil(words));
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("there is no image perl in the store of host-cache("), "{said}");
}

#[test]
fn a_service_manager_hands_on_the_socket_and_is_told_when_it_is_served() {
    let home = home();
    let (socket, notify) = (home.path("activated.sock"), home.path("notify.sock"));
    let listener = UnixListener::bind(&socket).unwrap();
    let manager = UnixDatagram::bind(&notify).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut shell = tool("sh");
    let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
    shell.args(["-c", script, "sh"]).env("NOTIFY_SOCKET", &notify).stdin(OwnedFd::from(listener));
    let mut cached = Running(home.frazil_under(shell, ["cached", "-q"]).spawn().unwrap());
    let heard = || {
        let mut word = [0; 64];
        let len = manager.recv(&mut word).unwrap();
        String::from_utf8_lossy(&word[..len]).into_owned()
    };
    assert_eq!(heard(), "READY=1");
    Mount::with(&home, "python", &["--cache", socket.to_str().unwrap()]).unmount();
    kill_process(Pid::from_child(&cached.0), Signal::TERM).unwrap();
    assert_eq!(heard(), "STOPPING=1");
    assert!(cached.0.wait().unwrap().success());
    assert!(socket.exists(), "the socket is the service manager's");
}
