//! What to execute: the OCI image configuration, and what the command line says instead.
//!
//! Specified by the OCI image-spec, `config.md`; where it is silent, as Docker does it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use oci_spec::image::{Config, ImageConfiguration};

use super::spec::Process;
use super::user::UserSpec;
use crate::failure::Advise;

/// What the command line says instead of the image's configuration.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    /// Instead of `Entrypoint`; the image's `Cmd` is then not used. Empty: no entrypoint.
    pub(crate) entrypoint: Option<OsString>,
    /// Instead of `Cmd`, if not empty.
    pub(crate) command: Vec<OsString>,
    /// After `Env`: `NAME=VALUE`, or `NAME` for the caller's own value.
    pub(crate) environment: Vec<String>,
    /// Instead of `WorkingDir`.
    pub(crate) directory: Option<PathBuf>,
    /// Instead of `User`.
    pub(crate) user: Option<UserSpec>,
}

/// The process that an image's configuration (JSON) describes.
pub(crate) fn process(config: &[u8], overrides: Overrides) -> Result<Process> {
    let image = ImageConfiguration::from_reader(config).context("cannot read the image's configuration")?;
    let config = image.config().clone().unwrap_or_default();
    let user = match overrides.user {
        Some(user) => user,
        None => user_of(&config)?,
    };
    let directory = overrides.directory.or_else(|| config.working_dir().clone().map(PathBuf::from));
    Ok(Process {
        arguments: arguments(&config, overrides.entrypoint, overrides.command)?,
        environment: environment(&config, overrides.environment),
        // A relative one starts at the root.
        directory: Path::new("/").join(directory.unwrap_or_default()),
        user,
    })
}

fn user_of(config: &Config) -> Result<UserSpec> {
    let text = config.user().as_deref().unwrap_or_default();
    text.parse()
        .map_err(|reason: String| anyhow!(reason))
        .with_context(|| format!("the image's user {text:?}"))
}

fn arguments(config: &Config, entrypoint: Option<OsString>, command: Vec<OsString>) -> Result<Vec<OsString>> {
    let words = |words: &Option<Vec<String>>| words.iter().flatten().map(OsString::from).collect::<Vec<_>>();
    let own = entrypoint.is_none();
    let mut arguments = match entrypoint {
        None => words(config.entrypoint()),
        Some(program) if program.is_empty() => Vec::new(),
        Some(program) => vec![program],
    };
    let command = if command.is_empty() && own { words(config.cmd()) } else { command };
    arguments.extend(command);
    if arguments.is_empty() {
        return Err(anyhow!("the image does not say what to run"))
            .hint("say it at the end of the command line: -- CMD …");
    }
    Ok(arguments)
}

fn environment(config: &Config, overrides: Vec<String>) -> Vec<OsString> {
    let mut environment: Vec<OsString> = config.env().iter().flatten().map(OsString::from).collect();
    for variable in overrides {
        if variable.contains('=') {
            environment.push(variable.into());
        } else if let Some(value) = std::env::var_os(&variable) {
            let mut text = OsString::from(variable + "=");
            text.push(value);
            environment.push(text);
        }
    }
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{
        "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] },
        "config": { "Entrypoint": ["/entry", "-x"], "Cmd": ["one", "two"], "Env": ["A=1"], "WorkingDir": "srv" }
    }"#;

    fn arguments_of(overrides: Overrides) -> Vec<OsString> {
        process(CONFIG.as_bytes(), overrides).unwrap().arguments
    }

    #[test]
    fn the_entrypoint_comes_before_the_command() {
        assert_eq!(arguments_of(Overrides::default()), ["/entry", "-x", "one", "two"]);
        let command = vec!["three".into()];
        assert_eq!(arguments_of(Overrides { command, ..Overrides::default() }), ["/entry", "-x", "three"]);
    }

    #[test]
    fn another_entrypoint_does_not_get_the_images_command() {
        let entrypoint = Some("sh".into());
        assert_eq!(arguments_of(Overrides { entrypoint, ..Overrides::default() }), ["sh"]);
    }

    #[test]
    fn an_image_that_says_nothing_needs_a_command() {
        let error = process(
            br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#,
            Overrides::default(),
        );
        assert_eq!(error.unwrap_err().to_string(), "the image does not say what to run");
    }

    #[test]
    fn environment_and_directory_are_the_images_then_the_callers() {
        let environment = vec!["B=2".to_owned(), "FRAZIL_TEST_NOT_SET".to_owned()];
        let process = process(CONFIG.as_bytes(), Overrides { environment, ..Overrides::default() }).unwrap();
        assert_eq!(process.environment, ["A=1", "B=2"]);
        assert_eq!(process.directory, Path::new("/srv"));
    }
}
