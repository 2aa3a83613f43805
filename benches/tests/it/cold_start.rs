//! The benchmarks of cold starts on the fixture, once and small.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;

/// Those that need nothing but Debian's packages and this repository.
const CONTENDERS: &str = "unpacked-cold,containerd,erofs,frazil-first,frazil-memory";

fn bench(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frazil-bench"));
    command.current_dir(dir);
    command
}

/// The program of the same build, which a build of the workspace makes.
fn frazil() -> anyhow::Result<PathBuf> {
    let frazil = Path::new(env!("CARGO_BIN_EXE_frazil-bench")).with_file_name("frazil");
    ensure!(frazil.exists(), "there is no {}: cargo build -p frazil", frazil.display());
    Ok(frazil)
}

#[test]
fn everybody_that_debian_has_starts_the_fixture_over_a_link() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let status = bench(dir.path())
        .args(["cold-start", "--images", "hello", "--repeats", "1", "--link", "1ms/1Gbit"])
        .args(["--contenders", CONTENDERS, "--frazil"])
        .arg(frazil()?)
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

#[test]
fn a_storm_of_three_starts_ends_in_a_table() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let output = bench(dir.path())
        .args(["storm", "--image", "hello", "--starts", "3", "--siblings", "2", "--repeats", "1"])
        .args(["--link", "1ms/1Gbit", "--work-dir", "work", "--frazil"])
        .arg(frazil()?)
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "{}", output.status);
    let table = String::from_utf8(output.stdout)?;
    for storm in ["empty host cache", "warm host cache", "on one base", "pulled once", "pulled already"] {
        let row = table.lines().find(|line| line.contains(storm)).with_context(|| table.clone())?;
        assert!(!row.contains('–') || row.contains('('), "{row}");
    }
    Ok(())
}

#[test]
fn starts_from_an_origin_in_trouble_end_in_a_table_with_every_ratio_beside_the_aim() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let output = bench(dir.path())
        .args(["degraded", "--images", "hello", "--repeats", "1", "--link", "1ms/1Gbit"])
        .args([
            "--troubles",
            "none,late=10ms,refuses=/bundles/",
            "--work-dir",
            "work",
            "--out",
            "out",
            "--frazil",
        ])
        .arg(frazil()?)
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "{}", output.status);
    let table = std::fs::read_to_string(dir.path().join("out/tables.md"))?;
    assert!(!table.contains("Left out"), "{table}");
    for (trouble, ratios) in [("healthy", 2), ("10 ms later", 2), ("503 to what lies in /bundles/", 1)] {
        let row = table.lines().find(|line| line.contains(trouble)).with_context(|| table.clone())?;
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('*')).collect();
        let measured =
            [4, 6].into_iter().filter(|at| cells.get(*at).is_some_and(|cell| cell.parse::<f64>().is_ok()));
        assert_eq!((measured.count(), cells.get(7)), (ratios, Some(&"1.05")), "{row}");
    }
    Ok(())
}

#[test]
fn a_sweep_over_one_size_counts_the_chunks_of_a_recorded_start() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let output = bench(dir.path())
        .args(["sweep", "--images", "hello", "--upgrade", "hello,hello", "--sizes-kib", "128"])
        .args(["--work-dir", "work"])
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "{}", output.status);
    let table = String::from_utf8(output.stdout)?;
    let row = table.lines().find(|line| line.contains("by content 128 KiB, zstd 3")).context("no row")?;
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    let requests: u32 = cells.get(8).context("no requests")?.parse()?;
    let chunks: u32 = cells.get(2).context("no chunks")?.parse()?;
    assert!((10..chunks).contains(&requests), "a start touches some chunks and not all: {row}");
    assert_eq!(cells.get(5), Some(&"0.0"), "an image is no upgrade of itself: {row}");
    Ok(())
}
