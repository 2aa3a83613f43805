//! The tables, as Markdown: one for each image.

use std::fmt::Write;

use super::cell::Cell;
use super::contender::Contender;
use super::floor::{Floor, median, series};
use crate::link::LinkSpec;
use crate::report::left_out;

/// The images that there are cells of, in the order of the catalog.
pub(super) fn images(cells: &[Cell]) -> Vec<&'static str> {
    let names = super::catalog::WORKLOADS.iter().map(|workload| workload.name);
    names.filter(|name| cells.iter().any(|cell| cell.image == *name)).collect()
}

/// All tables, and what is missing from them.
pub(super) fn markdown(cells: &[Cell], link: LinkSpec, skipped: &[String]) -> String {
    let mut text = String::new();
    for image in images(cells) {
        // Writing to a string does not fail.
        let _ = table(&mut text, cells, image, link);
    }
    text + &left_out(skipped)
}

fn table(text: &mut String, cells: &[Cell], image: &str, link: LinkSpec) -> std::fmt::Result {
    writeln!(text, "\n### {image}, {link}\n")?;
    let floor = Floor::of(cells, image, link);
    if let Some(floor) = floor {
        writeln!(
            text,
            "Floor: **{:.3} s**, the larger of {:.3} s (local copy, cold) and {:.1} MB at the link's bandwidth, plus two \
             round trips.\n",
            floor.seconds,
            floor.local_s,
            floor.needed_bytes / 1e6
        )?;
    }
    writeln!(
        text,
        "| | mounted s | line s | × floor | MB | requests | connections | agent CPU s | agent MB |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|---|---|")?;
    for who in Contender::ALL {
        let Some(line) = median(cells, image, who, |cell| cell.line_s) else { continue };
        let ratio = floor.map_or_else(|| "–".to_owned(), |floor| format!("{:.2}", line / floor.seconds));
        let cell = |of: fn(&Cell) -> f64| series(cells, image, who, of).cell();
        let middle = |of: fn(&Cell) -> f64| {
            let value = median(cells, image, who, of).unwrap_or_default();
            if value > 0.0 && value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") }
        };
        writeln!(
            text,
            "| {} | {} | {} | {ratio} | {} | {} | {} | {} | {} |",
            who.title(),
            middle(|cell| cell.mounted_s),
            cell(|cell| cell.line_s),
            middle(|cell| cell.down_bytes as f64 / 1e6),
            middle(|cell| cell.requests as f64),
            middle(|cell| cell.connections as f64),
            middle(|cell| cell.agent_cpu_s),
            middle(|cell| cell.agent_memory_bytes as f64 / 1e6),
        )?;
    }
    Ok(())
}
