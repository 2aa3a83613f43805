//! One file per command.

mod agent;
mod base;
mod cached;
mod completions;
mod config;
mod container;
mod convert;
mod explain;
mod export;
mod gc;
mod hydrate;
mod images;
mod init;
mod inspect;
mod key;
mod man;
mod mount;
mod profile;
mod rm;
mod root;
mod run;
mod sandbox_probe;
mod scope;
mod scrub;
mod stats;
mod unmount;
mod verify;

use anyhow::Result;
use clap::Subcommand;

use crate::cli::Global;
use crate::exit::Exit;

/// What frazil can do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Init(init::Args),
    Convert(convert::Args),
    Run(Box<run::Args>),
    Mount(mount::Args),
    Unmount(unmount::Args),
    Profile(profile::Args),
    Images(images::Args),
    Inspect(inspect::Args),
    Verify(verify::Args),
    Hydrate(hydrate::Args),
    Export(export::Args),
    Explain(explain::Args),
    Rm(rm::Args),
    Root(root::Args),
    Gc(gc::Args),
    Scrub(scrub::Args),
    Scope(scope::Args),
    Base(base::Args),
    Key(key::Args),
    Cached(cached::Args),
    Stats(stats::Args),
    Config(config::Args),
    Completions(completions::Args),
    Man(man::Args),
    #[command(hide = true)]
    Agent(agent::Args),
    #[command(hide = true)]
    Container(container::Args),
    #[command(hide = true)]
    SandboxProbe(sandbox_probe::Args),
}

impl Command {
    /// What the process ends with if it cannot begin.
    pub(crate) fn not_begun(&self) -> Exit {
        match self {
            Self::Run(_) => Exit::NOT_STARTED,
            _ => Exit::FAILURE,
        }
    }

    /// Executes the command.
    pub(crate) fn execute(self, global: &Global) -> Result<Exit> {
        match self {
            Self::Init(args) => init::execute(&args, global),
            Self::Convert(args) => convert::execute(&args, global),
            Self::Run(args) => run::execute(*args, global),
            Self::Mount(args) => mount::execute(&args, global),
            Self::Profile(args) => profile::execute(&args, global),
            Self::Unmount(args) => unmount::execute(&args),
            Self::Images(args) => images::execute(&args, global),
            Self::Inspect(args) => inspect::execute(&args, global),
            Self::Verify(args) => verify::execute(&args, global),
            Self::Hydrate(args) => hydrate::execute(&args, global),
            Self::Export(args) => export::execute(&args, global),
            Self::Explain(args) => explain::execute(&args),
            Self::Rm(args) => rm::execute(&args, global),
            Self::Root(args) => root::execute(&args, global),
            Self::Gc(args) => gc::execute(&args, global),
            Self::Scrub(args) => scrub::execute(&args, global),
            Self::Scope(args) => scope::execute(&args, global),
            Self::Base(args) => base::execute(&args, global),
            Self::Key(args) => key::execute(&args, global),
            Self::Cached(_) => cached::execute(global),
            Self::Stats(args) => stats::execute(&args, global),
            Self::Config(args) => config::execute(&args, global),
            Self::Completions(args) => completions::execute(&args),
            Self::Man(args) => man::execute(&args),
            Self::Agent(args) => agent::execute(&args, global),
            Self::Container(args) => container::execute(&args),
            Self::SandboxProbe(args) => sandbox_probe::execute(&args),
        }
    }
}
