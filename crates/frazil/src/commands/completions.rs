//! `frazil completions`: what a shell needs to complete frazil's command line.

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::output;

/// Print a shell's completion script
///
/// For bash: frazil completions bash > ~/.local/share/bash-completion/completions/frazil
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub(crate) fn execute(args: &Args) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "frazil", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::SUCCESS)
}
