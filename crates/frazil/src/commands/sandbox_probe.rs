//! `frazil sandbox-probe`: closes itself in as an agent does, tries what an agent must not be able to do, and tells.

use std::path::PathBuf;
use std::sync::{Arc, Barrier};

use anyhow::Result;

use crate::exit::Exit;
use crate::output;
use crate::sandbox::{Duties, Probe, Sandbox};
use crate::wiring;

/// Threads that are asleep while the process closes itself in.
const ASLEEP: usize = 4;

/// Try what an agent in its sandbox can do (for tests)
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    probe: Probe,

    /// Where files may be removed
    #[arg(long)]
    records: PathBuf,

    /// Try it without the sandbox
    #[arg(long)]
    open_sandbox: bool,
}

/// Tries, and prints the findings.
pub(crate) fn execute(args: &Args) -> Result<Exit> {
    if args.open_sandbox {
        output::json(&args.probe.try_all(None))?;
        return Ok(Exit::SUCCESS);
    }
    let duties = Duties { socket: args.probe.socket.clone(), directory: None };
    let sandbox = Sandbox::prepare(&duties)?;
    // Threads as an agent has them, some of them asleep.
    let runtime = wiring::runtime()?;
    let closed = Arc::new(Barrier::new(ASLEEP + 1));
    let asleep: Vec<_> = (0..ASLEEP)
        .map(|_| {
            let (probe, closed) = (args.probe.clone(), Arc::clone(&closed));
            std::thread::spawn(move || {
                closed.wait();
                probe.open_first()
            })
        })
        .collect();
    let mut findings = runtime.block_on(async {
        let attendant = sandbox.close(Some(&args.records))?;
        // One that was there before, and its children.
        let probe = args.probe.clone();
        tokio::task::spawn_blocking(move || probe.try_all(Some(attendant.dial())))
            .await
            .map_err(anyhow::Error::from)
    })?;
    closed.wait();
    findings.asleep_open = asleep.into_iter().filter_map(|thread| thread.join().ok()).collect();
    output::json(&findings)?;
    Ok(Exit::SUCCESS)
}
