//! An agent in a process of its own: this test binary again, told by its environment to serve the sample.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use frazil_mount::{Face, FaceChoice};

/// Set for the process that serves.
pub(crate) const FACE: &str = "FRAZIL_TEST_AGENT_FACE";
pub(crate) const BEST: &str = "best";
pub(crate) const DIR: &str = "FRAZIL_TEST_AGENT_DIR";
pub(crate) const READY: &str = "the agent is ready";

/// A serving process; it is killed when the test ends, and its mount goes with it.
pub(crate) struct Agent {
    pub(crate) process: Child,
    dir: std::path::PathBuf,
}

impl Agent {
    /// Starts an agent as root and waits until its tree is readable.
    pub(crate) fn start(dir: &Path, face: Face) -> Self {
        Self::spawn(Command::new(std::env::current_exe().unwrap()), dir, FaceChoice::Just(face))
    }

    /// Starts an agent as an ordinary user, in a mount namespace where `/dev/fuse` is open to everyone, as udev
    /// has it on any real host.
    pub(crate) fn start_as(uid: u32, dir: &Path, face: FaceChoice) -> Self {
        let script = format!(
            "mount -t tmpfs none /mnt && mknod -m 666 /mnt/fuse c 10 229 && mount --bind /mnt/fuse /dev/fuse && \
             exec setpriv --reuid={uid} --regid={uid} --clear-groups -- \"$@\""
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script, "agent"]);
        command.arg(std::env::current_exe().unwrap());
        Self::spawn(command, dir, face)
    }

    fn spawn(mut command: Command, dir: &Path, face: FaceChoice) -> Self {
        let face = match face {
            FaceChoice::Just(face) => face.to_string(),
            FaceChoice::Best => BEST.to_owned(),
        };
        let mut process = command
            .args(["--exact", "agent::serve_if_told_to", "--nocapture"])
            .env(FACE, face)
            .env(DIR, dir)
            .current_dir("/")
            .stdout(Stdio::piped())
            .spawn()
            .expect("apt install util-linux");
        let output = process.stdout.take().unwrap();
        let agent = Self { process, dir: dir.to_owned() };
        let ready = BufReader::new(output).lines().any(|line| line.is_ok_and(|line| line.contains(READY)));
        assert!(ready, "the agent did not get ready");
        agent
    }

    /// Runs a program as `uid` where the agent's mounts are seen.
    pub(crate) fn run_as(&self, uid: u32, program: &str, args: &[&str]) -> Output {
        let target = self.process.id().to_string();
        let ids = [format!("--reuid={uid}"), format!("--regid={uid}")];
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &target,
            "--mount",
            "--",
            "setpriv",
            &ids[0],
            &ids[1],
            "--clear-groups",
            "--",
        ]);
        command.arg(program).args(args).output().expect("apt install util-linux")
    }

    /// Kills the agent as an out-of-memory killer would.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = rustix::mount::unmount(&self.dir, rustix::mount::UnmountFlags::DETACH);
    }
}
