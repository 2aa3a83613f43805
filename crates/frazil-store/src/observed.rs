//! A decorator that counts what an object store is asked, and keeps the access log.
//!
//! Invariant: one line and one count per request, whatever came of it. A get's bytes are those that were
//! answered for, which are known before the body is read.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::access_log::{AccessLog, Line, Outcome};
use crate::requests::{Operation, Requests};

/// Where requests are recorded.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) requests: Arc<Requests>,
    pub(crate) log: Option<Arc<AccessLog>>,
}

impl Record {
    fn write<T>(&self, op: Operation, path: &str, bytes: u64, result: &Result<T>, started: Instant) {
        self.requests.count(op, bytes);
        if let Some(log) = &self.log {
            let us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            log.append(&Line { op, path, bytes, outcome: outcome(result), us });
        }
    }
}

fn outcome<T>(result: &Result<T>) -> Outcome {
    match result {
        Ok(_) => Outcome::Ok,
        Err(object_store::Error::NotFound { .. }) => Outcome::NotFound,
        Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
            Outcome::Exists
        }
        Err(_) => Outcome::Failed,
    }
}

/// An object store that is being recorded.
#[derive(Debug)]
pub(crate) struct Observed {
    inner: Arc<dyn ObjectStore>,
    record: Record,
}

impl Observed {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, record: Record) -> Self {
        Self { inner, record }
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "observed({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Observed {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let started = Instant::now();
        let len = payload.content_length() as u64;
        let result = self.inner.put_opts(path, payload, options).await;
        let bytes = if result.is_ok() { len } else { 0 };
        self.record.write(Operation::Put, path.as_ref(), bytes, &result, started);
        result
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let started = Instant::now();
        let result = self.inner.put_multipart_opts(path, options).await;
        self.record.write(Operation::Put, path.as_ref(), 0, &result, started);
        result
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let started = Instant::now();
        let operation = if options.head { Operation::Head } else { Operation::Get };
        let result = self.inner.get_opts(path, options).await;
        let bytes = match (&result, operation) {
            (Ok(answer), Operation::Get) => answer.range.end.saturating_sub(answer.range.start),
            _ => 0,
        };
        self.record.write(operation, path.as_ref(), bytes, &result, started);
        result
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let record = self.record.clone();
        let started = Instant::now();
        self.inner
            .delete_stream(paths)
            .inspect(move |result| {
                let path = result.as_ref().map(AsRef::as_ref).unwrap_or_default();
                record.write(Operation::Delete, path, 0, result, started);
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix_text = prefix.map(AsRef::as_ref).unwrap_or_default();
        self.record.write(Operation::List, prefix_text, 0, &Ok(()), Instant::now());
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let started = Instant::now();
        let result = self.inner.list_with_delimiter(prefix).await;
        let prefix = prefix.map(AsRef::as_ref).unwrap_or_default();
        self.record.write(Operation::List, prefix, 0, &result, started);
        result
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let started = Instant::now();
        let result = self.inner.copy_opts(from, to, options).await;
        self.record.write(Operation::Copy, to.as_ref(), 0, &result, started);
        result
    }
}
