//! docs/FORMAT.md against the code: every dump of its worked example is what the code writes, every domain and
//! every bound that the code has is in it.

use std::fmt::Write;
use std::path::Path;

use super::example::*;
use crate::*;

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/FORMAT.md");
    std::fs::read_to_string(path).unwrap()
}

/// A dump of bytes, field by field: 32 bytes to a line, the field's name behind its first line.
fn dump(bytes: &[u8], fields: &[(usize, &str)]) -> String {
    let mut text = String::new();
    let mut rest = bytes;
    for (len, name) in fields {
        let (field, behind) = rest.split_at(*len);
        for (number, line) in field.chunks(32).enumerate() {
            let name = if number == 0 { *name } else { "" };
            writeln!(text, "{}", format!("{:64}  {name}", hex::encode(line)).trim_end()).unwrap();
        }
        rest = behind;
    }
    assert_eq!(rest.len(), 0, "the fields do not cover the bytes");
    text
}

fn assert_in_document(what: &str, text: &str) {
    assert!(document().contains(text), "docs/FORMAT.md should show {what} as\n{text}");
}

#[test]
fn the_sealing_example_is_what_the_code_does() {
    for payload in [
        Payload::compress(STORED_CHUNK, Compression::None),
        Payload::from_stored(hex::decode(ZSTD_PAYLOAD).unwrap()),
    ] {
        let sealed = seal_chunk(&payload);
        let text = format!(
            "payload          {}\nBLAKE3(payload)  {}\nkey              {}\nsealed           {}\nid               {}\n",
            hex::encode(payload.as_bytes()),
            blake3::hash(payload.as_bytes()),
            hex::encode(sealed.key.as_bytes()),
            hex::encode(sealed.chunk.bytes()),
            sealed.id
        );
        assert_in_document("a sealed chunk", &text);
    }
}

#[test]
fn the_layer_index_example_is_what_the_code_writes() {
    let bytes = layer_index_bytes();
    let body_len = bytes.len() - 64 - 32 - 64;
    let fields = [
        (8, "magic \"frazilLI\""),
        (4, "version 1"),
        (4, "root 1"),
        (8, "1 chunk"),
        (8, "length of the sealed body"),
        (32, "salt"),
        (32, "chunk id 0"),
        (body_len, "sealed body"),
        (32, "checksum"),
        (32, "tag"),
    ];
    assert_in_document("the layer index", &dump(&bytes, &fields));
    assert_in_document("the layer index's name", &layer_index_id().to_string());
}

#[test]
fn the_body_example_is_what_the_code_seals() {
    let body = layer_index::encode_body(&layer_index()).unwrap();
    let fields = [
        (32, "diff id"),
        (8, "tar length 10240"),
        (8, "stream length 4096"),
        (8, "chunk 0: offset 0"),
        (4, "length 12"),
        (4, "sealed length 29"),
        (32, "key"),
        (1, "2 entries"),
        (5, "path \"motd\""),
        (1, "an inode"),
        (2, "mode 0644"),
        (2, "owner 0, group 0"),
        (5, "modified at 1700000000 s"),
        (1, "0 ns"),
        (1, "no extended attributes"),
        (1, "a regular file"),
        (2, "at 0 of the stream, 12 bytes"),
        (10, "path \"etc/issue\""),
        (1, "a whiteout"),
    ];
    assert_in_document("the body of the layer index", &dump(&body, &fields));
}

#[test]
fn the_manifest_example_is_what_the_code_writes() {
    let (id, bytes) = manifest_bytes();
    let config_len = bytes.len() - 112 - 4 * 56 - 103 - 32 - 124 - 96 - 80;
    let mut fields = vec![
        (8, "magic \"frazilMF\""),
        (4, "version 1"),
        (4, "length of the header"),
        (8, "length of the manifest"),
        (8, "2 chunks"),
        (4, "root 1"),
        (4, "4 sections"),
        (4, "length of the wrapped key"),
        (4, "reserved"),
        (32, "salt"),
        (32, "commitment"),
    ];
    for name in ["section 0: geometry", "section 1: config", "section 2: chunk page", "section 3: key page"] {
        fields.extend([(4, name), (4, "index 0"), (8, "offset"), (8, "length"), (32, "BLAKE3")]);
    }
    fields.extend([
        (2, "length of the provider's name"),
        (2, "length of the key id"),
        (4, "length of the wrapped bytes"),
        (7, "\"keyring\""),
        (7, "\"default\""),
        (1, "wrapped key, version 1"),
        (32, "salt"),
        (48, "sealed data key"),
        (32, "tag"),
        (8, "geometry: created at 1700000000 s"),
        (8, "image length 8192"),
        (8, "metadata length 4096"),
        (16, "metadata scope"),
        (4, "1 layer"),
        (2, "length of the tenant's name"),
        (2, "length of the image's name"),
        (32, "layer 0: diff id"),
        (16, "scope"),
        (8, "offset 4096"),
        (8, "length 4096"),
        (7, "\"default\""),
        (5, "\"hello\""),
    ]);
    fields.push((config_len, "config, sealed"));
    for name in ["chunk 0: offset 1024", "chunk 1: offset 4096"] {
        fields.extend([(8, name), (4, "length"), (4, "sealed length"), (32, "id")]);
    }
    fields.push((80, "key page 0, sealed"));
    assert_in_document("the manifest", &dump(&bytes, &fields));
    assert_in_document("the manifest's id", &id.to_string());
}

#[test]
fn the_profiles_example_is_what_the_code_seals() {
    let body = profile::encode_profiles(&profiles());
    let fields = [
        (4, "1 profile"),
        (32, "label"),
        (4, "2 starts"),
        (2, "precision"),
        (2, "length of the text"),
        (8, "recorded at 1700000001 s"),
        (4, "2 chunks"),
        (4, "2 chunks in the bundle"),
        (32, "bundle id"),
        (8, "made at 1700000002 s"),
        (9, "\"cat /motd\""),
        (4, "chunk 1"),
        (4, "position 0"),
        (2, "in the last two starts"),
        (4, "chunk 0"),
        (4, "position 1, in sixteenths"),
        (2, "in the last start"),
        (4, "the bundle's first: chunk 1"),
        (4, "its second: chunk 0"),
    ];
    assert_in_document("the body of the profiles", &dump(&body, &fields));
    let hash = blake3::hash(&profiles_bytes()).to_string();
    assert_in_document("the hash of the sealed profiles", &hash);
    let hash = blake3::hash(&bundle_bytes()).to_string();
    assert_in_document("the hash of the bundle", &hash);
}

#[test]
fn every_domain_and_every_bound_is_documented() {
    for (source, marker) in
        [(include_str!("../domains.rs"), "Domain(\""), (include_str!("../bounds.rs"), "pub const ")]
    {
        let mut found = 0;
        for text in source.split(marker).skip(1) {
            let name = text.split(['"', ':']).next().unwrap();
            assert_in_document("a domain or bound", &format!("`{name}`"));
            found += 1;
        }
        assert!(found > 5, "{marker} is no longer how the file is written");
    }
}
