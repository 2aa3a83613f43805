//! Storms: many starts at the same moment on one host, of one image and of ten images on one base.
//!
//! Every start is the whole way from the image's name to the workload's line. A storm's figures are starts a second,
//! from the first name to the last line, and the slowest start.

mod herd;
mod siblings;

use std::time::{Duration, Instant};

use clap::Args;

use crate::cold_start::Places;
use crate::cold_start::catalog::workload;
use crate::cold_start::containerd::Containerd;
use crate::cold_start::frazil::{HostCache, add_workload, published};
use crate::cold_start::nydus::{Nydusd, Prefetch};
use crate::cold_start::process::Speaker;
use crate::cold_start::scene::{NAME, Scene};
use crate::cold_start::servers::Servers;
use crate::link::LinkSpec;
use crate::report::{Series, table};
use herd::Herd;
use siblings::Siblings;

/// What a storm needs to know.
#[derive(Args)]
pub(crate) struct Setup {
    /// The image: a name of the cold-start benchmark
    #[arg(long, default_value = "python")]
    image: String,
    /// How many starts at once
    #[arg(long, value_delimiter = ',', default_value = "50,200")]
    starts: Vec<usize>,
    /// How many images on one base
    #[arg(long, default_value_t = 10)]
    siblings: usize,
    /// How often each storm is raised
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// No storm is raised later than this many minutes after the first
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// The most seconds that one storm may take
    #[arg(long, default_value_t = 120)]
    limit_s: u64,
    /// Round trip and bandwidth
    #[arg(long, default_value = "5ms/1Gbit")]
    link: LinkSpec,
    #[command(flatten)]
    places: Places,
}

/// Who takes part, and what is warm.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Storm {
    FrazilCold,
    FrazilWarm,
    FrazilSiblings,
    ContainerdCold,
    ContainerdPulled,
    Nydus,
}

impl Storm {
    const ALL: [Self; 6] = [
        Self::FrazilCold,
        Self::FrazilWarm,
        Self::FrazilSiblings,
        Self::ContainerdCold,
        Self::ContainerdPulled,
        Self::Nydus,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::FrazilCold => "Frazil, one image, empty host cache",
            Self::FrazilWarm => "Frazil, one image, warm host cache",
            Self::FrazilSiblings => "Frazil, ten images on one base, empty host cache",
            Self::ContainerdCold => "containerd, one image, pulled once",
            Self::ContainerdPulled => "containerd, one image, pulled already",
            Self::Nydus => "Nydus 2.2, a nydusd for each start",
        }
    }
}

/// Figures over the repeats.
#[derive(Default)]
struct Figures {
    rate: Series,
    slowest: Series,
    megabytes: Series,
    requests: Series,
}

/// Raises the storms and prints a table for each number of starts.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<()> {
    let (work, tools) = (setup.places.work()?, setup.places.tools()?);
    let workload = workload(&setup.image)?;
    let servers = Servers::start(&work, setup.link)?;
    let scene = Scene::of(workload, setup.places.layout(workload, &work)?, &servers, &tools, &work)?;
    let siblings = Siblings::prepare(&scene, setup.siblings)?;
    let started = Instant::now();
    for &starts in &setup.starts {
        let mut storms: Vec<(Storm, Figures)> =
            Storm::ALL.into_iter().map(|storm| (storm, Figures::default())).collect();
        for _ in 0..setup.repeats {
            storms.retain_mut(|(storm, figures)| {
                if started.elapsed().as_secs_f64() > setup.minutes * 60.0 {
                    eprintln!("{starts} × {}: the time is over", storm.title());
                    return true;
                }
                match raise(*storm, &scene, &siblings, starts, Duration::from_secs(setup.limit_s)) {
                    Ok(herd) => {
                        figures.rate.push(starts as f64 / herd.last.as_secs_f64());
                        figures.slowest.push(herd.slowest.as_secs_f64());
                        figures.megabytes.push(herd.traffic.down_bytes as f64 / 1e6);
                        figures.requests.push(herd.traffic.exchanges as f64);
                        eprintln!("{starts} × {}: {:.2} s", storm.title(), herd.last.as_secs_f64());
                        true
                    }
                    Err(error) => {
                        eprintln!("{starts} × {} is left out: {error:#}", storm.title());
                        false
                    }
                }
            });
        }
        let rows: Vec<_> = storms
            .into_iter()
            .map(|(storm, figures)| {
                let Figures { rate, slowest, megabytes, requests } = figures;
                let cells = [rate, slowest, megabytes, requests].iter().map(Series::cell).collect();
                (storm.title().to_owned(), cells)
            })
            .collect();
        let title = format!("{starts} starts of {} at once, {}", setup.image, setup.link);
        table(&title, &["starts a second", "slowest start s", "MB", "requests"], &rows);
    }
    Ok(())
}

fn raise(
    storm: Storm,
    scene: &Scene<'_>,
    siblings: &Siblings,
    starts: usize,
    limit: Duration,
) -> anyhow::Result<Herd> {
    let cell = scene.cell()?;
    match storm {
        Storm::FrazilCold | Storm::FrazilWarm | Storm::FrazilSiblings => {
            let (store, keys) = scene.store()?;
            let host = HostCache::start(scene, cell.path(), &cell.path().join("disk"), &[])?;
            let names = if storm == Storm::FrazilSiblings { siblings.names() } else { vec![NAME.to_owned()] };
            let start = |number: usize| {
                let mut command = published(scene, &keys);
                command.arg("run").arg("--cache").arg(&host.socket).arg("--no-summary");
                let name = names.get(number % names.len()).map_or(NAME, String::as_str);
                add_workload(&mut command, scene, name, &cell.path().join(number.to_string()), &[])?;
                Speaker::start(&mut command).map(|speaker| (speaker, ()))
            };
            if storm == Storm::FrazilWarm {
                Herd::start(1, scene, limit, start)?;
            }
            scene.cold(&[store])?;
            Herd::start(starts, scene, limit, start)
        }
        Storm::ContainerdCold | Storm::ContainerdPulled => {
            scene.push()?;
            let containerd = Containerd::start(cell.path())?;
            let reference = scene.reference(scene.servers.registry);
            if storm == Storm::ContainerdPulled {
                containerd.pull(&reference)?;
            }
            scene.cold(&scene.pushed_layers())?;
            let (began, before) = (Instant::now(), scene.servers.traffic());
            if storm == Storm::ContainerdCold {
                containerd.pull(&reference)?;
            }
            let pulled = began.elapsed();
            let herd = Herd::start(starts, scene, limit, |number| {
                let mut command = containerd.run(&reference, &format!("bench-{number}"), scene.workload.argv);
                Speaker::start(&mut command).map(|speaker| (speaker, ()))
            })?;
            let traffic = scene.servers.traffic() - before;
            Ok(Herd { last: herd.last + pulled, slowest: herd.slowest + pulled, traffic })
        }
        Storm::Nydus => {
            let bootstrap = scene.nydus(None)?;
            let blobs = scene.web.with_file_name("v2").join(scene.workload.tag).join("blobs");
            scene.cold(&[blobs, bootstrap.clone()])?;
            Herd::start(starts, scene, limit, |number| {
                let own = cell.path().join(number.to_string());
                std::fs::create_dir(&own)?;
                let nydusd = Nydusd::start(scene, &bootstrap, Prefetch::None, &own)?;
                let speaker = Speaker::start(&mut scene.launch(nydusd.mount_point(), &own)?)?;
                Ok((speaker, nydusd))
            })
        }
    }
}
