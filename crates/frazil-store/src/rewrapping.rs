//! Re-wrapping: after a tenant's wrapping key was rotated, its manifests' data keys are wrapped by the new one.
//!
//! ```text
//! for each name: unwrap → the manifest with a new header, put → its profiles, put → the name moved to the new
//! ```
//!
//! Invariant: at any moment each name leads to a whole manifest that one of the tenant's keys opens, and no
//! chunk is read or written. So re-wrapping can be broken off and taken up again at any step; a name that
//! somebody else changes meanwhile is looked at again. What no name leads to any more is garbage like any
//! other.

use frazil_format::{ManifestId, SealedManifest, wrap_context};

use crate::name::PlainName;
use crate::publication::Moved;
use crate::{ErrorClass, ImageName, KeyProvider, Reference, Store, StoreError, layout};

/// How often a name that others keep changing is looked at.
const MAX_SWAPS: usize = 16;

/// What the rotation of a tenant's wrapping key came to.
#[derive(Debug)]
pub struct KeyRotation {
    /// How wrapped keys name the key that is the tenant's now.
    pub key: String,
    /// Whether it was made now; if not, a rotation that was broken off had made it.
    pub is_new: bool,
    /// What came of the manifests.
    pub rewrapping: Rewrapping,
}

/// What re-wrapping a tenant's manifests came to.
#[derive(Debug, Default)]
pub struct Rewrapping {
    /// Names whose manifests the current key had wrapped already.
    pub current: usize,
    /// Names whose manifests were re-wrapped.
    pub rewrapped: usize,
    /// Names whose manifests were not, and why: they still need the key that they had.
    pub failed: Vec<(ImageName, StoreError)>,
}

enum Outcome {
    Current,
    Rewrapped,
}

impl Store {
    /// Makes a new wrapping key the tenant's, and re-wraps with it every manifest that has a name. If
    /// manifests are still wrapped by an older key, an earlier rotation was broken off: then that one goes on
    /// instead.
    ///
    /// # Errors
    ///
    /// When the tenant's names cannot be read, or the key provider cannot tell or make the tenant's key. A
    /// failure of one image's manifest, profiles or data key is listed in [`Rewrapping::failed`], and stops
    /// no other image.
    pub async fn rotate_key(&self, tenant: &str, keys: &dyn KeyProvider) -> Result<KeyRotation, StoreError> {
        let is_new = self.is_wrapped_by(&keys.current_key(tenant).await?, tenant).await?;
        let key = if is_new { keys.rotate(tenant).await? } else { keys.current_key(tenant).await? };
        Ok(KeyRotation { key, is_new, rewrapping: self.rewrap(tenant, keys).await? })
    }

    /// Whether every manifest of a tenant that has a name is wrapped by this key. One that cannot be read tells nothing:
    /// re-wrapping says so.
    async fn is_wrapped_by(&self, key: &str, tenant: &str) -> Result<bool, StoreError> {
        for (_, reference) in self.each_name(tenant).await? {
            let reference = match reference {
                Ok(reference) => reference,
                Err(error) if error.class() == ErrorClass::Transient => return Err(error),
                Err(_) => continue,
            };
            match self.verified_manifest(&reference).await {
                Ok(manifest) if manifest.wrapped_key().key_id != key => return Ok(false),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(true)
    }

    async fn rewrap(&self, tenant: &str, keys: &dyn KeyProvider) -> Result<Rewrapping, StoreError> {
        let current = keys.current_key(tenant).await?;
        let mut done = Rewrapping::default();
        for (name, _) in self.each_name(tenant).await? {
            match self.rewrap_name(tenant, &name, keys, &current).await {
                Ok(Outcome::Current) => done.current += 1,
                Ok(Outcome::Rewrapped) => done.rewrapped += 1,
                Err(error) => done.failed.push((name, error)),
            }
        }
        Ok(done)
    }

    async fn rewrap_name(
        &self,
        tenant: &str,
        name: &ImageName,
        keys: &dyn KeyProvider,
        current: &str,
    ) -> Result<Outcome, StoreError> {
        let path = layout::name(&PlainName::tenant(tenant)?, name)?;
        for _ in 0..MAX_SWAPS {
            // A name that is gone needs no key.
            let Some(reference) = self.reference(tenant, name).await? else { return Ok(Outcome::Current) };
            let sealed = self.verified_manifest(&reference).await?;
            if sealed.wrapped_key().key_id == current {
                return Ok(Outcome::Current);
            }
            let bad = |source| StoreError::BadManifest { id: reference.manifest, source };
            let context = wrap_context(tenant, name.as_str());
            let data_key = keys.unwrap(tenant, sealed.wrapped_key(), &context).await?;
            let wrapped = keys.wrap(tenant, &data_key, &context).await?;
            let (id, bytes) = sealed.rewrap(&data_key, &wrapped).map_err(bad)?;
            self.put_manifest(reference.root, &id, bytes.into()).await?;
            self.take_profiles_along(&reference, &id).await;
            let new = Reference { manifest: id, ..reference };
            if self.point(&path, Some(reference), new).await? == Moved::Done {
                return Ok(Outcome::Rewrapped);
            }
        }
        Err(StoreError::Contended { path: path.to_string() })
    }

    /// Done before the name moves, so that breaking off loses none. Profiles open with the data key, which
    /// stays. A start without them is slower and no worse, so failing is no failure; their bundles are made
    /// again.
    async fn take_profiles_along(&self, old: &Reference, new: &ManifestId) {
        let copied = match self.profiles(old.root, &old.manifest).await {
            Ok(Some(profiles)) => self.put_profiles(old.root, new, profiles).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = copied {
            tracing::warn!(manifest = %new, %error, "its profiles are lost");
        }
    }

    async fn verified_manifest(&self, reference: &Reference) -> Result<SealedManifest, StoreError> {
        let bytes = self.manifest(reference.root, &reference.manifest).await?;
        SealedManifest::verify(&reference.manifest, bytes)
            .map_err(|source| StoreError::BadManifest { id: reference.manifest, source })
    }
}
