//! Bytes, for people to read.

use std::fmt;

/// A number of bytes; prints as `64 MiB`, and exactly where no unit divides it.
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        let even = |shift: &u32| self.0 > 0 && self.0.is_multiple_of(1 << shift);
        match units.iter().find(|(shift, _)| even(shift)) {
            Some((shift, unit)) => write!(f, "{} {unit}", self.0 >> shift),
            None => write!(f, "{} B", self.0),
        }
    }
}
