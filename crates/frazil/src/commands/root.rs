//! `frazil root`: the roots of a store, by hand. `frazil gc run` does the same by itself.

use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;
use frazil_format::RootId;
use frazil_store::gc::{self, Intent, Policy};
use frazil_store::{AlarmState, Clock, RootStatus, Store};
use serde::Serialize;

use super::gc::deletion_in_words;
use crate::cli::Global;
use crate::config::{Span, Value};
use crate::exit::Exit;
use crate::output::{self, Table, note};
use crate::wiring::{self, Absent};

/// Look after the store's roots
///
/// A root is a generation of the store: active (written and read), retired (read only), expired (a read raises an
/// alarm), deleted. frazil gc run moves them by their ages; this is for doing it by hand.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List the roots, and where each is in its life
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a new root: new images go to it from now on
    New,
    /// Retire a root: nothing new goes to it; an expired root is retired again
    Retire {
        /// The root's number
        #[arg(value_parser = number)]
        root: RootId,
    },
    /// Expire a retired root: from now on reading it raises the alarm; refused while names refer to it
    Expire {
        /// The root's number
        #[arg(value_parser = number)]
        root: RootId,

        /// Refuse unless it was retired at least this long ago
        #[arg(long, value_name = "AGE", value_parser = age, default_value = "7d")]
        after: Duration,
    },
    /// Delete everything of an expired root, or go on with it; refused while the alarm stands
    Delete {
        /// The root's number
        #[arg(value_parser = number)]
        root: RootId,

        /// Refuse unless it expired at least this long ago: its readers need some minutes to raise the alarm
        #[arg(long, value_name = "AGE", value_parser = age, default_value = "7d")]
        after: Duration,

        /// Print what would be deleted, image by image, and delete nothing
        #[arg(long)]
        dry_run: bool,

        /// Delete at most this many objects per second
        #[arg(long, value_name = "NUMBER", default_value_t = Policy::default().deletions_per_second)]
        delete_rate: u32,
    },
}

/// An age, written as durations are in the configuration.
fn age(text: &str) -> Result<Duration, String> {
    Span::parse(text).map(|span| span.0)
}

/// A root as people write it: `3` or `00000003`.
pub(super) fn number(text: &str) -> Result<RootId, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a root's number, such as 3 or 00000003".to_owned()),
        Ok(number) => Ok(RootId::from_number(number)),
    }
}

/// The stable document of `root list --json`.
#[derive(Serialize)]
struct Document {
    roots: Vec<RootLine>,
    alarm: Option<AlarmLine>,
}

#[derive(Serialize)]
struct RootLine {
    #[serde(flatten)]
    status: RootStatus,
    age_s: u64,
}

#[derive(Serialize)]
struct AlarmLine {
    root: String,
    access: String,
    host: String,
    process: u32,
    age_s: u64,
}

/// Runs the subcommand on the roots.
pub(crate) fn execute(args: &Args, global: &Global) -> Result<Exit> {
    wiring::runtime()?.block_on(async {
        let store = wiring::store(global, Absent::Refuse).await?;
        let say = |text: String| {
            if global.quiet == 0 {
                note(text);
            }
        };
        match &args.command {
            Command::List { json } => list(&store, *json).await?,
            Command::New => output::print(&format!("{}\n", store.new_root().await?))?,
            Command::Retire { root } => {
                store.retire_root(*root).await?;
                say(format!("root {root} is retired: frazil gc run copies what names refer to"));
            }
            Command::Expire { root, after } => {
                gc::expire_root(&store, *root, *after).await?;
                say(format!("root {root} is expired: whoever reads it raises the alarm"));
            }
            Command::Delete { root, after, dry_run, delete_rate } => {
                let policy = Policy { deletions_per_second: *delete_rate, ..Policy::default() };
                let intent = if *dry_run { Intent::Plan } else { Intent::Run };
                let deletion = gc::delete_root(&store, *root, *after, &policy, intent).await?;
                output::print(&deletion_in_words(&deletion, intent))?;
            }
        }
        Ok(Exit::SUCCESS)
    })
}

async fn list(store: &Store, json: bool) -> Result<()> {
    let (now, roots) = (store.time(Clock::Machine).await?, store.root_statuses().await?);
    let alarm = store.alarm().await?.filter(|(alarm, _)| alarm.state == AlarmState::Raised);
    if json {
        let roots = roots.into_iter().map(|status| RootLine { status, age_s: status.age(now).as_secs() });
        let alarm = alarm.map(|(alarm, raised)| AlarmLine {
            root: alarm.root.to_string(),
            access: alarm.access,
            host: alarm.host,
            process: alarm.process,
            age_s: now.since_time(raised).as_secs(),
        });
        return output::json(&Document { roots: roots.collect(), alarm });
    }
    let mut table = Table::new(&["ROOT", "STATE", "SINCE"]);
    for status in roots {
        let age = since(status.age(now));
        table.row(vec![status.root.to_string(), status.state.to_string(), age]);
    }
    output::print(&table.render())?;
    if let Some((alarm, raised)) = alarm {
        let when = since(now.since_time(raised));
        output::print(&format!(
            "\nALARM, {when}: a {} of root {} was read by process {} on {}. Nothing is deleted until it is cleared.\n",
            alarm.access, alarm.root, alarm.process, alarm.host
        ))?;
    }
    Ok(())
}

fn since(age: Duration) -> String {
    format!("{} ago", output::roughly(age))
}
