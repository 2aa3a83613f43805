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
        let millis: f64 = round_trip.strip_suffix("ms").context("the round trip is in ms")?.parse()?;
        ensure!((0.0..=60_000.0).contains(&millis), "the round trip is not between 0 and a minute");
        for (unit, factor) in UNITS {
            if let Some(number) = rate.strip_suffix(unit) {
                let bits_per_second = number.parse::<f64>()? * factor;
                ensure!((1e3..=1e12).contains(&bits_per_second), "the bandwidth is out of bounds");
                return Ok(Self { round_trip: Duration::from_secs_f64(millis / 1e3), bits_per_second });
            }
        }
        bail!("the bandwidth is in Gbit, Mbit or kbit a second");
    }
}

impl fmt::Display for LinkSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) =
            UNITS.into_iter().find(|(_, factor)| self.bits_per_second >= *factor).unwrap_or(("kbit", 1e3));
        write!(f, "{}ms/{}{unit}", self.round_trip.as_secs_f64() * 1e3, self.bits_per_second / factor)
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
