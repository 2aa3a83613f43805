//! `frazil profile`: what earlier starts of an image have read, and what becomes of it.
//!
//! Whoever has the image's key can look at it, file by file; to anybody else, the store's operator included, it is
//! noise of some length.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use clap::Subcommand;
use frazil_format::{Chunk, Label, Manifest, Profile, Profiles, bundle_len};
use frazil_mount::profile::{files_in, is_worth_playing};
use frazil_store::{Reference, Store};
use serde::Serialize;

use crate::cli::Global;
use crate::control::{self, Question};
use crate::exit::Exit;
use crate::failure::Advise;
use crate::mount_record;
use crate::output::{self, Table, bytes, json, note};
use crate::run::config::{self, Overrides};
use crate::supply::Supply;
use crate::wiring::{self, Absent};

/// Look at, drop or mark what starts of an image read first
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Show the profiles of an image, or one of them with its files in the order in which they are read
    Show(Show),
    /// Forget what starts of an image have read
    Drop(Drop),
    /// Say that the workload of a mount is ready: what is read from now on belongs to no start
    Mark(Mark),
}

#[derive(clap::Args, Debug)]
struct Show {
    /// The image's name
    name: String,

    /// The profile of mounts with this label
    #[arg(long, value_name = "LABEL", conflicts_with = "command")]
    label: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// The profile of `frazil run NAME -- CMD`
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

#[derive(clap::Args, Debug)]
struct Drop {
    /// The image's name
    name: String,
}

#[derive(clap::Args, Debug)]
struct Mark {
    /// The directory that the image is mounted at
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Shows, drops or marks profiles.
pub(crate) fn execute(args: &Args, global: &Global) -> Result<Exit> {
    match &args.action {
        Action::Show(show) => wiring::runtime()?.block_on(show.execute(global))?,
        Action::Drop(drop) => wiring::runtime()?.block_on(drop.execute(global))?,
        Action::Mark(mark) => {
            control::ask::<()>(&mount_record::canonical(&mark.directory)?, Question::Ready)?;
        }
    }
    Ok(Exit::SUCCESS)
}

/// A profile in figures.
#[derive(Serialize, Debug)]
struct Shown {
    command: String,
    chunks: usize,
    sealed_bytes: u64,
    starts: u32,
    precision: f64,
    is_played: bool,
    recorded_seconds: u64,
    bundle_bytes: Option<u64>,
    bundle_made_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Vec<Touched>>,
}

/// A chunk of a profile.
#[derive(Serialize, Debug)]
struct Touched {
    chunk: u32,
    sealed_bytes: u64,
    uses: u32,
    is_foretold: bool,
    files: Vec<String>,
}

impl Show {
    async fn execute(&self, global: &Global) -> Result<()> {
        let store = wiring::store(global, Absent::Refuse).await?;
        let keys = wiring::keys(global, Absent::Refuse)?;
        let (name, reference) = wiring::find(&store, &keys.tenant, &self.name).await?;
        let sealed = wiring::sealed_manifest(&store, &reference).await?;
        let key = wiring::data_key(&name, &reference, sealed.front(), &keys).await?;
        let manifest = sealed.open(&key)?;
        let supply = Supply::of_store(global, store.clone())?;
        let profiles = match supply.shelf().profiles(&reference).await? {
            Some(bytes) => Profiles::open(&bytes, &key.profile_key(), manifest.chunks.len())?,
            None => Profiles::default(),
        };
        let Some(label) = self.label(&manifest)? else {
            let shown: Vec<_> =
                profiles.0.iter().map(|profile| Shown::of(profile, &manifest.chunks)).collect();
            return if self.json { json(&shown) } else { tell_all(&shown) };
        };
        let profile =
            profiles.of(&label.id).ok_or_else(|| anyhow!("no start of {:?} was recorded", label.text));
        let profile = profile.hint(format!("frazil profile show {name} lists those that were"))?;
        let open = wiring::image(global, &supply, &keys, name.as_str(), None).await?;
        let numbers: Vec<u32> = profile.chunks.iter().map(|chunk| chunk.chunk).collect();
        let files = files_in(&open.image, &numbers).await?;
        let shown = Shown::of(profile, &manifest.chunks).with_order(profile, &manifest, files);
        if self.json { json(&shown) } else { tell(&shown) }
    }

    /// What is meant: one command, the mounts of a label, or all if nothing is said.
    fn label(&self, manifest: &Manifest) -> Result<Option<Label>> {
        if let Some(word) = &self.label {
            return Ok(Some(Label::mount(word)));
        }
        if self.command.is_empty() {
            return Ok(None);
        }
        let overrides = Overrides { command: self.command.clone(), ..Overrides::default() };
        let process = config::process(&manifest.config, overrides)?;
        Ok(Some(Label::command(&process.arguments.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())))
    }
}

impl Drop {
    async fn execute(&self, global: &Global) -> Result<()> {
        let store = wiring::store(global, Absent::Refuse).await?;
        let (name, reference) = wiring::find(&store, &global.tenant()?, &self.name).await?;
        let had = drop_profiles(&store, &reference).await?;
        if global.quiet == 0 {
            note(if had {
                format!("dropped the profiles of {name}")
            } else {
                format!("{name} has no profiles")
            });
        }
        Ok(())
    }
}

async fn drop_profiles(store: &Store, reference: &Reference) -> Result<bool> {
    store.drop_profiles(reference.root, &reference.manifest).await.context("cannot drop the profiles")
}

impl Shown {
    fn of(profile: &Profile, table: &[Chunk]) -> Self {
        let len = |chunk: u32| table.get(chunk as usize).map_or(0, |chunk| u64::from(chunk.sealed_len));
        let bundle = profile.bundle.as_ref();
        Self {
            command: profile.label.text.clone(),
            chunks: profile.chunks.len(),
            sealed_bytes: profile.chunks.iter().map(|chunk| len(chunk.chunk)).sum(),
            starts: profile.starts,
            precision: f64::from(profile.precision) / 1000.0,
            is_played: is_worth_playing(profile),
            recorded_seconds: profile.recorded_seconds,
            bundle_bytes: bundle
                .map(|bundle| bundle_len(bundle.chunks.iter().map(|chunk| len(*chunk)).sum())),
            bundle_made_seconds: bundle.map(|bundle| bundle.made_seconds),
            order: None,
        }
    }

    fn with_order(
        mut self,
        profile: &Profile,
        manifest: &Manifest,
        mut files: HashMap<u32, Vec<String>>,
    ) -> Self {
        let touched = profile.chunks.iter().filter_map(|known| {
            let chunk = manifest.chunks.get(known.chunk as usize)?;
            let is_metadata = chunk.offset < manifest.geometry.metadata_len;
            let in_it = files.remove(&known.chunk).unwrap_or_default();
            Some(Touched {
                chunk: known.chunk,
                sealed_bytes: chunk.sealed_len.into(),
                uses: known.uses(),
                is_foretold: known.is_likely(),
                files: if is_metadata { vec!["(metadata)".to_owned()] } else { in_it },
            })
        });
        self.order = Some(touched.collect());
        self
    }
}

fn tell_all(shown: &[Shown]) -> Result<()> {
    let mut table =
        Table::new(&["CHUNKS", "SIZE", "STARTS", "USED", "PLAYED", "RECORDED", "BUNDLE", "COMMAND"]);
    for profile in shown {
        table.row(vec![
            profile.chunks.to_string(),
            bytes(profile.sealed_bytes),
            profile.starts.to_string(),
            format!("{:.0} %", profile.precision * 100.0),
            if profile.is_played { "yes" } else { "no" }.to_owned(),
            ago(profile.recorded_seconds),
            profile.bundle_bytes.map_or("none".to_owned(), bytes),
            readable(&profile.command),
        ]);
    }
    output::print(&table.render())
}

fn tell(shown: &Shown) -> Result<()> {
    tell_all(std::slice::from_ref(shown))?;
    let mut table = Table::new(&["CHUNK", "SIZE", "USES", "FORETOLD", "FILES"]);
    for touched in shown.order.iter().flatten() {
        let files: Vec<String> = touched.files.iter().map(|path| readable(path)).collect();
        table.row(vec![
            touched.chunk.to_string(),
            bytes(touched.sealed_bytes),
            touched.uses.to_string(),
            if touched.is_foretold { "yes" } else { "no" }.to_owned(),
            files.join(" "),
        ]);
    }
    output::print(&format!("\n{}", table.render()))
}

/// Text of an image or a command must not control the terminal.
fn readable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}

fn ago(seconds: u64) -> String {
    let then = UNIX_EPOCH + Duration::from_secs(seconds);
    let minutes = SystemTime::now().duration_since(then).map_or(0, |age| age.as_secs() / 60);
    match minutes {
        0 => "now".to_owned(),
        1..=119 => format!("{minutes} min ago"),
        120..=2879 => format!("{} h ago", minutes / 60),
        _ => format!("{} d ago", minutes / 1440),
    }
}
