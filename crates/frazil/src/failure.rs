//! How an error leaves the program: `error:` with its chain, then `hint:` where something can be done.
//!
//! Invariant: printing never fails the program; a user who closed stderr does not want to know.

use std::fmt;
use std::io::{ErrorKind, Write};

use anyhow::{Error, anyhow};
use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::hints;

/// An error that knows what to do about it, or how the process should end; prints as what it wraps.
#[derive(Debug)]
pub(crate) struct Advised {
    error: Error,
    hint: Option<String>,
    exit: Option<Exit>,
}

impl Advised {
    /// An error without advice yet.
    pub(crate) fn new(error: impl Into<Error>) -> Self {
        Self { error: error.into(), hint: None, exit: None }
    }

    /// Says what can be done about it.
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Says how the process should end of it.
    pub(crate) fn with_exit(self, exit: Exit) -> Self {
        Self { exit: Some(exit), ..self }
    }
}

impl fmt::Display for Advised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Advised {
    /// What it wraps, which prints the same text; [`chain`] prints it once.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.error.as_ref())
    }
}

/// Adds advice to an error.
pub(crate) trait Advise<T> {
    /// Says what can be done about it.
    fn hint(self, hint: impl Into<String>) -> Result<T, Error>;

    /// Says how the process should end of it.
    fn exit(self, exit: Exit) -> Result<T, Error>;
}

impl<T, E: Into<Error>> Advise<T> for Result<T, E> {
    fn hint(self, hint: impl Into<String>) -> Result<T, Error> {
        self.map_err(|error| Advised::new(error).with_hint(hint).into())
    }

    fn exit(self, exit: Exit) -> Result<T, Error> {
        self.map_err(|error| Advised::new(error).with_exit(exit).into())
    }
}

/// An error in words that one process can hand on to another.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Refusal {
    /// Why, with all causes.
    error: String,
    /// What can be done about it.
    hint: Option<String>,
}

impl Refusal {
    /// The words of an error.
    pub(crate) fn of(error: &Error) -> Self {
        Self { error: chain(error), hint: hint(error) }
    }

    /// The error again.
    pub(crate) fn into_error(self) -> Error {
        let error = Advised::new(anyhow!(self.error));
        match self.hint {
            Some(hint) => error.with_hint(hint).into(),
            None => error.into(),
        }
    }
}

fn advice(error: &Error) -> impl Iterator<Item = &Advised> {
    error.chain().filter_map(|cause| cause.downcast_ref::<Advised>())
}

/// Prints the error and gives the code to end with.
pub(crate) fn report(error: &Error) -> Exit {
    if is_broken_pipe(error) {
        return Exit::SUCCESS;
    }
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "error: {}", chain(error));
    if let Some(hint) = hint(error) {
        let _ = writeln!(stderr, "hint: {hint}");
    }
    advice(error).filter_map(|advised| advised.exit).last().unwrap_or(Exit::FAILURE)
}

/// What can be done about it: the advice nearest to the cause is the best.
pub(crate) fn hint(error: &Error) -> Option<String> {
    advice(error).filter_map(|advised| advised.hint.clone()).last().or_else(|| hints::of(error))
}

/// The error and its causes, in one line, without saying anything twice.
pub(crate) fn chain(error: &Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            text = if text.is_empty() { cause } else { format!("{text}: {cause}") };
        }
    }
    text
}

/// Whether a reader of our output went away (`frazil images | head`), which is no failure.
fn is_broken_pipe(error: &Error) -> bool {
    error
        .chain()
        .find(|cause| !cause.is::<Advised>())
        .and_then(|cause| cause.downcast_ref::<std::io::Error>())
        .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advised_error_prints_as_the_error_alone_and_keeps_hint_and_exit() {
        let missing = std::io::Error::from(ErrorKind::NotFound);
        let error = Err::<(), _>(missing)
            .hint("make it")
            .exit(Exit::NOT_FOUND)
            .map_err(|error| error.context("cannot look"))
            .unwrap_err();
        assert_eq!(chain(&error), "cannot look: entity not found");
        assert_eq!(hint(&error).as_deref(), Some("make it"));
        assert_eq!(report(&error), Exit::NOT_FOUND);
    }

    #[test]
    fn the_exit_code_nearest_to_the_cause_holds() {
        let error =
            Err::<(), _>(anyhow::anyhow!("no")).exit(Exit::NOT_FOUND).exit(Exit::NOT_STARTED).unwrap_err();
        assert_eq!(report(&error), Exit::NOT_FOUND);
    }
}
