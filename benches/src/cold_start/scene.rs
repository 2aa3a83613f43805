//! An image made ready for every contender: pushed, converted, unpacked. Each step is done once and kept, until
//! the image in the layout is another one.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::catalog::Workload;
use super::servers::{Servers, registry_root, web_root};
use crate::measure::{drop_caches, measure};
use crate::nydus;
use crate::oci::Layout;

/// Where the programs are.
pub(crate) struct Tools {
    pub(crate) frazil: PathBuf,
    pub(crate) peers: PathBuf,
    /// Which build of Frazil it is: what one has converted, another one converts again.
    pub(crate) build: String,
}

/// An image, its places, and what serves it.
pub(crate) struct Scene<'a> {
    pub(crate) workload: &'static Workload,
    pub(crate) servers: &'a Servers,
    pub(crate) tools: &'a Tools,
    pub(crate) layout: Layout,
    /// What the web server serves of it.
    pub(crate) web: PathBuf,
    /// What stays on this side of the link: keys, the unpacked copy.
    pub(crate) here: PathBuf,
    work: PathBuf,
}

/// The name that Frazil's store and the registry know the image by.
pub(crate) const NAME: &str = "bench";

impl<'a> Scene<'a> {
    /// Opens the layout and makes the places.
    pub(crate) fn of(
        workload: &'static Workload,
        layout: Layout,
        servers: &'a Servers,
        tools: &'a Tools,
        work: &Path,
    ) -> anyhow::Result<Self> {
        let web = web_root(work).join(workload.tag);
        let here = work.join("here").join(workload.tag);
        fs::create_dir_all(&here)?;
        let scene = Self { workload, servers, tools, layout, web, here, work: work.to_owned() };
        let digest = scene.layout.manifest.clone();
        let mark = scene.here.join("manifest");
        if fs::read_to_string(&mark).ok().as_deref() != Some(&digest) {
            fs::remove_dir_all(&scene.here)?;
            if scene.web.exists() {
                fs::remove_dir_all(&scene.web)?;
            }
            fs::create_dir_all(&scene.here)?;
            fs::create_dir_all(&scene.web)?;
            fs::write(mark, digest)?;
        }
        Ok(scene)
    }

    /// Does a step unless it was done; `step` finds nothing of an earlier attempt at `place`.
    pub(crate) fn once(&self, place: &Path, step: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let name = place.strip_prefix(&self.web).or_else(|_| place.strip_prefix(&self.here))?;
        let mark = self.here.join(format!("{}.done", name.display()).replace('/', "-"));
        if mark.exists() {
            return Ok(());
        }
        match fs::symlink_metadata(place) {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(place)?,
            Ok(_) => fs::remove_file(place)?,
            Err(_) => {}
        }
        eprintln!("preparing {} of {}", name.display(), self.workload.tag);
        step()?;
        Ok(fs::write(mark, "")?)
    }

    /// The image in the registry.
    pub(crate) fn reference(&self, registry: std::net::SocketAddr) -> String {
        format!("{registry}/{}:latest", self.workload.tag)
    }

    /// Pushes the image, gzip layers as they are.
    pub(crate) fn push(&self) -> anyhow::Result<()> {
        let here = self.here.join("pushed");
        self.once(&here, || {
            let source = format!("oci:{}:{}", self.layout.dir.display(), self.layout.tag);
            let to = format!("docker://{}", self.reference(self.servers.registry_behind));
            measure(Command::new("skopeo").args([
                "copy",
                "--quiet",
                "--dest-tls-verify=false",
                &source,
                &to,
            ]))
            .context("skopeo runs: install the package skopeo")?;
            Ok(())
        })
    }

    /// Where the registry keeps the layers.
    pub(crate) fn pushed_layers(&self) -> Vec<PathBuf> {
        let blobs = registry_root(&self.work).join("docker/registry/v2/blobs/sha256");
        let names = self.layout.layers.iter().filter_map(|layer| layer.file_name()?.to_str());
        names.filter_map(|name| Some(blobs.join(name.get(..2)?).join(name).join("data"))).collect()
    }

    /// The image unpacked on the local disk.
    pub(crate) fn unpacked(&self) -> anyhow::Result<PathBuf> {
        let place = self.here.join("unpacked");
        self.once(&place, || {
            let image = format!("{}:{}", self.layout.dir.display(), self.layout.tag);
            let bundle = self.here.join("bundle");
            if bundle.exists() {
                fs::remove_dir_all(&bundle)?;
            }
            measure(Command::new("umoci").args(["unpack", "--image", &image]).arg(&bundle))
                .context("umoci runs: install the package umoci")?;
            fs::rename(bundle.join("rootfs"), &place)?;
            Ok(fs::remove_dir_all(bundle)?)
        })?;
        Ok(place)
    }

    /// One EROFS image of the tree.
    pub(crate) fn erofs(&self) -> anyhow::Result<PathBuf> {
        let place = self.web.join("image.erofs");
        let tree = self.unpacked()?;
        self.once(&place, || {
            measure(Command::new("mkfs.erofs").args(["--quiet", "-zlz4hc"]).arg(&place).arg(tree))
                .context("mkfs.erofs runs: install the package erofs-utils")?;
            Ok(())
        })?;
        Ok(place)
    }

    /// Frazil's store, to be published, and the keys, which are not.
    pub(crate) fn store(&self) -> anyhow::Result<(PathBuf, PathBuf)> {
        let store = self.web.join(format!("store-{}", self.tools.build));
        let keys = self.here.join(format!("keys-{}", self.tools.build));
        self.once(&store, || {
            let source = format!("oci:{}:{}", self.layout.dir.display(), self.layout.tag);
            let mut convert = Command::new(&self.tools.frazil);
            convert.arg("--store").arg(&store).arg("--keys").arg(&keys);
            measure(convert.args(["convert", &source, "--name", NAME]))?;
            Ok(())
        })?;
        Ok((store, keys))
    }

    /// Nydus's blobs, where a registry would have them, and a merged bootstrap; with a list, one that prefetches it.
    pub(crate) fn nydus(&self, traced: Option<&str>) -> anyhow::Result<PathBuf> {
        let nydus_image = self.tools.peers.join("nydus-image");
        ensure!(nydus_image.exists(), "there is no {}: run benches/peers", nydus_image.display());
        let place = self.web.join("nydus");
        let plain = place.join("bootstrap");
        self.once(&place, || {
            fs::create_dir(&place)?;
            nydus::convert(&nydus_image, &self.layout, &place, &plain)?;
            // nydusd asks for `/v2/REPOSITORY/blobs/sha256:ID`.
            let registry = self.web.with_file_name("v2").join(self.workload.tag);
            if registry.exists() {
                fs::remove_dir_all(&registry)?;
            }
            let blobs = registry.join("blobs");
            fs::create_dir_all(&blobs)?;
            for blob in fs::read_dir(place.join("blobs"))? {
                let blob = blob?;
                let name = format!("sha256:{}", blob.file_name().display());
                fs::hard_link(blob.path(), blobs.join(name))?;
            }
            Ok(())
        })?;
        let Some(traced) = traced else { return Ok(plain) };
        let bootstrap = place.join(format!("bootstrap-{}", self.workload.name));
        self.once(&bootstrap, || {
            let layers = self.layout.layers.iter().filter_map(|layer| layer.file_name());
            nydus::merge_with_prefetch(&nydus_image, layers.map(|id| place.join(id)), &bootstrap, traced)
        })?;
        Ok(bootstrap)
    }

    /// Drops every cache of this machine, then warms what is not the image's: the programs, and what the server on the
    /// other side of the link would have in its memory.
    pub(crate) fn cold(&self, served: &[PathBuf]) -> anyhow::Result<()> {
        drop_caches()?;
        let mut programs = vec![self.tools.frazil.clone(), self.tools.peers.join("nydusd")];
        for name in [
            "bin/ctr",
            "bin/containerd",
            "bin/containerd-shim-runc-v2",
            "sbin/runc",
            "bin/curl",
            "bin/mount",
            "bin/setpriv",
            "sbin/losetup",
        ] {
            programs.push(Path::new("/usr").join(name));
        }
        for program in programs.iter().filter(|program| program.exists()) {
            read_all(program)?;
        }
        served.iter().try_for_each(|place| read_all(place))
    }

    /// A directory for one run, gone with it.
    pub(crate) fn cell(&self) -> anyhow::Result<tempfile::TempDir> {
        Ok(tempfile::Builder::new().prefix("cell").tempdir_in(&self.here)?)
    }

    /// The image's program in a tree that is not a container's.
    pub(crate) fn launch(&self, tree: &Path, cell: &Path) -> anyhow::Result<Command> {
        let stage = cell.join("stage");
        fs::create_dir_all(&stage)?;
        let mut command = Command::new("/proc/self/exe");
        command.arg("launch").arg(tree).arg(stage).arg("--").args(self.workload.argv).stdin(Stdio::null());
        Ok(command)
    }
}

/// Reads a file, or all below a directory, into the page cache.
fn read_all(place: &Path) -> anyhow::Result<()> {
    if place.is_dir() {
        for entry in fs::read_dir(place)? {
            let entry = entry?;
            if !entry.file_type()?.is_symlink() {
                read_all(&entry.path())?;
            }
        }
        return Ok(());
    }
    let mut file = fs::File::open(place).with_context(|| format!("cannot read {}", place.display()))?;
    let mut buffer = vec![0; 1 << 20];
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}
