//! Images in a registry.
//!
//! This speaks HTTP directly rather than through a registry client crate, because each of these is needed and
//! no crate has them all: bodies with a bound, a refusal in the middle of a conversion answered with fresh
//! credentials, identity tokens, downloads that resume, and no panic on a malformed token.
//! Format: OCI distribution-spec 1.1.

mod auth;
mod download;
mod http;
mod retry;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, RANGE};
use reqwest::{Response, StatusCode, Url};

pub use retry::RetryPolicy;

use super::document::{ACCEPTED_MANIFESTS, Descriptor, Document, MAX_MANIFEST_BYTES};
use super::resolve::{self, Blobs};
use super::{
    BlobStream, CredentialFiles, Digest, LayerDescriptor, Platform, Reference, ResolvedImage, Source,
    SourceError, SourceOptions, VerifyError, Version,
};
use auth::{Authenticator, Pass, denied};
use http::Http;
use retry::Failure;

const DOCKER_HUB: &str = "docker.io";
/// Docker Hub's API lives under another name than the one that people know.
const DOCKER_HUB_API: &str = "registry-1.docker.io";
const DOCKER_CONTENT_DIGEST: &str = "docker-content-digest";

/// How to speak to a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RegistryAccess {
    /// Over TLS, and never otherwise, wherever a redirect leads.
    #[default]
    Https,
    /// In the clear, credentials included.
    PlainHttp,
}

/// One image of a registry.
pub(super) struct Registry(Arc<Repository>);

/// The repository of an image, and the session with its registry.
struct Repository {
    http: Http,
    reference: Reference,
    auth: Authenticator,
    retry: RetryPolicy,
    /// Whether the registry has granted anything yet; if so, a later refusal is an expired credential.
    granted: AtomicBool,
}

/// What is asked of a repository.
struct Wanted<'a> {
    /// `manifests/…` or `blobs/…`.
    path: &'a str,
    accept: Option<&'static str>,
    /// The first byte to send, if not the blob's first.
    offset: u64,
}

impl Registry {
    pub(super) fn new(reference: Reference, options: &SourceOptions) -> Result<Self, SourceError> {
        let http = Http::new(reference.host(), options)?;
        let auth = Authenticator::new(options.credentials.clone());
        let (retry, granted) = (options.retry.clone(), AtomicBool::new(false));
        Ok(Self(Arc::new(Repository { http, reference, auth, retry, granted })))
    }
}

impl Repository {
    /// Asks until there is an answer of a successful status, or a reason why there is none.
    async fn get(&self, wanted: &Wanted<'_>) -> Result<Response, SourceError> {
        self.retry.run(|| self.try_get(wanted)).await
    }

    /// Asks once, and once more with a new pass if the old one is refused.
    async fn try_get(&self, wanted: &Wanted<'_>) -> Result<Response, Failure> {
        let pass = self.auth.pass().await;
        let response = self.send(wanted, &pass).await?;
        if !self.is_refusal(response.status()) || !self.is_own(response.url()) {
            return self.granted(response, wanted).await;
        }
        let headers = response.headers().clone();
        drop(response);
        let renewed = self.auth.renew(&self.http, &self.retry, &self.reference, &pass, &headers).await;
        renewed.map_err(Failure::last)?;
        let pass = self.auth.pass().await;
        let response = self.send(wanted, &pass).await?;
        match response.status() {
            _ if !self.is_own(response.url()) => self.granted(response, wanted).await,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let detail = self.http.message(response).await;
                Err(Failure::last(denied(&self.http, &self.reference, pass.stored(), detail)))
            }
            _ => self.granted(response, wanted).await,
        }
    }

    /// Whether new credentials could change the answer: some registries answer 403 to expired ones.
    fn is_refusal(&self, status: StatusCode) -> bool {
        let granted = self.granted.load(Ordering::Relaxed);
        status == StatusCode::UNAUTHORIZED || (status == StatusCode::FORBIDDEN && granted)
    }

    /// Whether an answer from here is the registry's own. A host that it redirects to may ask for credentials
    /// as much as it likes: only the registry gets them, and only the registry may say where its tokens come
    /// from.
    fn is_own(&self, url: &Url) -> bool {
        let own = Url::parse(&format!("{}://{}/", self.http.scheme(), self.api_host()));
        own.is_ok_and(|own| own.origin() == url.origin())
    }

    /// The error of a redirect's target that wants credentials.
    async fn refused_elsewhere(&self, response: Response, wanted: &Wanted<'_>) -> Failure {
        let host = response.url().host_str().unwrap_or("nowhere").to_owned();
        let host = response.url().port().map_or(host.clone(), |port| format!("{host}:{port}"));
        let (status, repository) = (response.status().as_u16(), self.reference.repository());
        let what = format!("{repository}/{}, which the registry sent us there for", wanted.path);
        let detail = self.http.message(response).await;
        Failure::last(SourceError::Status { host, what, status, detail })
    }

    async fn granted(&self, response: Response, wanted: &Wanted<'_>) -> Result<Response, Failure> {
        if response.status().is_success() {
            self.granted.store(true, Ordering::Relaxed);
            return Ok(response);
        }
        let wants_credentials = matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if wants_credentials && !self.is_own(response.url()) {
            return Err(self.refused_elsewhere(response, wanted).await);
        }
        let what = format!("{}/{}", self.reference.repository(), wanted.path);
        Err(self.http.refusal(response, &what).await)
    }

    fn api_host(&self) -> &str {
        match self.reference.host() {
            DOCKER_HUB => DOCKER_HUB_API,
            host => host,
        }
    }

    async fn send(&self, wanted: &Wanted<'_>, pass: &Pass) -> Result<Response, Failure> {
        let (scheme, host, repository) = (self.http.scheme(), self.api_host(), self.reference.repository());
        let url = format!("{scheme}://{host}/v2/{repository}/{}", wanted.path);
        // A blob is hashed as it is stored; no proxy may compress it once more.
        let mut request = self.http.client().get(url).header(ACCEPT_ENCODING, "identity");
        if let Some(accept) = wanted.accept {
            request = request.header(ACCEPT, accept);
        }
        if wanted.offset > 0 {
            request = request.header(RANGE, format!("bytes={}-", wanted.offset));
        }
        self.http.send(pass.apply(request)).await
    }

    /// A manifest with its digest and the type that it was announced as.
    async fn manifest(&self, version: &Version) -> Result<(Vec<u8>, Digest, Option<String>), SourceError> {
        let path = match version {
            Version::Tag(tag) => format!("manifests/{tag}"),
            Version::Digest(digest) => format!("manifests/{digest}"),
        };
        let wanted = Wanted { path: &path, accept: Some(ACCEPTED_MANIFESTS), offset: 0 };
        // The body is part of what is repeated: a connection may break after the head.
        let fetch = || async {
            let response = self.try_get(&wanted).await?;
            let headers = response.headers().clone();
            Ok((self.http.body(response, "manifest", MAX_MANIFEST_BYTES).await?, headers))
        };
        let (bytes, headers) = self.retry.run(fetch).await?;
        let actual = Digest::of(&bytes);
        let promised = match version {
            Version::Digest(digest) => Some(*digest),
            Version::Tag(_) => text(&headers, DOCKER_CONTENT_DIGEST).and_then(|text| text.parse().ok()),
        };
        match promised {
            Some(expected) if expected != actual => Err(SourceError::Corrupt {
                what: "manifest",
                name: format!("{}{version}", self.reference.repository()),
                source: VerifyError::Digest { expected, actual },
            }),
            _ => Ok((bytes, actual, text(&headers, CONTENT_TYPE.as_str()))),
        }
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

#[async_trait]
impl Blobs for Registry {
    async fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, SourceError> {
        resolve::check_size(descriptor, "manifest", MAX_MANIFEST_BYTES)?;
        Ok(self.0.manifest(&Version::Digest(descriptor.digest)).await?.0)
    }

    async fn blob(&self, digest: Digest, size: u64) -> Result<BlobStream, SourceError> {
        download::start(Arc::clone(&self.0), digest, size).await
    }
}

#[async_trait]
impl Source for Registry {
    async fn resolve(&self, platform: &Platform) -> Result<ResolvedImage, SourceError> {
        let (bytes, digest, announced) = self.0.manifest(self.0.reference.version()).await?;
        let document = Document::parse(&bytes, &digest, announced.as_deref())?;
        resolve::resolve(self, document, digest, platform).await
    }

    async fn layer(&self, layer: &LayerDescriptor) -> Result<BlobStream, SourceError> {
        match (layer.digest, layer.size) {
            (Some(digest), Some(size)) => self.blob(digest, size).await,
            _ => Err(SourceError::NotOfThisSource { index: layer.index }),
        }
    }
}
