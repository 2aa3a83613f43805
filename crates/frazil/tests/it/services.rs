//! Under a service manager: the units are sound, and a restart of the host cache is nothing that a mount notices.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::home::Home;
use crate::support::images;
use crate::support::mount::is_mounted;
use crate::support::tool::{output, run, tool};

/// Where the units and their like are.
fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

#[test]
fn systemd_accepts_every_unit() {
    let home = Home::new();
    let copies = home.path("units");
    fs::create_dir(&copies).unwrap();
    let mut names = Vec::new();
    for entry in fs::read_dir(units()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".conf") {
            continue;
        }
        // Installed where the package puts it, which is not where it was built.
        let unit = fs::read_to_string(units().join(&name)).unwrap();
        let runs_nothing = [".socket", ".timer"].iter().any(|kind| name.ends_with(kind));
        assert!(unit.contains("/usr/bin/frazil ") != runs_nothing, "{name}");
        fs::write(copies.join(&name), unit.replace("/usr/bin/frazil", env!("CARGO_BIN_EXE_frazil"))).unwrap();
        names.push(name.replace("@.", "@srv-images-python."));
    }
    assert_eq!(names.len(), 5, "{names:?}");
    let mut verify = tool("systemd-analyze");
    verify
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .env("SYSTEMD_UNIT_PATH", format!("{}:", copies.display()));
    let judged = output(verify.args(names.iter().map(|name| copies.join(name))));
    let words = String::from_utf8_lossy(&judged.stderr);
    assert!(judged.status.success() && words.trim().is_empty(), "{words}");
}

#[test]
fn the_host_cache_is_exposed_to_little_and_stopping_it_stops_no_mount() {
    let mut security = tool("systemd-analyze");
    // 10 is a service without any restraint; what is left is the network, which it is for.
    run(security
        .args(["security", "--offline=true", "--threshold=20"])
        .arg(units().join("frazil-cached.service")));
    let mount = fs::read_to_string(units().join("frazil-mount@.service")).unwrap();
    let binds = ["Requires=", "BindsTo=", "PartOf=", "Requisite=", "StopPropagatedFrom="];
    assert!(!mount.lines().any(|line| binds.iter().any(|bind| line.starts_with(bind))), "{mount}");
    let hides = [
        "ProtectSystem=",
        "ProtectHome=",
        "PrivateTmp=",
        "PrivateDevices=",
        "PrivateMounts=",
        "DynamicUser=",
    ];
    assert!(!mount.lines().any(|line| hides.iter().any(|hide| line.starts_with(hide))), "{mount}");
}

/// What a service manager does for its services: holds a socket, and hears how they are.
struct Manager<'h> {
    home: &'h Home,
    listener: UnixListener,
    notifications: UnixDatagram,
}

impl<'h> Manager<'h> {
    fn new(home: &'h Home) -> Self {
        let listener = UnixListener::bind(home.path("cached.sock")).unwrap();
        let notifications = UnixDatagram::bind(home.path("notify.sock")).unwrap();
        notifications.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { home, listener, notifications }
    }

    fn socket(&self) -> PathBuf {
        self.home.path("cached.sock")
    }

    fn cached(&self) -> Service {
        let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
        let mut shell = tool("sh");
        shell.args(["-c", script, "sh"]).stdin(OwnedFd::from(self.listener.try_clone().unwrap()));
        shell.env("NOTIFY_SOCKET", self.home.path("notify.sock"));
        Service(self.home.frazil_under(shell, ["cached", "-q"]).spawn().unwrap())
    }

    fn mount(&self, name: &str, directory: &Path) -> Service {
        let mut command = self.home.frazil(["mount", "--foreground", "--cache"]);
        command.arg(self.socket()).args(["--", name]).arg(directory);
        Service(command.env("NOTIFY_SOCKET", self.home.path("notify.sock")).spawn().unwrap())
    }

    #[track_caller]
    fn hears(&self, word: &str) {
        let mut heard = [0; 64];
        let len = self.notifications.recv(&mut heard).unwrap();
        assert_eq!(String::from_utf8_lossy(&heard[..len]), word);
    }
}

/// A process that is gone with the value.
struct Service(Child);

impl Service {
    /// Ends it as a service manager does.
    #[track_caller]
    fn stop(mut self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        let ended = self.0.wait().unwrap();
        assert!(ended.success(), "{ended}");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_restart_of_the_host_cache_leaves_mounts_working_and_a_mount_says_when_it_is_ready_and_when_it_ends() {
    let home = Home::new();
    home.convert(&images::debian_python().source(), "python");
    let manager = Manager::new(&home);
    let cached = manager.cached();
    manager.hears("READY=1");
    let directory = home.mountpoint();
    let mount = manager.mount("python", &directory);
    manager.hears("READY=1");
    assert!(is_mounted(&directory));

    cached.stop();
    manager.hears("STOPPING=1");
    assert!(is_mounted(&directory));
    // A read while there is no host cache waits for the next one.
    let file = directory.join("usr/bin/env");
    let reader = std::thread::spawn(move || fs::read(file));
    let cached = manager.cached();
    manager.hears("READY=1");
    assert!(reader.join().unwrap().unwrap().starts_with(b"\x7fELF"));

    mount.stop();
    manager.hears("STOPPING=1");
    assert!(!is_mounted(&directory));
    cached.stop();
}
