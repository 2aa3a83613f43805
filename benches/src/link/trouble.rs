//! What is wrong with the server behind a link, written as `late=100ms` or `refuses=/bundles/`.
//!
//! A trouble is done to exchanges: to a question and the answer to it. Those it is done to are chosen by the path that
//! is asked for, or by chance: of every so many exchanges one, by a seed, so that two runs of one seed and of as many
//! exchanges meet the same.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

/// An answer that stalls has so many bytes, its head included: less than a chunk.
const STALLS_AFTER_BYTES: u64 = 16 << 10;
/// An answer that halts has so many: some chunks of a bundle, and not all of its first part.
const HALTS_AFTER_BYTES: u64 = 1 << 20;

/// What is wrong.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Trouble {
    /// Every answer begins so much later.
    Late(Duration),
    /// All connections share so many bits a second.
    Narrow(f64),
    /// One of every so many questions is answered by 503.
    Fails(u64),
    /// One of every so many answers ends in its middle, and the connection stays open.
    Stalls(u64),
    /// Questions for such a path are answered by 503.
    Refuses(String),
    /// Questions for such a path are never answered.
    Swallows(String),
    /// Answers for such a path end in their middle, and the connection stays open.
    Halts(String),
}

impl Trouble {
    /// Whether it is done to any path.
    pub(crate) fn is_anywhere(&self) -> bool {
        !matches!(self, Self::Refuses(_) | Self::Swallows(_) | Self::Halts(_))
    }
}

/// What becomes of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Pass,
    Late(Duration),
    Unavailable,
    Lost,
    /// So many bytes of the answer pass.
    CutAfter(u64),
}

/// A trouble at work.
#[derive(Debug)]
pub(super) struct Troubled {
    trouble: Trouble,
    seed: u64,
    exchanges: AtomicU64,
}

impl Troubled {
    pub(super) fn new(trouble: Trouble, seed: u64) -> Self {
        Self { trouble, seed, exchanges: AtomicU64::new(0) }
    }

    /// What becomes of the exchange that this question begins.
    pub(super) fn fate(&self, question: &[u8]) -> Fate {
        let number = self.exchanges.fetch_add(1, Ordering::Relaxed);
        let asks_for = |path: &str| {
            let line = question.split(|byte| *byte == b'\r').next().unwrap_or_default();
            line.windows(path.len()).any(|window| window == path.as_bytes())
        };
        match &self.trouble {
            Trouble::Late(late) => Fate::Late(*late),
            Trouble::Fails(of) if is_chosen(number, *of, self.seed) => Fate::Unavailable,
            Trouble::Stalls(of) if is_chosen(number, *of, self.seed) => Fate::CutAfter(STALLS_AFTER_BYTES),
            Trouble::Refuses(path) if asks_for(path) => Fate::Unavailable,
            Trouble::Swallows(path) if asks_for(path) => Fate::Lost,
            Trouble::Halts(path) if asks_for(path) => Fate::CutAfter(HALTS_AFTER_BYTES),
            _ => Fate::Pass,
        }
    }
}

/// One of every `of` in a row, at a place that is another one in each row.
fn is_chosen(number: u64, of: u64, seed: u64) -> bool {
    let row = number.checked_div(of).unwrap_or_default();
    // SplitMix64, whose bits are random enough for neighbouring rows to differ.
    let mut bits = seed.wrapping_add(row.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number.checked_rem(of) == (bits ^ (bits >> 31)).checked_rem(of) && of > 0
}

impl FromStr for Trouble {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (word, what) = text.split_once('=').context("a trouble is written as late=100ms")?;
        let of = || -> anyhow::Result<u64> {
            let of = what.strip_prefix("1/").context("how many is written as 1/5")?.parse()?;
            ensure!(of > 0, "one of none is not to be had");
            Ok(of)
        };
        let path = || {
            ensure!(what.starts_with('/'), "a path begins with a slash");
            Ok(what.to_owned())
        };
        Ok(match word {
            "late" => Self::Late(super::spec::milliseconds(what)?),
            "narrow" => Self::Narrow(super::spec::bandwidth(what)?),
            "fails" => Self::Fails(of()?),
            "stalls" => Self::Stalls(of()?),
            "refuses" => Self::Refuses(path()?),
            "swallows" => Self::Swallows(path()?),
            "halts" => Self::Halts(path()?),
            _ => bail!("there are late, narrow, fails, stalls, refuses, swallows and halts"),
        })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late(late) => write!(f, "late={}ms", late.as_secs_f64() * 1e3),
            Self::Narrow(bits) => write!(f, "narrow={}", super::spec::Bandwidth(*bits)),
            Self::Fails(of) => write!(f, "fails=1/{of}"),
            Self::Stalls(of) => write!(f, "stalls=1/{of}"),
            Self::Refuses(path) => write!(f, "refuses={path}"),
            Self::Swallows(path) => write!(f, "swallows={path}"),
            Self::Halts(path) => write!(f, "halts={path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_prints_as_what_parses_to_it() -> anyhow::Result<()> {
        for text in ["late=100ms", "narrow=8Mbit", "fails=1/5", "stalls=1/50", "refuses=/a/", "swallows=/a/"]
        {
            assert_eq!(text.parse::<Trouble>()?.to_string(), text);
        }
        for text in ["", "late", "late=1", "fails=1/0", "fails=5", "halts=bundles", "sulks=/a/"] {
            assert!(text.parse::<Trouble>().is_err(), "{text}");
        }
        Ok(())
    }

    #[test]
    fn one_of_every_five_fails_and_the_same_ones_again_with_the_same_seed() {
        let failed = |seed| {
            let troubled = Troubled::new(Trouble::Fails(5), seed);
            (0..1000).filter(|_| troubled.fate(b"GET / HTTP/1.1\r\n") == Fate::Unavailable).count()
        };
        assert_eq!(failed(1), 200);
        let chosen = |seed| (0..1000).filter(|number| is_chosen(*number, 5, seed)).collect::<Vec<_>>();
        assert_eq!(chosen(1), chosen(1));
        assert_ne!(chosen(1), chosen(2));
    }

    #[test]
    fn a_path_is_looked_for_in_the_question_and_not_behind_it() {
        let troubled = Troubled::new(Trouble::Swallows("/bundles/".to_owned()), 0);
        assert_eq!(troubled.fate(b"GET /a/bundles/1 HTTP/1.1\r\n\r\n"), Fate::Lost);
        assert_eq!(troubled.fate(b"GET /a HTTP/1.1\r\nreferer: /bundles/\r\n\r\n"), Fate::Pass);
    }
}
