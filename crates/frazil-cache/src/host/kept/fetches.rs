//! What is fetched into files: once, however many ask.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use frazil_store::ErrorClass;

use super::files::{Files, Outcome};
use crate::host::HostError;
use crate::host::joint::Joint;

/// The fetches that are under way, by the name of the file that keeps what is fetched.
#[derive(Debug)]
pub(in crate::host) struct Fetches {
    files: Files,
    under_way: Arc<Joint<String, Result<Bytes, HostError>>>,
}

impl Fetches {
    pub(in crate::host) fn into(files: Files) -> Self {
        Self { files, under_way: Arc::default() }
    }

    /// What was not found in this file just now: fetched, and kept there. A file that is there meanwhile is taken if
    /// it is not longer than `max_len` bytes and `accepted`. `what` names it, should the fetch end without a word.
    pub(in crate::host) async fn join(
        &self,
        file: String,
        max_len: u64,
        accepted: impl FnOnce(&Bytes) -> bool + Send + 'static,
        fetch: impl Future<Output = Result<Bytes, HostError>> + Send + 'static,
        what: impl FnOnce() -> String,
    ) -> Result<Bytes, HostError> {
        let work = || {
            let (files, file) = (self.files.clone(), file.clone());
            async move {
                // Whoever asks now may have looked just before an earlier fetch ended.
                if let Outcome::Found(bytes) = files.read(&file, max_len).await
                    && accepted(&bytes)
                {
                    return Ok(bytes);
                }
                let bytes = fetch.await?;
                files.write(&file, bytes.clone()).await;
                Ok(bytes)
            }
        };
        self.under_way.join(file.clone(), work).await.unwrap_or_else(|| {
            Err(HostError::remark(what(), ErrorClass::Transient, "the fetch ended without an answer"))
        })
    }
}
