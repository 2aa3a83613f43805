//! The access log: the store's own record of every request, one JSON object per line.
//!
//! ```text
//! {"op":"get","path":"roots/00000001/chunks/ab/ab…","bytes":183402,"outcome":"ok","us":212}
//! ```
//!
//! It knows nothing of images and mounts, so what they claim to have fetched can be held against it. A line is
//! one write to a file opened for appending: several processes may share a log.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Once;

use serde::Serialize;

use crate::StoreError;
use crate::requests::Operation;

/// One request.
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    pub(crate) op: Operation,
    pub(crate) path: &'a str,
    pub(crate) bytes: u64,
    pub(crate) outcome: Outcome,
    pub(crate) us: u64,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Ok,
    NotFound,
    Exists,
    Failed,
}

#[derive(Debug)]
pub(crate) struct AccessLog {
    path: PathBuf,
    file: File,
    complained: Once,
}

impl AccessLog {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .map_err(|source| StoreError::io("open the access log", path.display(), source))?;
        Ok(Self { path: path.to_owned(), file, complained: Once::new() })
    }

    /// Appends a line. A log that cannot be written fails no request: it is complained of once.
    pub(crate) fn append(&self, line: &Line<'_>) {
        let written = serde_json::to_vec(line).map_err(std::io::Error::from).and_then(|mut text| {
            text.push(b'\n');
            (&self.file).write_all(&text)
        });
        if let Err(error) = written {
            self.complained.call_once(|| {
                tracing::warn!(path = %self.path.display(), %error, "cannot write the access log");
            });
        }
    }
}
