//! A store that says when to come back: `Retry-After`, which the object store crate does not pass on.
//!
//! Its connector is ours, and turns an answer 429 or 503 that carries the header into an error that carries the time.
//! Other answers pass as they are.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpService, ReqwestConnector,
};

use crate::causes;

/// A store has too much to do, and says for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the store answers {status}, and asks to come back in {} s", after.as_secs())]
pub(crate) struct Throttled {
    /// The HTTP status.
    pub(crate) status: u16,
    /// How long to leave it alone.
    pub(crate) after: Duration,
}

impl Throttled {
    /// The [`Throttled`] at the bottom of an error's chain.
    pub(crate) fn in_chain(error: &(dyn Error + 'static)) -> Option<Self> {
        causes(error).find_map(|error| error.downcast_ref::<Self>().copied())
    }

    fn by(answer: &HttpResponse) -> Option<Self> {
        let status = answer.status().as_u16();
        if status != 429 && status != 503 {
            return None;
        }
        // The header may also be a date, which needs two clocks that agree: such a store gets the usual backoff.
        let seconds = answer.headers().get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
        Some(Self { status, after: Duration::from_secs(seconds) })
    }
}

/// Makes HTTP clients that notice a store's wish to be left alone: one for all who want it to be alike, so that a
/// chunk is asked for on the connection that a manifest came over.
#[derive(Clone, Default, Debug)]
pub(crate) struct Connector(Arc<Mutex<HashMap<String, HttpClient>>>);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let alike = format!("{options:?}");
        if let Some(client) = clients.get(&alike) {
            return Ok(client.clone());
        }
        let client = HttpClient::new(Noticing(ReqwestConnector::default().connect(options)?));
        clients.insert(alike, client.clone());
        Ok(client)
    }
}

#[derive(Debug)]
struct Noticing(HttpClient);

#[async_trait]
impl HttpService for Noticing {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = self.0.execute(request).await?;
        match Throttled::by(&answer) {
            // "Request" is the kind that is retried where retries are on.
            Some(throttled) => Err(HttpError::new(HttpErrorKind::Request, throttled)),
            None => Ok(answer),
        }
    }
}
