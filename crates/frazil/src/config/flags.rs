//! What the command line says of keys: the third of the places where a value can be said.

use std::collections::BTreeMap;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::keys;

/// The flags that were given and have a key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags(BTreeMap<&'static str, String>);

impl Flags {
    /// The flags of a command line, whatever its command.
    pub(crate) fn of(matches: &ArgMatches) -> Self {
        let mut flags = Self::default();
        let mut level = Some(matches);
        // As deep as commands are nested in commands.
        while let Some(matches) = level {
            flags.add(matches);
            level = matches.subcommand().map(|(_, below)| below);
        }
        flags
    }

    fn add(&mut self, matches: &ArgMatches) {
        for flag in keys::ALL.iter().filter_map(|key| key.about().flag) {
            let id = flag.replace('-', "_");
            let known = matches.try_contains_id(&id).unwrap_or(false);
            if !known || matches.value_source(&id) != Some(ValueSource::CommandLine) {
                continue;
            }
            let words = matches.get_raw(&id).into_iter().flatten();
            let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
            self.0.insert(flag, words.join(","));
        }
    }

    /// What a flag says.
    pub(super) fn get(&self, flag: &str) -> Option<&str> {
        self.0.get(flag).map(String::as_str)
    }
}
