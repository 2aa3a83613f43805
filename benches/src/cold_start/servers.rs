//! What lies behind the link: a real registry for pulls, a static web server for everything else.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::process::{Daemon, free_address, tethered};
use crate::link::{Link, LinkSpec, Traffic, Trouble};

/// The servers, the link to them, and their addresses on this side of it.
pub(crate) struct Servers {
    link: Link,
    /// The registry over the link.
    pub(crate) registry: SocketAddr,
    /// The registry itself, for pushing.
    pub(crate) registry_behind: SocketAddr,
    /// The web server over the link.
    pub(crate) web: SocketAddr,
    _daemons: [Daemon; 2],
}

/// What the web server serves, below the benchmark's directory.
pub(crate) fn web_root(work: &Path) -> PathBuf {
    work.join("www")
}

/// What the registry serves.
pub(crate) fn registry_root(work: &Path) -> PathBuf {
    work.join("registry")
}

impl Servers {
    /// Starts them; they keep their data below `work`.
    pub(crate) fn start(work: &Path, spec: LinkSpec) -> anyhow::Result<Self> {
        let run = work.join("run");
        std::fs::create_dir_all(&run)?;
        std::fs::create_dir_all(web_root(work))?;
        let (registry_behind, web_behind) = (free_address()?, free_address()?);
        let registry_daemon = start_registry(work, &run, registry_behind)
            .context("docker-registry runs: install the package docker-registry")?;
        let web_daemon =
            start_web(work, &run, web_behind).context("nginx runs: install the package nginx-light")?;
        let mut link = Link::new(spec);
        let (registry, web) = (link.open(registry_behind)?, link.open(web_behind)?);
        Ok(Self { link, registry, registry_behind, web, _daemons: [registry_daemon, web_daemon] })
    }

    /// From now on they are in this trouble, or in none.
    pub(crate) fn suffer(&self, trouble: Option<Trouble>, seed: u64) {
        self.link.suffer(trouble, seed);
    }

    pub(crate) fn traffic(&self) -> Traffic {
        self.link.traffic()
    }
}

fn start_registry(work: &Path, run: &Path, address: SocketAddr) -> anyhow::Result<Daemon> {
    let config = serde_json::json!({
        "version": "0.1",
        "log": { "level": "error", "accesslog": { "disabled": true } },
        "storage": { "filesystem": { "rootdirectory": registry_root(work) } },
        "http": { "addr": address.to_string() },
    });
    // Its configuration is YAML, which JSON is.
    let file = run.join("registry.yml");
    std::fs::write(&file, config.to_string())?;
    let mut daemon =
        Daemon::start(tethered("docker-registry").arg("serve").arg(&file), &run.join("registry.log"))?;
    daemon.until_it_listens(address)?;
    Ok(daemon)
}

fn start_web(work: &Path, run: &Path, address: SocketAddr) -> anyhow::Result<Daemon> {
    let (root, run_shown) = (web_root(work), run.display());
    let mut config = format!(
        "daemon off; master_process off; user root; pid {run_shown}/nginx.pid; error_log {run_shown}/nginx.err;\n\
         events {{ worker_connections 8192; }}\n\
         http {{ access_log off; sendfile on; tcp_nodelay on; keepalive_requests 10000000; keepalive_timeout 3600s;\n"
    );
    for place in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(config, "{place}_temp_path {run_shown}/{place};")?;
    }
    writeln!(config, "server {{ listen {address}; root {}; }} }}", root.display())?;
    let file = run.join("nginx.conf");
    std::fs::write(&file, config)?;
    let mut command = tethered("nginx");
    command.arg("-p").arg(run).arg("-e").arg(run.join("nginx.err")).arg("-c").arg(&file);
    let mut daemon = Daemon::start(&mut command, &run.join("nginx.log"))?;
    daemon.until_it_listens(address)?;
    Ok(daemon)
}
