//! Ages on the command line: `30d`, `12h`, `10m`, `90s`; a bare number is seconds.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How long ago something is, or has to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Age(pub(crate) Duration);

/// The units and their seconds, the largest first.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

impl FromStr for Age {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unit = UNITS.into_iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
        let (number, seconds) = unit.unwrap_or((text, 1));
        let number: u64 =
            number.parse().map_err(|_| "expected a number of seconds, or one with s, m, h or d")?;
        let seconds = number.checked_mul(seconds).ok_or("longer than anything lasts")?;
        Ok(Self(Duration::from_secs(seconds)))
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let whole = |&&(_, unit): &&(char, u64)| seconds > 0 && seconds.is_multiple_of(unit);
        match UNITS.iter().find(whole) {
            Some((unit, len)) => write!(f, "{}{unit}", seconds / len),
            None => write!(f, "{seconds}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_reads_as_it_prints() {
        for (text, seconds) in [("0s", 0), ("90s", 90), ("10m", 600), ("12h", 43_200), ("30d", 2_592_000)] {
            assert_eq!(text.parse(), Ok(Age(Duration::from_secs(seconds))));
            assert_eq!(Age(Duration::from_secs(seconds)).to_string(), text);
        }
        assert_eq!("90".parse(), Ok(Age(Duration::from_secs(90))));
        for text in ["", "d", "1.5d", "-1s", "99999999999999999d"] {
            assert!(text.parse::<Age>().is_err(), "{text}");
        }
    }
}
