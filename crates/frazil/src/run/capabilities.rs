//! What a container's root may do: Docker's default set.
//!
//! `MKNOD` is in it although frazil uses no device cgroup: every file system of the container but the ones
//! that hold its own devices is mounted `nodev`, so a device made inside opens nothing.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use super::spec::Network;

/// What a container's processes can ever hold.
const DEFAULT: CapabilitySet = CapabilitySet::AUDIT_WRITE
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SYS_CHROOT);

/// What a container's processes can ever hold in this network: those that see the host's may not forge its
/// packets.
fn allowed(network: Network) -> CapabilitySet {
    match network {
        Network::Host => DEFAULT.difference(CapabilitySet::NET_RAW),
        Network::None => DEFAULT,
    }
}

/// Bounds what this process and its descendants can ever hold; the next execution as root gets just that.
///
/// What it holds now it keeps until then, except for what files that it executes could inherit.
pub(crate) fn bound(network: Network) -> Result<(), Errno> {
    clear_ambient_capability_set()?;
    let held = capabilities(None)?;
    set_capabilities(None, CapabilitySets { inheritable: CapabilitySet::empty(), ..held })?;
    let allowed = allowed(network);
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(capability) {
            Ok(true) if !allowed.contains(capability) => remove_capability_from_bounding_set(capability)?,
            Ok(_) => {}
            // The kernel's last capability is behind us.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Hides this process's memory, environment and descriptors from others of the same user; until it executes.
pub(crate) fn hide() -> Result<(), Errno> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

/// Keeps what an init process needs: to send signals to processes of any user. It executes nothing any more.
pub(crate) fn keep_init() -> Result<(), Errno> {
    set_no_new_privs(true)?;
    let kept = CapabilitySet::KILL;
    set_capabilities(
        None,
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() },
    )
}
