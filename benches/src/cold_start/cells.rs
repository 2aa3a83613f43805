//! What was measured, a file for each cell, so that a run that was ended goes on where it stopped.
//!
//! Invariant: a directory of cells holds those of one link, one frazil and one set of images.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::contender::{Contender, Start};

/// One start, as it is kept.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) image: String,
    pub(crate) contender: Contender,
    pub(crate) repeat: usize,
    pub(crate) mounted_s: f64,
    pub(crate) line_s: f64,
    pub(crate) down_bytes: u64,
    pub(crate) requests: u64,
    pub(crate) connections: u64,
    pub(crate) agent_cpu_s: f64,
    pub(crate) agent_memory_bytes: u64,
}

impl Cell {
    pub(crate) fn new(image: &str, contender: Contender, repeat: usize, start: &Start) -> Self {
        Self {
            image: image.to_owned(),
            contender,
            repeat,
            mounted_s: start.mounted.as_secs_f64(),
            line_s: start.line.as_secs_f64(),
            down_bytes: start.traffic.down_bytes,
            requests: start.traffic.exchanges,
            connections: start.traffic.connections,
            agent_cpu_s: start.agent.cpu_s,
            agent_memory_bytes: start.agent.memory_bytes,
        }
    }
}

/// A directory of cells.
pub(crate) struct Cells(PathBuf);

impl Cells {
    /// Opens the directory of a run that is described by `run`; one of another description is refused.
    pub(crate) fn open(out: &Path, run: &str) -> anyhow::Result<Self> {
        let cells = out.join("cells");
        fs::create_dir_all(&cells).with_context(|| format!("cannot create {}", cells.display()))?;
        let mark = out.join("run");
        match fs::read_to_string(&mark) {
            Ok(found) => ensure!(
                found == run,
                "{} holds cells of another run ({}), not of this one ({}): give another --out, or remove it",
                out.display(),
                found.trim(),
                run.trim()
            ),
            Err(_) => fs::write(mark, run)?,
        }
        Ok(Self(cells))
    }

    fn path(&self, image: &str, contender: Contender, repeat: usize) -> PathBuf {
        self.0.join(format!("{image}.{}.{repeat}.json", contender.word()))
    }

    pub(crate) fn has(&self, image: &str, contender: Contender, repeat: usize) -> bool {
        self.path(image, contender, repeat).exists()
    }

    /// Keeps a cell; it is there whole or not at all.
    pub(crate) fn keep(&self, cell: &Cell) -> anyhow::Result<()> {
        let path = self.path(&cell.image, cell.contender, cell.repeat);
        let whole = path.with_extension("new");
        fs::write(&whole, serde_json::to_vec_pretty(cell)?)?;
        Ok(fs::rename(whole, path)?)
    }

    /// All that were kept.
    pub(crate) fn all(&self) -> anyhow::Result<Vec<Cell>> {
        let mut paths: Vec<_> =
            fs::read_dir(&self.0)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        paths
            .iter()
            .map(|path| {
                serde_json::from_slice(&fs::read(path)?)
                    .with_context(|| format!("{} is no cell of this benchmark", path.display()))
            })
            .collect()
    }
}
