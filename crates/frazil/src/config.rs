//! What is in force, and who said so: a flag, the environment, the configuration file, or nobody.
//!
//! Invariants: every value that can be tuned has one key in [`keys`], whose parser reads it wherever it was said; a
//! flag wins over the environment, the environment over the file, the file over the default; and an environment
//! variable that is empty says nothing. `docs/CONFIGURATION.md` lists the keys, and a test compares.

mod file;
mod fit;
mod flags;
mod key;
pub(crate) mod keys;
mod units;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use crate::failure::Advise;
use crate::places;

pub(crate) use file::{Problem, Text};
pub(crate) use fit::misfits;
pub(crate) use flags::Flags;
pub(crate) use key::{Default, Entry, Key, Value};
pub(crate) use units::{KeyPlace, Span, Switch};

/// The longest configuration file, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The variable that says which file is read.
const FILE_VARIABLE: &str = "FRAZIL_CONFIG";

/// The file of the whole system.
const SYSTEM_FILE: &str = "/etc/frazil/config.toml";

/// Where a value was said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// Nobody.
    Default,
    /// The file, in this line.
    File(usize),
    /// This environment variable.
    Environment(&'static str),
    /// This flag, without its dashes.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(line) => write!(f, "file:{line}"),
            Self::Environment(variable) => write!(f, "environment ${variable}"),
            Self::Flag(flag) => write!(f, "flag --{flag}"),
        }
    }
}

/// The configuration of this process.
#[derive(Debug, std::default::Default)]
pub(crate) struct Config {
    path: Option<PathBuf>,
    file: BTreeMap<&'static str, Text>,
    flags: Flags,
    /// Where this process began, which relative paths start from; the process may go elsewhere.
    directory: PathBuf,
}

impl Config {
    /// Reads the configuration file: the one that was named, `$FRAZIL_CONFIG`, or the first of the user's and
    /// the system's that is there. If neither of those two is there, that is no error.
    pub(crate) fn load(named: Option<&Path>, flags: Flags) -> Result<Self> {
        let Some(path) = place(named)? else {
            return Ok(Self { flags, directory: here(), ..Self::default() });
        };
        match Self::read(path.clone(), &text(&path)?, flags) {
            Ok(config) => Ok(config),
            Err(problems) => {
                let lines: Vec<String> = problems.iter().map(|problem| problem.at(&path)).collect();
                Err(anyhow!("the configuration is not valid: {}", lines.join("; ")))
                    .hint("frazil config check says all that is wrong; docs/CONFIGURATION.md lists the keys")
            }
        }
    }

    /// Takes a file's text; all that is wrong with it if anything is.
    pub(crate) fn read(path: PathBuf, text: &str, flags: Flags) -> Result<Self, Vec<Problem>> {
        Ok(Self { file: file::parse(text)?, path: Some(path), flags, directory: here() })
    }

    /// The file that was read.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What is said of a key, and by whom; none if nobody said anything.
    pub(crate) fn said(&self, key: &dyn Entry) -> Option<(String, Source)> {
        let said = key.about();
        if let Some(flag) = said.flag
            && let Some(text) = self.flags.get(flag)
        {
            return Some((text.to_owned(), Source::Flag(flag)));
        }
        if let Some(variable) = said.environment
            && let Some(text) = variable_text(variable)
        {
            return Some((text, Source::Environment(variable)));
        }
        let found = self.file.get(said.path)?;
        Some((found.text.clone(), Source::File(found.line)))
    }

    /// The value of a key; none if nobody said it and its default depends on something else.
    pub(crate) fn get<T: Value>(&self, key: &Key<T>) -> Result<Option<T>> {
        let (text, source) = match (self.said(key), key.about().default) {
            (Some(said), _) => said,
            (None, Default::Fixed(text)) => (text.to_owned(), Source::Default),
            (None, Default::Derived(_)) => return Ok(None),
        };
        let value = T::parse(&text)
            .map_err(|error| anyhow!("{} is {text:?} ({source}): {error}", key.about().path))?;
        Ok(Some(value.within(&self.directory)))
    }

    /// The flags that say these keys, for a process of frazil that begins in the same directory.
    pub(crate) fn flags(&self, keys: &[&dyn Entry]) -> Vec<String> {
        let said = keys.iter().filter_map(|key| match self.said(*key) {
            Some((text, Source::Flag(flag))) => Some([format!("--{flag}"), text]),
            _ => None,
        });
        said.flatten().collect()
    }

    /// The value of a key that has a default.
    pub(crate) fn value<T: Value>(&self, key: &Key<T>) -> Result<T> {
        self.get(key)?.with_context(|| format!("{} has no value", key.about().path))
    }
}

/// The current directory; paths stay relative where there is none.
fn here() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}

/// What an environment variable says; an empty one says nothing.
fn variable_text(variable: &str) -> Option<String> {
    std::env::var_os(variable).filter(|text| !text.is_empty()).map(|text| text.to_string_lossy().into_owned())
}

/// Which file is read.
pub(crate) fn place(named: Option<&Path>) -> Result<Option<PathBuf>> {
    let variable = std::env::var_os(FILE_VARIABLE).filter(|text| !text.is_empty()).map(PathBuf::from);
    if let Some(path) = named.map(Path::to_owned).or(variable) {
        return Ok(Some(std::path::absolute(path).context("there is no current directory")?));
    }
    let places = [places::configuration(), Some(PathBuf::from(SYSTEM_FILE))];
    Ok(places.into_iter().flatten().find(|path| path.exists()))
}

/// The text of a configuration file.
pub(crate) fn text(path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text));
    match read {
        Ok(len) if len as u64 > MAX_FILE_BYTES => Err(anyhow!("it is longer than 1 MiB")),
        Ok(_) => Ok(text),
        Err(error) => Err(error.into()),
    }
    .with_context(|| format!("cannot read the configuration {}", path.display()))
}
