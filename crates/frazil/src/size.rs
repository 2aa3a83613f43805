//! Sizes on the command line and in the configuration: `512M`, `20G`, `8 GiB`; binary units, as in coreutils.

use std::fmt;
use std::str::FromStr;

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Size(pub(crate) u64);

/// The units, each 1024 times the one before.
const UNITS: [char; 5] = ['K', 'M', 'G', 'T', 'P'];

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text.strip_suffix("iB").or_else(|| text.strip_suffix('B')).unwrap_or(text);
        let (number, shift) = match bare.chars().next_back().map(|unit| unit.to_ascii_uppercase()) {
            Some(unit) if UNITS.contains(&unit) => {
                let exponent = UNITS.iter().take_while(|&&known| known != unit).count().saturating_add(1);
                (
                    bare.get(..bare.len().saturating_sub(1)).unwrap_or_default().trim_end(),
                    exponent.saturating_mul(10),
                )
            }
            _ => (bare.trim_end(), 0),
        };
        let number: u64 =
            number.parse().map_err(|_| "expected a number of bytes, or one with K, M, G, T or P")?;
        let factor = 1_u64.checked_shl(u32::try_from(shift).unwrap_or(u32::MAX));
        factor.and_then(|factor| number.checked_mul(factor)).map(Self).ok_or("more bytes than there can be")
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut number, mut unit) = (self.0, None);
        for &next in &UNITS {
            if number == 0 || number % 1024 != 0 {
                break;
            }
            (number, unit) = (number / 1024, Some(next));
        }
        match unit {
            Some(unit) => write!(f, "{number}{unit}"),
            None => write!(f, "{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_reads_as_it_prints() {
        for (text, bytes) in [("0", 0), ("512", 512), ("1K", 1024), ("20G", 20 << 30), ("3P", 3 << 50)] {
            assert_eq!(text.parse(), Ok(Size(bytes)));
            assert_eq!(Size(bytes).to_string(), text);
        }
        for text in ["5GiB", "5 GiB", "5 G", "5GB", "5g"] {
            assert_eq!(text.parse(), Ok(Size(5 << 30)), "{text}");
        }
        assert_eq!("100 B".parse(), Ok(Size(100)));
        for text in ["", "G", " 5", "5 i", "iB", "1.5G", "-1", "99999999P"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
