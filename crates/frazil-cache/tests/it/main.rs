//! Every tier against the conformance suite, on real directories.

mod origin;
