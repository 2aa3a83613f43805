//! A command line that makes no sense: how it is told, and with which code.
//!
//! `frazil run` ends as the image's command does, so its own refusals have a code that commands rarely have: 125, as
//! for everything else that keeps the command from starting.

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::Cli;
use crate::exit::Exit;

/// Says what is wrong, and ends the process. Help and version are not mistakes.
pub(crate) fn refuse(error: &clap::Error) -> ! {
    let _ = error.print();
    let code = error.exit_code();
    if code != 0 && is_run() {
        if let (ErrorKind::UnknownArgument, Some(ContextValue::String(word))) =
            (error.kind(), error.get(ContextKind::InvalidArg))
            && !word.starts_with('-')
        {
            crate::output::note(format!(
                "hint: what is to be executed follows two dashes: frazil run NAME -- {word} …"
            ));
        }
        std::process::exit(Exit::NOT_STARTED.code());
    }
    std::process::exit(code)
}

/// Whether the command is `run`, as far as the line can be read.
fn is_run() -> bool {
    let read = Cli::command().ignore_errors(true).try_get_matches();
    read.is_ok_and(|matches| matches.subcommand_name() == Some("run"))
}
