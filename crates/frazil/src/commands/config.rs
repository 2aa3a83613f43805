//! `frazil config`: whether the configuration holds, and what is in force.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::cli::Global;
use crate::config::{self, Config, Entry, Source, keys, misfits};
use crate::exit::Exit;
use crate::failure::Advise;
use crate::host_cache::CacheArgs;
use crate::output::{self, Table, note};
use crate::tiers::TierArgs;

/// Check or show the configuration
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    Check(Check),
    Show(Show),
}

/// Check the configuration file, and whether what is in force fits this machine
///
/// Prints every value that is in force and who said it. Ends with 1 if anything is wrong, and says where.
#[derive(clap::Args, Debug)]
struct Check {
    /// The file [default: the one that would be read]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    #[command(flatten)]
    said: Said,
}

/// Print what is in force, as a configuration file
#[derive(clap::Args, Debug)]
struct Show {
    /// Print it as JSON, with who said it
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    said: Said,
}

/// Flags of other commands, to see what they would change.
#[derive(clap::Args, Debug)]
#[allow(dead_code, reason = "read through the configuration")]
struct Said {
    #[command(flatten)]
    cache: CacheArgs,

    #[command(flatten)]
    tiers: TierArgs,
}

/// Checks or shows.
pub(crate) fn execute(args: &Args, global: &Global) -> Result<Exit> {
    match &args.what {
        What::Check(check) => check.execute(global),
        What::Show(show) => show.execute(global.config()?),
    }
}

impl Check {
    fn execute(&self, global: &Global) -> Result<Exit> {
        let named = self.file.as_deref().or(global.config.as_deref());
        let config = match config::place(named)? {
            None => Config::load(None, global.flags.clone())?,
            Some(path) => match Config::read(path.clone(), &config::text(&path)?, global.flags.clone()) {
                Ok(config) => config,
                Err(problems) => {
                    for problem in &problems {
                        note(format!("error: {}", problem.at(&path)));
                    }
                    return Ok(Exit::FAILURE);
                }
            },
        };
        let wrong: Vec<String> = keys::ALL.iter().filter_map(|key| wrong(&config, *key)).collect();
        if !wrong.is_empty() {
            for message in wrong {
                note(format!("error: {message}"));
            }
            return Ok(Exit::FAILURE);
        }
        output::print(&in_words(&config))?;
        let misfits = misfits(&config)?;
        for misfit in &misfits {
            note(format!("error: {misfit}"));
        }
        Ok(if misfits.is_empty() { Exit::SUCCESS } else { Exit::FAILURE })
    }
}

/// What is wrong with what the environment or a flag says of a key; the file has been judged.
fn wrong(config: &Config, key: &dyn Entry) -> Option<String> {
    let (text, source) = config.said(key)?;
    let error = key.check(&text).err()?;
    Some(format!("{} is {text:?} ({source}): {error}", key.about().path))
}

fn in_words(config: &Config) -> String {
    let file = config.path().map_or("none".to_owned(), |path| path.display().to_string());
    let mut table = Table::new(&["KEY", "VALUE", "SAID BY"]);
    for key in keys::ALL {
        let about = key.about();
        let (value, source) =
            config.said(*key).unwrap_or_else(|| (about.default.in_words().to_owned(), Source::Default));
        let value = if value.is_empty() { "none".to_owned() } else { value };
        table.row(vec![about.path.to_owned(), value, source.to_string()]);
    }
    format!("file: {file}\n\n{}", table.render())
}

impl Show {
    fn execute(&self, config: &Config) -> Result<Exit> {
        if let Some(message) = keys::ALL.iter().find_map(|key| wrong(config, *key)) {
            return Err(anyhow!(message)).hint("frazil config check says all that is wrong");
        }
        if self.json {
            output::json(&document(config))?;
        } else {
            output::print(&as_file(config))?;
        }
        Ok(Exit::SUCCESS)
    }
}

/// What is in force as a file; what has no value of its own is a remark.
fn as_file(config: &Config) -> String {
    let (mut text, mut last) = (String::new(), "");
    for key in keys::ALL {
        let about = key.about();
        let Some((section, name)) = about.path.split_once('.') else { continue };
        if section != last {
            let gap = if last.is_empty() { "" } else { "\n" };
            text += &format!("{gap}[{section}]\n");
            last = section;
        }
        text += &match (config.said(*key), about.default) {
            (Some((value, Source::Default)), _) => format!("{name} = {}\n", quoted(&value)),
            (Some((value, source)), _) => format!("{name} = {} # {source}\n", quoted(&value)),
            (None, config::Default::Fixed(value)) => format!("{name} = {}\n", quoted(value)),
            (None, config::Default::Derived(words)) => format!("# {name}: {words}\n"),
        };
    }
    text
}

/// A text as TOML writes it: as JSON does, but for a character that only JSON lets through.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// The stable document of `--json`: for each key its value, null if it has none of its own, and who said it.
fn document(config: &Config) -> Value {
    let mut document = Map::new();
    for key in keys::ALL {
        let about = key.about();
        let (value, source) = match (config.said(*key), about.default) {
            (Some((value, source)), _) => (Value::from(value), source),
            (None, config::Default::Fixed(value)) => (Value::from(value), Source::Default),
            (None, config::Default::Derived(_)) => (Value::Null, Source::Default),
        };
        let default = about.default.in_words();
        let entry = json!({ "value": value, "source": source.to_string(), "default": default });
        document.insert(about.path.to_owned(), entry);
    }
    json!({ "file": config.path(), "keys": document })
}
