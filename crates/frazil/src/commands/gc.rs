//! `frazil gc`: storage back, without losing what anybody needs.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;
use frazil_store::gc::{self, Deletion, ImageBytes, Intent, Migration, Policy, Report, Step};

use crate::cli::Global;
use crate::config::{Config, keys};
use crate::exit::Exit;
use crate::output::{self, Table, bytes, note};
use crate::wiring::{self, Absent};

/// Reclaim storage: move roots on through their life cycle
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Make, retire, migrate, expire and delete roots, as far as their ages allow
    ///
    /// To be run now and then, say once an hour, on any machine, on several too. It can be killed at any time; the
    /// next run goes on. Ends with 1 if there is something for a person to look at.
    Run(Box<RunArgs>),
    /// Clear the alarm, once somebody has looked into it: deletion goes on later, unless it is raised again
    ClearAlarm,
}

/// How to run.
#[derive(clap::Args, Debug)]
struct RunArgs {
    /// Print what would be done, with bytes for each image, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Print it as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    #[allow(dead_code, reason = "read through the configuration")]
    policy: PolicyArgs,
}

/// Ages are written as 30d, 12h, 10min, 90s.
#[derive(clap::Args, Debug)]
#[allow(dead_code, reason = "read through the configuration")]
struct PolicyArgs {
    /// Make a new root when the youngest active one is this old [default: 30d]
    #[arg(long, value_name = "AGE")]
    new_after: Option<String>,

    /// Retire an active root when there has been a younger one for this long [default: 1d]
    #[arg(long, value_name = "AGE")]
    retire_after: Option<String>,

    /// Expire a root that was retired this long ago [default: 7d]
    #[arg(long, value_name = "AGE")]
    expire_after: Option<String>,

    /// Delete a root that expired this long ago [default: 7d]
    #[arg(long, value_name = "AGE")]
    delete_after: Option<String>,

    /// Delete nothing for this long after an alarm was cleared [default: 10min]
    #[arg(long, value_name = "AGE")]
    quiet_after_alarm: Option<String>,

    /// Delete at most this many objects per second [default: 1000]
    #[arg(long, value_name = "NUMBER")]
    delete_rate: Option<String>,
}

/// The policy that flags and the configuration file say.
fn policy(config: &Config) -> Result<Policy> {
    Ok(Policy {
        new_after: config.value(&keys::GC_NEW_AFTER)?.0,
        retire_after: config.value(&keys::GC_RETIRE_AFTER)?.0,
        expire_after: config.value(&keys::GC_EXPIRE_AFTER)?.0,
        delete_after: config.value(&keys::GC_DELETE_AFTER)?.0,
        quiet: config.value(&keys::GC_QUIET)?.0,
        deletions_per_second: config.value(&keys::GC_DELETE_RATE)?,
    })
}

/// Runs a collection, or clears the alarm.
pub(crate) fn execute(args: &Args, global: &Global) -> Result<Exit> {
    wiring::runtime()?.block_on(async {
        let store = wiring::store(global, Absent::Refuse).await?;
        match &args.command {
            Command::Run(args) => {
                let intent = if args.dry_run { Intent::Plan } else { Intent::Run };
                let report = gc::collect(&store, &policy(global.config()?)?, intent).await?;
                if args.json {
                    output::json(&report)?;
                } else {
                    output::print(&in_words(&report, intent))?;
                }
                Ok(if report.problems.is_empty() { Exit::SUCCESS } else { Exit::FAILURE })
            }
            Command::ClearAlarm => {
                match store.clear_alarm().await? {
                    Some(alarm) => output::print(&format!(
                        "cleared: root {} was read by process {} on {} (a {})\n",
                        alarm.root, alarm.process, alarm.host, alarm.access
                    ))?,
                    None if global.quiet == 0 => note("no alarm stands"),
                    None => {}
                }
                Ok(Exit::SUCCESS)
            }
        }
    })
}

fn in_words(report: &Report, intent: Intent) -> String {
    let mut text = String::new();
    for step in &report.steps {
        text += &step_in_words(step, intent);
    }
    if report.steps.is_empty() {
        text += "nothing to do\n";
    }
    for problem in &report.problems {
        let _ = writeln!(text, "look at this: {problem}");
    }
    text
}

fn step_in_words(step: &Step, intent: Intent) -> String {
    match step {
        Step::New { root } => format!("make root {root}\n"),
        Step::Retire { root } => format!("retire root {root}\n"),
        Step::Migrate(migration) => migration_in_words(migration, intent),
        Step::Expire { root } => format!("expire root {root}\n"),
        Step::Delete(deletion) => deletion_in_words(deletion, intent),
        Step::Wait { root, next, in_s } => {
            format!("root {root}: {next} in {}\n", output::roughly(Duration::from_secs(*in_s)))
        }
        Step::Blocked { root, next, .. } => format!("root {root}: {next} is due, and is not done\n"),
    }
}

fn migration_in_words(migration: &Migration, intent: Intent) -> String {
    let Migration { from, to, images, layer_indexes, chunks, bytes: sealed } = migration;
    let mut text = format!(
        "copy {} images from root {from} to root {to}: {chunks} chunks ({}), {layer_indexes} layer indexes\n",
        images.len(),
        bytes(*sealed)
    );
    if intent == Intent::Plan {
        text += &image_table(images, "TO COPY");
    }
    text
}

/// A deletion, or its plan.
pub(super) fn deletion_in_words(deletion: &Deletion, intent: Intent) -> String {
    let Deletion { root, images, objects, bytes: deleted, unreferenced_bytes } = deletion;
    let mut text = format!("delete root {root}: {objects} objects ({})\n", bytes(*deleted));
    if intent == Intent::Plan {
        text += &image_table(images, "TO DELETE");
        if *unreferenced_bytes > 0 {
            let _ = writeln!(text, "  {} of chunks that no manifest of it needs", bytes(*unreferenced_bytes));
        }
    }
    text
}

fn image_table(images: &[ImageBytes], what: &str) -> String {
    let mut table = Table::new(&["  TENANT", "NAME", "MANIFEST", "BYTES", what]);
    for image in images {
        table.row(vec![
            format!("  {}", image.tenant),
            image.name.clone(),
            image.manifest.get(..12).unwrap_or_default().to_owned(),
            bytes(image.bytes),
            image.broken.clone().unwrap_or_else(|| bytes(image.own_bytes)),
        ]);
    }
    if images.is_empty() { String::new() } else { table.render() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_word_of_the_user_the_policy_is_the_stores_own() {
        assert_eq!(policy(&Config::default()).unwrap(), Policy::default());
    }
}
