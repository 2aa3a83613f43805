//! `frazil run`: an image's command, in a container, over a tree that arrives while it is read.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use frazil_cache::host::Dial;
use frazil_convert::source::SourceSpec;
use frazil_format::Label;
use frazil_mount::{MountOptions, Shown, passing};
use rustix::process::{DumpableBehavior, getpid, set_dumpable_behavior};

use super::convert::{ConversionArgs, source_of};
use crate::cli::Global;
use crate::config::keys;
use crate::exit::Exit;
use crate::failure::{Advise, Refusal};
use crate::host_cache::{CacheArgs, Choice};
use crate::output::note;
use crate::run::config::{self as container_config, Overrides};
use crate::run::console::WindowSize;
use crate::run::container::{Addressee, Waiting};
use crate::run::first_output::FirstOutput;
use crate::run::namespaces;
use crate::run::side_process::{Line, SideProcess};
use crate::run::signals::Signals;
use crate::run::spec::{Network, Privilege, Spec};
use crate::run::stage::Stage;
use crate::run::summary::{Summary, Times};
use crate::run::terminal::Terminal;
use crate::run::user::UserSpec;
use crate::run::volume::Volume;
use crate::sandbox::{Duties, Sandbox};
use crate::size::Size;
use crate::supply::Supply;
use crate::tiers::TierArgs;
use crate::via::Via;
use crate::wiring::{self, Absent, OpenImage};

/// How long a command's end waits until what its start taught is written down.
const PROFILE_SAVED: Duration = Duration::from_secs(5);

/// How long a summary waits for prefetches under way, so that it counts them.
const PREFETCHES_LAND: Duration = Duration::from_millis(200);

/// The kind of terminal that a command is told it has, as Docker does it; most images know this one.
const DEFAULT_TERM: &str = "TERM=xterm";

/// Run an image's command in a container
///
/// The image is a name in the store, or a source (docker://…, oci:…, oci-archive:…, docker-archive:…) that is
/// converted first; what the store has of it already is not read again. What the command writes is gone when it
/// ends. Works for root and for ordinary users.
#[derive(clap::Args, Debug)]
#[allow(dead_code, reason = "some are read through the configuration, which knows what else says them")]
pub(crate) struct Args {
    /// The image: a name, or a source with its transport in front
    #[arg(value_name = "NAME|SOURCE")]
    image: String,

    /// What to execute instead of the image's own command
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,

    /// Which face shows the image [default: auto]
    #[arg(long, value_enum)]
    via: Option<Via>,

    /// Set an environment variable: NAME=VALUE, or NAME to pass your own value on
    #[arg(short, long = "env", value_name = "NAME[=VALUE]", value_parser = variable)]
    environment: Vec<String>,

    /// Give the command a terminal of its own, joined to yours
    #[arg(short, long)]
    tty: bool,

    /// Accepted for -it; the standard input is always passed on
    #[arg(short, long)]
    interactive: bool,

    /// Start in this directory
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,

    /// Run as this user: a name or a number, with a group after a colon
    #[arg(short, long, value_name = "USER[:GROUP]", value_parser = named_user)]
    user: Option<UserSpec>,

    /// Run this program instead of the image's entrypoint
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<OsString>,

    /// Show a directory or file of the host inside
    #[arg(long = "volume", value_name = "HOST:INSIDE[:ro]")]
    volumes: Vec<Volume>,

    /// The network: the host's, or none [default: host]
    #[arg(long, value_enum)]
    network: Option<Network>,

    /// The most that the command may write to its file system [default: half of the memory]
    #[arg(long, value_name = "SIZE")]
    writable: Option<Size>,

    /// The most that /dev/shm may hold [default: 64 MiB]
    #[arg(long, value_name = "SIZE")]
    shared_memory: Option<Size>,

    /// The host name inside [default: 12 digits of the image's manifest id]
    #[arg(long)]
    hostname: Option<String>,

    /// Neither record what the start reads nor fetch ahead what earlier starts read
    #[arg(long)]
    no_profile: bool,

    /// Do not say afterwards what the run cost
    #[arg(long)]
    no_summary: bool,

    /// Fetch all of the image at once, into the host's tiers, behind whatever is read
    #[arg(long)]
    eager: bool,

    /// Write what the run cost to this file, as JSON
    #[arg(long, value_name = "FILE")]
    summary_json: Option<PathBuf>,

    #[command(flatten)]
    cache: CacheArgs,

    #[command(flatten)]
    tiers: TierArgs,

    #[command(flatten)]
    conversion: ConversionArgs,
}

/// Runs it; what goes wrong before the command starts ends with the code that says so.
pub(crate) fn execute(args: Args, global: &Global) -> Result<Exit> {
    run(args, global).exit(Exit::NOT_STARTED)
}

/// A variable for the command's environment, which has a name.
fn variable(text: &str) -> Result<String, String> {
    match text.is_empty() || text.starts_with('=') {
        true => Err("it names no variable".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// A user who is named: in an image's own configuration an empty text is root, and nobody means that here.
fn named_user(text: &str) -> Result<UserSpec, String> {
    match text.is_empty() || text.starts_with(':') {
        true => Err("it names no user".to_owned()),
        false => text.parse(),
    }
}

fn run(args: Args, global: &Global) -> Result<Exit> {
    let started = Instant::now();
    let config = global.config()?;
    let host_cache = Choice::find(config)?;
    let writable_bytes = config.get(&keys::WRITABLE)?.map(|size| size.0);
    let source = source_of(&args.image)?;
    // Signals and namespaces first: both are inherited by threads, and no thread may be there yet.
    let signals = Signals::block().context("cannot block signals")?;
    let terminal = args.tty.then(|| Terminal::find(&signals)).transpose()?;
    let window = terminal.as_ref().map(Terminal::size).transpose()?;
    let directory = Stage::directory()?;
    let privilege = namespaces::enter_private()?;
    let stage = Stage::mount(directory, writable_bytes)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("cannot forbid memory dumps")?;
    // Whatever has keys or the network must not be in this process, from which the container's processes
    // descend.
    let converter = source
        .map(|source| {
            SideProcess::start(|line| line.begin(&Ok::<_, Refusal>(convert(&source, &args, global)?)))
        })
        .transpose()?;
    let server =
        Served { args: &args, global, host_cache: host_cache.as_deref(), stage: &stage, privilege, window };
    let parent = getpid().as_raw_nonzero().get();
    let (mount, their_mount) = UnixStream::pair().context("cannot make a socket")?;
    let agent = SideProcess::start(move |line| server.serve(line, &their_mount, parent))?;
    let addressee = Addressee::follow(signals)?;
    let container = Waiting::start(terminal)?;

    let name = match converter {
        Some(converter) => {
            let name = converter.outcome::<String>()?;
            converter.wait();
            name
        }
        None => args.image.clone(),
    };
    agent.line.begin(&name)?;
    let spec: Spec = agent.outcome()?;
    stage.show(&passing::receive(&mount).context("cannot take over the mount")?)?;
    let mounted = started.elapsed();
    let exit = container.launch(&spec, &addressee)?.wait()?;

    // The command's code is the result; what goes wrong from here on is only worth a remark.
    let times = Times { mounted, exited: started.elapsed() };
    if let Err(error) = farewell(agent, &args, global, &stage, exit, times) {
        note(format!("warning: {}", crate::failure::chain(&error)));
    }
    Ok(exit)
}

/// Hears what the run cost, takes the mount away, and tells.
fn farewell(
    agent: SideProcess,
    args: &Args,
    global: &Global,
    stage: &Stage,
    exit: Exit,
    times: Times,
) -> Result<()> {
    agent.line.end(&(exit, times))?;
    let summary = agent.line.hear_end::<Summary>()?;
    match frazil_mount::unmount(&stage.image()) {
        Ok(()) => agent.wait(),
        Err(error) => {
            tracing::warn!(%error, "cannot unmount");
            agent.kill();
        }
    }
    let summary =
        summary.context("the process that served the image is gone: nobody knows what the run cost")?;
    if !args.no_summary && global.quiet == 0 {
        summary.tell(times);
    }
    args.summary_json.as_deref().map_or(Ok(()), |file| summary.write(file))
}

/// Converts a source; returns the name of the image.
fn convert(source: &SourceSpec, args: &Args, global: &Global) -> Result<String> {
    wiring::runtime()?.block_on(async {
        let store = wiring::store(global, Absent::Create).await?;
        let keys = wiring::keys(global, Absent::Create)?;
        let name = source.default_name().parse()?;
        super::convert::convert(source, &name, &store, &keys, &args.conversion, global).await?;
        Ok(name.to_string())
    })
}

/// What the process that serves the image knows from the beginning.
struct Served<'a> {
    args: &'a Args,
    global: &'a Global,
    host_cache: Option<&'a Path>,
    stage: &'a Stage,
    privilege: Privilege,
    window: Option<WindowSize>,
}

impl Served<'_> {
    /// Mounts the image that it is told, hands the mount over the socket, describes the container of `parent`, and
    /// serves until it is unmounted.
    fn serve(&self, line: &Line, socket: &UnixStream, parent: i32) -> Result<()> {
        let Self { global, .. } = *self;
        let config = global.config()?;
        let _ = rustix::thread::set_name(c"frazil-agent");
        namespaces::part()?;
        // With a host cache nothing else is needed: no network, no file, no program.
        let duties = |socket: &Path| Duties { socket: socket.to_owned(), directory: None };
        let sandbox = self.host_cache.map(|socket| Sandbox::prepare(&duties(socket))).transpose()?;
        let dial = sandbox.as_ref().map(|sandbox| sandbox.attendant().dial());
        let Some(name) = line.hear_begin::<String>()? else { return Ok(()) };
        let runtime = wiring::serving_runtime()?;
        let via = config.value(&keys::VIA)?;
        let open = runtime.block_on(self.image(&name, dial))?;
        let options = MountOptions { face: via.face(), name: open.name.to_string() };
        let mounted = runtime.block_on(async {
            let mounted = frazil_mount::mount_detached(&open.image, &options).await?;
            mounted.look().await.map(|()| mounted)
        })?;
        passing::send(socket, mounted.mount()).context("the other process is gone")?;
        let Shown { face, reason } = mounted.shown().clone();
        let mut mounted = mounted.hand_on();
        tracing::info!(image = %open.name, %face, reason, "mounted");
        if self.args.eager {
            wiring::complete(&open.image);
        }
        let spec = self.describe(parent, &open)?;
        let _attendant = sandbox.map(|sandbox| sandbox.close(None)).transpose()?;
        // Before the command can write: its first output ends the recording of its start.
        let output =
            open.profiling.clone().and_then(|profiling| FirstOutput::watch(move || profiling.alive()));
        line.begin(&Ok::<_, Refusal>(spec))?;

        // If the process that started this one is gone, nobody wants to know.
        let Some((exit, times)) = line.hear_end::<(Exit, Times)>()? else { return Ok(()) };
        drop(output);
        if let Some(profiling) = &open.profiling {
            profiling.ready();
        }
        line.end(&runtime.block_on(self.summary(&open, face.to_string(), exit, times)))?;
        if let Err(error) = runtime.block_on(mounted.wait()) {
            tracing::warn!(%error, "cannot unmount");
        }
        if let Some(profiling) = &open.profiling {
            runtime.block_on(profiling.saved(PROFILE_SAVED));
        }
        runtime.block_on(open.settle());
        Ok(())
    }

    /// What the run cost.
    async fn summary(&self, open: &OpenImage, face: String, exit: Exit, times: Times) -> Summary {
        if self.args.summary_json.is_some() || !self.args.no_summary {
            open.image.stop_prefetching(PREFETCHES_LAND).await;
            // Of a chunk table that does not come, what there is is counted.
            let _ = tokio::time::timeout(PREFETCHES_LAND, open.image.complete_table()).await;
        }
        let counters = open.image.counters();
        Summary::new(open.name.as_str(), face, exit, times, open.image.sealed_bytes(), &counters)
            .with_profile(open.profiling.as_ref(), &open.image)
    }

    async fn image(&self, name: &str, dial: Option<Dial>) -> Result<OpenImage> {
        let is_profiled = !self.args.no_profile;
        let supply = Supply::open(self.global, self.host_cache, dial, name, is_profiled).await?;
        let keys = wiring::keys(self.global, Absent::Refuse)?;
        let labelled = |config: &[u8]| {
            let process = container_config::process(config, self.args.overrides())?;
            Ok(Label::command(&process.arguments.iter().map(|word| word.as_bytes()).collect::<Vec<_>>()))
        };
        let label = is_profiled.then_some(&labelled as _);
        wiring::image(self.global, &supply, &keys, name, label).await
    }

    /// The container of `parent` that shows the image.
    fn describe(&self, parent: i32, open: &OpenImage) -> Result<Spec> {
        let Self { args, stage, privilege, window, .. } = *self;
        let config = self.global.config()?;
        let id = open.reference.manifest.to_string();
        let mut process = container_config::process(&open.config, args.overrides())?;
        if window.is_some() {
            // Put in front, so that what the image or the caller says wins.
            process.environment.insert(0, DEFAULT_TERM.into());
        }
        Ok(Spec {
            parent,
            stage: stage.path().to_owned(),
            privilege,
            network: config.value(&keys::NETWORK)?,
            shared_memory_bytes: config.value(&keys::SHARED_MEMORY)?.0,
            hostname: args.hostname.clone().unwrap_or_else(|| id.chars().take(12).collect()),
            volumes: args.volumes.clone(),
            terminal: window,
            process,
        })
    }
}

impl Args {
    fn overrides(&self) -> Overrides {
        Overrides {
            entrypoint: self.entrypoint.clone(),
            command: self.command.clone(),
            environment: self.environment.clone(),
            directory: self.workdir.clone(),
            user: self.user.clone(),
        }
    }
}
