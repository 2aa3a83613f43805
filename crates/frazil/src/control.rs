//! The control socket of an agent: what it is asked while it serves, by its own user and by root.
//!
//! It stands beside the mount's record, is made before the agent closes itself in, and is the one thing that a closed-in
//! agent still listens on. One question a connection: a line of JSON, and a JSON document back. It gives no key and no
//! byte of the image.

mod account;

use std::fs;
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use frazil_mount::profile::Profiling;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;

use crate::failure::Advise;
use crate::{mount_record, wiring};

pub(crate) use account::{AgentStats, Explained, Part, Prefetched, Subject, Waited};

/// Questions that are answered at once; further ones wait to be accepted.
const MAX_ASKERS: usize = 4;

/// The longest question, in bytes.
const MAX_QUESTION_LEN: u64 = 4096;

/// The longest answer that is taken, in bytes: a hundred thousand files with the longest of paths.
const MAX_ANSWER_LEN: u64 = 512 << 20;

/// How long one question may take in all.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an agent is asked.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Question {
    /// What the mount was read for: an [`Explained`].
    Explain,
    /// What the agent counted: an [`AgentStats`].
    Stats,
    /// Nothing; the workload is ready, and its start is over.
    Ready,
    /// Nothing; the image is to be completed behind whatever reads it.
    Complete,
}

/// The socket, before anybody is answered. Its name goes away with the mount's record.
#[derive(Debug)]
pub(crate) struct Control(std::os::unix::net::UnixListener);

impl Control {
    /// Listens for questions about the mount at this directory, whose record this process holds.
    pub(crate) fn bind(directory: &Path) -> Result<Self> {
        let path = mount_record::socket(directory)?;
        // The process that had it is gone: this one holds the record.
        let _ = fs::remove_file(&path);
        let listener = std::os::unix::net::UnixListener::bind(&path)
            .with_context(|| format!("cannot listen on {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).context("cannot keep others out")?;
        listener.set_nonblocking(true).context("cannot listen without waiting")?;
        Ok(Self(listener))
    }

    /// Answers questions about the subject for as long as somebody polls it.
    pub(crate) async fn serve(self, subject: Subject) -> Result<()> {
        let listener = UnixListener::from_std(self.0).context("cannot listen on the control socket")?;
        let (subject, room) = (Arc::new(subject), Arc::new(Semaphore::new(MAX_ASKERS)));
        loop {
            let place = Arc::clone(&room).acquire_owned().await?;
            match listener.accept().await {
                Ok((stream, _)) => {
                    let subject = Arc::clone(&subject);
                    tokio::spawn(async move {
                        // A process that went away or dawdles can ask again.
                        let _ = tokio::time::timeout(PATIENCE, answer(stream, &subject)).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a question");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

async fn answer(stream: tokio::net::UnixStream, subject: &Subject) -> std::io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    tokio::io::BufReader::new(reader.take(MAX_QUESTION_LEN)).read_line(&mut line).await?;
    let ours = rustix::process::geteuid();
    let reply = if peer != 0 && peer != ours.as_raw() {
        Err("only the agent's own user and root may ask".to_owned())
    } else {
        match serde_json::from_str(&line) {
            Ok(Question::Explain) => subject.explain().await.and_then(encode),
            Ok(Question::Stats) => encode(subject.stats()),
            Ok(Question::Ready) => {
                subject.profiling.iter().for_each(Profiling::ready);
                encode(())
            }
            Ok(Question::Complete) => {
                tracing::info!("asked to complete the image");
                wiring::complete(&subject.image);
                encode(())
            }
            Err(error) => Err(format!("the agent does not understand the question: {error}")),
        }
    };
    let reply = serde_json::to_vec(&reply)?;
    writer.write_all(&reply).await?;
    writer.shutdown().await
}

fn encode(document: impl Serialize) -> Result<serde_json::Value, String> {
    serde_json::to_value(document).map_err(|error| error.to_string())
}

/// Asks the agent of the mount at this directory.
pub(crate) fn ask<T: DeserializeOwned>(directory: &Path, question: Question) -> Result<T> {
    let path = mount_record::socket(directory)?;
    let mut stream = UnixStream::connect(&path)
        .with_context(|| format!("no agent of yours answers for {}", directory.display()))
        .hint("frazil explain and stats ask the agent of a directory that frazil mount mounted")?;
    stream.set_read_timeout(Some(PATIENCE)).context("cannot bound the wait")?;
    let talked = (|| {
        stream.write_all(&[&serde_json::to_vec(&question)?[..], b"\n"].concat())?;
        let mut reply = Vec::new();
        BufReader::new(&stream).take(MAX_ANSWER_LEN).read_to_end(&mut reply)?;
        std::io::Result::Ok(reply)
    })();
    let reply = talked.with_context(|| format!("the agent of {} does not answer", directory.display()))?;
    let reply: Result<T, String> =
        serde_json::from_slice(&reply).context("the agent's answer is not understood")?;
    reply.map_err(|reason| anyhow!(reason))
}
