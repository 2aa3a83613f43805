//! A Debian root file system and packages in it, by the machine's own apt configuration.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::tool::{run, tool};

/// Newer times in the base are set to this one, so that a base of the same packages has the same bytes.
const SOURCE_DATE_EPOCH: &str = "1748736000";
const NO_SOURCES: &str = "apt lists no Debian packages on this machine: run apt-get update, or .ci/packages";

/// Debian packages, as this machine gets them.
pub(crate) struct Debian {
    /// The sources in apt's one-line form, only those that are Debian's own.
    sources: PathBuf,
    /// A directory for apt's package lists.
    lists: PathBuf,
}

impl Debian {
    /// Reads where this machine gets Debian's packages from; keeps its own files in `directory`.
    #[track_caller]
    pub(crate) fn of_this_machine(directory: &Path) -> Self {
        let debian = Self { sources: directory.join("sources.list"), lists: directory.join("lists") };
        fs::create_dir_all(debian.lists.join("partial")).unwrap();
        fs::write(&debian.sources, sources()).unwrap();
        debian
    }

    /// Writes Debian's essential packages, installed, as the tar file `tar`: a base layer.
    #[track_caller]
    pub(crate) fn base(&self, tar: &Path) {
        let options = ["--mode=root", "--variant=essential", "--format=tar", "--quiet", ""];
        run(tool("mmdebstrap")
            .args(options)
            .arg(tar)
            .arg(&self.sources)
            .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH));
    }

    /// Gets the lists of what can be installed into a root such as `root`: once, before the installs.
    #[track_caller]
    pub(crate) fn update(&self, root: &Path) {
        self.apt(root, &["update"]);
    }

    /// Installs packages into the Debian root file system `root`, and cleans up as a builder's recipe does.
    #[track_caller]
    pub(crate) fn install(&self, root: &Path, packages: &[&str]) {
        self.apt(root, &[&["install"], packages].concat());
        self.apt(root, &["clean"]);
    }

    #[track_caller]
    fn apt(&self, root: &Path, arguments: &[&str]) {
        let config = root.with_extension("apt.conf");
        fs::write(&config, self.config(root)).unwrap();
        run(tool("apt-get").arg("-q").arg("-c").arg(&config).args(arguments));
    }

    /// An apt configuration that adds to the machine's: its network settings hold, its hooks do not.
    fn config(&self, root: &Path) -> String {
        let (root, sources, lists) = (root.display(), self.sources.display(), self.lists.display());
        format!(
            r#"
            #clear DPkg::Pre-Invoke;
            #clear DPkg::Post-Invoke;
            #clear DPkg::Pre-Install-Pkgs;
            #clear APT::Update::Post-Invoke;
            #clear APT::Update::Post-Invoke-Success;
            APT::Get::Assume-Yes "true";
            APT::Install-Recommends "false";
            APT::Sandbox::User "root";
            Dir::Etc::SourceList "{sources}";
            Dir::Etc::SourceParts "-";
            Dir::State::Lists "{lists}";
            Dir::State::status "{root}/var/lib/dpkg/status";
            Dir::State::extended_states "{root}/var/lib/apt/extended_states";
            Dir::Cache "{root}/var/cache/apt";
            Dir::Log "{root}/var/log/apt";
            DPkg::Chroot-Directory "{root}";
            "#
        )
    }
}

/// One line for each source that says it is Debian; other vendors' would replace its packages.
#[track_caller]
fn sources() -> String {
    let format = "$(ORIGIN)\tdeb $(REPO_URI) $(RELEASE) $(COMPONENT)";
    let targets = run(tool("apt-get").args(["indextargets", "--format", format, "Created-By: Packages"]));
    let lines: BTreeSet<&str> = targets.lines().filter_map(|line| line.strip_prefix("Debian\t")).collect();
    assert!(!lines.is_empty(), "{NO_SOURCES}");
    lines.into_iter().fold(String::new(), |text, line| text + line + "\n")
}
