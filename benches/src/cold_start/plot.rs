//! The plot: a bar for each start, a mark for each floor, on one logarithmic scale.

use std::fmt::Write;

use super::cell::Cell;
use super::contender::Contender;
use super::floor::{Floor, series};
use super::tables::images;
use crate::link::LinkSpec;

const LABEL_WIDTH: f64 = 330.0;
const PLOT_WIDTH: f64 = 560.0;
const ROW: f64 = 20.0;
const GROUP_GAP: f64 = 44.0;
/// The scale, in seconds.
const LOW: f64 = 0.03;
const HIGH: f64 = 100.0;

/// An SVG of all images.
pub(super) fn svg(cells: &[Cell], link: LinkSpec) -> String {
    let mut body = String::new();
    let mut y = 34.0;
    // Writing to a string does not fail.
    let _ = write!(
        body,
        "<text x=\"8\" y=\"20\" font-weight=\"bold\">Seconds to the workload's line over {link} \
         (median, minimum to maximum; dashed: the floor)</text>"
    );
    for image in images(cells) {
        let _ = group(&mut body, &mut y, cells, image, link);
    }
    let (width, height) = (LABEL_WIDTH + PLOT_WIDTH + 70.0, y + 10.0);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

fn group(body: &mut String, y: &mut f64, cells: &[Cell], image: &str, link: LinkSpec) -> std::fmt::Result {
    *y += 18.0;
    writeln!(body, "<text x=\"8\" y=\"{y}\" font-weight=\"bold\">{image}</text>")?;
    let top = *y + 4.0;
    for who in Contender::ALL {
        let line = series(cells, image, who, |cell| cell.line_s);
        let (Some(median), Some((low, high))) = (line.median(), line.range()) else { continue };
        *y += ROW;
        let (bar, middle) = (*y - 13.0, *y - 6.0);
        let color = if who.is_frazil() { "#1f6feb" } else { "#9aa4af" };
        writeln!(
            body,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LABEL_WIDTH - 8.0,
            *y - 2.0,
            who.title()
        )?;
        writeln!(
            body,
            "<rect x=\"{LABEL_WIDTH}\" y=\"{bar}\" width=\"{:.1}\" height=\"14\" fill=\"{color}\"/>",
            x(median) - LABEL_WIDTH
        )?;
        writeln!(body, "<path d=\"M{:.1} {middle}H{:.1}\" stroke=\"black\"/>", x(low), x(high))?;
        writeln!(body, "<text x=\"{:.1}\" y=\"{}\">{median:.2}</text>", x(high) + 5.0, *y - 2.0)?;
    }
    if let Some(floor) = Floor::of(cells, image, link) {
        let at = x(floor.seconds);
        writeln!(
            body,
            "<path d=\"M{at:.1} {top}V{}\" stroke=\"#d1242f\" stroke-dasharray=\"4 3\"/>",
            *y + 4.0
        )?;
    }
    *y += GROUP_GAP - 18.0;
    Ok(())
}

/// Where a number of seconds lies.
fn x(seconds: f64) -> f64 {
    let share = (seconds.clamp(LOW, HIGH) / LOW).ln() / (HIGH / LOW).ln();
    LABEL_WIDTH + share * PLOT_WIDTH
}
