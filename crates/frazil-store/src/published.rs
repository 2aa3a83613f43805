//! A directory store that a web server or a CDN publishes: `https://host/path`, read by name and never written.
//!
//! Only GET and HEAD of names that are known are sent: no listing, no WebDAV. So what only a listing can tell
//! (the names of images, the active root) cannot be had from such a store, and asking for it is refused like
//! a write. A URL never holds a secret, and plain `http://` is opened only when its user says so: what is
//! read is verified against ids, but the first of them, in a reference, comes from the server.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{
    ClientOptions, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::StoreError;
use crate::patience::{self, Patience};
use crate::store::PlainHttp;
use crate::throttled::Connector;

/// Where a store is published.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PublishedUrl {
    scheme: Scheme,
    /// Host, port and path, without a slash at the end.
    place: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Scheme {
    Http,
    Https,
}

impl PublishedUrl {
    /// Reads a URL; `None` if its scheme is not one of the web.
    pub(crate) fn parse(scheme: &str, rest: &str) -> Option<Result<Self, &'static str>> {
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        Some(Self::place(rest).map(|place| Self { scheme, place }))
    }

    fn place(rest: &str) -> Result<String, &'static str> {
        let place = rest.trim_end_matches('/');
        let host = place.split('/').next().unwrap_or_default();
        if host.is_empty() || host.starts_with(':') {
            return Err("it names no host");
        }
        if host.contains('@') {
            return Err("a URL with a user or a password in it is not safe to keep");
        }
        if place.contains(['?', '#']) {
            return Err("the objects of a store have no query and no fragment");
        }
        if !place.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it has characters that must be percent-encoded");
        }
        Ok(place.to_owned())
    }

    /// Opens the store for reading.
    pub(crate) fn open(
        &self,
        plain_http: PlainHttp,
        patience: Patience,
        connector: &Connector,
    ) -> Result<Arc<dyn ObjectStore>, StoreError> {
        if self.scheme == Scheme::Http && plain_http == PlainHttp::Refused {
            return Err(StoreError::PlainHttp { location: self.to_string() });
        }
        // Redirects of an https URL to plain http are refused by the same option.
        let is_plain = self.scheme == Scheme::Http;
        // Reading the system's certificates takes longer than a round trip, and none of them would be used.
        let options = ClientOptions::new().with_allow_http(is_plain).with_no_system_certificates(is_plain);
        let mut builder = HttpBuilder::new()
            .with_url(self.to_string())
            .with_client_options(options)
            .with_retry(patience.retries())
            .with_http_connector(connector.clone());
        for (key, value) in patience::client_settings() {
            builder = builder.with_config(key, value);
        }
        let server = builder.build().map_err(|error| StoreError::backend("open", self, error))?;
        Ok(Arc::new(ReadByName(Arc::new(server))))
    }
}

impl fmt::Display for PublishedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}", self.place)
    }
}

/// Why nothing but reading by name works.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the store is published for reading by name")]
pub(crate) struct OnlyRead;

impl OnlyRead {
    /// Whether this is the reason.
    pub(crate) fn is_why(error: &Error) -> bool {
        matches!(error, Error::NotSupported { source } if source.is::<Self>())
    }
}

fn refused<T>() -> Result<T> {
    Err(Error::NotSupported { source: Box::new(OnlyRead) })
}

/// An object store that can only be read, and only by name.
#[derive(Debug)]
struct ReadByName(Arc<dyn ObjectStore>);

impl fmt::Display for ReadByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "read_by_name({})", self.0)
    }
}

#[async_trait]
impl ObjectStore for ReadByName {
    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(path, options).await
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        refused()
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        refused()
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        paths.map(|path| path.and_then(|_| refused())).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::once(async { refused() }).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        refused()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        refused()
    }
}

#[cfg(test)]
mod tests {
    use crate::{StoreError, StoreLocation};

    #[test]
    fn a_published_store_prints_as_what_parses_to_it() {
        for url in ["https://host", "https://cdn.example.org:8443/a/store", "http://[::1]:80/a%20b"] {
            let location: StoreLocation = url.parse().unwrap();
            assert_eq!(location.to_string(), url);
            assert_eq!(location.to_string().parse::<StoreLocation>().unwrap(), location);
        }
        assert_eq!("https://host/p//".parse::<StoreLocation>().unwrap().to_string(), "https://host/p");
    }

    #[test]
    fn what_names_no_published_store_is_refused() {
        for url in
            ["https://", "https:///x", "https://u:p@h/x", "https://h/x?sig=1", "https://h/ü", "https://:1/"]
        {
            let error = url.parse::<StoreLocation>().unwrap_err();
            assert!(matches!(error, StoreError::BadLocation { .. }), "{url}: {error}");
        }
    }
}
