//! The command line: what every command shares. Each command's own arguments stand in its file.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::Result;
use clap::{Args, Parser};

use crate::commands::Command;
use crate::config::{Config, Flags, keys};
use crate::wiring;

/// A container image store that starts huge images in the time it takes to read the few bytes they touch.
#[derive(Parser, Debug)]
#[command(name = "frazil", version, disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// The configuration file [default: $FRAZIL_CONFIG, $XDG_CONFIG_HOME/frazil/config.toml or
    /// /etc/frazil/config.toml]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,

    /// The store: a directory, s3://, gs:// or az:// with a bucket and a prefix, or https:// where a directory store
    /// is published read-only [default: $FRAZIL_STORE, or $XDG_DATA_HOME/frazil/store]
    #[arg(long, value_name = "STORE", global = true)]
    pub(crate) store: Option<String>,

    /// Read a published store over plain http://, where the network can see and change what a name stands for [$FRAZIL_ALLOW_HTTP]
    #[arg(long, global = true)]
    pub(crate) allow_http: bool,

    /// The keyring: a directory that only you can read; or kms:KEY for AWS KMS [default: $FRAZIL_KEYS, or
    /// $XDG_CONFIG_HOME/frazil/keys]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) keys: Option<PathBuf>,

    /// Whose images these are: each tenant has a key, names and a sharing domain of its own
    /// [default: $FRAZIL_TENANT, or default]
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) tenant: Option<String>,

    /// Append a line for each request to the store to this file [$FRAZIL_ACCESS_LOG]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) access_log: Option<PathBuf>,

    /// Say more on stderr; twice, thrice: even more ($FRAZIL_LOG filters more finely)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,

    /// Say less on stderr
    #[arg(short, long, action = clap::ArgAction::Count, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: u8,

    /// What the whole command line says of keys of the configuration.
    #[arg(skip)]
    pub(crate) flags: Flags,

    /// What is in force, once it was asked for.
    #[arg(skip)]
    loaded: OnceLock<Config>,
}

impl Global {
    /// What is in force. Read when it is first asked for: what needs no configuration works without a good one.
    pub(crate) fn config(&self) -> Result<&Config> {
        if let Some(config) = self.loaded.get() {
            return Ok(config);
        }
        let config = Config::load(self.config.as_deref(), self.flags.clone())?;
        Ok(self.loaded.get_or_init(|| config))
    }

    /// The tenant that owns these images.
    pub(crate) fn tenant(&self) -> Result<String> {
        Ok(self.config()?.value(&keys::TENANT)?.0)
    }

    /// These settings, as arguments for a process of frazil that begins in the same directory.
    pub(crate) fn arguments(&self) -> Result<Vec<OsString>> {
        let config = self.config()?;
        let mut arguments = vec!["--store".into(), wiring::location(self)?.to_string().into()];
        arguments.extend(config.flags(&[&keys::KEYS, &keys::ACCESS_LOG]).into_iter().map(OsString::from));
        if let Some(file) = config.path() {
            arguments.extend(["--config".into(), file.into()]);
        }
        arguments.extend(["--tenant".into(), self.tenant()?.into()]);
        arguments.extend(self.allow_http.then(|| "--allow-http".into()));
        arguments.extend((0..self.verbose).map(|_| "-v".into()));
        Ok(arguments)
    }
}
