//! Registries that fail in the ways real ones do, and some that mean harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use frazil_convert::source::{CredentialFiles, Digest, RetryPolicy, Source, SourceError, SourceOptions};
use serde_json::json;

use crate::images::{OCI_CONFIG, OCI_MANIFEST, Packing, config, tar};
use crate::scripted::{Reply, Request, Scripted};
use crate::source_layout::{amd64, open, read_layer};
use crate::source_registry::plain_http;

/// What a server answers to a request; it is told its own address.
type Script = Box<dyn Fn(&Request, &str) -> Reply + Send + Sync>;

/// The three blobs of an image with one large layer.
struct Image {
    manifest: Vec<u8>,
    config: Vec<u8>,
    layer: Vec<u8>,
}

fn image() -> Image {
    let noise: Vec<u8> =
        (0..200_000_u32).flat_map(|n| Digest::of(&n.to_le_bytes()).as_bytes()[..4].to_vec()).collect();
    let layer = tar(&[("noise", &noise)]);
    let config = config("linux/amd64", std::slice::from_ref(&layer));
    let descriptor = |media_type: &str, bytes: &[u8]| json!({"mediaType": media_type, "digest": Digest::of(bytes).to_string(), "size": bytes.len()});
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, &config),
        "layers": [descriptor(Packing::Plain.media_type(), &layer)],
    });
    Image { manifest: serde_json::to_vec(&manifest).unwrap(), config, layer }
}

impl Image {
    /// What an honest registry answers.
    fn serve(&self, request: &Request) -> Reply {
        match request.target.as_str() {
            target if target.contains("/manifests/") => {
                Reply::ok(self.manifest.clone()).with("Content-Type", OCI_MANIFEST)
            }
            target if target.contains(&Digest::of(&self.config).to_string()) => {
                Reply::ok(self.config.clone())
            }
            target if self.is_layer(target) => match request.range_start() {
                Some(start) => Reply { status: 206, ..Reply::ok(&self.layer[start..]) }.with(
                    "Content-Range",
                    format!("bytes {start}-{}/{}", self.layer.len() - 1, self.layer.len()),
                ),
                None => Reply::ok(self.layer.clone()),
            },
            _ => Reply::status(404),
        }
    }

    fn is_layer(&self, target: &str) -> bool {
        target.contains(&Digest::of(&self.layer).to_string())
    }
}

async fn open_scripted(server: &Scripted, options: &SourceOptions) -> Box<dyn Source> {
    open(&format!("docker://{}/team/app:v1", server.host()), options).await.unwrap()
}

/// Resolves the image and reads its layer.
async fn pull(server: &Scripted, options: &SourceOptions) -> std::io::Result<Vec<u8>> {
    let source = open_scripted(server, options).await;
    let resolved = source.resolve(&amd64()).await?;
    read_layer(source.as_ref(), &resolved.layers[0]).await
}

#[tokio::test]
async fn a_download_that_breaks_goes_on_where_it_stopped() {
    let image = Arc::new(image());
    let served = Arc::clone(&image);
    let server = Scripted::start(move |request, _| {
        let mut reply = served.serve(request);
        if served.is_layer(&request.target) && reply.body.len() > 250_000 {
            reply.cut_at = Some(250_000);
        }
        reply
    })
    .await;
    assert!(pull(&server, &plain_http()).await.unwrap() == image.layer);
    let starts: Vec<_> = server
        .requests()
        .iter()
        .filter(|request| image.is_layer(&request.target))
        .map(|request| request.range_start().unwrap_or(0))
        .collect();
    assert_eq!(starts, [0, 250_000, 500_000, 750_000], "each request asks for what is missing");
}

#[tokio::test]
async fn a_registry_without_ranges_is_read_again_from_the_start() {
    let image = Arc::new(image());
    let (served, tries) = (Arc::clone(&image), AtomicUsize::new(0));
    let server = Scripted::start(move |request, _| match served.is_layer(&request.target) {
        true => {
            let cut = 200_000 * (1 + tries.fetch_add(1, Ordering::Relaxed));
            Reply { cut_at: Some(cut), ..Reply::ok(served.layer.clone()) }
        }
        false => served.serve(request),
    })
    .await;
    assert!(pull(&server, &plain_http()).await.unwrap() == image.layer);
}

#[tokio::test]
async fn a_download_that_always_breaks_ends() {
    let image = Arc::new(image());
    let served = Arc::clone(&image);
    let server = Scripted::start(move |request, _| {
        let reply = served.serve(request);
        match served.is_layer(&request.target) {
            true => Reply { cut_at: Some(0), ..reply },
            false => reply,
        }
    })
    .await;
    let retry = RetryPolicy { max_delay: Duration::from_millis(1), ..plain_http().retry };
    let error = pull(&server, &SourceOptions { retry, ..plain_http() }).await.unwrap_err();
    assert!(error.to_string().contains("broke 17 times, at last at byte 0"), "{error}");
}

#[tokio::test]
async fn transient_errors_are_asked_again_and_lasting_ones_are_not() {
    let image = Arc::new(image());
    let (served, failures) = (Arc::clone(&image), AtomicUsize::new(0));
    let server = Scripted::start(move |request, _| match failures.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::status(503).with("Retry-After", "0"),
        1 => Reply::status(429).with("Retry-After", "0"),
        2 => Reply::status(500),
        _ => served.serve(request),
    })
    .await;
    assert!(pull(&server, &plain_http()).await.unwrap() == image.layer);

    let gone = Scripted::start(|_, _| Reply {
        status: 418,
        ..Reply::ok(r#"{"errors":[{"code":"TEAPOT","message":"short\u001b[31m and stout"}]}"#)
    })
    .await;
    let error = open_scripted(&gone, &plain_http()).await.resolve(&amd64()).await.unwrap_err();
    assert!(error.to_string().contains("answered 418"), "{error}");
    assert!(error.to_string().ends_with(": short[31m and stout"), "{error}");
    assert_eq!(gone.requests().len(), 1);
}

#[tokio::test]
async fn a_registry_that_says_nothing_is_given_up() {
    let server = Scripted::start(|_, _| Reply { silent: true, ..Reply::default() }).await;
    let retry = RetryPolicy { attempts: 2, timeout: Duration::from_millis(200), ..plain_http().retry };
    let options = SourceOptions { retry, ..plain_http() };
    let error = open_scripted(&server, &options).await.resolve(&amd64()).await.unwrap_err();
    assert!(matches!(error, SourceError::Timeout { .. }), "{error}");
    assert_eq!(server.requests().len(), 2);
}

/// A docker config with these fields for the server.
fn credentials(server: &Scripted, entry: &serde_json::Value) -> (tempfile::NamedTempFile, SourceOptions) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json!({"auths": {server.host(): entry}}).to_string()).unwrap();
    let credentials = CredentialFiles::new([file.path().to_owned()]);
    (file, SourceOptions { credentials, ..plain_http() })
}

/// Token server and registry in one; each token serves `uses` requests.
async fn token_registry(image: Arc<Image>, uses: usize) -> Scripted {
    let (issued, served) = (AtomicUsize::new(0), AtomicUsize::new(0));
    Scripted::start(move |request, own| {
        if request.target.starts_with("/token") {
            let number = issued.fetch_add(1, Ordering::Relaxed) + 1;
            served.store(0, Ordering::Relaxed);
            return Reply::ok(
                json!({"access_token": format!("pass-{number}"), "expires_in": 60}).to_string(),
            );
        }
        let current = format!("Bearer pass-{}", issued.load(Ordering::Relaxed));
        if request.header("authorization") != Some(&current) || served.fetch_add(1, Ordering::Relaxed) >= uses
        {
            let challenge = format!("Bearer realm=\"http://{own}/token\",service=\"the service\"");
            return Reply::status(401).with("WWW-Authenticate", challenge);
        }
        image.serve(request)
    })
    .await
}

#[tokio::test]
async fn a_token_that_expires_in_the_middle_is_replaced() {
    let image = Arc::new(image());
    let server = token_registry(Arc::clone(&image), 1).await;
    let (_file, options) = credentials(&server, &json!({"username": "me", "password": "secret"}));
    assert!(pull(&server, &options).await.unwrap() == image.layer);
    let tokens: Vec<Request> =
        server.requests().into_iter().filter(|request| request.target.starts_with("/token")).collect();
    assert_eq!(tokens.len(), 3, "one for the manifest, the config and the layer each");
    assert_eq!(tokens[0].target, "/token?service=the+service&scope=repository%3Ateam%2Fapp%3Apull");
    // "me:secret", which goes to the token server alone.
    assert_eq!(tokens[0].header("authorization"), Some("Basic bWU6c2VjcmV0"));
    for request in server.requests().iter().filter(|request| !request.target.starts_with("/token")) {
        assert!(!request.header("authorization").unwrap_or("").starts_with("Basic"));
    }
}

#[tokio::test]
async fn anonymous_readers_and_identity_tokens_get_tokens_too() {
    let image = Arc::new(image());
    let server = token_registry(Arc::clone(&image), 100).await;
    assert!(pull(&server, &plain_http()).await.unwrap() == image.layer);
    let (_file, options) = credentials(&server, &json!({"identitytoken": "long lived"}));
    assert!(pull(&server, &options).await.unwrap() == image.layer);
    let requests = server.requests();
    let asked = |method: &str| {
        let mut tokens = requests.iter().filter(|request| request.target.starts_with("/token"));
        tokens.find(|request| request.method == method).cloned().unwrap()
    };
    assert_eq!(asked("GET").header("authorization"), None);
    assert!(asked("POST").body.contains("grant_type=refresh_token&refresh_token=long+lived"));
}

#[tokio::test]
async fn a_hostile_registry_ends_in_an_error() {
    let image = Arc::new(image());
    let challenge =
        |realm: &str| Reply::status(401).with("WWW-Authenticate", format!("Bearer realm=\"{realm}\""));
    let scripts: [(&str, Script); 6] = [
        ("an endless manifest", Box::new(|_, _| Reply::ok(vec![b' '; 5 << 20]))),
        ("no challenge", Box::new(|_, _| Reply::status(401))),
        (
            "endless refusal",
            Box::new(move |request, own| match request.target.starts_with("/token") {
                true => Reply::ok(r#"{"token":"x"}"#),
                false => challenge(&format!("http://{own}/token")),
            }),
        ),
        (
            "a token that is no header",
            Box::new(move |request, own| match request.target.starts_with("/token") {
                true => Reply::ok(r#"{"token":"x\r\nHost: evil"}"#),
                false => challenge(&format!("http://{own}/token")),
            }),
        ),
        (
            "redirects in a circle",
            Box::new(|request, _| Reply::status(307).with("Location", request.target.clone())),
        ),
        (
            "another manifest than it says",
            Box::new(move |request, _| {
                image.serve(request).with("Docker-Content-Digest", Digest::of(b"other").to_string())
            }),
        ),
    ];
    for (story, script) in scripts {
        let server = Scripted::start(script).await;
        let result = open_scripted(&server, &plain_http()).await.resolve(&amd64()).await;
        assert!(result.is_err(), "{story}");
        assert!(server.requests().len() <= 12, "{story}: {} requests", server.requests().len());
    }
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_host() {
    let image = Arc::new(image());
    let served = Arc::clone(&image);
    let blobs = Scripted::start(move |request, _| served.serve(request)).await;
    let (served, elsewhere) = (Arc::clone(&image), blobs.host().replace("127.0.0.1", "localhost"));
    let server = Scripted::start(move |request, _| {
        if request.header("authorization").is_none() {
            return Reply::status(401).with("WWW-Authenticate", "Basic realm=\"x\"");
        }
        match served.is_layer(&request.target) {
            true => Reply::status(307).with("Location", format!("http://{elsewhere}{}", request.target)),
            false => served.serve(request),
        }
    })
    .await;
    let (_file, options) = credentials(&server, &json!({"username": "me", "password": "secret"}));
    assert!(pull(&server, &options).await.unwrap() == image.layer);
    assert_eq!(blobs.requests().len(), 1);
    assert_eq!(blobs.requests()[0].header("authorization"), None);
}

#[tokio::test]
async fn whoever_a_registry_redirects_to_cannot_ask_for_its_credentials() {
    let image = Arc::new(image());
    let thief = Scripted::start(|_, _| Reply::ok(r#"{"token":"x"}"#)).await;
    for (status, scheme) in [(401, "Bearer"), (401, "Basic"), (403, "Bearer")] {
        let challenge = format!("{scheme} realm=\"http://{}/token\",service=\"x\"", thief.host());
        let blobs =
            Scripted::start(move |_, _| Reply::status(status).with("WWW-Authenticate", challenge.as_str()))
                .await;
        let (served, elsewhere) = (Arc::clone(&image), blobs.host().to_owned());
        let server = Scripted::start(move |request, _| match served.is_layer(&request.target) {
            true => Reply::status(307).with("Location", format!("http://{elsewhere}/blob")),
            false => served.serve(request),
        })
        .await;
        let (_file, options) = credentials(&server, &json!({"username": "me", "password": "secret"}));
        let error = pull(&server, &options).await.unwrap_err().to_string();
        assert!(error.contains(&format!("{} answered {status}", blobs.host())), "{error}");
        assert_eq!(blobs.requests().len(), 1, "no second try");
        assert_eq!(thief.requests().len(), 0, "the token server of another host is not asked");
        let seen = [server.requests(), blobs.requests()].concat();
        assert!(seen.iter().all(|request| request.header("authorization").is_none()));
    }
}

#[tokio::test]
async fn a_redirect_that_refuses_after_the_registry_granted_a_token_leaves_the_token_alone() {
    let image = Arc::new(image());
    let thief = Scripted::start(|_, _| Reply::ok(r#"{"token":"x"}"#)).await;
    let challenge = format!("Bearer realm=\"http://{}/token\"", thief.host());
    let blobs =
        Scripted::start(move |_, _| Reply::status(401).with("WWW-Authenticate", challenge.as_str())).await;
    let (served, elsewhere) = (Arc::clone(&image), blobs.host().to_owned());
    let server = Scripted::start(move |request, own| {
        if request.target.starts_with("/token") {
            return Reply::ok(r#"{"token":"granted"}"#);
        }
        match request.header("authorization") {
            None => {
                Reply::status(401).with("WWW-Authenticate", format!("Bearer realm=\"http://{own}/token\""))
            }
            Some(_) if served.is_layer(&request.target) => {
                Reply::status(302).with("Location", format!("http://{elsewhere}/blob"))
            }
            Some(_) => served.serve(request),
        }
    })
    .await;
    let (_file, options) = credentials(&server, &json!({"username": "me", "password": "secret"}));
    let error = pull(&server, &options).await.unwrap_err().to_string();
    assert!(error.contains(&format!("{} answered 401", blobs.host())), "{error}");
    assert_eq!(thief.requests().len(), 0);
    assert!(blobs.requests().iter().all(|request| request.header("authorization").is_none()));
}
