//! The tables, as Markdown: one for each image, a row for each trouble, every ratio beside the aim.

use crate::link::{LinkSpec, Trouble};
use crate::report::{Series, left_out, markdown as rows_as_markdown};

use super::Origin;
use super::cell::Cell;
use super::way::Way;

/// A start with prefetching takes at the most so many times as long as one without.
const AIM: f64 = 1.05;

const COLUMNS: [&str; 8] = [
    "without prefetching s",
    "read-ahead s",
    "÷ without",
    "with a profile s",
    "÷ without",
    "aim",
    "to the end of the command ÷ without: read-ahead; profile",
    "requests: without; read-ahead; profile",
];

/// All tables, and what is missing from them.
pub(super) fn markdown(
    cells: &[Cell],
    images: &[String],
    troubles: &[Origin],
    link: LinkSpec,
    skipped: &[String],
) -> String {
    let mut text = String::new();
    for image in images {
        let rows: Vec<_> =
            troubles.iter().map(|origin| (title(origin), row(&Measured { cells, image, origin }))).collect();
        text += &rows_as_markdown(&format!("{image}, {link}"), &COLUMNS, &rows);
    }
    text + &left_out(skipped)
}

/// What was measured of one image under one trouble.
struct Measured<'a> {
    cells: &'a [Cell],
    image: &'a str,
    origin: &'a Origin,
}

impl Measured<'_> {
    fn series(&self, way: Way, of: fn(&Cell) -> f64) -> Series {
        let (mut series, trouble) = (Series::default(), self.origin.to_string());
        let ours = |cell: &&Cell| cell.image == self.image && cell.trouble == trouble && cell.way == way;
        self.cells.iter().filter(ours).for_each(|cell| series.push(of(cell)));
        series
    }

    /// Bold where the aim is missed.
    fn ratio(&self, way: Way, of: fn(&Cell) -> f64) -> String {
        let [with, without] = [way, Way::Without].map(|way| self.series(way, of).median());
        match with.zip(without).map(|(with, without)| with / without) {
            None => "–".to_owned(),
            Some(ratio) if ratio > AIM => format!("**{ratio:.2}**"),
            Some(ratio) => format!("{ratio:.2}"),
        }
    }

    fn requests(&self, way: Way) -> String {
        let median = self.series(way, |cell| cell.requests as f64).median();
        median.map_or_else(|| "–".to_owned(), |requests| format!("{requests:.0}"))
    }
}

fn row(measured: &Measured<'_>) -> Vec<String> {
    let line = |cell: &Cell| cell.line_s;
    let ends = [Way::ReadAhead, Way::Profile].map(|way| measured.ratio(way, |cell| cell.end_s));
    vec![
        measured.series(Way::Without, line).cell(),
        measured.series(Way::ReadAhead, line).cell(),
        measured.ratio(Way::ReadAhead, line),
        measured.series(Way::Profile, line).cell(),
        measured.ratio(Way::Profile, line),
        AIM.to_string(),
        ends.join("; "),
        Way::ALL.map(|way| measured.requests(way)).join("; "),
    ]
}

fn title(origin: &Origin) -> String {
    match &origin.0 {
        None => "healthy".to_owned(),
        Some(Trouble::Late(late)) => format!("every answer {} ms later", late.as_millis()),
        Some(Trouble::Narrow(bits)) => format!("{} MB/s for all together", bits / 8e6),
        Some(Trouble::Fails(of)) => format!("503 to one request of {of}"),
        Some(Trouble::Stalls(of)) => format!("one answer of {of} stalls in its middle"),
        Some(Trouble::Refuses(path)) => format!("503 to what lies in {path}"),
        Some(Trouble::Swallows(path)) => format!("no answer to what lies in {path}"),
        Some(Trouble::Halts(path)) => format!("every answer stalls after 1 MiB of what lies in {path}"),
    }
}
