//! Where everything lies in a store: the only place that makes paths.
//!
//! ```text
//! frazil.json                               the format's version, the store's id; written last: it makes the store
//! roots/00000001/state.json                 the root's place in its life cycle
//! roots/00000001/chunks/<2 hex>/<64 hex>    a sealed chunk, by its id; the directory is the id's first byte
//! roots/00000001/layers/<64 hex>            a layer index
//! roots/00000001/manifests/<64 hex>         a manifest, by its id
//! roots/00000001/profiles/<64 hex>/all      the profiles of a manifest, by its id; replaced by every version
//! roots/00000001/profiles/<64 hex>/head     its head start: they and how a bundle begins; replaced with them
//! roots/00000001/bundles/<64 hex>/<64 hex>  a bundle, by the id of its manifest and its own
//! names/<tenant>/<image name>               a reference: the root and manifest of a name, percent-encoded
//! starters/<tenant>/<image name>            its starter: what a start reads along with the name
//! gc/alarm.json, gc/clock, gc/<kind>/…      what garbage collection and scrubbing keep
//! frazil.lock                               a directory store's lock
//! scopes/<name>.json                        a sharing domain: its public id, how it compresses, perhaps its secret, wrapped
//! bases/<64 hex>.json                       a layer of a public base image, by its diff id
//! ```
//!
//! docs/FORMAT.md, "A store", specifies it. What lies under `roots` never changes its meaning, but for `state.json` and
//! profiles: a chunk or a manifest is named by its content, a layer index by what it was made from. A file whose name
//! ends in `#` and digits is a write that has not finished: it is no object and in no listing.

use std::str::FromStr;

use frazil_format::{BundleId, ChunkId, DiffId, LayerIndexId, ManifestId, RootId};
use object_store::path::Path;

use crate::StoreError;
use crate::name::{ImageName, PlainName};

/// The object that makes a place a store.
pub(crate) fn marker() -> Path {
    Path::from("frazil.json")
}

/// Where the roots lie.
pub(crate) fn roots() -> Path {
    Path::from("roots")
}

/// The root that a directory under [`roots`] is.
pub(crate) fn root_of(directory: &Path) -> Option<RootId> {
    directory.filename()?.parse().ok()
}

/// The record of a root's state.
pub(crate) fn root_state(root: RootId) -> Path {
    in_root(root).join("state.json")
}

/// A sealed chunk. The first byte of the id is a directory, so that no directory grows beyond what file systems
/// and people like, and that a store of a million chunks has four thousand in each.
pub(crate) fn chunk(root: RootId, id: &ChunkId) -> Path {
    let [first, ..] = id.as_bytes();
    chunk_directory(root, u16::from(*first)).join(id.to_string())
}

/// Where the chunks lie whose ids begin with this byte.
pub(crate) fn chunk_directory(root: RootId, first: u16) -> Path {
    chunks(root).join(format!("{first:02x}"))
}

/// A layer index.
pub(crate) fn layer_index(root: RootId, id: &LayerIndexId) -> Path {
    in_root(root).join("layers").join(id.to_string())
}

/// A manifest.
pub(crate) fn manifest(root: RootId, id: &ManifestId) -> Path {
    in_root(root).join("manifests").join(id.to_string())
}

/// The profiles of a manifest.
pub(crate) fn profiles(root: RootId, manifest: &ManifestId) -> Path {
    in_root(root).join("profiles").join(manifest.to_string()).join("all")
}

/// The head start of a manifest.
pub(crate) fn head_start(root: RootId, manifest: &ManifestId) -> Path {
    in_root(root).join("profiles").join(manifest.to_string()).join("head")
}

/// Where the bundles of a manifest lie.
pub(crate) fn bundles(root: RootId, manifest: &ManifestId) -> Path {
    in_root(root).join("bundles").join(manifest.to_string())
}

/// A bundle of a manifest.
pub(crate) fn bundle(root: RootId, manifest: &ManifestId, id: &BundleId) -> Path {
    bundles(root, manifest).join(id.to_string())
}

/// Where the scopes' records lie.
pub(crate) fn scopes() -> Path {
    Path::from("scopes")
}

/// The record of a scope.
pub(crate) fn scope(scope: &PlainName<'_>) -> Path {
    scopes().join(format!("{}.json", scope.as_str()))
}

/// The scope whose record this is.
pub(crate) fn scope_of(record: &Path) -> Option<&str> {
    record.filename()?.strip_suffix(".json")
}

/// Where the public base layers' records lie.
pub(crate) fn bases() -> Path {
    Path::from("bases")
}

/// The record of a public base layer.
pub(crate) fn base(diff_id: &DiffId) -> Path {
    bases().join(format!("{diff_id}.json"))
}

/// The layer whose record this is.
pub(crate) fn base_of(record: &Path) -> Option<DiffId> {
    record.filename()?.strip_suffix(".json")?.parse().ok()
}

/// Where a tenant's references lie.
pub(crate) fn names(tenant: &PlainName<'_>) -> Path {
    all_names().join(tenant.as_str().to_owned())
}

/// The reference of an image's name. The name is encoded already: joined as a plain string, its percent signs
/// would be encoded again.
pub(crate) fn name(tenant: &PlainName<'_>, name: &ImageName) -> Result<Path, StoreError> {
    Path::parse(format!("{}/{}", names(tenant), name.to_file_name()))
        .map_err(|_| StoreError::BadName { text: name.to_string(), reason: "it makes no path" })
}

/// The starter of the image whose reference this is.
pub(crate) fn starter(reference: &Path) -> Path {
    starters().parts().chain(reference.parts().skip(1)).collect()
}

/// The reference of the image whose starter this is.
pub(crate) fn name_of_starter(starter: &Path) -> Path {
    all_names().parts().chain(starter.parts().skip(1)).collect()
}

/// Where all starters lie.
pub(crate) fn starters() -> Path {
    Path::from("starters")
}

/// The image whose reference this is.
pub(crate) fn name_of(reference: &Path) -> Option<ImageName> {
    ImageName::from_file_name(reference.filename()?)
}

/// Where all references lie.
pub(crate) fn all_names() -> Path {
    Path::from("names")
}

/// The tenant and the image whose reference this is.
pub(crate) fn owner_of(reference: &Path) -> Option<(String, ImageName)> {
    let mut parts = reference.parts().skip(1);
    let tenant = parts.next()?.as_ref().to_owned();
    (parts.count() == 1).then_some(())?;
    PlainName::tenant(&tenant).ok()?;
    Some((tenant, name_of(reference)?))
}

/// Everything of a root.
pub(crate) fn in_root(root: RootId) -> Path {
    roots().join(root.to_string())
}

/// All chunks of a root.
pub(crate) fn chunks(root: RootId) -> Path {
    in_root(root).join("chunks")
}

/// The id of the chunk, layer index, manifest or bundle that lies at a path.
pub(crate) fn id_of<T: FromStr>(path: &Path) -> Option<T> {
    path.filename()?.parse().ok()
}

/// All layer indexes of a root.
pub(crate) fn layer_indexes(root: RootId) -> Path {
    in_root(root).join("layers")
}

/// All manifests of a root.
pub(crate) fn manifests(root: RootId) -> Path {
    in_root(root).join("manifests")
}

/// The kinds of things that stand beside manifests, each in a directory of its own.
pub(crate) const COMPANIONS: [&str; 2] = ["profiles", "bundles"];

/// The directories that hold everything of a root but its state.
pub(crate) fn directories_of(root: RootId) -> impl Iterator<Item = Path> {
    ["chunks", "layers", "manifests"].into_iter().chain(COMPANIONS).map(move |kind| in_root(root).join(kind))
}

/// What stands beside the manifests of a root, by the manifest.
pub(crate) fn companions(root: RootId, kind: &str) -> Path {
    in_root(root).join(kind.to_owned())
}

/// Whether somebody read a root that nobody should read.
pub(crate) fn alarm() -> Path {
    Path::from("gc/alarm.json")
}

/// An object that is written to learn the store's time.
pub(crate) fn clock() -> Path {
    Path::from("gc/clock")
}

/// How far a root's migration or deletion is.
pub(crate) fn journal(kind: &str, root: RootId) -> Path {
    Path::from(format!("gc/{kind}/{root}.json"))
}

/// Whether a file's name is that of a write that never finished.
pub(crate) fn is_unfinished(file_name: &str) -> bool {
    file_name
        .rsplit_once('#')
        .is_some_and(|(_, suffix)| !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_what_the_format_says() {
        let id = "ab".repeat(32);
        let root = RootId::FIRST;
        assert_eq!(root_state(root).as_ref(), "roots/00000001/state.json");
        assert_eq!(chunk(root, &id.parse().unwrap()).as_ref(), format!("roots/00000001/chunks/ab/{id}"));
        assert_eq!(layer_index(root, &id.parse().unwrap()).as_ref(), format!("roots/00000001/layers/{id}"));
        assert_eq!(manifest(root, &id.parse().unwrap()).as_ref(), format!("roots/00000001/manifests/{id}"));
        let manifest = id.parse().unwrap();
        assert_eq!(profiles(root, &manifest).as_ref(), format!("roots/00000001/profiles/{id}/all"));
        assert_eq!(head_start(root, &manifest).as_ref(), format!("roots/00000001/profiles/{id}/head"));
        let bundle = bundle(root, &manifest, &id.parse().unwrap());
        assert_eq!(bundle.as_ref(), format!("roots/00000001/bundles/{id}/{id}"));
        assert_eq!(id_of::<BundleId>(&bundle), id.parse().ok());
        assert_eq!(
            name(&PlainName::tenant("default").unwrap(), &"a/b:1".parse().unwrap()).unwrap().as_ref(),
            "names/default/a%2Fb:1"
        );
    }

    #[test]
    fn a_path_says_whose_it_is() {
        let reference = name(&PlainName::tenant("default").unwrap(), &"../x %".parse().unwrap()).unwrap();
        assert_eq!(name_of(&reference).unwrap().as_str(), "../x %");
        assert_eq!(starter(&reference).as_ref(), reference.as_ref().replacen("names", "starters", 1));
        assert_eq!(name_of_starter(&starter(&reference)), reference);
        assert_eq!(root_of(&roots().join("00000007")), Some(RootId::from_number(7)));
        assert_eq!(root_of(&roots().join("7")), None);
    }

    #[test]
    fn unfinished_writes_are_recognised() {
        assert!(is_unfinished("abc#1") && is_unfinished("a#b#22"));
        assert!(!is_unfinished("abc") && !is_unfinished("abc#") && !is_unfinished("abc#x"));
    }
}
