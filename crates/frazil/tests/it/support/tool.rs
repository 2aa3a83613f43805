//! Programs of other projects: run one, and fail in words that tell what to install.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::process::{Child, Command, ExitStatus, Output};

use super::mount::soon;

/// The Debian package of each program that does not share its package's name.
const PACKAGES: &[(&str, &str)] = &[
    ("apt-get", "apt"),
    ("cp", "coreutils"),
    ("chroot", "coreutils"),
    ("setpriv", "util-linux"),
    ("setsid", "util-linux"),
];

/// A command for `program`, in an environment that depends on nobody's locale or terminal.
pub(crate) fn tool(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C.UTF-8").env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Runs the command to its end and returns its standard output.
///
/// Panics with the program's own words if it fails, and with the package to install if it is missing.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = output(command);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?} failed with {}:\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Runs the command to its end, whatever its exit code.
#[track_caller]
pub(crate) fn output(command: &mut Command) -> Output {
    match command.output() {
        Ok(output) => output,
        Err(error) => panic!("{}", cannot_start(command.get_program(), &error)),
    }
}

/// Waits for the end of a program that has no reason to go on; one that goes on all the same is killed.
#[track_caller]
pub(crate) fn end_of(child: Child) -> ExitStatus {
    let child = RefCell::new(child);
    let ended = soon(|| child.borrow_mut().try_wait().unwrap().is_some());
    let mut child = child.into_inner();
    if !ended {
        let _ = child.kill();
    }
    let status = child.wait().unwrap();
    assert!(ended, "the program does not end");
    status
}

/// Why a program could not be started, with the remedy where there is one.
pub(crate) fn cannot_start(program: &OsStr, error: &std::io::Error) -> String {
    let program = program.to_string_lossy();
    if error.kind() != ErrorKind::NotFound {
        return format!("cannot start {program}: {error}");
    }
    let package =
        PACKAGES.iter().find(|(name, _)| *name == program).map_or(&*program, |(_, package)| package);
    format!("{program} is missing: install the package {package}, or run .ci/packages")
}
