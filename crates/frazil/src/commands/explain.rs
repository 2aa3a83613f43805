//! `frazil explain`: what a mount was read for, file by file.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::control::{self, AgentStats, Explained, Part, Prefetched, Question, Waited};
use crate::exit::Exit;
use crate::mount_record;
use crate::output::{self, Table, bytes, percent};

/// Show which files of a mount were read, from which tier, and how long that took
///
/// Through the erofs face it is the kernel that reads: what it reads ahead counts, what its page cache answers does
/// not.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The mounted directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Show this many files, those with the longest waits; 0 shows all
    #[arg(long, value_name = "COUNT", default_value_t = 40)]
    files: usize,

    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// Asks and shows.
pub(crate) fn execute(args: &Args) -> Result<Exit> {
    let directory = mount_record::canonical(&args.directory)?;
    let explained: Explained = control::ask(&directory, Question::Explain)?;
    if args.json {
        output::json(&explained)?;
    } else {
        let shown = if args.files == 0 { usize::MAX } else { args.files };
        output::print(&in_words(&explained, shown))?;
    }
    Ok(Exit::SUCCESS)
}

fn in_words(explained: &Explained, shown: usize) -> String {
    let mut text = summary(&explained.agent);
    let mut table = Table::new(&["WAITED", "LONGEST", "READ", "OF", "CHUNKS", "FROM", "AHEAD", "PATH"]);
    table.row(row("(metadata)", &explained.metadata));
    for file in explained.files.iter().take(shown) {
        table.row(row(&file.path, &file.part));
    }
    text.push('\n');
    text += &table.render();
    let hidden = explained.files.len().saturating_sub(shown) as u64 + explained.files_left_out;
    if hidden > 0 {
        text += &format!("and {hidden} more files: --files 0 shows all\n");
    }
    text
}

/// What an agent counted, in words.
pub(crate) fn summary(agent: &AgentStats) -> String {
    let uptime = output::duration(Duration::from_secs(agent.uptime_s));
    let (image, face, directory) = (&agent.image, &agent.face, agent.directory.display());
    let mut text = format!("{image} through {face} at {directory}, process {}, for {uptime}\n", agent.pid);
    text += &format!(
        "touched     {} of {} chunks ({}); read {}\n",
        agent.chunks_touched,
        agent.chunks_total,
        percent(agent.chunks_touched, agent.chunks_total),
        bytes(agent.read_bytes)
    );
    text += &format!(
        "fetched     {} in {} requests ({} of what was read); {} found decoded; {} failed\n",
        bytes(agent.fetched_bytes),
        agent.requests,
        percent(agent.fetched_bytes, agent.read_bytes),
        agent.hits,
        agent.errors
    );
    let levels = agent.levels.iter().filter(|(_, counts)| counts.answers > 0);
    let levels: Vec<String> = levels
        .map(|(level, counts)| format!("{level} {} ({})", counts.answers, bytes(counts.answer_bytes)))
        .collect();
    text += &format!(
        "from        {}\n",
        if levels.is_empty() { "nowhere".to_owned() } else { levels.join(", ") }
    );
    let Waited { count, total_us, longest_us } = agent.waits;
    text += &format!(
        "waited      {count} times, {} in all, {} at the longest\n",
        microseconds(total_us),
        microseconds(longest_us)
    );
    for ahead in agent.prefetch.iter().filter(|ahead| ahead.fetched_chunks + ahead.failed_chunks > 0) {
        text += &prefetched(ahead);
    }
    text
}

fn prefetched(ahead: &Prefetched) -> String {
    format!(
        "prefetched  {} chunks ({}) for {}: {} used, {} thrown away unread, {} failed\n",
        ahead.fetched_chunks,
        bytes(ahead.fetched_bytes),
        ahead.source,
        ahead.used_chunks,
        ahead.evicted_chunks,
        ahead.failed_chunks
    )
}

fn row(path: &str, part: &Part) -> Vec<String> {
    let from: Vec<String> = part.from.iter().map(|(level, chunks)| format!("{level} {chunks}")).collect();
    vec![
        microseconds(part.waits.total_us),
        microseconds(part.waits.longest_us),
        bytes(part.read_bytes),
        bytes(part.bytes),
        part.chunks.to_string(),
        from.join(" "),
        part.prefetched.to_string(),
        path.to_owned(),
    ]
}

/// A wait as people read it.
fn microseconds(us: u64) -> String {
    match us {
        0 => "-".to_owned(),
        1..1000 => format!("{us} µs"),
        _ => format!("{:.1} ms", us as f64 / 1000.0),
    }
}
