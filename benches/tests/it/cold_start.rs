//! The cold-start benchmark on the fixture, once.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

/// Those that need nothing but Debian's packages and this repository.
const CONTENDERS: &str = "unpacked-cold,containerd,erofs,frazil-first,frazil-memory";

#[test]
fn everybody_that_debian_has_starts_the_fixture_over_a_link() -> anyhow::Result<()> {
    let bench = Path::new(env!("CARGO_BIN_EXE_frazil-bench"));
    let frazil = bench.with_file_name("frazil");
    ensure!(frazil.exists(), "there is no {}: cargo build -p frazil", frazil.display());
    let dir = tempfile::tempdir()?;
    let status = Command::new(bench)
        .args(["cold-start", "--images", "hello", "--repeats", "1", "--link", "1ms/1Gbit"])
        .args(["--contenders", CONTENDERS, "--frazil"])
        .arg(&frazil)
        .arg("--work-dir")
        .arg(dir.path().join("work"))
        .arg("--out")
        .arg(dir.path().join("out"))
        .status()?;
    ensure!(status.success(), "{status}");
    let cells: Value = serde_json::from_slice(&std::fs::read(dir.path().join("out/cells.json"))?)?;
    let cells = cells.as_array().context("cells are a list")?;
    for contender in CONTENDERS.split(',') {
        assert!(
            cells.iter().any(|cell| cell["contender"] == contender),
            "{contender} is missing: see above why"
        );
    }
    let bytes = |contender: &str| {
        let cell = cells.iter().find(|cell| cell["contender"] == contender);
        cell.and_then(|cell| cell["down_bytes"].as_u64()).context("no such cell")
    };
    assert!(bytes("frazil-first")? < bytes("containerd")?, "a lazy start moves less than a pull");
    assert!(bytes("frazil-memory")? < bytes("frazil-first")? / 10, "a warm tier leaves nothing to fetch");
    let tables = std::fs::read_to_string(dir.path().join("out/tables.md"))?;
    assert!(tables.contains("Floor: **"), "{tables}");
    Ok(())
}
