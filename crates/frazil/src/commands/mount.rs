//! `frazil mount`: an image as a directory, served in the background.
//!
//! Invariant: when it returns with 0 the tree is readable; when it returns otherwise nothing is left, neither a
//! mount nor a process.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow};

use super::agent::{self, Announcement, Extent, Order, Readiness};
use crate::cli::Global;
use crate::config::{Entry, keys};
use crate::exit::Exit;
use crate::failure::Advise;
use crate::host_cache::CacheArgs;
use crate::inherited::bequeath;
use crate::mount_record;
use crate::output::note;
use crate::tiers::TierArgs;
use crate::via::Via;

/// Mount an image at an empty directory
///
/// Returns when the tree is readable; a process in the background fetches what is read, as it is read. To end
/// it: frazil unmount DIR.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The image's name in the store
    name: String,

    /// An empty directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Which face shows the image [default: auto]
    #[arg(long, value_enum)]
    #[allow(dead_code, reason = "read through the configuration")]
    via: Option<Via>,

    #[command(flatten)]
    recording: RecordingArgs,

    /// Serve from this process, until it is unmounted or ends by SIGTERM or SIGINT
    #[arg(long)]
    foreground: bool,

    /// Fetch all of the image at once, into the host's tiers, behind whatever is read
    #[arg(long)]
    eager: bool,

    #[command(flatten)]
    cache: CacheArgs,

    #[command(flatten)]
    tiers: TierArgs,
}

/// How what a mount's user reads first is recorded, and fetched ahead the next time.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct RecordingArgs {
    /// What the mount is for: mounts of one label have one profile
    #[arg(long, value_name = "LABEL", default_value = "", hide_default_value = true)]
    pub(crate) label: String,

    /// Neither record what is read first nor fetch ahead what was
    #[arg(long, conflicts_with = "label")]
    pub(crate) no_profile: bool,
}

impl RecordingArgs {
    /// These flags, as arguments for a process of frazil.
    fn arguments(&self) -> Vec<OsString> {
        match self {
            Self { no_profile: true, .. } => vec!["--no-profile".into()],
            Self { label, .. } if label.is_empty() => Vec::new(),
            Self { label, .. } => vec![format!("--label={label}").into()],
        }
    }
}

/// The keys of the agent's tiers, which are handed on to it.
const HANDED_ON: [&dyn Entry; 5] =
    [&keys::CACHE, &keys::EMBEDDED_MEMORY, &keys::EMBEDDED_DIRECTORY, &keys::EMBEDDED_QUOTA, &keys::REMOTE];

/// Mounts it.
pub(crate) fn execute(args: &Args, global: &Global) -> Result<Exit> {
    let directory = mount_record::canonical(&args.directory)?;
    if args.foreground {
        let extent = Extent::of(args.eager);
        let order = Order { name: &args.name, directory: &directory, recording: &args.recording, extent };
        return agent::serve(&order, global, Readiness::Terminal);
    }
    let announcement = start_agent(args, &directory, global)?;
    if global.quiet == 0 {
        note(announcement.in_words());
    }
    Ok(Exit::SUCCESS)
}

/// Starts the process that serves the mount, and waits for its word.
fn start_agent(args: &Args, directory: &Path, global: &Global) -> Result<Announcement> {
    let config = global.config()?;
    mount_record::refuse_if_served(directory)?;
    let (log_path, log) = mount_record::log(directory)?;
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().context("cannot make a socket")?;
    let number = bequeath(&theirs).context("cannot hand a socket on")?.to_string();
    let title = format!("frazil agent {} {}", args.name, directory.display());
    let mut agent = Command::new("/proc/self/exe")
        // What a list of processes shows first.
        .arg0(title)
        .args(global.arguments()?)
        .args(["agent", "--ready", &number, "--via", config.value(&keys::VIA)?.word()])
        .args(args.eager.then_some("--eager"))
        .args(config.flags(&HANDED_ON))
        .args(args.recording.arguments())
        .arg("--")
        .arg(&args.name)
        .arg(directory)
        // Only the process that a service manager started may notify it.
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("cannot start the agent")?;
    drop(theirs);
    match Announcement::receive(&ours).context("cannot hear from the agent")? {
        Some(Ok(announcement)) => Ok(announcement),
        Some(Err(refusal)) => {
            let _ = agent.wait();
            mount_record::discard_empty(&log_path);
            Err(refusal.into_error())
        }
        None => {
            let ended = agent.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            Err(anyhow!("the agent ended without a word: {ended}"))
                .hint(format!("its log is {}", log_path.display()))
        }
    }
}

impl Announcement {
    /// For the person who watches.
    fn in_words(&self) -> String {
        format!(
            "mounted {} at {} through {} ({})",
            self.image,
            self.directory.display(),
            self.face,
            self.reason
        )
    }
}

/// Says that a mount is ready, in the foreground.
pub(crate) fn say(announcement: &Announcement) {
    note(announcement.in_words());
}
