//! How frazil says no: a code, what is wrong, and what can be done about it.

use std::process::Output;

/// A failure of the program in its own words.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The exit code.
    pub(crate) code: i32,
    /// What follows `error: `.
    pub(crate) error: String,
    /// What follows `hint: `, or nothing.
    pub(crate) hint: String,
}

impl Refusal {
    /// Reads an end that must be an error that was told: no success, no panic, no signal.
    #[track_caller]
    pub(crate) fn of(output: &Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code();
        assert!(code.is_some_and(|code| code != 0 && code != 101), "{}:\n{stderr}", output.status);
        assert!(!stderr.contains("panicked"), "{stderr}");
        let after = |word: &str| stderr.lines().find_map(|line| line.strip_prefix(word)).map(str::to_owned);
        let error = after("error: ").unwrap_or_else(|| panic!("no error is told, exit {code:?}:\n{stderr}"));
        Self { code: code.unwrap_or_default(), error, hint: after("hint: ").unwrap_or_default() }
    }

    /// The code, and words of the error and of the hint; no words: no hint is expected.
    #[track_caller]
    pub(crate) fn is(&self, code: i32, error: &str, hint: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.error.contains(error), "the error does not say {error:?}: {self:?}");
        assert!(self.hint.contains(hint), "the hint does not say {hint:?}: {self:?}");
        assert_eq!(self.hint.is_empty(), hint.is_empty(), "{self:?}");
    }
}
