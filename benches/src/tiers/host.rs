//! A host cache in a process of its own, with every chunk of the benchmark in its memory.

use std::fmt;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use bytes::Bytes;
use frazil_cache::host::{Catalog, HostError, HostServer, HostSocket, Named, ServerOptions};
use frazil_cache::{ErrorClass, Memory};
use frazil_format::{ManifestId, RootId};
use frazil_store::ImageName;

use super::CHUNK_LEN;
use crate::fleet::{Source, chunks};

/// The process; it ends with the value.
pub(super) struct HostProcess(Child);

impl HostProcess {
    pub(super) fn start(socket: &Path) -> anyhow::Result<Self> {
        let mut process = Command::new("setpriv")
            // It must not outlive this process, however that ends.
            .args(["--pdeathsig", "KILL"])
            .arg(std::env::current_exe()?)
            .args(["tiers", "--role", &format!("serve={}", socket.display())])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut ready = [0];
        process.stdout.take().context("standard output was not piped")?.read_exact(&mut ready)?;
        Ok(Self(process))
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What that process does.
pub(super) fn serve(socket: &Path) -> anyhow::Result<()> {
    let all = chunks(CHUNK_LEN);
    let memory = Arc::new(Memory::new(Arc::new(Source::new(&all)), 1 << 30));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let socket = HostSocket::bind(socket, 0o600)?;
    let server = HostServer::new(memory, Arc::new(Nothing), ServerOptions::default());
    std::io::stdout().write_all(b"!")?;
    std::io::stdout().flush()?;
    Ok(runtime.block_on(server.serve(&socket, std::future::pending()))?)
}

/// No names and no manifests.
#[derive(Debug)]
struct Nothing;

#[async_trait]
impl Catalog for Nothing {
    async fn reference(&self, _: &str, _: &ImageName) -> Result<Option<Named>, HostError> {
        Ok(None)
    }

    async fn manifest(&self, _: RootId, id: &ManifestId) -> Result<Bytes, HostError> {
        let source = Arc::new(std::io::Error::other("there is none"));
        Err(HostError::LookUp { what: format!("manifest {id}"), class: ErrorClass::NotFound, source })
    }
}

impl fmt::Display for Nothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }
}
