//! Golden bytes: the format as it is on disk, pinned. These tests need fixed salts, which nobody outside this
//! crate can choose; what the public interface promises is tested in `tests/it`.

mod document;
mod example;
mod forgery;
mod golden;
mod orders;
