//! The least that a container needs, for contenders that bring a tree and no runtime: a mount namespace, a writable
//! layer in memory over the tree, `/proc` and `/dev`.
//!
//! It does less than every runtime, Frazil's included, so it favours whoever is started by it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use clap::Args;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// A tree and what to run in it.
#[derive(Args)]
pub(crate) struct Launch {
    /// The tree
    root: PathBuf,
    /// An empty directory to mount on
    stage: PathBuf,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    argv: Vec<OsString>,
}

/// Becomes the program.
pub(crate) fn run(launch: &Launch) -> anyhow::Result<()> {
    // SAFETY: the descriptor table is not unshared, and no other thread runs.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.context("cannot make a mount namespace: run as root")?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let stage = &launch.stage;
    mount("stage", stage, "tmpfs", MountFlags::empty(), None)?;
    for name in ["upper", "work", "root"] {
        std::fs::create_dir(stage.join(name))?;
    }
    let root = stage.join("root");
    let (lower, stage) = (launch.root.display(), stage.display());
    let options = format!("lowerdir={lower},upperdir={stage}/upper,workdir={stage}/work");
    let options = std::ffi::CString::new(options)?;
    mount("overlay", &root, "overlay", MountFlags::empty(), options.as_c_str())?;
    mount("proc", root.join("proc"), "proc", MountFlags::empty(), None)?;
    mount_bind_recursive("/dev", root.join("dev"))?;
    rustix::process::chroot(&root)?;
    rustix::process::chdir("/")?;
    let (program, arguments) = launch.argv.split_first().context("there is nothing to run")?;
    Err(Command::new(program).args(arguments).env_clear().envs(ENVIRONMENT).exec())
        .context("cannot start the program")
}

/// What images of this benchmark are configured with.
const ENVIRONMENT: [(&str, &str); 2] =
    [("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", "/root")];
