//! `frazil export`: the block image as one file, a read-only disk for a virtual machine.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Advise;
use crate::output::{self, bytes, note};
use crate::supply::Supply;
use crate::wiring::{self, Absent};

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
    if args.file == Path::new("-") {
        return Err(anyhow!("a disk is written into a file, with holes, and not to the standard output"))
            .hint("name a file; one that is called - is ./-");
    }
    wiring::runtime()?.block_on(async {
        let store = wiring::store(global, Absent::Refuse).await?;
        let keys = wiring::keys(global, Absent::Refuse)?;
        let image = wiring::image(global, &Supply::of_store(global, store)?, &keys, &args.name, None).await?;
        let path = &args.file;
        let unnamed = unnamed_beside(path).with_context(|| format!("cannot make {}", path.display()))?;
        let exported = frazil_mount::export(&image.image, unnamed.try_clone()?).await?;
        image.settle().await;
        name(&unnamed, path).with_context(|| format!("cannot make {}", path.display()))?;
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

/// A file without a name in the directory of `path`: half a disk is worse than none, so nothing has the name
/// before all of it is written, and whatever ends the process leaves nothing.
fn unnamed_beside(path: &Path) -> io::Result<File> {
    if path.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    Ok(open(directory, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::from_raw_mode(0o666))?.into())
}

/// Gives the file its name, unless something has it by now.
fn name(file: &File, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(linkat(CWD, unnamed, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}
