//! What the format promises to its users, by its public interface alone.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bundle;
mod chunks;
mod ids;
mod layer_index;
mod manifest;
mod profiles;
mod tampering;
mod values;
mod wrapping;
