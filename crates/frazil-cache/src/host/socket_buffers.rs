//! The kernel's buffers of a connection.

use std::os::fd::AsFd;

/// Two chunks of the default size: with less, reader and writer take turns instead of working at once.
const SEND_BUFFER_LEN: usize = 1 << 20;

/// Lets a connection take a whole chunk at once. The kernel may give less; it is slower then, and not wrong.
pub(super) fn widen(socket: impl AsFd) {
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER_LEN);
    // What the system's limit refuses, root may have.
    let _ = rustix::net::sockopt::set_socket_send_buffer_size_force(&socket, SEND_BUFFER_LEN);
}
