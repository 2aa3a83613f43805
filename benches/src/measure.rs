//! One process, measured by the operating system's own account of it.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// What one run of a process cost.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    /// From start to exit.
    pub(crate) wall: Duration,
    /// User and system time, all threads.
    pub(crate) cpu: Duration,
    /// The largest resident set, in bytes.
    pub(crate) peak_memory_bytes: u64,
}

/// Runs `command` to its end and says what it cost; an error if it fails.
pub(crate) fn measure(command: &mut Command) -> anyhow::Result<Cost> {
    let shown = format!("{command:?}");
    let started = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {shown}"))?;
    let (status, usage) = wait(child)?;
    let wall = started.elapsed();
    if !status.success() {
        bail!("{shown} failed: {status}");
    }
    Ok(Cost {
        wall,
        cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
        peak_memory_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
    })
}

fn wait(mut child: std::process::Child) -> anyhow::Result<(ExitStatus, libc::rusage)> {
    // The child's errors are kept from a full pipe by passing them on as they come.
    let mut errors = child.stderr.take().context("standard error was not piped")?;
    let relay = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = std::io::Read::read_to_end(&mut errors, &mut text);
        text
    });
    let mut status = 0;
    // SAFETY: an all-zero `rusage` is a valid value of this plain C structure.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the child was started here and is waited for only here; both pointers outlive the call.
    let pid = unsafe { libc::wait4(child.id().cast_signed(), &raw mut status, 0, &raw mut usage) };
    if pid < 0 {
        return Err(std::io::Error::last_os_error()).context("cannot wait for the process");
    }
    let status = ExitStatus::from_raw(status);
    let text = relay.join().unwrap_or_default();
    if !status.success() {
        eprintln!("{}", String::from_utf8_lossy(&text));
    }
    Ok((status, usage))
}

fn duration(time: libc::timeval) -> Duration {
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_usec).unwrap_or(0) * 1000)
}

/// Writes back and drops the page cache, dentries and inodes of the whole machine (needs root).
pub(crate) fn drop_caches() -> anyhow::Result<()> {
    rustix::fs::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "3").context("cannot drop the page cache: run as root")
}
