//! Export of spans by OTLP over HTTP, to the collector that `$OTEL_EXPORTER_OTLP_ENDPOINT` names. It needs
//! the feature `otlp`; without that variable nothing of it is there.
//!
//! Invariant: no thread and no socket before [`start`]: an agent must have one thread while it leaves its network, and
//! one that left it never starts. Its spans are then not exported, but named: the host cache's are parts of its traces.

use std::sync::OnceLock;
use std::time::Duration;

use frazil_cache::trace::{self, Links, TraceContext};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor,
};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// How long the end of a process may wait for the collector.
const FAREWELL: Duration = Duration::from_secs(2);

/// The sender of spans, since [`start`].
static SENDER: OnceLock<BatchSpanProcessor> = OnceLock::new();

/// Hands spans to the sender, once there is one; before that they go nowhere.
#[derive(Debug)]
struct Later;

impl SpanProcessor for Later {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if let Some(sender) = SENDER.get() {
            sender.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        SENDER.get().map_or(Ok(()), SpanProcessor::force_flush)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        SENDER.get().map_or(Ok(()), |sender| sender.shutdown_with_timeout(timeout))
    }
}

/// Whether somebody collects spans.
fn is_wanted() -> bool {
    let said = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    said("OTEL_EXPORTER_OTLP_ENDPOINT") || said("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
}

/// Makes spans of those that `tracing` has; none if nobody collects them.
pub(crate) fn tracer() -> Option<SdkTracer> {
    if !is_wanted() {
        return None;
    }
    trace::link(Links { current, adopt });
    let provider = SdkTracerProvider::builder().with_resource(resource()).with_span_processor(Later).build();
    Some(provider.tracer("frazil"))
}

/// Sends what ends from now on. Makes a thread.
pub(crate) fn start() {
    if !is_wanted() || SENDER.get().is_some() {
        return;
    }
    // The endpoint, headers and timeout are those of the standard variables.
    match SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary).build() {
        Ok(exporter) => {
            let mut sender = BatchSpanProcessor::builder(exporter).build();
            sender.set_resource(&resource());
            let _ = SENDER.set(sender);
        }
        Err(error) => tracing::warn!(%error, "spans are not exported"),
    }
}

/// Sends what is left, before the process ends.
pub(crate) fn end() {
    if let Some(sender) = SENDER.get()
        && let Err(error) = sender.shutdown_with_timeout(FAREWELL)
    {
        tracing::warn!(%error, "some spans are not exported");
    }
}

fn resource() -> Resource {
    let resource = Resource::builder();
    let named = std::env::var_os("OTEL_SERVICE_NAME").is_some();
    let resource = if named { resource } else { resource.with_service_name("frazil") };
    resource.with_attribute(KeyValue::new("process.pid", i64::from(std::process::id()))).build()
}

fn current() -> Option<TraceContext> {
    let context = tracing::Span::current().context();
    let span = context.span().span_context().clone();
    let named = TraceContext { trace: span.trace_id().to_bytes(), span: span.span_id().to_bytes() };
    span.is_valid().then_some(named)
}

fn adopt(span: &tracing::Span, parent: TraceContext) {
    let (trace, id) = (TraceId::from_bytes(parent.trace), SpanId::from_bytes(parent.span));
    let parent = SpanContext::new(trace, id, TraceFlags::SAMPLED, true, Default::default());
    // A span that nobody wants has no parent.
    let _ = span.set_parent(Context::new().with_remote_span_context(parent));
}
