//! The geometry section: a fixed head, one record for each layer, then the two names. Clear.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Geometry, LayerExtent};
use crate::bounds::{MAX_LAYERS, MAX_NAME_LEN, within};
use crate::{DiffId, FormatError, RootId, ScopeId};

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Head {
    created_seconds: U64,
    image_len: U64,
    metadata_len: U64,
    metadata_scope: [u8; 16],
    layer_count: U32,
    tenant_len: U16,
    name_len: U16,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Layer {
    diff_id: [u8; 32],
    scope: [u8; 16],
    offset: U64,
    len: U64,
}

/// The section's bytes. The root stands in the manifest's header.
pub(super) fn encode(geometry: &Geometry) -> Result<Vec<u8>, FormatError> {
    let head = Head {
        created_seconds: geometry.created_seconds.into(),
        image_len: geometry.image_len.into(),
        metadata_len: geometry.metadata_len.into(),
        metadata_scope: *geometry.metadata_scope.as_bytes(),
        layer_count: count(geometry.layers.len(), "number of layers", MAX_LAYERS)?,
        tenant_len: short(&geometry.tenant)?,
        name_len: short(&geometry.name)?,
    };
    let mut bytes = head.as_bytes().to_vec();
    for layer in &geometry.layers {
        let record = Layer {
            diff_id: *layer.diff_id.as_bytes(),
            scope: *layer.scope.as_bytes(),
            offset: layer.offset.into(),
            len: layer.len.into(),
        };
        bytes.extend_from_slice(record.as_bytes());
    }
    bytes.extend_from_slice(geometry.tenant.as_bytes());
    bytes.extend_from_slice(geometry.name.as_bytes());
    Ok(bytes)
}

/// The geometry in a section's bytes, all of them.
pub(super) fn decode(bytes: &[u8], root: RootId) -> Result<Geometry, FormatError> {
    let truncated = || FormatError::BadGeometry { problem: "the section is too short" };
    let (head, rest) = Head::ref_from_prefix(bytes).map_err(|_| truncated())?;
    within("number of layers", head.layer_count.get().into(), MAX_LAYERS)?;
    let (layers, names) = <[Layer]>::ref_from_prefix_with_elems(rest, head.layer_count.get() as usize)
        .map_err(|_| truncated())?;
    let (tenant, name) = names.split_at_checked(head.tenant_len.get().into()).ok_or_else(truncated)?;
    if name.len() != usize::from(head.name_len.get()) {
        return Err(FormatError::BadGeometry { problem: "the section does not end with the image's name" });
    }
    Ok(Geometry {
        root,
        tenant: text(tenant)?,
        name: text(name)?,
        created_seconds: head.created_seconds.get(),
        metadata_len: head.metadata_len.get(),
        metadata_scope: ScopeId::from_bytes(head.metadata_scope),
        image_len: head.image_len.get(),
        layers: layers.iter().map(extent).collect(),
    })
}

fn extent(record: &Layer) -> LayerExtent {
    LayerExtent {
        diff_id: DiffId::from_bytes(record.diff_id),
        scope: ScopeId::from_bytes(record.scope),
        offset: record.offset.get(),
        len: record.len.get(),
    }
}

fn text(bytes: &[u8]) -> Result<String, FormatError> {
    let text =
        str::from_utf8(bytes).map_err(|_| FormatError::BadGeometry { problem: "a name is not UTF-8" })?;
    Ok(text.to_owned())
}

fn count(len: usize, what: &'static str, limit: u64) -> Result<U32, FormatError> {
    let number = u32::try_from(len).map_err(|_| FormatError::TooLong { what, len: len as u64, limit })?;
    Ok(number.into())
}

fn short(name: &str) -> Result<U16, FormatError> {
    let len = name.len() as u64;
    let len =
        u16::try_from(len).map_err(|_| FormatError::TooLong { what: "name", len, limit: MAX_NAME_LEN })?;
    Ok(len.into())
}
