//! Where a host cache is, and whether this process uses one.

use std::convert::Infallible;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Result, anyhow};
use frazil_cache::host::is_served;

use crate::failure::Advise;
use crate::places;

/// The socket's name in a runtime directory.
const SOCKET: &str = "cached.sock";

/// The host cache of the whole system, which any user may be let into.
const SYSTEM_SOCKET: &str = "/run/frazil/cached.sock";

/// Where sealed chunks come from.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct CacheArgs {
    /// The host cache to read through: a socket, none, or auto, which is the one at $XDG_RUNTIME_DIR/frazil or
    /// /run/frazil if it is there, and the store itself otherwise
    #[arg(
        long,
        value_name = "SOCKET|auto|none",
        env = "FRAZIL_CACHE",
        default_value = "auto",
        hide_env_values = true
    )]
    cache: Choice,
}

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Choice {
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

impl CacheArgs {
    /// The same, as arguments for a process of frazil with another current directory.
    pub(crate) fn arguments(&self) -> Result<Vec<OsString>> {
        let value = match &self.cache {
            Choice::Auto => "auto".into(),
            Choice::None => "none".into(),
            Choice::Socket(path) => std::path::absolute(path)?.into_os_string(),
        };
        Ok(vec!["--cache".into(), value])
    }

    /// The socket of the host cache that is to be used; none if the store itself is.
    pub(crate) fn find(&self) -> Result<Option<PathBuf>> {
        match &self.cache {
            Choice::None => Ok(None),
            Choice::Auto => Ok(places_of_sockets().into_iter().find(|path| is_served(path))),
            Choice::Socket(path) if is_served(path) => Ok(Some(std::path::absolute(path)?)),
            Choice::Socket(path) => Err(anyhow!("no host cache serves this user at {}", path.display()))
                .hint(format!(
                    "start one with frazil cached --socket {}, or do without: --cache none",
                    path.display()
                )),
        }
    }
}

/// The socket that a host cache of this user serves when nobody says otherwise.
pub(crate) fn default_socket() -> Result<PathBuf> {
    Ok(places::runtime()?.join(SOCKET))
}

/// The socket that is meant: the one that was named, the first that is served, or the default one.
pub(crate) fn socket(named: Option<&Path>) -> Result<PathBuf> {
    match named {
        Some(path) => Ok(path.to_owned()),
        None => match places_of_sockets().into_iter().find(|path| is_served(path)) {
            Some(path) => Ok(path),
            None => default_socket(),
        },
    }
}

fn places_of_sockets() -> Vec<PathBuf> {
    let mut sockets: Vec<_> = default_socket().into_iter().collect();
    if !sockets.iter().any(|socket| socket == Path::new(SYSTEM_SOCKET)) {
        sockets.push(SYSTEM_SOCKET.into());
    }
    sockets
}
