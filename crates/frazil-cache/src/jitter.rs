//! Waits between attempts: they grow, and no two callers wait alike.

use std::time::Duration;

/// A wait that doubles with every attempt, from `first` up to `longest`, of which a random half is left out.
pub(crate) fn backoff(attempt: u32, first: Duration, longest: Duration) -> Duration {
    let whole = first.saturating_mul(1_u32.checked_shl(attempt.min(16)).unwrap_or(u32::MAX)).min(longest);
    spread(whole)
}

/// Between a half and the whole of a wait.
pub(crate) fn spread(whole: Duration) -> Duration {
    whole.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_doubles_within_its_bounds_and_is_never_twice_the_same_for_long() {
        let (first, longest) = (Duration::from_millis(2), Duration::from_millis(250));
        for attempt in 0..100 {
            let wait = backoff(attempt, first, longest);
            let whole = first.saturating_mul(1 << attempt.min(16)).min(longest);
            assert!(wait <= whole && wait >= whole / 2, "{attempt}: {wait:?}");
        }
        let different: std::collections::HashSet<_> = (0..100).map(|_| spread(longest)).collect();
        assert!(different.len() > 10);
    }
}
