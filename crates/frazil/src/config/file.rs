//! The configuration file: TOML, read into texts by key, each with its line.
//!
//! Invariant: whatever in the file is not a key is an error, and all errors of a file are reported at once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::key::{Entry, Value};
use super::keys;
use crate::similar;

/// What the file says of one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Text {
    /// The value, as it would be written on the command line.
    pub(crate) text: String,
    /// Where it is, from 1.
    pub(crate) line: usize,
}

/// What is wrong with a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Problem {
    /// Where, from 1.
    pub(crate) line: usize,
    /// What.
    pub(crate) message: String,
}

impl Problem {
    /// With the place in front, as compilers write it.
    pub(crate) fn at(&self, path: &Path) -> String {
        format!("{}:{}: {}", path.display(), self.line, self.message)
    }
}

/// Reads a file's text.
pub(super) fn parse(text: &str) -> Result<BTreeMap<&'static str, Text>, Vec<Problem>> {
    let document = DeTable::parse(text).map_err(|error| {
        let line = line_of(text, error.span().unwrap_or_default());
        vec![Problem { line, message: error.message().to_owned() }]
    })?;
    let mut reading = Reading { text, found: BTreeMap::new(), problems: Vec::new() };
    for (name, value) in document.get_ref() {
        reading.section(name, value);
    }
    if reading.problems.is_empty() {
        return Ok(reading.found);
    }
    reading.problems.sort_by_key(|problem| problem.line);
    Err(reading.problems)
}

fn line_of(text: &str, span: Range<usize>) -> usize {
    text.bytes().take(span.start).filter(|&byte| byte == b'\n').count().saturating_add(1)
}

struct Reading<'a> {
    text: &'a str,
    found: BTreeMap<&'static str, Text>,
    problems: Vec<Problem>,
}

type Name<'a> = Spanned<std::borrow::Cow<'a, str>>;

impl Reading<'_> {
    fn section(&mut self, name: &Name<'_>, value: &Spanned<DeValue<'_>>) {
        let section = name.get_ref().as_ref();
        let sections = keys::ALL.iter().filter_map(|key| key.about().path.split('.').next());
        let Some(table) = value.get_ref().as_table() else {
            return match keys::ALL.iter().find(|key| key.about().path.ends_with(&format!(".{section}"))) {
                Some(key) => {
                    self.wrong(name, format!("{section} has to be in its section: {}", key.about().path))
                }
                None => self.wrong(name, format!("{section} is in no section")),
            };
        };
        if !sections.clone().any(|known| known == section) {
            return self.unknown(name, format!("there is no section [{section}]"), section, sections);
        }
        for (key, value) in table {
            self.key(section, key, value);
        }
    }

    fn key(&mut self, section: &str, name: &Name<'_>, value: &Spanned<DeValue<'_>>) {
        let path = format!("{section}.{}", name.get_ref());
        let Some(key) = keys::ALL.iter().find(|key| key.about().path == path) else {
            let paths = keys::ALL.iter().map(|key| key.about().path);
            let own = paths.clone().filter(|known| known.split('.').next() == Some(section));
            let guess = similar::to(&path, own).or_else(|| similar::to(&path, paths));
            return self.unknown(name, format!("there is no key {path}"), &path, guess.into_iter());
        };
        let checked = text_of(value.get_ref()).and_then(|text| check(*key, &text).map(|()| text));
        match checked {
            Ok(text) => {
                let line = line_of(self.text, name.span());
                self.found.insert(key.about().path, Text { text, line });
            }
            Err(message) => self.wrong(name, format!("{path}: {message}")),
        }
    }

    fn unknown<'k>(
        &mut self,
        name: &Name<'_>,
        message: String,
        text: &str,
        known: impl Iterator<Item = &'k str>,
    ) {
        let message = match similar::to(text, known) {
            Some(guess) => format!("{message}; did you mean {guess}?"),
            None => message,
        };
        self.wrong(name, message);
    }

    fn wrong(&mut self, name: &Name<'_>, message: String) {
        self.problems.push(Problem { line: line_of(self.text, name.span()), message });
    }
}

/// Checks a value of the file: as any other, except that a path must not depend on where a program was
/// started.
fn check(key: &dyn Entry, text: &str) -> Result<(), String> {
    key.check(text)?;
    if key.about().form == PathBuf::FORM && !Path::new(text).is_absolute() {
        return Err("expected an absolute path".to_owned());
    }
    Ok(())
}

/// A TOML value as it would be written on the command line.
fn text_of(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Integer(_) => Err("expected a decimal number".to_owned()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(answer) => Ok(answer.to_string()),
        DeValue::Array(elements) => {
            let elements = elements.iter().map(|element| match element.get_ref() {
                DeValue::Array(_) | DeValue::Table(_) => Err("expected simple elements".to_owned()),
                element => text_of(element),
            });
            Ok(elements.collect::<Result<Vec<_>, _>>()?.join(","))
        }
        DeValue::Table(_) => Err("expected a value and not a section".to_owned()),
        DeValue::Datetime(_) => Err("expected no date".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        parse(text).unwrap_err().iter().map(|problem| problem.at(Path::new("f"))).collect()
    }

    #[test]
    fn a_file_is_read_by_key_with_the_line_of_each() {
        let text = "[disk]\nquota = \"8 GiB\"\n\n[cached]\nallow_uids = [1000, 1001]\n[origin]\nhedge_share = 0.05\n";
        let found = parse(text).unwrap();
        let said = |path: &str| found.get(path).map(|found| (found.text.as_str(), found.line));
        assert_eq!(said("disk.quota"), Some(("8 GiB", 2)));
        assert_eq!(said("cached.allow_uids"), Some(("1000,1001", 5)));
        assert_eq!(said("origin.hedge_share"), Some(("0.05", 7)));
        assert_eq!(parse("").unwrap().len(), 0);
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_line_and_a_guess() {
        let text =
            "quota = 1\n[disc]\n[disk]\nqouta = \"1G\"\ndirectory = \"cache\"\nfree_floor = \"much\"\n";
        assert_eq!(
            problems(text),
            [
                "f:1: quota has to be in its section: disk.quota",
                "f:2: there is no section [disc]; did you mean disk?",
                "f:4: there is no key disk.qouta; did you mean disk.quota?",
                "f:5: disk.directory: expected an absolute path",
                "f:6: disk.free_floor: expected a number of bytes, or one with K, M, G, T or P",
            ]
        );
    }

    #[test]
    fn a_file_that_is_no_toml_is_told_with_its_line() {
        let told = problems("[disk]\nquota = \n");
        assert!(told.len() == 1 && told[0].starts_with("f:2: "), "{told:?}");
        for text in ["[disk]\nquota = 1979-05-27\n", "[disk.quota]\n", "[disk]\nquota = 0x10\n", "[[disk]]\n"]
        {
            assert!(!problems(text).is_empty(), "{text}");
        }
    }
}
