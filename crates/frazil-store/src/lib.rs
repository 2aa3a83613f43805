//! Roots, manifests and chunks in an object store; key providers.
