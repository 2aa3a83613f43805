//! A long object on its way into a store, part by part.
//!
//! Invariant: what is not finished is taken back. The parts that a bucket has already would otherwise stay there, paid
//! for and in no listing.

use bytes::Bytes;
use object_store::{Error, WriteMultipart};
use tokio::runtime::Handle;

/// An upload that is given up when it is dropped.
pub(crate) struct LongUpload(Option<WriteMultipart>);

impl LongUpload {
    pub(crate) fn new(upload: WriteMultipart) -> Self {
        Self(Some(upload))
    }

    /// Adds what follows, as soon as fewer than `parts_at_once` parts are on their way.
    pub(crate) async fn put(&mut self, bytes: Bytes, parts_at_once: usize) -> Result<(), Error> {
        if let Some(upload) = &mut self.0 {
            upload.wait_for_capacity(parts_at_once).await?;
            upload.put(bytes);
        }
        Ok(())
    }

    /// All of it is there now.
    pub(crate) async fn finish(mut self) -> Result<(), Error> {
        let Some(upload) = self.0.take() else { return Ok(()) };
        // A task of its own, which takes the parts back if it fails: so it does for a caller that has given up, too.
        tokio::spawn(upload.finish()).await?.map(drop)
    }
}

impl Drop for LongUpload {
    fn drop(&mut self) {
        if let Some(upload) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move {
                if let Err(error) = upload.abort().await {
                    tracing::debug!(%error, "cannot take back the parts of an object");
                }
            });
        }
    }
}
