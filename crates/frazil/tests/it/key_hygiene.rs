//! What becomes of keys in a process: they are in no log at any level, in no core dump, and in no memory that another
//! process of the same user can read.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::isolation::secret_in;
use crate::support::busybox::{Busybox, Caller, NAME};
use crate::support::cached::Cached;
use crate::support::mount::{is_mounted, soon};
use crate::support::tenants::{B, Tenants, noise};
use crate::support::tool::{output, tool};

/// How a secret could look in a text.
fn spellings(secret: &[u8; 32]) -> Vec<Vec<u8>> {
    let decimal = secret.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    vec![
        secret.to_vec(),
        hex::encode(secret).into_bytes(),
        hex::encode_upper(secret).into_bytes(),
        decimal.into_bytes(),
    ]
}

#[test]
fn no_log_at_any_level_has_a_key_in_it() {
    let tenants = Tenants::new();
    let b = &tenants.b.home;
    let app = tenants.on_base("app", &[("srv/app", noise(1, 150_000))]);
    let (source, mut said) = (app.source(), Vec::new());
    let mut say = |words: &[&str]| {
        let mut command = b.frazil(["-vvv", "--tenant", B].iter().chain(words));
        let output = output(command.env("FRAZIL_LOG", "trace"));
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        said.extend([output.stdout, output.stderr].concat());
    };
    say(&["convert", "--name", "app", &source]);
    let old = secret_in(b, "tenants/b.key");
    say(&["key", "rotate"]);
    say(&["scope", "rotate", B]);
    for words in
        [&["verify", "app"][..], &["inspect", "app"], &["images"], &["scope", "list"], &["key", "list"]]
    {
        say(words);
    }
    let cached = Cached::start(b, &["-vvv"]);
    let directory = b.mountpoint();
    let (directory_text, socket) = (directory.to_str().unwrap(), cached.socket());
    say(&["mount", "--via", "tree", "--cache", socket.to_str().unwrap(), "app", directory_text]);
    assert_eq!(fs::read(directory.join("srv/app")).unwrap().len(), 150_000);
    let mounted = crate::support::mount::Mount::at(b, directory);
    said.extend(mounted.log().into_bytes());
    mounted.unmount();
    said.extend(cached.log().into_bytes());

    let (manifest, data_key) = tenants.b.open("app");
    let mut secrets = vec![*data_key.as_bytes(), old, secret_in(b, "tenants/b.key")];
    secrets.extend([secret_in(b, "scopes/b.key"), secret_in(b, "scopes/shared.key")]);
    secrets.extend(manifest.keys.iter().map(|key| *key.as_bytes()));
    let text = String::from_utf8_lossy(&said);
    assert!(text.contains("TRACE") || text.contains("DEBUG"), "the logs say nothing to look through");
    for secret in &secrets {
        for spelling in spellings(secret) {
            let shows = said.windows(spelling.len()).any(|window| window == spelling);
            assert!(!shows, "a key stands in a log");
        }
    }
}

/// Ends a process by SIGABRT after lifting its limit on core dumps, and says whether it dumped.
fn dumps_core(mut process: Child) -> bool {
    let pid = Pid::from_child(&process);
    prlimit(Some(pid), Resource::Core, Rlimit { current: Some(1 << 30), maximum: Some(1 << 30) }).unwrap();
    kill_process(pid, Signal::ABORT).unwrap();
    let status = process.wait().unwrap();
    assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()), "{status}");
    status.core_dumped()
}

#[test]
fn an_agent_that_crashes_dumps_no_core() {
    let busybox = Busybox::of(Caller::Root);
    let home = &busybox.home;
    // The control: on this machine, as its core pattern is, other processes do dump.
    let directory = home.path("cores");
    fs::create_dir(&directory).unwrap();
    let idle = Command::new("sleep").arg("600").current_dir(&directory).spawn().unwrap();
    assert!(soon(
        || fs::read_to_string(format!("/proc/{}/comm", idle.id())).is_ok_and(|comm| comm == "sleep\n")
    ));
    let others_dump = dumps_core(idle);

    let root = home.mountpoint();
    let words = ["mount", "--foreground", "--via", "tree", NAME, root.to_str().unwrap()];
    let agent = home.frazil(words).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert!(soon(|| is_mounted(&root)));

    assert!(!dumps_core(agent), "an agent that holds keys dumped core");
    let _ = rustix::mount::unmount(&root, rustix::mount::UnmountFlags::DETACH);
    println!("core dumps of this machine: others dump: {others_dump}; the agent does not");
}

#[test]
fn nobody_else_of_the_same_user_reads_an_agents_memory() {
    let busybox = Busybox::of(Caller::Nobody);
    let root = busybox.home.mountpoint();
    std::os::unix::fs::chown(&root, Some(65534), Some(65534)).unwrap();
    let mut command =
        busybox.frazil(&["mount", "--foreground", "--via", "tree", NAME, root.to_str().unwrap()]);
    let mut agent = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let records = busybox.home.path("runtime/frazil/mounts");
    let pid = || {
        let record = fs::read_dir(&records).ok()?.find_map(|entry| fs::read(entry.ok()?.path()).ok())?;
        serde_json::from_slice::<serde_json::Value>(&record).ok()?["pid"].as_u64()
    };
    assert!(soon(|| pid().is_some()), "the agent does not start");
    let pid = pid().unwrap();
    for file in ["mem", "environ", "maps"] {
        let mut read = tool("setpriv");
        read.args(["--reuid=65534", "--regid=65534", "--clear-groups", "head", "-c1"]);
        let read = output(read.arg(format!("/proc/{pid}/{file}")));
        assert!(!read.status.success(), "/proc/{pid}/{file} is readable by its user");
    }
    // The control: that user reads its other processes' files.
    let mut own = tool("setpriv");
    own.args(["--reuid=65534", "--regid=65534", "--clear-groups", "head", "-c1", "/proc/self/maps"]);
    assert!(output(&mut own).status.success());
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::TERM).unwrap();
    agent.wait().unwrap();
}
