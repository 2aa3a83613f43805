//! One key: its name, its parser, its default, and where else it can be said.

use std::marker::PhantomData;
use std::path::Path;

/// A type that a key can have. The same text means the same in the file, the environment and on the command line.
pub(crate) trait Value: Sized {
    /// What it is, in a word or two.
    const FORM: &'static str;

    /// Reads it.
    ///
    /// # Errors
    /// What was expected instead.
    fn parse(text: &str) -> Result<Self, String>;

    /// The value, seen from this directory: a relative path is one below it.
    fn within(self, _directory: &Path) -> Self {
        self
    }
}

/// What holds when nobody says anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Default {
    /// This text.
    Fixed(&'static str),
    /// What depends on something else, in words.
    Derived(&'static str),
}

impl Default {
    /// As documents write it.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Fixed("") => "none",
            Self::Fixed(text) | Self::Derived(text) => text,
        }
    }
}

/// What is to be known of a key, whatever its type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    /// Section and name, with a dot between.
    pub(crate) path: &'static str,
    /// What holds when nobody says anything.
    pub(crate) default: Default,
    /// The environment variable that says it.
    pub(crate) environment: Option<&'static str>,
    /// The flag that says it, without its dashes.
    pub(crate) flag: Option<&'static str>,
    /// What it is, in a word or two.
    pub(crate) form: &'static str,
}

/// A key whose values are of one type.
#[derive(Debug)]
pub(crate) struct Key<T> {
    about: About,
    value: PhantomData<fn() -> T>,
}

impl<T: Value> Key<T> {
    /// A key; an empty variable or flag is none.
    pub(crate) const fn new(
        path: &'static str,
        default: Default,
        environment: &'static str,
        flag: &'static str,
    ) -> Self {
        let about = About {
            path,
            default,
            environment: if environment.is_empty() { None } else { Some(environment) },
            flag: if flag.is_empty() { None } else { Some(flag) },
            form: T::FORM,
        };
        Self { about, value: PhantomData }
    }
}

/// A key of whatever type.
pub(crate) trait Entry: Sync {
    /// What is to be known of it.
    fn about(&self) -> About;

    /// Whether a text is a value of it.
    ///
    /// # Errors
    /// What was expected instead.
    fn check(&self, text: &str) -> Result<(), String>;
}

impl<T: Value> Entry for Key<T> {
    fn about(&self) -> About {
        self.about
    }

    fn check(&self, text: &str) -> Result<(), String> {
        T::parse(text).map(drop)
    }
}
