//! The operator's document, and the code that it speaks of.

use std::collections::BTreeSet;
use std::fs;

use crate::support::sources;

/// What is in the parentheses of a macro's call, from behind the opening one.
fn arguments(text: &str) -> &str {
    let (mut depth, mut in_string, mut escaped) = (1, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            '(' if !in_string => depth += 1,
            ')' if !in_string => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[..at];
        }
    }
    text
}

/// The last string of a macro's arguments: a log line's message.
fn message(arguments: &str) -> String {
    let end = arguments.rfind('"').unwrap();
    let start = arguments[..end].rfind('"').unwrap();
    let (mut words, mut depth) = (String::new(), 0);
    for letter in arguments[start + 1..end].chars() {
        match letter {
            '{' => {
                depth += 1;
                words.push('…');
            }
            '}' => depth -= 1,
            letter if depth == 0 => words.push(letter),
            _ => {}
        }
    }
    // A string that goes on in the next line.
    words.split("\\\n").map(str::trim_start).collect()
}

/// Every message of level WARN and ERROR in the crates, with its level.
fn messages() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for file in sources::of_crates("src") {
        let text = fs::read_to_string(file).unwrap();
        for (call, level) in [("warn!(", "WARN"), ("error!(", "ERROR")] {
            for (at, _) in text.match_indices(call) {
                found.insert((message(arguments(&text[at + call.len()..])), level.to_owned()));
            }
        }
    }
    found
}

#[test]
fn every_warning_and_error_of_the_log_is_in_the_operators_table_and_nothing_else_is() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/OPERATIONS.md");
    let document = fs::read_to_string(document).unwrap();
    let table = document.split("\n## The log\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let told: BTreeSet<_> = rows
        .map(|(message, rest)| (message.to_owned(), rest.split(' ').next().unwrap().to_owned()))
        .collect();
    let there = messages();
    assert!(there.len() > 20, "{there:#?}");
    let (missing, stale): (Vec<_>, Vec<_>) =
        (there.difference(&told).collect(), told.difference(&there).collect());
    assert!(missing.is_empty() && stale.is_empty(), "not in the table: {missing:#?}\nin no code: {stale:#?}");
}
