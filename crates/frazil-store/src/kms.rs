//! AWS KMS as a key provider: wrapping keys never leave it, and a second machine needs the right to use them and no
//! file. Written `kms:KEY[,KEY…]`: the first key wraps, all of them unwrap; `{tenant}` in a key stands for the tenant,
//! or for the scope whose secret is wrapped.
//!
//! Invariant: only keys that were named unwrap. A record in the store says which key wrapped it, and whoever
//! can write to the store could name a key of their own there. Every call carries the encryption context: the
//! tenant, and the image or scope.
//!
//! The service is asked with signed JSON (docs/decisions/0015-kms-without-the-sdk.md): credentials, proxies and
//! endpoints are those of a store at `s3://`, and `AWS_ENDPOINT_URL_KMS`.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use frazil_format::{
    DataKey, FormatError, ScopeId, ScopeSecret, WrapContext, WrappedKey, scope_wrap_context,
};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::kms_client::KmsClient;
use crate::{KeyProvider, StoreError};

/// What manifests call this provider.
const PROVIDER: &str = "aws-kms";

/// The most keys that are named at once.
const MAX_KEYS: usize = 8;

/// What stands for the tenant in a key.
const TENANT: &str = "{tenant}";

/// AWS KMS, with the keys that may be used.
#[derive(Clone)]
pub struct Kms {
    keys: Vec<String>,
    client: Arc<KmsClient>,
}

impl Kms {
    /// Reads what follows `kms:`, and finds endpoint and credentials in the environment. Nothing is asked yet.
    pub fn open(keys: &str) -> Result<Self, StoreError> {
        let named: Vec<String> = keys.split(',').map(|key| key.trim().to_owned()).collect();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":/_-{}.".contains(&byte);
        if named.len() > MAX_KEYS || named.iter().any(|key| key.is_empty() || !key.bytes().all(allowed)) {
            return Err(StoreError::BadKeys { text: keys.to_owned() });
        }
        let region = named.iter().find_map(|key| region_of(key));
        Ok(Self { keys: named, client: Arc::new(KmsClient::open(region)?) })
    }

    /// The ids of the keys of a tenant or scope: ARNs, the one that wraps first.
    async fn ids(&self, owner: &str) -> Result<Vec<String>, StoreError> {
        let mut ids = Vec::new();
        for key in &self.keys {
            let key = key.replace(TENANT, owner);
            ids.push(if is_id(&key) { key } else { self.described(&key).await? });
        }
        Ok(ids)
    }

    async fn described(&self, key: &str) -> Result<String, StoreError> {
        let answer = self.client.call("DescribeKey", key, json!({ "KeyId": key })).await?;
        text(&answer, "/KeyMetadata/Arn", key)
    }

    async fn encrypt(
        &self,
        owner: &str,
        secret: &[u8; 32],
        context: &WrapContext,
    ) -> Result<WrappedKey, StoreError> {
        let key = self.keys.first().map(|key| key.replace(TENANT, owner)).unwrap_or_default();
        let plain = Zeroizing::new(BASE64.encode(secret));
        let request =
            json!({ "KeyId": key, "Plaintext": *plain, "EncryptionContext": encryption_context(context) });
        let answer = self.client.call("Encrypt", &key, request).await?;
        let bytes = BASE64.decode(text(&answer, "/CiphertextBlob", &key)?).map_err(|_| nonsense(&key))?;
        Ok(WrappedKey { provider: PROVIDER.to_owned(), key_id: text(&answer, "/KeyId", &key)?, bytes })
    }

    async fn decrypt(
        &self,
        owner: &str,
        wrapped: &WrappedKey,
        context: &WrapContext,
    ) -> Result<Zeroizing<[u8; 32]>, StoreError> {
        let ids = self.ids(owner).await?;
        if wrapped.provider != PROVIDER || !ids.contains(&wrapped.key_id) {
            return Err(StoreError::KeyMismatch {
                wanted: format!("{} {}", wrapped.provider, wrapped.key_id),
                present: format!("{PROVIDER} {}", ids.join(", ")),
            });
        }
        let request = json!({
            "KeyId": wrapped.key_id,
            "CiphertextBlob": BASE64.encode(&wrapped.bytes),
            "EncryptionContext": encryption_context(context),
        });
        let answer = self.client.call("Decrypt", &wrapped.key_id, request).await?;
        let plain = Zeroizing::new(text(&answer, "/Plaintext", &wrapped.key_id)?);
        let mut secret = Zeroizing::new([0; 32]);
        match BASE64.decode_slice(plain.as_bytes(), secret.as_mut_slice()) {
            Ok(32) => Ok(secret),
            _ => Err(nonsense(&wrapped.key_id)),
        }
    }

    async fn new_scope_secret(&self, scope: &str) -> Result<(ScopeSecret, Option<WrappedKey>), StoreError> {
        let secret = ScopeSecret::generate().map_err(cannot_make)?;
        let wrapped = self.encrypt(scope, secret.as_bytes(), &scope_wrap_context(scope, scope)).await?;
        Ok((secret, Some(wrapped)))
    }
}

#[async_trait]
impl KeyProvider for Kms {
    async fn wrap(
        &self,
        tenant: &str,
        key: &DataKey,
        context: &WrapContext,
    ) -> Result<WrappedKey, StoreError> {
        self.encrypt(tenant, key.as_bytes(), context).await
    }

    async fn unwrap(
        &self,
        tenant: &str,
        wrapped: &WrappedKey,
        context: &WrapContext,
    ) -> Result<DataKey, StoreError> {
        Ok(DataKey::from_bytes(*self.decrypt(tenant, wrapped, context).await?))
    }

    async fn current_key(&self, tenant: &str) -> Result<String, StoreError> {
        let key = || self.keys.join(",");
        self.ids(tenant).await?.into_iter().next().ok_or_else(|| StoreError::BadKeys { text: key() })
    }

    async fn rotate(&self, tenant: &str) -> Result<String, StoreError> {
        Err(StoreError::RotatedElsewhere { key: self.current_key(tenant).await? })
    }

    async fn scope_secret(
        &self,
        scope: &str,
        id: &ScopeId,
        wrapped: Option<&WrappedKey>,
    ) -> Result<ScopeSecret, StoreError> {
        let mismatch = || StoreError::ScopeMismatch { scope: scope.to_owned(), wanted: *id };
        let secret =
            self.decrypt(scope, wrapped.ok_or_else(mismatch)?, &scope_wrap_context(scope, scope)).await?;
        Ok(ScopeSecret::from_bytes(*secret))
    }

    async fn first_scope_secret(&self, scope: &str) -> Result<(ScopeSecret, Option<WrappedKey>), StoreError> {
        self.new_scope_secret(scope).await
    }

    async fn next_scope_secret(
        &self,
        scope: &str,
        _: &ScopeId,
    ) -> Result<(ScopeSecret, Option<WrappedKey>), StoreError> {
        self.new_scope_secret(scope).await
    }
}

impl fmt::Debug for Kms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kms:{}", self.keys.join(","))
    }
}

/// Whether a key is named by something that never comes to mean another key.
fn is_id(key: &str) -> bool {
    key.starts_with("arn:") && key.contains(":key/")
}

fn region_of(key: &str) -> Option<String> {
    key.strip_prefix("arn:")?.split(':').nth(2).map(str::to_owned)
}

fn encryption_context(context: &WrapContext) -> Value {
    Value::Object(context.pairs().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
}

fn text(answer: &Value, pointer: &str, key: &str) -> Result<String, StoreError> {
    let found = answer.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).ok_or_else(|| nonsense(key))
}

fn nonsense(key: &str) -> StoreError {
    let (code, class) = ("an answer that makes no sense".to_owned(), crate::ErrorClass::Corrupt);
    StoreError::KeyService { action: "use", key: key.to_owned(), code, class }
}

fn cannot_make(source: FormatError) -> StoreError {
    StoreError::CannotMakeKey { source }
}
