//! Stores in the buckets of an object store: the providers, and their URLs.
//!
//! Credentials, endpoints and regions come from each provider's standard environment variables, files and instance
//! roles, as the object store crate reads them (`AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP`, `AWS_SKIP_SIGNATURE`,
//! `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_NAME` …), and for AWS from the shared files that
//! [`crate::aws_profile`] reads. Tokens of roles are fetched again five minutes before they expire. A URL never holds
//! a secret.

use std::fmt;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredentialProvider};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::ClientConfigKey;
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::prefix::PrefixStore;

use crate::StoreError;
use crate::aws_profile::{Profile, ProfileCredentials};
use crate::patience::{self, Patience};
use crate::throttled::Connector;

/// Whose protocol a bucket speaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Provider {
    /// Amazon S3, and all that is compatible with it.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage; a bucket is called a container there.
    Azure,
}

impl Provider {
    pub(crate) fn of_scheme(scheme: &str) -> Option<Self> {
        [Self::S3, Self::Google, Self::Azure].into_iter().find(|provider| provider.scheme() == scheme)
    }

    fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }
}

/// A prefix in a bucket: `s3://bucket/some/prefix`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct BucketUrl {
    provider: Provider,
    bucket: String,
    prefix: Path,
}

impl BucketUrl {
    /// Reads what follows `://`.
    pub(crate) fn parse(provider: Provider, rest: &str) -> Result<Self, &'static str> {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_bucket = |byte: u8| byte.is_ascii_alphanumeric() || b"-._$".contains(&byte);
        if bucket.is_empty() || !bucket.bytes().all(is_bucket) {
            return Err("it names no bucket");
        }
        let prefix = Path::from_url_path(prefix).map_err(|_| "its path is no prefix of objects")?;
        Ok(Self { provider, bucket: bucket.to_owned(), prefix })
    }

    pub(crate) fn open(
        &self,
        patience: Patience,
        connector: &Connector,
    ) -> Result<Arc<dyn ObjectStore>, StoreError> {
        let opened = match self.provider {
            Provider::S3 => self.s3(patience, connector).build().map(|bucket| self.below_prefix(bucket)),
            Provider::Google => {
                self.google(patience, connector).build().map(|bucket| self.below_prefix(bucket))
            }
            Provider::Azure => {
                self.azure(patience, connector).build().map(|bucket| self.below_prefix(bucket))
            }
        };
        opened.map_err(|error| StoreError::backend("open", self, error))
    }

    fn s3(&self, patience: Patience, connector: &Connector) -> AmazonS3Builder {
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&self.bucket)
            .with_retry(patience.retries())
            .with_http_connector(connector.clone());
        for (key, value) in client_settings("AWS") {
            builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
        }
        match Profile::of_environment(|name| std::env::var(name).ok()) {
            Some(profile) => with_profile(builder, profile),
            None => builder,
        }
    }

    fn google(&self, patience: Patience, connector: &Connector) -> GoogleCloudStorageBuilder {
        let mut builder = GoogleCloudStorageBuilder::from_env()
            .with_bucket_name(&self.bucket)
            .with_retry(patience.retries())
            .with_http_connector(connector.clone());
        for (key, value) in client_settings("GOOGLE") {
            builder = builder.with_config(GoogleConfigKey::Client(key), value);
        }
        builder
    }

    fn azure(&self, patience: Patience, connector: &Connector) -> MicrosoftAzureBuilder {
        let mut builder = MicrosoftAzureBuilder::from_env()
            .with_container_name(&self.bucket)
            .with_retry(patience.retries())
            .with_http_connector(connector.clone());
        for (key, value) in client_settings("AZURE") {
            builder = builder.with_config(AzureConfigKey::Client(key), value);
        }
        builder
    }

    fn below_prefix(&self, bucket: impl ObjectStore) -> Arc<dyn ObjectStore> {
        Arc::new(PrefixStore::new(bucket, self.prefix.clone()))
    }
}

/// What the environment says of another service of AWS.
pub(crate) struct Aws {
    pub(crate) credentials: AwsCredentialProvider,
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) plain_http: bool,
}

/// The credentials, region and endpoint that a bucket would get; `AWS_ENDPOINT_URL_<service>` comes first.
pub(crate) fn aws(service: &str) -> Result<Aws, StoreError> {
    let nobodys = BucketUrl { provider: Provider::S3, bucket: "unused".to_owned(), prefix: Path::default() };
    let builder = nobodys.s3(Patience::Retrying, &Connector::default());
    let setting = |key| builder.get_config_value(&key);
    let region = setting(AmazonS3ConfigKey::Region);
    let own_endpoint = std::env::var(format!("AWS_ENDPOINT_URL_{service}")).ok();
    let endpoint = own_endpoint.or_else(|| setting(AmazonS3ConfigKey::Endpoint));
    let plain_http = std::env::var("AWS_ALLOW_HTTP").is_ok_and(|value| value == "true" || value == "1");
    let built = builder.build().map_err(|error| StoreError::backend("open", service, error))?;
    Ok(Aws { credentials: Arc::clone(built.credentials()), region, endpoint, plain_http })
}

/// The settings that the environment leaves to us.
fn client_settings(prefix: &str) -> impl Iterator<Item = (ClientConfigKey, &'static str)> {
    patience::client_settings().into_iter().filter(move |(key, _)| {
        std::env::var_os(format!("{prefix}_{}", key.as_ref().to_ascii_uppercase())).is_none()
    })
}

/// What the environment does not say, a profile may. A key in the environment comes first, then one in the profile,
/// then roles: the order of AWS's own tools.
fn with_profile(mut builder: AmazonS3Builder, profile: Profile) -> AmazonS3Builder {
    let settings = [
        ("region", [AmazonS3ConfigKey::Region, AmazonS3ConfigKey::DefaultRegion]),
        ("endpoint_url", [AmazonS3ConfigKey::Endpoint, AmazonS3ConfigKey::S3Endpoint]),
    ];
    for (name, keys) in settings {
        if keys.iter().any(|key| builder.get_config_value(key).is_some()) {
            continue;
        }
        if let (Some(value), [key, _]) = (profile.setting(name), keys) {
            builder = builder.with_config(key, value);
        }
    }
    let has_key = builder.get_config_value(&AmazonS3ConfigKey::AccessKeyId).is_some();
    if has_key || !profile.has_key() {
        return builder;
    }
    builder.with_credentials(Arc::new(ProfileCredentials::new(profile)))
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.provider.scheme(), self.bucket)?;
        let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-~+=,@:".contains(&byte);
        match self.prefix.as_ref() {
            "" => Ok(()),
            prefix => write!(f, "/{}", crate::percent::encode(prefix.as_bytes(), keep)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::StoreLocation;

    #[test]
    fn a_bucket_prints_as_what_parses_to_it() {
        for url in ["s3://bucket", "gs://b.example.org/a/prefix", "az://container/x", "s3://b/a%20b%25"] {
            let location: StoreLocation = url.parse().unwrap();
            assert_eq!(location.to_string(), url);
            assert_eq!(location.to_string().parse::<StoreLocation>().unwrap(), location);
        }
        assert_eq!("s3://b/p/".parse::<StoreLocation>().unwrap().to_string(), "s3://b/p");
    }

    #[test]
    fn what_names_no_bucket_is_refused() {
        for url in ["s3://", "s3:///x", "gs://a b/x", "az://user:secret@host/x", "s3://b/../x"] {
            assert!(url.parse::<StoreLocation>().is_err(), "{url}");
        }
    }
}
