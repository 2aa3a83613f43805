//! HTTP towards one registry: time limits, bounded bodies, and what a status means.
//!
//! Invariant: no call waits without a limit, and no body is kept without one.
//! Format: OCI distribution-spec 1.1, "API" and "Error Codes".

use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use super::retry::{Again, Failure};
use super::{RegistryAccess, SourceError, SourceOptions};

/// Redirects that are followed: a registry sends blobs' readers to its object store.
const MAX_REDIRECTS: usize = 10;
/// Largest error body that is looked into, in bytes.
const MAX_ERROR_BYTES: u64 = 64 << 10;
/// Largest file of root certificates, in bytes; the system's own bundles have about 200 KiB.
const MAX_PEM_BYTES: u64 = 8 << 20;
/// Longest message of a registry that is shown, in characters.
const MAX_MESSAGE_CHARS: usize = 300;

/// A client of one registry.
pub(super) struct Http {
    client: Client,
    host: String,
    access: RegistryAccess,
    timeout: Duration,
}

#[derive(Deserialize)]
struct ErrorsWire {
    errors: Option<Vec<ErrorWire>>,
}

#[derive(Deserialize)]
struct ErrorWire {
    code: Option<String>,
    message: Option<String>,
}

impl Http {
    pub(super) fn new(host: &str, options: &SourceOptions) -> Result<Self, SourceError> {
        let (access, timeout) = (options.access, options.retry.timeout);
        let roots = roots(&options.root_certificates)?;
        let builder = || {
            Client::builder()
                .connect_timeout(timeout)
                .redirect(reqwest::redirect::Policy::limited(MAX_REDIRECTS))
                .referer(false)
                .tls_certs_merge(roots.clone())
                .user_agent(concat!("frazil/", env!("CARGO_PKG_VERSION")))
                // Not even a redirect or a token server may lead out of TLS unless plain HTTP was asked for.
                .https_only(access == RegistryAccess::Https)
        };
        let client = match (builder().build(), access) {
            // Plain HTTP works on a machine that has no root certificates.
            (Err(_), RegistryAccess::PlainHttp) => builder().tls_certs_only([]).build(),
            (built, _) => built,
        };
        let client = client.map_err(|source| SourceError::HttpClient { source })?;
        Ok(Self { client, host: host.to_owned(), access, timeout })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn scheme(&self) -> &'static str {
        match self.access {
            RegistryAccess::Https => "https",
            RegistryAccess::PlainHttp => "http",
        }
    }

    /// Whether credentials may be sent there: over TLS, or in the clear if that was asked for.
    pub(super) fn may_speak_to(&self, url: &Url) -> bool {
        match url.scheme() {
            "https" => true,
            "http" => self.access == RegistryAccess::PlainHttp,
            _ => false,
        }
    }

    /// Sends a request and waits for the answer's head, whatever its status.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        match tokio::time::timeout(self.timeout, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.failure(error)),
            Err(_) => Err(Failure::transient(self.timed_out())),
        }
    }

    /// The next piece of a body; `None` at its end.
    pub(super) async fn chunk(&self, response: &mut Response) -> Result<Option<bytes::Bytes>, Failure> {
        match tokio::time::timeout(self.timeout, response.chunk()).await {
            Ok(chunk) => chunk.map_err(|error| self.failure(error)),
            Err(_) => Err(Failure::transient(self.timed_out())),
        }
    }

    /// A whole small body of at most `limit` bytes.
    pub(super) async fn body(
        &self,
        mut response: Response,
        what: &'static str,
        limit: u64,
    ) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk(&mut response).await? {
            let size = (body.len() as u64).saturating_add(chunk.len() as u64);
            if size > limit {
                let name = format!("of registry {}", self.host);
                return Err(Failure::last(SourceError::TooLarge { what, name, size, limit }));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// What an answer with an error status means for a request for `what`.
    pub(super) async fn refusal(&self, response: Response, what: &str) -> Failure {
        let status = response.status();
        let again = match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                retry_after(response.headers()).map_or(Again::Backoff, Again::After)
            }
            StatusCode::REQUEST_TIMEOUT => Again::Backoff,
            status if status.is_server_error() => Again::Backoff,
            _ => Again::Never,
        };
        let detail = self.message(response).await;
        let (host, what, status_code) = (self.host.clone(), what.to_owned(), status.as_u16());
        let error = match status {
            StatusCode::NOT_FOUND => SourceError::NotInRegistry { host, what },
            _ => SourceError::Status { host, what, status: status_code, detail },
        };
        Failure { error, again }
    }

    /// What the registry says about an error, as `: text`, or nothing.
    pub(super) async fn message(&self, response: Response) -> String {
        let body = self.body(response, "error", MAX_ERROR_BYTES).await.unwrap_or_default();
        let errors = serde_json::from_slice::<ErrorsWire>(&body).ok().and_then(|wire| wire.errors);
        let Some(first) = errors.and_then(|errors| errors.into_iter().next()) else { return String::new() };
        let text = first.message.filter(|text| !text.is_empty()).or(first.code).unwrap_or_default();
        let printable = text.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE_CHARS);
        format!(": {}", printable.collect::<String>())
    }

    pub(super) fn protocol(&self, reason: impl Into<String>) -> SourceError {
        SourceError::Protocol { host: self.host.clone(), reason: reason.into() }
    }

    fn timed_out(&self) -> SourceError {
        SourceError::Timeout { host: self.host.clone(), seconds: self.timeout.as_secs() }
    }

    fn failure(&self, error: reqwest::Error) -> Failure {
        if error.is_timeout() {
            return Failure::transient(self.timed_out());
        }
        if error.is_builder() || error.is_redirect() {
            let host = error.url().and_then(|url| url.host_str()).unwrap_or("nowhere").to_owned();
            return Failure::last(
                self.protocol(format!("it leads to {host}, by a URL that may not be followed")),
            );
        }
        // A redirect's URL may be signed: it is as good as a password for a while.
        let (host, access) = (self.host.clone(), self.access);
        Failure::transient(SourceError::Unreachable { host, access, source: error.without_url() })
    }
}

fn roots(files: &[PathBuf]) -> Result<Vec<Certificate>, SourceError> {
    let mut roots = Vec::new();
    for path in files {
        let failed = |source| SourceError::Io { path: path.clone(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        let mut pem = Vec::new();
        file.take(MAX_PEM_BYTES).read_to_end(&mut pem).map_err(failed)?;
        let read = Certificate::from_pem_bundle(&pem);
        roots.extend(read.map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))?);
    }
    Ok(roots)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_leave_tls_only_where_plain_http_was_asked_for() {
        let may = |access, url: &str| {
            let options = SourceOptions { access, ..SourceOptions::default() };
            Http::new("registry.example", &options).unwrap().may_speak_to(&Url::parse(url).unwrap())
        };
        assert!(may(RegistryAccess::Https, "https://auth.example/token"));
        assert!(!may(RegistryAccess::Https, "http://registry.example/token"));
        assert!(!may(RegistryAccess::Https, "ftp://registry.example/token"));
        assert!(may(RegistryAccess::PlainHttp, "http://registry.example/token"));
        assert!(!may(RegistryAccess::PlainHttp, "file:///token"));
    }
}
