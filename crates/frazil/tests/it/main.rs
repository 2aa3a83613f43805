//! The binary and its parts, tried on real images with real tools: one module for each story.

#![allow(clippy::unwrap_used, reason = "in a test an unexpected error is a failure, wherever it happens")]

mod arrival;
mod bad_bundles;
mod bad_chunks;
mod bad_input;
mod bad_store;
mod cli;
mod collection;
mod configuration;
mod contained;
mod determinism;
mod durability;
mod fidelity;
mod host_cache;
mod hydrate;
mod isolation;
mod isolation_forgery;
mod key_hygiene;
mod key_service;
mod keys;
mod laziness;
mod looking;
mod metrics;
mod operations;
mod outages;
mod profiles;
mod real_images;
mod registries;
mod run;
mod services;
mod sharing;
mod size;
mod specification;
mod stores;
mod support;
mod terminal;
#[cfg(feature = "otlp")]
mod tracing_export;
mod trees;
