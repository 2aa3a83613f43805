//! Images on one base: the scene's image, each with one more small layer, in the same store.

use std::fs;
use std::process::Command;

use anyhow::Context;

use crate::cold_start::scene::Scene;
use crate::measure::measure;

/// How many there are.
pub(super) struct Siblings(usize);

fn name(number: usize) -> String {
    format!("sibling-{number}")
}

impl Siblings {
    /// Makes them and converts them into the store of the scene's image.
    pub(super) fn prepare(scene: &Scene<'_>, count: usize) -> anyhow::Result<Self> {
        let (store, keys) = scene.store()?;
        scene.once(&scene.here.join(format!("siblings-{count}-{}", scene.tools.build)), || {
            let dir = tempfile::tempdir_in(&scene.here)?;
            let layout = dir.path().join("layout");
            let from = format!("oci:{}:{}", scene.layout.dir.display(), scene.layout.tag);
            let base = format!("oci:{}:base", layout.display());
            measure(Command::new("skopeo").args(["copy", "--quiet", &from, &base]))
                .context("skopeo runs: install the package skopeo")?;
            for number in 0..count {
                let tree = dir.path().join(name(number));
                fs::create_dir_all(tree.join("srv/sibling"))?;
                fs::write(tree.join("srv/sibling/name"), name(number))?;
                let tar = dir.path().join("layer.tar");
                measure(Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(&tree).arg("srv"))?;
                measure(
                    Command::new("umoci")
                        .args(["tag", "--image"])
                        .arg(format!("{}:base", layout.display()))
                        .arg(name(number)),
                )?;
                let image = format!("{}:{}", layout.display(), name(number));
                measure(Command::new("umoci").args(["raw", "add-layer", "--image", &image]).arg(&tar))
                    .context("umoci runs: install the package umoci")?;
                let mut convert = Command::new(&scene.tools.frazil);
                convert.arg("--store").arg(&store).arg("--keys").arg(&keys).arg("convert");
                measure(convert.arg(format!("oci:{image}")).args(["--name", &name(number)]))?;
            }
            Ok(())
        })?;
        Ok(Self(count))
    }

    /// Their names in the store.
    pub(super) fn names(&self) -> Vec<String> {
        (0..self.0).map(name).collect()
    }
}
