//! The shelf of profiles that a host cache is, from the outside.

use std::ops::Range;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use frazil_format::BundleId;
use frazil_store::Reference;
use futures::stream::{StreamExt, TryStreamExt};

use super::HostCache;
use crate::Wanted;
use crate::host::protocol::{Answer, Purpose, Question, SHELVE_PIECE_LEN, SHELVED_PIECE_LEN, Shelved};
use crate::host::{BundleBytes, HeadStart, HostError, ProfileShelf};

/// Pieces of a bundle that are asked for at once, so that the next is on its way while one is opened.
const PIECES_AT_ONCE: usize = 3;

/// What is asked about, in words.
const WHAT: &str = "what is beside a manifest";

impl HostCache {
    async fn shelf(&self, question: Question) -> Result<Answer, HostError> {
        self.ask(question).await.map_err(|failure| failure.into_host(WHAT))
    }

    async fn profiles_for(&self, purpose: Purpose, of: &Reference) -> Result<Option<Bytes>, HostError> {
        let what = Shelved { of: *of, bundle: None };
        match self.shelf(Question::Shelved { what, offset: 0, len: 0, purpose }).await? {
            Answer::Shelved(profiles) => Ok(profiles),
            _ => Err(self.wrong_answer()),
        }
    }

    /// Sends one piece, and waits until it is taken.
    async fn piece(&self, what: Shelved, offset: u64, last: bool, piece: Bytes) -> Result<u64, HostError> {
        let next = offset.saturating_add(piece.len() as u64);
        match self.shelf(Question::Shelve { what, offset, last, piece }).await? {
            Answer::Done => Ok(next),
            _ => Err(self.wrong_answer()),
        }
    }
}

#[async_trait]
impl ProfileShelf for HostCache {
    async fn profiles(&self, of: &Reference) -> Result<Option<Bytes>, HostError> {
        self.profiles_for(Purpose::Reading, of).await
    }

    /// The head stays with the host cache.
    async fn head_start(&self, of: &Reference) -> Result<HeadStart, HostError> {
        Ok(HeadStart { profiles: self.profiles_for(Purpose::Starting, of).await?, head: None })
    }

    async fn put_profiles(&self, of: &Reference, bytes: Bytes) -> Result<(), HostError> {
        let what = Shelved { of: *of, bundle: None };
        let (mut rest, mut offset) = (bytes, 0);
        while rest.len() > SHELVE_PIECE_LEN as usize {
            offset = self.piece(what, offset, false, rest.split_to(SHELVE_PIECE_LEN as usize)).await?;
        }
        self.piece(what, offset, true, rest).await.map(|_| ())
    }

    async fn bundle(
        &self,
        of: &Reference,
        id: &BundleId,
        range: Range<u64>,
    ) -> Result<BundleBytes, HostError> {
        let what = Shelved { of: *of, bundle: Some(*id) };
        let step = u64::from(SHELVED_PIECE_LEN);
        let starts = (range.start..range.end).step_by(SHELVED_PIECE_LEN as usize);
        let pieces: Vec<_> = starts
            .map(|offset| {
                let (host, len) = (self.clone(), range.end.saturating_sub(offset).min(step) as u32);
                async move {
                    match host
                        .shelf(Question::Shelved { what, offset, len, purpose: Purpose::Reading })
                        .await?
                    {
                        Answer::Shelved(Some(part)) if part.len() == len as usize => Ok(part),
                        _ => Err(host.wrong_answer()),
                    }
                }
            })
            .collect();
        Ok(futures::stream::iter(pieces).buffered(PIECES_AT_ONCE).boxed())
    }

    async fn put_bundle(
        &self,
        of: &Reference,
        id: &BundleId,
        mut bytes: BundleBytes,
    ) -> Result<(), HostError> {
        let what = Shelved { of: *of, bundle: Some(*id) };
        // The first piece is empty: a host cache that takes no bundles says so before there is anything.
        self.piece(what, 0, false, Bytes::new()).await?;
        let (mut pending, mut offset) = (BytesMut::new(), 0);
        while let Some(more) = bytes.try_next().await? {
            pending.extend_from_slice(&more);
            while pending.len() > SHELVE_PIECE_LEN as usize {
                let piece = pending.split_to(SHELVE_PIECE_LEN as usize).freeze();
                offset = self.piece(what, offset, false, piece).await?;
            }
        }
        self.piece(what, offset, true, pending.freeze()).await.map(|_| ())
    }

    async fn delete_bundle(&self, of: &Reference, id: &BundleId) -> Result<(), HostError> {
        match self.shelf(Question::Clear(Shelved { of: *of, bundle: Some(*id) })).await? {
            Answer::Done => Ok(()),
            _ => Err(self.wrong_answer()),
        }
    }

    async fn is_near(&self, wanted: &Wanted) -> bool {
        matches!(self.shelf(Question::Near(*wanted)).await, Ok(Answer::Shelved(Some(_))))
    }
}
