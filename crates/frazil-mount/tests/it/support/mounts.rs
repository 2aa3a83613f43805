//! Images mounted for one test: whatever happens, nothing stays mounted.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use frazil_mount::{Face, FaceChoice, Image, ImageOptions, MountOptions, Mounted};
use tokio::runtime::Runtime;

use super::sample::{Built, Sample};
use super::tier::TestTier;

pub(crate) const FACES: [Face; 2] = [Face::Tree, Face::Erofs];

/// A mounted sample. The fields drop in order: the mount goes before its directory and its runtime.
pub(crate) struct TestMount {
    pub(crate) mounted: Option<Mounted>,
    pub(crate) image: Arc<Image>,
    pub(crate) tier: Arc<TestTier>,
    pub(crate) built: Built,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) runtime: Runtime,
}

impl TestMount {
    pub(crate) fn new(sample: &Sample, face: Face) -> Self {
        Self::with(sample, face, ImageOptions::default())
    }

    pub(crate) fn with(sample: &Sample, face: Face, options: ImageOptions) -> Self {
        let built = sample.build();
        let tier = TestTier::of(&built);
        let dir = tempfile::tempdir().unwrap();
        let runtime = runtime();
        let image = open(&built, &tier, &runtime, options);
        let mounted = runtime.block_on(mount(&image, dir.path(), face)).unwrap();
        Self { mounted: Some(mounted), image, tier, built, dir, runtime }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Unmounts; `false` if it was in use.
    pub(crate) fn unmount(&mut self) {
        let mounted = self.mounted.take().unwrap();
        self.runtime.block_on(mounted.unmount()).unwrap();
    }

    /// Waits until the session has ended.
    pub(crate) fn wait_for_end(&mut self) {
        let mounted = self.mounted.as_mut().unwrap();
        let end = async { tokio::time::timeout(Duration::from_secs(60), mounted.wait()).await };
        self.runtime.block_on(end).expect("the session did not end").unwrap();
    }
}

impl Drop for TestMount {
    fn drop(&mut self) {
        self.tier.heal();
        drop(self.mounted.take());
    }
}

pub(crate) fn runtime() -> Runtime {
    assert!(rustix::process::geteuid().is_root(), "these tests mount: run them as root");
    tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap()
}

pub(crate) fn open(
    built: &Built,
    tier: &Arc<TestTier>,
    runtime: &Runtime,
    options: ImageOptions,
) -> Arc<Image> {
    let tier: Arc<TestTier> = Arc::clone(tier);
    Image::new(built.manifest.clone(), tier, runtime.handle().clone(), options).unwrap()
}

pub(crate) async fn mount(
    image: &Arc<Image>,
    dir: &Path,
    face: Face,
) -> Result<Mounted, frazil_mount::MountError> {
    frazil_mount::mount(
        image,
        dir,
        &MountOptions { face: FaceChoice::Just(face), name: "tests/sample:1".into() },
    )
    .await
}

/// The lines of /proc/mounts about a directory.
pub(crate) fn mount_lines(dir: &Path) -> Vec<String> {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    let dir = dir.to_str().unwrap();
    mounts.lines().filter(|line| line.split(' ').nth(1) == Some(dir)).map(str::to_owned).collect()
}
