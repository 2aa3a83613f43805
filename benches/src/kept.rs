//! What was measured, a file for each cell, so that a run that was ended goes on where it stopped.
//!
//! Invariant: a directory of cells holds those of one link and one frazil.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::link::LinkSpec;

/// A directory of cells.
pub(crate) struct Kept {
    /// Where results go.
    out: PathBuf,
    cells: PathBuf,
}

impl Kept {
    /// Opens what a benchmark keeps in `out`, or where it is named after it and the link; that of another link or build
    /// of frazil is refused.
    pub(crate) fn open(
        out: Option<&Path>,
        benchmark: &str,
        link: LinkSpec,
        build: &str,
    ) -> anyhow::Result<Self> {
        let named = || format!("target/bench/{benchmark}/{}", link.to_string().replace('/', "-"));
        let out = out.map_or_else(|| PathBuf::from(named()), Path::to_owned);
        let run = format!("link {link}, frazil {build}\n");
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
        Ok(Self { out, cells })
    }

    /// Where results go.
    pub(crate) fn out(&self) -> &Path {
        &self.out
    }

    fn path(&self, name: &str) -> PathBuf {
        self.cells.join(format!("{name}.json"))
    }

    /// Whether the cell of this name was measured.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Keeps a cell; it is there whole or not at all.
    pub(crate) fn keep(&self, name: &str, cell: &impl Serialize) -> anyhow::Result<()> {
        let path = self.path(name);
        let whole = path.with_extension("new");
        fs::write(&whole, serde_json::to_vec_pretty(cell)?)?;
        Ok(fs::rename(whole, path)?)
    }

    /// All that were kept.
    pub(crate) fn all<C: DeserializeOwned>(&self) -> anyhow::Result<Vec<C>> {
        let mut paths: Vec<_> =
            fs::read_dir(&self.cells)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
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
