//! A real registry (Debian's `docker-registry`) on a free loopback port, for the length of a test.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::tools::{run, tool};

/// Tries to find a free port: another process may take one between our look and the registry's.
const MAX_STARTS: usize = 5;
const MAX_POLLS: usize = 400;
const POLL_INTERVAL: Duration = Duration::from_millis(50);

const CERTIFICATE: &str = "certificate.pem";

/// The user of a registry that asks for one.
pub(crate) const USER: &str = "frazil";
/// Their password.
pub(crate) const PASSWORD: &str = "frazil-test-secret";
/// bcrypt of the password, the only kind that docker-registry takes.
const PASSWORD_HASH: &str = "$2b$05$abcdefghijklmnopqrstuu9Ahz7sjBBEnHPIbO3g1FwrhqGN7HRzy";

/// Whom a registry lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Anyone,
    /// Only [`USER`], by HTTP Basic.
    Password,
    /// Anyone who speaks TLS and trusts [`Registry::certificate`].
    Tls,
}

/// A running registry; it ends, and its data go, when this is dropped.
pub(crate) struct Registry {
    process: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Registry {
    pub(crate) fn start(admission: Admission) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..MAX_STARTS {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let config = write_config(dir.path().to_owned(), port, admission);
            let mut process = tool("docker-registry", "docker-registry")
                .arg("serve")
                .arg(config)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            if answers(&mut process, port) {
                return Self { process, port, dir };
            }
            drop(process.kill());
            drop(process.wait());
        }
        panic!("docker-registry did not start");
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The source string of an image: `docker://HOST/NAME`.
    pub(crate) fn source(&self, name: &str) -> String {
        format!("docker://{}/{name}", self.host())
    }

    /// The certificate to trust, of a registry that speaks TLS.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.dir.path().join(CERTIFICATE)
    }

    /// Where the registry keeps its blobs.
    pub(crate) fn blob_path(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let blobs = self.dir.path().join("data/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// A docker `config.json` that holds `password` for this registry's user.
    pub(crate) fn docker_config(&self, password: &str) -> PathBuf {
        let path = self.dir.path().join("config.json");
        let config = serde_json::json!({"auths": {self.host(): {"username": USER, "password": password}}});
        fs::write(&path, config.to_string()).unwrap();
        path
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn write_config(dir: PathBuf, port: u16, admission: Admission) -> PathBuf {
    let mut config = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem:\n    rootdirectory: {0}/data\n  \
         delete: {{enabled: true}}\nhttp:\n  addr: 127.0.0.1:{port}\n",
        dir.display()
    );
    if admission == Admission::Password {
        let passwords = dir.join("htpasswd");
        fs::write(&passwords, format!("{USER}:{PASSWORD_HASH}\n")).unwrap();
        config += &format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", passwords.display());
    }
    if admission == Admission::Tls {
        let (certificate, key) = (dir.join(CERTIFICATE), dir.join("key.pem"));
        let mut openssl = tool("openssl", "openssl");
        openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]);
        openssl.args(["-addext", "subjectAltName=IP:127.0.0.1"]);
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        run(openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate));
        config += &format!("  tls: {{certificate: {}, key: {}}}\n", certificate.display(), key.display());
    }
    let path = dir.join("registry.yml");
    fs::write(&path, config).unwrap();
    path
}

/// Waits until something listens; false if the process ended instead.
fn answers(process: &mut Child, port: u16) -> bool {
    for _ in 0..MAX_POLLS {
        if process.try_wait().unwrap().is_some() {
            return false;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    false
}
