//! Where a host cache is, and whether this process uses one.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use frazil_cache::host::{is_served, is_served_within};

use crate::config::{Config, Value, keys};
use crate::failure::Advise;
use crate::places;

/// The socket's name in a runtime directory.
const SOCKET: &str = "cached.sock";

/// The host cache of the whole system, which any user may be let into.
const SYSTEM_SOCKET: &str = "/run/frazil/cached.sock";

/// How long to wait for a host cache that was named and is not there: one that is being restarted is back by
/// then.
const RESTART: Duration = Duration::from_secs(2);

/// Where sealed chunks come from. Read through the configuration, which knows what else says it.
#[allow(dead_code, reason = "declared for the command line")]
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct CacheArgs {
    /// The host cache to read through: a socket, which is waited for a moment while nobody serves it; none; or auto,
    /// which is the one at $XDG_RUNTIME_DIR/frazil or /run/frazil if it is there, and the store itself otherwise
    #[arg(long, value_name = "SOCKET|auto|none")]
    cache: Option<Choice>,
}

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Choice {
    /// One if it is there.
    Auto,
    /// None, even if one is there.
    None,
    /// This one and nothing else.
    Socket(PathBuf),
}

impl FromStr for Choice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "auto" => Self::Auto,
            "none" => Self::None,
            path => Self::Socket(path.into()),
        })
    }
}

impl Value for Choice {
    const FORM: &'static str = "socket, auto or none";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.parse().unwrap_or(Self::Auto))
    }

    fn within(self, directory: &Path) -> Self {
        match self {
            Self::Socket(path) => Self::Socket(path.within(directory)),
            word => word,
        }
    }
}

impl Choice {
    /// The socket of the host cache that is to be used; none if the store itself is.
    pub(crate) fn find(config: &Config) -> Result<Option<PathBuf>> {
        match config.value(&keys::CACHE)? {
            Choice::None => Ok(None),
            Choice::Auto => Ok(places_of_sockets(config)?.into_iter().find(|path| is_served(path))),
            Choice::Socket(path) if is_served_within(&path, RESTART) => Ok(Some(std::path::absolute(path)?)),
            Choice::Socket(path) => Err(anyhow!("no host cache serves this user at {}", path.display()))
                .hint(format!(
                    "start one with frazil cached --socket {}, or do without: --cache none",
                    path.display()
                )),
        }
    }
}

/// The socket that a host cache of this user serves.
pub(crate) fn served_socket(config: &Config) -> Result<PathBuf> {
    match config.get(&keys::SOCKET)? {
        Some(path) => std::path::absolute(path).context("there is no current directory"),
        None => Ok(places::runtime()?.join(SOCKET)),
    }
}

/// The socket that is meant: the one that was named, the first that is served, or the default one.
pub(crate) fn socket(config: &Config) -> Result<PathBuf> {
    match config.get(&keys::SOCKET)? {
        Some(path) => Ok(path),
        None => match places_of_sockets(config)?.into_iter().find(|path| is_served(path)) {
            Some(path) => Ok(path),
            None => served_socket(config),
        },
    }
}

fn places_of_sockets(config: &Config) -> Result<Vec<PathBuf>> {
    config.get(&keys::SOCKET)?;
    let mut sockets: Vec<_> = served_socket(config).into_iter().collect();
    if !sockets.iter().any(|socket| socket == Path::new(SYSTEM_SOCKET)) {
        sockets.push(SYSTEM_SOCKET.into());
    }
    Ok(sockets)
}
