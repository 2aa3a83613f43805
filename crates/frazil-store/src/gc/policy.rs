//! When a root gets on in its life.

use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The ages at which roots get on, all by the store's clock, and how fast objects are deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// The age of the youngest active root at which a new one is made.
    pub new_after: Duration,
    /// How long there must have been a younger active root before an active one is retired: conversions that began
    /// before it end within that time, or begin again.
    pub retire_after: Duration,
    /// How long a root stays retired. Must be longer than any listing of the store is late (those of all stores that
    /// are supported are never late), and should be longer than images stay mounted.
    pub expire_after: Duration,
    /// How long a root stays expired. Must be several times [`crate::ROOT_WATCH_WINDOW`]: it is the time that
    /// its readers have to raise the alarm.
    pub delete_after: Duration,
    /// How long nothing is deleted after an alarm was cleared, which again is for the readers.
    pub quiet: Duration,
    /// The most objects that are deleted in a second.
    pub deletions_per_second: u32,
}

impl Default for Policy {
    /// A root a month, retired a day after its successor was made, expired after a week, deleted after another; ten
    /// minutes of quiet; a thousand deletions a second, a third of what S3 allows for one prefix.
    fn default() -> Self {
        Self {
            new_after: DAY * 30,
            retire_after: DAY,
            expire_after: DAY * 7,
            delete_after: DAY * 7,
            quiet: Duration::from_secs(600),
            deletions_per_second: 1000,
        }
    }
}
