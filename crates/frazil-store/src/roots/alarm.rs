//! The alarm: a root that nobody should read any more was read.
//!
//! Invariant: while it stands nothing is deleted, anywhere in the store. It is one object, which readers create or
//! raise again, and which only a person clears. It lowers nobody's guard at once: for a while after it was cleared
//! nothing is deleted either, so that whoever still reads can raise it again.

use std::time::Duration;

use frazil_format::RootId;

use crate::objects::Swap;
use crate::random::stamp;
use crate::record::{self, Alarm, AlarmState, Found};
use crate::{Store, StoreError, layout};

use super::{Clock, StoreTime};

/// The most attempts to raise or clear it while others do.
const MAX_ATTEMPTS: u32 = 8;

/// What was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    Chunk,
    Manifest,
    Name,
    Mount,
}

impl Access {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Chunk => "chunk",
            Self::Manifest => "manifest",
            Self::Name => "name",
            Self::Mount => "mount",
        }
    }
}

impl Store {
    /// The alarm, and when it was raised or cleared; `None` if there never was one.
    pub async fn alarm(&self) -> Result<Option<(Alarm, StoreTime)>, StoreError> {
        let found = record::find::<Alarm>(self.objects(), &layout::alarm()).await?;
        Ok(found.map(|Found { record, written_ms, .. }| (record, StoreTime::from_ms(written_ms))))
    }

    /// Raises the alarm, unless it stands.
    pub(crate) async fn raise_alarm(&self, root: RootId, access: Access) -> Result<(), StoreError> {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let (access, process) = (access.word().to_owned(), std::process::id());
        for _ in 0..MAX_ATTEMPTS {
            let path = layout::alarm();
            let version = match record::find::<Alarm>(self.objects(), &path).await {
                Ok(Some(Found { record: Alarm { state: AlarmState::Raised, .. }, .. })) => return Ok(()),
                Ok(found) => found.map(|found| found.version),
                // Whatever it says, it stops deletion.
                Err(StoreError::Damaged { .. }) => return Ok(()),
                Err(error) => return Err(error),
            };
            let (host, access) = (host.clone(), access.clone());
            let alarm = Alarm { state: AlarmState::Raised, root, access, host, process, stamp: stamp()? };
            let record = record::encode(&path, alarm)?;
            if let Swap::Done(_) = self.objects().swap(&path, version.as_ref(), record).await? {
                return Ok(());
            }
        }
        Err(StoreError::Contended { path: layout::alarm().to_string() })
    }

    /// Clears the alarm; says which one stood.
    pub async fn clear_alarm(&self) -> Result<Option<Alarm>, StoreError> {
        let path = layout::alarm();
        for _ in 0..MAX_ATTEMPTS {
            let Some(Found { record: alarm, version, .. }) =
                record::find::<Alarm>(self.objects(), &path).await?
            else {
                return Ok(None);
            };
            if alarm.state == AlarmState::Cleared {
                return Ok(None);
            }
            let cleared = Alarm { state: AlarmState::Cleared, stamp: stamp()?, ..alarm.clone() };
            let record = record::encode(&path, cleared)?;
            if let Swap::Done(_) = self.objects().swap(&path, Some(&version), record).await? {
                tracing::info!(root = %alarm.root, host = alarm.host, "cleared the alarm");
                return Ok(Some(alarm));
            }
        }
        Err(StoreError::Contended { path: path.to_string() })
    }

    /// An error while the alarm stands, and for `quiet` after it was cleared.
    pub(crate) async fn require_quiet(&self, quiet: Duration, clock: Clock) -> Result<(), StoreError> {
        let Some((alarm, written)) = self.alarm().await? else { return Ok(()) };
        let is_quiet = match alarm.state {
            AlarmState::Raised => false,
            AlarmState::Cleared => self.time(clock).await?.since(written.0) >= quiet,
        };
        if is_quiet {
            return Ok(());
        }
        Err(StoreError::AlarmStands { root: alarm.root, access: alarm.access, host: alarm.host })
    }
}
