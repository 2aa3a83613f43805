//! How long and how wide a link is, written as `5ms/1Gbit`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

const UNITS: [(&str, f64); 3] = [("Gbit", 1e9), ("Mbit", 1e6), ("kbit", 1e3)];

/// Round trip and bandwidth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LinkSpec {
    /// There and back.
    pub(crate) round_trip: Duration,
    /// Of each direction, shared by all connections.
    pub(crate) bits_per_second: f64,
}

impl FromStr for LinkSpec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (round_trip, rate) = text.split_once('/').context("a link is written as 5ms/1Gbit")?;
        Ok(Self { round_trip: milliseconds(round_trip)?, bits_per_second: bandwidth(rate)? })
    }
}

/// A time, as `5ms`.
pub(super) fn milliseconds(text: &str) -> anyhow::Result<Duration> {
    let millis: f64 = text.strip_suffix("ms").context("times are in ms")?.parse()?;
    ensure!((0.0..=60_000.0).contains(&millis), "{text} is not between 0 and a minute");
    Ok(Duration::from_secs_f64(millis / 1e3))
}

/// Bits a second, as `1Gbit`.
pub(super) fn bandwidth(text: &str) -> anyhow::Result<f64> {
    for (unit, factor) in UNITS {
        if let Some(number) = text.strip_suffix(unit) {
            let bits_per_second = number.parse::<f64>()? * factor;
            ensure!((1e3..=1e12).contains(&bits_per_second), "the bandwidth is out of bounds");
            return Ok(bits_per_second);
        }
    }
    bail!("the bandwidth is in Gbit, Mbit or kbit a second");
}

/// Bits a second, as they are written.
pub(super) struct Bandwidth(pub(super) f64);

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = UNITS.into_iter().find(|(_, factor)| self.0 >= *factor).unwrap_or(("kbit", 1e3));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl fmt::Display for LinkSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms/{}", self.round_trip.as_secs_f64() * 1e3, Bandwidth(self.bits_per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_prints_as_what_parses_to_it() -> anyhow::Result<()> {
        for text in ["5ms/1Gbit", "30ms/200Mbit", "1ms/10Gbit", "0.5ms/64kbit"] {
            assert_eq!(text.parse::<LinkSpec>()?.to_string(), text);
        }
        Ok(())
    }

    #[test]
    fn what_is_no_link_is_refused() {
        for text in ["", "5ms", "5/1Gbit", "5ms/1", "-1ms/1Gbit", "5ms/0Gbit", "5ms/NaNGbit", "NaNms/1Gbit"] {
            assert!(text.parse::<LinkSpec>().is_err(), "{text}");
        }
    }
}
