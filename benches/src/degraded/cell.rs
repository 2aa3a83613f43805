//! One start, as it is kept.

use serde::{Deserialize, Serialize};

use super::Origin;
use super::start::Start;
use super::way::Way;

/// The figures of one start.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Cell {
    pub(super) image: String,
    pub(super) trouble: String,
    pub(super) way: Way,
    pub(super) line_s: f64,
    pub(super) end_s: f64,
    pub(super) down_bytes: u64,
    pub(super) requests: u64,
}

impl Cell {
    pub(super) fn new(image: &str, origin: &Origin, way: Way, start: &Start) -> Self {
        Self {
            image: image.to_owned(),
            trouble: origin.to_string(),
            way,
            line_s: start.line.as_secs_f64(),
            end_s: start.end.as_secs_f64(),
            down_bytes: start.traffic.down_bytes,
            requests: start.traffic.exchanges,
        }
    }

    /// What its file is called.
    pub(super) fn name(image: &str, origin: &Origin, way: Way, repeat: usize) -> String {
        let trouble = origin.to_string().replace('/', "-");
        format!("{image}.{trouble}.{}.{repeat}", way.word())
    }
}
