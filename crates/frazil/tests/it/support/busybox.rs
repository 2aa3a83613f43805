//! An image of a busybox and little else, converted into a home of its own; root or an ordinary user runs it.
//!
//! Invariant: what a run starts can be found by the word that it was started with, on the host, too.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use super::home::Home;
use super::layer::{Attributes, Layer};
use super::mount::soon;
use super::tool::{output, tool};
use super::umoci;

/// The uid and gid of an ordinary user: Debian's `nobody`.
const NOBODY: u32 = 65534;

/// The image's name.
pub(crate) const NAME: &str = "busybox";

const APPLETS: [&str; 24] = [
    "cat", "chmod", "dd", "echo", "env", "grep", "hostname", "id", "kill", "ls", "mkdir", "mknod", "mount",
    "nproc", "ps", "pwd", "rm", "sh", "sleep", "stat", "test", "touch", "true", "wc",
];

/// Who runs frazil.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Caller {
    /// The machine's root.
    Root,
    /// An ordinary user, where `/dev/fuse` is open to everyone, as udev has it on any real host.
    Nobody,
}

/// A home with the image in its store.
pub(crate) struct Busybox {
    pub(crate) home: Home,
    caller: Caller,
}

impl Busybox {
    /// The image in a home of this caller's.
    #[track_caller]
    pub(crate) fn of(caller: Caller) -> Self {
        let home = Home::new();
        home.convert(&source(&home), NAME);
        if caller == Caller::Nobody {
            fs::copy(env!("CARGO_BIN_EXE_frazil"), home.path("frazil")).unwrap();
            give_away(&home.path(""));
        }
        Self { home, caller }
    }

    /// `frazil` with these words, as the caller runs it.
    pub(crate) fn frazil(&self, words: &[&str]) -> Command {
        self.frazil_under(tool("env"), words)
    }

    /// The same, executed by a program that is given it as its last arguments.
    pub(crate) fn frazil_under(&self, mut wrapper: Command, words: &[&str]) -> Command {
        if self.caller == Caller::Nobody {
            self.become_nobody(&mut wrapper);
        }
        self.home.frazil_under(wrapper, words)
    }

    /// Another program in front, which gets the path of the test's own build as its first word and drops it: the
    /// caller may not be able to enter the directory that it is in.
    fn become_nobody(&self, command: &mut Command) {
        let script = format!(
            "mount -t tmpfs none /mnt && mknod -m 666 /mnt/fuse c 10 229 && mount --bind /mnt/fuse /dev/fuse && \
             shift && exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups -- {} \"$@\"",
            self.home.path("frazil").display()
        );
        command.args(["unshare", "--mount", "--propagation", "private", "sh", "-c", &script, "nobody"]);
        command.current_dir("/");
    }

    /// `frazil run` with these options and this command.
    pub(crate) fn command(&self, options: &[&str], command: &[&str]) -> Command {
        self.frazil(&[&["run", NAME], options, &["--"], command].concat())
    }

    /// Runs the command to its end.
    #[track_caller]
    pub(crate) fn run(&self, options: &[&str], command: &[&str]) -> Output {
        output(&mut self.command(options, command))
    }

    /// What a shell script in the container prints; it must succeed.
    #[track_caller]
    pub(crate) fn says(&self, options: &[&str], script: &str) -> String {
        let output = self.run(options, &["sh", "-c", script]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {}\n{stderr}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts the command, its output in a pipe.
    pub(crate) fn start(&self, options: &[&str], command: &[&str]) -> Child {
        let mut command = self.command(options, command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// Gives a directory to the ordinary user, with all that is in it.
fn give_away(path: &std::path::Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.symlink_metadata().unwrap().is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give_away(&entry.unwrap().path()));
    }
}

/// Makes the image and says where it is.
#[track_caller]
fn source(home: &Home) -> String {
    let busybox = fs::read("/bin/busybox").expect("busybox is missing: install the package busybox-static");
    let directories = ["bin", "etc", "home", "home/me", "tmp"];
    let layer =
        directories.iter().fold(Layer::new(), |layer, path| layer.directory(path, Attributes::mode(0o755)));
    let layer = layer
        .file("bin/busybox", Attributes::mode(0o755), &busybox)
        .file(
            "etc/passwd",
            Attributes::mode(0o644),
            b"root:x:0:0::/root:/bin/sh\nme:x:1000:1001::/home/me:/bin/sh\n",
        )
        .file("etc/group", Attributes::mode(0o644), b"root:x:0:\nme:x:1001:\naudio:x:29:other,me\n")
        .symlink("etc/resolv.conf", "../run/nowhere/resolv.conf");
    let layer = APPLETS.iter().fold(layer, |layer, name| layer.symlink(&format!("bin/{name}"), "busybox"));
    let tar = home.path("busybox.tar");
    layer.write(&tar);
    let image = umoci::add_layer(&umoci::empty(&home.path("layout"), "empty"), &tar, NAME);
    let options =
        ["--config.cmd=sh", "--config.cmd=-c", "--config.cmd=echo the image says $GREETING in $PWD"];
    let more = ["--config.env=GREETING=hello", "--config.workingdir=/work/place"];
    umoci::configure(&image, &[&options[..], &more[..]].concat());
    image.source()
}

/// The processes that serve images to a `frazil run`.
pub(crate) fn agents_of(run: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{run}/task/{run}/children")).unwrap();
    let children = children.split_whitespace().map(|pid| pid.parse().unwrap());
    let is_agent = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "frazil-agent\n")
    };
    children.filter(is_agent).collect()
}

/// A number of seconds for `sleep` that no other process on this machine was given.
pub(crate) fn telltale_sleep() -> String {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("86400.{}{count:03}", std::process::id())
}

/// The processes of this machine with a word on their command line, but for those that end.
pub(crate) fn processes(word: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let lines = entries.filter_map(|path: PathBuf| fs::read(path.join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(word)).collect()
}

/// Waits until a container's command executes.
#[track_caller]
pub(crate) fn await_sleep(seconds: &str) {
    let word = format!("sleep {seconds}");
    assert!(
        soon(|| processes(&word).iter().any(|line| line.starts_with("sleep"))),
        "the command does not start"
    );
}

/// Makes sure that no process and no mount of a run is left.
#[track_caller]
pub(crate) fn nothing_is_left(busybox: &Busybox, word: &str) {
    assert!(soon(|| processes(word).is_empty()), "{:?} live on", processes(word));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let home = busybox.home.path("");
    let left: Vec<&str> = mounts.lines().filter(|line| line.contains(home.to_str().unwrap())).collect();
    assert!(left.is_empty(), "{left:?}");
    let stage = busybox.home.path("runtime/frazil/stage");
    assert_eq!(fs::read_dir(&stage).unwrap().count(), 0, "files are left on the stage");
    assert_eq!(fs::metadata(&stage).unwrap().permissions().mode() & 0o777, 0o700);
}
