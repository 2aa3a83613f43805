//! Proving the user to a registry: Basic, or a Bearer token from the token server that the registry names.
//!
//! The registry is first asked anonymously; its challenge tells what it wants. Tokens live for minutes, so
//! any later refusal leads here again, and stored credentials are looked up anew. If many layers are refused
//! at once, there is one renewal for all.
//! Format: RFC 7235; distribution's "Token Authentication Specification" and "OAuth2 Token Authentication".

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::http::Http;
use super::retry::{Failure, RetryPolicy};
use super::{CredentialFiles, Reference, SourceError};
use crate::source::credentials::Credential;
use crate::source::document::from_json;

/// Largest answer of a token server, in bytes.
const MAX_TOKEN_BYTES: u64 = 1 << 20;
const CLIENT_ID: &str = "frazil";

/// How requests to one repository are authorised, now.
pub(super) struct Authenticator {
    credentials: CredentialFiles,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Counts renewals, so that one refusal is answered by one.
    generation: u64,
    authorization: Authorization,
    /// The registry's last challenge: some refuse an expired credential without one.
    challenge: Option<Challenge>,
}

#[derive(Clone, Default)]
enum Authorization {
    #[default]
    Anonymous,
    Basic {
        username: String,
        password: String,
    },
    Bearer {
        token: HeaderValue,
        /// Whether it was got with the credential that is stored.
        with_credential: bool,
    },
}

/// An authorization to use, and to complain about if it is refused.
#[derive(Clone)]
pub(super) struct Pass {
    generation: u64,
    authorization: Authorization,
}

#[derive(Clone)]
enum Challenge {
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

#[derive(Deserialize)]
struct TokenWire {
    token: Option<String>,
    access_token: Option<String>,
}

impl Pass {
    pub(super) fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.authorization {
            Authorization::Anonymous => request,
            Authorization::Basic { username, password } => request.basic_auth(username, Some(password)),
            Authorization::Bearer { token, .. } => request.header(AUTHORIZATION, token.clone()),
        }
    }
}

impl Authenticator {
    pub(super) fn new(credentials: CredentialFiles) -> Self {
        Self { credentials, state: Mutex::default() }
    }

    pub(super) async fn pass(&self) -> Pass {
        let state = self.state.lock().await;
        Pass { generation: state.generation, authorization: state.authorization.clone() }
    }

    /// Replaces `refused`, unless another request already did. The headers must be the registry's own, and
    /// not those of a host that it redirected to.
    pub(super) async fn renew(
        &self,
        http: &Http,
        retry: &RetryPolicy,
        reference: &Reference,
        refused: &Pass,
        headers: &HeaderMap,
    ) -> Result<(), SourceError> {
        let mut state = self.state.lock().await;
        if state.generation != refused.generation {
            return Ok(());
        }
        let Some(challenge) = challenge(headers).or_else(|| state.challenge.clone()) else {
            return Err(denied(http, reference, Stored::Unknown, String::new()));
        };
        let credential = self.credentials.find(reference).await?;
        state.authorization = match (&challenge, credential) {
            (Challenge::Basic, Some(Credential::Password { username, password })) => {
                Authorization::Basic { username, password }
            }
            (Challenge::Basic, other) => {
                let stored = if other.is_some() { Stored::Unfit } else { Stored::None };
                return Err(denied(http, reference, stored, String::new()));
            }
            (Challenge::Bearer { realm, service }, credential) => {
                if !http.may_speak_to(realm) {
                    return Err(http.protocol("its token server is not reached over https"));
                }
                let service = service.as_deref();
                let ask = || token(http, reference, realm, service, credential.as_ref());
                Authorization::Bearer { token: retry.run(ask).await?, with_credential: credential.is_some() }
            }
        };
        state.generation = state.generation.wrapping_add(1);
        state.challenge = Some(challenge);
        Ok(())
    }
}

/// What is stored for a registry that refused.
#[derive(Clone, Copy)]
pub(super) enum Stored {
    None,
    Unfit,
    Refused,
    Unknown,
}

pub(super) fn denied(http: &Http, reference: &Reference, stored: Stored, detail: String) -> SourceError {
    SourceError::Denied {
        host: http.host().to_owned(),
        repository: reference.repository().to_owned(),
        credentials: match stored {
            Stored::None => "without credentials, and none are stored",
            Stored::Unfit => "with a password, but an identity token is stored",
            Stored::Refused => "with the stored credentials",
            Stored::Unknown => "and does not say which credentials it wants",
        },
        detail,
    }
}

impl Pass {
    /// Which credentials were refused with this pass.
    pub(super) fn stored(&self) -> Stored {
        match self.authorization {
            Authorization::Anonymous | Authorization::Bearer { with_credential: false, .. } => Stored::None,
            Authorization::Basic { .. } | Authorization::Bearer { .. } => Stored::Refused,
        }
    }
}

/// The challenge to answer: a token is preferred to sending the password each time.
fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let mut basic = None;
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let Ok(text) = value.to_str() else { continue };
        for challenge in http_auth::parser::ChallengeParser::new(text).flatten() {
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            }
            if challenge.scheme.eq_ignore_ascii_case("bearer") {
                let parameter = |name: &str| {
                    let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                    found.map(|(_, value)| value.to_unescaped())
                };
                let realm = parameter("realm").and_then(|realm| Url::parse(&realm).ok());
                if let Some(realm) = realm {
                    return Some(Challenge::Bearer { realm, service: parameter("service") });
                }
            }
        }
    }
    basic
}

/// One try to get a token to pull from the repository.
async fn token(
    http: &Http,
    reference: &Reference,
    realm: &Url,
    service: Option<&str>,
    credential: Option<&Credential>,
) -> Result<HeaderValue, Failure> {
    let response = http.send(token_request(http, reference, realm, service, credential)).await?;
    match response.status() {
        status if status.is_success() => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
            let stored = if credential.is_some() { Stored::Refused } else { Stored::None };
            return Err(Failure::last(denied(http, reference, stored, http.message(response).await)));
        }
        _ => return Err(http.refusal(response, "a token").await),
    }
    bearer(http, response).await
}

fn token_request(
    http: &Http,
    reference: &Reference,
    realm: &Url,
    service: Option<&str>,
    credential: Option<&Credential>,
) -> RequestBuilder {
    let scope = format!("repository:{}:pull", reference.repository());
    let query = |mut url: Url, more: &[(&str, &str)]| {
        url.query_pairs_mut()
            .extend_pairs(service.map(|service| ("service", service)))
            .append_pair("scope", &scope)
            .extend_pairs(more);
        url
    };
    match credential {
        Some(Credential::IdentityToken(token)) => {
            let mut empty = realm.clone();
            empty.set_query(None);
            let form = query(
                empty,
                &[("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", CLIENT_ID)],
            );
            http.client()
                .post(realm.clone())
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.query().unwrap_or_default().to_owned())
        }
        Some(Credential::Password { username, password }) => {
            http.client().get(query(realm.clone(), &[])).basic_auth(username, Some(password))
        }
        None => http.client().get(query(realm.clone(), &[])),
    }
}

async fn bearer(http: &Http, response: Response) -> Result<HeaderValue, Failure> {
    let body = http.body(response, "token", MAX_TOKEN_BYTES).await?;
    let wire: TokenWire =
        from_json(&body, "token", &format!("of registry {}", http.host())).map_err(Failure::last)?;
    let token = wire.token.or(wire.access_token).filter(|token| !token.is_empty());
    let header = token.and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
    let mut header =
        header.ok_or_else(|| Failure::last(http.protocol("its token server's answer has no token")))?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge_of(values: &[&'static str]) -> Option<Challenge> {
        let values = values.iter().map(|value| (WWW_AUTHENTICATE, HeaderValue::from_static(value)));
        challenge(&values.collect())
    }

    #[test]
    fn the_challenges_of_registries_are_understood() {
        let bearer = challenge_of(&[
            "Basic realm=\"x\"",
            "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"a,b\"",
        ]);
        let Some(Challenge::Bearer { realm, service }) = bearer else { panic!("no bearer") };
        assert_eq!(realm.as_str(), "https://auth.docker.io/token");
        assert_eq!(service.as_deref(), Some("registry.docker.io"));
        assert!(matches!(challenge_of(&["basic realm=x"]), Some(Challenge::Basic)));
        assert!(challenge_of(&["Bearer realm=\"no url\""]).is_none());
        assert!(challenge_of(&["Negotiate", ",,=", ""]).is_none());
    }
}
