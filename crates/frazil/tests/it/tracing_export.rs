//! Spans, as a collector gets them: one read, from the kernel's request down to the store's answer.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::support::home::Home;
use crate::support::images;
use crate::support::mount::Mount;
use crate::support::tool::run;

/// A collector on the loopback; it ends with the test's process.
struct Collector {
    endpoint: String,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let spans = Arc::<Mutex<Vec<Span>>>::default();
        let kept = Arc::clone(&spans);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, kept) = (stream.unwrap(), Arc::clone(&kept));
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(stream);
                    while let Some(body) = request(&mut stream) {
                        let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
                        let resources = request.resource_spans.into_iter();
                        let scopes = resources.flat_map(|resource| resource.scope_spans);
                        kept.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n\
                                       content-length: 0\r\n\r\n";
                        stream.get_mut().write_all(answer).unwrap();
                    }
                });
            }
        });
        Self { endpoint, spans }
    }
}

/// The body of the next request on a connection; none after the last.
fn request(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let (mut len, mut first) = (0, true);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if std::mem::take(&mut first) {
            assert_eq!(line, "POST /v1/traces HTTP/1.1\r\n");
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            len = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            let mut body = vec![0; len];
            stream.read_exact(&mut body).unwrap();
            return Some(body);
        }
    }
}

/// A span's name, with the tier if it is one's.
fn label(span: &Span) -> String {
    let tier = span.attributes.iter().find(|attribute| attribute.key == "tier");
    let tier = tier.and_then(|tier| tier.value.as_ref()?.value.as_ref()).map(|value| format!("{value:?}"));
    match tier {
        Some(tier) => format!("{} {}", span.name, tier.split('"').nth(1).unwrap()),
        None => span.name.clone(),
    }
}

#[test]
fn a_collector_sees_one_read_from_the_kernels_request_down_to_the_stores_answer() {
    let home = Home::new();
    home.convert(&images::debian_python().source(), "python");
    let collector = Collector::start();
    let root = home.mountpoint();
    let words = ["mount", "--via", "tree", "--cache", "none", "python"].map(OsStr::new);
    let mut mount = home.frazil(words.into_iter().chain([root.as_os_str()]));
    run(mount.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint));
    let mounted = Mount::at(&home, root);
    fs::read(mounted.path("usr/lib/os-release")).unwrap();
    // An agent sends what is left before it ends.
    mounted.unmount();
    let spans = collector.spans.lock().unwrap();
    let by_id: HashMap<_, _> = spans.iter().map(|span| (&span.span_id, span)).collect();
    let line = |from: &Span| {
        let above = std::iter::successors(Some(from), |span| by_id.get(&span.parent_span_id).copied());
        above.map(label).collect::<Vec<_>>()
    };
    let gets = spans.iter().filter(|span| span.name == "store_get");
    let lines: Vec<_> = gets.map(line).collect();
    let read = lines.iter().find(|line| line.last().is_some_and(|name| name == "fuse_read"));
    let read = read.unwrap_or_else(|| panic!("no read from end to end: {lines:?}"));
    let mut expected =
        ["store_get", "tier_get origin", "tier_get memory", "flight", "image_read", "fuse_read"]
            .into_iter()
            .peekable();
    // Other tiers may stand between those that are always there.
    for name in read {
        let _ = expected.next_if(|expected| expected == name);
    }
    assert_eq!(expected.next(), None, "{read:?}");
    let origin = spans.iter().find(|span| label(span) == "tier_get origin").unwrap();
    let keys: Vec<_> = origin.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    for key in ["chunk", "bytes", "priority", "by"] {
        assert!(keys.contains(&key), "no {key}: {keys:?}");
    }
}
