//! The types of values, and how each is written.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use frazil_cache::Nodes;

use super::key::Value;
use crate::size::Size;

/// The most elements of a list.
const MAX_ELEMENTS: usize = 1024;

/// A duration: `5ms`, `30s`, `10 min`, `12h`, `7d`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span(pub(crate) Duration);

/// A part of a whole, between 0 and 1: `5 %`, `0.05`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Share(pub(crate) f64);

/// `true` or `false`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Switch {
    /// `true`.
    On,
    /// `false`.
    Off,
}

/// Several values: an array in the file, commas elsewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

/// Where keys are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum KeyPlace {
    /// In a keyring, which is a directory.
    Directory(PathBuf),
    /// With a key service: its keys, separated by commas.
    Service(String),
}

/// What stands in front of a key service's keys.
const KEY_SERVICE: &str = "kms:";

/// The units of a duration, in milliseconds.
const UNITS_MS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// The name of a tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Tenant(pub(crate) String);

impl Value for Tenant {
    const FORM: &'static str = "tenant";

    fn parse(text: &str) -> Result<Self, String> {
        frazil_store::tenant_name(text).map(Self).map_err(|error| error.to_string())
    }
}

impl Value for Span {
    const FORM: &'static str = "duration";

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "expected a duration such as 500ms, 30s, 10min, 12h or 7d".to_owned();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
        let unit_ms = UNITS_MS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(wrong)?.1;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let milliseconds =
            number.checked_mul(unit_ms).ok_or_else(|| "longer than there is time".to_owned())?;
        Ok(Self(Duration::from_millis(milliseconds)))
    }
}

impl Value for Share {
    const FORM: &'static str = "share";

    fn parse(text: &str) -> Result<Self, String> {
        let (number, whole) = match text.strip_suffix('%') {
            Some(percent) => (percent.trim_end(), 100.0),
            None => (text, 1.0),
        };
        let share = number.parse::<f64>().ok().map(|number| number / whole);
        let share = share.filter(|share| (0.0..=1.0).contains(share));
        share.map(Self).ok_or_else(|| "expected a share such as 5 % or 0.05".to_owned())
    }
}

impl Value for Switch {
    const FORM: &'static str = "true or false";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "true" | "1" | "yes" | "on" => Ok(Self::On),
            "false" | "0" | "no" | "off" => Ok(Self::Off),
            _ => Err("expected true or false".to_owned()),
        }
    }
}

impl<T: Value> Value for List<T> {
    const FORM: &'static str = "list";

    fn parse(text: &str) -> Result<Self, String> {
        let elements = text.split(',').map(str::trim).filter(|element| !element.is_empty());
        let elements = elements.map(T::parse).collect::<Result<Vec<_>, _>>()?;
        if elements.len() > MAX_ELEMENTS {
            return Err(format!("expected no more than {MAX_ELEMENTS} elements"));
        }
        Ok(Self(elements))
    }
}

impl Value for Size {
    const FORM: &'static str = "size";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(str::to_owned)
    }
}

impl Value for String {
    const FORM: &'static str = "text";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("expected a text".to_owned()) } else { Ok(text.to_owned()) }
    }
}

impl Value for PathBuf {
    const FORM: &'static str = "path";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("expected a path".to_owned()) } else { Ok(text.into()) }
    }

    fn within(self, directory: &Path) -> Self {
        directory.join(self)
    }
}

impl Value for KeyPlace {
    const FORM: &'static str = PathBuf::FORM;

    fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix(KEY_SERVICE) {
            Some(keys) => Ok(Self::Service(keys.to_owned())),
            None => PathBuf::parse(text).map(Self::Directory),
        }
    }

    fn within(self, directory: &Path) -> Self {
        match self {
            Self::Directory(path) => Self::Directory(path.within(directory)),
            service @ Self::Service(_) => service,
        }
    }
}

impl Value for u32 {
    const FORM: &'static str = "number";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "expected a number from 0 to 4294967295".to_owned())
    }
}

impl Value for usize {
    const FORM: &'static str = "count";

    fn parse(text: &str) -> Result<Self, String> {
        let count = text.parse().ok().filter(|count| (1..=1 << 24).contains(count));
        count.ok_or_else(|| "expected a count from 1 to 16777216".to_owned())
    }
}

impl Value for u16 {
    const FORM: &'static str = "count";

    fn parse(text: &str) -> Result<Self, String> {
        let count = text.parse().ok().filter(|count| (1..=1024).contains(count));
        count.ok_or_else(|| "expected a count from 1 to 1024".to_owned())
    }
}

impl Value for Nodes {
    const FORM: &'static str = "nodes";

    fn parse(text: &str) -> Result<Self, String> {
        Self::from_str(text).map_err(|error| error.to_string())
    }
}

impl Value for SocketAddr {
    const FORM: &'static str = "[ADDRESS:]PORT";

    fn parse(text: &str) -> Result<Self, String> {
        match text.parse::<u16>() {
            Ok(port) => Ok(Self::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
            Err(_) => text.parse().map_err(|_| "expected a port, or an address with a port".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_shares_and_lists_are_written_as_people_write_them() {
        for (text, ms) in [("5ms", 5), ("30s", 30_000), ("10 min", 600_000), ("7d", 604_800_000), ("0s", 0)] {
            assert_eq!(Span::parse(text), Ok(Span(Duration::from_millis(ms))), "{text}");
        }
        for text in ["", "30", "s", "-1s", "1.5s", "3 weeks", "99999999999999999d"] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
        assert_eq!(Share::parse("5 %"), Ok(Share(0.05)));
        assert_eq!(Share::parse("0.05"), Ok(Share(0.05)));
        for text in ["", "%", "101 %", "-1", "NaN", "inf"] {
            assert!(Share::parse(text).is_err(), "{text}");
        }
        assert_eq!(List::<u32>::parse("1, 2,3"), Ok(List(vec![1, 2, 3])));
        assert!(List::<u32>::parse("1,x").is_err());
    }
}
