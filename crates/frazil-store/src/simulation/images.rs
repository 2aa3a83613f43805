//! Images of a simulation: real sealed chunks and manifests, small, and the same for a seed.

use std::cell::RefCell;
use std::collections::HashMap;

use frazil_format::{
    Chunk, Compression, DataKey, DiffId, Geometry, LayerExtent, Manifest, ManifestId, Payload, RootId,
    ScopeSecret, Sealed, Sealer,
};

use super::keys;

thread_local! {
    static SEALED: RefCell<HashMap<(RootId, u32), Sealed>> = RefCell::new(HashMap::new());
}

/// What an image is of: chunks by their numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Content(pub(super) Vec<u32>);

/// An image of a root, sealed.
pub(super) struct Image {
    pub(super) id: ManifestId,
    pub(super) manifest: Vec<u8>,
    pub(super) chunks: Vec<Sealed>,
}

fn chunk(root: RootId, number: u32) -> Sealed {
    SEALED.with_borrow_mut(|sealed| {
        let make = || {
            let sealer = Sealer::new(&ScopeSecret::from_bytes([7; 32]), root);
            let text = format!("chunk {number}");
            sealer.seal(&Payload::compress(text.as_bytes(), Compression::None)).unwrap()
        };
        sealed.entry((root, number)).or_insert_with(make).clone()
    })
}

/// Seals an image; the serial number makes it another image each time.
pub(super) fn seal(root: RootId, tenant: &str, name: &str, content: &Content, serial: u64) -> Image {
    let chunks: Vec<Sealed> = content.0.iter().map(|number| chunk(root, *number)).collect();
    let scope = ScopeSecret::from_bytes([7; 32]).id();
    let len = 4096 * chunks.len() as u64;
    let record = |(at, sealed): (u64, &Sealed)| Chunk {
        offset: 4096 * at,
        len: u32::try_from(sealed.chunk.len() - 17).unwrap(),
        sealed_len: u32::try_from(sealed.chunk.len()).unwrap(),
        id: sealed.id,
    };
    let manifest = Manifest {
        geometry: Geometry {
            root,
            tenant: tenant.to_owned(),
            name: name.to_owned(),
            created_seconds: serial,
            metadata_len: 0,
            metadata_scope: scope,
            image_len: len,
            layers: vec![LayerExtent { diff_id: DiffId::from_bytes([1; 32]), scope, offset: 0, len }],
        },
        chunks: (0..).zip(&chunks).map(record).collect(),
        keys: chunks.iter().map(|sealed| sealed.key.clone()).collect(),
        config: Vec::new(),
    };
    let wrapped = keys::wrapped(tenant, keys::FIRST);
    let mut salt = [0; 32];
    salt[..8].copy_from_slice(&serial.to_le_bytes());
    let (id, manifest) = manifest.seal_again(&DataKey::from_bytes(keys::DATA_KEY), &wrapped, salt).unwrap();
    Image { id, manifest, chunks }
}
