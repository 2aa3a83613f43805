//! The spans of a fetch, one for each tier that is asked, and their trace as far as it crosses the socket to the host
//! cache. Spans are at debug level, and cost a load of an atomic each while nobody wants them.
//!
//! This crate knows `tracing` and no exporter: whoever exports spans says, once, how the trace of the current
//! span is called and how a span is made a part of a trace from elsewhere. Without that, requests name no
//! trace.

use std::future::Future;
use std::sync::OnceLock;

use tracing::field::Empty;
use tracing::{Instrument, Span, debug_span};

use crate::resilience::Urgency;
use crate::{Served, TierError, Wanted};

/// A span, as the world names it (W3C Trace Context, version 00): its trace, and itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceContext {
    /// The trace.
    pub trace: [u8; 16],
    /// The span.
    pub span: [u8; 8],
}

/// What an exporter of spans knows.
#[derive(Clone, Copy, Debug)]
pub struct Links {
    /// How the current span is named; none if it is not exported.
    pub current: fn() -> Option<TraceContext>,
    /// Makes a span the child of one of another process.
    pub adopt: fn(&Span, TraceContext),
}

static LINKS: OnceLock<Links> = OnceLock::new();

/// Says how spans are named from now on, once for the process.
pub fn link(links: Links) {
    // The first to come exports.
    let _ = LINKS.set(links);
}

impl TraceContext {
    /// The current span; none if it is not exported.
    pub fn current() -> Option<Self> {
        (LINKS.get()?.current)()
    }

    /// Makes this span a child of the one that is named here.
    pub fn adopt(self, span: &Span) {
        if let Some(links) = LINKS.get() {
            (links.adopt)(span, self);
        }
    }
}

/// What a tier answers, within a span of its own that says which tier, of which chunk, how urgently, and who had it.
pub(crate) async fn tier_get(
    tier: &'static str,
    wanted: &Wanted,
    get: impl Future<Output = Result<Served, TierError>>,
) -> Result<Served, TierError> {
    let span = debug_span!(
        "tier_get",
        tier,
        chunk = %wanted.id,
        bytes = wanted.sealed_len,
        priority = ?Urgency::current().priority(),
        by = Empty,
    );
    let answer = get.instrument(span.clone()).await;
    if let Ok(served) = &answer {
        span.record("by", served.by.word());
    }
    answer
}
