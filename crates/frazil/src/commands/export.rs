//! `frazil export`: the block image as one file, a read-only disk for a virtual machine.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cli::Global;
use crate::exit::Exit;
use crate::output::{self, bytes, note};
use crate::wiring::{self, Absent, Supply};

/// Write an image's EROFS block image into a file
///
/// The whole image is fetched. Where it is zero the file has holes.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The image's name in the store
    name: String,

    /// The file, which must not exist
    file: PathBuf,

    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
}

/// Writes the file; a failure leaves none.
pub(crate) fn execute(args: &Args, global: &Global) -> Result<Exit> {
    wiring::runtime()?.block_on(async {
        let store = wiring::store(global, Absent::Refuse).await?;
        let keys = wiring::keyring(global, Absent::Refuse)?;
        let open = wiring::image(&Supply::Store(store), &keys, &args.name).await?;
        let path = &args.file;
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let file = file.with_context(|| format!("cannot make {}", path.display()))?;
        let exported = frazil_mount::export(&open.image, file).await.inspect_err(|_| {
            // Half a disk is worse than none; the error that led here is the one to tell.
            let _ = fs::remove_file(path);
        })?;
        if args.json {
            output::json(&serde_json::json!({ "bytes": exported.len, "written_bytes": exported.written }))?;
        } else if global.quiet == 0 {
            note(format!(
                "{}: {}, {} of them holes",
                path.display(),
                bytes(exported.len),
                bytes(exported.len.saturating_sub(exported.written))
            ));
        }
        Ok(Exit::SUCCESS)
    })
}
