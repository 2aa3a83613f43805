//! The tiers: one question, the sealed bytes of a chunk id.
