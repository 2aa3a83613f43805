//! Running the real tools that images are judged by.

use std::process::{Command, Output};

/// Starts a command of `program`, which Debian has in `package`; a missing one fails the test, by name.
pub(crate) fn tool(program: &str, package: &str) -> Command {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    assert!(found, "{program} is missing: apt-get install {package}");
    Command::new(program)
}

/// Runs a command to its end, and fails the test with what it said if it did not succeed.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {said}");
    output
}

/// `skopeo copy`, with what a test machine needs: no signature policy, no TLS, nobody's credentials.
pub(crate) fn skopeo_copy(from: &str, to: &str, more: &[&str]) {
    let mut command = tool("skopeo", "skopeo");
    command.args(["--insecure-policy", "copy", "--quiet"]);
    command.args(["--src-tls-verify=false", "--dest-tls-verify=false"]).args(more);
    let nobody = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(nobody.path(), "{}").unwrap();
    run(command.arg(from).arg(to).env("REGISTRY_AUTH_FILE", nobody.path()));
}
