//! Talking to AWS KMS: one POST with a JSON body for each call, signed (SigV4) with the credentials that a store at
//! `s3://` would use.
//!
//! Invariant: what a request or an answer says is never logged, nor part of an error: it may be a key. Buffers of
//! ours are wiped; the HTTP client's are not ours (docs/THREAT-MODEL.md).

use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{ClientOptions, HttpClient, HttpConnector, HttpRequest, ReqwestConnector};
use serde_json::Value;
use zeroize::Zeroize;

use crate::{ErrorClass, StoreError, bucket};

/// How long a call may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// How often a call is made before its caller hears of a failure.
const MAX_ATTEMPTS: u32 = 3;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// The longest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// A region of KMS.
#[derive(Debug)]
pub(crate) struct KmsClient {
    http: HttpClient,
    credentials: AwsCredentialProvider,
    endpoint: String,
    region: String,
}

impl KmsClient {
    /// The region and endpoint that the environment names, unless a key's ARN says otherwise.
    pub(crate) fn open(region: Option<String>) -> Result<Self, StoreError> {
        let bucket::Aws { credentials, region: ambient, endpoint, plain_http } = bucket::aws("KMS")?;
        let region = region.or(ambient).unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = endpoint.unwrap_or_else(|| format!("https://kms.{region}.amazonaws.com"));
        let options = ClientOptions::new().with_allow_http(plain_http).with_timeout(DEADLINE);
        let http = ReqwestConnector::default()
            .connect(&options)
            .map_err(|error| StoreError::backend("reach", &endpoint, error))?;
        let endpoint = format!("{}/", endpoint.trim_end_matches('/'));
        if endpoint.starts_with("http://") && !plain_http {
            return Err(StoreError::PlainHttp { location: endpoint });
        }
        Ok(Self { http, credentials, endpoint, region })
    }

    /// Makes a call, such as `Encrypt`, about a key.
    pub(crate) async fn call(
        &self,
        action: &'static str,
        key: &str,
        mut request: Value,
    ) -> Result<Value, StoreError> {
        let mut body = request.to_string();
        wipe(&mut request);
        let body_bytes = Bytes::copy_from_slice(body.as_bytes());
        body.zeroize();
        let mut outcome = self.attempt(action, key, body_bytes.clone()).await;
        for attempt in 1..MAX_ATTEMPTS {
            match &outcome {
                Err(error) if error.class() == ErrorClass::Transient => {}
                _ => break,
            }
            tokio::time::sleep(PAUSE.saturating_mul(attempt)).await;
            outcome = self.attempt(action, key, body_bytes.clone()).await;
        }
        if let Ok(mut bytes) = body_bytes.try_into_mut() {
            bytes.as_mut().zeroize();
        }
        outcome
    }

    async fn attempt(&self, action: &'static str, key: &str, body: Bytes) -> Result<Value, StoreError> {
        let failed =
            |code: String, class| StoreError::KeyService { action, key: key.to_owned(), code, class };
        let credential = self.credentials.get_credential().await;
        let credential = credential.map_err(|error| failed(error.to_string(), ErrorClass::Denied))?;
        let mut request: HttpRequest = http::Request::post(&self.endpoint)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("TrentService.{action}"))
            .body(body.into())
            .map_err(|error| failed(error.to_string(), ErrorClass::Denied))?;
        AwsAuthorizer::new(&credential, "kms", &self.region)
            .try_authorize(&mut request, None)
            .map_err(|error| failed(error.to_string(), ErrorClass::Denied))?;
        let unreachable = |error: &dyn std::fmt::Display| failed(error.to_string(), ErrorClass::Transient);
        let answer = self.http.execute(request).await.map_err(|error| unreachable(&error))?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(|error| unreachable(&error))?;
        if body.len() > MAX_ANSWER_BYTES {
            return Err(failed("an answer that is too long".to_owned(), ErrorClass::Corrupt));
        }
        let parsed = serde_json::from_slice::<Value>(&body);
        if let Ok(mut bytes) = body.try_into_mut() {
            bytes.as_mut().zeroize();
        }
        match parsed {
            Ok(value) if status.is_success() => Ok(value),
            Ok(value) => {
                let code = value.get("__type").and_then(Value::as_str).unwrap_or(status.as_str());
                let code = code.rsplit('#').next().unwrap_or(code).to_owned();
                let class = class_of(&code, status.as_u16());
                Err(failed(code, class))
            }
            Err(_) => Err(failed(format!("answer {status}"), class_of("", status.as_u16()))),
        }
    }
}

/// What a caller can do about an error of KMS.
fn class_of(code: &str, status: u16) -> ErrorClass {
    match code {
        "NotFoundException" => ErrorClass::NotFound,
        _ if status >= 500 || status == 429 => ErrorClass::Transient,
        "ThrottlingException" | "LimitExceededException" | "DependencyTimeoutException" => {
            ErrorClass::Transient
        }
        _ => ErrorClass::Denied,
    }
}

/// Wipes the plaintext of a request.
fn wipe(request: &mut Value) {
    if let Some(Value::String(plain)) = request.get_mut("Plaintext") {
        plain.zeroize();
    }
}
