//! A profile of AWS's shared files, `~/.aws/credentials` and `~/.aws/config`, which the object store crate does not
//! read.
//!
//! Invariant: the credentials are those that the files hold now. The files are looked at before each request
//! (one stat(2) each) and read again when they have changed, so a rotated key needs no restart. Static keys
//! and session tokens, `region` and `endpoint_url` are understood; what runs programs or asks services
//! (`credential_process`, `role_arn`, SSO) is not, and says so. The variables are AWS's own: `AWS_PROFILE`,
//! `AWS_SHARED_CREDENTIALS_FILE`, `AWS_CONFIG_FILE`.

use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use object_store::aws::AwsCredential;
use object_store::{CredentialProvider, Error};

/// The longest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A profile by its name, and the files that may describe it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Profile {
    name: String,
    credentials: PathBuf,
    config: PathBuf,
}

impl Profile {
    /// The profile that these variables choose; `None` without a home directory.
    pub(crate) fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let home = variable("HOME").map(|home| PathBuf::from(home).join(".aws"));
        let file = |name, default| {
            variable(name).map(PathBuf::from).or_else(|| home.as_ref().map(|home| home.join(default)))
        };
        Some(Self {
            name: variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned()),
            credentials: file("AWS_SHARED_CREDENTIALS_FILE", "credentials")?,
            config: file("AWS_CONFIG_FILE", "config")?,
        })
    }

    /// A setting of the profile, such as `region`.
    pub(crate) fn setting(&self, name: &str) -> Option<String> {
        self.read().settings.remove(name)
    }

    /// Whether the files hold a key for the profile now.
    pub(crate) fn has_key(&self) -> bool {
        self.read().credential().is_some()
    }

    /// Everything that the files say about the profile. A file that cannot be read says nothing.
    fn read(&self) -> Settings {
        let mut settings = HashMap::new();
        for (path, prefix) in [(&self.config, "profile "), (&self.credentials, "")] {
            let text = read_bounded(path).unwrap_or_default();
            settings.extend(section(&text, |header| {
                let named = header.strip_prefix(prefix).map(str::trim) == Some(&self.name);
                named || (self.name == "default" && header == "default")
            }));
        }
        Settings { settings }
    }

    fn versions(&self) -> [Option<Version>; 2] {
        [Version::of(&self.credentials), Version::of(&self.config)]
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "profile {} of {}", self.name, self.credentials.display())
    }
}

struct Settings {
    settings: HashMap<String, String>,
}

impl Settings {
    fn credential(&self) -> Option<AwsCredential> {
        Some(AwsCredential {
            key_id: self.settings.get("aws_access_key_id")?.clone(),
            secret_key: self.settings.get("aws_secret_access_key")?.clone(),
            token: self.settings.get("aws_session_token").cloned(),
        })
    }
}

/// What tells a file from the one that it has replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Version {
    inode: u64,
    len: u64,
    modified: (i64, i64),
}

impl Version {
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self { inode: found.ino(), len: found.len(), modified: (found.mtime(), found.mtime_nsec()) })
    }
}

/// The credentials of a profile, as they are now.
pub(crate) struct ProfileCredentials {
    profile: Profile,
    last_read: Mutex<Option<LastRead>>,
}

struct LastRead {
    versions: [Option<Version>; 2],
    credential: Arc<AwsCredential>,
}

impl ProfileCredentials {
    pub(crate) fn new(profile: Profile) -> Self {
        Self { profile, last_read: Mutex::new(None) }
    }

    fn now(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut last_read = self.last_read.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken before the files are read: one that changes meanwhile is read again next time.
        let versions = self.profile.versions();
        if let Some(known) = last_read.as_ref().filter(|known| known.versions == versions) {
            return Ok(Arc::clone(&known.credential));
        }
        match self.profile.read().credential() {
            Some(credential) => {
                let credential = Arc::new(credential);
                *last_read = Some(LastRead { versions, credential: Arc::clone(&credential) });
                Ok(credential)
            }
            // Whoever writes the file may be in the middle of it.
            None => match last_read.as_ref() {
                Some(known) => Ok(Arc::clone(&known.credential)),
                None => Err(Error::Unauthenticated {
                    path: self.profile.to_string(),
                    source: "it has no aws_access_key_id with an aws_secret_access_key".into(),
                }),
            },
        }
    }
}

impl fmt::Debug for ProfileCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProfileCredentials").field("profile", &self.profile).finish_non_exhaustive()
    }
}

#[async_trait]
impl CredentialProvider for ProfileCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.now()
    }
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// The settings below the headers that are meant.
fn section(text: &str, is_meant: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let mut is_inside = false;
    let mut settings = Vec::new();
    for line in text.lines() {
        // What is indented belongs to a nested setting.
        if line.starts_with(['#', ';', ' ', '\t']) {
            continue;
        }
        if let Some(header) = line.trim_end().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_inside = is_meant(header.trim());
        } else if let Some((name, value)) = line.split_once('=').filter(|_| is_inside) {
            settings.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(directory: &Path, name: &str) -> Profile {
        Profile::of_environment(|variable| match variable {
            "HOME" => Some("/nonexistent".to_owned()),
            "AWS_PROFILE" => Some(name.to_owned()),
            "AWS_SHARED_CREDENTIALS_FILE" => Some(directory.join("credentials").display().to_string()),
            "AWS_CONFIG_FILE" => Some(directory.join("config").display().to_string()),
            _ => None,
        })
        .unwrap()
    }

    #[test]
    fn a_profile_is_found_among_others_in_both_files() {
        let directory = tempfile::tempdir().unwrap();
        let credentials = "# mine\n[default]\naws_access_key_id = A\naws_secret_access_key=B\n[work]\n\
            aws_access_key_id = C\naws_secret_access_key = D=\naws_session_token = E\n";
        std::fs::write(directory.path().join("credentials"), credentials).unwrap();
        let config =
            "[default]\nregion = eu-north-1\n[profile work]\nregion = eu-west-1\ns3 =\n  region = no\n";
        std::fs::write(directory.path().join("config"), config).unwrap();
        let work = profile(directory.path(), "work");
        assert_eq!(work.setting("region").as_deref(), Some("eu-west-1"));
        let credential = ProfileCredentials::new(work).now().unwrap();
        assert_eq!((&*credential.key_id, &*credential.secret_key), ("C", "D="));
        assert_eq!(credential.token.as_deref(), Some("E"));
        assert_eq!(profile(directory.path(), "").setting("region").as_deref(), Some("eu-north-1"));
        assert!(!profile(directory.path(), "nobody").has_key());
    }

    #[test]
    fn a_rotated_key_is_used_and_a_half_written_file_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("credentials");
        let credentials = ProfileCredentials::new(profile(directory.path(), "default"));
        assert!(matches!(credentials.now(), Err(Error::Unauthenticated { .. })));
        for (content, expected) in [
            ("[default]\naws_access_key_id=ONE\naws_secret_access_key=x\n", "ONE"),
            ("[default]\naws_access_key_id=TWO\n", "ONE"),
            ("[default]\naws_access_key_id=THREE\naws_secret_access_key=x\n", "THREE"),
        ] {
            std::fs::write(&file, content).unwrap();
            assert_eq!(credentials.now().unwrap().key_id, expected);
        }
        assert!(!format!("{credentials:?}").contains("THREE"));
    }
}
