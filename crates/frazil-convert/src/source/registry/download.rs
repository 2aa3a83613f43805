//! A blob's bytes from a registry, through broken connections.
//!
//! When a body ends early or goes silent, the rest is asked for by range; a registry that ignores the range
//! has its first bytes passed over. Invariant: the stream gives the blob's bytes in order and once, or an
//! error. Whether they are the right ones is [`Verified`](crate::source::Verified)'s business.

use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures::stream::try_unfold;
use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};
use tokio_util::io::StreamReader;

use super::{BlobStream, Digest, Repository, SourceError, Wanted};

/// The most times in a row that one blob's download may break with hardly anything coming in between.
const MAX_BREAKS: u32 = 16;

/// This many bytes between two breaks count as progress.
const PROGRESS: u64 = 1 << 20;

struct Download {
    repository: Arc<Repository>,
    digest: Digest,
    size: u64,
    /// Bytes that were handed out.
    offset: u64,
    /// Bytes of the current body that an earlier body has handed out already.
    skip: u64,
    body: Option<Response>,
    breaks: u32,
    /// Where the last body broke.
    broke_at: u64,
}

/// Starts a download: a blob that is not there is an error here, not in the stream.
pub(super) async fn start(
    repository: Arc<Repository>,
    digest: Digest,
    size: u64,
) -> Result<BlobStream, SourceError> {
    let mut download =
        Download { repository, digest, size, offset: 0, skip: 0, body: None, breaks: 0, broke_at: 0 };
    download.request().await?;
    let stream = try_unfold(download, |mut download| async {
        let next = download.next().await.map_err(io::Error::from)?;
        Ok::<_, io::Error>(next.map(|bytes| (bytes, download)))
    });
    Ok(Box::new(StreamReader::new(Box::pin(stream))))
}

impl Download {
    /// The next bytes; `None` when all have come.
    async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        while self.offset < self.size {
            let Some(mut body) = self.body.take() else {
                self.resume().await?;
                continue;
            };
            match self.repository.http.chunk(&mut body).await {
                Ok(Some(mut bytes)) => {
                    self.body = Some(body);
                    let known = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                    bytes.advance(known);
                    self.skip -= known as u64;
                    self.offset = self.offset.saturating_add(bytes.len() as u64);
                    if !bytes.is_empty() {
                        return Ok(Some(bytes));
                    }
                }
                Ok(None) => tracing::debug!(digest = %self.digest, self.offset, "a body ended early"),
                Err(failure) => {
                    tracing::debug!(digest = %self.digest, self.offset, error = %failure.error, "a body broke");
                }
            }
        }
        Ok(None)
    }

    /// Asks for the rest, after a pause that grows with the breaks.
    async fn resume(&mut self) -> Result<(), SourceError> {
        if self.offset.saturating_sub(self.broke_at) >= PROGRESS {
            self.breaks = 0;
        }
        self.broke_at = self.offset;
        self.breaks += 1;
        if self.breaks > MAX_BREAKS {
            let (digest, breaks, offset) = (self.digest, self.breaks, self.offset);
            return Err(SourceError::Broken { digest, breaks, offset });
        }
        tokio::time::sleep(self.repository.retry.backoff(self.breaks)).await;
        self.request().await
    }

    async fn request(&mut self) -> Result<(), SourceError> {
        let path = format!("blobs/{}", self.digest);
        let wanted = Wanted { path: &path, accept: None, offset: self.offset };
        let response = self.repository.get(&wanted).await?;
        self.skip = match response.status() {
            StatusCode::PARTIAL_CONTENT if self.offset > 0 => {
                if first_byte(&response) != Some(self.offset) {
                    return Err(self.repository.http.protocol("it sent another range than it was asked for"));
                }
                0
            }
            StatusCode::OK => self.offset,
            status => {
                let reason = format!("it answered {} to a request for a blob", status.as_u16());
                return Err(self.repository.http.protocol(reason));
            }
        };
        self.body = Some(response);
        Ok(())
    }
}

/// `FIRST` of `Content-Range: bytes FIRST-LAST/SIZE`.
fn first_byte(response: &Response) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}
