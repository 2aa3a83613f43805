//! How much a server takes on at once. Every one of them exists so that neither many agents nor a stuck origin
//! can make it grow without end.

use std::time::Duration;

/// The limits of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections. An agent needs one; 1024 agents per host are four times what hosts run.
    pub connections: usize,
    /// Requests that wait, of one connection. A waiting request costs about a kilobyte; hits in memory do not
    /// count, so an agent whose fetches are stuck still reads what is cached.
    pub in_flight_per_connection: usize,
    /// Requests that wait, of all connections.
    pub in_flight: usize,
    /// Bytes of answers that wait to be written on one connection: 64 chunks of 512 KiB. The bytes may be of
    /// chunks that the memory tier has let go of by then.
    pub answer_bytes_per_connection: usize,
    /// Bytes of answers that wait to be written, on all connections.
    pub answer_bytes: usize,
    /// How long one request may take: less than agents wait, so that they learn why.
    pub request_deadline: Duration,
    /// How long an agent may take to read one answer.
    pub write_timeout: Duration,
    /// How long an agent may take for its hello, and for a frame that it has begun.
    pub frame_timeout: Duration,
    /// How long requests under way may take when the server is asked to end.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            in_flight_per_connection: 512,
            in_flight: 16 << 10,
            answer_bytes_per_connection: 32 << 20,
            answer_bytes: 512 << 20,
            request_deadline: Duration::from_secs(30),
            write_timeout: Duration::from_secs(10),
            frame_timeout: Duration::from_secs(5),
            drain: Duration::from_secs(10),
        }
    }
}
