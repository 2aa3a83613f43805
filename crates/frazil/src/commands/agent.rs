//! `frazil agent`: the process that serves one mounted image. Started by `frazil mount`; not for people.
//!
//! It ends when the image is unmounted, by whomever, or by a signal that asks it to end ([`End`]); then it
//! unmounts.

use std::convert::Infallible;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use frazil_format::Label;
use frazil_mount::{MountError, MountOptions, Mounted, Shown};
use rustix::process::setsid;
use serde::{Deserialize, Serialize};

use super::mount::{self, RecordingArgs};
use crate::cli::Global;
use crate::config::keys;
use crate::control::{Control, Subject};
use crate::end::End;
use crate::exit::Exit;
use crate::failure::Refusal;
use crate::host_cache::{CacheArgs, Choice};
use crate::inherited::inherit;
use crate::mount_record::{Mount, MountRecord};
use crate::places;
use crate::run::spec;
use crate::sandbox::{Attendant, Duties, Sandbox};
use crate::service::ServiceManager;
use crate::supply::Supply;
use crate::tiers::TierArgs;
use crate::via::Via;
use crate::wiring::{self, Absent, OpenImage};

/// Serve a mounted image (started by `frazil mount`)
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The image's name in the store
    name: String,

    /// The directory
    directory: PathBuf,

    /// Which face shows the image
    #[arg(long, value_enum)]
    #[allow(dead_code, reason = "read through the configuration")]
    via: Via,

    /// The socket on which to say that the tree is readable
    #[arg(long)]
    ready: i32,

    /// Fetch all of the image
    #[arg(long)]
    eager: bool,

    #[command(flatten)]
    recording: RecordingArgs,

    #[command(flatten)]
    cache: CacheArgs,

    #[command(flatten)]
    tiers: TierArgs,
}

/// How long an agent's end waits until what its mount taught is written down.
const PROFILE_SAVED: Duration = Duration::from_secs(10);

/// How much of an image is fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Extent {
    /// What is read.
    Touched,
    /// All of it, behind what is read.
    Whole,
}

impl Extent {
    /// What `--eager` means.
    pub(crate) fn of(eager: bool) -> Self {
        if eager { Self::Whole } else { Self::Touched }
    }
}

/// Where to report that the tree is readable.
pub(crate) enum Readiness {
    /// The person who watches.
    Terminal,
    /// The process that started this one.
    Parent(UnixStream),
}

impl Readiness {
    /// Ends when the process that waits to be told has ended; never if it is a person.
    async fn is_awaited_no_more(&self) -> Result<()> {
        let Self::Parent(socket) = self else { return std::future::pending().await };
        let watched = || {
            let socket = socket.try_clone()?;
            // What is told later fits into an empty socket.
            socket.set_nonblocking(true)?;
            tokio::net::UnixStream::from_std(socket)
        };
        let watched = watched().context("cannot watch the mounting process")?;
        // The other process says nothing, so the socket becomes readable only when that process is gone.
        watched.readable().await.context("cannot watch the mounting process")
    }

    /// Tells of the mount.
    fn tell(self, announcement: Announcement, manager: &ServiceManager) -> Result<()> {
        match self {
            Self::Terminal => {
                mount::say(&announcement);
                manager.tell("READY=1");
                Ok(())
            }
            Self::Parent(socket) => {
                spec::send(&socket, &Ok::<_, Refusal>(announcement)).context("the mounting process is gone")
            }
        }
    }
}

/// A tree is readable.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Announcement {
    /// The image's name.
    pub(crate) image: String,
    /// Where it is mounted.
    pub(crate) directory: PathBuf,
    /// `tree` or `erofs`.
    pub(crate) face: String,
    /// Why that one.
    pub(crate) reason: String,
}

impl Announcement {
    /// Waits for an agent's word; none if it ended without one.
    pub(crate) fn receive(socket: &UnixStream) -> std::io::Result<Option<Result<Self, Refusal>>> {
        spec::receive(socket)
    }
}

/// Serves, and tells the parent how it went.
pub(crate) fn execute(args: &Args, global: &Global) -> Result<Exit> {
    let socket =
        UnixStream::from(inherit(args.ready).context("this command is started by frazil mount alone")?);
    let answer = socket.try_clone().context("cannot keep the socket")?;
    let _ = rustix::thread::set_name(c"frazil-agent");
    // No terminal's signals, and no directory that could not be unmounted because of this process.
    setsid().context("cannot leave the session")?;
    // Read here: what relative paths in it mean depends on the directory that is left.
    let config = global.config();
    std::env::set_current_dir("/").context("cannot leave the directory")?;
    let served = config.and_then(|_| {
        let (extent, ready) = (Extent::of(args.eager), Readiness::Parent(socket));
        let (name, directory) = (args.name.as_str(), args.directory.as_path());
        serve(&Order { name, directory, recording: &args.recording, extent }, global, ready)
    });
    served.or_else(|error| {
        match spec::send(&answer, &Err::<Announcement, _>(Refusal::of(&error))) {
            Ok(()) => Ok(Exit::FAILURE),
            // Nobody is listening: the tree was readable before. The error is for the log.
            Err(_) => Err(error),
        }
    })
}

/// What an agent serves, and how.
pub(crate) struct Order<'a> {
    /// The image's name.
    pub(crate) name: &'a str,
    /// Where it is to be mounted.
    pub(crate) directory: &'a Path,
    pub(crate) recording: &'a RecordingArgs,
    pub(crate) extent: Extent,
}

/// Mounts, tells, and serves until the end.
pub(crate) fn serve(order: &Order<'_>, global: &Global, ready: Readiness) -> Result<Exit> {
    let &Order { name, directory, extent, .. } = order;
    let config = global.config()?;
    let (host_cache, via) = (Choice::find(config)?, config.value(&keys::VIA)?);
    // Before there are threads: with a host cache this process will need nothing else.
    let duties = |socket: &PathBuf| Duties { socket: socket.clone(), directory: Some(directory.to_owned()) };
    let sandbox = host_cache.as_ref().map(|socket| Sandbox::prepare(&duties(socket))).transpose()?;
    let manager = ServiceManager::find();
    // One that leaves its network could send spans nowhere.
    #[cfg(feature = "otlp")]
    if sandbox.is_none() {
        crate::spans::start();
    }
    wiring::serving_runtime()?.block_on(async {
        let mut end = End::new()?;
        let open = tokio::select! {
            open = order.image(global, host_cache.as_deref(), sandbox.as_ref()) => open?,
            gone = ready.is_awaited_no_more() => {
                gone?;
                bail!("the mounting process is gone");
            }
            () = end.asked() => bail!("it was asked to end before the image was here"),
        };
        let mut record = MountRecord::take(directory)?;
        let options = MountOptions { face: via.face(), name: open.name.to_string() };
        let mounted = frazil_mount::mount(&open.image, directory, &options).await?;
        let Shown { face, reason } = mounted.shown().clone();
        let face = face.to_string();
        // Made before there is a record: a process that sees the record finds somebody to ask.
        let control = Control::bind(directory)?;
        record.write(&Mount { pid: std::process::id(), directory, image: name, face: face.clone() })?;
        let subject = order.subject(&open, face.clone());
        let records = places::runtime()?.join("mounts");
        let attendant = sandbox.map(|sandbox| sandbox.close(Some(&records))).transpose()?;
        let announcement =
            Announcement { image: name.to_owned(), directory: directory.to_owned(), face, reason };
        // A parent that is gone will not say that there is a mount; so there must be none.
        if let Err(error) = ready.tell(announcement, &manager) {
            let _ = take_down(mounted, attendant.as_ref()).await;
            return Err(error);
        }
        if extent == Extent::Whole {
            wiring::complete(&open.image);
        }
        let ended = tokio::select! {
            ended = until_the_end(mounted, attendant.as_ref(), &mut end, &manager) => ended,
            never = answer(control, subject) => match never {},
        };
        if let Some(profiling) = &open.profiling {
            profiling.ready();
            profiling.saved(PROFILE_SAVED).await;
        }
        open.settle().await;
        ended
    })
}

impl Order<'_> {
    async fn image(
        &self,
        global: &Global,
        host_cache: Option<&Path>,
        sandbox: Option<&Sandbox>,
    ) -> Result<OpenImage> {
        let labelled = |_: &[u8]| Ok(Label::mount(&self.recording.label));
        let label = (!self.recording.no_profile).then_some(&labelled as _);
        let dial = sandbox.map(|sandbox| sandbox.attendant().dial());
        let supply = Supply::open(global, host_cache, dial, self.name, label.is_some()).await?;
        let keys = wiring::keys(global, Absent::Refuse)?;
        wiring::image(global, &supply, &keys, self.name, label).await
    }

    /// What the mount can be asked about from now on.
    fn subject(&self, open: &OpenImage, face: String) -> Subject {
        Subject {
            image: Arc::clone(&open.image),
            name: open.name.to_string(),
            directory: self.directory.to_owned(),
            face,
            mounted: Instant::now(),
            profiling: open.profiling.clone(),
        }
    }
}

/// Answers questions about the mount. A mount that cannot be asked about any more is still a mount.
async fn answer(control: Control, subject: Subject) -> Infallible {
    if let Err(error) = control.serve(subject).await {
        let error = crate::failure::chain(&error);
        tracing::warn!(error, "questions about the mount are no longer answered");
    }
    std::future::pending().await
}

async fn until_the_end(
    mut mounted: Mounted,
    attendant: Option<&Attendant>,
    end: &mut End,
    manager: &ServiceManager,
) -> Result<Exit> {
    tokio::select! {
        ended = mounted.wait() => return Ok(ended.map(|()| Exit::SUCCESS)?),
        () = end.asked() => manager.tell("STOPPING=1"),
    }
    take_down(mounted, attendant).await.map(|()| Exit::SUCCESS)
}

/// Unmounts, even if somebody still has a file open: whoever asks wants this process gone.
async fn take_down(mut mounted: Mounted, attendant: Option<&Attendant>) -> Result<()> {
    let unmounted = match attendant {
        None => mounted.try_unmount().await,
        Some(attendant) => {
            attendant.unmount().await.context("cannot unmount")?;
            mounted.wait().await
        }
    };
    match unmounted {
        Err(error @ MountError::Busy { .. }) => {
            tracing::warn!("{error}: detached");
            drop(mounted);
            Ok(())
        }
        ended => Ok(ended?),
    }
}
