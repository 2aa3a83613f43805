//! The binary and its parts, tried on real images with real tools: one module for each story.

#![allow(clippy::unwrap_used, reason = "in a test an unexpected error is a failure, wherever it happens")]

mod real_images;
mod registries;
mod support;
mod trees;
