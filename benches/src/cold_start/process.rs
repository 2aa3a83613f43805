//! Processes that a benchmark starts: none outlives it, and what each costs is read from the kernel's account while
//! it lives.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to listen, and a process to end when it is told to.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// How often a process's account is read: the kernel's own unit of it.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(10);
/// The clock ticks of `/proc/PID/stat`, a constant of the kernel's interface.
const TICKS_A_SECOND: f64 = 100.0;

/// A command that ends when this process does, however that ends.
pub(crate) fn tethered(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).stdin(Stdio::null());
    command
}

/// A server, told to end and waited for when dropped.
pub(crate) struct Daemon {
    process: Child,
    name: String,
}

impl Daemon {
    /// Starts it; its words go to a log.
    pub(crate) fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let name = format!("{command:?}");
        let log = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        let process = command
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { process, name })
    }

    /// Waits until `ready` says so.
    pub(crate) fn until(&mut self, mut ready: impl FnMut() -> bool) -> anyhow::Result<()> {
        let started = Instant::now();
        while !ready() {
            if let Some(status) = self.process.try_wait()? {
                bail!("{} ended before it was ready: {status}", self.name);
            }
            if started.elapsed() > PATIENCE {
                bail!("{} is not ready after {PATIENCE:?}", self.name);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Waits until it listens.
    pub(crate) fn until_it_listens(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        self.until(|| TcpStream::connect(address).is_ok())
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let told = Instant::now();
        while told.elapsed() < PATIENCE && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(POLL_INTERVAL);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An address of the loopback that nobody listens on.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// What processes have cost from the first look at them to the last.
#[derive(Clone, Copy, Default)]
pub(crate) struct Account {
    /// User and system time of the processes themselves and of the agents that they started.
    pub(crate) cpu_s: f64,
    /// The largest resident sets, added up.
    pub(crate) memory_bytes: u64,
}

/// Looks at processes again and again until it is read.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Account>,
}

impl Watch {
    /// Watches processes; what those that `run` has cost so far does not count, but their memory does.
    pub(crate) fn over(ids: Vec<u32>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let mut before: HashMap<u32, f64> = ids.iter().map(|&id| (id, cpu_s(id).unwrap_or(0.0))).collect();
        for id in &ids {
            // Resets the largest resident set (proc(5)).
            let _ = std::fs::write(format!("/proc/{id}/clear_refs"), "5");
        }
        let thread = std::thread::spawn(move || {
            let mut last = HashMap::<u32, Account>::new();
            loop {
                let ends = seen.load(Ordering::Acquire);
                for id in ids.iter().copied().chain(ids.iter().flat_map(|id| agents_of(*id))) {
                    // What is found on the way was started for this.
                    let before = *before.entry(id).or_insert(0.0);
                    if let (Some(cpu), Some(memory)) = (cpu_s(id), peak_memory(id)) {
                        last.insert(id, Account { cpu_s: cpu - before, memory_bytes: memory });
                    }
                }
                if ends {
                    return last.values().fold(Account::default(), |sum, one| Account {
                        cpu_s: sum.cpu_s + one.cpu_s,
                        memory_bytes: sum.memory_bytes + one.memory_bytes,
                    });
                }
                std::thread::sleep(SAMPLE_INTERVAL);
            }
        });
        Self { stop, thread }
    }

    /// Ends it.
    pub(crate) fn read(self) -> Account {
        self.stop.store(true, Ordering::Release);
        self.thread.join().unwrap_or_default()
    }
}

/// The processes that `frazil run` started to serve an image.
fn agents_of(id: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    let is_agent = |child: &u32| {
        std::fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name.trim() == "frazil-agent")
    };
    children.filter(is_agent).collect()
}

fn cpu_s(id: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in parentheses may hold anything, so fields are counted after it; utime and stime are the 14th and 15th.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / TICKS_A_SECOND)
}

fn peak_memory(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// A process whose line is waited for.
pub(crate) struct Speaker {
    process: Child,
    errors: JoinHandle<String>,
    lines: std::sync::mpsc::Receiver<(String, Instant)>,
}

impl Speaker {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let output = process.stdout.take().context("standard output was piped")?;
        let mut errors = process.stderr.take().context("standard error was piped")?;
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = errors.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if send.send((line, Instant::now())).is_err() {
                    return;
                }
            }
        });
        Ok(Self { process, errors, lines })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for the line and for the end; when the line came.
    pub(crate) fn hear(mut self, expected: &str, limit: Duration) -> anyhow::Result<Instant> {
        let heard = self.line(expected, Instant::now() + limit);
        let status = match &heard {
            Ok(_) => self.end(limit),
            Err(_) => Err(self.kill()),
        };
        match (heard, status) {
            (Ok(heard), Ok(status)) if status.success() => Ok(heard),
            (heard, status) => {
                let why = match (heard, status) {
                    (Err(why), _) | (_, Err(why)) => why,
                    (_, Ok(status)) => anyhow::anyhow!("the command failed: {status}"),
                };
                let errors = self.errors.join().unwrap_or_default();
                let start = errors.len().saturating_sub(2000);
                Err(why.context(errors.get(start..).unwrap_or(&errors).trim().to_owned()))
            }
        }
    }

    fn line(&self, expected: &str, deadline: Instant) -> anyhow::Result<Instant> {
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(rest) {
                Ok((line, when)) if line.starts_with(expected) => return Ok(when),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => bail!("no line '{expected}' within the limit"),
                Err(RecvTimeoutError::Disconnected) => bail!("it ended without the line '{expected}'"),
            }
        }
    }

    fn end(&mut self, limit: Duration) -> anyhow::Result<std::process::ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            if started.elapsed() > limit {
                return Err(self.kill());
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    fn kill(&mut self) -> anyhow::Error {
        let _ = self.process.kill();
        match self.process.wait() {
            Ok(status) => anyhow::anyhow!("it was ended: {status}"),
            Err(error) => error.into(),
        }
    }
}
