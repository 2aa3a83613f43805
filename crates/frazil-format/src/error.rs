//! What can be wrong with bytes.

/// Why bytes are not what they claim to be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A text that should name something does not.
    #[error("not a {kind}: {text:?}")]
    NotAnId {
        /// The type of id that was expected.
        kind: &'static str,
        /// What was found.
        text: String,
    },
}
