//! The user's stored registry credentials, where docker, podman and skopeo keep them.
//!
//! The one place of this module that reads the environment; tests and embedders name their files instead.
//! Invariant: a secret never appears in `Debug` output or in an error.
//! Format: `containers-auth.json(5)`; Docker's `config.json` and its credential helper protocol.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use docker_credential::{CredentialRetrievalError, DockerCredential};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Reference, SourceError};

/// Largest credentials file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// How long a credential helper may take; it may ask a cloud's metadata service.
const HELPER_TIMEOUT: Duration = Duration::from_secs(30);
/// What a credential helper prints when it simply has none; a fixed string of its protocol.
const HELPER_HAS_NONE: &str = "credentials not found";
/// The names under which credentials for Docker Hub are stored, the likeliest first.
const DOCKER_HUB_KEYS: [&str; 4] =
    ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"];

/// The files in which to look for credentials; the first hit wins. Missing files are passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CredentialFiles(Vec<PathBuf>);

/// What proves a user to a registry.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credential {
    Password {
        username: String,
        password: String,
    },
    /// An OAuth2 refresh token.
    IdentityToken(String),
}

/// The part of a credentials file that shows whose credentials it has.
#[derive(Deserialize)]
struct KeysWire {
    auths: Option<HashMap<String, IgnoredAny>>,
    #[serde(rename = "credHelpers")]
    cred_helpers: Option<HashMap<String, IgnoredAny>>,
}

impl CredentialFiles {
    /// These files and no others.
    pub fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(files.into_iter().collect())
    }

    /// The user's files, in skopeo's order: `$REGISTRY_AUTH_FILE` alone if it is set, else podman's
    /// `$XDG_RUNTIME_DIR/containers/auth.json`, then `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`.
    pub fn from_environment() -> Self {
        let dir = |name| std::env::var_os(name).filter(|dir| !dir.is_empty()).map(PathBuf::from);
        if let Some(file) = dir("REGISTRY_AUTH_FILE") {
            return Self(vec![file]);
        }
        let podman = dir("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json"));
        let docker = dir("DOCKER_CONFIG").or_else(|| dir("HOME").map(|home| home.join(".docker")));
        Self(podman.into_iter().chain(docker.map(|dir| dir.join("config.json"))).collect())
    }

    /// The credential for `reference`'s registry as it is stored now; helpers are asked anew each time,
    /// because theirs expire.
    pub(super) async fn find(&self, reference: &Reference) -> Result<Option<Credential>, SourceError> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (files, wanted) = (self.0.clone(), reference.clone());
        // A thread of its own: a helper that hangs must not hold up the end of the runtime.
        std::thread::spawn(move || {
            let found = files.iter().find_map(|file| find_in(file, &wanted).transpose()).transpose();
            drop(sender.send(found));
        });
        match tokio::time::timeout(HELPER_TIMEOUT, receiver).await {
            Ok(found) => found.map_err(|_| SourceError::Cancelled)?,
            Err(_) => Err(SourceError::Credentials {
                host: reference.host().to_owned(),
                path: self.0.first().cloned().unwrap_or_default(),
                reason: format!("the credential helper took over {} s", HELPER_TIMEOUT.as_secs()),
            }),
        }
    }
}

fn find_in(file: &Path, reference: &Reference) -> Result<Option<Credential>, SourceError> {
    let failed = |reason: String| SourceError::Credentials {
        host: reference.host().to_owned(),
        path: file.to_owned(),
        reason,
    };
    let Some(bytes) = read(file).map_err(|error| failed(error.to_string()))? else { return Ok(None) };
    let stored: KeysWire =
        serde_json::from_slice(&bytes).map_err(|error| failed(format!("it is malformed: {error}")))?;
    for key in keys(&stored, reference) {
        match docker_credential::get_credential_from_reader(bytes.as_slice(), &key) {
            Ok(DockerCredential::UsernamePassword(username, password)) => {
                return Ok(Some(Credential::Password { username, password }));
            }
            Ok(DockerCredential::IdentityToken(token)) => return Ok(Some(Credential::IdentityToken(token))),
            Err(CredentialRetrievalError::NoCredentialConfigured) => {}
            Err(CredentialRetrievalError::HelperFailure { stdout, .. })
                if stdout.contains(HELPER_HAS_NONE) => {}
            Err(error) => return Err(failed(reason(error))),
        }
    }
    Ok(None)
}

fn read(file: &Path) -> io::Result<Option<Vec<u8>>> {
    let opened = match std::fs::File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = Vec::new();
    opened.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// The names to look `reference` up by, the most particular first: podman stores credentials for a namespace
/// or repository too. Those are only tried where the file has them, because each try may start a helper.
fn keys(stored: &KeysWire, reference: &Reference) -> Vec<String> {
    let full = format!("{}/{}", reference.host(), reference.repository());
    let parents = full.match_indices('/').skip(1).filter_map(|(end, _)| full.get(..end));
    let mut keys: Vec<String> = parents.map(str::to_owned).collect();
    keys.reverse();
    keys.insert(0, full.clone());
    let has = |key: &String| {
        let in_auths = stored.auths.as_ref().is_some_and(|auths| auths.contains_key(key));
        in_auths || stored.cred_helpers.as_ref().is_some_and(|helpers| helpers.contains_key(key))
    };
    keys.retain(has);
    match reference.host() {
        "docker.io" => {
            let hub = DOCKER_HUB_KEYS.map(str::to_owned);
            let named: Vec<String> = hub.iter().filter(|key| has(key)).cloned().collect();
            keys.extend(if named.is_empty() { hub.into_iter().take(1).collect() } else { named });
        }
        host => keys.push(host.to_owned()),
    }
    keys
}

fn reason(error: CredentialRetrievalError) -> String {
    match error {
        // Its output may hold anything, secrets too.
        CredentialRetrievalError::HelperFailure { helper, .. } => format!("{helper} failed"),
        CredentialRetrievalError::HelperCommunicationError => {
            "the credential helper that it names cannot be run".to_owned()
        }
        CredentialRetrievalError::MalformedHelperResponse => {
            "the credential helper's answer is malformed".to_owned()
        }
        other => other.to_string().to_lowercase(),
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { username, .. } => write!(f, "Password({username}, …)"),
            Self::IdentityToken(_) => f.write_str("IdentityToken(…)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn find(config: &str, reference: &str) -> Result<Option<Credential>, SourceError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config).unwrap();
        let files = CredentialFiles::new(["/nonexistent/config.json".into(), file.path().to_owned()]);
        files.find(&reference.parse().unwrap()).await
    }

    fn password(username: &str, password: &str) -> Option<Credential> {
        Some(Credential::Password { username: username.to_owned(), password: password.to_owned() })
    }

    #[tokio::test]
    async fn the_most_particular_entry_wins() {
        // "me:all" and "me:team".
        let config = r#"{"auths":{"quay.io":{"auth":"bWU6YWxs"},"quay.io/team":{"auth":"bWU6dGVhbQ=="}}}"#;
        assert_eq!(find(config, "quay.io/team/app").await.unwrap(), password("me", "team"));
        assert_eq!(find(config, "quay.io/other").await.unwrap(), password("me", "all"));
        assert_eq!(find(config, "ghcr.io/other").await.unwrap(), None);
    }

    #[tokio::test]
    async fn docker_hub_is_found_under_its_old_name() {
        let config = r#"{"auths":{"https://index.docker.io/v1/":{"identitytoken":"t"}}}"#;
        let found = find(config, "debian").await.unwrap();
        assert_eq!(found, Some(Credential::IdentityToken("t".to_owned())));
        assert!(!format!("{found:?}").contains('t') || !format!("{found:?}").contains("\"t\""));
    }

    #[tokio::test]
    async fn unreadable_credentials_are_an_error_that_names_the_file() {
        for config in ["{", r#"{"auths":{"quay.io":{"auth":"%"}}}"#, r#"{"credsStore":"frazil-has-no-such"}"#]
        {
            let error = find(config, "quay.io/a").await.unwrap_err();
            assert!(matches!(error, SourceError::Credentials { .. }), "{error}");
        }
    }
}
