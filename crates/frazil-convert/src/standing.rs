//! What a name stands for before an image is converted under it.
//!
//! Invariant: an image that these keys cannot open belongs to somebody, and is replaced only for a caller
//! that asked for exactly that. One that nobody can read any more is no obstacle.

use frazil_format::{FormatError, Manifest, ProfileKey, SealedManifest, wrap_context};
use frazil_store::{ErrorClass, ImageName, Reference, Store, StoreError};

use crate::{ConvertError, Keys, Standing};

/// The manifest that the name stands for.
pub(crate) struct Stands {
    pub(crate) reference: Reference,
    pub(crate) manifest: Manifest,
    /// The key of what lies beside it.
    pub(crate) key: ProfileKey,
}

/// What the name stands for, opened; `None` if that is nothing, or nothing that can be read.
pub(crate) async fn look_up(
    store: &Store,
    name: &ImageName,
    keys: &Keys<'_>,
) -> Result<Option<Stands>, ConvertError> {
    let reference = match store.reference(keys.tenant, name).await {
        Ok(Some(reference)) => reference,
        Ok(None) => return Ok(None),
        Err(error @ StoreError::Damaged { .. }) => {
            tracing::warn!(%name, %error, "replacing a reference that cannot be read");
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let error = match open(store, name, &reference, keys).await {
        Ok((manifest, key)) => return Ok(Some(Stands { reference, manifest, key })),
        Err(error) => error,
    };
    match &error {
        ConvertError::Store(store) if store.class() == ErrorClass::Transient => return Err(error),
        _ if may_be_sound(&error) && keys.standing == Standing::ReplaceOwn => {
            let (name, source) = (name.to_string(), Box::new(error));
            return Err(ConvertError::NotOurs { name, source });
        }
        _ => {}
    }
    tracing::warn!(%name, manifest = %reference.manifest, %error, "replacing a manifest that cannot be read");
    Ok(None)
}

/// Whether the manifest may be sound and only this program cannot read it: because the key or the permission
/// is missing, or because a newer program has written it.
fn may_be_sound(error: &ConvertError) -> bool {
    match error {
        ConvertError::Store(StoreError::KeyNotFound { .. } | StoreError::KeyDamaged { .. }) => true,
        ConvertError::Store(error) => !matches!(error.class(), ErrorClass::NotFound | ErrorClass::Corrupt),
        ConvertError::Format(error) => {
            matches!(error, FormatError::WrongDataKey { .. } | FormatError::UnknownVersion { .. })
        }
        _ => false,
    }
}

async fn open(
    store: &Store,
    name: &ImageName,
    reference: &Reference,
    keys: &Keys<'_>,
) -> Result<(Manifest, ProfileKey), ConvertError> {
    let bytes = store.manifest(reference.root, &reference.manifest).await?;
    let sealed = SealedManifest::verify(&reference.manifest, bytes)?;
    let context = wrap_context(keys.tenant, name.as_str());
    let data_key = keys.provider.unwrap(keys.tenant, sealed.wrapped_key(), &context).await?;
    Ok((sealed.open(&data_key)?, data_key.profile_key()))
}
