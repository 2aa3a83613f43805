//! The promises of docs/SPECIFICATION.md are held by tests that exist.

use std::collections::BTreeSet;

use crate::support::sources;

const SPECIFICATION: &str = include_str!("../../../../docs/SPECIFICATION.md");

/// Words in code font that are shorter are names of other things.
const TEST_NAME_LEN_MIN: usize = 20;

#[test]
fn every_test_that_the_specification_names_exists() {
    let text: String =
        sources::of_crates("").iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let named: BTreeSet<&str> = SPECIFICATION
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.len() >= TEST_NAME_LEN_MIN)
        .filter(|word| {
            word.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit())
        })
        .collect();
    assert!(named.len() > 40, "{named:?}");
    let missing: Vec<_> = named.into_iter().filter(|name| !text.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "SPECIFICATION.md names what is no test: {missing:?}");
}

#[test]
fn every_promise_has_a_number_of_its_own_and_a_test_or_says_that_it_is_pending() {
    let mut numbers = BTreeSet::new();
    let rows = SPECIFICATION.lines().filter_map(|line| line.strip_prefix("| "));
    for row in rows.filter(|row| !row.starts_with('#')) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let [number, _, _, held_by] = cells[..] else { panic!("a promise has four cells: {row}") };
        assert!(numbers.insert(number), "{number} stands twice");
        assert!(held_by.contains('`') || held_by.contains("pending"), "{number} is held by nothing");
    }
    assert!(numbers.len() > 25, "{numbers:?}");
}
