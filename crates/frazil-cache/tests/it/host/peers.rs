//! Who is let in.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use frazil_cache::Memory;
use frazil_cache::host::protocol::{HELLO_LEN, Hello, Verdict};
use frazil_cache::host::{Peers, ServerOptions};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::stand::{NoCatalog, Stand};
use crate::stages::{below, chunks};

const STRANGER: u32 = 65_533;

/// A host cache in a directory that everybody may enter.
fn open_stand(peers: Peers) -> Stand {
    let memory = Arc::new(Memory::new(below(&chunks(0..1, 1000)), 1 << 20));
    let mode = peers.socket_mode();
    let options = ServerOptions { peers, ..ServerOptions::default() };
    let mut stand = Stand::new(memory, Arc::new(NoCatalog), options);
    let directory = stand.path().parent().unwrap().to_owned();
    std::fs::set_permissions(directory, PermissionsExt::from_mode(0o711)).unwrap();
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(stand.end()));
    stand.start_with(mode);
    stand
}

/// What the host cache says to a process of this user: the kernel takes the thread's user, and no other thread's
/// changes.
fn hello_as(uid: u32, path: &Path) -> std::io::Result<Hello> {
    assert!(rustix::process::geteuid().is_root(), "this test changes its user: run it as root");
    let path: PathBuf = path.to_owned();
    std::thread::spawn(move || {
        set_thread_groups(&[])?;
        let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
        set_thread_res_gid(group, group, group)?;
        set_thread_res_uid(user, user, user)?;
        let mut hello = [0; HELLO_LEN];
        UnixStream::connect(path)?.read_exact(&mut hello)?;
        Ok(Hello::decode(&hello).unwrap())
    })
    .join()
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_kept_out_by_the_kernel() {
    let stand = open_stand(Peers::default());
    let error = hello_as(STRANGER, &stand.path()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    assert!(stand.agent().ping().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_some_others_are_let_in_a_stranger_is_told_that_it_is_not() {
    let stand = open_stand(Peers { uids: [STRANGER + 1].into(), ..Peers::default() });
    assert_eq!(hello_as(STRANGER, &stand.path()).unwrap(), Hello(Verdict::Refused));
    assert!(matches!(hello_as(STRANGER + 1, &stand.path()).unwrap(), Hello(Verdict::Welcome { .. })));
    assert_eq!(stand.server().stats().connections.refused, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_group_is_let_in() {
    let stand = open_stand(Peers { gids: [STRANGER].into(), ..Peers::default() });
    assert!(matches!(hello_as(STRANGER, &stand.path()).unwrap(), Hello(Verdict::Welcome { .. })));
}
