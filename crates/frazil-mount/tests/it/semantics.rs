//! docs/SEMANTICS.md and the tests that carry it.

use std::collections::BTreeSet;
use std::path::Path;

const SEMANTICS: &str = include_str!("../../../../docs/SEMANTICS.md");

/// Shorter words in code quotes are system calls and options.
const TEST_NAME_LEN_MIN: usize = 25;

fn sources(dir: &Path, text: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_test_that_semantics_names_exists() {
    let mut text = String::new();
    for dir in ["src", "tests"] {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(dir), &mut text);
    }
    let quoted = SEMANTICS.split('`').skip(1).step_by(2);
    let named: BTreeSet<&str> = quoted
        .filter(|word| word.len() >= TEST_NAME_LEN_MIN)
        .filter(|word| word.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()))
        .collect();
    assert!(named.len() > 20, "{named:?}");
    for name in named {
        assert!(text.contains(&format!("fn {name}(")), "SEMANTICS.md names {name}, which is no test");
    }
}
