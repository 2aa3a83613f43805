//! `frazil man`: the manual, from the same descriptions as `--help`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::Cli;
use crate::exit::Exit;
use crate::output;

/// What a process of frazil can end with, as `exit.rs` has it.
const EXIT_STATUS: [(&str, &str); 7] = [
    ("0", "Done."),
    ("1", "Failed; standard error says why, and what can be done about it."),
    ("2", "The command line makes no sense."),
    (
        "125",
        "run: frazil itself failed, or its command line makes no sense; the image's command was not started.",
    ),
    ("126", "run: the image's command was found but cannot be executed."),
    ("127", "run: the image's command was not found."),
    ("128+N", "run: the image's command died of signal N. Any other code of run is the command's own."),
];

/// Print the manual page, or write a page for each command into a directory
///
/// To read it at once: frazil man | man -l -
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Where to write frazil.1, frazil-run.1 and the others
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Prints or writes the pages.
pub(crate) fn execute(args: &Args) -> Result<Exit> {
    let mut command = Cli::command();
    let Some(directory) = &args.directory else {
        output::print(&main_page(command)?)?;
        return Ok(Exit::SUCCESS);
    };
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    command.build();
    for page in command.get_subcommands().filter(|page| !page.is_hide_set()) {
        let name = format!("frazil-{}.1", page.get_name());
        write(&directory.join(name), &render(&Man::new(page.clone()))?)?;
    }
    write(&directory.join("frazil.1"), &main_page(Cli::command())?)?;
    Ok(Exit::SUCCESS)
}

fn write(file: &std::path::Path, page: &str) -> Result<()> {
    fs::write(file, page).with_context(|| format!("cannot write {}", file.display()))
}

fn render(man: &Man) -> Result<String> {
    let mut page = Vec::new();
    man.render(&mut page)?;
    Ok(String::from_utf8(page)?)
}

/// The page of frazil itself ends with what all commands share.
fn main_page(command: clap::Command) -> Result<String> {
    let mut status = Roff::new();
    status.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_STATUS {
        status.control("TP", []).text([bold(code)]).text([roman(meaning)]);
    }
    Ok(render(&Man::new(command))? + &status.render())
}
